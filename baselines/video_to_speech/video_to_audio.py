"""What the two video-to-speech systems share: pre-training, transfer, enrolment, conversion, saving.

T. Kefalas, Y. Panagakis, M. Pantic, "Large-scale unsupervised audio pre-training for video-to-speech
synthesis", IEEE/ACM TASLP 32, 2024 (arXiv 2306.15464). An autoencoder of sound is trained on speech that
nobody filmed; its encoder is thrown away, and its decoder starts that of the video system, where it is kept
as it is (``frozen``) or trained further (``fine-tuned``); ``scratch`` goes without.

Clips without pictures are what the pre-training hears (a plan gives those of people who are in no trial to
systems that need ``extra-audio``), clips with pictures are what the system is trained on. ``checkpoint``
names the folder of an earlier pre-training instead: ``pretraining`` below that of a trained system. Where a
training is shorter than the settings say, the pre-training is shorter in proportion; of a time limit it has
half.

What the paper as far as it could be read does not say, and what is chosen here:

* crops of mouths: grey, 96 pixels, of which 88 x 88 are seen, as in the group's other systems; no landmarks
  are tracked, one square serves a clip (:mod:`doppelbench.corpora.mouths`);
* the encoders make 512 numbers a picture; the audio encoder sees a log-mel spectrogram, for both decoders;
* the identity vector is joined to every code before the temporal module, one bidirectional GRU layer of 256,
  which repeats every code four times; the decoder never sees the vector itself, and the autoencoder, which
  hears the voice, is told none;
* what is transferred is the decoder alone, with its batch norms: statistics of sound and pictures are kept
  apart, those of pictures start as a copy. A frozen decoder is in evaluation mode, so that its weights and
  its statistics stay and it drops nothing out;
* the speaker embedding is GE2E's; no pre-trained face network is named, and one is trained on the faces of
  the training films (:mod:`doppelbench.baselines.video_to_speech.identity`);
* optimiser AdamW, rates, batch, crop length, steps, augmentation: from SVTS's re-implementation, else ours.

The sound of a film that is to be made audible is never read.
"""

import json
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from doppelbench.baselines.common import reading_saved, save_network
from doppelbench.baselines.system import Output, System
from doppelbench.baselines.video_to_speech.identity import (
    FaceIdentity,
    faces_trainer,
    identity_encoder,
    mean_identity,
)
from doppelbench.baselines.video_to_speech.modality_norm import Modality
from doppelbench.baselines.video_to_speech.network import SpeechNetwork
from doppelbench.baselines.video_to_speech.settings import SHARED_ARCHITECTURE, VideoToSpeechSettings
from doppelbench.baselines.video_to_speech.speech_stream import SpeechStream, stretches
from doppelbench.baselines.video_to_speech.talking_clips import (
    SpeechBatch,
    film_clips,
    middle,
    speech_by_pictures,
    talking_clips,
)
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.corpora.mouths import mouth_film
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

PAPER_TITLE = (
    "Kefalas, Panagakis and Pantic: Large-scale unsupervised audio pre-training for video-to-speech "
    "synthesis, IEEE/ACM TASLP 32, 2024"
)
NEEDS = frozenset({"speakers", "enrolment", "extra-audio"})
PRETRAINING_FOLDER = "pretraining"
# What decides nothing in a training on sound, and in one on films.
NOT_HEARD = frozenset(
    {
        "transfer", "identity", "checkpoint", "mouth", "crop", "stem", "widths", "flip", "mask_seconds",
        "learning_rate", "max_steps", "embedded_clips", "face", "griffin_lim", "pretrain_hours",
    }
)  # fmt: skip
NOT_SEEN = frozenset(
    {"checkpoint", "pretrain_steps", "pretrain_hours", "pretrain_rate", "griffin_lim", "embedded_clips"}
)


