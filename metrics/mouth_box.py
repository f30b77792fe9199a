"""Where the mouth is in a natural clip, and how far it is open where that is known.

One box a clip, from the reference alone: a box that followed the mouth of each frame would jitter by several
pixels and put its own error into every metric, and a box from the output could be moved by a system.

The talkers corpus keeps the truth beside each film (``<clip>.face.json``). For other clips the frontal-face
cascade of local binary patterns that scikit-image carries (Liao et al. 2007) looks for the face in nine
frames spread over the clip; the median of the boxes it found, in each frame the largest, is the face, and the
mouth is a fixed part of it: the middle half of its width, from 63 % to 97 % of its height. On ten GRID
talkers that holds the mouth of each, in whole pictures and in crops of their heads.
"""

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.faces import DETECTION_FRAMES, find_face
from doppelbench.corpora.media import probe

TRUTH_SUFFIX = ".face.json"
TRUTH_KEYS = ("mouth_opening", "mouth_width", "mouth_x", "mouth_y")
# Margins around all positions of the mouth, in its greatest width: the lips lie outside of the gap.
MARGIN_X, MARGIN_Y = 0.15, 0.25
# The window of SSIM is 11 pixels wide.
LEAST_SIDE = 12
# Fewer hits than half of the frames are no face but a pattern in the background.
LEAST_HITS = 5
PADDING = 0.1
FACE_X = (0.25, 0.75)
FACE_Y = (0.63, 0.97)


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the picture in pixels, ``right`` and ``bottom`` exclusive, and where it is from."""

    left: int
    top: int
    right: int
    bottom: int
    source: Literal["truth", "face-detector"]


@dataclass(frozen=True, slots=True)
class MouthTruth:
    """The mouth at each frame of a clip in its pixels, arrays of shape (frames,).

    ``opening`` is the height of the gap between the lips, ``width`` that of the mouth; ``x`` and ``y`` are
    the middle of the gap.
    """

    opening: np.ndarray
    width: np.ndarray
    x: np.ndarray
    y: np.ndarray


def mouth_rule() -> str:
    """How signatures name the way in which the mouth is found, with the version of the face detector."""
    return (
        f"mouth-of-ref(truth-extent+{MARGIN_X:g}w+{MARGIN_Y:g}w,else-skimage-{metadata.version('scikit-image')}"
        f"-lbp-pad{PADDING:g}-median{DETECTION_FRAMES}-x{FACE_X[0]:g}..{FACE_X[1]:g}-y{FACE_Y[0]:g}..{FACE_Y[1]:g},"
        f"min{LEAST_SIDE}px)"
    )


def mouth_box(ref: np.ndarray, fps: float, clip: Clip | None) -> Box:
    """Find the mouth in a natural clip.

    Args:
        ref: frames of the reference, uint8, shape (t, height, width, 3).
        fps: frames per second.
        clip: the reference; ``clip.video`` leads to the truth where there is one.

    Raises:
        MediaError: ``missing`` when no face is found; ``unreadable`` and others for a truth that does not
            fit.
    """
    height, width = ref.shape[1:3]
    truth = mouth_truth(ref, fps, clip)
    if truth is None:
        return detected_box(ref)
    widest = truth.width.max()
    half_width = truth.width / 2 + MARGIN_X * widest
    half_height = truth.opening / 2 + MARGIN_Y * widest
    left, right = _whole_pixels((truth.x - half_width).min(), (truth.x + half_width).max(), width)
    top, bottom = _whole_pixels((truth.y - half_height).min(), (truth.y + half_height).max(), height)
    return Box(left, top, right, bottom, "truth")


def truth_path(clip: Clip | None) -> Path | None:
    """Where the truth about the mouth of a clip lies, or None where there is none."""
    if clip is None or clip.video is None:
        return None
    path = Path(clip.video).with_suffix(TRUTH_SUFFIX)
    return path if path.is_file() else None


def mouth_truth(ref: np.ndarray, fps: float, clip: Clip | None) -> MouthTruth | None:
    """The truth about the mouth at each frame of a natural clip, or None where there is none.

    It is interpolated where the clip has another frame rate than the film, and scaled where its pictures
    have another size.

    Args:
        ref: frames of the reference, uint8, shape (t, height, width, 3).
        fps: frames per second.
        clip: the reference; ``clip.video`` is its file and ``clip.start`` its first second in it.

    Raises:
        MediaError: ``unreadable`` when the file holds no such truth; ``length_mismatch`` when the clip goes
            on for more than a frame after the truth has ended.
    """
    path = truth_path(clip)
    if path is None:
        return None
    assert clip is not None
    assert clip.video is not None
    known, truth_fps = _read_truth(path)
    first = clip.start or 0.0
    # Frames stand for their middles: the film's frame k for (k + 0.5) / fps.
    position = ((np.arange(len(ref)) + 0.5) / fps + first) * truth_fps - 0.5
    end = len(known["mouth_x"])
    if position[-1] > end:
        raise MediaError(
            "length_mismatch",
            f"{path}: the truth ends after {end / truth_fps:.2f} s and the reference after "
            f"{first + len(ref) / fps:.2f} s",
        )
    size = probe(clip.video).size
    if size is None:
        raise MediaError("unreadable", f"{clip.video}: the file holds no pictures")
    scale_x, scale_y = ref.shape[2] / size[0], ref.shape[1] / size[1]
    opening, width, x, y = (np.interp(position, np.arange(end), known[key]) for key in TRUTH_KEYS)
    return MouthTruth(opening * scale_y, width * scale_x, x * scale_x, y * scale_y)


def detected_box(ref: np.ndarray) -> Box:
    """The mouth's part of the face that a detector finds in a clip.

    Args:
        ref: frames, uint8, shape (t, height, width, 3).

    Raises:
        MediaError: ``missing`` when there is no face in most of the frames that were looked at.
    """
    height, width = ref.shape[1:3]
    search = find_face(ref, padding=PADDING)
    if search.box is None or search.found * DETECTION_FRAMES < LEAST_HITS * search.looked_at:
        raise MediaError(
            "missing",
            f"no face was found in the reference (in {search.found} of {search.looked_at} frames), so there "
            "is no mouth to look at; region=frame needs none",
        )
    left, top, size = search.box
    left, right = _whole_pixels(left + FACE_X[0] * size, left + FACE_X[1] * size, width)
    top, bottom = _whole_pixels(top + FACE_Y[0] * size, top + FACE_Y[1] * size, height)
    return Box(left, top, right, bottom, "face-detector")


def _whole_pixels(low: float, high: float, end: int) -> tuple[int, int]:
    """Whole pixels that cover a span, at least 12 where the picture has as many."""
    first, last = int(np.floor(low)), int(np.ceil(high))
    missing = max(0, LEAST_SIDE - (last - first))
    first, last = first - missing // 2, last + missing - missing // 2
    first = min(max(first, 0), max(end - LEAST_SIDE, 0))
    return first, max(min(last, end), min(first + LEAST_SIDE, end))


def _read_truth(path: Path) -> tuple[dict[str, np.ndarray], float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fps = float(content["fps"])
        known = {key: np.asarray(content[key], dtype=np.float64) for key in TRUTH_KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(
            "unreadable", f"{path}: no truth about the mouth that can be read ({error})"
        ) from None
    lengths = {array.shape for array in known.values()}
    fine = len(lengths) == 1 and known["mouth_x"].ndim == 1 and known["mouth_x"].size > 0 and fps > 0
    if not fine or not all(np.isfinite(array).all() for array in known.values()):
        raise MediaError("unreadable", f"{path}: the truth about the mouth is not one finite number a frame")
    return known, fps
