import numpy as np
import pytest
from metric_examples import speech_like

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.f0_correlation import pitch_correlation
from doppelbench.metrics.f0_rmse import pitch_errors
from doppelbench.metrics.pitch_kernel import AlignedPitch
from doppelbench.metrics.registry import metric

NAMES = ["f0_rmse", "f0_correlation", "voicing_error"]
TRACK = 120.0 * 2 ** np.linspace(-0.3, 0.4, 50)


def test_a_semitone_is_a_hundred_cents():
    errors = pitch_errors(out=TRACK * 2 ** (1 / 12), ref=TRACK)
    assert errors["cents"] == pytest.approx(100.0)
    assert errors["ln_hz"] == pytest.approx(np.log(2) / 12)


def test_error_in_hertz_is_that_of_the_tracks():
    assert pitch_errors(out=np.array([103.0, 204.0]), ref=np.array([100.0, 200.0]))["hz"] == pytest.approx(
        np.sqrt((9 + 16) / 2)
    )


def test_correlation_hears_the_movement_and_not_the_height():
    assert pitch_correlation(out=TRACK * 1.7, ref=TRACK) == pytest.approx(1.0)
    assert pitch_correlation(out=120.0**2 / TRACK, ref=TRACK) == pytest.approx(-1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_length_that_is_a_whole_number_of_hops_is_scored(name):
    audio = speech_like(seed=1)
    cut = Audio(audio.samples[:9040], audio.rate)
    assert metric(name).item(out=cut, ref=audio).status == "ok"


def test_a_monotone_has_no_correlation():
    with pytest.raises(MediaError, match="F0 of the output does not vary") as raised:
        pitch_correlation(out=np.full(50, 120.0), ref=TRACK)
    assert raised.value.status == "no_speech"


@pytest.mark.parametrize(("count", "status"), [(19, "no_speech"), (20, "ok")])
def test_twenty_frames_voiced_in_both_are_needed(count, status):
    ref, out = np.zeros(60), np.zeros(60)
    ref[:40], out[40 - count :] = 120.0, 130.0
    pitch = AlignedPitch(ref, out, 60, 60)
    if status == "ok":
        assert [track.size for track in pitch.voiced_pairs()] == [20, 20]
    else:
        with pytest.raises(MediaError, match="19 frames of 5 ms are voiced in both") as raised:
            pitch.voiced_pairs()
        assert raised.value.status == status


def test_breath_has_an_error_of_voicing_and_no_error_of_pitch():
    voiced = speech_like(seed=1, seconds=1.0)
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    breath = Audio(noise.astype(np.float32), 16000)
    for name in ("f0_rmse", "f0_correlation"):
        score = metric(name).item(out=breath, ref=voiced)
        assert (score.value, score.status) == (None, "no_speech")
    score = metric("voicing_error").item(out=breath, ref=voiced)
    assert score.value > 50
    assert score.stats["missed"] > 10 * score.stats["added"]


def test_a_higher_voice_is_found_to_be_higher():
    low, high = (speech_like(seed=6, seconds=3.0, pitch=pitch) for pitch in (110.0, 165.0))
    score = metric("f0_rmse").item(out=high, ref=low)
    assert score.stats["shift_cents"] == pytest.approx(1200 * np.log2(1.5), abs=40)
    assert metric("f0_rmse").item(out=low, ref=high).stats["shift_cents"] < 0
    assert metric("f0_correlation").item(out=high, ref=low).value > 0.6


def test_pooled_error_is_that_of_all_frames_together():
    scorer = metric("f0_rmse")
    pairs = [(speech_like(seed=n, seconds=n), speech_like(seed=n, seconds=n, pitch=150.0)) for n in (1, 2)]
    items = [scorer.item(out=out, ref=ref) for ref, out in pairs]
    frames = [item.stats["covoiced"] for item in items]
    figure = scorer.reduce(items)
    expected = np.sqrt(np.average([item.value**2 for item in items], weights=frames))
    assert figure.details["pooled"] == pytest.approx(expected)
    assert figure.details["covoiced"] == sum(frames)


@pytest.mark.parametrize("name", NAMES)
def test_range_is_a_checked_option_in_the_signature(name):
    assert "harvest-60-500Hz" in metric(name).signature
    assert "harvest-71-800Hz" in metric(name, low_hz=71, high_hz=800).signature
    with pytest.raises(InputError, match=f"{name}: 40 <= low_hz < high_hz"):
        metric(name, low_hz=300, high_hz=200)


@pytest.mark.realdata
def test_two_readers_of_a_sentence_are_farther_apart_than_a_vocoder(realdata):
    folder = realdata / "e_metrics" / "mcd"
    natural, vocoded, synthetic = (
        read_audio(folder / f"{name}.wav") for name in ("GT", "WaveGlow", "Tacotron-2")
    )
    near, far = (
        {name: metric(name).item(out=out, ref=natural).value for name in NAMES}
        for out in (vocoded, synthetic)
    )
    assert near["f0_rmse"] < far["f0_rmse"]
    assert near["f0_correlation"] > far["f0_correlation"]
    assert near["voicing_error"] < far["voicing_error"]
