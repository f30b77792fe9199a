"""Intervals for figures and tests between systems, by item or by cluster.

Percentile bootstrap, Wilson's interval for proportions, and for two systems on the same trials the paired
bootstrap, the paired permutation test, effect size and minimum detectable difference, with Holm's correction.

Every figure here is a ratio of sums, sum(numerators) / sum(denominators): a mean has denominators of 1, a
pooled word error rate has errors over reference words. Resampling whole clusters (speakers) is then
resampling rows of sums (Efron and Tibshirani 1993, chapter 13; Field and Welsh 2007 for clusters). All
series of one call share the resampled counts, so that paired differences can be taken draw by draw.

The permutation test swaps the two systems within a trial (Fisher 1935; for corpus figures Noreen 1989, and
Riezler and Maxwell 2005): if the systems are equal, each trial could as well have come the other way round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
# Draws that are counted at once: their counts stay within the processor's cache for a few hundred items.
BLOCK_ENTRIES = 1 << 20
# Sums of draws that are held at once; further series are drawn again, with the same draws.
HELD_ENTRIES = 1 << 24
# Up to so many trials (or clusters) all swaps are enumerated: 65,536.
EXACT_UNITS = 16
POWER = 0.8
ALPHA = 0.05
# Differences that are equal in exact arithmetic differ by rounding; relative to the figures.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the bounds of its interval; None where the data do not define it."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Second system minus first on the same trials.

    Attributes:
        n: trials.
        first: figure of the first system on these trials; None where it is not defined.
        second: figure of the second system.
        difference: second minus first, in the unit of the figures (percentage points for proportions).
        low: lower bound of the paired bootstrap interval of the difference.
        high: upper bound.
        p: two-sided p-value of the paired permutation test.
        effect: Cohen's dz, the difference over the standard deviation of the differences of trials; None
            where that is 0.
        detectable: difference that a test of this size finds with the power asked for.
    """

    n: int
    first: float | None = None
    second: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    effect: float | None = None
    detectable: float | None = None


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


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    clusters: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> PairedDifference:
    """Compare two systems by one metric; see :func:`paired_differences`.

    Args:
        first: numerator and denominator of each trial, shape (n, 2); or values of a mean, shape (n,).
        second: the same of the second system, trial by trial.
        clusters: the group of each trial.
        draws: number of resamples and of random swaps.
        seed: of the generators.
        level: share of the draws between the bounds.
    """
    pair = [np.asarray(side, np.float64) for side in (first, second)]
    pair = [np.stack([side, np.ones_like(side)], axis=-1) if side.ndim == 1 else side for side in pair]
    return paired_differences(
        pair[0][:, None], pair[1][:, None], clusters=clusters, draws=draws, seed=seed, level=level
    )[0]


