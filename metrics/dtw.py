"""Exact dynamic time warping (Sakoe and Chiba 1978) with steps (1, 0), (0, 1) and (1, 1), all of weight 1.

Of paths with equal cost the shortest is taken, which makes the result the same with the two signals
exchanged. Two rows of the table are kept, so memory grows with the length and not with its square; only
:func:`warping_path`, which says which frames meet, keeps one byte for each pair of frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

# The step by which the best path reaches a pair of frames.
DIAGONAL, UP, RIGHT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Warping:
    """Best path: ``cost`` summed over it, ``other`` likewise for the second features, and its ``length``."""

    cost: float
    other: float
    length: int


def warp(
    first: np.ndarray,
    second: np.ndarray,
    *,
    other_first: np.ndarray | None = None,
    other_second: np.ndarray | None = None,
) -> Warping:
    """Align two sequences of frames by the Euclidean distance between frames.

    Args:
        first: shape (n, k).
        second: shape (m, k).
        other_first: second features of the first sequence, shape (n, l), whose distance is summed along the
            path.
        other_second: likewise of the second sequence, shape (m, l).

    Raises:
        ValueError: when a sequence is empty.
    """
    if not len(first) or not len(second):
        raise ValueError("a sequence without frames cannot be aligned")
    other_first = np.empty((len(first), 0)) if other_first is None else other_first
    other_second = np.empty((len(second), 0)) if other_second is None else other_second
    rows = [np.ascontiguousarray(rows, dtype=np.float64) for rows in (first, other_first)]
    columns = [np.ascontiguousarray(rows.T, dtype=np.float64) for rows in (second, other_second)]
    no_moves = np.empty((0, 0), np.int8)
    cost, other, length = _compiled()(rows[0], columns[0], rows[1], columns[1], no_moves)
    return Warping(float(cost), float(other), int(length))


def warping_path(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which frames meet on the best path of :func:`warp`.

    Takes one byte for each pair of frames: 144 MB for two signals of a minute with frames of 5 ms.

    Args:
        first: shape (n, k).
        second: shape (m, k).

    Returns:
        Indices into ``first`` and into ``second``, each of shape (length,), from the first pair to the last.

    Raises:
        ValueError: when a sequence is empty.
    """
    if not len(first) or not len(second):
        raise ValueError("a sequence without frames cannot be aligned")
    moves = np.empty((len(first), len(second)), np.int8)
    rows = np.ascontiguousarray(first, dtype=np.float64)
    columns = np.ascontiguousarray(second.T, dtype=np.float64)
    none = np.empty((len(first), 0)), np.empty((0, len(second)))
    _, _, length = _compiled()(rows, columns, *none, moves)
    path = np.empty((int(length), 2), np.intp)
    i, j = len(first) - 1, len(second) - 1
    for step in range(int(length) - 1, -1, -1):
        path[step] = i, j
        move = moves[i, j]
        i -= move != RIGHT
        j -= move != UP
    return path[:, 0], path[:, 1]


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Any]:
    import numba

    try:
        return numba.njit(cache=True)(_fill)  # type: ignore[no-any-return]
    except RuntimeError:
        # No folder for the compiled code can be written to: compile in every process.
        return numba.njit(_fill)  # type: ignore[no-any-return]


def _fill(first, second, other_first, other_second, moves):  # type: ignore[no-untyped-def]
    keep_moves = moves.size > 0
    n, m = first.shape[0], second.shape[1]
    cost, above = np.full(m + 1, np.inf), np.full(m + 1, np.inf)
    other, other_above = np.zeros(m + 1), np.zeros(m + 1)
    length, length_above = np.zeros(m + 1, np.int64), np.zeros(m + 1, np.int64)
    near, near_other = np.empty(m), np.empty(m)
    above[0] = 0.0
    for i in range(n):
        near[:] = 0.0
        for k in range(first.shape[1]):
            for j in range(m):
                near[j] += (first[i, k] - second[k, j]) ** 2
        near_other[:] = 0.0
        for k in range(other_first.shape[1]):
            for j in range(m):
                near_other[j] += (other_first[i, k] - other_second[k, j]) ** 2
        cost[0] = np.inf
        for j in range(m):
            best, best_other, best_length = above[j], other_above[j], length_above[j]
            move = DIAGONAL
            if above[j + 1] < best or (above[j + 1] == best and length_above[j + 1] < best_length):
                best, best_other, best_length = above[j + 1], other_above[j + 1], length_above[j + 1]
                move = UP
            if cost[j] < best or (cost[j] == best and length[j] < best_length):
                best, best_other, best_length = cost[j], other[j], length[j]
                move = RIGHT
            if keep_moves:
                moves[i, j] = move
            cost[j + 1] = best + np.sqrt(near[j])
            other[j + 1] = best_other + np.sqrt(near_other[j])
            length[j + 1] = best_length + 1
        cost, above = above, cost
        other, other_above = other_above, other
        length, length_above = length_above, length
    return above[m], other_above[m], length_above[m]
