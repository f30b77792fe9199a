"""WaveNet: a stack of dilated causal convolutions gives the distribution of the next sample.

A. van den Oord et al., "WaveNet: A generative model for raw audio", arXiv 1609.03499, 2016; conditioned on
mel spectra as in J. Shen et al., "Natural TTS synthesis by conditioning WaveNet on mel spectrogram
predictions", ICASSP 2018. It is the vocoder that the exemplar paper names (its released code has
:mod:`doppelbench.baselines.vocoders.wavernn` instead).

Architecture: the previous sample enters a stack of layers, each a causal convolution of growing dilation, to
which a projection of the features is added, a gate tanh(a) * sigmoid(b), and two 1x1 convolutions, to the
residual path (scaled by the square root of 1/2) and to the sum of skips; ReLU, 1x1, ReLU, 1x1 give the scores
of the next sample. Loss: its negative log-likelihood. ``paper`` has the sizes of the vocoder of AutoVC (Qian
et al., ICML 2019): 24 layers in 4 stacks of dilations 1 to 32, kernel 3, 512 residual channels, 512 gate
channels (256 after the gate), 256 skips. ``logistics`` is the same with AutoVC's output.

Generation is cached (T. Le Paine et al., "Fast WaveNet generation algorithm", arXiv 1611.09482): every layer
keeps its past inputs in a ring, so that a sample costs one column of each convolution. On a CPU the loop is
compiled (:func:`doppelbench.baselines.vocoders.kernels.run_wavenet`), on a GPU it is torch.

Where papers and released code differ:

* output: a categorical distribution over mu-law classes as in the first paper, 8 bit (``bits``), the default;
  ``output="logistics"`` is the discretised mixture of 10 logistics of AutoVC's vocoder and of Shen et al.;
* upsampling: the first paper learns transposed convolutions, AutoVC's vocoder repeats and smooths by four
  factors of 4 for its hop of 256; here repetition and smoothing by 5, 5 and 8 for the house's hop of 200;
* AutoVC's vocoder has weight normalisation and dropout 0.05; neither is in the papers, both are left out;
* AutoVC's takes 16-bit steps in the likelihood of the mixture: kept;
* the first embedding of a class starts out linear in the companded value plus noise, so that a short
  training need not learn that neighbouring classes are neighbours; the papers do not say;
* pre-emphasis before, de-emphasis after: the features of the exemplar code ask for it, and it lowers the
  noise of 8-bit companding where speech is weak.

``small`` and ``tiny`` have kernel 2 (the first paper's), fewer and narrower layers, project the features to
fewer channels, anneal the learning rate and draw samples at a temperature of 0.9. ``small`` trains for
minutes and is no match for Griffin-Lim: copies of one voice of the built-in corpus (8 clips, 2,400 steps,
temperature 0.8) had 54 % word errors and a wide-band PESQ of 1.05, those of Griffin-Lim 4 % and 3.35. With
12,000 steps (recipe ``table-6``) it costs 5 points of word errors more than Griffin-Lim behind AutoVC and 14
behind the exemplar.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

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

# One frame for the convolution over the features, two for the blur of the upsampling.
CONVOLUTION_CONTEXT = 1
BLUR_CONTEXT = 2
# Width of a step of 16-bit sound in -1 to 1, and the smallest scale of a logistic, of the mixture's authors.
LOGISTIC_STEP = 2 / 65535
SMALLEST_LOG_SCALE = -16.0
# Samples whose conditioning is computed at a time.
CHUNK = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveNetSettings(NeuralVocoderSettings):
    """Hyperparameters; the defaults are those of AutoVC's vocoder with the first paper's output.

    Attributes:
        layers: dilated convolutions.
        stacks: times that the dilations 1, 2, 4 ... are gone through.
        kernel: of the dilated convolutions.
        residual: channels of the residual path.
        gates: channels of a dilated convolution, half of them filter and half gate.
        skips: channels of the sum of skips.
        condition_channels: of the features after one convolution.
        output: ``mu-law`` classes or a mixture of ``logistics``.
        bits: of the classes.
        logistics: components of the mixture.
    """

    layers: int = 24
    stacks: int = 4
    kernel: int = 3
    residual: int = 512
    gates: int = 512
    skips: int = 256
    condition_channels: int = 80
    output: Literal["mu-law", "logistics"] = "mu-law"
    bits: int = 8
    logistics: int = 10

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a size out of range.
        """
        NeuralVocoderSettings.__post_init__(self)
        if self.layers % self.stacks:
            raise DoppelbenchError(f"layers is {self.layers}; it must be a multiple of stacks, {self.stacks}")
        if self.gates % 2:
            raise DoppelbenchError(f"gates is {self.gates}; it must be even")
        if self.output not in ("mu-law", "logistics"):
            raise DoppelbenchError(f"output is {self.output!r}; it must be 'mu-law' or 'logistics'")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of the layers, from the first on."""
        return tuple(2 ** (layer % (self.layers // self.stacks)) for layer in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """Past samples that decide the next one."""
        return 1 + (self.kernel - 1) * sum(self.dilations)


PAPER = WaveNetSettings(crop_frames=40, max_steps=1_000_000)
LOGISTICS = replace(PAPER, output="logistics")
SMALL = WaveNetSettings(
    layers=10,
    stacks=1,
    kernel=2,
    residual=32,
    gates=64,
    skips=64,
    condition_channels=32,
    crop_frames=12,
    batch_size=2,
    learning_rate=4e-3,
    final_rate=0.02,
    max_steps=2400,
    temperature=0.9,
)
TINY = replace(
    SMALL, layers=6, residual=8, gates=16, skips=16, condition_channels=8, batch_size=2, max_steps=20
)


def logistic_mixture_loss(scores: Tensor, sound: Tensor) -> Tensor:
    """Mean negative log-likelihood of 16-bit sound under a discretised mixture of logistics.

    T. Salimans et al., "PixelCNN++", ICLR 2017: the probability of a step is a difference of the cumulative
    distribution; the outermost steps take the tails.

    Args:
        scores: (batch, samples, 3 * components): logits, means, logarithms of scales.
        sound: (batch, samples), range -1 to 1.
    """
    logits, means, log_scales = scores.chunk(3, dim=-1)
    log_scales = log_scales.clamp_min(SMALLEST_LOG_SCALE)
    centred, steepness = sound[..., None] - means, torch.exp(-log_scales)
    above, below = steepness * (centred + LOGISTIC_STEP / 2), steepness * (centred - LOGISTIC_STEP / 2)
    middle = steepness * centred
    mass = torch.sigmoid(above) - torch.sigmoid(below)
    density = middle - log_scales - 2 * F.softplus(middle) + float(np.log(LOGISTIC_STEP))
    inner = torch.where(mass > 1e-5, mass.clamp_min(1e-12).log(), density)
    lowest, highest = above - F.softplus(above), -F.softplus(below)
    likelihood = torch.where(
        sound[..., None] < -0.999, lowest, torch.where(sound[..., None] > 0.999, highest, inner)
    )
    return -torch.logsumexp(likelihood + logits.log_softmax(-1), dim=-1).mean()


class WaveNet(nn.Module):
    """The network; a first sample is preceded by silence."""

    context = CONVOLUTION_CONTEXT + BLUR_CONTEXT
    # Torch does not declare the types of what a list of modules holds.
    dilated: Any
    outputs: Any
    last: Any
    final: Any

    def __init__(self, settings: WaveNetSettings) -> None:
        super().__init__()
        self.settings = settings
        width, half = settings.residual, settings.gates // 2
        self.classes = 2**settings.bits
        self.is_scalar = settings.output == "logistics"
        outputs = 3 * settings.logistics if self.is_scalar else self.classes
        self.features = nn.Conv1d(
            settings.mel.n_mels, settings.condition_channels, 2 * CONVOLUTION_CONTEXT + 1
        )
        self.upsampling = Upsampling(settings.scales)
        self.entry = nn.Linear(1, width) if self.is_scalar else _ordered_embedding(self.classes, width)
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, settings.gates, settings.kernel, dilation=dilation)
            for dilation in settings.dilations
        )
        self.conditions = nn.Conv1d(
            settings.condition_channels, settings.layers * settings.gates, 1, bias=False
        )
        self.outputs = nn.ModuleList(nn.Conv1d(half, settings.skips + width, 1) for _ in settings.dilations)
        self.last = nn.Conv1d(settings.skips, settings.skips, 1)
        self.final = nn.Conv1d(settings.skips, outputs, 1)

    @property
    def silence(self) -> int:
        """The input that stands for a sample of zero."""
        return 0 if self.is_scalar else self.classes // 2

    def condition(self, features: Tensor) -> Tensor:
        """Features (batch, frames + 2 * context, bands) to sample rate, (batch, channels, frames * hop)."""
        cut = BLUR_CONTEXT * self.settings.mel.hop
        return self.upsampling(self.features(features.transpose(1, 2)))[..., cut:-cut]

    def inputs_of(self, sound: Tensor) -> Tensor:
        """What stands for sound in -1 to 1 at the input: its label, or itself."""
        return sound if self.is_scalar else mu_law_encode(sound, self.classes)

    def forward(self, previous: Tensor, condition: Tensor) -> Tensor:
        """Scores (batch, samples, outputs) of each next sample, given the inputs before (batch, samples) and
        the condition (batch, channels, samples)."""
        settings = self.settings
        entered = self.entry(previous[..., None].float()) if self.is_scalar else self.entry(previous)
        hidden, skip = entered.transpose(1, 2), 0
        conditions = self.conditions(condition).split(settings.gates, dim=1)
        for layer, dilation in enumerate(settings.dilations):
            padded = F.pad(hidden, ((settings.kernel - 1) * dilation, 0))
            filtered, gate = (self.dilated[layer](padded) + conditions[layer]).chunk(2, dim=1)
            output = self.outputs[layer](torch.tanh(filtered) * torch.sigmoid(gate))
            skip = skip + output[:, : settings.skips]
            hidden = (hidden + output[:, settings.skips :]) * 0.5**0.5
        top = F.relu(self.last(F.relu(skip)))  # type: ignore[arg-type]
        return self.final(top).transpose(1, 2)

    def loss(self, features: Tensor, sound: Tensor) -> Tensor:
        """Negative log-likelihood a sample, in nats; see :class:`VocoderNetwork`."""
        inputs = self.inputs_of(sound)
        previous = F.pad(inputs[:, :-1], (1, 0), value=self.silence)
        scores = self(previous, self.condition(features))
        if self.is_scalar:
            return logistic_mixture_loss(scores.float(), sound)
        return F.cross_entropy(scores.flatten(0, 1).float(), inputs.flatten())

    def generate(self, features: Tensor, uniforms: np.ndarray) -> np.ndarray:
        """Draw samples; see :class:`VocoderNetwork`."""
        condition = self.condition(features[None])[:, :, : len(uniforms)]
        walk = self.walk_compiled if features.device.type == "cpu" else self.walk_torch
        drawn, _ = walk(condition, uniforms)
        return drawn if self.is_scalar else mu_law_decode(drawn, self.classes)

    @torch.inference_mode()
    def walk_compiled(
        self, condition: Tensor, uniforms: np.ndarray, forced: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Go sample by sample with the compiled loop.

        Args:
            condition: (1, channels, samples).
            uniforms: (samples, 2) in (0, 1).
            forced: inputs (samples,) to take instead of drawn ones; the scores are returned then.

        Returns:
            Samples (labels or values), float32, and scores (samples, outputs) or an empty array.
        """
        from doppelbench.baselines.vocoders.kernels import run_wavenet

        settings, count = self.settings, len(uniforms)
        dilated = torch.stack([layer.weight.permute(2, 1, 0) for layer in self.dilated])
        outputs = torch.stack([layer.weight[..., 0].T for layer in self.outputs])
        weights = [
            dilated,
            outputs,
            torch.stack([layer.bias for layer in self.outputs]),
            self.last.weight[..., 0].T,
            self.last.bias,
            self.final.weight[..., 0].T,
            self.final.bias,
        ]
        arrays = [np.ascontiguousarray(weight.detach().numpy()) for weight in weights]
        bias = torch.stack([layer.bias for layer in self.dilated])
        lengths = [(settings.kernel - 1) * dilation + 1 for dilation in settings.dilations]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rings = np.zeros((int(offsets[-1]), settings.residual), np.float32)
        samples = np.empty(count, np.float32)
        scores = np.empty((0 if forced is None else count, self.final.out_channels), np.float32)
        previous = np.float32(self.silence)
        for start in range(0, count, CHUNK):
            part = slice(start, min(start + CHUNK, count))
            added = self.conditions(condition[:, :, part])[0].T.unflatten(1, bias.shape) + bias
            previous = run_wavenet(
                self._entry_rows(),
                self.is_scalar,
                np.array(settings.dilations),
                *arrays,
                np.ascontiguousarray(added.detach().numpy()),
                np.float32(settings.temperature),
                uniforms[part],
                np.empty(0, np.float32) if forced is None else forced[part].astype(np.float32),
                rings,
                offsets,
                start,
                previous,
                samples[part],
                scores[part],
            )
        return samples, scores

    @torch.inference_mode()
    def walk_torch(
        self, condition: Tensor, uniforms: np.ndarray, forced: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Go sample by sample on the network's device; as :meth:`walk_compiled`."""
        settings, count = self.settings, len(uniforms)
        device, reach = condition.device, settings.kernel - 1
        numbers = torch.from_numpy(uniforms).to(device)
        rings = [
            torch.zeros(1, settings.residual, reach * dilation + 1, device=device)
            for dilation in settings.dilations
        ]
        rows = torch.from_numpy(self._entry_rows()).to(device)
        previous = torch.tensor(float(self.silence), device=device)
        samples, scores = torch.empty(count, device=device), []
        for time in range(count):
            hidden = previous * rows[0] + rows[1] if self.is_scalar else rows[previous.long()]
            hidden, skip = hidden[None, :, None], 0
            added = self.conditions(condition[:, :, time : time + 1]).split(settings.gates, dim=1)
            for layer, dilation in enumerate(settings.dilations):
                ring = rings[layer]
                length = ring.shape[-1]
                ring[..., time % length] = hidden[..., 0]
                taps = [(time - (reach - tap) * dilation) % length for tap in range(settings.kernel)]
                convolved = F.conv1d(ring[..., taps], self.dilated[layer].weight, self.dilated[layer].bias)
                filtered, gate = (convolved + added[layer]).chunk(2, dim=1)
                output = self.outputs[layer](torch.tanh(filtered) * torch.sigmoid(gate))
                skip = skip + output[:, : settings.skips]
                hidden = (hidden + output[:, settings.skips :]) * 0.5**0.5
            score = self.final(F.relu(self.last(F.relu(skip))))[0, :, 0]  # type: ignore[arg-type]
            if forced is None:
                previous = self._draw(score, numbers[time])
            else:
                scores.append(score)
                previous = torch.tensor(float(forced[time]), device=device)
            samples[time] = previous
        told = torch.stack(scores).cpu().numpy() if scores else np.empty((0, 0), np.float32)
        return samples.cpu().numpy(), told

    def _entry_rows(self) -> np.ndarray:
        if isinstance(self.entry, nn.Embedding):
            return self.entry.weight.detach().cpu().numpy()
        return np.stack([part.detach().cpu().numpy() for part in (self.entry.weight[:, 0], self.entry.bias)])

    def _draw(self, score: Tensor, uniform: Tensor) -> Tensor:
        temperature = self.settings.temperature
        if not self.is_scalar:
            return _invert_softmax(score / temperature, uniform[0]).float()
        logits, means, log_scales = score.chunk(3)
        chosen = _invert_softmax(logits, uniform[0])
        scale = temperature * log_scales[chosen].clamp_min(SMALLEST_LOG_SCALE).exp()
        return (means[chosen] + scale * torch.logit(uniform[1])).clamp(-1, 1)


def _invert_softmax(scores: Tensor, uniform: Tensor) -> Tensor:
    reached = torch.softmax(scores.double(), dim=-1).cumsum(-1)
    return (reached < uniform * reached[-1]).sum().clamp(max=len(scores) - 1)


def _ordered_embedding(classes: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(classes, width)
    values = torch.linspace(-1, 1, classes)[:, None]
    with torch.no_grad():
        embedding.weight.mul_(0.05).add_(2 * values * torch.randn(1, width))
    return embedding


class WaveNetVocoder(NeuralVocoder):
    """WaveNet, conditioned on the house's features."""

    name: ClassVar[str] = "wavenet"
    presets: ClassVar[Mapping[str, Any]] = {
        "tiny": TINY,
        "small": SMALL,
        "paper": PAPER,
        "logistics": LOGISTICS,
    }
    settings_kind = WaveNetSettings
    settings: WaveNetSettings

    def make_network(self) -> WaveNet:
        return WaveNet(self.settings)
