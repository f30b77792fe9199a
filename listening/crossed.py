"""Intervals for figures whose votes share raters and items.

Votes of one rater lean the same way, and so do votes on one item: an interval that takes votes for
independent is too narrow, on published data by a factor of 2 to 2.6. Raters and items are both samples of
populations that a claim is made about, so both are resampled.

The pigeonhole bootstrap (Owen 2007) draws raters and items independently, and a vote counts the product of
both counts (Owen and Eckles 2012 for product weights). Its variance is too large: in every draw what is
particular to a vote is counted three times instead of once. The sum of squares over raters, plus that over
items, minus that over votes, is right to first order (Cameron, Gelbach and Miller 2011). Here the draws give
the shape of the distribution, and the two-way variance with Student's t its width. ``interval_coverage`` in
:mod:`doppelbench.listening.coverage` measures what each choice covers.

A *series* is one system on one question. All series share the draws, so differences and geometric means are
taken draw by draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from doppelbench.metrics.statistics import LEVEL, Interval

DRAWS = 2_000
# Below so many raters or items, nothing is said about others of their kind.
FEWEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteTable:
    """Votes as numbers: one entry a vote in each array.

    Attributes:
        values: shape (n,), float64.
        series: index of the series, shape (n,).
        raters: index of the rater, shape (n,).
        items: index of the item, shape (n,); systems that answered the same trial share it.
        series_count: number of series, those without votes too.
    """

    values: np.ndarray
    series: np.ndarray
    raters: np.ndarray
    items: np.ndarray
    series_count: int

    @classmethod
    def of(
        cls,
        values: Sequence[float] | np.ndarray,
        *,
        series: Sequence[Any] | np.ndarray,
        raters: Sequence[Any] | np.ndarray,
        items: Sequence[Any] | np.ndarray,
        order: Sequence[Any] | None = None,
    ) -> "VoteTable":
        """Number the names of series (in the order given, sorted otherwise), raters and items.

        Votes are put in one order, so that the order of the files does not matter to the last bit.
        """
        names = sorted(set(series)) if order is None else list(order)
        place = {name: index for index, name in enumerate(names)}
        columns = [
            np.asarray(values, np.float64),
            np.array([place[name] for name in series], np.intp),
            *(np.unique(np.asarray(column), return_inverse=True)[1] for column in (raters, items)),
        ]
        sort = np.lexsort(columns)
        value, index, rater, item = (column[sort] for column in columns)
        return cls(values=value, series=index, raters=rater, items=item, series_count=len(names))

    def counts(self) -> np.ndarray:
        """Votes of each series, shape (series,)."""
        return np.bincount(self.series, minlength=self.series_count)

    def distinct(self, units: np.ndarray, chosen: Sequence[int] | np.ndarray | None = None) -> int:
        """Number of different units (raters or items) with votes on the chosen series, or on any."""
        return len(np.unique(units if chosen is None else units[np.isin(self.series, chosen)]))

    def means(self) -> np.ndarray:
        """Mean of each series, shape (series,), NaN without votes."""
        sums = np.bincount(self.series, self.values, self.series_count)
        with np.errstate(invalid="ignore"):
            return sums / self.counts()


def unit_weights(generator: np.random.Generator, draws: int, count: int) -> np.ndarray:
    """How often each unit is drawn when ``count`` are drawn with replacement, shape (draws, count)."""
    picks = generator.integers(0, count, size=(draws, count))
    picks += np.arange(0, draws * count, count)[:, None]
    return np.bincount(picks.ravel(), minlength=draws * count).reshape(draws, count).astype(np.float64)


def crossed_draws(table: VoteTable, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Means of all series over resampled raters and items, shape (draws, series).

    A draw in which no vote of a series is left has NaN there.
    """
    generator = np.random.default_rng(seed)
    rater_weights = unit_weights(generator, draws, int(table.raters.max(initial=0)) + 1)
    item_weights = unit_weights(generator, draws, int(table.items.max(initial=0)) + 1)
    means = np.full((draws, table.series_count), np.nan)
    for index in range(table.series_count):
        own = np.flatnonzero(table.series == index)
        if not len(own):
            continue
        sums, totals = _weighted_sums(
            table.values[own], table.raters[own], table.items[own], rater_weights, item_weights
        )
        np.divide(sums, totals, out=means[:, index], where=totals > 0)
    return means


