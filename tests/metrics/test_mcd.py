import csv

import numpy as np
import pytest
import scipy.signal
import soundfile
from metric_examples import speech_like

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.mcd import ALPHA, MelCepstralDistortion, active_bounds, mel_cepstrum_matrix
from doppelbench.metrics.mcd_mel import MelBandCepstralDistance, MelCepstrumSettings, mel_cepstral_distance


def test_matrix_finds_the_mel_cepstrum_that_made_the_spectrum():
    wanted = np.random.default_rng(0).normal(size=(6, 25)) / np.arange(1, 26)
    omega = np.linspace(0, np.pi, 513)
    warped = omega + 2 * np.arctan2(ALPHA * np.sin(omega), 1 - ALPHA * np.cos(omega))
    log_amplitude = wanted @ np.cos(np.arange(25)[:, None] * warped)
    np.testing.assert_allclose(2 * log_amplitude @ mel_cepstrum_matrix(513, 24, ALPHA), wanted, atol=1e-9)


def test_one_coefficient_differs_by_one_makes_six_decibels():
    # 10 / ln 10 * sqrt 2, the constant of the definition.
    from doppelbench.metrics.mcd import DB_PER_DISTANCE

    assert pytest.approx(6.141851463713754) == DB_PER_DISTANCE


def test_symmetric():
    ref, out = speech_like(seed=1), speech_like(seed=2, voice=1, seconds=2.2)
    metric = MelCepstralDistortion()
    assert metric.item(out=out, ref=ref).value == metric.item(out=ref, ref=out).value


def test_gain_of_either_signal_does_not_matter():
    ref, out = speech_like(seed=1), speech_like(seed=1, voice=2)
    plain = MelCepstralDistortion().item(out=out, ref=ref).value
    for gain in (0.1, 0.5, 2.0):
        quieter = Audio(out.samples * np.float32(gain), out.rate)
        assert MelCepstralDistortion().item(out=quieter, ref=ref).value == pytest.approx(plain, abs=5e-5)


def test_digital_silence_at_the_ends_is_trimmed():
    ref, out = speech_like(seed=1), speech_like(seed=1, voice=2)
    padded = Audio(np.pad(out.samples, (8000, 4800)), out.rate)
    metric = MelCepstralDistortion()
    plain, with_silence = metric.item(out=out, ref=ref), metric.item(out=padded, ref=ref)
    assert with_silence.stats["frames_out"] == pytest.approx(plain.stats["frames_out"], abs=4)
    assert with_silence.value == pytest.approx(plain.value, abs=0.1)


def test_active_part_starts_and_ends_with_the_tone():
    samples = np.zeros(16000)
    samples[3200:9600] = np.sin(np.arange(6400))
    assert active_bounds(samples, 16000) == (3200, 9600)


def test_another_voice_is_farther_than_a_little_noise():
    ref = speech_like(seed=6)
    metric = MelCepstralDistortion()
    near = metric.item(out=speech_like(seed=6, noise_db=-50.0), ref=ref).value
    far = metric.item(out=speech_like(seed=6, voice=1, pitch=210.0), ref=ref).value
    assert near < far


def test_estimator_of_f0_is_a_checked_option_in_the_signature():
    assert MelCepstralDistortion(f0="dio").signature != MelCepstralDistortion(f0="harvest").signature
    with pytest.raises(InputError, match="dio or harvest"):
        MelCepstralDistortion(f0="swipe")


def test_statistics_pool_over_frames():
    metric = MelCepstralDistortion()
    pairs = [(speech_like(seed=1, seconds=1.0), speech_like(seed=1, voice=1, seconds=1.0))]
    pairs.append((speech_like(seed=2, seconds=2.0), speech_like(seed=2, voice=2, seconds=2.0)))
    items = [metric.item(out=out, ref=ref) for ref, out in pairs]
    figure = metric.reduce(items)
    weights = [item.stats["path"] for item in items]
    assert figure.value == pytest.approx(np.mean([item.value for item in items]))
    assert figure.details["pooled"] == pytest.approx(
        np.average([item.value for item in items], weights=weights)
    )


def test_rate_of_the_mel_distance_is_an_option_within_bounds():
    assert "sr22050" in MelBandCepstralDistance(rate=22050).signature
    with pytest.raises(InputError, match="8000 to 48000"):
        MelBandCepstralDistance(rate=100)


def expected_answers(realdata, metric):
    with (realdata / "EXPECTED.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["metric"] == metric]


@pytest.mark.realdata
def test_published_mel_cepstral_distances_hold_with_the_exact_path(realdata):
    rows = expected_answers(realdata, "MCD")
    assert len(rows) == 3
    for row in rows:
        signals = [soundfile.read(realdata / row[name], dtype="int16") for name in ("ref_file", "deg_file")]
        (ref, rate), (out, _) = signals
        settings = MelCepstrumSettings()
        if "resampled to 16000" in row["args"]:
            ref, out = (scipy.signal.resample(x, int(len(x) * 16000 / rate)) for x in (ref, out))
            rate, settings = 16000, MelCepstrumSettings(hop_ms=16.0)
        path, _, _ = mel_cepstral_distance(out=out, ref=ref, rate=rate, settings=settings)
        value = path.other / path.length
        assert value == pytest.approx(float(row["expected"]), abs=float(row["tolerance"])), row


@pytest.mark.realdata
def test_published_alignment_penalty_follows_from_the_path(realdata):
    (row,) = expected_answers(realdata, "MCD alignment penalty")
    ref, out = read_audio(realdata / row["ref_file"]), read_audio(realdata / row["deg_file"])
    stats = MelBandCepstralDistance(rate=22050).item(out=out, ref=ref).stats
    penalty = 2 - (stats["frames_ref"] + stats["frames_out"]) / stats["path"]
    assert penalty == pytest.approx(float(row["expected"]), abs=float(row["tolerance"]))


@pytest.mark.realdata
def test_vocoder_is_nearer_to_nature_than_a_text_to_speech_system(realdata):
    folder = realdata / "e_metrics" / "mcd"
    natural, vocoded, synthetic = (
        read_audio(folder / f"{name}.wav") for name in ("GT", "WaveGlow", "Tacotron-2")
    )
    metric = MelCepstralDistortion()
    harvest = MelCepstralDistortion(f0="harvest").item(out=vocoded, ref=natural)
    assert metric.item(out=vocoded, ref=natural).value == pytest.approx(harvest.value, abs=0.05)
    # 5.54 and 7.77 dB were measured at this rate without trimming.
    assert metric.item(out=vocoded, ref=natural).value == pytest.approx(5.54, abs=0.1)
    assert metric.item(out=synthetic, ref=natural).value == pytest.approx(7.77, abs=0.1)
