"""The operating points of a real-vs-fake detector: ROC, DET, equal error rates and area, from two sets of
scores.

The positive class is bona fide and a higher score is more likely bona fide. The miss rate is the share of
bona fide trials rejected, the false alarm rate the share of spoofed trials accepted; a trial is accepted when
its score is at least the threshold. Every figure starts from a :class:`ScoreCurve`, which counts both classes
at each different score, so that tied scores are one operating point and both acceptance rules (>= and >)
agree.

Equal error rates differ by rule, so a figure carries the name of its rule:

* ``asvspoof``: the rule of the ASVspoof challenges: one operating point for each trial, tied trials with bona
  fide first, and the mean of both rates where they are nearest. It compares with published figures; ties give
  it points that no threshold produces, and a constant score has 1.
* ``rocch``: where both rates meet on the convex hull of the ROC curve (Brümmer and de Villiers 2013), found
  by pooling adjacent violators. It does not depend on the order of ties and never exceeds 0.5, so it cannot
  show reversed scores.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

EerRule = Literal["asvspoof", "rocch"]
# The challenge's threshold that accepts every trial is this much below the lowest score.
BELOW_ALL = 0.001


class UndefinedError(ValueError):
    """The scores given do not define the figure: one of the classes has no trials."""


@dataclass(frozen=True, slots=True)
class EqualErrorRate:
    """Rate at which misses and false alarms are equal, by a named rule.

    Attributes:
        rate: from 0 to 1.
        threshold: trials with at least this score are accepted. Under ``asvspoof`` it is the score of the
            last rejected trial, as the challenge's programs return and apply it; under ``rocch`` the first
            score above the segment of the hull that crosses, where one threshold alone need not reach the
            rate.
        rule: the rule that gave the rate.
    """

    rate: float
    threshold: float
    rule: EerRule


@dataclass(frozen=True, slots=True)
class ScoreCurve:
    """Counts of both classes at each different score, ascending.

    Attributes:
        scores: the different scores, shape (k,).
        bonafide: bona fide trials at each score, shape (k,).
        spoof: spoofed trials at each score, shape (k,).
    """

    scores: np.ndarray
    bonafide: np.ndarray
    spoof: np.ndarray

    @property
    def bonafide_total(self) -> int:
        """Number of bona fide trials."""
        return int(self.bonafide.sum())

    @property
    def spoof_total(self) -> int:
        """Number of spoofed trials."""
        return int(self.spoof.sum())

    def rejected(self) -> tuple[np.ndarray, np.ndarray]:
        """Bona fide and spoofed trials rejected at each operating point, two arrays of shape (k + 1,).

        The first point accepts every trial; point j rejects the j lowest scores.
        """
        return (
            np.concatenate([[0], np.cumsum(self.bonafide)]),
            np.concatenate([[0], np.cumsum(self.spoof)]),
        )

    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Miss and false alarm rate at each operating point, two arrays of shape (k + 1,).

        Raises:
            UndefinedError: a class has no trials.
        """
        require_both(self.bonafide_total, self.spoof_total)
        missed, refused = self.rejected()
        return missed / self.bonafide_total, (self.spoof_total - refused) / self.spoof_total

    def thresholds(self) -> np.ndarray:
        """Lowest accepted score at each operating point, shape (k + 1,); infinite where all is rejected."""
        return np.append(self.scores, np.inf)

    def rates_at(self, threshold: float) -> tuple[float | None, float | None]:
        """Miss and false alarm rate when scores from the threshold on are accepted; None for a class without
        trials."""
        below = int(np.searchsorted(self.scores, threshold, side="left"))
        missed, total = int(self.bonafide[:below].sum()), self.bonafide_total
        accepted, spoofed = int(self.spoof[below:].sum()), self.spoof_total
        return (missed / total if total else None), (accepted / spoofed if spoofed else None)


def score_array(scores: np.ndarray | list[float], name: str) -> np.ndarray:
    """Scores as one row of finite float64 numbers.

    Raises:
        ValueError: not one row, or a score is NaN or infinite; the message names the set and the first place.
    """
    row = np.asarray(scores, dtype=np.float64)
    if row.ndim != 1:
        raise ValueError(f"the {name} scores must be one row of numbers, not of shape {row.shape}")
    finite = np.isfinite(row)
    if not finite.all():
        place = int(np.argmin(finite))
        raise ValueError(f"{name} score {place} is {row[place]}; scores must be finite numbers")
    return row


