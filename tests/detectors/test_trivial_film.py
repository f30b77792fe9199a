"""Features of films are what they are named after, and trivial detectors of films see nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from detector_clips import short_training
from film_clips import FPS, natural, write_film
from scipy.ndimage import uniform_filter
from scipy.stats import kstest

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Video, write_preview
from doppelbench.detectors.registry import find_detector
from doppelbench.detectors.shortcut_features import audit
from doppelbench.detectors.trivial import PRESETS
from doppelbench.detectors.video_contract import CHECKS, Material, make_material
from doppelbench.detectors.video_shortcuts import FEATURES, measure_film, measure_film_file

NAMES = ("sharpness-only", "motion-only", "frozen-only")


def frozen_behind(film: Video) -> Video:
    """The head of each frame before the background of the first."""
    frames = np.repeat(film.frames[:1], len(film.frames), axis=0)
    frames[:, 16:48, 16:48] = film.frames[:, 16:48, 16:48]
    return Video(frames, film.fps)


def still(film: Video) -> Video:
    return Video(np.repeat(film.frames[:1], len(film.frames), axis=0), film.fps)


def soft(film: Video) -> Video:
    return Video(uniform_filter(film.frames, (1, 3, 3, 1)), film.fps)


@pytest.mark.parametrize(
    ("fault", "seen_by"),
    [
        (soft, {"sharpness-only", "motion-only"}),
        (still, {"motion-only", "frozen-only"}),
        (frozen_behind, {"motion-only", "frozen-only"}),
    ],
)
def test_a_fault_is_seen_by_what_it_changes(fault, seen_by: set[str], tmp_path) -> None:
    films = [natural(seed) for seed in range(5)]
    real = [write_film(tmp_path / f"r{n}.mkv", film) for n, film in enumerate(films[:4])]
    fake = [write_film(tmp_path / f"f{n}.mkv", fault(film)) for n, film in enumerate(films[:4])]
    seen = set()
    for name in NAMES:
        detector = find_detector(name)(PRESETS["tiny"])
        detector.fit(real, fake, short_training(tmp_path))
        if detector.score_film(films[4]) - detector.score_film(fault(films[4])) > 2:
            seen.add(name)
    # A still picture or background may be a little sharper or softer by its noise.
    assert seen_by <= seen <= seen_by | {"sharpness-only"}


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    return make_material(tmp_path_factory.mktemp("material"))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ["motion-only", "random-film"])
def test_they_keep_the_contract(name: str, check: str, material) -> None:
    CHECKS[check](lambda: find_detector(name)(PRESETS["tiny"]), material)


MotionOnly = find_detector("motion-only")


class Remembers(MotionOnly):
    def score_film(self, film: Video) -> float:
        self.calls = getattr(self, "calls", 0) + 1
        return super().score_film(film) + self.calls


class Blind(MotionOnly):
    def score_clip(self, clip: Clip) -> float:
        return self.logit(1.0)


class Writes(MotionOnly):
    def score_film(self, film: Video) -> float:
        film.frames[0] = 0
        return super().score_film(film)


class Hears(MotionOnly):
    def score(self, audio) -> float:
        return 0.0


class Mislabelled(MotionOnly):
    spec = replace(MotionOnly.spec, media="audio")


class Careless(MotionOnly):
    def fit(self, bonafide, spoof, trainer):
        super().fit(bonafide, spoof, trainer)
        self.weights["slope"] = float(np.random.default_rng().random())


@pytest.mark.parametrize(
    ("check", "kind", "message"),
    [
        ("scores", Remembers, "order of the clips"),
        ("bad_films", Blind, "should be silent: was scored"),
        ("frames_are_kept", Writes, "wrote into the film"),
        ("deaf", Hears, "took a recording"),
        ("same_seed", Careless, "other weights"),
        (
            "spec",
            type("Ear", (MotionOnly,), {"spec": replace(MotionOnly.spec, media="audio")}),
            "judges audio",
        ),
    ],
)
def test_the_contract_catches(check: str, kind, message: str, material) -> None:
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](lambda: kind(PRESETS["tiny"]), material)


@pytest.mark.parametrize("name", [*NAMES, "random-film"])
def test_they_are_marked_trivial_and_judge_films(name: str) -> None:
    spec = find_detector(name).spec
    assert (spec.trivial, spec.media) == (True, "video")


def test_random_scores_are_normal_and_follow_the_seed(tmp_path) -> None:
    real, fake = (write_film(tmp_path / f"{seed}.mkv", natural(seed)) for seed in (0, 1))
    generator = np.random.default_rng(0)
    films = [Video(generator.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8), FPS) for _ in range(300)]
    scores = []
    for seed in (0, 1):
        detector = find_detector("random-film")(PRESETS["tiny"])
        detector.fit([real], [fake], short_training(tmp_path, seed=seed))
        scores.append([detector.score_film(film) for film in films])
    assert kstest(scores[0], "norm").pvalue > 0.01
    assert abs(np.corrcoef(*scores)[0, 1]) < 0.2


def striped(count: int = 4) -> np.ndarray:
    """A picture of vertical stripes one pixel wide, of 100 and 140."""
    columns = np.where(np.arange(32) % 2, 140, 100).astype(np.uint8)
    return np.broadcast_to(columns[None, None, :, None], (count, 24, 32, 3)).copy()


def test_size_rate_length_and_luminance_are_those_of_the_film() -> None:
    found = measure_film(Video(striped(10), 25.0))
    wanted = {"width": 32, "height": 24, "fps": 25, "frames": 10, "duration": 0.4, "luminance": 120}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    assert list(found) == list(FEATURES)


def test_sharpness_is_the_laplacians_deviation() -> None:
    # The Laplacian of the stripes is 80 and -80 by turns.
    assert measure_film(Video(striped(), 25.0))["sharpness"] == pytest.approx(80, rel=1e-6)


def test_motion_is_the_root_mean_square_of_the_differences() -> None:
    frames = striped(3)
    frames[1] += 10
    found = measure_film(Video(frames, 25.0))
    assert found["motion"] == pytest.approx(10, rel=1e-5)
    assert found["frozen"] == 0


def test_frozen_is_the_share_of_pixels_that_never_change() -> None:
    frames = striped(5)
    frames[4, :6, :, 2] += 1
    assert measure_film(Video(frames, 25.0))["frozen"] == pytest.approx(0.75)
    assert measure_film(Video(striped(5), 25.0))["motion"] == 0


def test_blocks_of_8_pixels_are_seen_and_other_steps_are_not() -> None:
    generator = np.random.default_rng(0)
    noise = generator.integers(100, 110, (3, 64, 64, 3)).astype(np.uint8)
    assert measure_film(Video(noise, 25.0))["blocking"] == pytest.approx(1, abs=0.1)
    blocks = generator.integers(0, 100, (1, 8, 8, 3)).astype(np.uint8)
    assert measure_film(Video(noise + blocks.repeat(8, 1).repeat(8, 2), 25.0))["blocking"] > 3
    assert measure_film(Video(noise[:, :15], 25.0))["blocking"] is None
    assert measure_film(Video(np.full_like(noise, 9), 25.0))["blocking"] is None


def test_one_frame_has_no_motion_and_no_frames_are_refused() -> None:
    found = measure_film(Video(striped(1), 25.0))
    assert found["motion"] is None
    assert found["frozen"] is None
    with pytest.raises(MediaError, match="no frames"):
        measure_film(Video(striped(0), 25.0))


def test_the_audit_names_the_feature_by_which_files_differ(tmp_path) -> None:
    real, fake = [], []
    for seed in range(8):
        film = natural(seed)
        real.append(measure_film(film))
        fake.append(measure_film(frozen_behind(film)))
    found = {result.feature: result for result in audit(real, fake, features=tuple(FEATURES), draws=200)}
    assert list(found) == list(FEATURES)
    assert found["frozen"].flagged
    assert found["motion"].flagged
    assert not any(found[name].flagged for name in ("width", "fps", "frames", "duration"))


def test_a_file_is_measured_at_its_own_size_and_rate(tmp_path) -> None:
    path = tmp_path / "film.mp4"
    write_preview(path, natural(0))
    found = measure_film_file(path)
    assert (found["width"], found["fps"]) == (64, 20)
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    with pytest.raises(MediaError, match=r"broken\.mp4"):
        measure_film_file(tmp_path / "broken.mp4")
