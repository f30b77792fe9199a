"""RawNet2: waveform, fixed band-pass filters, residual blocks with scaled feature maps, recurrent layers.

H. Tak, J. Patino, M. Todisco, A. Nautsch, N. Evans and A. Larcher, "End-to-end anti-spoofing with RawNet2",
ICASSP 2021, in the configuration of the ASVspoof 2021 baseline: 20 filters of 1025 taps, magnitude, maximum
over 3, batch norm, SELU; six residual blocks (two of 20, four of 128 channels), each ending in a maximum over
3 and a scaling of every channel, x a + a; batch norm, SELU, three GRU layers of 1024; two linear layers.
Input of 64,600 samples. 17,621,410 parameters.

Where paper, released code and this differ:

* the paper's network has 25,433,602 parameters, with 128 filters and blocks of 128 and 512 channels
  (``PAPER_2020``); the baseline that everybody runs is smaller, and is the preset ``paper``;
* in every block but the first, the code throws away what batch norm and activation made of the block's
  input, so that the first convolution hears the input itself. Kept, because the published figures were made
  so, and with it the parameters of that norm, which nothing trains; ``first_norm`` uses them instead;
* the code takes the log-softmax twice, which changes nothing, and scores with the log-probability of bona
  fide; here the score is the difference of the logits, which has the same order;
* the code trains 100 epochs and keeps the one with the best accuracy on the development set; here 80,000
  steps, about as many for ASVspoof 2019, and the last weights;
* the first batch norm keeps the mean of all batches, the code a running one with a momentum of 0.1;
* the published weights of the classes, 0.1 spoof and 0.9 bona fide, fit a training set with nine times as
  many spoofed recordings; ``paper`` has them and draws recordings alike. ``small`` and ``tiny`` draw both
  classes equally often and weigh them alike;
* the code repeats short recordings, always takes their beginning, and neither trims nor levels them; see
  :mod:`doppelbench.detectors.audio_input` for what the house does.

``small`` also differs in 16,000 samples of input, GRU of one layer of 64, linear layer of 64, four blocks of
32 channels, and a learning rate of 1e-3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.detectors.detector import DetectorSpec
from doppelbench.detectors.losses import TwoLogits
from doppelbench.detectors.network_detector import DetectorNetwork, NetworkDetector, NetworkSettings
from doppelbench.detectors.registry import register
from doppelbench.detectors.sinc_filters import SincFilters

POOL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RawNet2Settings(NetworkSettings):
    """Hyperparameters; the defaults are those of the ASVspoof 2021 baseline.

    Attributes:
        taps: of a band-pass filter, odd.
        channels: of each residual block.
        first_norm: whether blocks use the norm before their first convolution, as the paper draws it.
    """

    filters: int = 20
    taps: int = 1025
    channels: tuple[int, ...] = (20, 20, 128, 128, 128, 128)
    gru_width: int = 1024
    gru_layers: int = 3
    linear_width: int = 1024
    first_norm: bool = False
    balanced: bool = False
    class_weights: tuple[float, float] = (0.1, 0.9)

    def __post_init__(self) -> None:
        """Refuse a crop of which nothing would be left.

        Raises:
            DoppelbenchError: see :class:`NetworkSettings`; or the crop is too short for the blocks.
        """
        NetworkSettings.__post_init__(self)
        if self.crop - self.taps + 1 < POOL ** (len(self.channels) + 1):
            raise DoppelbenchError(f"crop is {self.crop}; too short for {len(self.channels)} blocks")


PAPER = RawNet2Settings()
PAPER_2020 = replace(PAPER, filters=128, channels=(128, 128, 512, 512, 512, 512))
SMALL = replace(
    PAPER,
    crop=16_000,
    channels=(20, 20, 32, 32, 32, 32),
    gru_width=64,
    gru_layers=1,
    linear_width=64,
    balanced=True,
    class_weights=(0.5, 0.5),
    batch_size=16,
    learning_rate=1e-3,
    max_steps=1500,
)
TINY = replace(
    SMALL,
    crop=4000,
    filters=12,
    taps=129,
    channels=(8, 16, 16),
    gru_width=16,
    linear_width=16,
    batch_size=8,
    learning_rate=3e-3,
    max_steps=60,
)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, then a maximum over 3 samples; (batch, channels, samples)."""

    def __init__(self, inputs: int, outputs: int, *, first: bool, first_norm: bool) -> None:
        super().__init__()
        self.norm_input = nn.Identity() if first else nn.BatchNorm1d(inputs)
        self.norm_used = first_norm and not first
        self.first = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm1d(outputs)
        self.second = nn.Conv1d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.norm_input(x), 0.3) if self.norm_used else x
        hidden = F.leaky_relu(self.norm(self.first(hidden)), 0.3)
        return F.max_pool1d(self.second(hidden) + self.shortcut(x), POOL)


class FeatureMapScaling(nn.Module):
    """Scale and shift every channel by a number between 0 and 1 that follows from the means of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.sigmoid(self.linear(x.mean(dim=2)))[:, :, None]
        return x * scale + scale


class RawNet2Body(nn.Module):
    """Waveforms (batch, samples) to embeddings (batch, linear_width)."""

    def __init__(self, settings: RawNet2Settings) -> None:
        super().__init__()
        self.filters = SincFilters(settings.filters, settings.taps, settings.input.rate)
        # Nothing before this norm is trained, so that all batches tell its mean and variance alike. At the
        # house's level the variance is so small that a running mean from 1 would take 150 steps to it.
        self.norm_first = nn.BatchNorm1d(settings.filters, momentum=None)
        widths: Sequence[int] = (settings.filters, *settings.channels)
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after, first=number == 0, first_norm=settings.first_norm)
            for number, (before, after) in enumerate(pairwise(widths))
        )
        self.scalings = nn.ModuleList(FeatureMapScaling(width) for width in settings.channels)
        self.norm_last = nn.BatchNorm1d(widths[-1])
        self.gru = nn.GRU(widths[-1], settings.gru_width, settings.gru_layers, batch_first=True)
        self.linear = nn.Linear(settings.gru_width, settings.linear_width)

    def forward(self, waveforms: Tensor) -> Tensor:
        hidden = F.selu(self.norm_first(F.max_pool1d(self.filters(waveforms).abs(), POOL)))
        for block, scaling in zip(self.blocks, self.scalings, strict=True):
            hidden = scaling(block(hidden))
        hidden = F.selu(self.norm_last(hidden)).transpose(1, 2)
        outputs, _ = self.gru(hidden)
        return self.linear(outputs[:, -1])


@register
class RawNet2(NetworkDetector):
    """RawNet2 on 4 s of waveform."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        name="rawnet2",
        title="RawNet2 on the waveform",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Tak et al.: End-to-end anti-spoofing with RawNet2, ICASSP 2021",
    )
    settings_class = RawNet2Settings

    @classmethod
    def build(cls, settings: RawNet2Settings) -> DetectorNetwork:
        """Make the network."""
        return DetectorNetwork(RawNet2Body(settings), TwoLogits(settings.linear_width))
