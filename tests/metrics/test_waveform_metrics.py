import csv

import numpy as np
import pytest
from metric_examples import speech_like
from scipy.signal import istft, stft

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.alignment import best_lag, best_mel_lag
from doppelbench.metrics.lsd import log_power
from doppelbench.metrics.registry import metric, metric_from_string
from doppelbench.metrics.si_sdr import scale_invariant_ratio


def late(audio, milliseconds):
    """The signal moved by whole samples, silence in the gap."""
    shift = round(abs(milliseconds) * audio.rate / 1000)
    if milliseconds >= 0:
        moved = np.pad(audio.samples, (shift, 0))[: audio.samples.size]
    else:
        moved = np.pad(audio.samples, (0, shift))[shift:]
    return Audio(moved, audio.rate)


@pytest.mark.parametrize("milliseconds", [-80.0, -0.0625, 0.0, 12.5, 100.0])
def test_lag_is_found_with_its_sign(milliseconds):
    ref = speech_like(seed=1, noise_db=-20.0)
    score = metric("lag").item(out=late(ref, milliseconds), ref=ref)
    assert score.value == abs(milliseconds)
    assert score.stats["lag_ms"] == milliseconds
    assert score.stats["peak"] > 0.9
    assert score.stats["at_bound"] == (milliseconds == 100.0)


def test_lag_beyond_the_bound_is_not_claimed():
    ref = speech_like(seed=1, noise_db=-20.0)
    score = metric("lag").item(out=late(ref, 150.0), ref=ref)
    assert score.value <= 100.0
    assert score.stats["peak"] < 0.5


def test_of_equal_peaks_the_smallest_lag_is_taken():
    click = np.zeros(4000)
    click[2000] = 1.0
    clicks = np.zeros(4000)
    clicks[[1990, 2005]] = 1.0
    assert best_lag(out=clicks, ref=click, rate=16000).samples == 5


def test_lag_figure_has_the_median_with_its_sign():
    ref = speech_like(seed=1)
    items = [metric("lag").item(out=late(ref, shift), ref=ref) for shift in (-5.0, -5.0, 20.0, -100.0)]
    figure = metric("lag").reduce(items)
    assert figure.value == pytest.approx(32.5)
    assert figure.details == {"median_ms": -5.0, "at_bound": 1}


@pytest.mark.parametrize("name", ["stoi", "estoi", "si_sdr"])
@pytest.mark.parametrize("milliseconds", [-30.0, 10.0])
def test_alignment_takes_a_lag_off(name, milliseconds):
    ref = speech_like(seed=2)
    moved = late(ref, milliseconds)
    plain = metric(name).item(out=moved, ref=ref)
    aligned = metric_from_string(f"{name}:align=true").item(out=moved, ref=ref)
    best = metric(name).spec.range[1]
    assert plain.value < 0.98 * best
    assert aligned.value == pytest.approx(best, rel=1e-3)
    assert aligned.stats["lag_ms"] == milliseconds
    assert "lag_ms" not in plain.stats


@pytest.mark.parametrize("name", ["stoi", "estoi", "si_sdr"])
def test_alignment_is_a_checked_option_in_the_signature(name):
    assert "align" not in metric(name).signature
    assert "|align-xcorr-100ms|" in metric(name, align=True).signature
    with pytest.raises(InputError, match=f"{name}: align is true, false or mel"):
        metric(name, align="xcorr")


def test_alignment_of_what_is_aligned_changes_nothing():
    ref, out = speech_like(seed=3), speech_like(seed=3, noise_db=-5.0)
    for name in ("stoi", "estoi", "si_sdr"):
        assert (
            metric(name, align=True).item(out=out, ref=ref).value == metric(name).item(out=out, ref=ref).value
        )


def test_spectrograms_find_the_lag_that_phases_hide():
    ref = speech_like(seed=4, noise_db=-40.0)
    copy = with_other_phases(ref)
    for milliseconds in (-150.0, -12.0, 0.0, 40.0):
        score = metric_from_string("lag:by=mel").item(out=late(copy, milliseconds), ref=ref)
        assert abs(score.stats["lag_ms"] - milliseconds) <= 1.0
        assert score.stats["peak"] > 0.8


def test_aligning_by_spectrograms_does_not_harm_what_is_aligned_but_for_its_phases():
    ref = speech_like(seed=4, noise_db=-40.0)
    copy = with_other_phases(ref)
    plain = metric("estoi").item(out=copy, ref=ref).value
    assert metric_from_string("estoi:align=mel").item(out=copy, ref=ref).value > plain - 0.01
    moved = metric_from_string("estoi:align=mel").item(out=late(copy, 40.0), ref=ref).value
    assert moved > plain - 0.02
    assert metric("estoi").item(out=late(copy, 40.0), ref=ref).value < plain - 0.2


def test_the_lag_of_silence_is_none_and_means_nothing():
    ref = speech_like(seed=1).samples
    found = best_mel_lag(out=np.zeros_like(ref), ref=ref, rate=16000)
    assert (found.samples, found.peak) == (0, 0.0)


