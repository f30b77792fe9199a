"""Speech2Vid: a face drawn from a third of a second of speech and five stills.

J. S. Chung, A. Jamaludin, A. Zisserman, "You said that?", BMVC 2017; A. Jamaludin, J. S. Chung, A. Zisserman,
"You said that?: Synthesising talking faces from audio", IJCV 127, 2019.

Architecture (28.0 M parameters, 109 x 109 pixels): audio encoder (five convolutions with batch norm over 12 x
35 cepstra, two dense layers to 256); identity encoder in the layout of VGG-M (five convolutions over five
stills stacked on channels, two dense layers to 256); both joined and reduced to 128; decoder without norms
(fixed doubling, then convolution) that takes the identity encoder's first and second convolution and first
pooling over as skips; sigmoid. A second network (0.30 M), of ten convolutions whose output is added to the
picture, sharpens it.

Conversion: the square around the face is drawn for each picture and pasted, with a feathered edge, on one
still of the target's enrolment film. The output's sound is the driving sound. One model serves everybody; a
target is known by five stills of one enrolment film.

Where paper, released code and this differ:

* the paper has an L1 loss; the released graph adds five feature losses of a face network whose weights are
  not released. Here L1 alone, and with ``feature_weight`` the same losses over the model's own identity
  encoder;
* the context encoder and the content loss of the journal article are left out;
* optimiser, batch and steps are not published: Adam 1e-4 as in a public port, the rest is our choice;
* faces are registered to a mean shape by landmarks of eyes and nose (scale, rotation, shift); here one square
  around the detected face serves the whole clip, without rotation, and the whole picture where no face is
  found (a warning says so);
* the demo pairs a picture with the window of speech that begins at its time; here the window is centred on
  the middle of the time for which the picture is shown;
* 25 pictures per second are wired into the released code; here those of the corpus;
* the size that is drawn is 109 of 112 pixels; which 109 is not said, so the same picture is resized;
* the identity encoder sees stills of the clip that is drawn, at least 0.24 s away from the picture;
* the paper sharpens pictures with a network trained on blurred natural faces and does not say how they were
  blurred: a Gaussian of a random deviation between 0.5 and 2 pixels here. It is trained in a second stage of
  ``deblur_steps`` and left out with 0.

``small`` and ``tiny`` draw 64 and 48 pixels with widths divided and rounded up to multiples of 16, and leave
the second network out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import check_sizes, reading_saved, save_network
from doppelbench.baselines.face_clips import (
    EnrolledFilm,
    FaceClips,
    enrol_film,
    face_clips,
    in_parts,
    to_unit,
)
from doppelbench.baselines.face_placing import paste_face
from doppelbench.baselines.picture_blocks import Block
from doppelbench.baselines.reference_rows import read_clip
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.video_reference_rows import film_length
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, MediaError
from doppelbench.corpora.media import Video
from doppelbench.corpora.mfcc import mfcc_windows
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

STILLS = 5
WIDTH_MULTIPLE = 16
DEBLUR_LAYERS = 10
DEBLUR_WIDTH = 64
BLUR_PIXELS = (0.5, 2.0)
# Smaller ones are pooled away before the last convolution.
LEAST_PICTURE = 48


@dataclass(frozen=True, slots=True)
class Speech2VidSettings:
    """Hyperparameters; the defaults are those published where there are any.

    Attributes:
        picture: height and width of the stills.
        output: the same of what is drawn, at most ``picture``.
        audio_narrowing: divides the widths of the audio encoder.
        picture_narrowing: divides all other widths.
        feature_weight: of the L1 between features of the identity encoder; 0 leaves it out.
        deblur_steps: training steps of the second network; 0 leaves it out.
        find_faces: look for the face; else the whole picture is taken for it.
    """

    picture: int = 112
    output: int = 109
    audio_narrowing: int = 1
    picture_narrowing: int = 1
    batch_size: int = 32
    learning_rate: float = 1e-4
    feature_weight: float = 0.0
    max_steps: int = 200_000
    deblur_steps: int = 20_000
    find_faces: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a number that must be above 0 is not, a batch of one, or pictures that are too
                small.
        """
        check_sizes(self, zero=("feature_weight", "deblur_steps"))
        if self.batch_size < 2:
            raise DoppelbenchError(f"batch_size is {self.batch_size}; batch norm needs at least 2")
        if self.picture < LEAST_PICTURE:
            raise DoppelbenchError(f"picture is {self.picture}; it must be at least {LEAST_PICTURE}")
        drawn = 2 * Geometry.of(self.picture).first
        if not drawn <= self.output <= self.picture:
            raise DoppelbenchError(f"output is {self.output}; it must be {drawn} to {self.picture}")


