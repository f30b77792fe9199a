import csv
from importlib import metadata

import numpy as np
import pytest
import scipy.signal
import soundfile
from metric_examples import speech_like

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics import metric_from_string
from doppelbench.metrics.mcd import (
    ALPHA,
    MelCepstralDistortion,
    active_bounds,
    frame_power,
    loud_frames,
    mel_cepstrum_matrix,
)
from doppelbench.metrics.mcd_legacy import LegacyMelCepstralDistortion, decibel_cepstra
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


VARIANTS = [
    ("rate=22050", "|sr22050-soxr-vhq|o24|a0.455|"),
    ("rate=24000", "|sr24000-soxr-vhq|o24|a0.466|"),
    ("order=13", "|o13|a0.41|5ms|c1-13|"),
    ("c0=in", "|c0-24|"),
    ("align=none", "|trim-by-reference-40dB-20ms|frame-aligned|path-mean|"),
    ("norm=reference", "|reference-mean|"),
    ("gate=-20", "|trim-40dB-20ms|gate-20dB-mean|dtw-exact|"),
    ("f0=harvest", "-harvest-"),
]


@pytest.mark.parametrize(("option", "part"), VARIANTS, ids=[option for option, _ in VARIANTS])
def test_every_variant_has_its_signature_and_its_identity(option, part):
    scorer = metric_from_string(f"mcd:{option}")
    assert part in scorer.signature
    assert part not in MelCepstralDistortion().signature
    ref = speech_like(seed=1, seconds=1.0)
    assert scorer.item(out=ref, ref=ref).value == pytest.approx(0.0, abs=1e-9)


def test_signature_without_options_names_the_recipe():
    version = metadata.version("pyworld")
    assert MelCepstralDistortion().signature == (
        f"mcd|world-{version}-dio-stonemask-cheaptrick|sr16000-soxr-vhq|o24|a0.41|5ms|c1-24|trim-40dB-20ms"
        "|dtw-exact|path-mean|v1"
    )


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("rate", 44100, "rate is 16000, 22050 or 24000"),
        ("order", 25, "order is 13, 24, 34 or 39"),
        ("c0", "yes", "c0 is out or in"),
        ("align", "fastdtw", "align is dtw or none"),
        ("norm", "output", "norm is path or reference"),
        ("gate", 20, "gate is a number of dB from -100 to 0"),
        ("gate", "loud", "gate is a number of dB"),
    ],
)
def test_other_choices_are_refused(option, value, message):
    with pytest.raises(InputError, match=message):
        MelCepstralDistortion(**{option: value})


@pytest.mark.parametrize("gain_db", [-20.0, -6.0, 6.0])
def test_gain_matters_to_coefficient_0_alone(gain_db):
    ref = speech_like(seed=1)
    out = Audio(ref.samples * np.float32(10 ** (gain_db / 20)), ref.rate)
    without = MelCepstralDistortion(align="none").item(out=out, ref=ref).value
    included = MelCepstralDistortion(align="none", c0="in").item(out=out, ref=ref).value
    assert without == pytest.approx(0.0, abs=1e-3)
    # c0 moves by the logarithm of the gain, and the constant makes decibels of it times sqrt 2 / 2.
    assert included == pytest.approx(abs(gain_db) / np.sqrt(2), abs=1e-3)


@pytest.mark.parametrize(("extra", "status"), [(80, "ok"), (81, "length_mismatch")])
def test_without_warping_one_frame_of_difference_is_allowed(extra, status):
    ref = speech_like(seed=1)
    longer = Audio(np.pad(ref.samples, (0, extra)), ref.rate)
    score = MelCepstralDistortion(align="none").item(out=longer, ref=ref)
    assert score.status == status
    assert (score.value is None) == (status != "ok")


def test_warping_is_never_farther_than_frame_by_frame_in_total():
    ref, out = speech_like(seed=1), speech_like(seed=1, voice=1, noise_db=-30.0)
    warped = MelCepstralDistortion().item(out=out, ref=ref)
    direct = MelCepstralDistortion(align="none").item(out=out, ref=ref)
    assert direct.stats["ratio"] == 1.0
    assert warped.stats["sum"] <= direct.stats["sum"] * 1.01


