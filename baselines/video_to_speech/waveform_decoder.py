"""The decoder of V2A-WaveGAN: transposed convolutions from repeated codes to samples.

Stages of a transposed convolution and residual blocks of dilated convolutions, in the manner of MelGAN's
generator (K. Kumar et al., NeurIPS 2019), with batch norm. The channels halve from stage to stage. Every
kernel is symmetric about the samples that it makes, so that a code sounds while its picture is shown.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.video_to_speech.modality_norm import ModalityNorm

SLOPE = 0.2
# Fewer channels hold no waveform.
LEAST_CHANNELS = 4
DILATION = 3


class ResidualUnit(nn.Module):
    """A dilated convolution and one of a single sample, added to their input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = ModalityNorm(channels)
        self.joined = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.joined(F.leaky_relu(self.norm(self.dilated(F.leaky_relu(x, SLOPE))), SLOPE))


class Stage(nn.Module):
    """A transposed convolution that makes ``factor`` samples of one, then residual units."""

    def __init__(self, inputs: int, outputs: int, factor: int, units: int) -> None:
        super().__init__()
        # Even for an even factor and odd for an odd one: else the stage would lie half a sample askew.
        kernel = 2 * factor + factor % 2
        self.grow = nn.ConvTranspose1d(
            inputs, outputs, kernel, factor, padding=(kernel - factor) // 2, bias=False
        )
        self.norm = ModalityNorm(outputs)
        self.units = nn.Sequential(*(ResidualUnit(outputs, DILATION**power) for power in range(units)))

    def forward(self, x: Tensor) -> Tensor:
        return self.units(self.norm(self.grow(F.leaky_relu(x, SLOPE))))


class WaveformDecoder(nn.Module):
    """States (batch, states, inputs) to samples (batch, states * product of factors), range -1 to 1."""

    def __init__(self, inputs: int, channels: int, factors: Sequence[int], units: int) -> None:
        """Make the network.

        Args:
            inputs: numbers of a state.
            channels: before the first stage.
            factors: of the stages.
            units: residual units of a stage.
        """
        super().__init__()
        self.input = nn.Conv1d(inputs, channels, 7, padding=3)
        stages = []
        for factor in factors:
            width = max(LEAST_CHANNELS, channels // 2)
            stages.append(Stage(channels, width, factor, units))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.output = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, states: Tensor) -> Tensor:
        hidden = self.stages(self.input(states.transpose(1, 2)))
        return torch.tanh(self.output(F.leaky_relu(hidden, SLOPE)))[:, 0]
