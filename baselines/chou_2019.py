"""One-shot conversion by instance normalisation: one model for everybody, also for voices it never heard.

J. Chou, C. Yeh, H. Lee, "One-shot Voice Conversion by Separating Speaker and Content Representations with
Instance Normalization", Interspeech 2019. Instance normalisation takes a person's traits, which hold through
an utterance, out of the content; adaptive instance normalisation (AdaIN) puts another person's in.

Architecture: speaker encoder (bank of convolutions 1 to 8, six residual blocks of two convolutions with
kernel 5, every second one halving the frames, mean over time, six residual dense blocks, linear to 128);
content encoder (the same bank and blocks with instance norm without affine part, then mean and log-variance
of a code of 128 numbers every 8 frames); decoder (six residual blocks with AdaIN after each convolution,
every second one doubling the frames by pixel shuffle). Loss: 10 x L1 + weight x KL divergence from the
standard normal, the weight rising in a straight line from 0 to 1. A conversion uses the mean code of the
source and the speaker code of one utterance of the target.

Where paper and released code differ:

* the paper weighs the KL term with 0.01 and takes the variance of the code as one; the code learns the
  variance and anneals the weight from 0 to 1 over 20,000 steps. The code's is chosen;
* the paper has dropout in the encoders; the code has none. None here;
* norms come before the activation, as in the code;
* 200,000 steps are what the code's description says and what ``paper`` takes; its script says 500,000;
* the code trims silence and crops within one utterance; here a person's utterances are joined and crops may
  run over a seam, nothing is trimmed, and every signal goes through the level rule of the house;
* the code draws segments of all utterances alike; here every speaker is as likely as any other;
* the code shuffles its split without a seed; splits are the corpus's here.

``paper`` keeps the published features (24 kHz, transform 2048, window 1200, hop 300, 512 bands, -80 to +20
dB). ``small`` and ``tiny`` use the mel spectrogram of the house. Both standardise each band by mean and
deviation of the training speech, as the code does. ``small`` also differs in: 64 channels (128), 32 in each
convolution of the bank (128), batch 16 (128), crops of 64 frames (128), KL weight annealed to 1 over 500
steps, learning rate 1e-3 (5e-4), 3,000 steps. How well a target is hit depends on the utterance of its
enrolment; ``enrolment_utterances`` averages the codes of several.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar

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

SUBSAMPLE = (1, 2, 1, 2, 1, 2)
UPSAMPLE = SUBSAMPLE[::-1]
FRAMES_PER_CODE = 8
KERNEL = 5
PUBLISHED_MEL = MelSettings(
    rate=24000, n_fft=2048, window=1200, hop=300, n_mels=512, high_hz=12000.0, min_db=-80.0, max_db=20.0
)


@dataclass(frozen=True, slots=True)
class Chou2019Settings:
    """Hyperparameters; the defaults are those published.

    Attributes:
        enrolment_utterances: how many utterances of the target the speaker code is averaged over.
        kl_weight: of the KL term once ``kl_steps`` are over; before, it rises from 0.
    """

    channels: int = 128
    bank_channels: int = 128
    bank_kernels: int = 8
    dense_blocks: int = 6
    crop_frames: int = 128
    batch_size: int = 128
    l1_weight: float = 10.0
    kl_weight: float = 1.0
    kl_steps: int = 20_000
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    gradient_clip: float = 5.0
    max_steps: int = 200_000
    enrolment_utterances: int = 1
    mel: MelSettings = field(default_factory=lambda: PUBLISHED_MEL)
    griffin_lim: GriffinLimSettings = field(default_factory=lambda: GriffinLimSettings(iterations=100))

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a number that must be above 0 is not, or crops that do not divide into codes.
        """
        check_sizes(self, zero=("weight_decay", "kl_weight"))
        if self.crop_frames % FRAMES_PER_CODE or self.crop_frames < 4 * FRAMES_PER_CODE:
            raise DoppelbenchError(
                f"crop_frames is {self.crop_frames}; it must be a multiple of {FRAMES_PER_CODE}, at least "
                f"{4 * FRAMES_PER_CODE}"
            )


