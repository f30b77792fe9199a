"""Speech-like clips of both classes: what a talker says, and the same muffled, as poor fakes are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.signal import butter, sosfiltfilt
from synthetic_corpus import RATE, TALKERS, speak

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.detectors.contract import CHECKS, make_material
from doppelbench.detectors.detector import Detector
from doppelbench.engine.trainer import TrainerSettings

CLIPS = 8
SECONDS = 1.2
MUFFLED_FROM_HZ = 2000.0


def natural(number: int) -> np.ndarray:
    return speak(TALKERS[number % 4], f"sentence {number}", SECONDS)


def muffled(samples: np.ndarray) -> np.ndarray:
    filters = butter(8, MUFFLED_FROM_HZ, fs=RATE, output="sos")
    return np.asarray(sosfiltfilt(filters, samples), np.float32)


def write_clips(folder: Path, first: int = 0) -> tuple[list[Clip], list[Clip]]:
    """Bona fide and spoofed clips; no two numbers say the same sentence."""
    sides: tuple[list[Clip], list[Clip]] = ([], [])
    for number in range(first, first + CLIPS):
        real = natural(number)
        for side, name, samples in zip(sides, ("real", "fake"), (real, muffled(real)), strict=True):
            path = folder / f"{name}{number}.flac"
            write_audio(path, Audio(samples, RATE))
            side.append(Clip(f"{name}{number}", TALKERS[number % 4].name, audio=str(path)))
    return sides


def unseen() -> tuple[list[Audio], list[Audio]]:
    """Recordings of sentences that are in no training."""
    real = [natural(number) for number in range(100, 104)]
    return [Audio(item, RATE) for item in real], [Audio(muffled(item), RATE) for item in real]


def short_training(folder: Path, steps: int | None = None, seed: int = 0) -> TrainerSettings:
    return TrainerSettings(folder, max_steps=steps, device="cpu", progress=False, seed=seed)


def fitted_both_ways(
    make: Callable[[], Detector], folder: Path, steps: int | None = None
) -> tuple[Detector, Detector]:
    """A detector, and one that was told of every clip the contrary."""
    real, fake = write_clips(folder / "clips")
    forward, reversed_one = make(), make()
    forward.fit(real, fake, short_training(folder / "forward", steps))
    reversed_one.fit(fake, real, short_training(folder / "reversed", steps))
    return forward, reversed_one


def separation(detector: Detector) -> float:
    """Lowest score of a bona fide recording less the highest of a spoofed one."""
    real, fake = unseen()
    return min(map(detector.score, real)) - max(map(detector.score, fake))


def parameters(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def run_contract(check: str, make: Callable[[], Detector], folder: Path) -> None:
    CHECKS[check](make, make_material(folder))


def without_gradient(network: torch.nn.Module, samples: int, weights: tuple[float, float]) -> set[str]:
    """Names of the parameters that the loss of a batch does not reach."""
    waveforms = torch.randn(4, samples, generator=torch.Generator().manual_seed(0))
    network.train()
    network.loss(waveforms, torch.tensor([0, 1, 0, 1]), weights).backward()
    return {
        name
        for name, value in network.named_parameters()
        if value.grad is None or not value.grad.abs().sum() > 0
    }
