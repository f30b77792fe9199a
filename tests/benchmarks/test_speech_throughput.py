"""How fast video-to-speech reads speech from disk and makes it, on one core or on a CUDA device.

The loader is what the pre-training streams from; its memory must not grow with the hours it is given.
Networks are measured at `small` and at the published size: whole, from mouths to what the decoder makes, and
the decoder alone; a step is that of the training with its optimisers, with discriminators for the waveform
system. On a GPU networks run in mixed precision, bfloat16.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from doppelbench.baselines.registry import find_system
from doppelbench.baselines.video_to_speech import speech_stream
from doppelbench.baselines.video_to_speech.speech_stream import POOL_STEPS, SpeechStream, stretches
from doppelbench.baselines.video_to_speech.talking_clips import SpeechBatch
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio, write_audio

RATE = 16000
FPS = 25
NAMES = ("v2a-melspec", "v2a-wavegan")
PRESETS = ("small", "paper")
# Clips and pictures of each that a network is given at once, to speak and to learn from.
SPOKEN = {"cpu": {"small": (1, 75), "paper": (1, 75)}, "cuda": {"small": (16, 75), "paper": (16, 75)}}
LEARNED = {"cpu": {"small": (8, 40), "paper": (1, 75)}, "cuda": {"small": (64, 75), "paper": (16, 75)}}


def settings_of(name: str, preset: str) -> Any:
    kind: Any = find_system(name)
    return kind.spec.presets[preset]


# --- loader


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of noise that swells and fades."""
    path = tmp_path_factory.mktemp("speech") / "long.flac"
    generator = np.random.default_rng(0)
    loud = 0.05 * (1 + np.sin(np.arange(600 * RATE) / 2000))
    write_audio(path, Audio((loud * generator.standard_normal(loud.size)).astype(np.float32), RATE))
    return path


def parts(recording: Path, count: int, seconds: float = 0.5) -> list[Clip]:
    """Clips of one recording, so that a thousand of them take no thousand files."""
    return [
        Clip(f"part{n}", "reader", audio=str(recording), start=n * seconds, end=(n + 1) * seconds)
        for n in range(count)
    ]


