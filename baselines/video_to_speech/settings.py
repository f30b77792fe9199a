"""Hyperparameters that both video-to-speech systems have."""

import math
from dataclasses import dataclass, field

from doppelbench.baselines.common import check_sizes
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.features import MelSettings

TRANSFERS = ("scratch", "frozen", "fine-tuned")
IDENTITIES = ("speaker", "face")
# 24 kHz is the paper's rate; 80 bands from 80 to 7600 Hz are what the vocoder of its predecessor sees. A hop
# of 10 ms makes four frames of each picture.
PAPER_MEL = MelSettings(
    rate=24000,
    n_fft=2048,
    window=1200,
    hop=240,
    low_hz=80.0,
    high_hz=7600.0,
    preemphasis=0.0,
    min_db=-100.0,
    max_db=20.0,
)
# The house's, with a hop of 10 ms.
SMALL_MEL = MelSettings(hop=160)


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """Hyperparameters of the network that knows a person by the face.

    Attributes:
        picture: height and width of the faces.
        width: channels of the first layer; they double from layer to layer.
        batch_size: faces a step.
        learning_rate: of Adam.
        steps: of its training, before that of the system.
    """

    picture: int = 64
    width: int = 32
    batch_size: int = 64
    learning_rate: float = 1e-3
    steps: int = 2000

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a number that is not above 0, or pictures that do not halve four times.
        """
        check_sizes(self)
        if self.picture % 16:
            raise DoppelbenchError(f"face.picture is {self.picture}; it must be a multiple of 16")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoToSpeechSettings:
    """Hyperparameters of encoders, temporal module and training; the defaults are those of ``paper``.

    Attributes:
        transfer: what becomes of the pre-trained decoder: ``scratch`` has none, ``frozen`` keeps its weights
            and statistics, ``fine-tuned`` trains it further.
        identity: how a voice is known: ``speaker``, a speaker embedding, or ``face``.
        checkpoint: folder of a pre-trained autoencoder; empty to pre-train one in :meth:`fit`.
        pretrain_steps: of the pre-training.
        pretrain_hours: of speech that the pre-training hears at most; 0 for all there is.
        pretrain_rate: learning rate of the pre-training at its highest.
        fps: pictures a second that the networks see.
        mouth: side of the mouth crops that are kept.
        crop: side of the part of them that a network sees: any part in training, the middle else.
        stem: channels of the 3-D convolution.
        widths: channels of the residual stages.
        codes: numbers an encoder makes of a picture, or of sound in its time.
        audio_channels: of the audio encoder.
        cells: of the temporal module, in each direction.
        layers: of the temporal module.
        repeats: how often a code is repeated for the decoder.
        flip: whether half of the crops in training are mirrored.
        mask_seconds: longest part of each second of pictures in training that is replaced by their mean.
        batch_size: crops a step.
        crop_pictures: length of a training crop.
        learning_rate: of AdamW at its highest.
        warm_up: share of the steps in which it rises; then it falls along half a cosine.
        weight_decay: of AdamW.
        gradient_clip: largest norm of the gradients, where the trainer names none.
        max_steps: of the training on films.
        embedded_clips: clips of each person in training whose embeddings stand for the voice.
        face: of the network for ``identity: face``.
        mel: how spectrograms are taken; its rate is that of the sound.
    """

    transfer: str = "fine-tuned"
    identity: str = "speaker"
    checkpoint: str = ""
    pretrain_steps: int = 200_000
    pretrain_hours: float = 0.0
    pretrain_rate: float = 1e-3
    fps: float = 25.0
    mouth: int = 96
    crop: int = 88
    stem: int = 64
    widths: tuple[int, ...] = (64, 128, 256, 512)
    codes: int = 512
    audio_channels: int = 256
    cells: int = 256
    layers: int = 1
    repeats: int = 4
    flip: bool = True
    mask_seconds: float = 0.4
    batch_size: int = 16
    crop_pictures: int = 75
    learning_rate: float = 1e-3
    warm_up: float = 0.1
    weight_decay: float = 0.01
    gradient_clip: float = 5.0
    max_steps: int = 200_000
    embedded_clips: int = 10
    face: FaceSettings = field(default_factory=FaceSettings)
    mel: MelSettings = PAPER_MEL

    def __post_init__(self) -> None:
        """Refuse what no network can have and no training can start from.

        Raises:
            DoppelbenchError: names the setting.
        """
        zero = ("pretrain_hours", "mask_seconds", "warm_up", "weight_decay", *self.may_be_zero)
        check_sizes(self, zero=zero, other=("flip",))
        # A list is what JSON makes of a tuple.
        object.__setattr__(self, "widths", tuple(self.widths))
        for name, known in (("transfer", TRANSFERS), ("identity", IDENTITIES)):
            if getattr(self, name) not in known:
                raise DoppelbenchError(f"{name} is {getattr(self, name)!r}; it must be {', '.join(known)}")
        if self.transfer == "scratch" and self.checkpoint:
            raise DoppelbenchError(f"transfer is scratch, so checkpoint {self.checkpoint!r} is not used")
        if self.crop > self.mouth:
            raise DoppelbenchError(f"crop is {self.crop}, larger than the mouth crops, {self.mouth}")
        if not self.widths or min(self.widths) < 1:
            raise DoppelbenchError(f"widths are {self.widths}; each stage needs channels")
        if not self.warm_up < 1:
            raise DoppelbenchError(f"warm_up is {self.warm_up:g}; it is a share of the steps, below 1")
        frames = self.mel.frame_rate / self.fps
        if not math.isclose(frames, round(frames)) or round(frames) < 1:
            raise DoppelbenchError(
                f"fps is {self.fps:g} and the spectrogram has {self.mel.frame_rate:g} frames a second: a "
                "picture must last a whole number of frames"
            )
        if round(frames) % self.repeats:
            raise DoppelbenchError(
                f"repeats is {self.repeats}; it must divide the {round(frames)} frames that a picture lasts"
            )

    @property
    def may_be_zero(self) -> tuple[str, ...]:
        """Names of further settings that may be 0."""
        return ()

    @property
    def window(self) -> int:
        """Pictures whose sound is made in a step of training; 0 for all of a crop."""
        return 0

    @property
    def frames(self) -> int:
        """Spectrogram frames for each picture."""
        return round(self.mel.frame_rate / self.fps)

    @property
    def samples(self) -> int:
        """Samples for each picture."""
        return self.frames * self.mel.hop


# What makes a decoder, and the states that it decodes, another one.
SHARED_ARCHITECTURE = ("fps", "cells", "repeats", "mel")
