"""Multi-target conversion by adversarial training: one model for a closed set of voices.

J. Chou, C. Yeh, H. Lee, L. Lee, "Multi-target Voice Conversion without Parallel Data by Adversarially
Learning Disentangled Audio Representations", Interspeech 2018. An encoder is trained against a classifier
that tries to tell the speaker from its codes; a decoder is told the speaker. A second decoder, the generator,
adds what the first, blurred by its L1 loss, leaves out; it is trained against a discriminator.

Architecture: encoder (bank of convolutions 1 to 7 joined with the input, convolution 1 to 512, three residual
blocks of two convolutions with kernel 5 that halve the frames, two residual dense blocks, bidirectional GRU,
linear to 512; instance norm and dropout 0.5 after every block); decoder and generator (three blocks that
double the frames by pixel shuffle, two residual dense blocks, bidirectional GRU, two dense layers; a speaker
embedding is added before every layer and joined before the last two); latent classifier (nine convolutions);
patch discriminator (six 2-D convolutions, then one score and one class for all patches).

Training, in four phases that follow each other by step number: the autoencoder alone (L1); the classifier
alone; both (five classifier updates, then one of the autoencoder with L1 - weight x cross-entropy, the weight
rising from 0 to 0.01); the generator with everything before it fixed (five discriminator updates by WGAN-GP
and cross-entropy of the speaker, then one of the generator, into speakers drawn at random). A step is one
update of the network that is the phase's own. A training that ends before the last phase converts with the
decoder alone.

Where paper and released code differ, or are silent:

* phases of 8,000, 20,000, 80,000 and 50,000 steps are the code's; an update of the classifier or the
  discriminator within the last two is not counted as a step, as in the code;
* the code states a batch of 32 but builds its loader with the default, 16; 32 here;
* a training of the last phase sees codes without dropout, as a conversion does: encoder and decoder are
  fixed then;
* the last layer of the generator starts at zero, so that the last phase starts from what the decoder says;
  the code starts it at random, and a short training does not make up for that;
* the code trims silence, here nothing is trimmed; a person's utterances are joined and crops may run over a
  seam; every signal goes through the level rule of the house;
* every speaker is as likely as any other in a batch.

``paper`` keeps the published linear spectrogram (513 bins) and Griffin-Lim with 300 iterations. ``small`` and
``tiny`` use the mel spectrogram of the house. ``small`` also differs in: a quarter of the width, an eighth
in the discriminator, batch 16, crops of 64 frames, learning rate 1e-3 (1e-4) before the last phase, phases of
500, 100, 900 and 150 steps with the weight of the classifier's cross-entropy at its full height after 450,
two updates of the rival networks for each of the others (5). At that size the classifier stays near chance
(``latent_accuracy`` in the log), so that the adversarial phase is hardly more than longer training.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import (
    LongRecording,
    check_sizes,
    clip_log_mel,
    log_mel_arrays,
    reading_saved,
    save_network,
    speaker_recordings,
)
from doppelbench.baselines.linear_spectrogram import (
    LinearGriffinLim,
    LinearSettings,
    clip_log_linear,
    log_linear_arrays,
)
from doppelbench.baselines.registry import register
from doppelbench.baselines.speaker_crops import (
    ConvolutionBank,
    MirroredConv1d,
    SpeakerCrops,
    pad_frames,
    pixel_shuffle,
)
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.features import MelSettings
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

FRAMES_PER_CODE = 8
HALVINGS = 3
DENSE_BLOCKS = 2
# The five strided convolutions of the discriminator make one patch of so many frames and bands.
PATCH = 32
Phase = Literal["autoencoder", "classifier", "adversarial", "residual"]


@dataclass(frozen=True, slots=True)
class Chou2018Settings:
    """Hyperparameters; the defaults are those published.

    Attributes:
        spectrogram: ``linear`` or ``mel``; which of the two analyses is used.
        rival_updates: updates of classifier or discriminator for each of autoencoder or generator.
        latent_weight: of the classifier's cross-entropy in the autoencoder's loss, once
            ``latent_weight_steps`` of the adversarial phase are over.
    """

    spectrogram: str = "linear"
    channels: int = 512
    bank_channels: int = 128
    bank_kernels: int = 7
    encoder_cells: int = 128
    discriminator_channels: int = 64
    patch_channels: int = 32
    slope: float = 0.01
    encoder_dropout: float = 0.5
    rival_dropout: float = 0.3
    crop_frames: int = 128
    batch_size: int = 32
    learning_rate: float = 1e-4
    residual_learning_rate: float = 1e-4
    gradient_clip: float = 5.0
    autoencoder_steps: int = 8_000
    classifier_steps: int = 20_000
    adversarial_steps: int = 80_000
    residual_steps: int = 50_000
    rival_updates: int = 5
    latent_weight: float = 0.01
    latent_weight_steps: int = 50_000
    adversarial_weight: float = 1.0
    class_weight: float = 1.0
    penalty_weight: float = 10.0
    linear: LinearSettings = field(default_factory=LinearSettings)
    mel: MelSettings = field(default_factory=MelSettings)
    griffin_lim: GriffinLimSettings = field(default_factory=lambda: GriffinLimSettings(iterations=300))

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a number out of range, an unknown kind of spectrogram, or crops that do not
                divide into patches.
        """
        names = [item.name for item in fields(self)]
        check_sizes(self, zero=[name for name in names if name.endswith(("_dropout", "_weight", "slope"))])
        if self.spectrogram not in ("linear", "mel"):
            raise DoppelbenchError(f"spectrogram is {self.spectrogram!r}; it must be 'linear' or 'mel'")
        if self.crop_frames % PATCH or self.crop_frames < 2 * PATCH:
            raise DoppelbenchError(
                f"crop_frames is {self.crop_frames}; it must be a multiple of {PATCH}, at least {2 * PATCH}"
            )

    @property
    def max_steps(self) -> int:
        """Steps of all phases."""
        return self.residual_start + self.residual_steps

    @property
    def adversarial_start(self) -> int:
        """First step of the third phase."""
        return self.autoencoder_steps + self.classifier_steps

    @property
    def residual_start(self) -> int:
        """First step of the last phase."""
        return self.adversarial_start + self.adversarial_steps

    @property
    def bands(self) -> int:
        """Numbers in a frame."""
        return self.linear.bins if self.spectrogram == "linear" else self.mel.n_mels


