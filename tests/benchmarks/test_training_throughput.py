"""Frames of speech that one training step learns from in a second, every system at its published size.

On a CPU the batch is as large as a step of a few seconds allows, and a step that takes longer with the
smallest is timed once and cold; on a CUDA device the batch is the published one, and the share of the time is
told in which the device is busy.
"""

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_corpus import corpus_below

from doppelbench.baselines.registry import find_system
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.readers.csv import read_csv
from doppelbench.engine import loop
from doppelbench.engine.trainer import TrainerSettings

# System, settings that differ from preset `paper`, and the first step of the phase that is timed, by label.
SYSTEMS: dict[str, tuple[str, dict[str, Any], int]] = {
    "exemplar": ("exemplar", {"joint_vocoder": ""}, 0),
    "autovc": ("autovc", {}, 0),
    "stargan-vc": ("stargan-vc", {}, 0),
    "stargan-vc2": ("stargan-vc2", {}, 0),
    "vq-vae": ("vq-vae", {}, 0),
    # The long phase, in which the generator and its rivals take turns; two others precede it.
    "chou-2018": ("chou-2018", {"autoencoder_steps": 1, "classifier_steps": 1}, 2),
    "chou-2019": ("chou-2019", {}, 0),
    "blow": ("blow", {}, 0),
}
ON_CUDA = SYSTEMS | {"exemplar with WaveNet": ("exemplar", {}, 0)}
TIMED, TIMED_ON_CUDA, WARM_ON_CUDA = 2, 10, 4
# CPU seconds: beyond the first a system is given up, beyond the second a step is not repeated, and the third
# is what a step should take with the batch that is chosen.
LONGEST, LONG, WANTED = 60.0, 6.0, 2.0
SMALLEST_BATCH = 2
# Of systems that work on samples.
HOP = 200


class TooSlowError(Exception):
    """A step took more CPU time than it is worth waiting for."""


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise once this process has computed for so long, as soon as the operation in hand is done.

    Raises:
        TooSlowError: it has.
    """

    def expire(number: int, frame: Any) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, expire)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass(frozen=True)
class Throughput:
    """What one system did in a second; ``busy`` is the share of the time in which a kernel ran."""

    label: str
    batch: int
    published: int
    step: float
    frames: float
    busy: float | None = None

    def row(self) -> str:
        busy = "" if self.busy is None else f"{100 * self.busy:.0f} %"
        batch = f"{self.batch} of {self.published}"
        return f"| {self.label} | {batch} | {self.step:.2f} | {self.frames:.0f} | {busy} |"


class Stopwatch:
    """Seconds of every step of a training: of CPU, which a busy machine does not stretch, or of the wall with
    the device waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
        self.seconds: list[float] = []
        self.device = device
        began, ended = loop.StepLoop.on_train_batch_start, loop.StepLoop.on_train_batch_end

        def start(callback: loop.StepLoop, *given: Any) -> None:
            began(callback, *given)
            self.began = self.now()

        def end(callback: loop.StepLoop, *given: Any) -> None:
            self.seconds.append(self.now() - self.began)
            ended(callback, *given)

        monkeypatch.setattr(loop.StepLoop, "on_train_batch_start", start)
        monkeypatch.setattr(loop.StepLoop, "on_train_batch_end", end)

    def now(self) -> float:
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def of(self, label: str, batch: int, steps: int, clips: list[Clip], folder: Path) -> list[float]:
        """Train a system of preset ``paper`` for some steps."""
        name, values, _ = ON_CUDA[label]
        kind: Any = find_system(name)
        settings = replace(kind.spec.presets["paper"], batch_size=batch, **values)
        system = kind(settings, "ana") if "target" in kind.spec.needs else kind(settings)
        self.seconds.clear()
        system.fit(clips, TrainerSettings(folder, max_steps=steps, device=self.device, progress=False))
        return list(self.seconds)


def frames_of(label: str, batch: int) -> float:
    """Frames in a batch; those of a system that works on samples are counted by the hop of the others."""
    settings: Any = find_system(ON_CUDA[label][0]).spec.presets["paper"]
    return batch * (settings.crop_frames if hasattr(settings, "crop_frames") else settings.chunk / HOP)


