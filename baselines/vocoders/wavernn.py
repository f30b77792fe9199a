"""WaveRNN: two gated recurrent layers give the distribution of the next sample.

N. Kalchbrenner et al., "Efficient neural audio synthesis", ICML 2018, in the form that the released exemplar
code uses as its vocoder (the paper names WaveNet): one 9-bit mu-law sample at a time instead of two halves of
16 bit.

Architecture: a residual network of 1x1 convolutions over the features (10 blocks, 128 wide, after one
convolution over 5 frames) gives auxiliary features, repeated to sample rate; the features themselves are
upsampled by repetition and smoothing, 5 x 5 x 8. Previous sample, features and a quarter of the auxiliary
features enter a linear layer of 512; two GRUs of 512 with residual connections, then two layers of 512 with
ReLU, each given a further quarter, and a linear layer to 512 classes: 4.48 million parameters. Loss:
cross-entropy.

Generation runs sample by sample in a compiled loop, or folded: long speech is cut into overlapping stretches
that are generated as one batch and cross-faded, which is what makes a network of this size bearable.
``paper`` folds at 8000 samples with 800 of overlap, as the released code does; ``small`` and ``tiny`` do not
fold, since a seam can be heard.

Where paper and released code differ: the output above; and the released code trains at a learning rate of
1e-4 with an effectively unlimited gradient norm, which is kept. Cross-fades keep the sum of the two gains at
1, the stretches before and after a seam being conditioned on the same features. The released code repeats
features that it pads with zeros; here they are padded with the nearest frame. It fades the last 20 hops of
speech out, which is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.vocoders.neural import (
    NeuralVocoder,
    NeuralVocoderSettings,
    Upsampling,
    mu_law_decode,
    mu_law_encode,
)
from doppelbench.corpora.errors import DoppelbenchError

# Samples whose conditioning is computed at a time.
CHUNK = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveRNNSettings(NeuralVocoderSettings):
    """Hyperparameters; the defaults are those of the released exemplar code.

    Attributes:
        cells: of each GRU.
        dense: width of the two layers after them.
        residual_blocks: over the features.
        residual_channels: their width.
        auxiliary: channels of the auxiliary features, used in four parts.
        bits: of the mu-law classes.
        folded: whether long speech is generated in stretches, as one batch.
        fold: samples of a stretch.
        overlap: samples that neighbouring stretches share.
    """

    cells: int = 512
    dense: int = 512
    residual_blocks: int = 10
    residual_channels: int = 128
    auxiliary: int = 128
    bits: int = 9
    folded: bool = True
    fold: int = 8000
    overlap: int = 800

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a size out of range.
        """
        NeuralVocoderSettings.__post_init__(self)
        if self.auxiliary % 4:
            raise DoppelbenchError(f"auxiliary is {self.auxiliary}; it must be a multiple of 4")


PAPER = WaveRNNSettings(crop_frames=5, batch_size=32, learning_rate=1e-4, max_steps=50_000)
SMALL = WaveRNNSettings(
    cells=128,
    dense=128,
    residual_blocks=2,
    residual_channels=32,
    auxiliary=32,
    bits=8,
    folded=False,
    crop_frames=6,
    batch_size=8,
    learning_rate=4e-3,
    final_rate=0.02,
    max_steps=1000,
    temperature=0.9,
)
TINY = replace(
    SMALL, cells=16, dense=16, residual_channels=8, auxiliary=8, crop_frames=4, batch_size=2, max_steps=20
)


