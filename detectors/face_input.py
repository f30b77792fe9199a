"""What a detector of frames sees: faces, cut out by one rule, of one size.

The square of :mod:`doppelbench.corpora.faces` (one a clip, the median over nine frames) is enlarged about its
middle by a factor of 1.3, as FaceForensics++ does (A. Rössler et al., ICCV 2019); what of it lies beyond the
picture repeats the edge. Faces are resized but not turned upright. Where no face is found in half of the
frames looked at, the largest square in the middle of the picture is taken for one, which a warning says: a
class whose faces are found less often is then told by that, and not by how its faces look.

Frames are taken at the middles of equal parts of the film, so that a long clip weighs no more than a short
one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import (
    DoppelbenchError,
    MediaError,
    warn_whole_pictures,
)
from doppelbench.corpora.faces import DETECTION_FRAMES
from doppelbench.corpora.films import Framing, Square, crop_square, face_square
from doppelbench.corpora.media import Video
from doppelbench.detectors.training_arrays import TrainingArrays, training_arrays
from doppelbench.detectors.video_detector import check_film, read_film
from doppelbench.engine.trainer import TrainerSettings

# Raised whenever the same clip would become other pictures.
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSettings:
    """How faces are cut out of a film.

    Attributes:
        picture: height and width of a face in pixels.
        frames: of a film, at training and at test; a shorter film has all of its own.
        find_faces: whether to look for the face; else the whole picture is taken for it.
        margin: side of the square that is cut in that of the detector's.
    """

    picture: int = 256
    frames: int = 32
    find_faces: bool = True
    margin: float = 1.3

    def __post_init__(self) -> None:
        """Refuse numbers that no face can have.

        Raises:
            DoppelbenchError: there would be no pixels or no frames, or the square would not hold the face.
        """
        if self.picture < 1 or self.frames < 1:
            raise DoppelbenchError(
                f"picture is {self.picture} and frames is {self.frames}; both must be at least 1"
            )
        if not 1 <= self.margin <= 5:
            raise DoppelbenchError(f"margin is {self.margin}; it must be 1 to 5")


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Faces of one film.

    Attributes:
        pictures: uint8, shape (n, picture, picture, 3).
        times: middle of the time for which each is shown, in seconds, shape (n,).
        square: what was cut out of the film.
        found: whether a face was found there; else it is the largest square in the middle.
    """

    pictures: np.ndarray
    times: np.ndarray
    square: Square
    found: bool


def spread_frames(count: int, wanted: int) -> np.ndarray:
    """Indices of the frames at the middles of ``wanted`` equal parts of a film, or of all its frames where it
    has no more; ascending, each once."""
    number = min(count, wanted)
    return ((np.arange(number) + 0.5) * count / number).astype(int)


def cut_faces(film: Video, settings: FaceSettings) -> Faces:
    """Cut the faces out of a film.

    Raises:
        MediaError: see :func:`doppelbench.detectors.video_detector.check_film`.
    """
    check_film(film)
    height, width = film.frames.shape[1:3]
    square, found = Square(width / 2, height / 2, min(height, width)), False
    if settings.find_faces:
        looked_at = film.frames[spread_frames(len(film.frames), DETECTION_FRAMES)]
        try:
            # The box in the middle of the square, whose side is the box's times the margin.
            framing = Framing(crop="face", face_share=1 / settings.margin, face_height=0.5)
            square, found = face_square(looked_at, framing), True
        except MediaError as error:
            if error.status != "missing":
                raise
    chosen = spread_frames(len(film.frames), settings.frames)
    pictures = crop_square(film.frames[chosen], square, settings.picture)
    return Faces(pictures, (chosen + 0.5) / film.fps, square, found)


def face_arrays(clip: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute what is kept of one clip for training; arguments are the fields of clip and settings."""
    faces = cut_faces(read_film(Clip(**clip)), FaceSettings(**settings))
    return {"pictures": faces.pictures, "found": np.array([faces.found])}


def training_faces(
    bonafide: Sequence[Clip], spoof: Sequence[Clip], settings: FaceSettings, trainer: TrainerSettings
) -> TrainingArrays:
    """Cut (or find) the faces of both classes under the directory of a training.

    Clips without a film that can be used are left out, and those without a face taken whole, with a warning.

    Returns:
        Faces of each clip, uint8 of shape (n, picture, picture, 3).

    Raises:
        InputError: a class has no clip that can be used, or a film is in both.
    """
    arrays, caches = training_arrays(
        bonafide,
        spoof,
        face_arrays,
        asdict(settings),
        trainer,
        field="pictures",
        media="video",
        kind=("faces", VERSION),
    )
    for what, cache in caches.items() if settings.find_faces else ():
        without = [name for name in cache if not cache[name]["found"][0]]
        taken = f"{what} clips, whose whole pictures are taken"
        warn_whole_pictures(without, len(cache), taken, stacklevel=3)
    return arrays