def require_both(bonafide: int, spoof: int) -> None:
    """Raise :class:`UndefinedError` unless both classes have trials."""
    if not bonafide or not spoof:
        missing = " and no ".join(
            name for name, count in (("bona fide", bonafide), ("spoofed", spoof)) if not count
        )
        raise UndefinedError(f"not defined: there are no {missing} trials")


def score_curve(bonafide: np.ndarray | list[float], spoof: np.ndarray | list[float]) -> ScoreCurve:
    """Count both classes at each different score.

    Args:
        bonafide: scores of bona fide trials, shape (n,); may be empty.
        spoof: scores of spoofed trials, shape (m,); may be empty.

    Raises:
        ValueError: scores are not one row of finite numbers.
    """
    real, fake = np.sort(score_array(bonafide, "bona fide")), np.sort(score_array(spoof, "spoof"))
    scores = np.unique(np.concatenate([real, fake]))
    counts = [np.diff(np.searchsorted(side, scores, side="right"), prepend=0) for side in (real, fake)]
    return ScoreCurve(scores, counts[0], counts[1])


def equal_error_rate(curve: ScoreCurve, rule: EerRule = "asvspoof") -> EqualErrorRate:
    """Equal error rate by a named rule; see the head of this module.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: there is no such rule.
    """
    require_both(curve.bonafide_total, curve.spoof_total)
    if rule == "asvspoof":
        return _asvspoof_rate(curve)
    if rule == "rocch":
        return _hull_rate(curve)
    raise ValueError(f"no rule {rule!r} for equal error rates; there are asvspoof and rocch")


def _asvspoof_rate(curve: ScoreCurve) -> EqualErrorRate:
    missed, refused = curve.rejected()
    real, fake = int(missed[-1]), int(refused[-1])

    def gap(miss: float, refusal: float) -> float:
        return float(miss / real - (fake - refusal) / fake)

    # The gap rises from point to point, so the nearest points lie at the score where it changes its sign.
    place = int(np.argmax(missed[1:] / real - (fake - refused[1:]) / fake >= 0))
    miss, refusal = int(missed[place]), int(refused[place])
    more_real, more_fake = int(curve.bonafide[place]), int(curve.spoof[place])
    among_real = int(real * ((fake - refusal) / fake)) - miss
    among_fake = fake - refusal - int(fake * ((miss + more_real) / real))
    points = [(step, 0) for step in range(among_real - 2, among_real + 3) if 0 <= step <= more_real]
    points += [(more_real, 0)]
    points += [(more_real, step) for step in range(among_fake - 2, among_fake + 3) if 0 < step <= more_fake]
    points = list(dict.fromkeys([(0, 0), *points]))
    gaps = [abs(gap(miss + step, refusal + other)) for step, other in points]
    step, other = points[int(np.argmin(gaps))]
    rate = ((miss + step) / real + (fake - refusal - other) / fake) / 2
    if (step, other) != (0, 0):
        threshold = curve.scores[place]
    else:
        threshold = curve.scores[place - 1] if place else curve.scores[0] - BELOW_ALL
    return EqualErrorRate(float(rate), float(threshold), "asvspoof")


def _hull_rate(curve: ScoreCurve) -> EqualErrorRate:
    starts = pooled_blocks(curve)
    missed, refused = curve.rejected()
    miss = missed[starts] / curve.bonafide_total
    alarm = (curve.spoof_total - refused[starts]) / curve.spoof_total
    gap = miss - alarm
    after = int(np.argmax(gap >= 0))
    share = gap[after] / (gap[after] - gap[after - 1])
    rate = miss[after] - share * (miss[after] - miss[after - 1])
    return EqualErrorRate(float(rate), float(curve.thresholds()[starts[after]]), "rocch")


