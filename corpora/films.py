"""Films as every system and metric sees them: one square picture, one size, one frame rate.

Systems that draw faces work on small squares. Each film of a corpus is therefore cut and resized once, kept
without loss, and everything after that (training, reference, scores) uses the same arrays. One square a clip:
a square that followed the face would move the background.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.faces import find_face
from doppelbench.corpora.media import Video, read_video, write_video

# Raised whenever the same film would become other pictures.
VERSION = 1
TRUTH_SUFFIX = ".face.json"
PADDING = 0.1
# Fewer hits than half of the frames are no face but a pattern in the background.
LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How films are cut.

    Attributes:
        size: height and width of the pictures in pixels, a multiple of 16.
        fps: pictures a second; of another rate, the picture shown in the middle of each period is taken.
        crop: ``whole`` takes the largest square in the middle, ``face`` a square around the face.
        face_share: side of the face's box in that of the square, for ``face``.
        face_height: height of the middle of the face's box in the square, from its top.
    """

    size: int = 64
    fps: float = 20.0
    crop: Literal["whole", "face"] = "whole"
    face_share: float = 0.6
    face_height: float = 0.52

    def __post_init__(self) -> None:
        """Refuse numbers that no film can have.

        Raises:
            InputError: says which number is wrong.
        """
        if self.size < 32 or self.size % 16:
            raise InputError(f"video.size must be a multiple of 16 and at least 32, not {self.size}")
        if not 1 <= self.fps <= 120:
            raise InputError(f"video.fps must be 1 to 120, not {self.fps:g}")
        if not (0.2 <= self.face_share <= 1 and 0.2 <= self.face_height <= 0.8):
            raise InputError("video.face_share must be 0.2 to 1 and video.face_height 0.2 to 0.8")


@dataclass(frozen=True, slots=True)
class Square:
    """A square of the picture in pixels: its middle and its side."""

    x: float
    y: float
    side: float

    def scaled(self, factor: float) -> "Square":
        """A square of the same middle with ``factor`` times the side."""
        return Square(self.x, self.y, factor * self.side)


def crop_square(frames: np.ndarray, square: Square, pixels: int) -> np.ndarray:
    """Cut a square out of all frames and resize it, averaging over areas where it shrinks.

    Args:
        frames: uint8, shape (t, height, width, 3).
        square: what to cut; pixels outside of the picture repeat its edge.
        pixels: height and width of the result.

    Returns:
        uint8, shape (t, pixels, pixels, 3).
    """
    from PIL import Image

    height, width = frames.shape[1:3]
    half = square.side / 2
    left, top = square.x - half, square.y - half
    pad = max(0, int(np.ceil(max(-left, -top, left + square.side - width, top + square.side - height))) + 1)
    box = (left + pad, top + pad, left + pad + square.side, top + pad + square.side)
    result = np.empty((len(frames), pixels, pixels, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        image = Image.fromarray(np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), mode="edge"))
        result[index] = np.asarray(image.resize((pixels, pixels), Image.Resampling.BILINEAR, box=box))
    return result


def shown_frames(count: int, fps: float, wanted: float) -> np.ndarray:
    """Indices of the frames that are shown in the middle of each period of another frame rate.

    Args:
        count: frames at ``fps``.
        fps: their rate.
        wanted: rate of the result, which covers the same time, a last part of a period included.

    Returns:
        Shape (ceil(count / fps * wanted),), ascending.
    """
    # Rounding keeps 75 frames at 25 from becoming 61 at 20 where the product is 60.0000001.
    periods = int(np.ceil(round(count / fps * wanted, 6)))
    return np.minimum(np.floor((np.arange(periods) + 0.5) / wanted * fps).astype(int), count - 1)


