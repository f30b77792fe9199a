"""Bootstrap intervals for figures of a detection curve, by trial or by cluster (speaker).

Resampling trials changes only how many of them lie at each score, so nothing is sorted again: the curve is
cut into bins between operating points (all of them for small sets, about a thousand that are denser at low
error rates otherwise), and a draw is a new count of each class in each bin. By trial the counts are
multinomial, each class keeping its size; by cluster whole clusters are drawn with both classes and their
counts are summed (Field and Welsh 2007), the same draws for every figure. Bounds are percentiles, shifted by
the small difference between the exact figure and that of the bins. Where no error was made the upper bound of
an equal error rate is Wilson's.

Figures that are minima over thresholds (``min_dcf``, ``min_cllr``, ``eer_rocch``) are minimised anew in every
draw, so their intervals lean a little to the low side.

Trials of one speaker resemble each other, so intervals by trial are too narrow wherever speakers are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doppelbench.metrics.calibration_figures import bonafide_cost, cllr, min_cllr, spoof_cost
from doppelbench.metrics.detection_costs import DcfCosts, actual_dcf, min_dcf, normalised_dcf
from doppelbench.metrics.detection_curves import (
    ScoreCurve,
    area_under_roc,
    equal_error_rate,
    require_both,
    score_array,
    score_curve,
    spread_points,
)
from doppelbench.metrics.statistics import LEVEL, Interval, wilson

DRAWS = 1000
POINTS = 1000
# Clusters times bins that are held at once.
HELD_COUNTS = 1 << 24
# Figures that never exceed 1, for their bounds.
RATES = frozenset({"eer_asvspoof", "eer_rocch", "auc", "min_dcf", "min_cllr"})
BY_POOLING = ("eer_rocch", "min_cllr")


@dataclass(frozen=True, slots=True)
class _Bins:
    """Counts (and bits lost) of draws or of the trials themselves: rows of draws, columns of bins."""

    bonafide: np.ndarray
    spoof: np.ndarray
    bonafide_bits: np.ndarray
    spoof_bits: np.ndarray


def curve_intervals(
    bonafide: np.ndarray | list[float],
    spoof: np.ndarray | list[float],
    *,
    clusters: tuple[Sequence[str] | np.ndarray, Sequence[str] | np.ndarray] | None = None,
    costs: DcfCosts | None = None,
    calibrated: bool = True,
    pooling: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    points: int = POINTS,
) -> dict[str, Interval]:
    """Figures of a detector with percentile bootstrap intervals.

    Args:
        bonafide: scores of bona fide trials, shape (n,).
        spoof: scores of spoofed trials, shape (m,).
        clusters: the group of each bona fide and of each spoofed trial, resampled as one; trials one by one
            when None.
        costs: costs of the DCF; those of ASVspoof 5 when None.
        calibrated: also ``actual_dcf`` and ``cllr``, which need natural-log likelihood ratios.
        pooling: also ``eer_rocch`` and ``min_cllr``, which pool violators anew in every draw.
        draws: number of resamples.
        seed: of the generator; the order of the trials does not matter.
        level: share of the draws between the bounds.
        points: about how many operating points of a large set the draws know.

    Returns:
        ``eer_asvspoof`` (whose draws cross between operating points on straight lines), ``auc``, ``min_dcf``
        and what else was asked for. Bounds are None with fewer than two trials of a class, or two clusters.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not one row of finite numbers, or the clusters do not fit.
    """
    costs = costs or DcfCosts()
    real, fake = score_array(bonafide, "bona fide"), score_array(spoof, "spoof")
    require_both(real.size, fake.size)
    if clusters is not None and (len(clusters[0]) != real.size or len(clusters[1]) != fake.size):
        raise ValueError("each trial needs the name of its cluster")
    curve = score_curve(real, fake)
    values = _values(curve, costs, real, fake, calibrated=calibrated, pooling=pooling)
    places: np.ndarray | None = None
    count = 0
    if clusters is not None:
        names, places = np.unique(
            np.concatenate([np.asarray(side) for side in clusters]), return_inverse=True
        )
        count = len(names)
    if (count if places is not None else min(real.size, fake.size)) < 2:
        return {name: Interval(value, None, None) for name, value in values.items()}
    if places is not None:
        points = max(32, min(points, HELD_COUNTS // count))
    kept = spread_points(curve, points)
    bayes = int(np.searchsorted(curve.scores, costs.bayes_threshold, side="left"))
    kept = np.unique(np.append(kept, bayes))
    generator = np.random.default_rng(seed)
    if places is None:
        whole, drawn = _draw_trials(curve, kept, draws, generator)
    else:
        whole, drawn = _draw_clusters(curve, kept, (real, fake), places, count, draws, generator)
    point = int(np.searchsorted(kept, bayes))
    exact = _figures(whole, costs, point, calibrated=calibrated, pooling=pooling)
    sampled = _figures(drawn, costs, point, calibrated=calibrated, pooling=pooling)
    tail = (1 - level) / 2
    found = {}
    for name, value in values.items():
        low, high = np.quantile(sampled[name], [tail, 1 - tail]) + (value - exact[name][0])
        upper = 1.0 if name in RATES else np.inf
        found[name] = Interval(value, float(np.clip(low, 0.0, upper)), float(np.clip(high, 0.0, upper)))
    # Resamples of separated classes are separated too; what no error among n says is Wilson's bound.
    units = min(real.size, fake.size) if places is None else min(real.size, fake.size, count)
    for name in {"eer_asvspoof", "eer_rocch"} & set(found):
        if found[name].value == 0.0:
            found[name] = Interval(0.0, 0.0, wilson(0, units, level=level).high)
    return found


def _values(
    curve: ScoreCurve, costs: DcfCosts, real: np.ndarray, fake: np.ndarray, *, calibrated: bool, pooling: bool
) -> dict[str, float]:
    values = {
        "eer_asvspoof": equal_error_rate(curve, "asvspoof").rate,
        "auc": area_under_roc(curve),
        "min_dcf": min_dcf(curve, costs).value,
    }
    if pooling:
        values |= {"eer_rocch": equal_error_rate(curve, "rocch").rate, "min_cllr": min_cllr(curve)}
    if calibrated:
        values |= {"actual_dcf": actual_dcf(curve, costs), "cllr": cllr(real, fake)}
    return values


def _draw_trials(
    curve: ScoreCurve, kept: np.ndarray, draws: int, generator: np.random.Generator
) -> tuple[_Bins, _Bins]:
    starts = kept[:-1]
    whole, drawn = [], []
    for counts, bits in ((curve.bonafide, bonafide_cost), (curve.spoof, spoof_cost)):
        binned = np.add.reduceat(counts, starts)
        lost = np.add.reduceat(counts * bits(curve.scores), starts)
        mean = np.divide(lost, binned, out=np.zeros(len(starts)), where=binned > 0)
        total = int(binned.sum())
        taken = generator.multinomial(total, binned / total, size=draws)
        whole.append((binned[None], np.array([lost.sum()])))
        drawn.append((taken, taken @ mean))
    return (
        _Bins(whole[0][0], whole[1][0], whole[0][1], whole[1][1]),
        _Bins(drawn[0][0], drawn[1][0], drawn[0][1], drawn[1][1]),
    )


def _draw_clusters(
    curve: ScoreCurve,
    kept: np.ndarray,
    sides: tuple[np.ndarray, np.ndarray],
    places: np.ndarray,
    count: int,
    draws: int,
    generator: np.random.Generator,
) -> tuple[_Bins, _Bins]:
    width = len(kept) - 1
    upper = curve.scores[kept[1:] - 1]
    owners = np.split(places, [sides[0].size])
    counts, lost = [], []
    for side, owner, bits in zip(sides, owners, (bonafide_cost, spoof_cost), strict=True):
        cells = owner * width + np.searchsorted(upper, side, side="left")
        counts.append(np.bincount(cells, minlength=count * width).reshape(count, width).astype(np.float64))
        # Sums of floats follow their order, so trials are put in one.
        order = np.lexsort((side, owner))
        lost.append(np.bincount(owner[order], bits(side[order]), count))
    weights = generator.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    ones = np.ones((1, count))
    drawn = _Bins(weights @ counts[0], weights @ counts[1], weights @ lost[0], weights @ lost[1])
    usable = (drawn.bonafide.sum(axis=1) > 0) & (drawn.spoof.sum(axis=1) > 0)
    return (
        _Bins(ones @ counts[0], ones @ counts[1], ones @ lost[0], ones @ lost[1]),
        _Bins(
            drawn.bonafide[usable], drawn.spoof[usable], drawn.bonafide_bits[usable], drawn.spoof_bits[usable]
        ),
    )


def _figures(
    bins: _Bins, costs: DcfCosts, bayes: int, *, calibrated: bool, pooling: bool
) -> dict[str, np.ndarray]:
    """Figures of each row of bins, from rates at the edges of the bins joined by straight lines."""
    missed, refused = (
        np.concatenate([np.zeros((len(side), 1)), np.cumsum(side, axis=1)], axis=1)
        for side in (bins.bonafide, bins.spoof)
    )
    real, fake = missed[:, -1], refused[:, -1]
    miss, alarm = missed / real[:, None], 1 - refused / fake[:, None]
    figures = {
        "eer_asvspoof": _crossings(miss, alarm),
        "auc": -((np.diff(alarm, axis=1)) * (1 - (miss[:, 1:] + miss[:, :-1]) / 2)).sum(axis=1),
        "min_dcf": normalised_dcf(miss, alarm, costs).min(axis=1),
    }
    if calibrated:
        figures["actual_dcf"] = normalised_dcf(miss[:, bayes], alarm[:, bayes], costs)
        figures["cllr"] = (bins.bonafide_bits / real + bins.spoof_bits / fake) / 2
    if pooling:
        pooled = [_pooled(*row) for row in zip(bins.bonafide, bins.spoof, strict=True)]
        figures |= dict(zip(BY_POOLING, np.array(pooled).reshape(-1, 2).T, strict=True))

    return figures


def _crossings(miss: np.ndarray, alarm: np.ndarray) -> np.ndarray:
    gap = miss - alarm
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    share = gap[rows, after] / (gap[rows, after] - gap[rows, after - 1])
    return np.asarray(miss[rows, after] - share * (miss[rows, after] - miss[rows, after - 1]))


def _pooled(bonafide: np.ndarray, spoof: np.ndarray) -> tuple[float, float]:
    held = np.flatnonzero(bonafide + spoof)
    curve = ScoreCurve(held.astype(np.float64), bonafide[held], spoof[held])
    return equal_error_rate(curve, "rocch").rate, min_cllr(curve)