def paired_differences(
    first: np.ndarray,
    second: np.ndarray,
    *,
    clusters: Sequence[str] | None = None,
    draws: int = DRAWS,
    swaps: int | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> list[PairedDifference]:
    """Compare two systems on common trials by several series at once, which share resamples and swaps.

    Both figures of a series are ratios of sums. The bootstrap resamples trials (clusters), both systems
    together, and computes both ratios anew; the permutation test swaps the systems within trials (clusters).

    Args:
        first: numerators and denominators of the first system, shape (n, k, 2): trials, series, both terms.
        second: the same of the second system.
        clusters: the group of each trial, resampled and swapped as one; trials one by one when None.
        draws: number of resamples.
        swaps: number of random swaps where there are more than ``EXACT_UNITS`` trials (clusters), as many as
            draws when None; the p-value is then (1 + as extreme) / (1 + swaps), never 0 (Phipson and Smyth
            2010).
        seed: of the generators.
        level: share of the draws between the bounds.

    Returns:
        One comparison for each series. Figures are None where a sum of denominators is 0; bounds and the
        detectable difference are None with fewer than two trials (clusters).

    Raises:
        ValueError: when the shapes do not fit.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 3 or first.shape[2] != 2:
        raise ValueError(f"terms of shapes {first.shape} and {second.shape}; expected twice (n, k, 2)")
    n, k, _ = first.shape
    if clusters is not None and len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters for {n} trials")
    terms = np.stack([first, second], axis=2)
    swaps = draws if swaps is None else swaps
    step = max(1, HELD_ENTRIES // (4 * max(draws, swaps, 2**EXACT_UNITS)))
    return [
        result
        for start in range(0, k, step)
        for result in _paired_differences(
            terms[:, start : start + step], clusters, draws=draws, swaps=swaps, seed=seed, level=level
        )
    ]


def minimum_detectable_difference(
    standard_error: float, n: int, *, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Difference that a two-sided paired test finds with a probability of ``power``.

    The sum of two quantiles of Student's t times the standard error (Bloom 1995); no correction for several
    comparisons.

    Args:
        standard_error: of the difference.
        n: trials (clusters), at least 2.
        power: probability of finding it.
        alpha: level of the test.
    """
    from scipy.special import stdtrit

    return float((stdtrit(n - 1, 1 - alpha / 2) + stdtrit(n - 1, power)) * standard_error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of a family so that the chance of any false finding is bounded (Holm 1979).

    Args:
        p_values: of all comparisons that are looked at together.

    Returns:
        Adjusted p-values in the order given, at most 1.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    return [float(value) for value in np.minimum(adjusted, 1.0)]


def _paired_differences(
    terms: np.ndarray,
    clusters: Sequence[str] | None,
    *,
    draws: int,
    swaps: int,
    seed: int,
    level: float,
) -> list[PairedDifference]:
    """Compare on terms of shape (n, k, 2, 2): trials, series, systems, numerator and denominator."""
    n, k = terms.shape[:2]
    totals = terms.sum(axis=0)
    defined = (totals[:, :, 1] > 0).all(axis=1)
    results = [PairedDifference(n)] * k
    if not defined.any():
        return results
    units = _unit_sums(terms.reshape(n, -1), clusters)
    drawn = None
    if len(units) > 1:
        drawn = _shared_columns(units, lambda rows: resampled_sums(rows, draws=draws, seed=seed))
        drawn = drawn.reshape(draws, k, 2, 2)
    swapped, exact = _swapped_totals(units.reshape(len(units), k, 2, 2), totals, swaps=swaps, seed=seed)
    for series in np.flatnonzero(defined):
        figures = totals[series, :, 0] / totals[series, :, 1]
        difference = float(figures[1] - figures[0])
        scale = float((np.abs(terms[:, series, :, 0]).sum(axis=0) / totals[series, :, 1]).sum())
        low, high = (None, None) if drawn is None else _bounds(drawn[:, series], level)
        sums = swapped[:, series]
        # A swap that leaves a system without a denominator counts against a finding.
        whole = (sums[:, :, 1] > 0).all(axis=1)
        ratios = sums[whole, :, 0] / sums[whole, :, 1]
        extreme = np.abs(ratios[:, 1] - ratios[:, 0]) >= abs(difference) - ROUNDING * scale
        count = int(extreme.sum() + (~whole).sum())
        effect, error = _effect_and_error(terms[:, series], totals[series], clusters, ROUNDING * scale)
        results[series] = PairedDifference(
            n,
            float(figures[0]),
            float(figures[1]),
            difference,
            low,
            high,
            count / len(sums) if exact else (count + 1) / (len(sums) + 1),
            effect,
            None if error is None else minimum_detectable_difference(error, len(units)),
        )
    return results


def _unit_sums(rows: np.ndarray, clusters: Sequence[str] | None) -> np.ndarray:
    """Rows themselves, or their sums by cluster, shape (units, columns)."""
    if clusters is None:
        return rows
    names, groups = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    totals = np.zeros((len(names), rows.shape[1]))
    np.add.at(totals, groups, rows)
    return totals


def _shared_columns(rows: np.ndarray, reduce: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Reduce each different column once: denominators of 1 and a common baseline occur in every series."""
    columns, inverse = np.unique(rows, axis=1, return_inverse=True)
    return reduce(columns)[:, inverse.ravel()]


def _swapped_totals(
    units: np.ndarray, totals: np.ndarray, *, swaps: int, seed: int
) -> tuple[np.ndarray, bool]:
    """Sums of both systems after swapping them in some units, shape (swaps, k, 2, 2), and whether all swaps
    are there."""
    n, k = units.shape[:2]
    moved = (units[:, :, 1] - units[:, :, 0]).reshape(n, -1)
    exact = n <= EXACT_UNITS
    if exact:
        chosen = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        shifts = chosen.astype(np.float64) @ moved
    else:
        shifts = _shared_columns(moved, lambda rows: _random_shifts(rows, swaps=swaps, seed=seed))
    shifts = shifts.reshape(-1, k, 1, 2)
    return totals + np.concatenate([shifts, -shifts], axis=2), exact


def _random_shifts(rows: np.ndarray, *, swaps: int, seed: int) -> np.ndarray:
    n = len(rows)
    generator = np.random.default_rng((seed, 1))
    shifts = np.empty((swaps, rows.shape[1]))
    block = max(1, BLOCK_ENTRIES // n)
    for start in range(0, swaps, block):
        count = min(block, swaps - start)
        octets = np.frombuffer(generator.bytes(count * ((n + 7) // 8)), np.uint8)
        chosen = np.unpackbits(octets.reshape(count, -1), axis=1, count=n)
        shifts[start : start + count] = chosen.astype(np.float64) @ rows
    return shifts


def _bounds(sums: np.ndarray, level: float) -> tuple[float | None, float | None]:
    sums = sums[(sums[:, :, 1] > 0).all(axis=1)]
    if not len(sums):
        return None, None
    ratios = sums[:, :, 0] / sums[:, :, 1]
    low, high = np.quantile(ratios[:, 1] - ratios[:, 0], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _effect_and_error(
    terms: np.ndarray, totals: np.ndarray, clusters: Sequence[str] | None, negligible: float
) -> tuple[float | None, float | None]:
    """Cohen's dz and the standard error of the difference, from the linearised share of each trial.

    For means the share of a trial is the difference of its values; for ratios of sums it is their first-order
    expansion (the infinitesimal jackknife), whose mean is the difference as well.
    """
    n = len(terms)
    ratios = totals[:, 0] / totals[:, 1]
    deviations = n * (terms[:, :, 0] - ratios * terms[:, :, 1]) / totals[:, 1]
    shares = deviations[:, 1] - deviations[:, 0]
    units = _unit_sums(shares[:, None], clusters)[:, 0]
    m = len(units)
    if m < 2:
        return None, None
    spread = float(np.sqrt((shares**2).sum() / (n - 1)))
    error = float(np.sqrt((units**2).sum() * m / (m - 1)) / n)
    if spread <= negligible:
        return None, None
    return float(ratios[1] - ratios[0]) / spread, error
