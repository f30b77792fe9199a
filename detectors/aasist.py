"""AASIST: graph attention over the frequencies and the times of a learned spectrogram.

J. Jung, H. Heo, H. Tak, H. Shim, J. S. Chung, B. Lee, H. Yu and N. Evans, "AASIST: Audio anti-spoofing using
integrated spectro-temporal graph attention networks", ICASSP 2022. 70 fixed band-pass filters of 129 taps,
magnitude, 3 x 3 maximum, six residual blocks with 2 x 3 kernels; the largest magnitude over time gives one
node a frequency, that over frequency one node a time; graph attention and pooling in each, then two branches
of two layers that attend over nodes of both kinds at once (heterogeneous), with a node that stands for the
whole (master); the larger of the branches, maximum and mean of each kind of node and the master make the
embedding. Input of 64,600 samples. 297,866 parameters; AASIST-L, with narrower blocks, 85,306.

Where paper, released code and this differ:

* in every block but the first, the code throws away what batch norm and activation made of the block's
  input, so that the first convolution hears the input itself. Kept, because the published figures were made
  so, and with it the parameters of that norm, which nothing trains; ``first_norm`` uses them instead;
* the code has four shares of nodes to keep but uses the third for all four heterogeneous poolings; so here
  (``pool_shares`` has three);
* the score of the code is the logit of bona fide; here it is the difference of the logits;
* the code scores the *first* 64,600 samples and trains on random ones; so here;
* the code keeps the epoch that is best on the development set and averages weights of improved epochs; here
  the last weights stay;
* the first batch norm keeps the mean of all batches, the code a running one with a momentum of 0.1;
* 100 epochs of ASVspoof 2019 at batches of 24 are about 106,000 steps;
* the published weights of the classes, 0.1 spoof and 0.9 bona fide, fit a training set with nine times as
  many spoofed recordings; ``paper`` has them and draws recordings alike. ``small`` and ``tiny`` draw both
  classes equally often and weigh them alike;
* the code neither trims nor levels; see :mod:`doppelbench.detectors.audio_input` for what the house does.

``small`` also differs in 16,000 samples of input, 36 filters, blocks of 16 channels, and a learning rate of
1e-3.
"""

from dataclasses import dataclass, field, replace
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
class GraphSettings:
    """Sizes of residual blocks and graphs; the defaults are those published.

    Attributes:
        channels: of each residual block.
        time_pool: times of which each residual block keeps the largest.
        graph_widths: numbers of a node in the first graphs and in the heterogeneous ones.
        pool_shares: of the nodes kept, of frequencies, times and in the heterogeneous graphs.
        temperatures: by which attention is divided, in the first graphs and in the heterogeneous ones.
        first_norm: whether blocks use the norm before their first convolution, as the paper draws it.
    """

    channels: tuple[int, ...] = (32, 32, 64, 64, 64, 64)
    graph_widths: tuple[int, int] = (64, 32)
    pool_shares: tuple[float, float, float] = (0.5, 0.7, 0.5)
    temperatures: tuple[float, float] = (2.0, 100.0)
    first_norm: bool = False
    time_pool: int = POOL


@dataclass(frozen=True, slots=True, kw_only=True)
class AasistSettings(NetworkSettings):
    """Hyperparameters; the defaults are those published.

    Attributes:
        taps: of a band-pass filter, odd.
    """

    filters: int = 70
    taps: int = 129
    graphs: GraphSettings = field(default_factory=GraphSettings)
    batch_size: int = 24
    balanced: bool = False
    class_weights: tuple[float, float] = (0.1, 0.9)
    final_learning_rate: float | None = 5e-6
    max_steps: int = 106_000

    def __post_init__(self) -> None:
        """Refuse a crop of which nothing would be left.

        Raises:
            DoppelbenchError: see :class:`NetworkSettings`; or the crop is too short for the blocks.
        """
        NetworkSettings.__post_init__(self)
        blocks = len(self.graphs.channels)
        if self.crop - self.taps + 1 < POOL * self.graphs.time_pool**blocks:
            raise DoppelbenchError(f"crop is {self.crop}; too short for {blocks} blocks")


PAPER = AasistSettings()
PAPER_L = replace(
    PAPER,
    graphs=GraphSettings(
        channels=(32, 32, 24, 24, 24, 24), graph_widths=(24, 32), pool_shares=(0.4, 0.5, 0.7)
    ),
)
SMALL = replace(
    PAPER,
    crop=16_000,
    filters=36,
    graphs=GraphSettings(channels=(16, 16, 16, 16, 16), graph_widths=(16, 16)),
    balanced=True,
    class_weights=(0.5, 0.5),
    batch_size=16,
    learning_rate=1e-3,
    final_learning_rate=5e-5,
    max_steps=1500,
)
TINY = replace(
    SMALL,
    crop=3000,
    filters=18,
    graphs=GraphSettings(channels=(4, 8, 16), graph_widths=(16, 16)),
    batch_size=8,
    learning_rate=1e-2,
    final_learning_rate=5e-4,
    max_steps=40,
)
SMALL_L = replace(
    SMALL,
    graphs=replace(PAPER_L.graphs, channels=(8, 8, 8, 8, 8), graph_widths=(8, 16)),
)
TINY_L = replace(TINY, graphs=replace(PAPER_L.graphs, channels=(4, 8, 8), graph_widths=(8, 16)))


