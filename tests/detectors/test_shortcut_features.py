"""Trivial features are measured as told, and an audit flags those that separate real from fake."""

import numpy as np
import pytest
from synthetic_corpus import RATE, TALKERS, speak

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import active_level
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.detectors.degradations import degrade
from doppelbench.detectors.shortcut_features import FEATURES, audit, bandwidth, measure, measure_file

FAST = {"draws": 200}


@pytest.fixture(scope="module")
def clips():
    """Twenty clips of four talkers, all alike but for what they say."""
    made = []
    for number in range(20):
        talker = TALKERS[number % 4]
        samples = speak(talker, f"sentence {number}", 1.0 + 0.05 * (number % 7))
        generator = np.random.default_rng(number)
        before, after = generator.integers(800, 4800, 2)
        made.append(
            (np.pad(samples, (before, after)) * 10 ** (generator.normal(0, 2) / 20)).astype(np.float32)
        )
    return made


def features(signals):
    return [measure(samples, RATE) for samples in signals]


def flagged(results):
    return {result.feature for result in results if result.flagged}


def test_each_feature_of_a_made_signal():
    speech = speak(TALKERS[0], "words", 1.0)
    signal = np.concatenate([np.zeros(4800), speech, np.zeros(8000)]).astype(np.float32)
    found = measure(signal, RATE)
    assert set(found) == set(FEATURES)
    assert found["level"] == active_level(signal, RATE)
    assert found["duration"] == pytest.approx(1.8)
    assert found["leading_silence"] == pytest.approx(0.3, abs=0.04)
    assert found["trailing_silence"] == pytest.approx(0.5, abs=0.04)
    assert found["dc_offset"] == pytest.approx(float(np.mean(signal, dtype=np.float64)))
    assert found["clipped"] == 0


def test_offset_and_clipped_samples_are_counted():
    samples = 0.9 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)
    samples[::160], samples[1::320] = 1.0, -1.0
    assert measure(samples, RATE)["clipped"] == 150
    assert measure(np.round(samples * 32767) / 32768, RATE)["clipped"] == 150
    samples = 0.3 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)
    assert measure(samples + 0.05, RATE)["dc_offset"] == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize("limit", [2000, 4000, 6000])
def test_bandwidth_is_where_a_low_pass_cut(limit):
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    assert bandwidth(noise, RATE) > 7900
    found = bandwidth(degrade(noise, RATE, f"lowpass:hz={limit}"), RATE)
    # 60 dB down lies a little above the edge of the filter.
    assert limit < found < 1.5 * limit
    assert bandwidth(0.001 * degrade(noise, RATE, f"lowpass:hz={limit}"), RATE) == found


def test_silent_and_empty_clips_have_no_level_but_a_duration():
    for samples in (np.zeros(1600), np.zeros(0)):
        found = measure(samples, RATE)
        assert found["level"] is None
        assert found["bandwidth"] is None
        assert found["leading_silence"] is None
        assert found["duration"] == samples.size / RATE
    with pytest.raises(MediaError, match="NaN or infinite"):
        measure(np.array([np.nan]), RATE)


def test_a_file_is_measured_like_its_samples(tmp_path, clips):
    write_audio(tmp_path / "a.flac", Audio(clips[0], RATE))
    found, expected = measure_file(tmp_path / "a.flac"), measure(clips[0], RATE)
    assert found["level"] == pytest.approx(expected["level"], abs=0.01)
    assert found["duration"] == expected["duration"]


def test_nothing_is_flagged_between_halves_of_one_set(clips):
    results = audit(features(clips[::2]), features(clips[1::2]), **FAST)
    assert [result.feature for result in results] == list(FEATURES)
    assert flagged(results) == set()


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        ("level", lambda samples: degrade(samples, RATE, "gain:db=-12")),
        ("leading_silence", lambda samples: np.pad(samples, (9000, 0))),
        ("trailing_silence", lambda samples: np.pad(samples, (0, 9000))),
        ("bandwidth", lambda samples: degrade(samples, RATE, "lowpass:hz=3000")),
        ("dc_offset", lambda samples: samples + 0.02),
        ("duration", lambda samples: np.concatenate([samples, samples])),
        ("clipped", lambda samples: np.clip(20 * samples, -1, 1)),
    ],
)
def test_a_planted_shortcut_is_flagged(clips, feature, change):
    results = audit(features(clips[::2]), features([change(samples) for samples in clips[1::2]]), **FAST)
    assert feature in flagged(results)
    found = next(result for result in results if result.feature == feature)
    assert found.eer < 0.2
    assert abs(found.auc - 0.5) > 0.3
    assert (found.auc > 0.5) == (found.bonafide_median > found.spoof_median)


def test_direction_turns_with_the_classes(clips):
    quiet = [degrade(samples, RATE, "gain:db=-12") for samples in clips[1::2]]
    one = audit(features(clips[::2]), features(quiet), **FAST)[0]
    other = audit(features(quiet), features(clips[::2]), **FAST)[0]
    assert one.auc == pytest.approx(1 - other.auc)
    assert one.eer == pytest.approx(other.eer)
    assert one.flagged
    assert other.flagged


def test_two_clips_a_side_prove_nothing(clips):
    quiet = [degrade(samples, RATE, "gain:db=-30") for samples in clips[2:4]]
    assert flagged(audit(features(clips[:2]), features(quiet), **FAST)) == set()


def test_clusters_widen_intervals(clips):
    generator = np.random.default_rng(0)
    shifts = generator.normal(0, 3, 8)
    sides = [[{"level": shifts[n % 8] + generator.normal(side, 0.1)} for n in range(80)] for side in (1, 0)]
    names = [f"s{n % 8}" for n in range(80)]
    unrelated = [f"t{n % 8}" for n in range(80)]
    narrow = audit(*sides, **FAST)[0]
    wide = audit(*sides, clusters=(names, unrelated), **FAST)[0]
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_features_without_values_have_a_reason(clips):
    silent = [measure(np.zeros(1600), RATE)] * 3
    results = {result.feature: result for result in audit(features(clips), silent, **FAST)}
    assert results["level"].auc is None
    assert "no clip of a class" in results["level"].reason
    assert results["duration"].auc is not None
    assert not results["level"].flagged


def test_a_constant_feature_is_no_shortcut():
    sides = [[{"clipped": 0.0}] * 10] * 2
    found = next(result for result in audit(*sides, **FAST) if result.feature == "clipped")
    assert (found.auc, found.eer, found.flagged) == (0.5, 0.5, False)


def test_wrong_inputs_are_refused(clips):
    with pytest.raises(InputError, match="needs bona fide and spoofed clips"):
        audit([], features(clips[:1]))
    with pytest.raises(InputError, match="cluster of each clip"):
        audit(features(clips[:2]), features(clips[:2]), clusters=(["a"], ["b", "c"]))


@pytest.mark.realdata
def test_public_pairs_of_real_and_vocoded_speech(realdata):
    folder = realdata / "d_real_fake/wavefake_ljspeech"
    real = [measure_file(path) for path in sorted((folder / "real").glob("*.wav"))]
    fake = [measure_file(path) for path in sorted((folder / "fake").glob("*.wav"))]
    # Every vocoded clip is a little quieter than its original, and of almost its length.
    assert all(one["level"] > other["level"] for one, other in zip(real, fake, strict=True))
    assert all(abs(one["duration"] - other["duration"]) < 0.05 for one, other in zip(real, fake, strict=True))
    assert not {"level", "duration"} & flagged(audit(real, fake, **FAST))