def device_seconds(profile: torch.profiler.profile) -> float:
    """Time for which kernels and copies ran on the device."""
    averages = profile.key_averages()
    own = [event for event in averages if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(event.self_device_time_total for event in own) / 1e6


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """What of the synthetic corpus trains two speakers; one of them has enough for an exemplar."""
    everything = read_csv(corpus_below(tmp_path_factory.getbasetemp())).clips()
    own = [clip for clip in everything if clip.speaker == "ana" and clip.split == "train"]
    return [*own, *[clip for clip in everything if clip.speaker == "ben" and clip.split == "train"][:2]]


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[Throughput]]:
    """Rows that are printed when all systems are done."""
    rows: list[Throughput] = []
    yield rows
    head = "| system | batch | s a step | frames/s | device busy |\n|---|---|---|---|---|"
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + "\n".join([head, *(row.row() for row in rows)]))


def published_batch(label: str) -> int:
    found: Any = find_system(ON_CUDA[label][0]).spec.presets["paper"]
    return int(found.batch_size)


def measured_on_cpu(watch: Stopwatch, label: str, clips: list[Clip], folder: Path) -> tuple[int, float]:
    """The batch that was chosen, and the CPU seconds of a step with it.

    Raises:
        TooSlowError: a step with the smallest batch is not worth waiting for.
    """
    first, published = SYSTEMS[label][2], published_batch(label)
    batch = min(SMALLEST_BATCH, published)
    with cpu_limit(LONGEST):
        step = watch.of(label, batch, first + 1, clips, folder / "probe")[-1]
    if step > LONG:
        return batch, step
    batch = max(batch, min(published, int(batch * WANTED / step)))
    spent = watch.of(label, batch, first + 1 + TIMED, clips, folder / "timed")
    assert len(spent) == first + 1 + TIMED
    return batch, sum(spent[-TIMED:]) / TIMED


def test_a_system_that_takes_too_long_is_given_up() -> None:
    began = time.process_time()

    def compute() -> None:
        with cpu_limit(0.2):
            while time.process_time() < began + 10:
                pass

    with pytest.raises(TooSlowError):
        compute()
    assert time.process_time() < began + 5


@pytest.mark.slow
@pytest.mark.benchmark(group="training on CPU")
@pytest.mark.parametrize("label", SYSTEMS)
def test_training_on_cpu(benchmark, monkeypatch, clips, tmp_path, table, label) -> None:
    published = published_batch(label)
    given = (Stopwatch(monkeypatch, "cpu"), label, clips, tmp_path)
    try:
        batch, step = benchmark.pedantic(measured_on_cpu, args=given, rounds=1)
    except TooSlowError:
        pytest.skip(f"a step of {label} with a batch of {SMALLEST_BATCH} takes over {LONGEST:.0f} s of CPU")
    row = Throughput(label, batch, published, step, frames_of(label, batch) / step)
    table.append(row)
    benchmark.extra_info |= {"batch": batch, "frames_per_second": round(row.frames, 1)}
    assert row.frames > 0


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.benchmark(group="training on CUDA")
@pytest.mark.parametrize("label", ON_CUDA)
def test_training_on_cuda(benchmark, monkeypatch, clips, tmp_path, table, label) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    watch, batch = Stopwatch(monkeypatch, "cuda"), published_batch(label)
    warm = ON_CUDA[label][2] + WARM_ON_CUDA
    steps = warm + TIMED_ON_CUDA
    spent = benchmark.pedantic(watch.of, args=(label, batch, steps, clips, tmp_path / "timed"), rounds=1)
    step = sum(spent[warm:]) / TIMED_ON_CUDA
    # Watched kernels take no longer than others, but the rest of a step does; so the time of the kernels is
    # taken from watched trainings, that of a step is not. Two lengths, so that the start drops out.
    kernels = []
    for length in (warm, steps):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            watch.of(label, batch, length, clips, tmp_path / f"watched-{length}")
        kernels.append(device_seconds(profile))
    busy = (kernels[1] - kernels[0]) / (TIMED_ON_CUDA * step)
    row = Throughput(label, batch, batch, step, frames_of(label, batch) / step, busy)
    table.append(row)
    benchmark.extra_info |= {"frames_per_second": round(row.frames, 1), "device_busy": round(busy, 3)}
    # Copies and kernels may overlap.
    assert 0 < busy <= 1.1
