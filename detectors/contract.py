"""What holds for every detector, as checks that its author can run.

Each check takes a function that makes the detector (of its smallest preset) and a :class:`Material` of clips,
and raises an AssertionError that says what is broken::

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_it_keeps_the_contract(check, tmp_path):
        check(lambda: MyDetector(TINY), make_material(tmp_path))
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, MediaError
from doppelbench.corpora.media import Audio, read_audio, write_audio
from doppelbench.detectors.detector import Detector
from doppelbench.engine.trainer import TrainerSettings

MakeDetector = Callable[[], Detector]
RATE = 16000
STEPS = 3
GAIN = 0.25


@dataclass(frozen=True, slots=True)
class Material:
    """Clips of both classes under a folder, made from a seed; spoofed ones are muffled."""

    folder: Path
    bonafide: tuple[Clip, ...]
    spoof: tuple[Clip, ...]

    def trainer(self, name: str, seed: int = 0) -> TrainerSettings:
        """Settings of a short training in a folder of its own."""
        return TrainerSettings(self.folder / name, max_steps=STEPS, device="cpu", progress=False, seed=seed)

    @property
    def recordings(self) -> list[Audio]:
        """What is scored: one recording of each class, and one shorter than any."""
        found = [read_audio(str(clip.audio)) for clip in (self.bonafide[0], self.spoof[0])]
        return [*found, Audio(found[0].samples[: RATE // 4], RATE)]


def make_material(folder: Path) -> Material:
    """Write four clips of 1 to 2 s for each class."""
    from scipy.signal import butter, sosfiltfilt

    muffled = butter(8, 3000, fs=RATE, output="sos")
    clips: dict[str, list[Clip]] = {"bonafide": [], "spoof": []}
    for name, found in clips.items():
        for number in range(4):
            samples = _hum(number + 10 * (name == "spoof"))
            if name == "spoof":
                samples = sosfiltfilt(muffled, samples).astype(np.float32)
            path = folder / f"{name}{number}.flac"
            write_audio(path, Audio(samples, RATE))
            found.append(Clip(f"{name}{number}", f"speaker{number}", audio=str(path)))
    return Material(folder, tuple(clips["bonafide"]), tuple(clips["spoof"]))


def _hum(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(int(generator.integers(RATE, 2 * RATE))) / RATE
    phase = 2 * np.pi * np.cumsum(generator.uniform(100, 220) * (1 + 0.1 * np.sin(4 * time))) / RATE
    signal = sum(np.sin(n * phase) / n**0.5 for n in range(1, 25))
    loud = 0.3 + np.abs(np.sin(np.pi * 3 * time + seed))
    return (0.05 * signal * loud + 5e-3 * generator.standard_normal(time.size)).astype(np.float32)


def fitted(make: MakeDetector, material: Material, name: str) -> Detector:
    """Fit a detector for a few steps."""
    detector = make()
    detector.fit(material.bonafide, material.spoof, material.trainer(name))
    return detector


def check_spec(make: MakeDetector, material: Material) -> None:
    """The spec names what documentation and planning need."""
    spec = make().spec
    assert spec.name, "the spec has no name"
    assert spec.title, "the spec has no title"
    assert spec.paper, "the spec cites no paper"
    missing = {"tiny", "small", "paper"} - set(spec.presets)
    assert not missing, f"there is no preset {', '.join(sorted(missing))}"


def check_scores(make: MakeDetector, material: Material) -> None:
    """A score is a finite float that depends on the recording alone, not on what was scored before."""
    detector = fitted(make, material, "scores")
    there = [detector.score(audio) for audio in material.recordings]
    back = [detector.score(audio) for audio in reversed(material.recordings)][::-1]
    assert all(isinstance(score, float) and np.isfinite(score) for score in there), f"scores are {there}"
    assert there == back, "the order of the recordings changes their scores"


def check_score_clip(make: MakeDetector, material: Material) -> None:
    """A clip has the score of the recording that is read from it, also when it is a part of a file."""
    detector = fitted(make, material, "clip")
    whole = material.bonafide[0]
    for clip in (whole, replace(whole, start=0.25, end=0.75)):
        assert clip.audio is not None
        read = detector.score(read_audio(clip.audio, start=clip.start, end=clip.end))
        scored = detector.score_clip(clip)
        assert scored == read, f"the clip is scored {scored}, the recording in it {read}"


def check_samples_are_kept(make: MakeDetector, material: Material) -> None:
    """Scoring leaves the samples that it is given as they are."""
    detector = fitted(make, material, "kept")
    audio = material.recordings[0]
    before = audio.samples.copy()
    detector.score(audio)
    assert np.array_equal(before, audio.samples), "the detector wrote into the recording"


def check_same_seed(make: MakeDetector, material: Material) -> None:
    """Two trainings with one seed end with the same weights, bit for bit on a CPU."""
    files = []
    for name in ("first", "second"):
        fitted(make, material, name).save(material.folder / f"saved-{name}")
        files.append((material.folder / f"saved-{name}" / "weights.safetensors").read_bytes())
    assert files[0] == files[1], "the same seed gave other weights"


def check_save_and_load(make: MakeDetector, material: Material) -> None:
    """A loaded detector scores as the saved one, and nothing is pickled."""
    detector = fitted(make, material, "saving")
    directory = material.folder / "saved"
    detector.save(directory)
    names = {path.suffix for path in directory.iterdir()}
    assert names <= {".safetensors", ".json"}, f"a saved detector holds {', '.join(sorted(names))}"
    loaded = type(detector).load(directory)
    before, after = ([item.score(audio) for audio in material.recordings] for item in (detector, loaded))
    assert before == after, "the loaded detector gives other scores"


def check_bad_recordings(make: MakeDetector, material: Material) -> None:
    """What cannot be scored is a MediaError with its status, never a number."""
    detector = fitted(make, material, "bad")
    broken = material.recordings[0].samples.copy()
    broken[100] = np.nan
    bad = {
        "silent": np.zeros(RATE, np.float32),
        "too_short": np.full(8, 0.1, np.float32),
        "not_finite": broken,
        "unreadable": np.ones((2, RATE), np.float32),
    }
    for status, samples in bad.items():
        try:
            found = f"was scored {detector.score(Audio(samples, RATE))}"
        except MediaError as error:
            found = error.status
        assert found == status, f"a recording that should be {status}: {found}"


def check_level(make: MakeDetector, material: Material) -> None:
    """A gain leaves the score as it is, but for a trivial detector."""
    detector = fitted(make, material, "level")
    if detector.spec.trivial:
        return
    audio = material.recordings[0]
    loud, quiet = (detector.score(Audio(gain * audio.samples, RATE)) for gain in (1.0, GAIN))
    assert abs(loud - quiet) <= 1e-3 * max(1.0, abs(loud)), f"12 dB turn a score of {loud} into {quiet}"


def check_rate(make: MakeDetector, material: Material) -> None:
    """A recording at another rate is resampled, not misheard."""
    detector = fitted(make, material, "rate")
    assert np.isfinite(detector.score(Audio(_hum(1), 44100)))
    assert np.isfinite(detector.score(Audio(_hum(1), 8000)))


def check_too_little(make: MakeDetector, material: Material) -> None:
    """A class without a clip that can be used is refused with a sentence, not with a traceback."""
    silent = material.folder / "silent.flac"
    write_audio(silent, Audio(np.zeros(RATE, np.float32), RATE))
    for spoof in ((), (Clip("silent", "nobody", audio=str(silent)),)):
        try:
            make().fit(material.bonafide, spoof, material.trainer(f"little{len(spoof)}"))
        except DoppelbenchError:
            continue
        raise AssertionError("a training without spoofed speech was taken for enough")


def check_not_fitted(make: MakeDetector, material: Material) -> None:
    """Before it is fitted, a detector has no scores."""
    try:
        make().score(material.recordings[0])
    except DoppelbenchError:
        return
    raise AssertionError("a detector that was not fitted gave a score")


def check_explanation(make: MakeDetector, material: Material) -> None:
    """An explanation covers the recording: times inside it, finite relevance of the shape of its axes."""
    audio = material.recordings[0]
    found = fitted(make, material, "explained").explain(audio)
    shape = (len(found.times),) if found.frequencies is None else (len(found.times), len(found.frequencies))
    assert found.relevance.shape == shape, f"relevance has shape {found.relevance.shape}, its axes {shape}"
    assert np.isfinite(found.relevance).all(), "relevance is not finite"
    assert (np.diff(found.times) > 0).all(), "times do not rise"
    assert 0 <= found.times[0] <= found.times[-1] <= audio.seconds + 0.05, "times lie outside the recording"
    assert found.method, "the explanation does not say how it was found"


CHECKS: dict[str, Callable[[MakeDetector, Material], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
