"""Train SyncNet-lite on the talkers corpus: ``python -m doppelbench.metrics.train_syncnet_lite FOLDER``.

Voices and faces are the extra ones, which are neither source nor target of any trial. Drawn faces are not
real ones, so the pictures are changed at random in what must not matter: place, size, angle, light,
sharpness, noise, sway, and the tone curve, because an open mouth is dark on a drawn face and may be bright
with teeth on a real one. The sound is changed in microphone, noise and length of the vocal tract.

The loss is the cross-entropy of the true offset among those within 15 frames in the same clip, for each
window and for the mean over the clip's windows. The number of steps decides the end, so that equal settings
give equal weights on one machine.
"""

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.films import crop_square
from doppelbench.corpora.media import read_video
from doppelbench.corpora.talkers import talkers
from doppelbench.corpora.talkers.voices import VOICES
from doppelbench.metrics.sync_metric import LARGEST_OFFSET
from doppelbench.metrics.syncnet_input import grey, mouth_square
from doppelbench.metrics.syncnet_lite import (
    MEL_FRAMES_PER_PICTURE,
    RECORD,
    SETTINGS,
    WEIGHTS,
    embed,
    mel_power,
    moving_lips,
    sound_features,
    syncnet_lite,
)

if TYPE_CHECKING:
    import torch

# Pictures are kept half as wide again as the network's, so that they can be moved and turned.
KEPT_SCALE = 1.5


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How SyncNet-lite is trained.

    Attributes:
        steps: optimiser steps.
        batch: clips a step.
        pictures: consecutive pictures of each clip.
        learning_rate: of AdamW, after 50 steps of warming up and before its cosine decay.
        weight_decay: of AdamW.
        film_pixels: height and width of the talkers' films.
        seconds: least speech of each voice.
        seed: of weights, order and changes.
    """

    steps: int = 600
    batch: int = 24
    pictures: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    film_pixels: int = 96
    seconds: float = 36.0
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One clip: grey pictures of shape (t, 48, 48), and mel power of shape (4 t or more, 40)."""

    pictures: np.ndarray
    power: np.ndarray


