"""What the neural vocoders share: companding, crops of sound with its features, training, saving.

They predict the pre-emphasised waveform at the house's level, times a gain that fills the range of the
companding; what they generate is de-emphasised at the end, as Griffin-Lim's output is.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from doppelbench.baselines.common import (
    MINIMUM_SECONDS,
    LongRecording,
    check_sizes,
    clip_features,
    reading_saved,
    save_network,
)
from doppelbench.baselines.vocoders.vocoder import Vocoder
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.features import MelSettings, deemphasize, log_mel, preemphasize
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

# Keeps uniform numbers away from the ends, where the inverse of a logistic distribution is infinite.
SMALLEST_UNIFORM = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralVocoderSettings:
    """Hyperparameters that every neural vocoder has.

    Attributes:
        scales: factors of the upsampling from frames to samples; their product is the hop.
        gain: factor before companding; 1.5 brings the loudest pre-emphasised speech at the house's level to
            full scale, what exceeds it is clipped.
        temperature: divides the scores before drawing; below 1 is less noisy and less faithful.
        crop_frames: length of a training crop.
        batch_size: crops a step.
        learning_rate: of Adam at the first step.
        final_rate: share of the learning rate left at ``max_steps``, reached along half a cosine.
        max_steps: of training.
        mel: the features it understands.
    """

    scales: tuple[int, ...] = (5, 5, 8)
    gain: float = 1.5
    temperature: float = 1.0
    crop_frames: int = 16
    batch_size: int = 8
    learning_rate: float = 1e-3
    final_rate: float = 1.0
    max_steps: int = 200_000
    mel: MelSettings = field(default_factory=MelSettings)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a number that is not above 0, or scales that do not make the hop.
        """
        check_sizes(self)
        # A list is what JSON makes of a tuple.
        object.__setattr__(self, "scales", tuple(self.scales))
        if math.prod(self.scales) != self.mel.hop:
            raise DoppelbenchError(f"scales {self.scales} multiply to other than the hop, {self.mel.hop}")


def mu_law_encode(samples: Tensor, classes: int) -> Tensor:
    """Compand samples in -1 to 1 (ITU-T G.711's curve with mu = classes - 1) to labels 0 to classes - 1."""
    mu = classes - 1
    companded = samples.sign() * torch.log1p(mu * samples.abs()) / math.log1p(mu)
    return ((companded.clamp(-1, 1) + 1) / 2 * mu + 0.5).long()