def face_square(frames: np.ndarray, framing: Framing) -> Square:
    """The square around the face of a clip.

    Raises:
        MediaError: ``missing`` when there is no face in half of the frames that were looked at.
    """
    search = find_face(frames, padding=PADDING)
    if search.box is None or search.found < LEAST_SHARE * search.looked_at:
        raise MediaError(
            "missing", f"no face was found (in {search.found} of {search.looked_at} frames looked at)"
        )
    left, top, width = search.box
    side = width / framing.face_share
    return Square(left + width / 2, top + width / 2 + (0.5 - framing.face_height) * side, side)


def frame_film(video: Video, framing: Framing) -> tuple[Video, Square]:
    """Cut a film.

    Args:
        video: frames of any size and rate.
        framing: what is wanted.

    Returns:
        The film, with the sound as it was, and the square that was cut.

    Raises:
        MediaError: ``missing`` when a face is wanted and there is none; ``too_short`` with one frame.
    """
    if len(video.frames) < 2:
        raise MediaError("too_short", "a film of one frame is a picture")
    height, width = video.frames.shape[1:3]
    if framing.crop == "face":
        square = face_square(video.frames, framing)
    else:
        square = Square(width / 2, height / 2, min(height, width))
    chosen = video.frames[shown_frames(len(video.frames), video.fps, framing.fps)]
    if chosen.shape[1:3] != (framing.size, framing.size) or square.side != framing.size:
        chosen = crop_square(chosen, square, framing.size)
    return Video(np.ascontiguousarray(chosen), framing.fps, video.audio), square


def framed_clip(clip: Clip, framing: Framing, directory: Path) -> Clip:
    """Cut the film of a clip, with the truth about the mouth where there is one, and keep it.

    A film that is there is kept: its name is the hash of its content and of the framing.

    Args:
        clip: with a video.
        framing: what is wanted.
        directory: for the films.

    Returns:
        The clip with the new film. A clip that is a part of its file has its sound in the film as well, and
        no start and end any more; the sound of any other clip stays where it is.

    Raises:
        MediaError: the film cannot be read, or has no face; the message names it.
        InputError: the clip has no video.
    """
    if clip.video is None:
        raise InputError(f"clip {clip.id} has no video")
    content = json.dumps(
        [VERSION, asdict(framing), clip.sha256, clip.video, clip.start, clip.end], sort_keys=True
    )
    path = directory / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.mkv"
    if not path.is_file():
        try:
            video = read_video(clip.video, audio=True, start=clip.start, end=clip.end)
            film, square = frame_film(video, framing)
        except MediaError as error:
            raise MediaError(error.status, f"{clip.video}: {error.reason}") from None
        truth = Path(clip.video).with_suffix(TRUTH_SUFFIX)
        directory.mkdir(parents=True, exist_ok=True)
        if truth.is_file() and not clip.start:
            moved = _moved_truth(json.loads(truth.read_text()), square, framing, len(film.frames))
            path.with_suffix(TRUTH_SUFFIX).write_text(json.dumps(moved))
        write_video(path, film)
    if clip.start is None and clip.end is None:
        return replace(clip, video=str(path), audio=clip.audio or str(path))
    return replace(clip, video=str(path), audio=str(path), start=None, end=None)


def _moved_truth(truth: Mapping[str, Any], square: Square, framing: Framing, count: int) -> dict[str, Any]:
    """The truth about the mouth in pixels and frames of the cut film."""
    scale = framing.size / square.side
    position = (np.arange(count) + 0.5) / framing.fps * float(truth["fps"]) - 0.5
    corners = {"mouth_x": square.x - square.side / 2, "mouth_y": square.y - square.side / 2}
    moved: dict[str, Any] = {"fps": framing.fps}
    for key in ("mouth_opening", "mouth_width", "mouth_x", "mouth_y"):
        known = np.asarray(truth[key], dtype=np.float64)
        values = np.interp(position, np.arange(len(known)), known)
        moved[key] = ((values - corners.get(key, 0.0)) * scale).round(4).tolist()
    return moved
