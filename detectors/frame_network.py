"""What detectors made of a network of single frames share: faces of both classes, training, scoring and
explanation."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, WholePictureWarning
from doppelbench.corpora.media import Video
from doppelbench.detectors.detector import Explanation, PictureRelevance
from doppelbench.detectors.face_input import (
    Faces,
    FaceSettings,
    cut_faces,
    spread_frames,
    training_faces,
)
from doppelbench.detectors.film_occlusion import CELLS, cover_cells
from doppelbench.detectors.losses import Head, OneLogit
from doppelbench.detectors.network_detector import DetectorNetwork, TrainedNetwork
from doppelbench.detectors.training_arrays import TrainingArrays
from doppelbench.detectors.video_detector import VideoDetector, read_film
from doppelbench.engine.hashing import content_key
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

FRAMES_AT_ONCE = 16
# The map over the picture needs dozens of scorings; so many frames are enough for it.
EXPLAINED_FRAMES = 4
# Largest change of size (share), angle (degrees), brightness and single colours (share) in training.
ZOOM, TURN, BRIGHTNESS, COLOUR = 0.1, 10.0, 0.1, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSettings:
    """What training and scoring of every network of frames have in common.

    Attributes:
        faces: how they are cut out.
        batch_size: pictures; bona fide and spoofed ones take turns.
        class_weights: of spoof and bona fide in the loss.
        learning_rate: at the beginning.
        decay_steps: after as many the learning rate falls to a tenth, and so on.
        least_learning_rate: below which it does not fall.
        augment: scale of the random changes of a picture; 0 leaves pictures as they are.
        loss: of the sigmoid, ``squared-error`` or ``cross-entropy``.
    """

    faces: FaceSettings = field(default_factory=FaceSettings)
    batch_size: int = 32
    class_weights: tuple[float, float] = (0.5, 0.5)
    learning_rate: float = 1e-3
    decay_steps: int = 1000
    least_learning_rate: float = 1e-6
    augment: float = 1.0
    loss: Literal["squared-error", "cross-entropy"] = "squared-error"
    max_steps: int = 4000

    def __post_init__(self) -> None:
        """Refuse sizes that no training can have.

        Raises:
            DoppelbenchError: a number is out of its range.
        """
        for name in ("learning_rate", "decay_steps", "least_learning_rate", "max_steps"):
            if not getattr(self, name) > 0:
                raise DoppelbenchError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.batch_size < 2:
            raise DoppelbenchError(f"batch_size is {self.batch_size}; it must be at least 2")
        if len(self.class_weights) != 2 or min(self.class_weights) <= 0:
            raise DoppelbenchError(f"class_weights are {self.class_weights}; two numbers above 0 are needed")
        if not 0 <= self.augment <= 3:
            raise DoppelbenchError(f"augment is {self.augment}; it must be 0 to 3")
        if self.loss not in HEADS:
            raise DoppelbenchError(f"loss is {self.loss!r}; it must be one of {', '.join(HEADS)}")

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        return max(self.learning_rate * 0.1 ** (step // self.decay_steps), self.least_learning_rate)


class SquaredError(OneLogit):
    """One logit as :class:`OneLogit`, trained with the squared error of its sigmoid."""

    def loss(self, embedding: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
        scores = self(embedding)
        of_items = scores.new_tensor(weights)[labels]
        return (of_items * (torch.sigmoid(scores) - labels.to(scores)) ** 2).sum() / of_items.sum()


HEADS: dict[str, type[OneLogit]] = {"squared-error": SquaredError, "cross-entropy": OneLogit}


class FrameModule(L.LightningModule):
    """Training step of a detector of frames."""

    def __init__(self, network: DetectorNetwork, settings: FrameSettings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        pictures, labels = batch
        loss = self.network.loss(pictures, labels, self.settings.class_weights)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        rate = self.settings.learning_rate
        optimizer = torch.optim.Adam(self.parameters(), lr=rate)
        falling = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.settings.rate_at(step) / rate
        )
        return [optimizer], [{"scheduler": falling, "interval": "step"}]


def to_unit(pictures: np.ndarray) -> Tensor:
    """Turn pictures uint8 (n, height, width, 3) into float32 (n, 3, height, width), range 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, 1).float() / 255