def _weighted_sums(
    values: np.ndarray,
    raters: np.ndarray,
    items: np.ndarray,
    rater_weights: np.ndarray,
    item_weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of weighted values and of weights for every draw, each of shape (draws,)."""
    rater_names, rater_index = np.unique(raters, return_inverse=True)
    item_names, item_index = np.unique(items, return_inverse=True)
    shape = (len(rater_names), len(item_names))
    cell = rater_index * shape[1] + item_index
    size = shape[0] * shape[1]
    left, right = rater_weights[:, rater_names], item_weights[:, item_names]
    sums, totals = (
        ((left @ np.bincount(cell, weights, size).reshape(shape)) * right).sum(axis=1)
        for weights in (values, np.ones_like(values))
    )
    return sums, totals


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossedVariance:
    """Covariances of the means of all series by source, each of shape (series, series).

    Attributes:
        rater: sums of products of what each rater contributes to two means.
        item: the same by item.
        vote: the same by rater and item together.
        rater_shares: share of the votes of a series that a rater cast, shape (series, raters).
        item_shares: share that an item received, shape (series, items).
    """

    rater: np.ndarray
    item: np.ndarray
    vote: np.ndarray
    rater_shares: np.ndarray
    item_shares: np.ndarray

    def error(self, weights: np.ndarray) -> tuple[float, float]:
        """Standard error of a weighted sum of means, and its degrees of freedom.

        Args:
            weights: of the series, shape (series,).

        Returns:
            Both; NaN with fewer than two raters or items. Degrees of freedom are Satterthwaite's.
        """
        chosen = np.flatnonzero(weights)
        factors = weights[chosen]
        parts = []
        for covariance, shares in ((self.rater, self.rater_shares), (self.item, self.item_shares)):
            share = np.abs(factors) @ shares[chosen] / np.abs(factors).sum()
            correction, freedom = small_sample(share)
            parts.append((_form(covariance, chosen, factors) * correction, freedom))
        if not all(freedom > 0 for _, freedom in parts):
            return float("nan"), float("nan")
        (by_rater, rater_freedom), (by_item, item_freedom) = parts
        by_vote = _form(self.vote, chosen, factors)
        # The difference can fall below its larger term by chance alone.
        variance = max(by_rater + by_item - by_vote, by_rater, by_item)
        least = min(rater_freedom, item_freedom)
        if variance <= 0.0:
            return 0.0, least
        freedom = variance**2 / (by_rater**2 / rater_freedom + by_item**2 / item_freedom)
        return float(np.sqrt(variance)), max(freedom, least)


def small_sample(shares: np.ndarray) -> tuple[float, float]:
    """Correction of a sum of squares over clusters of unequal size, and its degrees of freedom.

    With cluster effects of one variance, the sum of squares around the weighted mean is on average too small
    by a factor that the shares alone determine; with equal shares it is n / (n - 1) for n clusters. The
    degrees of freedom are Satterthwaite's for the weighted sum of squares, n - 1 with equal shares.

    Args:
        shares: of the votes by cluster, summing to 1, shape (clusters,).

    Returns:
        Both; the degrees of freedom are 0 where one cluster has all.
    """
    squares = shares**2
    total = squares.sum()
    kept = float((squares * (1 - 2 * shares + total)).sum())
    if kept <= 1e-12:
        return 1.0, 0.0
    return float(total / kept), float(total**2 / (squares**2).sum() - 1)


def _form(matrix: np.ndarray, chosen: np.ndarray, factors: np.ndarray) -> float:
    return float(factors @ matrix[np.ix_(chosen, chosen)] @ factors)


def crossed_variance(table: VoteTable) -> CrossedVariance:
    """Two-way variance of the means of all series (Cameron, Gelbach and Miller 2011)."""
    from scipy.sparse import csr_array

    counts = table.counts()
    shares = (table.values - table.means()[table.series]) / counts[table.series]

    def products(units: np.ndarray) -> np.ndarray:
        shape = (int(units.max(initial=0)) + 1, table.series_count)
        matrix = csr_array((shares, (units, table.series)), shape=shape)
        return np.asarray((matrix.T @ matrix).toarray())

    def share_of(units: np.ndarray) -> np.ndarray:
        width = int(units.max(initial=0)) + 1
        votes = np.bincount(table.series * width + units, minlength=table.series_count * width)
        return votes.reshape(table.series_count, width) / np.maximum(counts, 1)[:, None]

    width = int(table.items.max(initial=0)) + 1
    return CrossedVariance(
        rater=products(table.raters),
        item=products(table.items),
        vote=products(np.unique(table.raters * width + table.items, return_inverse=True)[1]),
        rater_shares=share_of(table.raters),
        item_shares=share_of(table.items),
    )


def crossed_interval(
    value: float,
    drawn: np.ndarray,
    error: tuple[float, float],
    *,
    level: float = LEVEL,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """Percentiles of the draws, moved so that their width is that of the two-way variance with Student's t.

    Args:
        value: the estimate.
        drawn: the same figure of each draw, shape (draws,); NaN where a draw does not define it.
        error: standard error and degrees of freedom, from :meth:`CrossedVariance.error`.
        level: coverage.
        bounds: that the figure cannot leave.

    Returns:
        The interval; without bounds where the error is not defined.
    """
    from scipy.special import ndtri, stdtrit

    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value):
        return Interval(None, None, None)
    if not np.isfinite(error[0]) or len(drawn) < 2:
        return Interval(value, None, None)
    spread = float(drawn.std())
    upper = (1 + level) / 2
    scale = error[0] / spread * float(stdtrit(error[1], upper) / ndtri(upper)) if spread > 0 else 0.0
    low, high = (float(value + scale * (q - value)) for q in np.quantile(drawn, [1 - upper, upper]))
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(value, min(low, value), max(high, value))


def two_sided_p(value: float, error: tuple[float, float]) -> float | None:
    """Probability of a figure this far from 0 by Student's t; None where the error is 0 or not defined.

    Counting draws could not go below 1 / draws, which Holm's correction over many pairs asks for.
    """
    from scipy.special import stdtr

    if not np.isfinite(error[0]) or error[0] == 0.0:
        return None
    return float(2 * stdtr(error[1], -abs(value) / error[0]))
