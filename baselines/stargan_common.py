"""What the StarGAN systems share: batches of speaker pairs, z-normalisation as buffers, conditional instance
norm, gradient steps by hand, and a system that keeps a sorted list of the speakers it knows."""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

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
from doppelbench.baselines.system import Output, System
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.features import MelSettings
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

# Two strided convolutions halve the time axis twice, and an instance norm needs two positions.
FRAME_MULTIPLE = 4
FEWEST_FRAMES = 2 * FRAME_MULTIPLE
# A band that never moves carries nothing; without a floor its noise would be blown up.
SMALLEST_DEVIATION = 1e-4


@dataclass(frozen=True, slots=True)
class StarganSettings:
    """Hyperparameters that every StarGAN has.

    Attributes:
        crop_frames: frames of a training crop.
        batch_size: crops a step, each of a speaker of its own choosing with a target of its own.
        generator_rate: learning rate of Adam for the generator.
        discriminator_rate: the same for the discriminator.
        cycle_weight: of the L1 between a crop and its conversion there and back.
        identity_weight: of the L1 between a crop and its conversion to its own speaker.
        max_steps: training steps.
        mel: how features are taken.
        griffin_lim: of the vocoder.
    """

    crop_frames: int = 128
    batch_size: int = 8
    generator_rate: float = 2e-4
    discriminator_rate: float = 1e-4
    cycle_weight: float = 1.0
    identity_weight: float = 1.0
    max_steps: int = 100_000
    mel: MelSettings = field(default_factory=MelSettings)
    griffin_lim: GriffinLimSettings = field(default_factory=GriffinLimSettings)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a size below 1, a negative weight, or crops that the strides do not divide.
        """
        names = [item.name for item in fields(self)]
        zero = [name for name in names if name.endswith(("_weight", "_steps")) and name != "max_steps"]
        check_sizes(self, zero=zero)
        if self.crop_frames % FRAME_MULTIPLE:
            raise DoppelbenchError(
                f"crop_frames is {self.crop_frames}; it must be a multiple of {FRAME_MULTIPLE}"
            )


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Crops of some speakers and the speakers they are to be converted to.

    Attributes:
        features: shape (batch, frames, bands), as analysed.
        source: speaker of each crop, shape (batch,).
        target: another speaker for each crop, shape (batch,).
    """

    features: Tensor
    source: Tensor
    target: Tensor


