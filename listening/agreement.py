"""How far raters agree: Krippendorff's alpha and intraclass correlations.

Alpha after Krippendorff (2004, Content Analysis, chapter 11), for any number of raters and missing votes. The
intraclass correlations are those of Shrout and Fleiss (1979) in the notation of McGraw and Wong (1996):
``1`` one-way random, ``A`` absolute agreement and ``C`` consistency of a two-way model; ``1`` and ``k`` are
the reliability of one rater and of the mean of all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Level = Literal["nominal", "ordinal", "interval", "ratio"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntraclassCorrelations:
    """Six forms for one table of raters and items; names follow McGraw and Wong (1996)."""

    one_1: float
    agreement_1: float
    consistency_1: float
    one_k: float
    agreement_k: float
    consistency_k: float


def count_table(units: Sequence[Any], values: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
    """Count how often each value was given to each unit.

    Args:
        units: of each vote, such as the item.
        values: of each vote; they are sorted.

    Returns:
        Counts of shape (units, values), and the values.
    """
    names, rows = np.unique(np.asarray(units), return_inverse=True)
    levels = sorted(set(values))
    place = {value: index for index, value in enumerate(levels)}
    counts = np.zeros((len(names), len(levels)))
    columns = np.array([place[value] for value in values], np.intp)
    np.add.at(counts, (rows, columns), 1.0)
    return counts, levels


def krippendorff_alpha(counts: np.ndarray, values: Sequence[float], level: Level) -> float | None:
    """Agreement beyond chance: 1 is perfect, 0 is chance.

    Args:
        counts: how often each value was given to each unit, shape (units, values).
        values: that the columns stand for, ascending; their size matters to interval and ratio alone.
        level: of measurement.

    Returns:
        Alpha; None where fewer than two different values stand in units with two votes, as then nothing
        could be disagreed on.
    """
    counts = np.asarray(counts, np.float64)
    votes = counts.sum(axis=1)
    counts, votes = counts[votes >= 2], votes[votes >= 2]
    totals = counts.sum(axis=0)
    if np.count_nonzero(totals) < 2:
        return None
    distance = _DISTANCES[level](np.asarray(values, np.float64), totals)
    within = np.einsum("uc,cd,ud->u", counts, distance, counts) / (votes - 1)
    n = totals.sum()
    expected = float(totals @ distance @ totals) / (n - 1)
    return float(1 - within.sum() / expected)


def _ordinal(values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Squared number of ranks between two values, counted in votes."""
    middle = np.cumsum(totals) - totals / 2
    return (middle[:, None] - middle[None, :]) ** 2


def _ratio(values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    sums = values[:, None] + values[None, :]
    differences = values[:, None] - values[None, :]
    return np.divide(differences, sums, out=np.zeros_like(sums), where=sums != 0) ** 2


_DISTANCES: Mapping[Level, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "nominal": lambda values, totals: 1.0 - np.eye(len(values)),
    "ordinal": _ordinal,
    "interval": lambda values, totals: (values[:, None] - values[None, :]) ** 2,
    "ratio": _ratio,
}


def intraclass_correlations(scores: np.ndarray) -> IntraclassCorrelations | None:
    """Reliability from a complete table.

    Args:
        scores: shape (items, raters), no value missing.

    Returns:
        The six forms; None with fewer than two items or raters, or where all scores are equal.

    Raises:
        ValueError: a value is missing.
    """
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        raise ValueError("an intraclass correlation needs every rater's score of every item")
    n, k = scores.shape
    if n < 2 or k < 2 or np.ptp(scores) == 0:
        return None
    mean = scores.mean()
    items = k * ((scores.mean(axis=1) - mean) ** 2).sum() / (n - 1)
    raters = n * ((scores.mean(axis=0) - mean) ** 2).sum() / (k - 1)
    within = ((scores - scores.mean(axis=1, keepdims=True)) ** 2).sum() / (n * (k - 1))
    error = (within * n * (k - 1) - raters * (k - 1)) / ((n - 1) * (k - 1))

    def share(top: float, bottom: float) -> float:
        return float(top / bottom) if bottom else float("nan")

    return IntraclassCorrelations(
        one_1=share(items - within, items + (k - 1) * within),
        agreement_1=share(items - error, items + (k - 1) * error + k * (raters - error) / n),
        consistency_1=share(items - error, items + (k - 1) * error),
        one_k=share(items - within, items),
        agreement_k=share(items - error, items + (raters - error) / n),
        consistency_k=share(items - error, items),
    )
