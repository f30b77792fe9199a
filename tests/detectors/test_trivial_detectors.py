"""Trivial detectors hear the one thing they are named after, and nothing else."""

import warnings

import numpy as np
import pytest
from detector_clips import natural, run_contract, separation, short_training, write_clips
from scipy.stats import kstest
from sklearn.linear_model import LogisticRegression

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.detectors.contract import CHECKS
from doppelbench.detectors.registry import find_detector
from doppelbench.detectors.trivial import PRESETS, logistic

RATE = 16000
NAMES = ("loudness-only", "duration-only", "leading-silence-only", "bandwidth-only")


def changed(name: str, samples: np.ndarray) -> np.ndarray:
    """The same speech with the one thing changed that a detector hears."""
    if name == "loudness-only":
        return 0.2 * samples
    if name == "duration-only":
        return samples[: samples.size * 2 // 3]
    if name == "leading-silence-only":
        return np.concatenate([np.zeros(3200, np.float32), samples[:-3200]])
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(samples.size, 1 / RATE) > 3000] = 0
    return np.fft.irfft(spectrum, samples.size).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_each_tells_clips_apart_by_its_one_feature_alone(name: str, tmp_path) -> None:
    # Equal loudness, so that cutting a clip does not change its level by chance.
    speech = [natural(number) for number in range(10)]
    real, fake = [], []
    for number, samples in enumerate(speech):
        for side, content in ((real, samples), (fake, changed(name, samples))):
            path = tmp_path / f"{number}-{len(real)}-{len(fake)}.flac"
            write_audio(path, Audio(content, RATE))
            side.append(Clip(f"{number}", "ana", audio=str(path)))
    detectors = {}
    for kind in NAMES:
        detectors[kind] = find_detector(kind)(PRESETS["tiny"])
        detectors[kind].fit(real[:8], fake[:8], short_training(tmp_path))
    for samples in speech[8:]:
        one, other = Audio(samples, RATE), Audio(changed(name, samples), RATE)
        found = {kind: item.score(one) - item.score(other) for kind, item in detectors.items()}
        assert found[name] > 1
        # Cutting a piece off may move the level and the bandwidth a little.
        exact = set(NAMES) - {name, "loudness-only", "bandwidth-only"}
        assert all(abs(found[kind]) < 1e-6 for kind in exact)


@pytest.mark.parametrize("name", [*NAMES, "random"])
def test_they_are_marked_trivial_and_hear_the_rate_as_it_is(name: str) -> None:
    spec = find_detector(name).spec
    assert spec.trivial
    assert spec.rate is None


@pytest.mark.parametrize("check", list(CHECKS))
@pytest.mark.parametrize("name", ["loudness-only", "bandwidth-only", "random"])
def test_they_keep_the_contract(name: str, check: str, tmp_path) -> None:
    warnings.simplefilter("ignore")
    run_contract(check, lambda: find_detector(name)(PRESETS["tiny"]), tmp_path)


def test_contrary_labels_give_contrary_scores(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    kind = find_detector("bandwidth-only")
    forward, backward = kind(PRESETS["tiny"]), kind(PRESETS["tiny"])
    forward.fit(real, fake, short_training(tmp_path))
    backward.fit(fake, real, short_training(tmp_path))
    assert separation(forward) > 0 > separation(backward)


def test_the_regression_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    bonafide, spoof = generator.normal(1, 1, 30), generator.normal(0, 1, 70)
    slope, intercept = logistic(bonafide, spoof, 1e-2)
    # Their penalty is 1 / (2 C) per sum of losses; ours is per mean over both classes.
    weights = np.repeat([0.5 / 30, 0.5 / 70], [30, 70])
    other = LogisticRegression(C=1 / 1e-2, tol=1e-10).fit(
        np.concatenate([bonafide, spoof])[:, None], [1] * 30 + [0] * 70, sample_weight=weights
    )
    assert slope == pytest.approx(other.coef_[0, 0], rel=1e-3)
    assert intercept == pytest.approx(other.intercept_[0], rel=1e-3, abs=1e-4)


def test_the_slope_stays_finite_where_the_classes_are_apart() -> None:
    slope, intercept = logistic(np.full(5, 1.0), np.full(5, -1.0), 1e-3)
    assert 1 < slope < 20
    assert intercept == pytest.approx(0, abs=1e-6)


def test_a_feature_that_is_the_same_everywhere_says_nothing() -> None:
    slope, intercept = logistic(np.zeros(5), np.zeros(50), 1e-3)
    assert (slope, intercept) == (0.0, pytest.approx(0.0, abs=1e-9))


def test_random_scores_are_normal_and_follow_the_seed(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    scores = []
    generator = np.random.default_rng(0)
    recordings = [Audio(generator.normal(0, 0.1, 2000).astype(np.float32), RATE) for _ in range(300)]
    for seed in (0, 1):
        detector = find_detector("random")(PRESETS["tiny"])
        detector.fit(real, fake, short_training(tmp_path, seed=seed))
        scores.append([detector.score(audio) for audio in recordings])
    assert kstest(scores[0], "norm").pvalue > 0.01
    assert abs(np.corrcoef(*scores)[0, 1]) < 0.2


def test_a_recording_of_both_classes_is_refused(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    with pytest.raises(InputError, match=r"real0\.flac: is given as bona fide and as spoof"):
        find_detector("bandwidth-only")(PRESETS["tiny"]).fit(real, [*fake, real[0]], short_training(tmp_path))