@dataclass(frozen=True, slots=True)
class Geometry:
    """Height and width of what the identity encoder's layers give."""

    first: int
    first_pooled: int
    second: int
    second_pooled: int

    @classmethod
    def of(cls, picture: int) -> "Geometry":
        """The sizes for pictures of some height and width."""
        first = (picture - 7) // 2 + 1
        first_pooled = -(-(first - 3) // 2) + 1
        second = (first_pooled - 3) // 2 + 1
        return cls(first, first_pooled, second, -(-(second - 3) // 2) + 1)


PAPER = Speech2VidSettings()
SMALL = replace(
    PAPER,
    picture=64,
    output=64,
    audio_narrowing=4,
    picture_narrowing=6,
    batch_size=16,
    learning_rate=1e-3,
    max_steps=2000,
    deblur_steps=0,
)
TINY = replace(
    SMALL,
    picture=48,
    output=48,
    audio_narrowing=32,
    picture_narrowing=32,
    batch_size=4,
    max_steps=20,
)


def narrowed(width: int, by: int) -> int:
    """Divide a width and round it up to a multiple of 16."""
    return -(-width // (by * WIDTH_MULTIPLE)) * WIDTH_MULTIPLE


class AudioEncoder(nn.Module):
    """Cepstra (batch, 12, 35) to (batch, 256)."""

    def __init__(self, by: int) -> None:
        super().__init__()
        low, middle, high, dense = (narrowed(width, by) for width in (64, 128, 256, 512))
        self.first = nn.Sequential(Block(1, low, 3, padding=1), Block(low, middle, 3, padding=1))
        self.second = nn.Sequential(
            Block(middle, high, 3, padding=1),
            Block(high, high, 3, padding=1),
            Block(high, high, 3, padding=1),
        )
        self.dense = nn.Sequential(Block(high, dense, (5, 8)), Block(dense, high, 1))

    def forward(self, sound: Tensor) -> Tensor:
        # One row of zeros below, which after a ReLU no maximum sees, makes the 11 x 17 of the released code.
        hidden = F.max_pool2d(F.pad(self.first(sound[:, None]), (0, 0, 0, 1)), 3, (1, 2))
        return self.dense(F.max_pool2d(self.second(hidden), 3, 2)).flatten(1)


class IdentityEncoder(nn.Module):
    """Stills (batch, 15, picture, picture) to (batch, 256) and the three skips."""

    def __init__(self, by: int, geometry: Geometry) -> None:
        super().__init__()
        low, middle, high = (narrowed(width, by) for width in (96, 256, 512))
        self.first = Block(3 * STILLS, low, 7, 2)
        self.second = Block(low, middle, 5, 2, 1)
        self.third = Block(middle, high, 3, padding=1)
        self.fourth = Block(high, high, 3, padding=1)
        self.fifth = Block(high, high, 3, padding=1)
        self.dense = nn.Sequential(Block(high, high, geometry.second_pooled), Block(high, middle, 1))

    def features(self, stills: Tensor) -> list[Tensor]:
        """What the five convolutions give."""
        found = [self.first(stills)]
        found.append(self.second(_pool(found[0])))
        found.append(self.third(_pool(found[1])))
        found.append(self.fourth(found[2]))
        return [*found, self.fifth(found[3])]

    def forward(self, stills: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        found = self.features(stills)
        return self.dense(found[-1]).flatten(1), (found[0], _pool(found[0]), found[1])


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


class FittingConvolution(nn.Module):
    """Convolution, padded so that the result has the wanted size."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel)
        nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]
        self.kernel = kernel

    def forward(self, x: Tensor, size: int) -> Tensor:
        missing = size - x.shape[-1] + self.kernel - 1
        before, after = missing // 2, missing - missing // 2
        return self.convolution(F.pad(x, (before, after, before, after)))


class Decoder(nn.Module):
    """A code (batch, 128) and the skips to a picture (batch, 3, output, output), range 0 to 1."""

    def __init__(self, by: int, geometry: Geometry, output: int) -> None:
        super().__init__()
        code, low, middle, high = (narrowed(width, by) for width in (128, 96, 256, 512))
        self.geometry = geometry
        self.output = output
        doublings = int(np.ceil(np.log2(geometry.second_pooled)))
        widths = [*(code, middle)[: doublings - 1], high]
        self.growing = nn.ModuleList(
            FittingConvolution(inputs, width, 3) for inputs, width in pairwise([code, *widths])
        )
        self.to_second = FittingConvolution(high, middle, 3)
        self.from_second = FittingConvolution(2 * middle, middle, 3)
        self.to_pooled = FittingConvolution(middle, low, 5)
        self.to_first = FittingConvolution(2 * low, low, 3)
        wide, narrow = narrowed(64, by), narrowed(32, by)
        self.last = nn.ModuleList(
            FittingConvolution(inputs, width, 3) for inputs, width in pairwise([2 * low, wide, narrow, 3])
        )

    def forward(self, code: Tensor, skips: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        sizes, (first, pooled, second) = self.geometry, skips
        hidden = code[:, :, None, None]
        for number, layer in enumerate(self.growing, start=1):
            last = number == len(self.growing)
            hidden = F.relu(layer(_doubled(hidden), sizes.second_pooled if last else 2**number))
        hidden = F.relu(self.to_second(_doubled(hidden), sizes.second))
        hidden = _doubled(torch.cat([hidden, second], dim=1))
        hidden = F.relu(self.from_second(hidden, hidden.shape[-1]))
        hidden = F.relu(self.to_pooled(hidden, sizes.first_pooled))
        hidden = F.relu(self.to_first(_doubled(torch.cat([hidden, pooled], dim=1)), sizes.first))
        hidden = _doubled(torch.cat([hidden, first], dim=1))
        # The picture grows to its size in equal parts, by a pixel a layer at the published size.
        growth = self.output - hidden.shape[-1]
        for number, layer in enumerate(self.last, start=1):
            hidden = layer(hidden, 2 * sizes.first + round(growth * number / len(self.last)))
            hidden = torch.sigmoid(hidden) if number == len(self.last) else F.relu(hidden)
        return hidden


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Deblur(nn.Module):
    """Ten convolutions whose output is added to the picture (batch, 3, height, width)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *[DEBLUR_WIDTH] * (DEBLUR_LAYERS - 1), 3]
        self.layers = nn.ModuleList(
            FittingConvolution(inputs, outputs, 3) for inputs, outputs in pairwise(widths)
        )
        with torch.no_grad():
            # It begins by changing next to nothing.
            self.layers[-1].convolution.weight.mul_(0.01)  # type: ignore[union-attr, operator]

    def forward(self, picture: Tensor) -> Tensor:
        size, hidden = picture.shape[-1], picture
        for layer in self.layers[:-1]:
            hidden = F.relu(layer(hidden, size))
        return picture + self.layers[-1](hidden, size)


class Speech2VidNetwork(nn.Module):
    """Encoders and decoder."""

    def __init__(self, settings: Speech2VidSettings) -> None:
        super().__init__()
        by, geometry = settings.picture_narrowing, Geometry.of(settings.picture)
        self.audio = AudioEncoder(settings.audio_narrowing)
        self.identity = IdentityEncoder(by, geometry)
        joined = narrowed(256, settings.audio_narrowing) + narrowed(256, by)
        self.joint = nn.Linear(joined, narrowed(128, by))
        self.decoder = Decoder(by, geometry, settings.output)

    def forward(self, sound: Tensor, stills: Tensor) -> Tensor:
        """Draw pictures (batch, 3, output, output) from cepstra (batch, 12, 35) and stills (batch, 15,
        picture, picture), range 0 to 1."""
        identity, skips = self.identity(stills)
        code = F.relu(self.joint(torch.cat([self.audio(sound), identity], dim=1)))
        return self.decoder(code, skips)


def feature_loss(encoder: IdentityEncoder, made: Tensor, wanted: Tensor) -> Tensor:
    """Sum of the L1 after each of the encoder's five convolutions; it trains the picture alone.

    Args:
        encoder: a picture takes the place of all five stills.
        made: shape (batch, 3, height, width).
        wanted: of the same shape.
    """
    training = encoder.training
    trained = [value for value in encoder.parameters() if value.requires_grad]
    encoder.eval().requires_grad_(False)
    try:
        found = (encoder.features(picture.repeat(1, STILLS, 1, 1)) for picture in (made, wanted))
        return torch.stack([F.l1_loss(a, b) for a, b in zip(*found, strict=True)]).sum()
    finally:
        encoder.train(training)
        for value in trained:
            value.requires_grad_(True)


def fitted(pictures: Tensor, size: int) -> Tensor:
    """Resize pictures (batch, 3, height, width) where they have another size."""
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True)


class Speech2VidModule(L.LightningModule):
    """Training step: draw a picture from the speech around it and five stills of the same clip."""

    def __init__(self, network: Speech2VidNetwork, settings: Speech2VidSettings) -> None:
        super().__init__()
        self.save_hyperparameters({"settings": asdict(settings)})
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> Tensor:
        sound, stills, picture = batch
        wanted = fitted(to_unit(picture), self.settings.output)
        made = self.network(sound, to_unit(stills).flatten(1, 2))
        loss = F.l1_loss(made, wanted)
        self.log("picture_l1", loss)
        if self.settings.feature_weight:
            features = feature_loss(self.network.identity, made, wanted)
            self.log("features", features)
            loss = loss + self.settings.feature_weight * features
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), self.settings.learning_rate)


class DeblurModule(L.LightningModule):
    """Training step of the second network: take the blur from natural faces."""

    def __init__(self, network: Deblur, settings: Speech2VidSettings) -> None:
        super().__init__()
        self.save_hyperparameters({"settings": asdict(settings)})
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        picture, deviation = batch
        wanted = fitted(to_unit(picture), self.settings.output)
        loss = F.l1_loss(self.network(blurred(wanted, deviation)), wanted)
        self.log("deblur_l1", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), self.settings.learning_rate)


