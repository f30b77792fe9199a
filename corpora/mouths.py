"""Mouths cut out of films: what lip reading and video-to-speech see of a person.

One square a clip, because a square that followed the lips of each frame would jitter by pixels, and its
jitter would be read as speech. Three rules, the first that applies:

* the talkers corpus keeps the truth about the mouth beside each film (``<clip>.face.json``): the square lies
  around the mean place of the mouth, 1.7 times as wide as the mouth is at the median;
* a face that the detector of :mod:`doppelbench.corpora.faces` finds: the mouth is a fixed part of it;
* the picture itself, taken for a head as :class:`doppelbench.corpora.films.Framing` frames it.

Only the mean place is taken from the truth, so that nothing of what is said reaches a system by this way.
Pictures are grey. Nothing here looks at sound, and silent films serve as well as others.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.faces import find_face
from doppelbench.corpora.films import (
    LEAST_SHARE,
    PADDING,
    TRUTH_SUFFIX,
    Framing,
    Square,
    crop_square,
    shown_frames,
)
from doppelbench.corpora.media import Video, read_video

# Raised whenever the same film would become other pictures.
VERSION = 1
TRUTH_KEYS = ("mouth_x", "mouth_y", "mouth_width")
# Side of the square in median widths of the mouth, and in sides of the face's box.
SIDE_OF_MOUTH = 1.7
SIDE_OF_FACE = 0.6
# Middle of the mouth in the face's box, in its side from its top: 0.75 to 0.81 on drawn and on GRID's faces.
MOUTH_IN_FACE = 0.79
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class MouthPlace:
    """Where the mouth of a clip is, and by which rule it was found."""

    square: Square
    source: Literal["truth", "face", "picture"]


@dataclass(frozen=True, slots=True)
class MouthFilm:
    """Mouth crops of a clip.

    Attributes:
        pictures: grey, uint8, shape (t, side, side).
        fps: pictures per second.
        place: where they were cut out.
    """

    pictures: np.ndarray
    fps: float
    place: MouthPlace


def mouth_film(clip: Clip, pixels: int, fps: float | None = None) -> MouthFilm:
    """Read a film and cut the mouth out; the sound is never read.

    Args:
        clip: with a video.
        pixels: side of the crops.
        fps: wanted rate; of another one, the picture shown in the middle of each period is taken. The film's
            own when None, which keeps every frame.

    Raises:
        MediaError: there is no film, it cannot be read, or it has one frame.
    """
    if clip.video is None:
        raise MediaError("missing", f"clip {clip.id} has no film")
    film = read_video(clip.video, audio=False, start=clip.start, end=clip.end)
    if len(film.frames) < 2:
        raise MediaError("too_short", f"{clip.video}: a film of one frame is a picture")
    place = place_mouth(film, clip)
    frames, rate = film.frames, film.fps
    if fps is not None and fps != film.fps:
        frames, rate = frames[shown_frames(len(frames), film.fps, fps)], fps
    return MouthFilm(cut_mouth(frames, place.square, pixels), rate, place)


def place_mouth(film: Video, clip: Clip) -> MouthPlace:
    """Find the mouth in a clip.

    Args:
        film: its pictures.
        clip: leads to the truth about the mouth, where there is one.

    Raises:
        MediaError: ``unreadable`` or ``length_mismatch`` for a truth that does not fit the film.
    """
    known = _true_square(film, clip)
    if known is not None:
        return MouthPlace(known, "truth")
    search = find_face(film.frames, padding=PADDING)
    if search.box is not None and search.found >= LEAST_SHARE * search.looked_at:
        left, top, side = search.box
        return MouthPlace(mouth_of_face(left, top, side), "face")
    height, width = film.frames.shape[1:3]
    framing, side = Framing(), min(height, width)
    face = framing.face_share * side
    middle = height / 2 + (framing.face_height - 0.5) * side
    return MouthPlace(mouth_of_face((width - face) / 2, middle - face / 2, face), "picture")


def mouth_of_face(left: float, top: float, side: float) -> Square:
    """The square around the mouth of a face whose box a detector found, all in pixels."""
    return Square(left + side / 2, top + MOUTH_IN_FACE * side, SIDE_OF_FACE * side)


def cut_mouth(frames: np.ndarray, square: Square, pixels: int) -> np.ndarray:
    """Cut a square out of all frames, resize it and make it grey (ITU-R BT.601).

    Args:
        frames: uint8, shape (t, height, width, 3).
        square: what to cut.
        pixels: side of the result.

    Returns:
        uint8, shape (t, pixels, pixels).
    """
    return np.rint(crop_square(frames, square, pixels) @ GREY).astype(np.uint8)


def _true_square(film: Video, clip: Clip) -> Square | None:
    """The square around the mean place of the mouth, or None where the truth is not known."""
    path = Path(clip.video or "").with_suffix(TRUTH_SUFFIX)
    if clip.video is None or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fps = float(content["fps"])
        x, y, width = (np.asarray(content[key], dtype=np.float64) for key in TRUTH_KEYS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(
            "unreadable", f"{path}: no truth about the mouth that can be read ({error})"
        ) from None
    if not (fps > 0 and x.ndim == 1 and x.size and x.shape == y.shape == width.shape):
        raise MediaError("unreadable", f"{path}: the truth about the mouth is not one number a frame")
    first = round((clip.start or 0.0) * fps)
    shown = slice(first, first + max(1, round(len(film.frames) / film.fps * fps)))
    if not x[shown].size:
        raise MediaError("length_mismatch", f"{path}: the truth ends before the clip begins")
    middle = Square(
        float(x[shown].mean()), float(y[shown].mean()), SIDE_OF_MOUTH * float(np.median(width[shown]))
    )
    if not (np.isfinite([middle.x, middle.y]).all() and middle.side > 0):
        raise MediaError("unreadable", f"{path}: the truth about the mouth is no place in a picture")
    return middle