def mu_law_decode(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the samples in -1 to 1 that labels stand for, float32."""
    mu = classes - 1
    companded = 2 * labels.astype(np.float64) / mu - 1
    return (np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(mu)) / mu).astype(np.float32)


class Upsampling(nn.Module):
    """Frames to samples: repetition, then a smoothing filter that is learned, for each factor.

    Every stage blurs over its neighbours, so the outermost frame at each end is not to be trusted.
    """

    def __init__(self, scales: Sequence[int]) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.filters = nn.ModuleList(
            nn.Conv2d(1, 1, (1, 2 * scale + 1), padding=(0, scale), bias=False) for scale in scales
        )
        with torch.no_grad():
            for weight in self.filters.parameters():
                weight.fill_(1 / weight.numel())

    def forward(self, features: Tensor) -> Tensor:
        """Shape (batch, bands, frames) to (batch, bands, frames * product of scales)."""
        hidden = features[:, None]
        for scale, smoothing in zip(self.scales, self.filters, strict=True):
            hidden = smoothing(hidden.repeat_interleave(scale, dim=-1))
        return hidden[:, 0]


def sound_arrays(clip: Mapping[str, Any], mel: Mapping[str, Any], emphasis: float) -> dict[str, np.ndarray]:
    """Compute the features of a clip and its samples, pre-emphasised by ``emphasis``, a row of ``hop`` for
    every frame."""
    made, settings = Clip(**clip), MelSettings(**mel)
    if made.audio is None:
        raise MediaError("missing", f"clip {made.id} has no audio")
    audio = read_audio(made.audio, rate=settings.rate, start=made.start, end=made.end)
    if audio.samples.size < settings.window:
        raise MediaError("too_short", f"{made.audio}: {audio.seconds:.3f} s is less than one analysis window")
    samples = normalize_level(audio.samples, audio.rate)
    features = log_mel(samples, settings)
    sound = np.zeros(len(features) * settings.hop, np.float32)
    sound[: samples.size] = preemphasize(samples, emphasis)
    return {"mel": features, "sound": sound.reshape(len(features), settings.hop)}


class SoundCrops:
    """Batches of crops: features with ``context`` frames more at each end, and the samples of the frames
    between."""

    def __init__(
        self,
        features: LongRecording,
        sound: LongRecording,
        settings: NeuralVocoderSettings,
        context: int,
        seed: int,
    ) -> None:
        self.features = features
        self.sound = sound
        self.settings = settings
        self.context = context
        self.seed = seed
        self.key = features.key

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        frames = self.settings.crop_frames
        wide = frames + 2 * self.context
        generator = np.random.default_rng([self.seed, step, rank])
        starts = generator.integers(0, len(self.features) - wide + 1, self.settings.batch_size)
        features = [self.features.crop(int(start), wide) for start in starts]
        sound = [self.sound.crop(int(start) + self.context, frames).reshape(-1) for start in starts]
        return torch.from_numpy(np.stack(features)), torch.from_numpy(np.stack(sound))


class VocoderNetwork(Protocol):
    """What the training and the generation need of a network."""

    context: int

    def loss(self, features: Tensor, sound: Tensor) -> Tensor:
        """Negative log-likelihood a sample, in nats, of sound (batch, samples) in -1 to 1 given features
        (batch, frames with context, bands)."""

    def generate(self, features: Tensor, uniforms: np.ndarray) -> np.ndarray:
        """Draw as many samples in -1 to 1 as there are rows of uniforms (samples, 2), given the features of
        one recording (frames with context, bands)."""


class VocoderModule(L.LightningModule):
    """Training step: maximum likelihood of the next sample."""

    def __init__(self, network: Any, settings: NeuralVocoderSettings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        features, sound = batch
        loss = self.network.loss(features, (sound * self.settings.gain).clamp(-1, 1))
        self.log("negative_log_likelihood", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return cosine_adam(
            self, self.settings.learning_rate, self.settings.final_rate, self.settings.max_steps
        )


def cosine_adam(module: nn.Module, rate: float, final: float, steps: int) -> Any:
    """Adam whose learning rate falls along half a cosine to ``final`` times ``rate`` at ``steps``, then
    stays."""
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)

    def share(step: int) -> float:
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def draw_uniforms(features: np.ndarray, samples: int) -> np.ndarray:
    """Uniform numbers (samples, 2) in (0, 1), float32, that follow from the content of the features."""
    content = np.ascontiguousarray(features, dtype=np.float32)
    seed = int(content_key(content.tobytes(), list(content.shape))[:16], 16)
    numbers = np.random.default_rng(seed).random((samples, 2), dtype=np.float32)
    return np.clip(numbers, SMALLEST_UNIFORM, 1 - SMALLEST_UNIFORM)


class NeuralVocoder(Vocoder):
    """A vocoder with a network that gives the next sample's distribution."""

    settings_kind: ClassVar[type[NeuralVocoderSettings]]
    settings: NeuralVocoderSettings

    def __init__(self, settings: NeuralVocoderSettings) -> None:
        self.settings = settings
        self.mel = settings.mel
        self.network = self.make_network()

    def make_network(self) -> Any:
        """Return an untrained network of the settings."""
        raise NotImplementedError

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on natural clips, of one person or of many.

        Raises:
            InputError: the usable clips last less than half a minute.
        """
        settings = {"mel": asdict(self.mel), "emphasis": self.mel.preemphasis}
        cache = clip_features(clips, sound_arrays, settings, trainer, "of the vocoder")
        ids = sorted({clip.full_id for clip in clips} & set(cache))
        features, sound = LongRecording(cache, ids), LongRecording(cache, ids, "sound")
        seconds = len(features) / self.mel.frame_rate
        if seconds < MINIMUM_SECONDS:
            raise InputError(
                f"a vocoder needs at least {MINIMUM_SECONDS:.0f} s of speech; {seconds:.1f} s can be used"
            )
        with seeded(trainer.seed):
            self.network = self.make_network()
        data = SoundCrops(features, sound, self.settings, self.network.context, trainer.seed)
        record = train(VocoderModule(self.network, self.settings), data, trainer)
        self.network.eval().cpu()
        return record

    def __call__(self, features: np.ndarray) -> Audio:
        if features.ndim != 2 or features.shape[1] != self.mel.n_mels or not len(features):
            raise ValueError(f"features of shape {features.shape}; (frames, {self.mel.n_mels}) are needed")
        count = (len(features) - 1) * self.mel.hop
        padded = np.pad(features, ((self.network.context, self.network.context), (0, 0)), mode="edge")
        self.network.eval()
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            given = torch.from_numpy(np.ascontiguousarray(padded, dtype=np.float32)).to(device)
            samples = self.network.generate(given, draw_uniforms(features, count))
        return Audio(deemphasize(samples / self.settings.gain, self.mel.preemphasis), self.mel.rate)

    def save(self, directory: Path) -> None:
        save_network(directory, self.network, {"vocoder": self.name, "settings": asdict(self.settings)})

    @classmethod
    def load(cls, directory: Path) -> Self:
        with reading_saved(directory, "trained vocoder"):
            config = json.loads((directory / "config.json").read_text())
            vocoder = cls(settings_from_dict(cls.settings_kind, config["settings"]))
            vocoder.network.load_state_dict(load_file(directory / "weights.safetensors"))
        vocoder.network.eval()
        return vocoder