def test_divisor_is_that_of_the_reference_in_items_and_in_the_pool():
    ref, out = speech_like(seed=4, seconds=1.5), speech_like(seed=5, voice=2, seconds=2.0)
    scorer = MelCepstralDistortion(norm="reference")
    score = scorer.item(out=out, ref=ref)
    path = MelCepstralDistortion().item(out=out, ref=ref)
    assert score.value * score.stats["frames_ref"] == pytest.approx(path.value * path.stats["path"])
    assert scorer.reduce([score]).details["pooled"] == pytest.approx(score.value)


def test_legacy_coefficients_are_fifty_five_times_too_large():
    cepstra = np.random.default_rng(0).normal(size=(5, 13)) / np.arange(1, 14)
    cepstra[:, 0] = 0.0
    bands = np.pi * (np.arange(80) + 0.5) / 80
    log_amplitude = cepstra @ np.cos(np.arange(13)[:, None] * bands)
    decibel = 20 / np.log(10) * log_amplitude
    np.testing.assert_allclose(decibel_cepstra(decibel), 54.935 * cepstra, rtol=1e-4, atol=1e-9)


def test_legacy_figure_is_many_times_larger_and_says_that_it_is_no_decibel():
    scorer = LegacyMelCepstralDistortion()
    assert scorer.spec.unit == ""
    assert "|not-dB|" in scorer.signature
    ref, out = speech_like(seed=1), speech_like(seed=1, voice=1)
    ratio = scorer.item(out=out, ref=ref).value / MelCepstralDistortion().item(out=out, ref=ref).value
    assert 20 < ratio < 100
    assert scorer.item(out=out, ref=ref).value == scorer.item(out=ref, ref=out).value


def test_gate_keeps_the_frames_above_the_mean():
    power = np.outer([1.0, 0.02, 0.004, 1.0, 1e-6], np.ones(257))
    assert loud_frames(frame_power(power), -20.0).tolist() == [True, True, False, True, False]


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


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("options", "vocoder", "tacotron"),
    [
        ({}, 6.34, 8.10),
        ({"order": 13}, 5.69, 7.31),
        ({"order": 34}, 6.67, 8.44),
        ({"order": 39}, 6.79, 8.56),
        ({"norm": "reference"}, 6.35, 8.80),
        ({"c0": "in"}, 7.30, 9.22),
        ({"gate": -20}, 6.00, 8.20),
        ({"f0": "harvest"}, 6.36, 8.09),
    ],
    ids=str,
)
def test_variants_at_22050_hz_have_the_values_measured_with_other_tools(realdata, options, vocoder, tacotron):
    folder = realdata / "e_metrics" / "mcd"
    natural = read_audio(folder / "GT.wav")
    scorer = MelCepstralDistortion(rate=22050, **options)
    for name, expected in (("WaveGlow", vocoder), ("Tacotron-2", tacotron)):
        value = scorer.item(out=read_audio(folder / f"{name}.wav"), ref=natural).value
        # Those were measured without trimming, and with coefficient 0 in the distance but not in the path.
        assert value == pytest.approx(expected, abs=0.25 if "c0" in options else 0.15)


@pytest.mark.realdata
def test_legacy_figure_of_unconverted_speech_is_in_the_range_of_published_ones(realdata):
    folder = realdata / "a_parallel" / "vctk"
    values = []
    for number in ("003", "008", "011"):
        ref, out = (read_audio(folder / name / f"{name}_{number}.wav") for name in ("p225", "p226"))
        values.append(LegacyMelCepstralDistortion().item(out=out, ref=ref).value)
    # 475 was measured over 54 pairs of speakers of the same corpus.
    assert 380 < np.mean(values) < 570


def test_a_wider_hop_moves_the_value_little_and_is_named():
    ref, out = speech_like(seed=3), speech_like(seed=3, voice=1)
    fine, fast = MelCepstralDistortion(), MelCepstralDistortion(hop=10)
    assert "|5ms|" in fine.signature
    assert "|10ms|" in fast.signature
    scores = [scorer.item(out=out, ref=ref) for scorer in (fine, fast)]
    assert scores[1].value == pytest.approx(scores[0].value, rel=0.05)
    assert scores[1].stats["frames_ref"] == pytest.approx(scores[0].stats["frames_ref"] / 2, abs=1)