def blurred(pictures: Tensor, deviations: Tensor) -> Tensor:
    """Blur each picture (batch, 3, height, width) with a Gaussian of its deviation in pixels (batch,)."""
    reach = int(np.ceil(3 * BLUR_PIXELS[1]))
    offsets = torch.arange(-reach, reach + 1, device=pictures.device)
    weights = torch.exp(-0.5 * (offsets / deviations[:, None]).square())
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(pictures.dtype)
    batch, channels, height, width = pictures.shape
    kernels = weights.repeat_interleave(channels, dim=0)[:, None]
    hidden = F.pad(pictures.reshape(1, batch * channels, height, width), (reach,) * 4, mode="replicate")
    hidden = F.conv2d(hidden, kernels[..., None], groups=batch * channels)
    hidden = F.conv2d(hidden, kernels[:, :, None], groups=batch * channels)
    return hidden.reshape(batch, channels, height, width)


class StillBatches:
    """Batches (cepstra, five stills, picture) as a pure function of seed and step."""

    def __init__(self, clips: FaceClips, batch_size: int, seed: int) -> None:
        self.clips = clips
        self.batch_size = batch_size
        self.seed = seed
        self.key = f"{clips.key}|b{batch_size}"

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = np.random.default_rng([self.seed, step, rank])
        sound, stills, pictures = [], [], []
        for _ in range(self.batch_size):
            clip, frame = self.clips.draw(generator)
            sound.append(clip.sound[frame])
            stills.append(clip.pictures[clip.still(frame, STILLS, generator)])
            pictures.append(clip.pictures[frame])
        joined = (torch.from_numpy(np.stack(items)) for items in (sound, stills, pictures))
        return tuple(joined)  # type: ignore[return-value]


