"""Where a face is in a clip, cutting it out, and putting a drawn one back so that no seam is seen.

The published systems register each frame (Speech2Vid by landmarks of eyes and nose) or take a detector's box
for each frame (LipGAN), paste hard rectangles, and fail where no face is found. Here one square serves a
whole clip (a box that followed the detector would jitter by pixels), rotation is left as it is, the edge of
what is pasted fades over a tenth of the square, and where no face is found the whole picture is taken, which
a warning says. Among several faces the largest counts.
"""

from dataclasses import dataclass

import numpy as np

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.films import Framing, face_square

# The detector's box ends between mouth and chin; a third more, a little lower, holds the jaw as it opens.
FACE = Framing(crop="face", face_share=0.75, face_height=0.46)
FEATHER = 0.1


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A square inside the pictures of a clip, in whole pixels.

    Attributes:
        left: first column.
        top: first row.
        side: rows and columns.
        found: whether a face was found there; else it is the largest square in the middle.
    """

    left: int
    top: int
    side: int
    found: bool = True


def check_frames(frames: np.ndarray) -> None:
    """Refuse what is no film.

    Raises:
        InputError: not uint8 of shape (t, height, width, 3) with at least one frame.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise InputError(
            "pictures must be uint8 of shape (t, height, width, 3), not "
            f"{frames.dtype} of shape {tuple(frames.shape)}"
        )


def whole_picture(frames: np.ndarray) -> FaceBox:
    """The largest square in the middle of the pictures."""
    check_frames(frames)
    height, width = frames.shape[1:3]
    side = min(height, width)
    return FaceBox((width - side) // 2, (height - side) // 2, side, found=False)


def place_face(frames: np.ndarray) -> FaceBox:
    """Find the square around the face of a clip; the whole picture where there is none.

    Args:
        frames: uint8, shape (t, height, width, 3).

    Raises:
        InputError: the frames are no film.
    """
    check_frames(frames)
    try:
        square = face_square(frames, FACE)
    except MediaError:
        return whole_picture(frames)
    height, width = frames.shape[1:3]
    side = min(round(square.side), height, width)
    left, top = round(square.x - side / 2), round(square.y - side / 2)
    return FaceBox(min(max(left, 0), width - side), min(max(top, 0), height - side), side)


def resize(frames: np.ndarray, pixels: int) -> np.ndarray:
    """Resize square pictures, averaging over areas where they shrink.

    Args:
        frames: uint8, shape (t, side, side, 3).
        pixels: height and width of the result.
    """
    from PIL import Image

    if frames.shape[1:3] == (pixels, pixels):
        return frames
    result = np.empty((len(frames), pixels, pixels, 3), dtype=np.uint8)
    for made, frame in zip(result, frames, strict=True):
        image = Image.fromarray(np.ascontiguousarray(frame))
        made[:] = np.asarray(image.resize((pixels, pixels), Image.Resampling.BILINEAR))
    return result


def cut_face(frames: np.ndarray, box: FaceBox, pixels: int) -> np.ndarray:
    """Cut the square out of all frames; returns uint8 of shape (t, pixels, pixels, 3)."""
    return resize(frames[:, box.top : box.top + box.side, box.left : box.left + box.side], pixels)


def feather(box: FaceBox, height: int, width: int) -> np.ndarray:
    """Share of the pasted face at each pixel of the square.

    It is 0 at the square's outermost pixels and rises to 1 within a tenth of its side, but does not fade
    where the square ends with the picture.

    Returns:
        Shape (side, side), float64, range 0 to 1.
    """
    ramp = np.minimum(1.0, np.arange(box.side) / max(1.0, FEATHER * box.side))

    def along(start: int, length: int) -> np.ndarray:
        first = ramp if start > 0 else np.ones(box.side)
        last = ramp[::-1] if start + box.side < length else np.ones(box.side)
        return np.minimum(first, last)

    return along(box.top, height)[:, None] * along(box.left, width)[None, :]


def paste_face(background: np.ndarray, faces: np.ndarray, box: FaceBox) -> np.ndarray:
    """Put faces into pictures.

    Args:
        background: uint8, shape (t, height, width, 3), or (1, height, width, 3) for a still.
        faces: uint8, shape (t, pixels, pixels, 3).
        box: where they belong.

    Returns:
        uint8, shape (t, height, width, 3).

    Raises:
        InputError: either is no film, or they differ in length.
    """
    check_frames(background)
    check_frames(faces)
    if len(background) not in (1, len(faces)):
        raise InputError(f"{len(faces)} faces do not go into {len(background)} pictures")
    result = np.repeat(background, len(faces), axis=0) if len(background) == 1 else background.copy()
    share = feather(box, *background.shape[1:3])[..., None]
    inside = result[:, box.top : box.top + box.side, box.left : box.left + box.side]
    # One picture at a time, because float64 takes eight times the memory of the film.
    for place, face in zip(inside, resize(faces, box.side), strict=True):
        place[:] = np.rint(share * face + (1 - share) * place)
    return result