def examples_of(clips: Iterable[Clip], least: int) -> list[Example]:
    """Read clips with the truth about their mouths; those with fewer than ``least`` pictures are left out.

    Raises:
        InputError: when none is long enough.
    """
    found = []
    for clip in clips:
        assert clip.video is not None
        video = read_video(clip.video)
        assert video.audio is not None
        square = mouth_square(video.frames, clip).scaled(KEPT_SCALE)
        pictures = grey(crop_square(video.frames, square, round(KEPT_SCALE * SETTINGS.pixels)))
        power = mel_power(video.audio.samples)
        count = min(len(pictures), len(power) // MEL_FRAMES_PER_PICTURE)
        if count >= least:
            found.append(Example(pictures[:count], power))
    if not found:
        raise InputError(f"no clip has the {least} pictures that training needs")
    return found


def changed_pictures(pictures: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change pictures of shape (t, 48, 48) at random; returns the network's input, shape (t, 32, 32)."""
    import torch
    from torch.nn import functional

    count = len(pictures)
    uniform, normal = generator.uniform, generator.standard_normal
    scale, stretch, turn = uniform(0.8, 1.25) / KEPT_SCALE, np.exp(uniform(-0.2, 0.2)), uniform(-0.2, 0.2)
    mirror = generator.choice([-1.0, 1.0])
    sway = generator.choice([0.003, 0.012]) * np.cumsum(normal((2, count)), axis=1)
    tremble = generator.choice([0.0, 0.006]) * normal((2, count))
    shift = (uniform(-0.15, 0.15, size=(2, 1)) + sway + tremble) / KEPT_SCALE
    maps = np.empty((count, 2, 3))
    maps[:, 0, 0], maps[:, 0, 1] = mirror * scale * stretch * np.cos(turn), -scale * np.sin(turn)
    maps[:, 1, 0], maps[:, 1, 1] = mirror * scale * np.sin(turn), scale / stretch * np.cos(turn)
    maps[:, :, 2] = shift.T
    size = [count, 1, SETTINGS.pixels, SETTINGS.pixels]
    grid = functional.affine_grid(torch.from_numpy(maps).float(), size, align_corners=False)
    moved = functional.grid_sample(
        torch.from_numpy(pictures)[:, None], grid, padding_mode="border", align_corners=False
    )
    kernel = int(generator.choice([1, 3, 5], p=[0.6, 0.3, 0.1]))
    soft = functional.avg_pool2d(moved, kernel, 1, kernel // 2)[:, 0].numpy()
    toned = np.clip(soft, 1e-3, 1.0) ** np.exp(uniform(-0.6, 0.6))
    if generator.random() < 0.5:
        knots = np.linspace(0, 1, 7)
        share = uniform(0.3, 1.0)
        toned = np.interp(toned, knots, (1 - share) * knots + share * generator.random(7))
    flicker = 1 + 0.01 * normal((count, 1, 1))
    return moving_lips(toned * flicker + uniform(0.0, 0.03) * normal(toned.shape), SETTINGS)


def changed_sound(power: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change mel power of shape (frames, 40) at random; returns the network's input of the same shape."""
    bands = power.shape[1]

    def smooth(decibel: float) -> np.ndarray:
        curve = decibel * generator.standard_normal(5)
        return 10 ** (np.interp(np.linspace(0, 1, bands), np.linspace(0, 1, 5), curve) / 10)

    place = np.arange(bands) * np.exp(0.07 * generator.standard_normal()) + 0.7 * generator.standard_normal()
    place = np.clip(place, 0, bands - 1)
    lower = np.floor(place).astype(int)
    share = place - lower
    warped = power[:, lower] * (1 - share) + power[:, np.minimum(lower + 1, bands - 1)] * share
    heard = warped * smooth(5.0)
    noise = generator.gamma(2.0, 0.5, heard.shape) * smooth(4.0)
    return sound_features(heard + heard.mean() * 10 ** (-generator.uniform(10, 60) / 10) * noise, SETTINGS)


def offset_loss(shown: "torch.Tensor", heard: "torch.Tensor", scale: "torch.Tensor") -> "torch.Tensor":
    """Cross-entropy of the true offset for each window, and for the mean over the windows of each clip.

    Args:
        shown: unit vectors of the pictures, shape (b, n, d).
        heard: unit vectors of the sound, shape (b, n, d).
        scale: of the cosines.
    """
    import torch
    from torch.nn import functional

    batch, count = shown.shape[:2]
    cosines = scale * (shown @ heard.transpose(1, 2))
    index = torch.arange(count)
    near = (index[:, None] - index[None, :]).abs() <= LARGEST_OFFSET
    windows = functional.cross_entropy(
        cosines.masked_fill(~near, -1e4).reshape(-1, count), index.expand(batch, count).reshape(-1)
    )
    shifts = range(-LARGEST_OFFSET, LARGEST_OFFSET + 1)
    means = torch.stack([cosines.diagonal(shift, 1, 2).mean(1) for shift in shifts], dim=1)
    return windows + functional.cross_entropy(3 * means, torch.full((batch,), LARGEST_OFFSET))


def train(
    examples: list[Example], settings: TrainingSettings
) -> tuple["torch.nn.ModuleDict", dict[str, float]]:
    """Train a network; returns it in evaluation mode, with its last losses' mean and its time."""
    import torch

    torch.manual_seed(settings.seed)
    generator = np.random.default_rng(settings.seed)
    network = syncnet_lite()
    scale = torch.nn.Parameter(torch.tensor(2.3))
    optimizer = torch.optim.AdamW(
        [*network.parameters(), scale], settings.learning_rate, weight_decay=settings.weight_decay
    )
    losses: list[float] = []
    started = time.process_time()
    network.train()
    for step in range(settings.steps):
        decay = 0.5 + 0.5 * np.cos(np.pi * step / settings.steps)
        optimizer.param_groups[0]["lr"] = settings.learning_rate * min(1.0, (step + 1) / 50) * decay
        lips, sound = [], []
        for index in generator.integers(len(examples), size=settings.batch):
            example = examples[index]
            first = int(generator.integers(len(example.pictures) - settings.pictures + 1))
            end = first + settings.pictures
            power = example.power[MEL_FRAMES_PER_PICTURE * first : MEL_FRAMES_PER_PICTURE * end]
            lips.append(changed_pictures(example.pictures[first:end], generator))
            sound.append(changed_sound(power, generator))
        shown, heard = embed(
            network, torch.from_numpy(np.stack(lips)), torch.from_numpy(np.stack(sound).astype(np.float32))
        )
        loss = offset_loss(shown, heard, scale.exp())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % 50 == 49:
            print(f"step {step + 1}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    seconds = time.process_time() - started
    return network.eval(), {"loss": float(np.mean(losses[-50:])), "cpu_seconds": round(seconds, 1)}


def save(network: "torch.nn.ModuleDict", folder: Path, record: dict[str, object]) -> None:
    """Write the weights, in 16 bits, and the record of their training."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() for name, value in network.state_dict().items() if value.is_floating_point()}
    save_file(state, folder / WEIGHTS)
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Make the corpus, train, and write weights and record into the folder of the command line."""
    import torch

    defaults = TrainingSettings()
    parser = argparse.ArgumentParser(description="Train SyncNet-lite on the talkers corpus.")
    parser.add_argument("folder", type=Path, help="where the weights and the record go")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = TrainingSettings(steps=arguments.steps, seed=arguments.seed)
    speakers = [voice.name for voice in VOICES if voice.role == "extra"]
    clips = talkers(
        speakers=speakers,
        size=settings.film_pixels,
        target_seconds=settings.seconds,
        dev_sentences=0,
        test_sentences=0,
    )
    examples = examples_of(clips, settings.pictures)
    network, reached = train(examples, settings)
    record: dict[str, object] = {
        "input": asdict(SETTINGS),
        "training": asdict(settings),
        "speakers": speakers,
        "clips": len(examples),
        "parameters": sum(value.numel() for value in network.parameters()),
        **reached,
    }
    save(network, arguments.folder, record)


if __name__ == "__main__":
    main()
