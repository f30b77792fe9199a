"""Encoder, decoder and post-net that AutoVC and the exemplar autoencoder have in common.

K. Qian et al., "AutoVC: Zero-Shot Voice Style Transfer with Only Autoencoder Loss", ICML 2019, conditions the
encoder and the decoder on a speaker embedding; the exemplar autoencoder is the same network without one.
"""

from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.corpora.features import MelSettings


class AutoencoderSizes(Protocol):
    """The settings of a system that decide the sizes of its blocks."""

    @property
    def channels(self) -> int:
        """Channels of the encoder's convolutions."""

    @property
    def bottleneck(self) -> int:
        """Cells a direction of the encoder's LSTM; a code is twice as wide."""

    @property
    def code_every(self) -> int:
        """Frames that one code stands for."""

    @property
    def decoder_cells(self) -> int:
        """Cells of the decoder's first LSTM, and channels of its convolutions."""

    @property
    def output_cells(self) -> int:
        """Cells of the decoder's last LSTM."""

    @property
    def mel(self) -> MelSettings:
        """Features that go in and come out."""


def convolution(
    inputs: int, outputs: int, activation: Literal["relu", "tanh", "linear"] = "relu"
) -> nn.Sequential:
    """Conv1d of kernel 5 with batch norm, initialised (Xavier) for the activation that follows it."""
    layer = nn.Conv1d(inputs, outputs, kernel_size=5, padding=2)
    nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain(activation))
    return nn.Sequential(layer, nn.BatchNorm1d(outputs))


def with_condition(frames: Tensor, condition: Tensor | None) -> Tensor:
    """Append a vector (batch, width) to every frame of (batch, frames, channels)."""
    if condition is None:
        return frames
    return torch.cat([frames, condition[:, None].expand(-1, frames.shape[1], -1)], dim=-1)


class Encoder(nn.Module):
    """Mel spectrogram (batch, frames, bands) to codes (batch, frames / code_every, 2 * bottleneck).

    ``condition`` is the width of a vector that is appended to every frame; 0 for none.
    """

    def __init__(self, settings: AutoencoderSizes, condition: int = 0) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.mel.n_mels + condition] + [settings.channels] * 3
        self.convolutions = nn.ModuleList(convolution(a, b) for a, b in pairwise(widths))
        self.lstm = nn.LSTM(
            settings.channels, settings.bottleneck, num_layers=2, batch_first=True, bidirectional=True
        )

    def forward(self, mel: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.sampled(self.states(mel, condition))

    def states(self, mel: Tensor, condition: Tensor | None = None) -> Tensor:
        """The code before it is down-sampled: (batch, frames, 2 * bottleneck), forward states first."""
        hidden = with_condition(mel, condition).transpose(1, 2)
        for layer in self.convolutions:
            hidden = F.relu(layer(hidden))
        states: Tensor = self.lstm(hidden.transpose(1, 2))[0]
        return states

    def sampled(self, states: Tensor) -> Tensor:
        """The codes that are kept of the states of all frames."""
        every, width = self.settings.code_every, self.settings.bottleneck
        return torch.cat([states[:, every - 1 :: every, :width], states[:, ::every, width:]], dim=-1)


class Decoder(nn.Module):
    """Codes to mel spectrogram (batch, frames, bands); ``condition`` as in :class:`Encoder`."""

    def __init__(self, settings: AutoencoderSizes, condition: int = 0) -> None:
        super().__init__()
        self.settings = settings
        cells = settings.decoder_cells
        self.first_lstm = nn.LSTM(2 * settings.bottleneck + condition, cells, batch_first=True)
        self.convolutions = nn.ModuleList(convolution(cells, cells) for _ in range(3))
        self.last_lstm = nn.LSTM(cells, settings.output_cells, num_layers=2, batch_first=True)
        self.projection = nn.Linear(settings.output_cells, settings.mel.n_mels)
        nn.init.xavier_uniform_(self.projection.weight)

    def forward(self, codes: Tensor, condition: Tensor | None = None) -> Tensor:
        hidden = with_condition(codes.repeat_interleave(self.settings.code_every, dim=1), condition)
        hidden, _ = self.first_lstm(hidden)
        hidden = hidden.transpose(1, 2)
        for layer in self.convolutions:
            hidden = F.relu(layer(hidden))
        hidden, _ = self.last_lstm(hidden.transpose(1, 2))
        return self.projection(hidden)


class PostNet(nn.Module):
    """Residual correction of a mel spectrogram by five convolutions, as in the released code."""

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        widths = [bands] + [channels] * 4
        self.hidden = nn.ModuleList(convolution(a, b, "tanh") for a, b in pairwise(widths))
        self.output = convolution(channels, bands, "linear")

    def forward(self, mel: Tensor) -> Tensor:
        hidden = mel.transpose(1, 2)
        for layer in self.hidden:
            hidden = torch.tanh(layer(hidden))
        return self.output(hidden).transpose(1, 2)