PAPER = Chou2019Settings()
SMALL = replace(
    PAPER,
    channels=64,
    bank_channels=32,
    crop_frames=64,
    batch_size=16,
    kl_steps=500,
    learning_rate=1e-3,
    max_steps=3000,
    mel=MelSettings(),
    griffin_lim=GriffinLimSettings(),
)
TINY = replace(
    SMALL,
    channels=16,
    bank_channels=4,
    dense_blocks=2,
    crop_frames=32,
    batch_size=4,
    kl_steps=20,
    max_steps=20,
    enrolment_utterances=2,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)


def adaptive_norm(x: Tensor, style: Tensor) -> Tensor:
    """Adaptive instance normalisation; X. Huang and S. Belongie, ICCV 2017.

    Args:
        x: shape (batch, channels, frames).
        style: shift of every channel, then its scale; shape (batch, 2 * channels).
    """
    shift, scale = style[:, :, None].chunk(2, dim=1)
    return F.instance_norm(x) * scale + shift


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of a diagonal normal from the standard normal, mean over all numbers of the code."""
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()


class SpeakerEncoder(nn.Module):
    """Features (batch, bands, frames) to one speaker code an utterance (batch, channels)."""

    def __init__(self, settings: Chou2019Settings) -> None:
        super().__init__()
        width = settings.channels
        self.bank = ConvolutionBank(settings.mel.n_mels, settings.bank_channels, settings.bank_kernels)
        self.input = nn.Conv1d(self.bank.channels, width, 1)
        self.first = nn.ModuleList(MirroredConv1d(width, width, KERNEL) for _ in SUBSAMPLE)
        self.second = nn.ModuleList(MirroredConv1d(width, width, KERNEL, stride) for stride in SUBSAMPLE)
        self.first_dense = nn.ModuleList(nn.Linear(width, width) for _ in range(settings.dense_blocks))
        self.second_dense = nn.ModuleList(nn.Linear(width, width) for _ in range(settings.dense_blocks))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.input(self.bank(x)))
        for first, second, stride in zip(self.first, self.second, SUBSAMPLE, strict=True):
            hidden = F.relu(second(F.relu(first(hidden)))) + shortened(hidden, stride)
        hidden = hidden.mean(dim=2)
        for first, second in zip(self.first_dense, self.second_dense, strict=True):
            hidden = F.relu(second(F.relu(first(hidden)))) + hidden
        return self.output(hidden)


class ContentEncoder(nn.Module):
    """Features (batch, bands, frames) to mean and log-variance of the codes (batch, channels, frames / 8)."""

    def __init__(self, settings: Chou2019Settings) -> None:
        super().__init__()
        width = settings.channels
        self.bank = ConvolutionBank(settings.mel.n_mels, settings.bank_channels, settings.bank_kernels)
        self.input = nn.Conv1d(self.bank.channels, width, 1)
        self.first = nn.ModuleList(MirroredConv1d(width, width, KERNEL) for _ in SUBSAMPLE)
        self.second = nn.ModuleList(MirroredConv1d(width, width, KERNEL, stride) for stride in SUBSAMPLE)
        self.mean = nn.Conv1d(width, width, 1)
        self.log_variance = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.relu(F.instance_norm(self.input(self.bank(x))))
        for first, second, stride in zip(self.first, self.second, SUBSAMPLE, strict=True):
            inner = F.relu(F.instance_norm(first(hidden)))
            hidden = F.relu(F.instance_norm(second(inner))) + shortened(hidden, stride)
        return self.mean(hidden), self.log_variance(hidden)


class Decoder(nn.Module):
    """Codes (batch, channels, codes) and a speaker code (batch, channels) to (batch, bands, 8 * codes)."""

    def __init__(self, settings: Chou2019Settings) -> None:
        super().__init__()
        width = settings.channels
        self.input = nn.Conv1d(width, width, 1)
        self.first = nn.ModuleList(MirroredConv1d(width, width, KERNEL) for _ in UPSAMPLE)
        self.second = nn.ModuleList(MirroredConv1d(width, width * factor, KERNEL) for factor in UPSAMPLE)
        self.styles = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2 * len(UPSAMPLE)))
        self.output = nn.Conv1d(width, settings.mel.n_mels, 1)

    def forward(self, codes: Tensor, speaker: Tensor) -> Tensor:
        hidden = F.relu(F.instance_norm(self.input(codes)))
        for block, factor in enumerate(UPSAMPLE):
            first, second = self.styles[2 * block], self.styles[2 * block + 1]
            inner = F.relu(adaptive_norm(self.first[block](hidden), first(speaker)))
            inner = pixel_shuffle(self.second[block](inner), factor)
            inner = F.relu(adaptive_norm(inner, second(speaker)))
            hidden = inner + hidden.repeat_interleave(factor, dim=2)
        return self.output(hidden)


def shortened(x: Tensor, factor: int) -> Tensor:
    """Average neighbouring frames of (batch, channels, frames)."""
    return F.avg_pool1d(x, factor, ceil_mode=True) if factor > 1 else x


class Chou2019Network(nn.Module):
    """The three networks, and the mean and deviation by which each band is standardised."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: Chou2019Settings) -> None:
        super().__init__()
        self.speaker_encoder = SpeakerEncoder(settings)
        self.content_encoder = ContentEncoder(settings)
        self.decoder = Decoder(settings)
        self.register_buffer("mean", torch.zeros(settings.mel.n_mels))
        self.register_buffer("deviation", torch.ones(settings.mel.n_mels))

    def standardize(self, mel: Tensor) -> Tensor:
        """Turn a mel spectrogram (batch, frames, bands) into what the networks see (batch, bands, frames)."""
        return ((mel - self.mean) / self.deviation).transpose(1, 2)

    def restore(self, features: Tensor) -> Tensor:
        """Inverse of :meth:`standardize`."""
        return features.transpose(1, 2) * self.deviation + self.mean

    def speaker_code(self, mel: Tensor) -> Tensor:
        """Return the speaker code (batch, channels) of a mel spectrogram (batch, frames, bands)."""
        return self.speaker_encoder(self.standardize(mel))

    def convert(self, mel: Tensor, speaker: Tensor) -> Tensor:
        """Decode the mean code of a mel spectrogram (batch, frames, bands) with a speaker code."""
        mean, _ = self.content_encoder(self.standardize(mel))
        return self.restore(self.decoder(mean, speaker))