def pooled_blocks(curve: ScoreCurve) -> np.ndarray:
    """Operating points on the convex hull of the ROC curve, ascending, by pooling adjacent violators.

    Tied scores are pooled first, so their order does not matter. Between two neighbouring points all scores
    have one calibrated likelihood ratio.

    Returns:
        Indices into the operating points, from 0 to k, shape (blocks + 1,).

    Raises:
        UndefinedError: a class has no trials.
    """
    from scipy.optimize import isotonic_regression

    require_both(curve.bonafide_total, curve.spoof_total)
    trials = (curve.bonafide + curve.spoof).astype(np.float64)
    return np.asarray(isotonic_regression(curve.bonafide / trials, weights=trials).blocks, dtype=np.int64)


def area_under_roc(curve: ScoreCurve) -> float:
    """Probability that a bona fide trial scores above a spoofed one, ties counting one half (Mann-Whitney).

    Raises:
        UndefinedError: a class has no trials.
    """
    require_both(curve.bonafide_total, curve.spoof_total)
    above = curve.bonafide_total - np.cumsum(curve.bonafide) + curve.bonafide / 2
    return float(np.dot(curve.spoof, above) / (curve.bonafide_total * curve.spoof_total))


def reversal_z(curve: ScoreCurve) -> float:
    """Standard score of the area under the ROC curve against chance; far below 0 says reversed scores.

    The normal approximation of the rank sum without difference, with the correction for ties (Lehmann 1975).

    Returns:
        (area - 0.5) / its standard deviation under chance; 0 when all scores are equal.

    Raises:
        UndefinedError: a class has no trials.
    """
    area = area_under_roc(curve)
    real, fake = curve.bonafide_total, curve.spoof_total
    ties = (curve.bonafide + curve.spoof).astype(np.float64)
    total = float(real + fake)
    spread = (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1))) / (12.0 * real * fake)
    return (area - 0.5) / float(np.sqrt(spread)) if spread > 0 else 0.0


def miss_rate_at(curve: ScoreCurve, false_alarm: float) -> float:
    """Lowest miss rate of any threshold whose false alarm rate is at most the one given.

    Raises:
        UndefinedError: a class has no trials.
    """
    miss, alarm = curve.rates()
    return float(miss[np.argmax(alarm <= false_alarm)])


def spread_points(curve: ScoreCurve, points: int) -> np.ndarray:
    """Pick operating points that show the whole curve, denser where either rate is near 0 or 1.

    Args:
        curve: the curve.
        points: about how many to keep.

    Returns:
        Ascending indices into the operating points, with the first and the last; all of them when there are
        no more than ``points``.
    """
    count = curve.scores.size
    if count + 1 <= points:
        return np.arange(count + 1)
    share = max(2, points // 6)
    picked = [np.array([0, count])]
    for rejected in curve.rejected():
        total = int(rejected[-1])
        if not total:
            continue
        ends = np.geomspace(1, max(total / 2, 1), share // 2)
        ranks = np.concatenate([np.linspace(0, total, 2 * share), ends, total - ends])
        picked.append(np.searchsorted(rejected, np.round(ranks)))
    return np.unique(np.concatenate(picked))


def roc_points(curve: ScoreCurve, points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """False alarm rates and hit rates (1 - miss rate) of the ROC curve, from (1, 1) to (0, 0).

    Args:
        curve: the curve.
        points: about how many points to keep; all when None.

    Raises:
        UndefinedError: a class has no trials.
    """
    miss, alarm = curve.rates()
    kept = slice(None) if points is None else spread_points(curve, points)
    return alarm[kept], 1 - miss[kept]


def det_points(curve: ScoreCurve, points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Detection error trade-off on probit axes (Martin et al. 1997): false alarm and miss rate as normal
    deviates.

    Points where a rate is 0 or 1 lie at infinity and are left out; separated classes have no points at all.

    Args:
        curve: the curve.
        points: about how many points to keep; all when None.

    Raises:
        UndefinedError: a class has no trials.
    """
    from scipy.special import ndtri

    miss, alarm = curve.rates()
    if points is not None:
        kept = spread_points(curve, points)
        miss, alarm = miss[kept], alarm[kept]
    inside = (miss > 0) & (miss < 1) & (alarm > 0) & (alarm < 1)
    return ndtri(alarm[inside]), ndtri(miss[inside])
