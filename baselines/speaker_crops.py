"""Training crops of several speakers, and the convolutions that J. Chou's two systems share."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import LongRecording

# An eighth of it is still enough for a kernel of 5 to mirror and for an instance norm to have a spread.
MINIMUM_FRAMES = 32


class SpeakerCrops:
    """Random crops: a speaker is drawn, all alike likely, then a place in that person's joined recording."""

    def __init__(self, recordings: Mapping[str, LongRecording], frames: int) -> None:
        self.recordings = [recordings[name] for name in sorted(recordings)]
        self.frames = frames
        self.key = "|".join(recording.key for recording in self.recordings)

    def draw(self, generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        """Draw crops; returns features (count, frames, bands) and speaker numbers (count,)."""
        speakers = generator.integers(0, len(self.recordings), count)
        crops = []
        for speaker in speakers:
            recording = self.recordings[speaker]
            start = generator.integers(0, len(recording) - self.frames + 1)
            crops.append(recording.crop(int(start), self.frames))
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(speakers)


class MirroredConv1d(nn.Conv1d):
    """Conv1d over frames whose borders are mirrored, so that the number of frames is kept (or divided)."""

    def forward(self, x: Tensor) -> Tensor:
        before = self.kernel_size[0] // 2
        after = before - 1 if self.kernel_size[0] % 2 == 0 else before
        return super().forward(F.pad(x, (before, after), mode="reflect") if before else x)


class ConvolutionBank(nn.Module):
    """Convolutions with kernels 1 to ``kernels`` side by side, each with leaky ReLU, joined with the input.

    The output has ``kernels * channels + inputs`` channels; the input among them is as it came.
    """

    def __init__(self, inputs: int, channels: int, kernels: int, slope: float = 0.0) -> None:
        super().__init__()
        self.slope = slope
        self.layers = nn.ModuleList(MirroredConv1d(inputs, channels, size + 1) for size in range(kernels))
        self.channels = kernels * channels + inputs

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(F.leaky_relu(layer(x), self.slope) for layer in self.layers), x], dim=1)


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Turn neighbouring channels into neighbouring frames: (batch, channels, frames) to (batch, channels /
    factor, frames * factor); W. Shi et al., CVPR 2016, in one dimension."""
    batch, channels, frames = x.shape
    return (
        x.view(batch, channels // factor, factor, frames)
        .transpose(2, 3)
        .reshape(batch, channels // factor, frames * factor)
    )


def pad_frames(features: np.ndarray, multiple: int) -> np.ndarray:
    """Repeat the last frame of (frames, bands) up to a multiple and to the least that the networks take."""
    least = max(len(features), MINIMUM_FRAMES)
    wanted = least + -least % multiple
    return np.pad(features, ((0, wanted - len(features)), (0, 0)), mode="edge")
