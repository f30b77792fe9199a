"""Explanation of films by occlusion: how does the score change when frames or parts of the picture are taken
out?

As :mod:`doppelbench.detectors.occlusion` for sound, it needs nothing of the detector but its score (M. Zeiler
and R. Fergus, ECCV 2014, section 2), and relevance need not add up to the score.
"""

from collections.abc import Callable

import numpy as np

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Video
from doppelbench.detectors.detector import Explanation

CELLS = 6


def leave_out(score: Callable[[Video], float], film: Video, *, segments: int = 6) -> Explanation:
    """Take each of some equal parts of a film's time out and score the frames that are left.

    Args:
        score: of a detector; called ``1 + segments`` times.
        film: with at least two frames.
        segments: parts at most; a film has no more than frames.

    Returns:
        Relevance of shape (segments,): the score of the whole less the score without the part. A part
        without which nothing can be scored has a relevance of 0.

    Raises:
        MediaError: the whole film cannot be scored.
    """
    whole = score(film)
    parts = np.array_split(np.arange(len(film.frames)), min(segments, len(film.frames)))
    relevance = np.zeros(len(parts))
    for number, part in enumerate(parts):
        try:
            relevance[number] = whole - score(Video(np.delete(film.frames, part, axis=0), film.fps))
        except MediaError as error:
            if error.status not in ("silent", "too_short"):
                raise
    return Explanation(
        times=np.array([(part.mean() + 0.5) / film.fps for part in parts]),
        frequencies=None,
        relevance=relevance,
        method=f"leave-out{len(parts)}",
    )


def cover_cells(score: Callable[[np.ndarray], float], pictures: np.ndarray, cells: int = CELLS) -> np.ndarray:
    """Cover every cell of a square grid in all pictures with their mean colour and score what is seen.

    Args:
        score: of uint8 pictures of one shape; called ``1 + cells * cells`` times.
        pictures: uint8, shape (t, height, width, 3).
        cells: rows and columns of the grid.

    Returns:
        Relevance of shape (cells, cells): the score of the whole less the score with the cell covered.
    """
    whole = score(pictures)
    colour = pictures.mean(axis=(0, 1, 2)).round().astype(np.uint8)
    rows, columns = (np.linspace(0, size, cells + 1).round().astype(int) for size in pictures.shape[1:3])
    relevance = np.zeros((cells, cells))
    for row, column in np.ndindex(cells, cells):
        covered = pictures.copy()
        covered[:, rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = colour
        relevance[row, column] = whole - score(covered)
    return relevance