PAPER = Chou2018Settings()
SMALL = replace(
    PAPER,
    spectrogram="mel",
    channels=128,
    bank_channels=32,
    encoder_cells=32,
    discriminator_channels=8,
    crop_frames=64,
    batch_size=16,
    learning_rate=1e-3,
    autoencoder_steps=500,
    classifier_steps=100,
    adversarial_steps=900,
    residual_steps=150,
    rival_updates=2,
    latent_weight_steps=450,
    griffin_lim=GriffinLimSettings(),
)
TINY = replace(
    SMALL,
    channels=16,
    bank_channels=4,
    encoder_cells=4,
    discriminator_channels=2,
    patch_channels=2,
    batch_size=4,
    autoencoder_steps=8,
    classifier_steps=3,
    adversarial_steps=5,
    residual_steps=4,
    latent_weight_steps=3,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)


def phase_of(step: int, settings: Chou2018Settings) -> Phase:
    """Say to which phase a step belongs; steps after the schedule belong to the last."""
    if step < settings.autoencoder_steps:
        return "autoencoder"
    if step < settings.adversarial_start:
        return "classifier"
    return "adversarial" if step < settings.residual_start else "residual"


def latent_weight(step: int, settings: Chou2018Settings) -> float:
    """Weight of the classifier's cross-entropy: rises in a straight line from the third phase's start on."""
    progress = (step - settings.adversarial_start) / settings.latent_weight_steps
    return settings.latent_weight * min(1.0, max(0.0, progress))


