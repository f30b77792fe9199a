"""Exemplar autoencoder (audio and video): whoever speaks, the target is seen and heard to say it.

K. Deng, A. Bansal, D. Ramanan, "Unsupervised Audiovisual Synthesis via Exemplar Autoencoders", ICLR 2021,
section 3.3 and appendices C.2 and D.6. The audio autoencoder is that of
:mod:`doppelbench.baselines.exemplar`; a video decoder (:mod:`doppelbench.baselines.exemplar_video_decoder`)
reads the code of every frame before it is down-sampled. Loss (equation 5): what the audio autoencoder is
trained with, plus L1 between pictures, plus an adversarial term.

``mode`` is a row of the paper's table 7:

* ``video-only``: encoder and video decoder alone, without a loss on sound; the answer has the driving sound;
* ``joint``: both decoders from scratch;
* ``fine-tune``: both, from a trained audio exemplar, which is the paper's system. ``initialise_from`` names
  its folder; without one it is trained first, on the same clips, for ``audio_steps`` steps. Where a training
  is shorter than the settings say, that one is shorter in proportion; of a time limit it has half.

The size and the frame rate of the pictures are those of the training films, which are cut to squares before a
system sees them (:mod:`doppelbench.corpora.films`); ``pictures.size``, if given, is held against them. A crop
is of one film: a film that is shorter than a crop is continued by its last picture and silence. An answer
has as many pictures as the natural film of the trial, and without one covers the sound.

What the paper leaves open or the released code does otherwise; for the pictures see the video decoder:

* weights of the three terms: none are printed; L1 is the mean over pixels of -1 to 1, both stages count
  alike, and the weight of the adversarial term is ours (0.01 in ``paper``, none in ``small`` and ``tiny``);
* the code has an optimiser for each network, all Adam at 1e-3 (vocoder 1e-4), which is one with two groups
  here; the discriminator's is StackGAN's (Adam, 2e-4, betas 0.5 and 0.999);
* batch 8 and about 3,000 steps after the audio exemplar are the paper's; the code has batches of 32, and
  30,000 steps in its example;
* the code trains with sound that has no pre-emphasis and is used with sound that has; here both have;
* in the code the pictures of an answer can go on for 0.4 s after the sound; here they end with it.

``small`` starts from the audio architecture of the small exemplar, so that a trained one can be named in
``initialise_from``. Its picture networks have an eighth of the width, 2-D convolutions and draw the
difference from the mean picture.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines import exemplar
from doppelbench.baselines.common import check_sizes, clip_log_mel, reading_saved, save_network
from doppelbench.baselines.exemplar import VOCODER_FOLDER, Exemplar, ExemplarNetwork, ExemplarSettings
from doppelbench.baselines.exemplar_video_decoder import (
    PatchDiscriminator,
    PictureSettings,
    VideoDecoder,
    adversarial_loss,
    code_positions,
    discriminator_losses,
    read_codes,
    scaled,
    stage_sizes,
)
from doppelbench.baselines.reference_rows import read_clip
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.target_films import TargetFilms, target_films, with_sound
from doppelbench.baselines.video_reference_rows import film_length
from doppelbench.baselines.vocoders.neural import NeuralVocoder
from doppelbench.baselines.vocoders.vocoder import Vocoder
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.media import Video
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

Mode = Literal["video-only", "joint", "fine-tune"]
MODES: tuple[Mode, ...] = get_args(Mode)
# Of the audio exemplar that is trained first, below the folder of the whole training.
AUDIO_FOLDER = "audio"
# What settings decide that is no part of a training's identity.
NOT_TRAINED = ("max_steps", "audio_steps", "initialise_from", "griffin_lim")


@dataclass(frozen=True, slots=True)
class ExemplarAvSettings(ExemplarSettings):
    """Hyperparameters; those of the audio autoencoder and these.

    Attributes:
        mode: row of table 7: ``video-only``, ``joint`` or ``fine-tune``.
        audio_steps: of the audio exemplar that is trained first, in mode ``fine-tune``.
        picture_weight: of the L1 between pictures, the sum over stages.
        adversarial_weight: of the decoder's adversarial loss; 0 trains no discriminator.
        discriminator_rate: of Adam for the discriminator.
        pictures: of the picture networks.
    """

    max_steps: int = 3000
    mode: Mode = "fine-tune"
    audio_steps: int = 10_000
    picture_weight: float = 1.0
    adversarial_weight: float = 0.01
    discriminator_rate: float = 2e-4
    pictures: PictureSettings = field(default_factory=PictureSettings)

    def __post_init__(self) -> None:
        """Refuse what no network can have.

        Raises:
            DoppelbenchError: says which setting is wrong.
        """
        check_sizes(self, zero=("adversarial_weight",))
        if self.mode not in MODES:
            raise DoppelbenchError(f"mode is {self.mode!r}; it must be one of {', '.join(MODES)}")
        if self.initialise_from and self.mode != "fine-tune":
            raise DoppelbenchError(f"initialise_from is for the mode fine-tune, not for {self.mode}")
        _ = self.audio

    @property
    def audio(self) -> ExemplarSettings:
        """Settings of the audio exemplar; it has no trained vocoder where its sound is not used."""
        own = {item.name: getattr(self, item.name) for item in fields(ExemplarSettings)}
        if self.mode == "video-only":
            own["joint_vocoder"] = ""
        return ExemplarSettings(**{**own, "max_steps": self.audio_steps})

    @property
    def has_voice(self) -> bool:
        """Whether sound is made, and learned, beside pictures."""
        return self.mode != "video-only"


def with_pictures(audio: ExemplarSettings, **own: Any) -> ExemplarAvSettings:
    """Settings of an audio exemplar, which is trained as long as they say, with those of this system."""
    values = {item.name: getattr(audio, item.name) for item in fields(ExemplarSettings)}
    return ExemplarAvSettings(**{**values, "audio_steps": audio.max_steps, **own})


PAPER = with_pictures(exemplar.PAPER, max_steps=3000, pictures=PictureSettings(size=512))
SMALL = with_pictures(
    exemplar.SMALL,
    max_steps=1000,
    audio_steps=400,
    crop_frames=64,
    batch_size=4,
    adversarial_weight=0.0,
    pictures=PictureSettings(
        frame_code=64,
        channels=16,
        temporal_kernel=1,
        refine_channels=16,
        residual_blocks=2,
        residual_to_mean=True,
        discriminator_channels=16,
    ),
)
TINY = with_pictures(
    exemplar.TINY,
    max_steps=20,
    audio_steps=10,
    crop_frames=64,
    adversarial_weight=0.0,
    pictures=PictureSettings(
        frame_code=8,
        channels=4,
        temporal_kernel=1,
        refine_channels=4,
        residual_blocks=1,
        residual_to_mean=True,
        discriminator_channels=4,
    ),
)


class Drawn(NamedTuple):
    """What the network makes of a batch.

    Attributes:
        first: spectrogram before the post-net (batch, frames, bands), or None without a voice.
        final: spectrogram after it.
        codes: of the pictures (batch, pictures, frame_code).
        pictures: of each stage (batch, pictures, 3, size, size).
    """

    first: Tensor | None
    final: Tensor | None
    codes: Tensor
    pictures: list[Tensor]


class ExemplarAvNetwork(nn.Module):
    """The modules of an audio exemplar, without its decoder in mode ``video-only``, and the video decoder."""

    def __init__(self, settings: ExemplarAvSettings, audio: ExemplarNetwork, size: int) -> None:
        super().__init__()
        self.encoder = audio.encoder
        self.decoder = audio.decoder if settings.has_voice else None
        self.postnet = audio.postnet if settings.has_voice else None
        self.video = VideoDecoder(settings.pictures, 2 * settings.bottleneck, size)

    def forward(self, mel: Tensor, positions: Tensor) -> Drawn:
        """Reconstruct sound and draw.

        Args:
            mel: (batch, frames, bands).
            positions: of the samples of the codes, (batch, 4 * pictures), in frames.
        """
        states = self.encoder.states(mel)
        first = final = None
        if self.decoder is not None:
            first = final = self.decoder(self.encoder.sampled(states))
            if self.postnet is not None:
                final = first + self.postnet(first)
        codes = self.video.frame_codes(read_codes(states, positions))
        return Drawn(first, final, codes, self.video(codes))


class FilmBatch(NamedTuple):
    """Crops of films.

    Attributes:
        mel: float32 (batch, frames, bands).
        pictures: uint8 (batch, pictures, size, size, 3).
        positions: float32 (batch, 4 * pictures), in frames.
        sound: float32 (batch, samples) of some of the frames, for the vocoder; empty without one.
        start: frame of the crops at which what the vocoder sees begins.
    """

    mel: Tensor
    pictures: Tensor
    positions: Tensor
    sound: Tensor
    start: int


class FilmCrops:
    """Batches of random crops of films; a batch is a pure function of seed and step.

    ``context`` is how many frames at either end of its own the vocoder sees without their sound.
    """

    def __init__(self, films: TargetFilms, settings: ExemplarAvSettings, seed: int, context: int = 0) -> None:
        self.films = films
        self.settings = settings
        self.seed = seed
        self.context = context
        self.key = films.key
        self._ends = np.cumsum(films.starts(settings.crop_frames))

    def batch(self, step: int, rank: int, world: int) -> FilmBatch:
        settings, context = self.settings, self.context
        generator = np.random.default_rng([self.seed, step, rank])
        crops = []
        for chosen in generator.integers(0, self._ends[-1], settings.batch_size):
            film = int(np.searchsorted(self._ends, chosen, side="right"))
            first = int(chosen) - (int(self._ends[film - 1]) if film else 0)
            crops.append(self.films.crop(film, first, settings.crop_frames))
        wide = settings.vocoder_frames + 2 * context
        start = int(generator.integers(0, max(1, settings.crop_frames - wide + 1)))
        heard = slice(start + context, start + context + settings.vocoder_frames)
        sounds = [crop.sound[heard].reshape(-1) for crop in crops if crop.sound is not None]
        return FilmBatch(
            torch.from_numpy(np.stack([crop.mel for crop in crops])),
            torch.from_numpy(np.stack([crop.pictures for crop in crops])),
            torch.from_numpy(np.stack([crop.positions for crop in crops]).astype(np.float32)),
            torch.from_numpy(np.stack(sounds)) if sounds else torch.empty(0),
            start,
        )


class ExemplarAvModule(L.LightningModule):
    """Training step of equation 5, and one of the discriminator where there is one."""

    def __init__(
        self,
        network: ExemplarAvNetwork,
        settings: ExemplarAvSettings,
        vocoder: NeuralVocoder | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        trained = {name: value for name, value in asdict(settings).items() if name not in NOT_TRAINED}
        self.save_hyperparameters({"settings": trained, **(identity or {})})
        self.automatic_optimization = False
        self.network = network
        self.settings = settings
        self.vocoder = None if vocoder is None else vocoder.network
        self.gain = 1.0 if vocoder is None else vocoder.settings.gain
        self.discriminator = None
        if settings.adversarial_weight:
            self.discriminator = PatchDiscriminator(settings.pictures, network.video.sizes[-1])

    def losses(self, batch: FilmBatch, made: Drawn) -> dict[str, Tensor]:
        """The terms of equation 5 by name, without their weights."""
        losses = {}
        if made.final is not None and made.first is not None:
            _same_shape(made.final, batch.mel)
            losses["mel_l1"] = F.l1_loss(made.final, batch.mel)
            if self.network.postnet is not None:
                losses["first_mel_l1"] = F.l1_loss(made.first, batch.mel)
            if self.vocoder is not None:
                seen = self.settings.vocoder_frames + 2 * self.vocoder.context
                features = made.final[:, batch.start : batch.start + seen]
                heard = (batch.sound * self.gain).clamp(-1, 1)
                losses["negative_log_likelihood"] = self.vocoder.loss(features, heard)
        wanted = scaled(batch.pictures)
        for stage, pictures in enumerate(made.pictures, start=1):
            target = wanted
            if pictures.shape[-1] != wanted.shape[-1]:
                target = F.adaptive_avg_pool2d(wanted.flatten(0, 1), pictures.shape[-1]).view_as(pictures)
            _same_shape(pictures, target)
            losses[f"picture_l1_{stage}"] = F.l1_loss(pictures, target)
        if self.discriminator is not None:
            losses["adversarial"] = adversarial_loss(self.discriminator, made.pictures[-1], made.codes)
        return losses

    def weight(self, name: str) -> float:
        """Weight of a term of :meth:`losses`."""
        if name == "negative_log_likelihood":
            return self.settings.vocoder_weight
        if name == "adversarial":
            return self.settings.adversarial_weight
        return self.settings.picture_weight if name.startswith("picture_l1") else 1.0

    def training_step(self, batch: FilmBatch, batch_index: int) -> None:
        optimizers = self.optimizers()
        own, *others = optimizers if isinstance(optimizers, list) else [optimizers]
        made = self.network(batch.mel, batch.positions)
        losses = self.losses(batch, made)
        total = sum(
            (self.weight(name) * loss for name, loss in losses.items()), torch.zeros((), device=self.device)
        )
        self._descend(own, total)
        logged = {**losses, "loss": total}
        if self.discriminator is not None:
            judged = discriminator_losses(
                self.discriminator, scaled(batch.pictures), made.pictures[-1], made.codes
            )
            self._descend(others[0], judged["real"] + 0.5 * (judged["mismatched"] + judged["drawn"]))
            logged |= {f"discriminator_{name}": loss for name, loss in judged.items()}
        self.log_dict(logged)

    def _descend(self, optimizer: Any, loss: Tensor) -> None:
        """One step of one network; gradients that its loss leaves in the other network are never used."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        settings = self.settings
        groups = [{"params": self.network.parameters(), "lr": settings.learning_rate}]
        if self.vocoder is not None:
            groups.append({"params": self.vocoder.parameters(), "lr": settings.vocoder_rate})
        optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(groups)]
        if self.discriminator is not None:
            optimizers.append(
                torch.optim.Adam(
                    self.discriminator.parameters(), settings.discriminator_rate, betas=(0.5, 0.999)
                )
            )
        return optimizers