class BlurBatches:
    """Batches (picture, deviation of its blur) as a pure function of seed and step."""

    def __init__(self, clips: FaceClips, batch_size: int, seed: int) -> None:
        self.clips = clips
        self.batch_size = batch_size
        self.seed = seed
        self.key = f"{clips.key}|b{batch_size}"

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng([self.seed, step, rank])
        drawn = (self.clips.draw(generator) for _ in range(self.batch_size))
        pictures = np.stack([clip.pictures[frame] for clip, frame in drawn])
        deviations = generator.uniform(*BLUR_PIXELS, self.batch_size).astype(np.float32)
        return torch.from_numpy(pictures), torch.from_numpy(deviations)


@dataclass(frozen=True, slots=True)
class Identity:
    """A target: five stills (1, 15, picture, picture), and the film that the face is pasted into."""

    stills: Tensor
    film: EnrolledFilm
    background: np.ndarray


def identity_of(film: EnrolledFilm) -> Identity:
    """Take five stills spread over a film; the one nearest to their mean is the background."""
    chosen = np.linspace(0, len(film.frames) - 1, STILLS).round().astype(int)
    frames = film.frames[chosen].astype(np.float32)
    nearest = np.abs(frames - frames.mean(axis=0)).mean(axis=(1, 2, 3)).argmin()
    background = film.frames[chosen[nearest]][None]
    return Identity(to_unit(film.faces[chosen])[None].flatten(1, 2), film, background)