class ResidualBlock(nn.Module):
    """Two 1x1 convolutions with batch norm beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 1, bias=False)
        self.first_norm = nn.BatchNorm1d(channels)
        self.second = nn.Conv1d(channels, channels, 1, bias=False)
        self.second_norm = nn.BatchNorm1d(channels)

    def forward(self, hidden: Tensor) -> Tensor:
        first = F.relu(self.first_norm(self.first(hidden)))
        return hidden + self.second_norm(self.second(first))


class AuxiliaryNetwork(nn.Module):
    """Features (batch, bands, frames + 2 * context) to auxiliary features (batch, channels, frames)."""

    def __init__(self, settings: WaveRNNSettings, context: int) -> None:
        super().__init__()
        width = settings.residual_channels
        self.entry = nn.Conv1d(settings.mel.n_mels, width, 2 * context + 1, bias=False)
        self.entry_norm = nn.BatchNorm1d(width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(settings.residual_blocks)))
        self.exit = nn.Conv1d(width, settings.auxiliary, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.exit(self.blocks(F.relu(self.entry_norm(self.entry(features)))))


class WaveRNN(nn.Module):
    """The network; a first sample is preceded by silence."""

    context = 2
    # Torch does not declare the types of a recurrent layer's weights.
    first_gru: Any
    second_gru: Any

    def __init__(self, settings: WaveRNNSettings) -> None:
        super().__init__()
        self.settings = settings
        self.classes = 2**settings.bits
        cells, part = settings.cells, settings.auxiliary // 4
        self.auxiliary = AuxiliaryNetwork(settings, self.context)
        self.upsampling = Upsampling(settings.scales)
        self.entry = nn.Linear(1 + settings.mel.n_mels + part, cells)
        self.first_gru = nn.GRU(cells, cells, batch_first=True)
        self.second_gru = nn.GRU(cells + part, cells, batch_first=True)
        self.first_dense = nn.Linear(cells + part, settings.dense)
        self.second_dense = nn.Linear(settings.dense + part, settings.dense)
        self.final = nn.Linear(settings.dense, self.classes)

    def condition(self, features: Tensor) -> Tensor:
        """Features (batch, frames + 2 * context, bands) to sample rate, (batch, frames * hop, bands +
        auxiliary)."""
        given = features.transpose(1, 2)
        cut = self.context * self.settings.mel.hop
        upsampled = self.upsampling(given)[..., cut:-cut]
        auxiliary = self.auxiliary(given).repeat_interleave(self.settings.mel.hop, dim=-1)
        return torch.cat([upsampled, auxiliary], dim=1).transpose(1, 2)

    def value_of(self, labels: Tensor) -> Tensor:
        """The input that stands for labels: the companded value, -1 to 1."""
        return 2 * labels.float() / (self.classes - 1) - 1

    def forward(self, previous: Tensor, condition: Tensor) -> Tensor:
        """Scores (batch, samples, classes) of each next sample, given the companded values before (batch,
        samples) and the condition (batch, samples, channels)."""
        parts = self._parts(condition)
        hidden = self.entry(torch.cat([previous[..., None], parts[0]], dim=-1))
        hidden = hidden + self.first_gru(hidden)[0]
        hidden = hidden + self.second_gru(torch.cat([hidden, parts[1]], dim=-1))[0]
        return self._scores(hidden, parts)

    def loss(self, features: Tensor, sound: Tensor) -> Tensor:
        """Negative log-likelihood a sample, in nats; see :class:`VocoderNetwork`."""
        labels = mu_law_encode(sound, self.classes)
        previous = F.pad(self.value_of(labels[:, :-1]), (1, 0))
        scores = self(previous, self.condition(features))
        return F.cross_entropy(scores.flatten(0, 1).float(), labels.flatten())

    def generate(self, features: Tensor, uniforms: np.ndarray) -> np.ndarray:
        """Draw samples, folded when the settings say so and the speech is longer than a stretch; see
        :class:`VocoderNetwork`."""
        settings = self.settings
        condition = self.condition(features[None])[:, : len(uniforms)]
        if settings.folded and len(uniforms) > settings.fold + 2 * settings.overlap:
            rows = fold(len(uniforms), settings.fold, settings.overlap)
            inside = torch.from_numpy(rows.clip(max=len(uniforms) - 1)).to(condition.device)
            labels, _ = self.walk_torch(condition[0][inside], uniforms[inside.cpu().numpy()])
            return unfold(mu_law_decode(labels, self.classes), rows, settings.overlap)[: len(uniforms)]
        if condition.device.type == "cpu":
            labels, _ = self.walk_compiled(condition, uniforms)
        else:
            labels = self.walk_torch(condition, uniforms[None])[0][0]
        return mu_law_decode(labels, self.classes)

    @torch.inference_mode()
    def walk_compiled(
        self, condition: Tensor, uniforms: np.ndarray, forced: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Go sample by sample with the compiled loop.

        What the condition adds to each layer is computed for many samples at once. So is, up to a factor,
        what the previous sample adds through the entry, which is linear.

        Args:
            condition: (1, samples, channels).
            uniforms: (samples, 2) in (0, 1).
            forced: labels (samples,) to take instead of drawn ones; the scores are returned then.

        Returns:
            Labels (samples,), float32, and scores (samples, classes) or an empty array.
        """
        from doppelbench.baselines.vocoders.kernels import run_wavernn

        cells, dense, count = self.settings.cells, self.settings.dense, len(uniforms)
        first, second = self.first_gru, self.second_gru
        entered = [first.weight_ih_l0, second.weight_ih_l0[:, :cells], self.first_dense.weight[:, :cells]]
        by_sample = torch.cat(entered) @ self.entry.weight[:, 0]
        weights = [
            by_sample,
            first.weight_hh_l0.T,
            first.bias_hh_l0,
            second.weight_ih_l0[:, :cells].T,
            second.weight_hh_l0.T,
            second.bias_hh_l0,
            self.first_dense.weight[:, :cells].T,
            self.second_dense.weight[:, :dense].T,
            self.final.weight.T,
            self.final.bias,
        ]
        arrays = [np.ascontiguousarray(weight.detach().numpy()) for weight in weights]
        states = np.zeros((2, cells), np.float32)
        labels = np.empty(count, np.float32)
        scores = np.empty((0 if forced is None else count, self.classes), np.float32)
        previous = np.float32(0)
        for start in range(0, count, CHUNK):
            chunk = slice(start, min(start + CHUNK, count))
            previous = run_wavernn(
                *arrays,
                self._added(condition[0, chunk]),
                np.float32(self.settings.temperature),
                uniforms[chunk],
                np.empty(0, np.float32) if forced is None else forced[chunk].astype(np.float32),
                states,
                previous,
                labels[chunk],
                scores[chunk],
            )
        return labels, scores

    @torch.inference_mode()
    def walk_torch(self, condition: Tensor, uniforms: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Go sample by sample on the network's device, many stretches at once.

        Args:
            condition: (stretches, samples, channels).
            uniforms: (stretches, samples, 2) in (0, 1).

        Returns:
            Labels (stretches, samples) and the scores of the last sample.
        """
        numbers = torch.from_numpy(uniforms[..., 0]).to(condition.device).double()
        first = second = condition.new_zeros(len(condition), self.settings.cells)
        previous = condition.new_zeros(len(condition), 1)
        labels, scores = [], condition.new_zeros(len(condition), self.classes)
        for time in range(condition.shape[1]):
            parts = self._parts(condition[:, time])
            hidden = self.entry(torch.cat([previous, parts[0]], dim=-1))
            first = _gru_step(self.first_gru, hidden, first)
            hidden = hidden + first
            second = _gru_step(self.second_gru, torch.cat([hidden, parts[1]], dim=-1), second)
            scores = self._scores(hidden + second, parts)
            reached = torch.softmax(scores.double() / self.settings.temperature, dim=-1).cumsum(-1)
            wanted = numbers[:, time, None] * reached[:, -1:]
            drawn = (reached < wanted).sum(-1).clamp(max=self.classes - 1)
            labels.append(drawn)
            previous = self.value_of(drawn)[:, None]
        return torch.stack(labels, dim=1).cpu().numpy(), scores

    def _parts(self, condition: Tensor) -> list[Tensor]:
        """The entry's share of the condition, with the features, and the three later ones."""
        part = self.settings.auxiliary // 4
        return list(condition.split([self.settings.mel.n_mels + part, part, part, part], dim=-1))

    def _scores(self, hidden: Tensor, parts: list[Tensor]) -> Tensor:
        hidden = F.relu(self.first_dense(torch.cat([hidden, parts[2]], dim=-1)))
        return self.final(F.relu(self.second_dense(torch.cat([hidden, parts[3]], dim=-1))))

    def _added(self, condition: Tensor) -> np.ndarray:
        """What the condition (samples, channels) and the biases add to both GRUs and both dense layers."""
        cells, dense = self.settings.cells, self.settings.dense
        parts = self._parts(condition)
        entered = F.linear(parts[0], self.entry.weight[:, 1:], self.entry.bias)
        later = torch.cat([entered, parts[1]], dim=-1)
        added = torch.cat(
            [
                F.linear(entered, self.first_gru.weight_ih_l0, self.first_gru.bias_ih_l0),
                F.linear(later, self.second_gru.weight_ih_l0, self.second_gru.bias_ih_l0),
                F.linear(
                    torch.cat([entered, parts[2]], dim=-1), self.first_dense.weight, self.first_dense.bias
                ),
                F.linear(parts[3], self.second_dense.weight[:, dense:], self.second_dense.bias),
            ],
            dim=-1,
        )
        assert added.shape[-1] == 6 * cells + 2 * dense
        return np.ascontiguousarray(added.detach().numpy())


def _gru_step(layer: Any, given: Tensor, state: Tensor) -> Tensor:
    return torch.gru_cell(
        given, state, layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0
    )


def fold(samples: int, length: int, overlap: int) -> np.ndarray:
    """Cut 0 to samples - 1 into stretches of ``length`` with ``overlap`` more at both ends.

    Returns:
        Indices (stretches, length + 2 * overlap); the last stretch may reach beyond the end.
    """
    starts = np.arange(0, max(samples - overlap, 1), length + overlap)
    return starts[:, None] + np.arange(length + 2 * overlap)


def unfold(stretches: np.ndarray, indices: np.ndarray, overlap: int) -> np.ndarray:
    """Join what :func:`fold` cut, cross-fading the overlaps with gains that add up to 1."""
    rising = (np.arange(overlap) + 0.5) / overlap
    gains = np.ones(indices.shape)
    gains[1:, :overlap] = rising
    gains[:-1, -overlap:] = rising[::-1]
    joined = np.zeros(int(indices.max()) + 1)
    np.add.at(joined, indices, gains * stretches)
    return joined.astype(np.float32)


class WaveRNNVocoder(NeuralVocoder):
    """WaveRNN of the released exemplar code, conditioned on the house's features."""

    name: ClassVar[str] = "wavernn"
    presets: ClassVar[Mapping[str, Any]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}
    settings_kind = WaveRNNSettings
    settings: WaveRNNSettings

    def make_network(self) -> WaveRNN:
        return WaveRNN(self.settings)