def peak_of(action: Callable[[], Any]) -> int:
    """Most bytes that Python and NumPy held at once during an action, above what they held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_thousand_clips_take_no_more_memory_than_a_hundred(recording, monkeypatch) -> None:
    """While a whole epoch is read: 32 clips are in memory at a time, whatever there is on disk."""
    monkeypatch.setattr(speech_stream, "POOL_STRETCHES", 32)
    monkeypatch.setattr(speech_stream, "POOL_STEPS", 1)
    settings = replace(settings_of("v2a-melspec", "tiny"), crop_pictures=10)
    peaks, read = {}, []
    original = SpeechStream._read
    monkeypatch.setattr(SpeechStream, "_read", lambda self, part: read.append(part) or original(self, part))
    for count in (100, 1000):
        stream = SpeechStream(stretches(parts(recording, count), 0), settings, 0)
        stream.batch(0, 0, 1)
        read.clear()

        def epoch(stream: SpeechStream = stream, steps: int = count // 32) -> None:
            for step in range(1, steps):
                stream.batch(step, 0, 1)

        peaks[count] = peak_of(epoch)
        assert len(set(read)) == 32 * (count // 32 - 1)
    print(f"peak of an epoch: {peaks[100] / 1e6:.1f} MB for 100 clips, {peaks[1000] / 1e6:.1f} MB for 1,000")
    # What a pool holds, 32 times half a second of samples and spectrogram, is 2 MB.
    assert peaks[1000] < 1.1 * peaks[100]


def test_what_an_hour_adds_to_the_list_of_stretches_is_small(recording) -> None:
    """All that grows with the hours: a thousand of them are 450,000 stretches of 8 s."""
    listed: list[Any] = []
    seconds = 8.0
    long = replace(parts(recording, 1)[0], end=1000 * seconds)
    held = peak_of(lambda: listed.extend(stretches([long], 0)))
    print(f"{held / len(listed):.0f} bytes a stretch, {held / (1000 * seconds / 3600) / 1e3:.0f} kB an hour")
    assert len(listed) == 1000
    assert held / len(listed) < 500


@pytest.mark.slow
@pytest.mark.benchmark(group="speech from disk")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NAMES)
def test_speech_from_disk(benchmark, recording, name: str, preset: str) -> None:
    """Cold: every stretch is read, resampled and analysed once for the steps that crop from it."""
    settings = settings_of(name, preset)
    listed = stretches([Clip("long", "reader", audio=str(recording))], 0)
    stream = SpeechStream(listed, settings, 0)

    def read() -> tuple[float, float]:
        began = time.process_time()
        stream.batch(0, 0, 1)
        pooled = time.process_time()
        for step in range(1, 11):
            stream.batch(step, 0, 1)
        return pooled - began, (time.process_time() - pooled) / 10

    pool, step = benchmark.pedantic(read, rounds=1)
    heard = sum(len(speech.sound) for speech in stream.pool(0)) / FPS
    crops = settings.batch_size * POOL_STEPS / (pool + POOL_STEPS * step)
    benchmark.extra_info |= {"hours_an_hour": round(heard / pool), "crops_a_second": round(crops)}
    print(
        f"{name} {preset}: {heard / pool:.0f} h of speech read in a CPU hour, {crops:.0f} crops a CPU second"
    )
    assert heard / pool > 10


# --- networks


def batch_of(settings: Any, count: int, pictures: int, device: str) -> SpeechBatch:
    generator = torch.Generator().manual_seed(0)
    shown = (count, pictures, settings.crop, settings.crop)
    batch = SpeechBatch(
        torch.randint(0, 256, shown, generator=generator, dtype=torch.uint8),
        torch.rand(count, 256, generator=generator),
        torch.rand(count, pictures * settings.frames, settings.mel.n_mels, generator=generator),
        0.1 * torch.randn(count, pictures * settings.samples, generator=generator),
        2,
        # After the step in which the discriminators begin.
        settings.max_steps,
    )
    return batch._replace(
        **{field: getattr(batch, field).to(device) for field in ("pictures", "identity", "mel", "sound")}
    )


def now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def fastest(action: Callable[[], Any], device: str, rounds: int) -> float:
    """Seconds of the fastest round after one that warms up."""
    spent = []
    for _ in range(rounds + 1):
        began = now(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            action()
        spent.append(now(device) - began)
    return min(spent[1:])


def step_of(system: Any, device: str, count: int, pictures: int) -> Callable[[], None]:
    """One step of the training on films, as Lightning takes it."""
    module = system.new_module(system.network, {}).to(device).train()
    batch = batch_of(system.settings, count, pictures, device)
    found = module.configure_optimizers()
    optimizers, schedule = (
        ([found["optimizer"]], found["lr_scheduler"]["scheduler"])
        if isinstance(found, dict)
        else (found[0], found[1][0])
    )
    module.log_dict = lambda losses: None
    module.optimizers = lambda: optimizers
    module.lr_schedulers = lambda: schedule
    module.manual_backward = lambda loss: loss.backward()

    def step() -> None:
        loss = module.training_step(batch, 0)
        if loss is not None:
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
            schedule.step()

    return step


def measure(name: str, preset: str, device: str, rounds: int) -> dict[str, float]:
    """Pictures a second that a network speaks, that its decoder decodes and that a step learns from; on a
    CPU also those that are spoken to the waveform, with the vocoder where there is one."""
    torch.manual_seed(0)
    kind: Any = find_system(name)
    system = kind(kind.spec.presets[preset])
    system.network.to(device).eval()
    count, pictures = SPOKEN[device][preset]
    batch = batch_of(system.settings, count, pictures, device)
    found = {}
    with torch.inference_mode():
        states = system.network.states(batch)
        found["decoded"] = count * pictures / fastest(lambda: system.network.decoder(states), device, rounds)
        found["spoken"] = count * pictures / fastest(lambda: system.network(batch), device, rounds)
        made = system.network(batch)
        if device == "cpu":
            heard = fastest(lambda: system.sound(made[0]), device, rounds)
            found["with vocoder"] = 1 / (1 / found["spoken"] + heard / pictures)
    assert torch.isfinite(made).all()
    assert made.shape[0] == count
    count, pictures = LEARNED[device][preset]
    found["learned"] = count * pictures / fastest(step_of(system, device, count, pictures), device, rounds)
    return found


def report(name: str, preset: str, found: dict[str, float]) -> None:
    cells = ", ".join(f"{what} {value:.1f} ({value / FPS:.2f} x)" for what, value in found.items())
    print(f"{name} {preset}, pictures a second (times real time): {cells}")


@pytest.mark.slow
@pytest.mark.benchmark(group="video to speech on CPU")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NAMES)
def test_speech_on_one_core(benchmark, name: str, preset: str) -> None:
    found = benchmark.pedantic(measure, args=(name, preset, "cpu", 1), rounds=1)
    benchmark.extra_info |= {what: round(value, 1) for what, value in found.items()}
    report(name, preset, found)
    if preset == "small":
        # A film is spoken no slower than it plays.
        assert found["spoken"] > FPS


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.benchmark(group="video to speech on CUDA")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NAMES)
def test_speech_on_a_gpu(benchmark, name: str, preset: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = benchmark.pedantic(measure, args=(name, preset, "cuda", 10), rounds=1)
    benchmark.extra_info |= {what: round(value, 1) for what, value in found.items()}
    report(name, preset, found)
    assert found["spoken"] > 40 * FPS
