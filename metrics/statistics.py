"""Intervals for figures: percentile bootstrap by item or by cluster, and Wilson's interval for proportions.

Every figure here is a ratio of sums, sum(numerators) / sum(denominators): a mean has denominators of 1, a
pooled word error rate has errors over reference words. Resampling whole clusters (speakers) is then
resampling rows of sums (Efron and Tibshirani 1993, chapter 13; Field and Welsh 2007 for clusters). All
series of one call share the resampled counts, so that paired differences can be taken draw by draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
# Draws that are counted at once: their counts stay within the processor's cache for a few hundred items.
BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the bounds of its interval; None where the data do not define it."""

    value: float | None
    low: float | None
    high: float | None


def resampled_sums(rows: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Column sums of rows drawn with replacement, the same rows for every column.

    Args:
        rows: one row per item or cluster, one column per series, shape (n, k).
        draws: how many resamples of n rows are taken.
        seed: of the generator; the draws depend on it, on ``draws`` and on n alone.

    Returns:
        Sums, shape (draws, k), float64.
    """
    n, width = rows.shape
    generator = np.random.default_rng(seed)
    sums = np.empty((draws, width))
    block = max(1, BLOCK_ENTRIES // n)
    for first in range(0, draws, block):
        count = min(block, draws - first)
        picks = generator.integers(0, n, size=(count, n), dtype=np.int32)
        picks += np.arange(0, count * n, n, dtype=np.int32)[:, None]
        counts = np.bincount(picks.ravel(), minlength=count * n).reshape(count, n)
        sums[first : first + count] = counts.astype(np.float64) @ rows
    return sums


def bootstrap_ratio(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    *,
    clusters: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Ratio of sums with its percentile bootstrap interval.

    Rows are put in one order first, so the order of the items does not matter to the last bit.

    Args:
        numerators: one number per item, shape (n,).
        denominators: one number per item, shape (n,), not negative.
        clusters: the group of each item, resampled as one; items are resampled one by one when None.
        draws: number of resamples.
        seed: of the generator.
        level: share of the draws between the bounds.

    Returns:
        The ratio, None when the denominators sum to 0; bounds are None with fewer than two items (or
        clusters), because one observation says nothing about its spread.
    """
    rows = np.stack([np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)], axis=1)
    if clusters is None:
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    else:
        names, groups = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
        order = np.lexsort((rows[:, 1], rows[:, 0], groups))
        totals = np.zeros((len(names), 2))
        np.add.at(totals, groups[order], rows[order])
        rows = totals
    if rows.size == 0 or rows[:, 1].sum() == 0.0:
        return Interval(None, None, None)
    value = float(rows[:, 0].sum() / rows[:, 1].sum())
    if len(rows) < 2:
        return Interval(value, None, None)
    sums = resampled_sums(rows, draws=draws, seed=seed)
    sums = sums[sums[:, 1] > 0.0]
    tail = (1 - level) / 2
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    *,
    clusters: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Mean over items with its percentile bootstrap interval; see :func:`bootstrap_ratio`."""
    values = np.asarray(values, np.float64)
    return bootstrap_ratio(
        values, np.ones_like(values), clusters=clusters, draws=draws, seed=seed, level=level
    )


def wilson(successes: int, n: int, *, level: float = LEVEL) -> Interval:
    """Proportion with Wilson's score interval (Wilson 1927); defined from one trial on.

    Args:
        successes: number of successes, 0 to n.
        n: number of trials.
        level: coverage of the interval.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes among {n} trials")
    if n == 0:
        return Interval(None, None, None)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == n else float(centre + half)
    return Interval(share, low, high)