class Chou2019Module(L.LightningModule):
    """Training step: reconstruct a crop from its own content and speaker code."""

    def __init__(self, network: Chou2019Network, settings: Chou2019Settings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, int], batch_index: int) -> Tensor:
        mel, step = batch
        features = self.network.standardize(mel)
        mean, log_variance = self.network.content_encoder(features)
        codes = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        decoded = self.network.decoder(codes, self.network.speaker_encoder(features))
        if decoded.shape != features.shape:
            raise ValueError(f"reconstruction {tuple(decoded.shape)} of input {tuple(features.shape)}")
        l1, kl = F.l1_loss(decoded, features), kl_divergence(mean, log_variance)
        self.log("mel_l1", l1)
        self.log("kl", kl)
        return self.settings.l1_weight * l1 + kl_weight(step, self.settings) * kl

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.parameters(),
            lr=self.settings.learning_rate,
            betas=(0.9, 0.999),
            weight_decay=self.settings.weight_decay,
            amsgrad=True,
        )


def kl_weight(step: int, settings: Chou2019Settings) -> float:
    """Weight of the KL term at a step: rises in a straight line from 0, then stays."""
    return settings.kl_weight * min(1.0, step / settings.kl_steps)


class NumberedCrops:
    """Batches (crops of all speakers, step number) as a pure function of seed and step."""

    def __init__(self, crops: SpeakerCrops, batch_size: int, seed: int) -> None:
        self.crops = crops
        self.batch_size = batch_size
        self.seed = seed
        self.key = crops.key

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, int]:
        generator = np.random.default_rng([self.seed, step, rank])
        return self.crops.draw(generator, self.batch_size)[0], step


