"""StarGAN-VC2: one generator for all pairs of a closed set of speakers, conditioned on source and target.

T. Kaneko, H. Kameoka, K. Tanaka, N. Hojo, "StarGAN-VC2: Rethinking conditional methods for StarGAN-based
voice conversion", Interspeech 2019.

There is no code by the authors. The sizes of layers are those of the public implementation that comes
nearest (generator 8.71 M, discriminator 5.73 M values for four speakers), with its stated departures from
the paper undone: source-and-target conditioning in the generator, pixel shuffle, 34 coefficients, 300,000
steps, one step of the generator for each of the discriminator.

Architecture: generator "2-1-2-D": gated two-dimensional convolutions (3 x 9; 4 x 8 stride 2, twice, with
instance norm) halve bands and frames twice; channels and bands are joined and brought to 256 by a 1 x 1
convolution over time; nine gated one-dimensional convolutions of kernel 3, each with a conditional instance
norm whose scale and shift belong to the pair of source and target; back to two dimensions, where two gated
convolutions with pixel shuffle double bands and frames; a last 3 x 9 convolution. Discriminator: gated
two-dimensional convolutions (3 x 3; 3 x 3 stride 2, three times; 1 x 5, with instance norm), global sum
pooling, a linear layer, and the projection: the inner product of the pooled features and an embedding of
source and target (T. Miyato and M. Koyama, "cGANs with projection discriminator", ICLR 2018).

Losses: source-and-target conditional adversarial loss in the least-squares form, weight 1: a recording of
speaker s is real as the outcome of a conversion from any t to s, a conversion from s to t is fake as one from
s to t; L1 cycle consistency, weight 10; L1 identity, weight 5, in the first 10,000 steps. There is no
classifier.

Where paper and public code differ, or the paper is silent, and what is chosen:

* the code tells the generator the target alone; here scale and shift are linear in the one-hot vectors of
  source and target put together, as the embedding of the discriminator is in both;
* the code's upsampling is two transposed convolutions (4 x 4, stride 2); here, as in CycleGAN-VC2, 5 x 5
  convolutions to four times the channels and pixel shuffle. This and the second table of scales are the
  difference in size from 8.71 M;
* an earlier state of the code asked the discriminator whether a recording of s is a conversion from s to t,
  took the identity loss of a conversion to t, and ran the first block eight times in place of the others:
  none of it is here;
* the code averages the linear layer and the inner product over positions and channels; here both act on the
  global sum, as in the paper;
* the code trains a Wasserstein critic with five steps for one of the generator in that state; least squares
  and one step each are the paper's;
* mel-cepstra are WORLD's own coded envelopes, as in the code, not SPTK's;
* number of bands or coefficients need not be a multiple of 4: the last is repeated and cut off again.

Features are z-normalised with statistics of each speaker; a source that the model does not know cannot be
converted, because it must be named. ``paper`` has the published features: 34 mel-cepstral coefficients at
22.05 kHz every 5 ms are converted, log F0 by mean and deviation, the aperiodicity is kept, and WORLD
synthesises. ``small`` and ``tiny`` have the house's mel and a vocoder's seat; ``small`` has a tenth of the
two-dimensional and half of the one-dimensional channels of the generator, four blocks instead of nine, an
eighth of the discriminator's channels, batches of 4, a higher learning rate of the generator (1e-3), and 400
steps, so that the identity loss stays to the end. Its discriminator divides the global sum by the number of
positions: with the undivided sum (and a rate of 2e-4) cycle and identity losses stood at 0.8 and 0.9 after
150 steps, no better than those of a constant.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import LongRecording, speaker_recordings
from doppelbench.baselines.registry import register
from doppelbench.baselines.stargan_common import (
    SMALLEST_DEVIATION,
    AdversarialModule,
    ConditionalInstanceNorm,
    Conversion,
    Normalization,
    PairBatch,
    StarganSettings,
    StarganSystem,
)
from doppelbench.baselines.system import Output, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLimSettings
from doppelbench.baselines.world_features import (
    WorldSettings,
    WorldSpeech,
    clip_speech,
    synthesize,
    world_arrays,
)
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord

# Two convolutions of stride 2 quarter the bands.
BAND_MULTIPLE = 4


@dataclass(frozen=True, slots=True)
class StarganVC2Settings(StarganSettings):
    """Hyperparameters; the defaults are the paper's."""

    batch_size: int = 8
    generator_rate: float = 2e-4
    discriminator_rate: float = 1e-4
    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    identity_steps: int = 10_000
    max_steps: int = 300_000
    channels: int = 64
    trunk_channels: int = 256
    blocks: int = 9
    discriminator_channels: int = 64
    pooling: Literal["sum", "mean"] = "sum"
    features: Literal["mel-cepstrum", "mel"] = "mel-cepstrum"
    world: WorldSettings = field(default_factory=WorldSettings)

    @property
    def bands(self) -> int:
        """Numbers in a frame."""
        return self.mel.n_mels if self.features == "mel" else self.world.coefficients