def test_what_is_correlated_is_in_the_signature():
    assert metric("lag").signature.startswith("lag|xcorr-zero-mean|100ms|")
    assert metric("lag", by="mel").signature.startswith("lag|logmel-xcorr-zero-mean|200ms|")
    assert "|align-logmel-xcorr-200ms|" in metric("estoi", align="mel").signature
    with pytest.raises(InputError, match="lag: by is waveform or mel"):
        metric("lag", by="envelope")


def with_other_phases(audio):
    """The signal through short-time spectra with phases drawn anew, as a vocoder without them makes it."""
    spectra = stft(audio.samples, nperseg=400, noverlap=300)[2]
    phases = np.exp(2j * np.pi * np.random.default_rng(0).random(spectra.shape))
    for _ in range(20):
        found = istft(np.abs(spectra) * phases, nperseg=400, noverlap=300)[1]
        phases = np.exp(1j * np.angle(stft(found, nperseg=400, noverlap=300)[2]))[:, : spectra.shape[1]]
    return Audio(found[: audio.samples.size].astype(np.float32), audio.rate)


def test_known_ratios_of_the_definition():
    ref, out = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])
    # 15.0918 dB is the value with means taken off, 18.4030 that without.
    assert scale_invariant_ratio(out=out, ref=ref) == pytest.approx(15.0918, abs=1e-4)


def test_orthogonal_distortion_has_the_ratio_of_the_powers():
    angle = 2 * np.pi * np.arange(1600) / 1600
    ref = np.sin(4 * angle)
    out = 0.3 * ref + 0.03 * np.sin(9 * angle)
    assert scale_invariant_ratio(out=out, ref=ref) == pytest.approx(20.0)
    assert scale_invariant_ratio(out=-5 * out + 0.7, ref=ref) == pytest.approx(20.0)


def test_copy_is_said_to_be_exact_at_the_cap():
    ref = speech_like(seed=1)
    half = Audio(ref.samples * np.float32(-0.5), ref.rate)
    for out in (ref, half):
        score = metric("si_sdr").item(out=out, ref=ref)
        assert (score.value, score.stats["exact"]) == (100.0, True)
    assert metric("si_sdr").item(out=speech_like(seed=1, noise_db=-30.0), ref=ref).stats["exact"] is False


def test_constant_output_has_no_ratio():
    constant = Audio(np.full(32000, 0.5, np.float32), 16000)
    score = metric("si_sdr").item(out=constant, ref=speech_like(seed=1))
    assert (score.value, score.status) == (None, "silent")


def test_full_scale_sine_has_a_peak_of_no_decibels():
    sine = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    spectrum = log_power(sine)
    assert spectrum.shape == (1 + (16000 - 2048) // 512, 1025)
    assert np.allclose(spectrum[:, 128], 0.0, atol=1e-6)
    assert spectrum.min() == -100.0


@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_gain_is_the_spectral_distance_of_raw_levels_alone(gain_db):
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000)
    ref = Audio(noise.astype(np.float32), 16000)
    out = Audio((noise * 10 ** (gain_db / 20)).astype(np.float32), 16000)
    assert metric("lsd").item(out=out, ref=ref).value == pytest.approx(0.0, abs=1e-4)
    assert metric("mel_l1").item(out=out, ref=ref).value == pytest.approx(0.0, abs=1e-4)
    raw = metric_from_string("lsd:level=raw").item(out=out, ref=ref)
    # A few bins of the quiet noise lie under the floor.
    assert raw.value == pytest.approx(abs(gain_db), abs=5e-3)
    assert metric("mel_l1", level="raw").item(out=out, ref=ref).value == pytest.approx(abs(gain_db), abs=0.05)


@pytest.mark.parametrize("name", ["lsd", "mel_l1"])
def test_level_is_a_checked_option_in_the_signature(name):
    assert "|level-26dBov-active|" in metric(name).signature
    assert "|level-raw|" in metric(name, level="raw").signature
    with pytest.raises(InputError, match=f"{name}: level is active or raw"):
        metric(name, level="peak")


@pytest.mark.parametrize("name", ["lsd", "mel_l1"])
def test_more_noise_is_farther(name):
    ref = speech_like(seed=3)
    values = [
        metric(name).item(out=speech_like(seed=3, noise_db=noise), ref=ref).value
        for noise in (-40.0, -20.0, 0.0)
    ]
    assert values == sorted(values)


@pytest.mark.parametrize("name", ["lsd", "mel_l1", "si_sdr", "lag"])
def test_another_timing_is_refused(name):
    score = metric(name).item(out=speech_like(seed=1, seconds=2.2), ref=speech_like(seed=1))
    assert (score.value, score.status) == (None, "length_mismatch")


@pytest.mark.realdata
def test_known_ratio_holds_on_recorded_speech(realdata):
    with (realdata / "EXPECTED.csv").open(encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["metric"] == "SI-SDR"]
    ref, out = read_audio(realdata / row["ref_file"]), read_audio(realdata / row["deg_file"])
    assert metric("si_sdr").item(out=out, ref=ref).value == pytest.approx(
        float(row["expected"]), abs=float(row["tolerance"])
    )