class VideoToSpeech(System):
    """A system that makes silent films audible; subclasses say what decodes and how it is trained."""

    settings_kind: ClassVar[type[VideoToSpeechSettings]]
    decoder_architecture: ClassVar[tuple[str, ...]]
    settings: VideoToSpeechSettings

    def __init__(self, settings: VideoToSpeechSettings) -> None:
        self.settings = settings
        self.network = self.new_network("video")
        self.identity = identity_encoder(settings)
        self.voices: dict[str, np.ndarray] = {}

    @property
    def needs(self) -> frozenset[str]:
        """Without pre-training of its own nobody is heard who is in no film."""
        pretrains = self.settings.transfer != "scratch" and not self.settings.checkpoint
        return self.spec.needs if pretrains else self.spec.needs - {"extra-audio"}

    @abstractmethod
    def new_decoder(self) -> nn.Module:
        """Make an untrained decoder of states (batch, states, 2 * cells)."""

    @abstractmethod
    def new_module(self, network: SpeechNetwork, hyperparameters: dict[str, Any]) -> L.LightningModule:
        """Make the training of a network, of sound or of pictures."""

    @abstractmethod
    def sound(self, made: Tensor) -> Audio:
        """Turn what the decoder made of one clip into sound, as long as its pictures."""

    @property
    def autoencoder_name(self) -> str:
        """Name of the autoencoder whose decoder this system takes."""
        return self.spec.name.replace("v2a", "a2a")

    def new_network(self, modality: Modality) -> SpeechNetwork:
        """Make an untrained network that sees pictures, or the autoencoder that hears sound."""
        return SpeechNetwork(self.settings, modality, self.new_decoder())

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Pre-train on clips without pictures where the settings ask for it, then train on films.

        Raises:
            InputError: there is no film, or no speech to pre-train on, that can be used, or the checkpoint
                cannot be read or is of another decoder.
        """
        settings = self.settings
        films = film_clips(clips)
        if not films:
            raise InputError("video-to-speech is trained on talking films; none of the clips has pictures")
        with seeded(trainer.seed):
            self.network = self.new_network("video")
        self.voices = {}
        seconds, losses, start = 0.0, {}, ""
        own = replace(trainer, gradient_clip=trainer.gradient_clip or settings.gradient_clip)
        if settings.transfer != "scratch":
            autoencoder, record = self.autoencoder([clip for clip in clips if clip.video is None], own)
            self.network.take_decoder(autoencoder, frozen=settings.transfer == "frozen")
            start = weights_key(autoencoder.decoder)
            if record is not None:
                seconds += record.seconds
                losses = {f"pretraining_{name}": value for name, value in record.losses.items()}
                own = replace(own, max_seconds=half(own.max_seconds))
        identities, learned = self.learn_identities(films, trainer)
        seconds += learned
        data = talking_clips(films, identities, settings, trainer)
        chosen = {name: value for name, value in asdict(settings).items() if name not in NOT_SEEN}
        with seeded(trainer.seed):
            module = self.new_module(self.network, {"settings": chosen, "start": start})
        record = train(module, data, own)
        module.eval().cpu()
        return replace(record, seconds=round(seconds + record.seconds, 3), losses={**losses, **record.losses})

    def autoencoder(
        self, clips: Sequence[Clip], trainer: TrainerSettings
    ) -> tuple[SpeechNetwork, TrainingRecord | None]:
        """Read the autoencoder of the checkpoint, or pre-train one on sound.

        Returns:
            The autoencoder, and what its training did where there was one; the hours of speech that it heard
            are among the losses.

        Raises:
            InputError: the checkpoint cannot be used, or there is nothing to hear.
        """
        settings = self.settings
        if settings.checkpoint:
            return self.load_autoencoder(Path(settings.checkpoint)), None
        stream = SpeechStream(stretches(clips, trainer.seed, settings.pretrain_hours), settings, trainer.seed)
        with seeded(trainer.seed):
            network = self.new_network("audio")
            chosen = {name: value for name, value in asdict(settings).items() if name not in NOT_HEARD}
            module = self.new_module(network, {"settings": chosen})
        folder = trainer.directory / PRETRAINING_FOLDER
        share = self.share_of_steps(trainer)
        record = train(
            module,
            stream,
            replace(
                trainer,
                directory=folder,
                max_steps=math.ceil(share * settings.pretrain_steps),
                max_seconds=half(trainer.max_seconds),
            ),
        )
        module.eval().cpu()
        self.save_autoencoder(folder, network)
        return network, replace(record, losses={**record.losses, "hours": round(stream.hours, 4)})

    def share_of_steps(self, trainer: TrainerSettings) -> float:
        """How much of the steps in the settings a training takes, at most 1."""
        return min(1.0, (trainer.max_steps or self.settings.max_steps) / self.settings.max_steps)

    def learn_identities(
        self, films: Sequence[Clip], trainer: TrainerSettings
    ) -> tuple[dict[str, dict[str, np.ndarray]], float]:
        """Vectors of the people in films, by person and clip, and the seconds that learning them took."""
        self.identity = identity_encoder(self.settings)
        record = self.identity.fit(
            films, faces_trainer(trainer, self.settings.face, self.share_of_steps(trainer))
        )
        chosen = [
            clip
            for speaker in sorted({clip.speaker for clip in films})
            for clip in [clip for clip in films if clip.speaker == speaker][: self.settings.embedded_clips]
        ]
        return self.identity.vectors(chosen, trainer), 0.0 if record is None else record.seconds

    def enroll(self, target: str, clips: Sequence[Clip]) -> None:
        """Take the mean identity of a person's clips, of their sound or of their pictures.

        Raises:
            InputError: no clip can be used.
        """
        self.voices[target] = mean_identity(self.identity, target, clips)

    def make(self, mouths: np.ndarray, identity: np.ndarray) -> Tensor:
        """What the decoder makes of the mouth crops of one clip.

        Args:
            mouths: grey, uint8, shape (pictures, mouth, mouth).
            identity: shape (256,).
        """
        pictures = torch.from_numpy(middle(mouths, self.settings.crop))[None]
        return made_of(self.network, pictures, torch.from_numpy(identity)[None], torch.zeros(1, 0, 0))

    def convert(self, trial: Trial) -> Output:
        """Make the pictures of ``trial.source`` audible in the target's voice; its sound is not read."""
        if trial.target not in self.voices:
            raise MediaError("missing", f"target {trial.target} is not enrolled")
        film = mouth_film(trial.source, self.settings.mouth, self.settings.fps)
        return Output(audio=self.sound(self.make(film.pictures, self.voices[trial.target])))

    def reconstruct(self, autoencoder: SpeechNetwork, clip: Clip) -> Audio:
        """The sound of a clip through an autoencoder of sound: what a video system could reach at best.

        Raises:
            MediaError: the clip has no sound that can be used.
        """
        if clip.audio is None:
            raise MediaError("missing", f"clip {clip.id} has no sound")
        settings = self.settings
        heard = read_audio(clip.audio, rate=settings.mel.rate, start=clip.start, end=clip.end)
        pictures = math.ceil(round(heard.samples.size / settings.samples, 6))
        speech = speech_by_pictures(heard.samples, pictures, settings.fps, settings.mel)
        mel = torch.from_numpy(speech.mel).flatten(0, 1)[None]
        return self.sound(made_of(autoencoder, torch.zeros(1, 0, 0, 0), torch.zeros(1, 0), mel))

    def save_autoencoder(self, directory: Path, network: SpeechNetwork) -> None:
        """Write an autoencoder of sound as other trainings can name it for their ``checkpoint``."""
        config = {"autoencoder": self.autoencoder_name, "settings": asdict(self.settings)}
        save_network(directory, network, config)

    def load_autoencoder(self, directory: Path) -> SpeechNetwork:
        """Read what :meth:`save_autoencoder` wrote.

        Raises:
            InputError: there is none, it cannot be read, or its decoder is not that of this system.
        """
        with reading_saved(directory, f"pre-trained {self.autoencoder_name}"):
            config = json.loads((directory / "config.json").read_text())
            name = config["autoencoder"]
            if name != self.autoencoder_name:
                raise ValueError(f"it is {name}, {self.autoencoder_name} is needed")
            saved = type(self)(settings_from_dict(self.settings_kind, config["settings"]))
            differing = [
                name
                for name in (*SHARED_ARCHITECTURE, *self.decoder_architecture)
                if getattr(saved.settings, name) != getattr(self.settings, name)
            ]
            if differing:
                raise ValueError(f"it has another {', '.join(differing)} than the settings")
            network = saved.new_network("audio")
            network.load_state_dict(load_file(directory / "weights.safetensors"))
        return network

    def save(self, directory: Path) -> None:
        save_network(directory, self._saved(), {"settings": asdict(self.settings)})

    @classmethod
    def load(cls, directory: Path) -> Self:
        with reading_saved(directory, f"trained {cls.spec.name}"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(cls.settings_kind, config["settings"]))
            system._saved().load_state_dict(load_file(directory / "weights.safetensors"))
        return system

    def _saved(self) -> nn.ModuleDict:
        """All networks that a conversion needs."""
        parts: dict[str, nn.Module] = {"speech": self.network}
        if isinstance(self.identity, FaceIdentity):
            parts["faces"] = self.identity.network
        return nn.ModuleDict(parts)


def made_of(network: SpeechNetwork, pictures: Tensor, identity: Tensor, mel: Tensor) -> Tensor:
    """What a network makes of one clip, float32 on the CPU."""
    device = next(network.parameters()).device
    batch = SpeechBatch(pictures, identity, mel, torch.zeros(1, 0), 0, 0)
    moved = batch._replace(pictures=pictures.to(device), identity=identity.to(device), mel=mel.to(device))
    network.eval()
    with torch.inference_mode():
        return network(moved)[0].float().cpu()


def half(seconds: float | None) -> float | None:
    """Half of a time limit; none of none."""
    return None if seconds is None else seconds / 2


def weights_key(module: nn.Module) -> str:
    """Name of the content of a network."""
    values = module.state_dict().items()
    return content_key([[name, value.cpu().numpy().tobytes()] for name, value in values])