PAPER = StarganVC2Settings()
SMALL = replace(
    PAPER,
    features="mel",
    channels=6,
    trunk_channels=128,
    blocks=4,
    discriminator_channels=8,
    batch_size=4,
    generator_rate=1e-3,
    pooling="mean",
    max_steps=400,
)
TINY = replace(
    PAPER,
    features="mel",
    crop_frames=32,
    batch_size=4,
    max_steps=20,
    channels=4,
    trunk_channels=64,
    blocks=1,
    discriminator_channels=4,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)


def gated_downsampling(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: int, padding: tuple[int, int]
) -> nn.Sequential:
    """Convolution, instance norm, gated linear unit."""
    return nn.Sequential(
        nn.Conv2d(inputs, 2 * outputs, kernel, stride, padding, bias=False),
        nn.InstanceNorm2d(2 * outputs, affine=True),
        nn.GLU(dim=1),
    )


def gated_upsampling(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution, pixel shuffle to twice the bands and frames, gated linear unit."""
    return nn.Sequential(
        nn.Conv2d(inputs, 8 * outputs, 5, padding=2, bias=False),
        nn.PixelShuffle(2),
        nn.InstanceNorm2d(2 * outputs, affine=True),
        nn.GLU(dim=1),
    )


class TrunkBlock(nn.Module):
    """Convolution over time, norm conditioned on the pair of speakers, gated linear unit."""

    def __init__(self, channels: int, speakers: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, 2 * channels, 3, padding=1, bias=False)
        self.norm = ConditionalInstanceNorm(2 * channels, speakers, source=True)

    def forward(self, hidden: Tensor, target: Tensor, source: Tensor) -> Tensor:
        return F.glu(self.norm(self.convolution(hidden), target, source), dim=1)


class Generator(nn.Module):
    """Normalised features (batch, bands, frames) of the source to those of the target; frames a multiple of
    4."""

    def __init__(self, settings: StarganVC2Settings, bands: int, speakers: int) -> None:
        super().__init__()
        width, trunk = settings.channels, settings.trunk_channels
        self.more_bands = -bands % BAND_MULTIPLE
        self.low_bands = (bands + self.more_bands) // BAND_MULTIPLE
        self.input = nn.Sequential(nn.Conv2d(1, 2 * width, (3, 9), padding=(1, 4), bias=False), nn.GLU(dim=1))
        self.down = nn.Sequential(
            gated_downsampling(width, 2 * width, (4, 8), 2, (1, 3)),
            gated_downsampling(2 * width, 4 * width, (4, 8), 2, (1, 3)),
        )
        joined = 4 * width * self.low_bands
        self.narrow = nn.Sequential(
            nn.Conv1d(joined, trunk, 1, bias=False), nn.InstanceNorm1d(trunk, affine=True)
        )
        self.trunk = nn.ModuleList(TrunkBlock(trunk, speakers) for _ in range(settings.blocks))
        self.widen = nn.Conv1d(trunk, joined, 1, bias=False)
        self.up = nn.Sequential(gated_upsampling(4 * width, 2 * width), gated_upsampling(2 * width, width))
        self.output = nn.Conv2d(width, 1, (3, 9), padding=(1, 4))

    def forward(self, features: Tensor, target: Tensor, source: Tensor) -> Tensor:
        bands = features.shape[1]
        padded = F.pad(features[:, None], (0, 0, 0, self.more_bands), mode="replicate")
        hidden = self.down(self.input(padded))
        hidden = self.narrow(hidden.flatten(1, 2))
        for block in self.trunk:
            hidden = block(hidden, target, source)
        hidden = self.widen(hidden).unflatten(1, (-1, self.low_bands))
        return self.output(self.up(hidden))[:, 0, :bands]


class Discriminator(nn.Module):
    """Normalised features (batch, bands, frames) and a pair of speakers to one value an item, (batch,)."""

    def __init__(self, settings: StarganVC2Settings, speakers: int) -> None:
        super().__init__()
        width = settings.discriminator_channels
        self.pooling = settings.pooling
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 2 * width, 3, padding=1),
            nn.GLU(dim=1),
            gated_downsampling(width, 2 * width, (3, 3), 2, (1, 1)),
            gated_downsampling(2 * width, 4 * width, (3, 3), 2, (1, 1)),
            gated_downsampling(4 * width, 8 * width, (3, 3), 2, (1, 1)),
            gated_downsampling(8 * width, 8 * width, (1, 5), 1, (0, 2)),
        )
        self.linear = nn.Linear(8 * width, 1)
        self.target = nn.Embedding(speakers, 8 * width)
        self.source = nn.Embedding(speakers, 8 * width)
        for table in (self.target, self.source):
            nn.init.zeros_(table.weight)

    def forward(self, features: Tensor, target: Tensor, source: Tensor) -> Tensor:
        hidden = self.trunk(features[:, None])
        pooled = hidden.mean((2, 3)) if self.pooling == "mean" else hidden.sum((2, 3))
        embedded = self.target(target) + self.source(source)
        return self.linear(pooled)[:, 0] + (embedded * pooled).sum(1)


class StarganVC2Module(AdversarialModule):
    """One step of the discriminator, then one of the generator."""

    steps_done: Tensor

    def __init__(self, conversion: Conversion, settings: StarganVC2Settings, speakers: int) -> None:
        super().__init__(conversion, settings)
        self.settings = settings
        self.discriminator = Discriminator(settings, speakers)
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))

    def discriminator_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Least-squares losses of the discriminator for recordings and for conversions."""
        with torch.no_grad():
            made = self.conversion.generator(batch.features, batch.target, batch.source)
        # A recording is what a conversion from the other speaker to its own should have been.
        real = self.discriminator(batch.features, target=batch.source, source=batch.target)
        fake = self.discriminator(made, target=batch.target, source=batch.source)
        return {"real": (real - 1).square().mean(), "fake": fake.square().mean()}

    def generator_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the generator by name, without their weights; identity while it is in use."""
        generator, real = self.conversion.generator, batch.features
        made = generator(real, batch.target, batch.source)
        judged = self.discriminator(made, target=batch.target, source=batch.source)
        returned = generator(made, target=batch.source, source=batch.target)
        losses = {"adversarial": (judged - 1).square().mean(), "cycle": F.l1_loss(returned, real)}
        if self.steps_done < self.settings.identity_steps:
            same = generator(real, target=batch.source, source=batch.source)
            losses["identity"] = F.l1_loss(same, real)
        return losses

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        pairs, settings = self.normalized(batch), self.settings
        generator_optimizer, discriminator_optimizer = self.optimizers()  # type: ignore[misc, attr-defined]
        judged = self.discriminator_losses(pairs)
        self.descend(discriminator_optimizer, judged["real"] + judged["fake"], self.discriminator, None)
        made = self.generator_losses(pairs)
        loss = made["adversarial"] + settings.cycle_weight * made["cycle"]
        if "identity" in made:
            loss = loss + settings.identity_weight * made["identity"]
        self.descend(generator_optimizer, loss, self.conversion.generator, None)
        self.steps_done += 1
        self.log_dict({**made, **judged, "loss": loss})

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        settings = self.settings
        return [
            torch.optim.Adam(
                self.conversion.generator.parameters(), settings.generator_rate, betas=(0.5, 0.999)
            ),
            torch.optim.Adam(
                self.discriminator.parameters(), settings.discriminator_rate, betas=(0.5, 0.999)
            ),
        ]


class PitchedConversion(Conversion):
    """A generator with the statistics of features and of log F0 of each speaker."""

    def __init__(self, settings: StarganVC2Settings, speakers: int) -> None:
        bands = settings.bands
        super().__init__(Generator(settings, bands, speakers), Normalization(speakers, bands))
        self.log_pitch = Normalization(speakers, 1)

    def measure_pitch(self, recordings: Sequence[np.ndarray]) -> None:
        """Take the statistics of log F0 from F0 in Hz of each speaker, 0 where unvoiced."""
        for index, pitch in enumerate(recordings):
            voiced = np.log(pitch[pitch > 0])
            if voiced.size > 1:
                self.log_pitch.mean[index] = float(voiced.mean())
                self.log_pitch.deviation[index] = max(float(voiced.std()), SMALLEST_DEVIATION)

    def convert_pitch(self, pitch: np.ndarray, target: int, source: int) -> np.ndarray:
        """Give voiced frames of F0 in Hz, shape (frames,), the target's mean and deviation of log F0."""
        converted = np.zeros_like(pitch)
        voiced = torch.from_numpy(np.log(pitch[pitch > 0]))[None, :, None]
        normal = self.log_pitch(voiced, torch.tensor([source]))
        converted[pitch > 0] = self.log_pitch.inverse(normal, torch.tensor([target])).exp()[0, :, 0].numpy()
        return converted


@register
class StarganVC2(StarganSystem):
    """One generator for all pairs of speakers; the source must be one of them."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="stargan-vc2",
        title="StarGAN-VC2",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Kaneko et al.: StarGAN-VC2: Rethinking conditional methods for StarGAN-based voice "
        "conversion, Interspeech 2019",
        needs=frozenset({"speakers"}),
    )
    settings_kind: ClassVar[type[StarganSettings]] = StarganVC2Settings
    settings: StarganVC2Settings

    def new_conversion(self, speakers: int) -> "PitchedConversion":
        return PitchedConversion(self.settings, speakers)

    def new_module(self, conversion: Conversion, speakers: int) -> StarganVC2Module:
        return StarganVC2Module(conversion, self.settings, speakers)

    def source_index(self, clip: Clip) -> int:
        return self.known(clip.speaker, "source")

    def recordings(self, clips: Sequence[Clip], trainer: TrainerSettings) -> dict[str, LongRecording]:
        if self.settings.features == "mel":
            return super().recordings(clips, trainer)
        return self._world_recordings(clips, trainer, "cepstrum")

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        record = super().fit(clips, trainer)
        if self.settings.features == "mel-cepstrum":
            pitch = self._world_recordings(clips, trainer, "pitch")
            self.pitched().measure_pitch([pitch[name].crop(0, len(pitch[name])) for name in self.speakers])
        return record

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the target's voice.

        Raises:
            MediaError: the model was not trained on the target or on the source's speaker, or the source
                cannot be used.
        """
        if self.settings.features == "mel":
            return super().convert(trial)
        target, source = self.known(trial.target, "target"), self.source_index(trial.source)
        speech = clip_speech(trial.source, self.settings.world)
        cepstrum = self.convert_frames(speech.cepstrum.astype(np.float32), target, source)
        pitch = self.pitched().convert_pitch(speech.pitch, target, source)
        converted = WorldSpeech(pitch, cepstrum, speech.aperiodicity)
        return Output(audio=synthesize(converted, self.settings.world))

    def pitched(self) -> PitchedConversion:
        """Return the trained conversion with its statistics of F0."""
        conversion = self.trained()
        assert isinstance(conversion, PitchedConversion)
        return conversion

    def _world_recordings(
        self, clips: Sequence[Clip], trainer: TrainerSettings, array: str
    ) -> dict[str, LongRecording]:
        world, shortest = asdict(self.settings.world), self.settings.crop_frames
        return speaker_recordings(
            clips, world_arrays, {"world": world}, trainer, field=array, shortest=shortest
        )
