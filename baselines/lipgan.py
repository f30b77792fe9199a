"""LipGAN: the lower half of a face redrawn from a third of a second of speech, with a critic of lip sync.

Prajwal K R, R. Mukhopadhyay, J. Philip, A. Jha, V. Namboodiri, C. V. Jawahar, "Towards Automatic Face-to-Face
Translation", ACM Multimedia 2019.

Generator (71.3 M parameters, 96 x 96 pixels): face encoder over a reference face and the face to be drawn
with its lower half zeroed, audio encoder over 12 x 35 cepstra, decoder of transposed convolutions with skips
at all scales; residual blocks of two convolutions throughout; batch norm and ReLU after every convolution;
sigmoid. Critic: a face encoder of strided convolutions with instance norm and leaky ReLU and an audio
encoder; the distance of the two unit vectors tells sound and lips in time from others. Contrastive loss of
margin 1: distance squared where they belong together, (1 - distance)^2 under the margin where they do not.
Wrong pairs are, in half of the steps each, drawn faces, and natural faces with the sound of another picture
of the batch. The generator's loss is the L1 plus 0.01 times the critic's loss for "belongs together".

Conversion: by default the faces to be redrawn come from an enrolment film of the target, played forth and
back, with the same face as reference; the natural film of a trial is never looked at, only its frames are
counted. With ``paste_on`` set to ``still``, one picture of that film is redrawn and is its own reference, as
the released code does with an image: the head stands still. With ``reference`` the system is used as
published, for dubbing: **upper half of the face, head motion and background are then those of the trial's
natural film**, so that figures over whole pictures say little, and such a row must be labelled so. The
reference face stays one of the enrolment film, because the natural one would show the mouth that is asked
for. Trials that somebody else drives have no natural film and are answered as by default. The output's sound
is the driving sound.

Where paper, released code and this differ:

* the code on branch ``master`` takes cepstra, ``fully_pythonic`` a mel spectrogram; cepstra here;
* ``fully_pythonic`` shifts speech by 160 ms between training and use; here windows are centred on the middle
  of the time for which a picture is shown, at training and at test;
* 25 pictures per second are wired into the code; here those of the corpus, and references are at least 0.24 s
  (6 frames at 25 per second) away;
* faces are cut by a detector's box for each frame and pasted as hard rectangles; here one square serves a
  clip, its edge fades, and where no face is found the whole picture is taken (a warning says so);
* the code also has a variant without residual blocks; the residual one here;
* wrong sound is that of the picture ten places further in the batch, as in the code; half a batch further
  where it is smaller;
* the steps are not published; 300,000 is our choice.

``small`` and ``tiny`` divide the widths by 4 and 8, have no residual blocks, and draw 64 and 32 pixels with a
scale or two less; their batch is 16 and 4 (96), the generator's learning rate 1e-3 (1e-4).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

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
    enrolled_film,
    face_clips,
    in_parts,
    to_unit,
)
from doppelbench.baselines.face_placing import paste_face
from doppelbench.baselines.picture_blocks import Block as PlainBlock
from doppelbench.baselines.reference_rows import read_clip
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.video_reference_rows import film_length, natural_film
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, MediaError
from doppelbench.corpora.media import Video
from doppelbench.corpora.mfcc import mfcc_windows
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

PASTE_ON = ("enrolment", "still", "reference")
# Keras counts the share that is kept, 0.8; torch the share that is new.
NORM_MOMENTUM = 0.2
SLOPE = 0.2
MARGIN = 1.0
ROLLED_BY = 10
# Below, the square root has no slope that a float can hold.
SMALLEST_SQUARE = 1e-12
# Residual blocks after each strided convolution, from the largest scale on; none at the smallest.
FACE_BLOCKS = (0, 2, 3, 2, 2)
AUDIO_BLOCKS = (3, 2, 2, 1)
AUDIO_STRIDES: tuple[tuple[int, int], ...] = ((1, 1), (1, 2), (2, 2), (2, 2))
DECODER_BLOCKS = 2
SMALLEST_SCALE = 4
# With fewer channels before the last convolution the narrow presets lose colours.
LEAST_LAST = 8
CRITIC_KERNELS = (7, 5, 3, 3, 3)
CRITIC_WIDTHS = (2, 4, 8, 16, 16)
EMBEDDING = 16


@dataclass(frozen=True, slots=True)
class LipGANSettings:
    """Hyperparameters; the defaults are those published.

    Attributes:
        picture: height and width of the faces, a multiple of 16 from 32 to 96.
        width: channels at the largest scale; they double from scale to scale.
        widest: most channels of a scale, in multiples of ``width``.
        residual_blocks: at most so many at a scale; 3 are published.
        sync_weight: of the critic's loss in that of the generator.
        paste_on: ``enrolment``, the film; ``still``, the picture of it that is nearest to their mean; or
            ``reference`` for dubbing the trial's natural film.
        find_faces: look for the face; else the whole picture is taken for it.
    """

    picture: int = 96
    width: int = 32
    widest: int = 16
    residual_blocks: int = 3
    batch_size: int = 96
    sync_weight: float = 0.01
    learning_rate: float = 1e-4
    critic_rate: float = 1e-4
    max_steps: int = 300_000
    paste_on: str = "enrolment"
    find_faces: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a number that must be above 0 is not, a batch of one, or an unknown choice.
        """
        check_sizes(self, zero=("residual_blocks", "sync_weight"))
        if self.batch_size < 2:
            raise DoppelbenchError(f"batch_size is {self.batch_size}; wrong pairs need at least 2")
        if self.picture % 16 or not 32 <= self.picture <= 96:
            raise DoppelbenchError(f"picture is {self.picture}; it must be a multiple of 16 from 32 to 96")
        if self.paste_on not in PASTE_ON:
            raise DoppelbenchError(f"paste_on is {self.paste_on!r}; it must be {', '.join(PASTE_ON)}")


