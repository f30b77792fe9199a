"""What holds for every system that is trained, as checks that its author can run.

Each check takes a function that makes the system (of its smallest preset) and a :class:`Material` of clips,
and raises an AssertionError that says what is broken; see :mod:`doppelbench.benchmark.pytest_plugin`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.baselines.system import System
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, MediaError
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.engine.trainer import TrainerSettings

MakeSystem = Callable[[], System]
RATE = 16000
STEPS = 3
SPEAKERS = {"ada": 210.0, "bruno": 110.0}
TARGET = "ada"


@dataclass(frozen=True, slots=True)
class Material:
    """Clips of two people under a folder, made from a seed."""

    folder: Path
    clips: tuple[Clip, ...]

    @property
    def trial(self) -> Trial:
        """The second speaker's first clip, to be said by the first."""
        source = next(clip for clip in self.clips if clip.speaker != TARGET)
        return Trial("contract", source, TARGET)

    def trainer(self, name: str) -> TrainerSettings:
        """Settings of a short training in a folder of its own."""
        return TrainerSettings(self.folder / name, max_steps=STEPS, device="cpu", progress=False)


def make_material(folder: Path) -> Material:
    """Write four clips of 10 s for each of two speakers."""
    clips = []
    for speaker, pitch in SPEAKERS.items():
        for number in range(4):
            path = folder / f"{speaker}{number}.flac"
            write_audio(path, Audio(_hum(pitch, number), RATE))
            clips.append(Clip(f"{speaker}{number}", speaker, audio=str(path), text=f"sentence {number}"))
    return Material(folder, tuple(clips))


def _hum(pitch: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng([int(pitch), seed])
    time = np.arange(10 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time))) / RATE
    loud = np.repeat(generator.uniform(0.05, 1.0, 40), time.size // 40)
    signal = sum(np.sin(n * phase) / n for n in range(1, 20)) * loud
    return (0.1 * signal + 1e-3 * generator.standard_normal(time.size)).astype(np.float32)


def trained(make: MakeSystem, material: Material, name: str) -> System:
    """Fit a system for a few steps; it has enrolled the target where it needs to."""
    system = make()
    system.fit(material.clips, material.trainer(name))
    if "enrolment" in system.spec.needs:
        system.enroll(TARGET, [clip for clip in material.clips if clip.speaker == TARGET])
    return system


def check_spec(make: MakeSystem, material: Material) -> None:
    """The spec names what documentation and planning need."""
    spec = make().spec
    assert spec.name, "the spec has no name"
    assert spec.title, "the spec has no title"
    assert spec.track, "the spec names no track"
    assert spec.paper, "the spec cites no paper"
    missing = {"tiny", "small", "paper"} - set(spec.presets)
    assert not missing, f"there is no preset {', '.join(sorted(missing))}"


def check_output(make: MakeSystem, material: Material) -> None:
    """A conversion is finite sound within 100 ms of its source's duration."""
    output = trained(make, material, "output").convert(material.trial)
    assert output.audio is not None, "the system made no sound"
    assert np.isfinite(output.audio.samples).all(), "the output has samples that are not finite"
    assert abs(output.audio.seconds - 10.0) < 0.1, f"10 s of source became {output.audio.seconds:.2f} s"


def check_same_seed(make: MakeSystem, material: Material) -> None:
    """Two trainings with one seed end with the same weights, bit for bit on a CPU."""
    files = []
    for name in ("first", "second"):
        trained(make, material, name).save(material.folder / f"saved-{name}")
        files.append((material.folder / f"saved-{name}" / "weights.safetensors").read_bytes())
    assert files[0] == files[1], "the same seed gave other weights"


def check_save_and_load(make: MakeSystem, material: Material) -> None:
    """A loaded system answers as the saved one, and nothing is pickled."""
    system = trained(make, material, "saving")
    directory = material.folder / "saved"
    system.save(directory)
    names = {path.suffix for path in directory.iterdir()}
    assert names <= {".safetensors", ".json"}, f"a saved system holds {', '.join(sorted(names))}"
    loaded = type(system).load(directory)
    if "enrolment" in system.spec.needs:
        loaded.enroll(TARGET, [clip for clip in material.clips if clip.speaker == TARGET])
    before, after = (item.convert(material.trial).audio for item in (system, loaded))
    assert before is not None
    assert after is not None
    assert np.array_equal(before.samples, after.samples), "the loaded system gives another output"


def check_bad_source(make: MakeSystem, material: Material) -> None:
    """A source that is missing or silent is a MediaError that names it; the run records its status."""
    system = trained(make, material, "bad")
    silent = material.folder / "silent.flac"
    write_audio(silent, Audio(np.zeros(RATE, np.float32), RATE))
    for path in (material.folder / "nowhere.flac", silent):
        trial = Trial("bad", Clip("bad", material.trial.source.speaker, audio=str(path)), TARGET)
        try:
            system.convert(trial)
        except MediaError:
            continue
        raise AssertionError(f"{path.name} was converted")


def check_too_little(make: MakeSystem, material: Material) -> None:
    """Too little speech to train on is refused with a sentence, not with a traceback."""
    short = material.folder / "short.flac"
    write_audio(short, Audio(np.full(RATE // 10, 0.1, np.float32), RATE))
    clips = [Clip("short", TARGET, audio=str(short))]
    try:
        make().fit(clips, material.trainer("short"))
    except DoppelbenchError:
        return
    raise AssertionError("a tenth of a second was taken for enough to train on")


CHECKS: dict[str, Callable[[MakeSystem, Material], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