def _same_shape(made: Tensor, wanted: Tensor) -> None:
    if made.shape != wanted.shape:
        raise ValueError(f"{tuple(made.shape)} was made of {tuple(wanted.shape)}")


@register
class ExemplarAv(System):
    """One autoencoder for the voice and the face of one target."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="exemplar-av",
        title="Exemplar autoencoder (audio and video)",
        track="audio-to-video",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Deng et al.: Unsupervised Audiovisual Synthesis via Exemplar Autoencoders, ICLR 2021",
        needs=frozenset({"target"}),
    )
    settings: ExemplarAvSettings

    def __init__(self, settings: ExemplarAvSettings, target: str) -> None:
        self.settings = settings
        self.target = target
        self.exemplar = Exemplar(settings.audio, target)
        # Both follow from the training films.
        self.network: ExemplarAvNetwork | None = None
        self.fps = 0.0

    @property
    def vocoder(self) -> Vocoder | None:
        """What speaks; None where no sound is made."""
        return self.exemplar.vocoder if self.settings.has_voice else None

    @vocoder.setter
    def vocoder(self, other: Vocoder) -> None:
        self.exemplar.vocoder = other

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the films of the target.

        Raises:
            InputError: the usable films of the target last less than half a minute, differ in size or frame
                rate or are not of the size in the settings, or the exemplar to start from cannot be read or
                is of another architecture.
        """
        settings = self.settings
        with seeded(trainer.seed):
            self.exemplar = Exemplar(settings.audio, self.target)
        emphasis = None if self.exemplar.joint_vocoder is None else settings.mel.preemphasis
        films = target_films(clips, self.target, settings.mel, trainer, emphasis=emphasis)
        self._check_size(films.size)
        seconds, video_trainer = 0.0, trainer
        if settings.mode == "fine-tune" and not settings.initialise_from:
            video_trainer = replace(trainer, max_seconds=trainer.max_seconds and trainer.max_seconds / 2)
            audio_trainer = replace(
                video_trainer,
                directory=trainer.directory / AUDIO_FOLDER,
                max_steps=self._audio_steps(trainer.max_steps),
            )
            seconds = self.exemplar.fit(with_sound(clips), audio_trainer).seconds
        identity = self.exemplar.start_from_another()
        if settings.mode == "fine-tune":
            weights = self.exemplar.network.state_dict().values()
            identity = {"start": content_key(*(value.numpy().tobytes() for value in weights))}
        with seeded(trainer.seed):
            self.network = ExemplarAvNetwork(settings, self.exemplar.network, films.size)
            vocoder = self.exemplar.joint_vocoder
            module = ExemplarAvModule(self.network, settings, vocoder, identity)
        if settings.pictures.residual_to_mean:
            self.network.video.set_mean(films.mean())
        self.fps = films.fps
        context = 0 if vocoder is None else vocoder.network.context
        record = train(module, FilmCrops(films, settings, trainer.seed, context), video_trainer)
        module.eval().cpu()
        return replace(record, seconds=round(seconds + record.seconds, 3))

    def _check_size(self, size: int) -> None:
        wanted = self.settings.pictures.size
        if wanted and wanted != size:
            raise InputError(
                f"the films of {self.target} are squares of {size} pixels; pictures.size asks for {wanted}: "
                "cut the films to that size (video.size of a recipe), or set pictures.size to 0"
            )
        stage_sizes(self.settings.pictures, size)

    def _audio_steps(self, max_steps: int | None) -> int:
        settings = self.settings
        if max_steps is None or max_steps >= settings.max_steps:
            return settings.audio_steps
        return math.ceil(settings.audio_steps * max_steps / settings.max_steps)

    def draw(self, mel: np.ndarray, pictures: int) -> np.ndarray:
        """Draw the target saying what a log-mel spectrogram of anybody, shape (frames, bands), holds.

        Args:
            mel: of the driving speech.
            pictures: how many.

        Returns:
            uint8, shape (pictures, size, size, 3).

        Raises:
            DoppelbenchError: the system has not been trained.
        """
        network = self._trained()
        network.eval()
        device = next(network.parameters()).device
        positions = code_positions(pictures, self.fps, self.settings.mel.frame_rate).astype(np.float32)
        padded = np.pad(mel, ((0, -len(mel) % self.settings.code_every), (0, 0)))
        with torch.inference_mode():
            states = network.encoder.states(torch.from_numpy(padded)[None].to(device))
            samples = read_codes(states[:, : len(mel)], torch.from_numpy(positions)[None].to(device))
            return network.video.draw(samples)

    def convert(self, trial: Trial) -> Output:
        """Show the target saying ``trial.source``, in the target's voice where the mode has one."""
        mel = clip_log_mel(trial.source, self.settings.mel)
        heard = read_clip(trial.source)
        self._trained()
        pictures = self.draw(mel, film_length(trial, heard.seconds, self.fps))
        if self.vocoder is not None:
            heard = self.vocoder(self.exemplar.convert_features(mel))
        return Output(heard, Video(pictures, self.fps))

    def _trained(self) -> ExemplarAvNetwork:
        if self.network is None:
            raise DoppelbenchError(f"the system {self.spec.name} of {self.target} has not been trained")
        return self.network

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``; a vocoder that was trained with them goes into a
        folder of its own."""
        network = self._trained()
        if self.exemplar.joint_vocoder is not None:
            self.exemplar.joint_vocoder.save(directory / VOCODER_FOLDER)
        config = {
            "target": self.target,
            "size": network.video.sizes[-1],
            "fps": self.fps,
            "settings": asdict(self.settings),
        }
        save_network(directory, network, config)

    @classmethod
    def load(cls, directory: Path) -> "ExemplarAv":
        with reading_saved(directory, "trained audiovisual exemplar"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(ExemplarAvSettings, config["settings"]), config["target"])
            system.fps = float(config["fps"])
            network = ExemplarAvNetwork(system.settings, system.exemplar.network, int(config["size"]))
            network.load_state_dict(load_file(directory / "weights.safetensors"))
            system.network = network
        system.exemplar.load_joint_vocoder(directory)
        return system
