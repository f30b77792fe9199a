"""StarGAN-VC: one generator for all pairs of a closed set of speakers, trained against a domain classifier.

H. Kameoka, T. Kaneko, K. Tanaka, N. Hojo, "StarGAN-VC: Non-parallel many-to-many voice conversion using star
generative adversarial networks", SLT 2018; and by the same authors "Nonparallel voice conversion with
augmented classifier star generative adversarial networks", IEEE/ACM TASLP 28, 2020, whose Wasserstein
formulation is what is built here.

Of the released variants this one follows the author's own (mel spectrograms, one-dimensional convolutions,
0.57 M + 0.09 M values), not the image-like one that others used as their StarGAN (WORLD envelopes, residual
blocks, no identity loss, 9.07 M + 11.23 M).

Architecture: generator of gated convolutions over time (every layer is a convolution with weight norm, an
instance norm and a gated linear unit): kernels 9, 8 (stride 2), 8 (stride 2), 5, 5 down to 16 channels at a
quarter of the frame rate; then transposed convolutions 5, 5, 8 (stride 2), 8 (stride 2), each fed with a
16-number embedding of the target beside its input; a last convolution of kernel 9. It takes no source
identity. Discriminator and domain classifier share four gated convolutions with dropout 0.1; each has one
more convolution, so that both answer for every fourth frame.

Losses, all of weight 1: Wasserstein adversarial loss with gradient penalty, cross-entropy of the domain
classifier (of real speech for the classifier, of conversions for the generator), L1 cycle consistency, L1
identity. Conversions to the own speaker count as fakes too. Generator before discriminator in each step;
the norm of each gradient is cut at 1.

Where paper and released code differ, and what is chosen:

* in the code the embedding of the target enters decoder layers whose instance norm takes it out again: what
  is constant over time vanishes with the mean, except near the edges, so only the last layer, which has no
  norm, hears of the target, as a constant offset of the spectrum. Here the instance norms of the decoder
  are conditional: scale and shift belong to the target;
* the 2018 paper has a discriminator that is told the target and a separate classifier; the code (and the
  2020 paper) has one trunk with two heads: as the code;
* the code divides the cross-entropy by the number of logits, so that its weight falls with the number of
  speakers; here it is the mean over positions;
* the gradient penalty is taken of the sum over positions though the critic's loss is the mean, as in the
  code: it sets the scale of the adversarial loss, whose gradient would else be larger by the number of
  positions;
* the code makes batches of 12 whole utterances of one speaker and 12 of another, and goes through all pairs
  of speakers; here every one of 24 random crops has a source and a target of its own: the same pairs in
  expectation, and a padded utterance is never seen. 2,000 epochs over the six pairs of four speakers with
  about 1,000 utterances each are 1,000,000 steps;
* the code's recurrent generator is not built;
* the vocoders of the paper's authors (Parallel WaveGAN, HiFi-GAN) are a seat
  (:mod:`doppelbench.baselines.vocoders`).

``paper`` has the published features (window 1024, hop 128, 80 bands from 80 to 7600 Hz, no pre-emphasis,
z-normalised over all speakers). ``small`` and ``tiny`` have the house's mel. ``small`` keeps the published
widths and differs in crops of 128 frames, batches of 8, 700 steps, rates of 1e-3 and 3e-5 (at 5e-6 the
discriminator would hardly move in so few steps; the faster it learns the less is kept of the words: after 700
steps the identity loss was 0.66 at 5e-4, 0.60 at 1e-4 and 0.46 at 3e-5), and in layer norm, which the
released code offers too, in the discriminator and classifier: instance norm takes away
the mean spectrum that tells speakers apart. On the built-in corpus the classifier alone named 65 % of crops
after 800 steps with instance norm, and more than 99 % after 200 with layer norm.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.registry import register
from doppelbench.baselines.stargan_common import (
    AdversarialModule,
    ConditionalInstanceNorm,
    Conversion,
    Normalization,
    PairBatch,
    StarganSettings,
    StarganSystem,
)
from doppelbench.baselines.system import SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLimSettings
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.features import MelSettings

PUBLISHED_MEL = MelSettings(
    n_fft=1024,
    window=1024,
    hop=128,
    low_hz=80.0,
    high_hz=7600.0,
    preemphasis=0.0,
    # Without pre-emphasis the low bands are louder than the house's range.
    max_db=40.0,
)


@dataclass(frozen=True, slots=True)
class StarganVCSettings(StarganSettings):
    """Hyperparameters; the defaults are those of the released code."""

    crop_frames: int = 256
    batch_size: int = 24
    generator_rate: float = 5e-4
    discriminator_rate: float = 5e-6
    cycle_weight: float = 1.0
    identity_weight: float = 1.0
    max_steps: int = 1_000_000
    mel: MelSettings = field(default_factory=lambda: PUBLISHED_MEL)
    channels: int = 64
    bottleneck: int = 16
    embedding: int = 16
    discriminator_channels: int = 32
    discriminator_dropout: float = 0.1
    discriminator_norm: Literal["instance", "layer"] = "instance"
    adversarial_weight: float = 1.0
    penalty_weight: float = 1.0
    class_weight: float = 1.0
    largest_norm: float = 1.0


PAPER = StarganVCSettings()
SMALL = replace(
    PAPER,
    crop_frames=128,
    batch_size=8,
    generator_rate=1e-3,
    discriminator_rate=3e-5,
    discriminator_norm="layer",
    max_steps=700,
    mel=MelSettings(),
)
TINY = replace(
    SMALL,
    crop_frames=32,
    batch_size=4,
    max_steps=20,
    channels=16,
    bottleneck=8,
    embedding=4,
    discriminator_channels=8,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)


def weight_normed(layer: Any) -> Any:
    """Give a convolution small first weights (Xavier, gain 0.1) and weight norm."""
    nn.init.xavier_normal_(layer.weight, gain=0.1)
    return nn.utils.parametrizations.weight_norm(layer)


class LayerNorm(nn.LayerNorm):
    """Layer norm over the channels of every frame of (batch, channels, frames)."""

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden.transpose(1, 2)).transpose(1, 2)


class GatedConvolution(nn.Module):
    """Convolution, norm, gated linear unit; (batch, inputs, frames) to (batch, outputs, frames / stride)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        norm: Literal["instance", "layer"] = "instance",
    ) -> None:
        super().__init__()
        self.convolution = weight_normed(
            nn.Conv1d(inputs, 2 * outputs, kernel, stride, padding=(kernel - stride) // 2)
        )
        self.norm = LayerNorm(2 * outputs) if norm == "layer" else nn.InstanceNorm1d(2 * outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        return F.glu(self.norm(self.convolution(hidden)), dim=1)


class GatedDeconvolution(nn.Module):
    """Transposed convolution of input and speaker embedding, conditional instance norm, gated linear unit."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, embedding: int, speakers: int
    ) -> None:
        super().__init__()
        self.convolution = weight_normed(
            nn.ConvTranspose1d(
                inputs + embedding, 2 * outputs, kernel, stride, padding=(kernel - stride) // 2
            )
        )
        self.norm = ConditionalInstanceNorm(2 * outputs, speakers, source=False)

    def forward(self, hidden: Tensor, embedded: Tensor, target: Tensor) -> Tensor:
        hidden = self.convolution(beside(hidden, embedded))
        return F.glu(self.norm(hidden, target), dim=1)


def beside(hidden: Tensor, embedded: Tensor) -> Tensor:
    """Put an embedding (batch, size) beside every frame of (batch, channels, frames)."""
    return torch.cat([hidden, embedded[..., None].expand(-1, -1, hidden.shape[-1])], dim=1)


class Generator(nn.Module):
    """Normalised features (batch, bands, frames) of anybody to those of the target; frames a multiple of
    4."""

    def __init__(self, settings: StarganVCSettings, speakers: int) -> None:
        super().__init__()
        bands, width, size = settings.mel.n_mels, settings.channels, settings.embedding
        self.encoder = nn.Sequential(
            GatedConvolution(bands, width, 9),
            GatedConvolution(width, width, 8, 2),
            GatedConvolution(width, width, 8, 2),
            GatedConvolution(width, width, 5),
            GatedConvolution(width, settings.bottleneck, 5),
        )
        self.embedding = nn.Embedding(speakers, size)
        self.decoder = nn.ModuleList(
            [
                GatedDeconvolution(settings.bottleneck, width, 5, 1, size, speakers),
                GatedDeconvolution(width, width, 5, 1, size, speakers),
                GatedDeconvolution(width, width, 8, 2, size, speakers),
                GatedDeconvolution(width, width, 8, 2, size, speakers),
            ]
        )
        self.output = nn.Conv1d(width + size, bands, 9, padding=4)

    def forward(self, features: Tensor, target: Tensor, source: Tensor | None = None) -> Tensor:
        hidden, embedded = self.encoder(features), self.embedding(target)
        for layer in self.decoder:
            hidden = layer(hidden, embedded, target)
        return self.output(beside(hidden, embedded))


class Discriminator(nn.Module):
    """Normalised features to a critic's values (batch, 1, frames / 4) and speaker logits (batch, speakers,
    frames / 4)."""

    def __init__(self, settings: StarganVCSettings, speakers: int) -> None:
        super().__init__()
        width = settings.discriminator_channels
        layers: list[nn.Module] = []
        for inputs, kernel, stride in (
            (settings.mel.n_mels, 9, 1),
            (width, 8, 2),
            (width, 8, 2),
            (width, 5, 1),
        ):
            layers += [GatedConvolution(inputs, width, kernel, stride, settings.discriminator_norm)]
            layers += [nn.Dropout(settings.discriminator_dropout)]
        self.trunk = nn.Sequential(*layers)
        self.critic = nn.Conv1d(width, 1, 5, padding=2, bias=False)
        self.classifier = nn.Conv1d(width, speakers, 5, padding=2, bias=False)
        for head in (self.critic, self.classifier):
            nn.init.xavier_normal_(head.weight, gain=0.1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(features)
        return self.critic(hidden), self.classifier(hidden)


def class_loss(logits: Tensor, speaker: Tensor) -> Tensor:
    """Cross-entropy of logits (batch, speakers, positions) with one speaker (batch,) for all positions."""
    return F.cross_entropy(logits, speaker[:, None].expand(-1, logits.shape[-1]))


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Squared distance from 1 of the norm of the critic's gradient between real and fake.

    I. Gulrajani et al., "Improved training of Wasserstein GANs", NIPS 2017; the critic is summed over
    positions.
    """
    share = torch.rand(len(real), 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(between)[0].sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class StarganVCModule(AdversarialModule):
    """One step of the generator, then one of discriminator and classifier."""

    def __init__(self, conversion: Conversion, settings: StarganVCSettings, speakers: int) -> None:
        super().__init__(conversion, settings)
        self.settings = settings
        self.discriminator = Discriminator(settings, speakers)

    def generator_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the generator by name, without their weights."""
        generator, real = self.conversion.generator, batch.features
        same, other = generator(real, batch.source), generator(real, batch.target)
        returned = generator(other, batch.source)
        critic, logits = self.discriminator(torch.cat([same, other]))
        return {
            "adversarial": -critic.mean(),
            "class": class_loss(logits, torch.cat([batch.source, batch.target])),
            "cycle": F.l1_loss(returned, real),
            "identity": F.l1_loss(same, real),
        }

    def discriminator_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of discriminator and classifier by name, without their weights."""
        real = batch.features
        with torch.no_grad():
            same = self.conversion.generator(real, batch.source)
            other = self.conversion.generator(real, batch.target)
        critic, logits = self.discriminator(real)
        fake, _ = self.discriminator(torch.cat([same, other]))
        return {
            "critic": fake.mean() - critic.mean(),
            "real_class": class_loss(logits, batch.source),
            "penalty": gradient_penalty(self.discriminator, real, other),
        }

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        pairs, settings = self.normalized(batch), self.settings
        generator_optimizer, discriminator_optimizer = self.optimizers()  # type: ignore[misc, attr-defined]
        made = self.generator_losses(pairs)
        loss = (
            settings.adversarial_weight * made["adversarial"]
            + settings.class_weight * made["class"]
            + settings.cycle_weight * made["cycle"]
            + settings.identity_weight * made["identity"]
        )
        self.descend(generator_optimizer, loss, self.conversion.generator, settings.largest_norm)
        judged = self.discriminator_losses(pairs)
        judged_loss = (
            settings.adversarial_weight * judged["critic"]
            + settings.class_weight * judged["real_class"]
            + settings.penalty_weight * judged["penalty"]
        )
        self.descend(discriminator_optimizer, judged_loss, self.discriminator, settings.largest_norm)
        self.log_dict({**made, **judged, "loss": loss})

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        settings = self.settings
        return [
            torch.optim.Adam(
                self.conversion.generator.parameters(), settings.generator_rate, betas=(0.9, 0.999)
            ),
            torch.optim.Adam(
                self.discriminator.parameters(), settings.discriminator_rate, betas=(0.5, 0.999)
            ),
        ]


@register
class StarganVC(StarganSystem):
    """One generator for all speakers; anybody can be the source."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="stargan-vc",
        title="StarGAN-VC",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Kameoka et al.: StarGAN-VC: Non-parallel many-to-many voice conversion using star generative "
        "adversarial networks, SLT 2018",
        needs=frozenset({"speakers"}),
    )
    settings_kind: ClassVar[type[StarganSettings]] = StarganVCSettings
    settings: StarganVCSettings

    def new_conversion(self, speakers: int) -> Conversion:
        return Conversion(Generator(self.settings, speakers), Normalization(1, self.settings.mel.n_mels))

    def new_module(self, conversion: Conversion, speakers: int) -> StarganVCModule:
        return StarganVCModule(conversion, self.settings, speakers)

    def source_index(self, clip: Clip) -> int:
        """The generator is not told who speaks."""
        return 0