class ResidualBlock2d(nn.Module):
    """Two 2 x 3 convolutions beside a shortcut, then a maximum over times; (batch, channels, bands, t)."""

    def __init__(self, inputs: int, outputs: int, settings: GraphSettings, *, first: bool) -> None:
        super().__init__()
        self.time_pool = settings.time_pool
        self.norm_input = nn.Identity() if first else nn.BatchNorm2d(inputs)
        self.norm_used = settings.first_norm and not first
        # The first adds a band and the second takes it away again.
        self.first = nn.Conv2d(inputs, outputs, (2, 3), padding=(1, 1))
        self.norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, (2, 3), padding=(0, 1))
        self.shortcut = (
            nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, (1, 3), padding=(0, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.selu(self.norm_input(x)) if self.norm_used else x
        hidden = F.selu(self.norm(self.first(hidden)))
        return F.max_pool2d(self.second(hidden) + self.shortcut(x), (1, self.time_pool))


class NodeNorm(nn.Module):
    """Batch norm over all nodes of all graphs, then SELU; (batch, nodes, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(self.norm(x.flatten(0, 1)).view(x.shape))


class GraphAttention(nn.Module):
    """Every node hears all others, by attention that follows from products of pairs of nodes."""

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.pairs = nn.Linear(inputs, outputs)
        self.attention = _attention_weight(outputs)
        self.attended = nn.Linear(inputs, outputs)
        self.own = nn.Linear(inputs, outputs)
        self.norm = NodeNorm(outputs)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(x)
        pairs = torch.tanh(self.pairs(x[:, :, None] * x[:, None]))
        attention = (pairs @ self.attention / self.temperature).softmax(dim=-2)[..., 0]
        return self.norm(self.attended(attention @ x) + self.own(x))


class HeterogeneousAttention(nn.Module):
    """Attention over nodes of two kinds, with a weight for each kind of pair, and a master node.

    Two sets of nodes (batch, n, width) and (batch, m, width) and a master (batch, 1, width) in and out.
    """

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.kinds = nn.ModuleList(nn.Linear(inputs, inputs) for _ in range(2))
        self.pairs = nn.Linear(inputs, outputs)
        self.master_pairs = nn.Linear(inputs, outputs)
        self.attention_first = _attention_weight(outputs)
        self.attention_second = _attention_weight(outputs)
        self.attention_between = _attention_weight(outputs)
        self.attention_master = _attention_weight(outputs)
        self.attended = nn.Linear(inputs, outputs)
        self.own = nn.Linear(inputs, outputs)
        self.master_attended = nn.Linear(inputs, outputs)
        self.master_own = nn.Linear(inputs, outputs)
        self.norm = NodeNorm(outputs)
        self.dropout = nn.Dropout(0.2)

    def forward(self, first: Tensor, second: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.cat([self.kinds[0](first), self.kinds[1](second)], dim=1)
        x = self.dropout(x)
        pairs = torch.tanh(self.pairs(x[:, :, None] * x[:, None]))
        n = first.shape[1]
        between = pairs @ self.attention_between
        energies = torch.cat(
            [
                torch.cat([pairs[:, :n, :n] @ self.attention_first, between[:, :n, n:]], dim=2),
                torch.cat([between[:, n:, :n], pairs[:, n:, n:] @ self.attention_second], dim=2),
            ],
            dim=1,
        )
        attention = (energies / self.temperature).softmax(dim=-2)[..., 0]
        heard = torch.tanh(self.master_pairs(x * master)) @ self.attention_master / self.temperature
        master_attention = heard.softmax(dim=-2).transpose(1, 2)
        master = self.master_attended(master_attention @ x) + self.master_own(master)
        x = self.norm(self.attended(attention @ x) + self.own(x))
        return x[:, :n], x[:, n:], master


class GraphPool(nn.Module):
    """Keep the share of the nodes with the highest scores, each multiplied by its score."""

    def __init__(self, share: float, width: int) -> None:
        super().__init__()
        self.share = share
        self.score = nn.Linear(width, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.sigmoid(self.score(self.dropout(x)))
        kept = max(1, int(x.shape[1] * self.share))
        chosen = scores.topk(kept, dim=1).indices
        return (x * scores).gather(1, chosen.expand(-1, -1, x.shape[2]))


class Branch(nn.Module):
    """Two heterogeneous layers with a pooling between them, the second added to the first."""

    def __init__(self, widths: tuple[int, int], share: float, temperature: float) -> None:
        super().__init__()
        self.master = nn.Parameter(torch.randn(1, 1, widths[0]))
        self.first = HeterogeneousAttention(*widths, temperature)
        self.second = HeterogeneousAttention(widths[1], widths[1], temperature)
        self.pool_times = GraphPool(share, widths[1])
        self.pool_bands = GraphPool(share, widths[1])
        self.dropout = nn.Dropout(0.2)

    def forward(self, times: Tensor, bands: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        times, bands, master = self.first(times, bands, self.master.expand(len(times), -1, -1))
        times, bands = self.pool_times(times), self.pool_bands(bands)
        more_times, more_bands, more_master = self.second(times, bands, master)
        return (
            self.dropout(times + more_times),
            self.dropout(bands + more_bands),
            self.dropout(master + more_master),
        )


class SpectroTemporalGraphs(nn.Module):
    """Pictures (batch, 1, bands, times) to embeddings (batch, 5 * graph width).

    Also the back end of detectors with other front ends.
    """

    def __init__(self, settings: GraphSettings, bands: int, *, momentum: float | None = 0.1) -> None:
        """Make the layers; ``momentum`` is that of the first norm, None for the mean of all batches."""
        super().__init__()
        widths = (1, *settings.channels)
        self.norm_first = nn.BatchNorm2d(1, momentum=momentum)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock2d(before, after, settings, first=number == 0)
                for number, (before, after) in enumerate(pairwise(widths))
            )
        )
        nodes, graph = settings.channels[-1], settings.graph_widths
        first_temperature, second_temperature = settings.temperatures
        self.band_positions = nn.Parameter(torch.randn(1, bands // POOL, nodes))
        self.band_graph = GraphAttention(nodes, graph[0], first_temperature)
        self.time_graph = GraphAttention(nodes, graph[0], first_temperature)
        self.pool_bands = GraphPool(settings.pool_shares[0], graph[0])
        self.pool_times = GraphPool(settings.pool_shares[1], graph[0])
        self.branches = nn.ModuleList(
            Branch(graph, settings.pool_shares[2], second_temperature) for _ in range(2)
        )
        self.dropout = nn.Dropout(0.5)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.blocks(F.selu(self.norm_first(F.max_pool2d(pictures, POOL)))).abs()
        bands = maps.amax(dim=3).transpose(1, 2) + self.band_positions
        times = maps.amax(dim=2).transpose(1, 2)
        bands, times = self.pool_bands(self.band_graph(bands)), self.pool_times(self.time_graph(times))
        found = [branch(times, bands) for branch in self.branches]
        times, bands, master = (first.maximum(second) for first, second in zip(*found, strict=True))
        parts = [
            times.abs().amax(dim=1),
            times.mean(dim=1),
            bands.abs().amax(dim=1),
            bands.mean(dim=1),
            master[:, 0],
        ]
        return self.dropout(torch.cat(parts, dim=1))


class AasistBody(nn.Module):
    """Waveforms (batch, samples) to embeddings (batch, 5 * graph width)."""

    def __init__(self, settings: AasistSettings) -> None:
        super().__init__()
        self.filters = SincFilters(settings.filters, settings.taps, settings.input.rate)
        # Nothing before the first norm is trained, so that all batches tell its mean and variance alike. At
        # the house's level the variance is so small that a running mean from 1 would take 150 steps to it.
        self.graphs = SpectroTemporalGraphs(settings.graphs, settings.filters, momentum=None)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.graphs(self.filters(waveforms).abs()[:, None])


def _attention_weight(width: int) -> nn.Parameter:
    weight = nn.Parameter(torch.empty(width, 1))
    nn.init.xavier_normal_(weight)
    return weight


@register
class Aasist(NetworkDetector):
    """AASIST on 4 s of waveform."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        name="aasist",
        title="AASIST: spectro-temporal graph attention on the waveform",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Jung et al.: AASIST: Audio Anti-Spoofing using Integrated Spectro-Temporal Graph Attention "
        "Networks, ICASSP 2022",
    )
    settings_class = AasistSettings

    @classmethod
    def build(cls, settings: AasistSettings) -> DetectorNetwork:
        """Make the network."""
        return DetectorNetwork(AasistBody(settings), TwoLogits(5 * settings.graphs.graph_widths[1]))


@register
class AasistL(Aasist):
    """The light variant of AASIST."""

    spec: ClassVar[DetectorSpec] = replace(
        Aasist.spec,
        name="aasist-l",
        title="AASIST-L: the light variant of AASIST",
        presets={"tiny": TINY_L, "small": SMALL_L, "paper": PAPER_L},
    )