def band_statistics(recordings: Sequence[LongRecording]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each band over all frames; a band that never changes gets a deviation of 1."""
    parts = [np.asarray(part, dtype=np.float64) for recording in recordings for part in recording.parts]
    frames = sum(len(part) for part in parts)
    mean = sum(part.sum(axis=0) for part in parts) / frames
    variance = sum(np.square(part - mean).sum(axis=0) for part in parts) / frames
    deviation = np.where(variance > 1e-10, np.sqrt(variance), 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


@register
class Chou2019(System):
    """One model for all voices; a target is known by the speaker code of its utterances."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="chou-2019",
        title="One-shot conversion by instance normalisation",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Chou et al.: One-shot Voice Conversion by Separating Speaker and Content Representations with "
        "Instance Normalization, Interspeech 2019",
        needs=frozenset({"other-speakers", "enrolment"}),
    )
    settings: Chou2019Settings

    def __init__(self, settings: Chou2019Settings) -> None:
        self.settings = settings
        self.network = Chou2019Network(settings)
        self.vocoder = GriffinLim(settings.mel, settings.griffin_lim)
        self.voices: dict[str, Tensor] = {}

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of all speakers.

        Raises:
            InputError: fewer than two speakers have enough speech for a crop.
        """
        settings = self.settings
        recordings = speaker_recordings(
            clips,
            log_mel_arrays,
            {"mel": asdict(settings.mel)},
            trainer,
            field="mel",
            shortest=settings.crop_frames,
        )
        with seeded(trainer.seed):
            self.network = Chou2019Network(settings)
        self.voices = {}
        mean, deviation = band_statistics(list(recordings.values()))
        self.network.mean.copy_(mean)
        self.network.deviation.copy_(deviation)
        data = NumberedCrops(
            SpeakerCrops(recordings, settings.crop_frames), settings.batch_size, trainer.seed
        )
        clip = trainer.gradient_clip or settings.gradient_clip
        record = train(Chou2019Module(self.network, settings), data, replace(trainer, gradient_clip=clip))
        self.network.eval().cpu()
        return record

    def enroll(self, target: str, clips: Sequence[Clip]) -> None:
        """Take the mean speaker code of the first utterances that can be used, in the order given.

        Raises:
            InputError: no clip can be used; the message says why.
        """
        codes: list[Tensor] = []
        reasons = []
        for clip in clips:
            try:
                codes.append(self.speaker_code(clip_log_mel(clip, self.settings.mel)))
            except MediaError as error:
                reasons.append(str(error))
            if len(codes) == self.settings.enrolment_utterances:
                break
        if not codes:
            raise InputError(
                f"no clip of target {target} can be used to enrol it: {'; '.join(reasons) or 'there is none'}"
            )
        self.voices[target] = torch.stack(codes).mean(dim=0)

    def speaker_code(self, mel: np.ndarray) -> Tensor:
        """Speaker code, shape (channels,), of a log-mel spectrogram, shape (frames, bands)."""
        self.network.eval()
        with torch.inference_mode():
            padded = torch.from_numpy(pad_frames(mel, FRAMES_PER_CODE))
            device = next(self.network.parameters()).device
            return self.network.speaker_code(padded[None].to(device))[0].cpu()

    def convert_features(self, mel: np.ndarray, target: str) -> np.ndarray:
        """Turn a log-mel spectrogram of any speaker, shape (frames, bands), into the target's.

        Raises:
            MediaError: the target is not enrolled.
        """
        if target not in self.voices:
            raise MediaError("missing", f"target {target} is not enrolled")
        self.network.eval()
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            padded = torch.from_numpy(pad_frames(mel, FRAMES_PER_CODE))[None].to(device)
            converted = self.network.convert(padded, self.voices[target][None].to(device))
        return converted[0, : len(mel)].clamp(0, 1).float().cpu().numpy()

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the target's voice."""
        mel = clip_log_mel(trial.source, self.settings.mel)
        return Output(audio=self.vocoder(self.convert_features(mel, trial.target)))

    def save(self, directory: Path) -> None:
        save_network(directory, self.network, {"settings": asdict(self.settings)})

    @classmethod
    def load(cls, directory: Path) -> "Chou2019":
        with reading_saved(directory, "trained chou-2019"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(Chou2019Settings, config["settings"]))
            system.network.load_state_dict(load_file(directory / "weights.safetensors"))
        return system