PAPER = LipGANSettings()
SMALL = replace(
    PAPER,
    picture=64,
    width=8,
    widest=12,
    residual_blocks=0,
    batch_size=16,
    learning_rate=1e-3,
    max_steps=2000,
)
TINY = replace(SMALL, picture=32, width=4, batch_size=4, max_steps=20)


def scales(picture: int) -> list[int]:
    """Heights at which the generator works, from the picture's to 3 or 4: 96, 48, 24, 12, 6, 3."""
    found = [picture]
    while found[-1] % 2 == 0 and found[-1] > SMALLEST_SCALE:
        found.append(found[-1] // 2)
    return found


Block = partial(PlainBlock, momentum=NORM_MOMENTUM)


class Residual(nn.Module):
    """Two convolutions whose output is added to their input before the last ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Block(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width, momentum=NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class Grow(nn.Module):
    """Transposed convolution, batch norm, ReLU; the size is multiplied by ``factor``."""

    def __init__(self, inputs: int, outputs: int, factor: int, *, first: bool = False) -> None:
        super().__init__()
        if first:
            self.convolution = nn.ConvTranspose2d(inputs, outputs, factor, factor, bias=False)
        else:
            self.convolution = nn.ConvTranspose2d(
                inputs, outputs, 3, factor, padding=1, output_padding=1, bias=False
            )
        self.norm = nn.BatchNorm2d(outputs, momentum=NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(x)))


def residuals(width: int, published: int, most: int) -> list[nn.Module]:
    """As many residual blocks as published, but at most ``most``."""
    return [Residual(width) for _ in range(min(published, most))]


class AudioEncoder(nn.Module):
    """Cepstra (batch, 12, 35) to (batch, 16 * width, 1, 1)."""

    def __init__(self, settings: LipGANSettings) -> None:
        super().__init__()
        width, most = settings.width, settings.residual_blocks
        widths = [width * min(factor, settings.widest) for factor in (4, 8, 16, 16)]
        layers: list[nn.Module] = []
        inputs = 1
        for outputs, stride, blocks in zip(widths, AUDIO_STRIDES, AUDIO_BLOCKS, strict=True):
            if stride == (1, 2):
                layers.append(nn.ZeroPad2d((0, 0, 0, 1)))
            layers.append(Block(inputs, outputs, 3, stride, 1))
            layers.extend(residuals(outputs, blocks, most))
            inputs = outputs
        embedding = EMBEDDING * width
        layers += [Block(inputs, embedding, (4, 5)), Block(embedding, embedding, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, sound: Tensor) -> Tensor:
        return self.layers(sound[:, None])


class Generator(nn.Module):
    """Cepstra, a reference face and a face whose lower half is zero to the whole face."""

    def __init__(self, settings: LipGANSettings) -> None:
        super().__init__()
        width, most = settings.width, settings.residual_blocks
        sizes = scales(settings.picture)
        widths = [width * min(2**scale, settings.widest) for scale in range(len(sizes))]
        embedding = EMBEDDING * width
        self.audio = AudioEncoder(settings)
        self.encoder = nn.ModuleList()
        inputs = 6
        for scale, outputs in enumerate(widths):
            kernel = (7, 5)[scale] if scale < 2 else 3
            last = scale == len(widths) - 1
            blocks = 0 if last else FACE_BLOCKS[scale]
            self.encoder.append(
                nn.Sequential(
                    Block(inputs, outputs, kernel, 1 if scale == 0 else 2, kernel // 2),
                    *residuals(outputs, blocks, most),
                )
            )
            inputs = outputs
        self.face = nn.Sequential(Block(inputs, embedding, sizes[-1]), Block(embedding, embedding, 1))
        self.decoder = nn.ModuleList([Grow(2 * embedding, widths[-1], sizes[-1], first=True)])
        inputs = 2 * widths[-1]
        for scale in reversed(range(len(widths) - 1)):
            blocks = DECODER_BLOCKS if scale > 0 else 0
            self.decoder.append(
                nn.Sequential(Grow(inputs, widths[scale], 2), *residuals(widths[scale], blocks, most))
            )
            inputs = 2 * widths[scale]
        half = max(width // 2, LEAST_LAST)
        self.last = nn.Sequential(
            Block(inputs, half, 3, padding=1), Block(half, half, 3, padding=1), nn.Conv2d(half, 3, 1)
        )

    def forward(self, sound: Tensor, reference: Tensor, masked: Tensor) -> Tensor:
        """Draw faces.

        Args:
            sound: shape (batch, 12, 35).
            reference: shape (batch, 3, picture, picture), range 0 to 1.
            masked: of the same shape; the lower half is zero.

        Returns:
            Of the same shape, range 0 to 1.
        """
        hidden, skips = torch.cat([reference, masked], dim=1), []
        for layer in self.encoder:
            hidden = layer(hidden)
            skips.append(hidden)
        hidden = torch.cat([self.audio(sound), self.face(hidden)], dim=1)
        for layer, skip in zip(self.decoder, reversed(skips), strict=True):
            hidden = torch.cat([layer(hidden), skip], dim=1)
        return torch.sigmoid(self.last(hidden))


class Critic(nn.Module):
    """Distance between what is heard and what the lips say."""

    def __init__(self, settings: LipGANSettings) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, size = 3, settings.picture
        for factor, kernel in zip(CRITIC_WIDTHS, CRITIC_KERNELS, strict=True):
            # An instance norm needs more than one place.
            if size % 2 or size < SMALLEST_SCALE:
                break
            outputs, size = factor * settings.width, size // 2
            layers += [
                nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False),
                nn.InstanceNorm2d(outputs, affine=True),
                nn.LeakyReLU(SLOPE),
            ]
            inputs = outputs
        layers.append(nn.Conv2d(inputs, EMBEDDING * settings.width, size))
        self.face = nn.Sequential(*layers)
        self.audio = AudioEncoder(settings)

    def forward(self, face: Tensor, sound: Tensor) -> Tensor:
        """Distance (batch,) of faces (batch, 3, picture, picture) and cepstra (batch, 12, 35), 0 to 2."""
        return distance(self.face(face).flatten(1), self.audio(sound).flatten(1))


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distance (batch,) of vectors (batch, n) after scaling them to unit length."""
    difference = F.normalize(first, dim=1) - F.normalize(second, dim=1)
    return difference.square().sum(dim=1).clamp_min(SMALLEST_SQUARE).sqrt()


def together_loss(distances: Tensor) -> Tensor:
    """Contrastive loss of pairs that belong together."""
    return distances.square().mean()


def apart_loss(distances: Tensor) -> Tensor:
    """Contrastive loss of pairs that do not; none beyond the margin."""
    return F.relu(MARGIN - distances).square().mean()


def lower_half_zero(faces: Tensor) -> Tensor:
    """Zero the lower half of faces (batch, 3, height, width)."""
    masked = faces.clone()
    masked[:, :, faces.shape[2] // 2 :] = 0
    return masked


class LipGANModule(L.LightningModule):
    """One step of the generator, then one of the critic."""

    def __init__(self, generator: Generator, settings: LipGANSettings) -> None:
        super().__init__()
        self.save_hyperparameters({"settings": asdict(settings)})
        self.automatic_optimization = False
        self.generator = generator
        self.critic = Critic(settings)
        self.settings = settings

    def generator_losses(self, sound: Tensor, made: Tensor, face: Tensor) -> dict[str, Tensor]:
        """Losses of the generator by name, without their weights."""
        return {"picture_l1": F.l1_loss(made, face), "sync": together_loss(self.critic(made, sound))}

    def critic_losses(self, sound: Tensor, made: Tensor, face: Tensor, rolled: bool) -> dict[str, Tensor]:
        """Losses of the critic by name; wrong pairs are natural faces with the sound of another, or drawn
        ones."""
        together = self.critic(face, sound)
        if rolled:
            apart = self.critic(face, sound.roll(min(ROLLED_BY, len(sound) // 2), dims=0))
        else:
            apart = self.critic(made.detach(), sound)
        return {"critic_together": together_loss(together), "critic_apart": apart_loss(apart)}

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, bool], batch_index: int) -> None:
        sound, references, pictures, rolled = batch
        face = to_unit(pictures)
        generator_optimizer, critic_optimizer = self.optimizers()  # type: ignore[misc, attr-defined]
        drawn = self.generator(sound, to_unit(references), lower_half_zero(face))
        made = self.generator_losses(sound, drawn, face)
        loss = made["picture_l1"] + self.settings.sync_weight * made["sync"]
        self.descend(generator_optimizer, loss)
        judged = self.critic_losses(sound, drawn, face, rolled)
        self.descend(critic_optimizer, judged["critic_together"] + judged["critic_apart"])
        self.log_dict({**made, **judged, "loss": loss})

    def descend(self, optimizer: Any, loss: Tensor) -> None:
        """One step of one network; gradients that its loss leaves in the other are never used."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.Adam(self.generator.parameters(), self.settings.learning_rate),
            torch.optim.Adam(self.critic.parameters(), self.settings.critic_rate),
        ]


class ReferenceBatches:
    """Batches (cepstra, reference face, face, which wrong pairs) as a pure function of seed and step."""

    def __init__(self, clips: FaceClips, batch_size: int, seed: int) -> None:
        self.clips = clips
        self.batch_size = batch_size
        self.seed = seed
        self.key = f"{clips.key}|b{batch_size}"

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor, Tensor, bool]:
        generator = np.random.default_rng([self.seed, step, rank])
        sound, references, pictures = [], [], []
        for _ in range(self.batch_size):
            clip, frame = self.clips.draw(generator)
            sound.append(clip.sound[frame])
            references.append(clip.pictures[clip.still(frame, 1, generator)[0]])
            pictures.append(clip.pictures[frame])
        joined = [torch.from_numpy(np.stack(items)) for items in (sound, references, pictures)]
        return joined[0], joined[1], joined[2], bool(generator.integers(2))


def forth_and_back(count: int, frames: int) -> np.ndarray:
    """Indices of ``count`` pictures of a film of ``frames`` that is played forth and back: 0 1 2 1 0 1 ..."""
    if frames == 1:
        return np.zeros(count, dtype=int)
    place = np.arange(count) % (2 * (frames - 1))
    return np.minimum(place, 2 * (frames - 1) - place)


def nearest_to_mean(frames: np.ndarray) -> int:
    """Index of the picture of a film, uint8 (t, height, width, 3), that differs least from their mean."""
    mean = frames.mean(axis=0, dtype=np.float32)
    return int(np.argmin([np.square(frame - mean).sum() for frame in frames]))


@register
class LipGAN(System):
    """One model for all faces; a target is known by a film whose lips are redrawn."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="lipgan",
        title="LipGAN",
        track="audio-to-video",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Prajwal K R et al.: Towards Automatic Face-to-Face Translation, ACM Multimedia 2019",
        needs=frozenset({"other-speakers", "enrolment"}),
    )
    settings: LipGANSettings

    def __init__(self, settings: LipGANSettings) -> None:
        self.settings = settings
        self.generator = Generator(settings)
        self.films: dict[str, EnrolledFilm] = {}

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the films of all people.

        Raises:
            InputError: no film can be used.
        """
        settings = self.settings
        films = face_clips(clips, settings.picture, settings.find_faces, trainer)
        with seeded(trainer.seed):
            self.generator = Generator(settings)
            module = LipGANModule(self.generator, settings)
        self.films = {}
        record = train(module, ReferenceBatches(films, settings.batch_size, trainer.seed), trainer)
        self.generator.eval().cpu()
        return record

    def enroll(self, target: str, clips: Sequence[Clip]) -> None:
        """Take the first film that can be used, in the order given, or one picture of it.

        Raises:
            InputError: no film can be used; the message says why.
        """
        film = enrol_film(target, clips, self.settings.picture, self.settings.find_faces)
        if self.settings.paste_on == "still":
            chosen = [nearest_to_mean(film.frames)]
            film = replace(film, frames=film.frames[chosen], faces=film.faces[chosen])
        self.films[target] = film

    def draw(self, sound: np.ndarray, references: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Redraw the lower half of faces.

        Args:
            sound: cepstra, shape (t, 12, 35).
            references: uint8, shape (t, picture, picture, 3).
            faces: of the same shape; their lower half is not looked at.

        Returns:
            Of the same shape.
        """
        device = next(self.generator.parameters()).device
        self.generator.eval()

        def part(chosen: slice) -> Tensor:
            return self.generator(
                torch.from_numpy(sound[chosen]).to(device),
                to_unit(references[chosen]).to(device),
                lower_half_zero(to_unit(faces[chosen])).to(device),
            )

        with torch.inference_mode():
            return in_parts(part, len(sound))

    def convert(self, trial: Trial) -> Output:
        """Show the target with the lips of ``trial.source``."""
        if trial.target not in self.films:
            raise MediaError("missing", f"target {trial.target} is not enrolled")
        enrolled = self.films[trial.target]
        sound = read_clip(trial.source)
        shown, indices = self._shown(trial, enrolled, sound.seconds)
        count = len(indices)
        windows = mfcc_windows(sound.samples, count, shown.fps)
        references = enrolled.faces[forth_and_back(count, len(enrolled.faces))]
        faces = self.draw(windows, references, shown.faces[indices])
        return Output(sound, Video(paste_face(shown.frames[indices], faces, shown.box), shown.fps))

    def _shown(self, trial: Trial, enrolled: EnrolledFilm, seconds: float) -> tuple[EnrolledFilm, np.ndarray]:
        """The film whose lips are redrawn, and which of its pictures are shown."""
        if self.settings.paste_on == "reference" and trial.reference is not None and trial.reference.video:
            film = enrolled_film(natural_film(trial), self.settings.picture, self.settings.find_faces)
            return film, np.arange(len(film.frames))
        count = film_length(trial, seconds, enrolled.fps)
        return enrolled, forth_and_back(count, len(enrolled.frames))

    def save(self, directory: Path) -> None:
        save_network(directory, self.generator, {"settings": asdict(self.settings)})

    @classmethod
    def load(cls, directory: Path) -> "LipGAN":
        with reading_saved(directory, "trained lipgan"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(LipGANSettings, config["settings"]))
            system.generator.load_state_dict(load_file(directory / "weights.safetensors"))
        return system