class Pointwise(nn.Linear):
    """Linear layer on every frame of (batch, channels, frames)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class FrameGRU(nn.Module):
    """Bidirectional GRU over the frames of (batch, channels, frames)."""

    def __init__(self, inputs: int, cells: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, cells, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.gru(x.transpose(1, 2))
        return states.transpose(1, 2)


class Encoder(nn.Module):
    """Spectrogram (batch, bands, frames) to codes (batch, channels, frames / 8)."""

    def __init__(self, settings: Chou2018Settings) -> None:
        super().__init__()
        width, self.slope = settings.channels, settings.slope
        self.bank = ConvolutionBank(
            settings.bands, settings.bank_channels, settings.bank_kernels, settings.slope
        )
        self.input = nn.Conv1d(self.bank.channels, width, 1)
        self.first = nn.ModuleList(MirroredConv1d(width, width, 5) for _ in range(HALVINGS))
        self.second = nn.ModuleList(MirroredConv1d(width, width, 5, stride=2) for _ in range(HALVINGS))
        self.first_dense = nn.ModuleList(Pointwise(width, width) for _ in range(DENSE_BLOCKS))
        self.second_dense = nn.ModuleList(Pointwise(width, width) for _ in range(DENSE_BLOCKS))
        self.gru = FrameGRU(width, settings.encoder_cells)
        self.output = Pointwise(width + 2 * settings.encoder_cells, width)
        self.dropout = nn.Dropout(settings.encoder_dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.finish(self.activate(self.input(self.bank(x))))
        for first, second in zip(self.first, self.second, strict=True):
            inner = self.finish(self.activate(second(self.activate(first(hidden)))))
            hidden = inner + F.avg_pool1d(hidden, 2)
        for first, second in zip(self.first_dense, self.second_dense, strict=True):
            hidden = self.finish(self.activate(second(self.activate(first(hidden))))) + hidden
        return self.activate(self.output(torch.cat([hidden, self.gru(hidden)], dim=1)))

    def activate(self, x: Tensor) -> Tensor:
        """Leaky ReLU."""
        return F.leaky_relu(x, self.slope)

    def finish(self, x: Tensor) -> Tensor:
        """What ends a block: instance norm and dropout."""
        return self.dropout(F.instance_norm(x))


class Decoder(nn.Module):
    """Codes (batch, channels, codes) and speaker numbers (batch,) to (batch, bands, 8 * codes)."""

    def __init__(self, settings: Chou2018Settings, speakers: int) -> None:
        super().__init__()
        width, self.slope = settings.channels, settings.slope
        self.first = nn.ModuleList(MirroredConv1d(width, 2 * width, 3) for _ in range(HALVINGS))
        self.second = nn.ModuleList(MirroredConv1d(width, width, 3) for _ in range(HALVINGS))
        self.first_dense = nn.ModuleList(Pointwise(width, width) for _ in range(DENSE_BLOCKS))
        self.second_dense = nn.ModuleList(Pointwise(width, width) for _ in range(DENSE_BLOCKS))
        self.gru = FrameGRU(width, width // 2)
        self.joined = Pointwise(3 * width, width)
        self.output = Pointwise(width, settings.bands)
        self.block_speakers = nn.ModuleList(nn.Embedding(speakers, width) for _ in range(HALVINGS))
        self.dense_speakers = nn.Embedding(speakers, width)
        self.gru_speakers = nn.Embedding(speakers, width)

    def forward(self, codes: Tensor, speakers: Tensor) -> Tensor:
        hidden = codes
        for first, second, table in zip(self.first, self.second, self.block_speakers, strict=True):
            voice = table(speakers)[:, :, None]
            inner = pixel_shuffle(self.activate(first(hidden + voice)), 2)
            inner = F.instance_norm(self.activate(second(inner + voice)))
            hidden = inner + hidden.repeat_interleave(2, dim=2)
        voice = self.dense_speakers(speakers)[:, :, None]
        for first, second in zip(self.first_dense, self.second_dense, strict=True):
            inner = self.activate(second(self.activate(first(hidden + voice)) + voice))
            hidden = F.instance_norm(inner) + hidden
        voice = self.gru_speakers(speakers)[:, :, None]
        states = self.gru(hidden + voice)
        joined = torch.cat([hidden, states, voice.expand_as(hidden)], dim=1)
        return self.output(self.activate(self.joined(joined)))

    def activate(self, x: Tensor) -> Tensor:
        """Leaky ReLU."""
        return F.leaky_relu(x, self.slope)


class LatentClassifier(nn.Module):
    """Codes of one crop to a score for each speaker, shape (batch, speakers)."""

    def __init__(self, settings: Chou2018Settings, speakers: int) -> None:
        super().__init__()
        width, self.slope = settings.channels, settings.slope
        widths = [width] * 7 + [width // 2, width // 4]
        kernels = [5] * 6 + [3] * 2
        self.layers = nn.ModuleList(
            MirroredConv1d(inputs, outputs, kernel)
            for inputs, outputs, kernel in zip(widths[:-1], widths[1:], kernels, strict=True)
        )
        self.output = nn.Conv1d(width // 4, speakers, settings.crop_frames // FRAMES_PER_CODE)
        self.dropout = nn.Dropout(settings.rival_dropout)

    def forward(self, codes: Tensor) -> Tensor:
        hidden = codes
        for block in range(len(self.layers) // 2):
            inner = hidden
            for layer in self.layers[2 * block : 2 * block + 2]:
                inner = F.leaky_relu(layer(inner), self.slope)
            inner = self.dropout(F.instance_norm(inner))
            hidden = inner + hidden if block in (1, 2) else inner
        return self.output(hidden)[:, :, 0]


class PatchDiscriminator(nn.Module):
    """Spectrogram crop (batch, bands, frames) to a score (batch,) and speaker scores (batch, speakers)."""

    def __init__(self, settings: Chou2018Settings, speakers: int) -> None:
        super().__init__()
        self.slope = settings.slope
        base = settings.discriminator_channels
        widths = [1, base, 2 * base, 4 * base, 8 * base, 8 * base]
        self.layers = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 5, stride=2, padding=2, padding_mode="reflect")
            for inputs, outputs in pairwise(widths)
        )
        self.layers.append(nn.Conv2d(8 * base, settings.patch_channels, 1))
        patches = (-(-settings.bands // PATCH), settings.crop_frames // PATCH)
        self.score = nn.Conv2d(settings.patch_channels, 1, patches)
        self.speaker = nn.Conv2d(settings.patch_channels, speakers, patches)
        self.dropout = nn.Dropout2d(settings.rival_dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = x[:, None]
        for layer in self.layers:
            hidden = self.dropout(F.instance_norm(F.leaky_relu(layer(hidden), self.slope)))
        return self.score(hidden)[:, 0, 0, 0], self.speaker(hidden)[:, :, 0, 0]


class Chou2018Network(nn.Module):
    """All five networks; conversion uses the first three."""

    def __init__(self, settings: Chou2018Settings, speakers: int) -> None:
        super().__init__()
        self.encoder = Encoder(settings)
        self.decoder = Decoder(settings, speakers)
        self.generator = Decoder(settings, speakers)
        nn.init.zeros_(self.generator.output.weight)
        nn.init.zeros_(self.generator.output.bias)
        self.classifier = LatentClassifier(settings, speakers)
        self.discriminator = PatchDiscriminator(settings, speakers)

    def convert(self, x: Tensor, speakers: Tensor, *, residual: bool) -> Tensor:
        """Convert spectrograms (batch, bands, frames); ``residual`` adds what the generator says."""
        codes = self.encoder(x)
        converted = self.decoder(codes, speakers)
        return converted + self.generator(codes, speakers) if residual else converted


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Mean squared distance from 1 of the score's gradient between real and fake; I. Gulrajani et al., NIPS
    2017."""
    place = torch.rand(len(real), 1, 1, device=real.device)
    between = (real + place * (fake - real)).float().requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        score, _ = discriminator(between)
        (gradient,) = torch.autograd.grad(score.sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class Chou2018Module(L.LightningModule):
    """Training step of every phase; which one follows from the number that comes with the batch."""

    def __init__(self, network: Chou2018Network, settings: Chou2018Settings) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.settings = settings

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        net = self.network
        first, last = self.settings.learning_rate, self.settings.residual_learning_rate
        owned: tuple[tuple[float, tuple[nn.Module, ...]], ...] = (
            (first, (net.encoder, net.decoder)),
            (first, (net.classifier,)),
            (last, (net.generator,)),
            (last, (net.discriminator,)),
        )
        return [
            torch.optim.Adam(
                [value for module in modules for value in module.parameters()], lr=rate, betas=(0.5, 0.9)
            )
            for rate, modules in owned
        ]

    def training_step(self, batch: tuple[int, list[tuple[Tensor, Tensor]]], batch_index: int) -> None:
        step, parts = batch
        autoencoder, classifier, generator, discriminator = cast(list[Any], self.optimizers())
        crops = [(features.transpose(1, 2), speakers) for features, speakers in parts]
        phase = phase_of(step, self.settings)
        self.network.train()
        if phase == "autoencoder":
            self._update(autoencoder, *crops[0], loss=self.autoencoder_loss)
        elif phase == "classifier":
            self._update(classifier, *crops[0], loss=self.classifier_loss)
        elif phase == "adversarial":
            for crop in crops[:-1]:
                self._update(classifier, *crop, loss=self.classifier_loss)
            weight = latent_weight(step, self.settings)
            self._update(autoencoder, *crops[-1], loss=self.autoencoder_loss, latent_weight=weight)
        else:
            self.network.encoder.eval()
            self.network.decoder.eval()
            for crop in crops[:-1]:
                self._update(discriminator, *crop, loss=self.discriminator_loss)
            self._update(generator, *crops[-1], loss=self.generator_loss)

    def _update(self, optimizer: Any, x: Tensor, speakers: Tensor, *, loss: Any, **options: float) -> None:
        with self.toggled_optimizer(optimizer):
            value = loss(x, speakers, **options)
            self.log("loss", value)
            optimizer.zero_grad()
            self.manual_backward(value)
            optimizer.step()

    def autoencoder_loss(self, x: Tensor, speakers: Tensor, *, latent_weight: float | None = None) -> Tensor:
        """L1 of the reconstruction, less the weighted cross-entropy of the classifier when there is a
        weight."""
        codes = self.network.encoder(x)
        decoded = self.network.decoder(codes, speakers)
        if decoded.shape != x.shape:
            raise ValueError(f"reconstruction {tuple(decoded.shape)} of input {tuple(x.shape)}")
        l1 = F.l1_loss(decoded, x)
        self.log("l1", l1)
        if latent_weight is None:
            return l1
        return l1 - latent_weight * F.cross_entropy(self.network.classifier(codes), speakers)

    def classifier_loss(self, x: Tensor, speakers: Tensor) -> Tensor:
        """Cross-entropy of the speaker, told from the codes."""
        with torch.no_grad():
            codes = self.network.encoder(x)
        scores = self.network.classifier(codes)
        loss = F.cross_entropy(scores, speakers)
        self.log("latent_cross_entropy", loss)
        self.log("latent_accuracy", (scores.argmax(dim=1) == speakers).float().mean())
        return loss

    def converted(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Convert crops into speakers drawn at random; gradients reach the generator alone."""
        count = self.network.generator.gru_speakers.num_embeddings
        targets = torch.randint(count, (len(x),), device=x.device)
        with torch.no_grad():
            codes = self.network.encoder(x)
            blurred = self.network.decoder(codes, targets)
        return blurred + self.network.generator(codes, targets), targets

    def discriminator_loss(self, x: Tensor, speakers: Tensor) -> Tensor:
        """WGAN-GP and cross-entropy of the speaker of natural crops."""
        with torch.no_grad():
            fake, _ = self.converted(x)
        discriminator, settings = self.network.discriminator, self.settings
        real_score, real_speaker = discriminator(x)
        fake_score, _ = discriminator(fake)
        distance = real_score.mean() - fake_score.mean()
        self.log("wasserstein", distance)
        return (
            settings.penalty_weight * gradient_penalty(discriminator, x, fake)
            + settings.class_weight * F.cross_entropy(real_speaker, speakers)
            - settings.adversarial_weight * distance
        )

    def generator_loss(self, x: Tensor, speakers: Tensor) -> Tensor:
        """Score and speaker of converted crops, as the discriminator sees them."""
        fake, targets = self.converted(x)
        score, speaker = self.network.discriminator(fake)
        class_loss = F.cross_entropy(speaker, targets)
        self.log("generator_class", class_loss)
        return self.settings.class_weight * class_loss - self.settings.adversarial_weight * score.mean()


class ScheduledCrops:
    """Batches (step number, crops for every update of the step) as a pure function of seed and step."""

    def __init__(self, crops: SpeakerCrops, settings: Chou2018Settings, seed: int) -> None:
        self.crops = crops
        self.settings = settings
        self.seed = seed
        self.key = crops.key

    def batch(self, step: int, rank: int, world: int) -> tuple[int, list[tuple[Tensor, Tensor]]]:
        generator = np.random.default_rng([self.seed, step, rank])
        rivals = phase_of(step, self.settings) in ("adversarial", "residual")
        updates = 1 + (self.settings.rival_updates if rivals else 0)
        return step, [self.crops.draw(generator, self.settings.batch_size) for _ in range(updates)]


@register
class Chou2018(System):
    """One model that converts anybody into the speakers it was trained on."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="chou-2018",
        title="Multi-target conversion by adversarial training",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Chou et al.: Multi-target Voice Conversion without Parallel Data by Adversarially Learning "
        "Disentangled Audio Representations, Interspeech 2018",
        needs=frozenset({"speakers"}),
    )
    settings: Chou2018Settings

    def __init__(self, settings: Chou2018Settings, speakers: Sequence[str] = ()) -> None:
        self.settings = settings
        self.speakers = list(speakers)
        self.residual = False
        self.network = Chou2018Network(settings, len(self.speakers)) if self.speakers else None
        self.vocoder: LinearGriffinLim | GriffinLim
        if settings.spectrogram == "linear":
            self.vocoder = LinearGriffinLim(settings.linear, settings.griffin_lim)
        else:
            self.vocoder = GriffinLim(settings.mel, settings.griffin_lim)

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of all speakers, through all phases.

        Raises:
            InputError: fewer than two speakers have enough speech for a crop.
        """
        settings = self.settings
        recordings = self._recordings(clips, trainer)
        self.speakers = sorted(recordings)
        with seeded(trainer.seed):
            self.network = Chou2018Network(settings, len(self.speakers))
        data = ScheduledCrops(SpeakerCrops(recordings, settings.crop_frames), settings, trainer.seed)
        clip = trainer.gradient_clip or settings.gradient_clip
        record = train(Chou2018Module(self.network, settings), data, replace(trainer, gradient_clip=clip))
        self.residual = record.steps > settings.residual_start
        self.network.eval().cpu()
        return record

    def _recordings(self, clips: Sequence[Clip], trainer: TrainerSettings) -> Mapping[str, LongRecording]:
        shortest = self.settings.crop_frames
        if self.settings.spectrogram == "linear":
            options = {"linear": asdict(self.settings.linear)}
            return speaker_recordings(
                clips, log_linear_arrays, options, trainer, field="linear", shortest=shortest
            )
        options = {"mel": asdict(self.settings.mel)}
        return speaker_recordings(clips, log_mel_arrays, options, trainer, field="mel", shortest=shortest)

    def convert_features(self, features: np.ndarray, target: str) -> np.ndarray:
        """Turn a spectrogram of any speaker, shape (frames, bands), into the target's.

        Raises:
            InputError: the system is not trained.
            MediaError: the target is none of the speakers it was trained on.
        """
        if self.network is None:
            raise InputError("chou-2018 is not trained")
        if target not in self.speakers:
            known = ", ".join(self.speakers)
            raise MediaError("missing", f"target {target} is no speaker of the training ({known})")
        self.network.eval()
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            padded = torch.from_numpy(pad_frames(features, FRAMES_PER_CODE))[None].to(device)
            speaker = torch.tensor([self.speakers.index(target)], device=device)
            converted = self.network.convert(padded.transpose(1, 2), speaker, residual=self.residual)
        return converted[0, :, : len(features)].T.clamp(0, 1).float().cpu().numpy()

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the target's voice."""
        if self.settings.spectrogram == "linear":
            features = clip_log_linear(trial.source, self.settings.linear)
        else:
            features = clip_log_mel(trial.source, self.settings.mel)
        return Output(audio=self.vocoder(self.convert_features(features, trial.target)))

    def save(self, directory: Path) -> None:
        if self.network is None:
            raise InputError("chou-2018 is not trained, so there is nothing to save")
        config = {"speakers": self.speakers, "residual": self.residual, "settings": asdict(self.settings)}
        save_network(directory, self.network, config)

    @classmethod
    def load(cls, directory: Path) -> "Chou2018":
        with reading_saved(directory, "trained chou-2018"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(Chou2018Settings, config["settings"]), config["speakers"])
            system.residual = bool(config["residual"])
            weights = load_file(directory / "weights.safetensors")
            if system.network is None:
                raise ValueError("the list of speakers is empty")
            system.network.load_state_dict(weights)
        return system