def changed(pictures: Tensor, generator: np.random.Generator, scale: float = 1.0) -> Tensor:
    """Change pictures slightly and at random: mirror, size, angle, brightness and colour.

    With a scale of 1 half of them are mirrored, the size changes by 10 % at most, the angle by 10 degrees,
    the brightness by 10 % and each colour by 5 %. What comes in from outside repeats the edge.

    Args:
        pictures: shape (n, 3, height, width), range 0 to 1.
        generator: of random numbers.
        scale: of the changes; mirroring does not depend on it.
    """
    count = len(pictures)
    mirror = np.where(generator.random(count) < 0.5, -1.0, 1.0)
    zoom = 1 + scale * ZOOM * generator.uniform(-1, 1, count)
    angle = np.radians(scale * TURN * generator.uniform(-1, 1, count))
    gain = 1 + scale * BRIGHTNESS * generator.uniform(-1, 1, (count, 1))
    gain = gain * (1 + scale * COLOUR * generator.uniform(-1, 1, (count, 3)))
    matrices = np.zeros((count, 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = mirror * np.cos(angle) * zoom, -np.sin(angle) * zoom
    matrices[:, 1, 0], matrices[:, 1, 1] = mirror * np.sin(angle) * zoom, np.cos(angle) * zoom
    grid = F.affine_grid(torch.from_numpy(matrices).float(), list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return (moved * torch.from_numpy(gain).float()[:, :, None, None]).clamp(0, 1)


class LabelledFaces:
    """Batches (pictures, labels) as a pure function of seed and step; label 1 is bona fide.

    Bona fide and spoofed pictures take turns, clips of a class are drawn alike, and frames of a clip.
    """

    def __init__(self, faces: TrainingArrays, settings: FrameSettings, seed: int) -> None:
        self.faces = faces
        self.settings = settings
        self.seed = seed
        self.key = f"{faces.key}|{content_key(asdict(settings))[:16]}"

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """Return float32 (batch, 3, picture, picture), range 0 to 1, and labels of shape (batch,), int64."""
        generator = np.random.default_rng([self.seed, step, rank])
        sides = (self.faces.spoof, self.faces.bonafide)
        # An odd batch has one more of either class by turns.
        labels = (np.arange(self.settings.batch_size) + step) % 2
        clips = [sides[label][int(generator.integers(len(sides[label])))] for label in labels.tolist()]
        pictures = to_unit(np.stack([clip[int(generator.integers(len(clip)))] for clip in clips]))
        if self.settings.augment > 0:
            pictures = changed(pictures, generator, self.settings.augment)
        return pictures, torch.from_numpy(labels.astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class FrameScores:
    """Faces of a film and the score of each, float64 of shape (n,)."""

    faces: Faces
    scores: np.ndarray


class FrameDetector(VideoDetector, TrainedNetwork):
    """A detector made of a network that sees one face at a time; a film has the mean of its frames' scores.

    Subclasses say how the network is built.
    """

    settings_class: ClassVar[type[FrameSettings]]
    settings: FrameSettings

    @classmethod
    @abstractmethod
    def body(cls, settings: Any) -> tuple[nn.Module, int]:
        """Make what embeds pictures (batch, 3, picture, picture), and say how wide its embedding is."""

    @classmethod
    def build(cls, settings: Any) -> DetectorNetwork:
        """Make the network with weights from torch's random state."""
        body, width = cls.body(settings)
        head: Head = HEADS[settings.loss](width)
        return DetectorNetwork(body, head)

    def fit(
        self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings
    ) -> TrainingRecord:
        """Train the network on single faces of both classes; see :meth:`Detector.fit`."""
        settings = self.settings
        faces = training_faces(bonafide, spoof, settings.faces, trainer)
        with seeded(trainer.seed):
            network = self.build(settings)
        steps = trainer.max_steps or (settings.max_steps if trainer.max_seconds is None else None)
        record = train(
            FrameModule(network, settings),
            LabelledFaces(faces, settings, trainer.seed),
            replace(trainer, max_steps=steps),
        )
        self.network = network.eval().cpu()
        return record

    def score_film(self, film: Video) -> float:
        """The mean of the frames' scores; see :meth:`VideoDetector.score_film`."""
        return float(self.frame_scores(film).scores.mean())

    def score_clip(self, clip: Clip) -> float:
        """The mean of the frames' scores; see :meth:`VideoDetector.score_clip`."""
        return float(self.frame_scores(read_film(clip), name=str(clip.video)).scores.mean())

    def frame_scores(self, film: Video, *, name: str = "the film") -> FrameScores:
        """Score the frames of a film one by one.

        Args:
            film: its pictures.
            name: what to call it in the warning that its whole pictures are judged.

        Raises:
            MediaError: as :meth:`score_film`.
            InputError: the detector is not fitted.
        """
        self.fitted()
        faces = cut_faces(film, self.settings.faces)
        if self.settings.faces.find_faces and not faces.found:
            warnings.warn(
                f"{name}: no face was found; the whole picture is judged", WholePictureWarning, stacklevel=3
            )
        return FrameScores(faces, self.picture_scores(faces.pictures))

    def picture_scores(self, pictures: np.ndarray) -> np.ndarray:
        """Score faces, uint8 of shape (n, picture, picture, 3); float64 of shape (n,)."""
        network = self.fitted()
        device = next(network.parameters()).device
        with torch.inference_mode():
            parts = [
                network(to_unit(pictures[first : first + FRAMES_AT_ONCE]).to(device)).cpu()
                for first in range(0, len(pictures), FRAMES_AT_ONCE)
            ]
        return torch.cat(parts).double().numpy()

    def explain_film(self, film: Video) -> Explanation:
        """The share of each frame in the score, which adds up to it, and a map over the face by occlusion.

        Cells of the map are covered in four frames that are spread over the film.
        """
        found = self.frame_scores(film)
        faces = found.faces
        few = faces.pictures[spread_frames(len(faces.pictures), EXPLAINED_FRAMES)]
        side = faces.square.side
        return Explanation(
            times=faces.times,
            frequencies=None,
            relevance=found.scores / len(found.scores),
            method=f"frame-scores|occlusion{CELLS}x{CELLS}",
            picture=PictureRelevance(
                left=faces.square.x - side / 2,
                top=faces.square.y - side / 2,
                side=side,
                relevance=cover_cells(lambda pictures: float(self.picture_scores(pictures).mean()), few),
            ),
        )
