"""Where the face is in a clip, by a detector that needs no download.

The frontal-face cascade of local binary patterns that scikit-image carries (Liao et al. 2007) looks in
frames spread over the clip; the median of the largest boxes is the face. One box a clip, because a box that
followed the face of each frame would jitter by pixels. A head that walks through the picture is therefore not
followed: cut or register such a video first.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

DETECTION_FRAMES = 9
SCALE_FACTOR = 1.2
# A talking head fills at least a quarter of the shorter side.
LEAST_FACE = 0.25
LEAST_FACE_PIXELS = 24


@dataclass(frozen=True, slots=True)
class FaceSearch:
    """What a search for a face found.

    Attributes:
        box: left, top and side in pixels, the median over the frames with a face; None without any.
        found: frames with a face.
        looked_at: frames that were searched.
    """

    box: tuple[float, float, float] | None
    found: int
    looked_at: int


def find_face(frames: np.ndarray, *, padding: float = 0.0) -> FaceSearch:
    """Look for the face in nine frames spread over a clip.

    Args:
        frames: uint8, shape (t, height, width, 3).
        padding: share of the shorter side by which the borders are repeated outward first: in tight crops of
            heads of 64 to 256 pixels the face was found in 99 of 100 frames instead of 89 to 96 with 0.1.
    """
    side = min(frames.shape[1:3])
    looked_at = np.unique(np.linspace(0, len(frames) - 1, DETECTION_FRAMES).round().astype(int))
    least = max(LEAST_FACE_PIXELS, round(LEAST_FACE * side))
    margin = round(padding * side)
    faces = [face for index in looked_at if (face := _largest_face(frames[index], least, side, margin))]
    if not faces:
        return FaceSearch(None, 0, len(looked_at))
    left, top, width = (float(value) for value in np.median(np.array(faces), axis=0))
    return FaceSearch((left, top, width), len(faces), len(looked_at))


def _largest_face(frame: np.ndarray, least: int, most: int, margin: int) -> tuple[int, int, int] | None:
    """Left, top and side of the largest face in one picture."""
    if least > most:
        return None
    found = _detector().detect_multi_scale(
        img=np.pad(frame, ((margin, margin), (margin, margin), (0, 0)), mode="edge"),
        scale_factor=SCALE_FACTOR,
        step_ratio=1,
        min_size=(least, least),
        max_size=(most, most),
    )
    if not found:
        return None
    # Equal sizes are told apart by their place, so that the order of the detections does not matter.
    best = max(found, key=lambda face: (face["width"], -face["r"], -face["c"]))
    return best["c"] - margin, best["r"] - margin, best["width"]


@lru_cache(maxsize=1)
def _detector() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
