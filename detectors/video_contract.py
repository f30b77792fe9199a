"""What holds for every detector of films, as checks that its author can run.

As :mod:`doppelbench.detectors.contract` for sound: each check takes a function that makes the detector (of
its smallest preset) and a :class:`Material` of clips, and raises an AssertionError that says what is broken::

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_it_keeps_the_contract(check, tmp_path):
        check(lambda: MyDetector(TINY), make_material(tmp_path))
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import ClipWarning, DoppelbenchError, MediaError
from doppelbench.corpora.media import Audio, Video, write_audio, write_video
from doppelbench.detectors.detector import Detector
from doppelbench.detectors.video_detector import VideoDetector, read_film
from doppelbench.engine.trainer import TrainerSettings

MakeDetector = Callable[[], VideoDetector]
SIZE, FPS, STEPS = 64, 20.0, 3


@dataclass(frozen=True, slots=True)
class Material:
    """Clips of both classes under a folder, made from a seed; spoofed ones are coarse and stand still."""

    folder: Path
    bonafide: tuple[Clip, ...]
    spoof: tuple[Clip, ...]

    def trainer(self, name: str, seed: int = 0) -> TrainerSettings:
        """Settings of a short training in a folder of its own."""
        return TrainerSettings(self.folder / name, max_steps=STEPS, device="cpu", progress=False, seed=seed)

    @property
    def clips(self) -> list[Clip]:
        """What is scored: one clip of each class, and a part of one."""
        first = self.bonafide[0]
        part = Clip("part", first.speaker, video=first.video, start=0.1, end=0.3)
        return [first, self.spoof[0], part]


def make_material(folder: Path) -> Material:
    """Write three films of 8 to 12 frames for each class; there is no face in them, and no sound."""
    clips: dict[str, list[Clip]] = {"bonafide": [], "spoof": []}
    for name, found in clips.items():
        for number in range(3):
            frames = _drifting(number + 10 * (name == "spoof"))
            if name == "spoof":
                frames = np.repeat(frames[:1, ::4, ::4], len(frames), axis=0).repeat(4, 1).repeat(4, 2)
            path = folder / f"{name}{number}.mkv"
            write_video(path, Video(frames, FPS))
            found.append(Clip(f"{name}{number}", f"speaker{number}", video=str(path)))
    return Material(folder, tuple(clips["bonafide"]), tuple(clips["spoof"]))


def _drifting(seed: int) -> np.ndarray:
    """Noise of several sizes that moves across the picture."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(40, 200, (SIZE // 8, SIZE // 8, 3)).repeat(8, 0).repeat(8, 1)
    picture = np.clip(coarse + generator.normal(0, 25, coarse.shape), 0, 255).astype(np.uint8)
    return np.stack([np.roll(picture, 2 * step, axis=1) for step in range(int(generator.integers(8, 13)))])


def fitted(make: MakeDetector, material: Material, name: str = "fitted") -> VideoDetector:
    """Fit a detector for a few steps; a training of this name that is there is not repeated."""
    detector = make()
    with _quiet():
        detector.fit(material.bonafide, material.spoof, material.trainer(name))
    return detector


def scores(detector: Detector, clips: list[Clip]) -> list[float]:
    """Score clips in which there is no face."""
    with _quiet():
        return [detector.score_clip(clip) for clip in clips]


def _quiet() -> "warnings.catch_warnings[None]":
    return warnings.catch_warnings(action="ignore", category=ClipWarning)


def check_spec(make: MakeDetector, material: Material) -> None:
    """The spec names what documentation and planning need."""
    spec = make().spec
    assert spec.name, "the spec has no name"
    assert spec.title, "the spec has no title"
    assert spec.paper, "the spec cites no paper"
    assert spec.media == "video", f"the spec says that it judges {spec.media}"
    missing = {"tiny", "small", "paper"} - set(spec.presets)
    assert not missing, f"there is no preset {', '.join(sorted(missing))}"


def check_scores(make: MakeDetector, material: Material) -> None:
    """A score is a finite float that depends on the film alone, not on what was scored before."""
    detector = fitted(make, material)
    there = scores(detector, material.clips)
    back = scores(detector, material.clips[::-1])[::-1]
    assert all(isinstance(score, float) and np.isfinite(score) for score in there), f"scores are {there}"
    assert there == back, "the order of the clips changes their scores"


def check_frames_are_kept(make: MakeDetector, material: Material) -> None:
    """Scoring leaves the frames that it is given as they are."""
    detector = fitted(make, material)
    film = read_film(material.bonafide[0])
    before = film.frames.copy()
    with _quiet():
        detector.score_film(film)
    assert np.array_equal(before, film.frames), "the detector wrote into the film"


def check_deaf(make: MakeDetector, material: Material) -> None:
    """The sound of a clip does not matter, and sound alone is refused with a sentence."""
    detector = fitted(make, material)
    film = read_film(material.bonafide[0])
    noise = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    sounding, heard = material.folder / "sounding.mkv", material.folder / "heard.flac"
    write_video(sounding, Video(film.frames, film.fps, Audio(noise, 16000)))
    write_audio(heard, Audio(noise, 16000))
    mute, loud = scores(
        detector, [material.bonafide[0], Clip("a", "b", audio=str(heard), video=str(sounding))]
    )
    assert mute == loud, f"sound turns a score of {mute} into {loud}"
    for refuse in (detector.score, detector.explain):
        try:
            refuse(Audio(noise, 16000))
        except DoppelbenchError:
            continue
        raise AssertionError("a detector of films took a recording")