@register
class Speech2Vid(System):
    """One model for all faces; a target is known by five stills."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="speech2vid",
        title="Speech2Vid (You said that?)",
        track="audio-to-video",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Chung, Jamaludin and Zisserman: You said that?, BMVC 2017; Jamaludin, Chung and Zisserman: "
        "You said that?: Synthesising Talking Faces from Audio, IJCV 127, 2019",
        needs=frozenset({"other-speakers", "enrolment"}),
    )
    settings: Speech2VidSettings

    def __init__(self, settings: Speech2VidSettings) -> None:
        self.settings = settings
        self.network, self.deblur = self._networks()
        self.identities: dict[str, Identity] = {}

    def _networks(self) -> tuple[Speech2VidNetwork, Deblur | None]:
        return Speech2VidNetwork(self.settings), Deblur() if self.settings.deblur_steps else None

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the films of all people, then the second network.

        Raises:
            InputError: no film can be used.
        """
        settings = self.settings
        films = face_clips(clips, settings.picture, settings.find_faces, trainer)
        with seeded(trainer.seed):
            self.network, self.deblur = self._networks()
        self.identities = {}
        data = StillBatches(films, settings.batch_size, trainer.seed)
        record = train(Speech2VidModule(self.network, settings), data, trainer)
        self.network.eval().cpu()
        if self.deblur is None:
            return record
        stage = replace(trainer, directory=trainer.directory / "deblur", max_steps=settings.deblur_steps)
        blurs = BlurBatches(films, settings.batch_size, trainer.seed)
        second = train(DeblurModule(self.deblur, settings), blurs, stage)
        self.deblur.eval().cpu()
        return joined_record(record, second)

    def enroll(self, target: str, clips: Sequence[Clip]) -> None:
        """Take five stills and the background from the first film that can be used, in the order given.

        Raises:
            InputError: no film can be used; the message says why.
        """
        self.identities[target] = identity_of(
            enrol_film(target, clips, self.settings.picture, self.settings.find_faces)
        )

    def draw(self, sound: np.ndarray, stills: Tensor) -> np.ndarray:
        """Draw faces, uint8 (t, output, output, 3), from windows of cepstra (t, 12, 35) and five stills (1,
        15, picture, picture)."""
        device = next(self.network.parameters()).device
        self.network.eval()
        windows = torch.from_numpy(sound).to(device)
        with torch.inference_mode():
            identity, skips = self.network.identity(stills.to(device))

            def part(chosen: slice) -> Tensor:
                heard = self.network.audio(windows[chosen])
                count = len(heard)
                code = self.network.joint(torch.cat([heard, identity.expand(count, -1)], dim=1))
                wide = tuple(skip.expand(count, -1, -1, -1) for skip in skips)
                drawn = self.network.decoder(F.relu(code), wide)
                return drawn if self.deblur is None else self.deblur(drawn)

            return in_parts(part, len(sound))

    def convert(self, trial: Trial) -> Output:
        """Show the target as ``trial.source`` would move the lips."""
        if trial.target not in self.identities:
            raise MediaError("missing", f"target {trial.target} is not enrolled")
        target = self.identities[trial.target]
        sound = read_clip(trial.source)
        count = film_length(trial, sound.seconds, target.film.fps)
        windows = mfcc_windows(sound.samples, count, target.film.fps)
        faces = self.draw(windows, target.stills)
        return Output(sound, Video(paste_face(target.background, faces, target.film.box), target.film.fps))

    def save(self, directory: Path) -> None:
        save_network(directory, self._module(), {"settings": asdict(self.settings)})

    def _module(self) -> nn.Module:
        parts: Mapping[str, nn.Module | None] = {"network": self.network, "deblur": self.deblur}
        return nn.ModuleDict({name: part for name, part in parts.items() if part is not None})

    @classmethod
    def load(cls, directory: Path) -> "Speech2Vid":
        with reading_saved(directory, "trained speech2vid"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(Speech2VidSettings, config["settings"]))
            system._module().load_state_dict(load_file(directory / "weights.safetensors"))
        return system


def joined_record(first: TrainingRecord, second: TrainingRecord) -> TrainingRecord:
    """The record of two trainings, one after the other."""
    steps, seconds = first.steps + second.steps, first.seconds + second.seconds
    return replace(
        first,
        steps=steps,
        seconds=round(seconds, 3),
        steps_per_second=round(steps / seconds, 4) if seconds else 0.0,
        peak_memory=max(first.peak_memory, second.peak_memory),
        losses={**first.losses, **second.losses},
        parameters=first.parameters + second.parameters,
    )
