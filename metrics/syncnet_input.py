"""What a synchronisation network sees: the region of the mouth at 25 frames a second, and its grey pictures.

One square region a clip, because a square that followed the face of each frame would jitter by pixels and its
jitter would be taken for motion of the lips. The talkers corpus keeps the truth about the mouth beside each
film (``<clip>.face.json``). Elsewhere the frontal-face cascade of local binary patterns that scikit-image
carries (Liao et al. 2007) looks for the face in frames spread over the clip, and the median of the largest
boxes is the face; the mouth is a fixed part of it. A head that walks through the picture is therefore not
followed: cut or register such a video first.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.faces import DETECTION_FRAMES, find_face
from doppelbench.corpora.films import Square
from doppelbench.corpora.media import Video, probe

FPS = 25
TRUTH_SUFFIX = ".face.json"
TRUTH_KEYS = ("mouth_x", "mouth_y", "mouth_width")
# Side of the square around the mouth, in median widths of the mouth and in sides of the face's box.
SIDE_OF_MOUTH = 1.7
SIDE_OF_FACE = 0.55
# Middle of the mouth in the face's box, in its side from its top.
MOUTH_IN_FACE = 0.8
# Fewer hits than half of the frames are no face but a pattern in the background.
LEAST_SHARE = 0.5
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def region_rule() -> str:
    """How signatures name the way in which the mouth is found, with the version of the face detector."""
    return (
        f"mouth-truth{SIDE_OF_MOUTH:g}w-else-skimage-{metadata.version('scikit-image')}-lbp-median{DETECTION_FRAMES}"
        f"-y{MOUTH_IN_FACE:g}-side{SIDE_OF_FACE:g}"
    )


def checked_frames(video: Any, name: str) -> np.ndarray:
    """The frames of a video at 25 frames a second, uint8, shape (t, height, width, 3).

    Of another frame rate, the frame shown in the middle of each 40 ms is taken.

    Args:
        video: what a metric was given.
        name: of the metric; only for the messages.

    Raises:
        MediaError: ``missing`` without pictures, ``unreadable`` for frames of another kind or a frame rate
            that is not positive, ``too_short`` without a frame.
    """
    if not isinstance(video, Video):
        raise MediaError("missing", f"{name} needs an output with pictures and sound")
    frames = np.asarray(video.frames)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise MediaError(
            "unreadable",
            f"the output has frames of type {frames.dtype} and shape {frames.shape}; uint8 of shape "
            "(t, height, width, 3) is needed",
        )
    if not np.isfinite(video.fps) or video.fps <= 0:
        raise MediaError("unreadable", f"the output has a frame rate of {video.fps}")
    if frames.size == 0:
        raise MediaError("too_short", "the output has no frames")
    if abs(video.fps - FPS) < 1e-3:
        return frames
    count = int(np.floor(len(frames) / video.fps * FPS + 1e-6))
    shown = np.floor((np.arange(count) + 0.5) / FPS * video.fps).astype(int)
    return frames[np.minimum(shown, len(frames) - 1)]


def mouth_square(frames: np.ndarray, clip: Clip | None) -> Square:
    """The square around the mouth, from the truth beside the clip's film or else from the face detector.

    Args:
        frames: uint8, shape (t, height, width, 3).
        clip: what is known of the output; ``clip.video`` is the film that it was made of or after.

    Raises:
        MediaError: ``missing`` when no face is found, ``unreadable`` for a truth that cannot be read.
    """
    truth = _truth_square(frames, clip)
    if truth is not None:
        return truth
    left, top, side = face_box(frames)
    return Square(left + side / 2, top + MOUTH_IN_FACE * side, SIDE_OF_FACE * side)


def face_box(frames: np.ndarray) -> tuple[float, float, float]:
    """Left, top and side in pixels of the face in a clip: the median over nine frames.

    Raises:
        MediaError: ``missing`` when fewer than half of the frames that were looked at show a face.
    """
    search = find_face(frames)
    if search.box is None or search.found < LEAST_SHARE * search.looked_at:
        raise MediaError(
            "missing",
            f"no face was found in the output (in {search.found} of {search.looked_at} frames), so there is "
            "no mouth to hold against the sound",
        )
    return search.box


def grey(frames: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) of RGB frames, float32 from 0 to 1, without the last axis."""
    return (frames.astype(np.float32) @ GREY) / 255


def _truth_square(frames: np.ndarray, clip: Clip | None) -> Square | None:
    if clip is None or clip.video is None:
        return None
    path = Path(clip.video).with_suffix(TRUTH_SUFFIX)
    if not path.is_file():
        return None
    size = probe(clip.video).size
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        x, y, width = (float(np.median(content[key])) for key in TRUTH_KEYS)
        scale = frames.shape[2] / size[0] if size else np.nan
        if not np.isfinite([x, y, width, scale]).all() or width <= 0:
            raise ValueError("a number is missing or not finite")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(
            "unreadable", f"{path}: no truth about the mouth that can be read ({error})"
        ) from None
    return Square(x * scale, y * scale, SIDE_OF_MOUTH * width * scale)