def check_same_seed(make: MakeDetector, material: Material) -> None:
    """Two trainings with one seed end with the same weights, bit for bit on a CPU."""
    files = []
    for name in ("first", "second"):
        fitted(make, material, name).save(material.folder / f"saved-{name}")
        files.append((material.folder / f"saved-{name}" / "weights.safetensors").read_bytes())
    assert files[0] == files[1], "the same seed gave other weights"


def check_save_and_load(make: MakeDetector, material: Material) -> None:
    """A loaded detector scores as the saved one, and nothing is pickled."""
    detector = fitted(make, material)
    directory = material.folder / "saved"
    detector.save(directory)
    names = {path.suffix for path in directory.iterdir()}
    assert names <= {".safetensors", ".json"}, f"a saved detector holds {', '.join(sorted(names))}"
    loaded = type(detector).load(directory)
    before, after = (scores(item, material.clips) for item in (detector, loaded))
    assert before == after, "the loaded detector gives other scores"


def bad_clips(folder: Path) -> dict[str, list[Clip]]:
    """Clips that cannot be scored, by status."""
    films = {"black": (8, 0), "still": (1, 90)}
    for name, (count, value) in films.items():
        frames = np.full((count, SIZE, SIZE, 3), value, np.uint8)
        write_video(folder / f"{name}.mkv", Video(frames, FPS))
    whole = folder / "whole.mkv"
    write_video(whole, Video(_drifting(0), FPS))
    (folder / "broken.mkv").write_bytes(whole.read_bytes()[:300])
    (folder / "empty.mkv").touch()
    write_audio(folder / "heard.flac", Audio(np.full(8000, 0.1, np.float32), 16000))

    def film(name: str) -> Clip:
        return Clip(name, "nobody", video=str(folder / f"{name}.mkv"))

    return {
        "silent": [film("black")],
        "too_short": [film("still")],
        "unreadable": [film("broken"), film("empty")],
        "missing": [film("nowhere"), Clip("heard", "nobody", audio=str(folder / "heard.flac"))],
    }


def check_bad_films(make: MakeDetector, material: Material) -> None:
    """What cannot be scored is a MediaError with its status, never a number."""
    detector = fitted(make, material)
    for status, clips in bad_clips(material.folder).items():
        for clip in clips:
            try:
                found, message = f"was scored {scores(detector, [clip])}", clip.id
            except MediaError as error:
                found, message = error.status, error.reason
            assert found == status, f"the clip {clip.id} should be {status}: {found}"
            assert clip.id in message, f"the message does not name {clip.id}: {message}"


def check_size_and_rate(make: MakeDetector, material: Material) -> None:
    """A film of another size, shape and rate is scored."""
    detector = fitted(make, material)
    frames = read_film(material.bonafide[0]).frames
    with _quiet():
        assert np.isfinite(detector.score_film(Video(frames[:, 7:, :51], 29.97)))
        assert np.isfinite(detector.score_film(Video(frames.repeat(3, 1).repeat(3, 2)[:2], 5.0)))


def check_too_little(make: MakeDetector, material: Material) -> None:
    """A class without a clip that can be used is refused with a sentence, not with a traceback."""
    bad = bad_clips(material.folder)
    for number, spoof in enumerate(((), tuple(bad["silent"]), tuple(bad["missing"]), material.bonafide[:1])):
        try:
            with _quiet():
                make().fit(material.bonafide, spoof, material.trainer(f"little{number}"))
        except DoppelbenchError:
            continue
        raise AssertionError("a training without spoofed films was taken for enough")


def check_not_fitted(make: MakeDetector, material: Material) -> None:
    """Before it is fitted, a detector has no scores."""
    try:
        scores(make(), material.clips[:1])
    except DoppelbenchError:
        return
    raise AssertionError("a detector that was not fitted gave a score")


def check_explanation(make: MakeDetector, material: Material) -> None:
    """An explanation covers the film: times inside it, finite relevance of the shape of its axes."""
    clip = material.bonafide[0]
    film = read_film(clip)
    with _quiet():
        found = fitted(make, material).explain_clip(clip)
    assert found.relevance.shape == found.times.shape, "there is not one relevance for each time"
    assert np.isfinite(found.relevance).all(), "relevance is not finite"
    assert (np.diff(found.times) > 0).all(), "times do not rise"
    assert 0 <= found.times[0] <= found.times[-1] <= len(film.frames) / film.fps, "times lie outside the film"
    assert found.method, "the explanation does not say how it was found"
    if found.picture is not None:
        assert found.picture.relevance.ndim == 2, "relevance in the picture has no rows and columns"
        assert np.isfinite(found.picture.relevance).all(), "relevance in the picture is not finite"
        assert found.picture.side > 0, "relevance in the picture has no place"


CHECKS: dict[str, Callable[[MakeDetector, Material], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