class PairedCrops:
    """Random crops with random other speakers; a batch is a pure function of seed, step and rank."""

    def __init__(self, recordings: Sequence[LongRecording], settings: StarganSettings, seed: int) -> None:
        self.recordings = list(recordings)
        self.settings = settings
        self.seed = seed
        self.key = content_key([recording.key for recording in self.recordings])

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (batch, frames, bands), sources and targets (batch,); no target is its source."""
        frames, size = self.settings.crop_frames, self.settings.batch_size
        generator = np.random.default_rng([self.seed, step, rank])
        speakers = len(self.recordings)
        sources = generator.integers(0, speakers, size)
        targets = (sources + generator.integers(1, speakers, size)) % speakers
        crops = []
        for source in sources:
            recording = self.recordings[source]
            start = int(generator.integers(0, len(recording) - frames + 1))
            crops.append(recording.crop(start, frames))
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(sources), torch.from_numpy(targets)


class Normalization(nn.Module):
    """z-normalisation by band with stored statistics: one set for all speakers, or one for each."""

    def __init__(self, sets: int, bands: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(sets, bands))
        self.register_buffer("deviation", torch.ones(sets, bands))

    def measure(self, recordings: Sequence[LongRecording]) -> None:
        """Take the statistics of the recordings: of each, or of all together when there is one set."""
        frames = [np.concatenate([np.asarray(part) for part in item.parts]) for item in recordings]
        groups = [np.concatenate(frames)] if len(self.mean) == 1 else frames
        for index, group in enumerate(groups):
            values = group.astype(np.float64)
            self.mean[index] = torch.from_numpy(values.mean(0))
            self.deviation[index] = torch.from_numpy(values.std(0)).clamp_min(SMALLEST_DEVIATION)

    def forward(self, features: Tensor, speaker: Tensor) -> Tensor:
        """Normalise (batch, frames, bands) by the statistics of each item's speaker (batch,)."""
        mean, deviation = self._statistics(speaker)
        return (features - mean) / deviation

    def inverse(self, normalized: Tensor, speaker: Tensor) -> Tensor:
        """Undo :meth:`forward`, with the statistics of another speaker if so wanted."""
        mean, deviation = self._statistics(speaker)
        return normalized * deviation + mean

    def _statistics(self, speaker: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.zeros_like(speaker) if len(self.mean) == 1 else speaker
        return self.mean[index, None], self.deviation[index, None]


class ConditionalInstanceNorm(nn.Module):
    """Instance norm over time whose scale and shift belong to a speaker.

    V. Dumoulin, J. Shlens and M. Kudlur, "A learned representation for artistic style", ICLR 2017.
    Conditioned on source and target, scale and shift are linear in the two one-hot vectors put together:
    the sum of a row for the target and a row for the source.
    """

    def __init__(self, channels: int, speakers: int, *, source: bool) -> None:
        super().__init__()
        self.target = nn.Embedding(speakers, 2 * channels)
        self.source = nn.Embedding(speakers, 2 * channels) if source else None
        with torch.no_grad():
            self.target.weight[:, :channels] = 1
            self.target.weight[:, channels:] = 0
            if self.source is not None:
                self.source.weight.zero_()

    def forward(self, hidden: Tensor, target: Tensor, source: Tensor | None = None) -> Tensor:
        """Normalise (batch, channels, frames) for the speakers (batch,)."""
        modulation = self.target(target)
        if self.source is not None and source is not None:
            modulation = modulation + self.source(source)
        scale, shift = modulation[..., None].chunk(2, dim=1)
        return F.instance_norm(hidden) * scale + shift


class Conversion(nn.Module):
    """A generator with the normalisation of its features: what converts, and what is saved.

    The generator maps normalised features (batch, bands, frames), targets and sources to features alike.
    """

    def __init__(self, generator: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.generator = generator
        self.normalization = normalization

    def forward(self, features: Tensor, target: Tensor, source: Tensor) -> Tensor:
        """Convert features (batch, frames, bands) as analysed; ``frames`` is a multiple of 4."""
        normalized = self.normalization(features, source).transpose(1, 2)
        converted = self.generator(normalized, target, source)
        return self.normalization.inverse(converted.transpose(1, 2), target)


class AdversarialModule(L.LightningModule):
    """What the training steps of the StarGANs share: two optimisers stepped by hand."""

    def __init__(self, conversion: Conversion, settings: StarganSettings) -> None:
        super().__init__()
        self.save_hyperparameters({"settings": asdict(settings)})
        self.automatic_optimization = False
        self.conversion = conversion

    def normalized(self, batch: tuple[Tensor, Tensor, Tensor]) -> PairBatch:
        """Normalise the crops of a batch; features become (batch, bands, frames)."""
        features, source, target = batch
        return PairBatch(
            self.conversion.normalization(features, source).transpose(1, 2), source=source, target=target
        )

    def descend(self, optimizer: Any, loss: Tensor, network: nn.Module, largest_norm: float | None) -> None:
        """One step of one network; gradients that its loss leaves in the other network are never used."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        if largest_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), largest_norm)
        optimizer.step()


class StarganSystem(System):
    """One model for a closed set of voices."""

    settings_kind: ClassVar[type[StarganSettings]]
    settings: StarganSettings

    def __init__(self, settings: StarganSettings) -> None:
        self.settings = settings
        self.speakers: tuple[str, ...] = ()
        self.conversion: Conversion | None = None
        self.vocoder = GriffinLim(settings.mel, settings.griffin_lim)

    @abstractmethod
    def new_conversion(self, speakers: int) -> Conversion:
        """Make the untrained network for a number of speakers."""

    @abstractmethod
    def new_module(self, conversion: Conversion, speakers: int) -> AdversarialModule:
        """Make what trains it."""

    @abstractmethod
    def source_index(self, clip: Clip) -> int:
        """Return the number that stands for the source's speaker.

        Raises:
            MediaError: the model must know its source and does not.
        """

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of all speakers.

        Raises:
            InputError: fewer than two speakers have a crop of speech.
        """
        recordings = self.recordings(clips, trainer)
        self.speakers = tuple(recordings)
        with seeded(trainer.seed):
            conversion = self.new_conversion(len(recordings))
            module = self.new_module(conversion, len(recordings))
        conversion.normalization.measure(list(recordings.values()))
        record = train(module, PairedCrops(list(recordings.values()), self.settings, trainer.seed), trainer)
        self.conversion = conversion.eval().cpu()
        return record

    def recordings(self, clips: Sequence[Clip], trainer: TrainerSettings) -> dict[str, LongRecording]:
        """Return the features of everybody's speech by speaker, in alphabetical order.

        Raises:
            InputError: fewer than two speakers have a crop of speech.
        """
        return speaker_recordings(
            clips,
            log_mel_arrays,
            {"mel": asdict(self.settings.mel)},
            trainer,
            field="mel",
            shortest=self.settings.crop_frames,
        )

    def convert_features(self, mel: np.ndarray, target: int, source: int) -> np.ndarray:
        """Convert a log-mel spectrogram, shape (frames, bands), between speakers given by their numbers."""
        return np.clip(self.convert_frames(mel, target, source), 0, 1)

    def convert_frames(self, features: np.ndarray, target: int, source: int) -> np.ndarray:
        """Convert features of any range, shape (frames, bands), float32."""
        conversion = self.trained()
        missing = max(-len(features) % FRAME_MULTIPLE, FEWEST_FRAMES - len(features))
        padded = np.pad(features, ((0, missing), (0, 0)), mode="edge")
        device = next(conversion.parameters()).device
        with torch.inference_mode():
            converted = conversion(
                torch.from_numpy(padded)[None].to(device),
                torch.tensor([target], device=device),
                torch.tensor([source], device=device),
            )
        return converted[0, : len(features)].float().cpu().numpy()

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the target's voice.

        Raises:
            MediaError: the model was not trained on the target (or on a source that it must know), or the
                source cannot be used.
        """
        target = self.known(trial.target, "target")
        source = self.source_index(trial.source)
        mel = clip_log_mel(trial.source, self.settings.mel)
        return Output(audio=self.vocoder(self.convert_features(mel, target, source)))

    def known(self, speaker: str, role: str) -> int:
        """Return the number of a speaker.

        Raises:
            MediaError: the model was not trained on this speaker.
        """
        if speaker not in self.speakers:
            raise MediaError(
                "missing",
                f"{role} speaker {speaker} is not among those that {self.spec.name} was trained on: "
                f"{', '.join(self.speakers)}",
            )
        return self.speakers.index(speaker)

    def save(self, directory: Path) -> None:
        config: Mapping[str, Any] = {"speakers": list(self.speakers), "settings": asdict(self.settings)}
        save_network(directory, self.trained(), dict(config))

    @classmethod
    def load(cls, directory: Path) -> Self:
        with reading_saved(directory, f"trained {cls.spec.name}"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(cls.settings_kind, config["settings"]))
            system.speakers = tuple(config["speakers"])
            conversion = system.new_conversion(len(system.speakers))
            conversion.load_state_dict(load_file(directory / "weights.safetensors"))
        system.conversion = conversion.eval()
        return system

    def trained(self) -> Conversion:
        """Return what converts.

        Raises:
            InputError: the system is not trained.
        """
        if self.conversion is None:
            raise InputError(f"{self.spec.name} is not trained yet")
        return self.conversion
