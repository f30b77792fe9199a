"""How well objective metrics follow the votes, over systems and over single items."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.listening.crossed import DRAWS, unit_weights
from doppelbench.listening.opinion_scores import Ballot
from doppelbench.metrics.statistics import LEVEL, Interval

# Fewer systems than this fall on a line too easily.
FEWEST_SYSTEMS = 5
FEWEST_ITEMS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """One metric against one scale.

    Attributes:
        metric: name of the metric.
        question: the scale.
        over: means of systems, or single outputs (a system's answer to a trial).
        n: points.
        pearson: linear correlation; no bounds where there are too few points, none at all where it is not
            defined.
        spearman: of ranks.
        note: why bounds are not given, or empty.
    """

    metric: str
    question: str
    over: Literal["systems", "items"]
    n: int
    pearson: Interval
    spearman: Interval
    note: str


def objective_scores(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[tuple[str, str], float]]:
    """Values by metric and (system, trial).

    Args:
        rows: mappings with ``system``, ``trial``, ``metric`` and ``value``; values that are missing are
            passed over, because a failed item is no number.

    Raises:
        InputError: a row lacks a name, a value is no number, or one stands there twice.
    """
    found: dict[str, dict[tuple[str, str], float]] = {}
    for number, row in enumerate(rows, 1):
        try:
            metric, place = str(row["metric"]), (str(row["system"]), str(row["trial"]))
            value = float("nan") if row["value"] in (None, "") else float(row["value"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"objective score {number}: cannot be read ({error!r})") from None
        if not np.isfinite(value):
            continue
        if place in found.setdefault(metric, {}):
            raise InputError(
                f"objective score {number}: {metric} of {place[0]} on {place[1]} stands there twice"
            )
        found[metric][place] = value
    return found


def correlations(
    ballots: Sequence[Ballot],
    objective: Mapping[str, Mapping[tuple[str, str], float]],
    questions: Sequence[str],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> list[Correlation]:
    """Compare every metric with every scale on outputs that have both.

    Over systems, both sides are means over the same trials and bounds are Fisher's, for Spearman with the
    variance of Bonett and Wright (2000). Over items, bounds come from resampling trials, all systems
    together.

    Args:
        ballots: counted votes; items are trials.
        objective: from :func:`objective_scores`.
        questions: scales.
        draws: of the bootstrap.
        seed: of its generator.
        level: coverage.
    """
    votes: dict[str, dict[tuple[str, str], list[float]]] = {}
    for ballot in ballots:
        place = (ballot.system, str(ballot.item))
        votes.setdefault(ballot.question, {}).setdefault(place, []).append(ballot.value)
    found = []
    for metric in sorted(objective):
        for question in questions:
            common = sorted(set(votes.get(question, {})) & set(objective[metric]))
            if not common:
                continue
            heard = np.array([np.mean(votes[question][place]) for place in common])
            measured = np.array([objective[metric][place] for place in common])
            systems = [system for system, _ in common]
            trials = [trial for _, trial in common]
            found.append(_over_systems(metric, question, systems, measured, heard, level))
            found.append(_over_items(metric, question, trials, measured, heard, draws, seed, level))
    return found


def _over_systems(
    metric: str, question: str, systems: Sequence[str], measured: np.ndarray, heard: np.ndarray, level: float
) -> Correlation:
    from scipy.special import ndtri

    names, index = np.unique(systems, return_inverse=True)
    counts = np.bincount(index)
    sides = np.bincount(index, measured) / counts, np.bincount(index, heard) / counts
    n = len(names)
    few = n < FEWEST_SYSTEMS

    def bounded(value: float | None, spread: float) -> Interval:
        if value is None or few or abs(value) >= 1:
            return Interval(value, None, None)
        half = float(ndtri((1 + level) / 2)) * spread / np.sqrt(n - 3)
        centre = np.arctanh(value)
        return Interval(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)))

    pearson = _correlation(*sides)
    spearman = _correlation(*map(_ranks, sides))
    return Correlation(
        metric=metric,
        question=question,
        over="systems",
        n=n,
        pearson=bounded(pearson, 1.0),
        spearman=bounded(spearman, float(np.sqrt(1 + (spearman or 0.0) ** 2 / 2))),
        note=f"too few systems: {n}, {FEWEST_SYSTEMS} asked for an interval" if few else "",
    )


def _over_items(
    metric: str,
    question: str,
    trials: Sequence[str],
    measured: np.ndarray,
    heard: np.ndarray,
    draws: int,
    seed: int,
    level: float,
) -> Correlation:
    names, index = np.unique(trials, return_inverse=True)
    few = len(names) < FEWEST_ITEMS
    tail = (1 - level) / 2
    weights = None if few else unit_weights(np.random.default_rng(seed), draws, len(names))[:, index]

    def bounded(first: np.ndarray, second: np.ndarray) -> Interval:
        value = _correlation(first, second)
        if value is None or weights is None:
            return Interval(value, None, None)
        drawn = _weighted_correlations(first, second, weights)
        drawn = drawn[np.isfinite(drawn)]
        if len(drawn) < 2:
            return Interval(value, None, None)
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return Interval(value, float(low), float(high))

    return Correlation(
        metric=metric,
        question=question,
        over="items",
        n=len(measured),
        pearson=bounded(measured, heard),
        spearman=bounded(_ranks(measured), _ranks(heard)),
        note=f"too few trials: {len(names)}, {FEWEST_ITEMS} asked for an interval" if few else "",
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, means of the ranks for equal values."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[index], np.float64)


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    value = float(_weighted_correlations(first, second, np.ones((1, len(first))))[0])
    return None if np.isnan(value) else value


def _weighted_correlations(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation under each row of weights, NaN where a side does not vary."""
    first, second = first - first.mean(), second - second.mean()
    total = weights.sum(axis=1)
    means = weights @ first / total, weights @ second / total
    covariance = weights @ (first * second) / total - means[0] * means[1]
    spreads = [weights @ side**2 / total - mean**2 for side, mean in zip((first, second), means, strict=True)]
    scale = np.sqrt(np.maximum(spreads[0], 0.0) * np.maximum(spreads[1], 0.0))
    rest = 1e-12 * np.sqrt((first**2).mean() * (second**2).mean())
    quotient = np.divide(covariance, scale, out=np.full(len(weights), np.nan), where=scale > rest)
    return np.asarray(np.clip(quotient, -1.0, 1.0))
