"""What of a film should tell nothing: size, rate, length, brightness, sharpness, motion and blocks.

A generator that draws small pictures, blurs them, freezes the background or writes another frame rate is
caught by these without a look at the face. :func:`doppelbench.detectors.shortcut_features.audit` judges each
as a score of its own, given ``features=FEATURES``.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from doppelbench.corpora.media import Video, read_video
from doppelbench.metrics.picture_kernel import LUMA, laplacian_variance
from doppelbench.metrics.video_metric import checked_frames

# Name and unit of each feature, in the order of a table; a level is a 255th of white.
FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "width": "pixels",
        "height": "pixels",
        "fps": "1/s",
        "frames": "frames",
        "duration": "s",
        "luminance": "levels",
        "sharpness": "levels",
        "motion": "levels",
        "frozen": "of the pixels",
        "blocking": "ratio",
    }
)
# Macroblocks of JPEG, MPEG and H.264 are made of transforms of this many pixels.
BLOCK = 8


def measure_film(film: Video) -> dict[str, float | None]:
    """All features of one film; None where a film has none.

    * ``luminance``: mean luma (BT.601);
    * ``sharpness``: square root of the Laplacian's variance (:mod:`doppelbench.metrics.sharpness`), mean over
      frames;
    * ``motion``: root mean square of the difference of luma from frame to frame; 0 for a still;
    * ``frozen``: share of the pixels that keep one value from the first frame to the last, as a background
      does onto which a face was drawn;
    * ``blocking``: mean difference of luma across the borders of 8 x 8 blocks over that inside them; 1
      without blocks, None for pictures too small or flat.

    Raises:
        MediaError: ``unreadable`` or ``too_short`` when there are no frames that can be measured.
    """
    frames = checked_frames(film, role="film").frames
    count, height, width = frames.shape[:3]
    measurable = min(height, width) >= 3
    return {
        "width": float(width),
        "height": float(height),
        "fps": float(film.fps),
        "frames": float(count),
        "duration": count / film.fps,
        "luminance": float(np.mean([luma(frame).mean() for frame in frames])),
        "sharpness": float(np.sqrt(laplacian_variance(frames)).mean()) if measurable else None,
        "motion": motion(frames) if count > 1 else None,
        "frozen": frozen(frames) if count > 1 else None,
        "blocking": blocking(frames),
    }


def measure_film_file(path: str | os.PathLike[str]) -> dict[str, float | None]:
    """All features of a video file.

    Raises:
        MediaError: the file cannot be read.
    """
    return measure_film(read_video(path, audio=False))


def luma(frame: np.ndarray) -> np.ndarray:
    """Luma (BT.601) of a picture uint8 (height, width, 3): float32, shape (height, width), 0 to 255."""
    return frame @ np.array(LUMA, np.float32)


def motion(frames: np.ndarray) -> float:
    """Root mean square of the difference of luma between frames that follow each other, in levels.

    Args:
        frames: uint8, shape (t, height, width, 3), t at least 2.
    """
    energy, before = 0.0, luma(frames[0])
    for frame in frames[1:]:
        now = luma(frame)
        energy += float(np.mean((now - before) ** 2, dtype=np.float64))
        before = now
    return float(np.sqrt(energy / (len(frames) - 1)))


def frozen(frames: np.ndarray) -> float:
    """Share of the pixels that are the same in all frames, uint8 of shape (t, height, width, 3)."""
    same = np.ones(frames.shape[1:3], bool)
    for frame in frames[1:]:
        same &= (frame == frames[0]).all(axis=2)
    return float(same.mean())


def blocking(frames: np.ndarray) -> float | None:
    """Mean absolute difference of luma across the borders of 8 x 8 blocks over that everywhere else.

    Blocks are counted from the upper left corner, where codecs begin.

    Args:
        frames: uint8, shape (t, height, width, 3).

    Returns:
        The ratio, or None when a side is shorter than two blocks or nothing differs inside the blocks.
    """
    if min(frames.shape[1:3]) < 2 * BLOCK:
        return None
    total, count = np.zeros(2), np.zeros(2)
    for frame in frames:
        picture = luma(frame)
        for along in (picture, picture.T):
            step = np.abs(np.diff(along, axis=1)).sum(axis=0, dtype=np.float64)
            border = (np.arange(step.size) + 1) % BLOCK == 0
            total += step[~border].sum(), step[border].sum()
            count += (~border).sum() * len(along), border.sum() * len(along)
    inside, across = total / count
    return float(across / inside) if inside > 0 else None
