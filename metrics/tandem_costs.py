"""Spoofing detection in tandem with speaker verification: t-DCF in both versions, and t-EER.

The tandem detection cost (Kinnunen et al. 2020) counts what a detector (CM) adds to the errors of a fixed
speaker verification system (ASV). Two normalisations are in use and their figures must not be compared:

* ``legacy`` (ASVspoof 2019): (C1 Pmiss + C2 Pfa) / min(C1, C2);
* ``revised`` (ASVspoof 2021 and 5): (C0 + C1 Pmiss + C2 Pfa) / (C0 + min(C1, C2)), with the floor
  C0 / (C0 + min(C1, C2)) that a perfect detector reaches.

Hence revised = floor + (1 - floor) legacy. The t-EER (Kinnunen et al. 2023) needs no costs: it is the rate at
which misses, accepted other people and accepted spoofs of the tandem are equal.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from doppelbench.metrics.detection_costs import MinimumCost, check_priors
from doppelbench.metrics.detection_curves import (
    ScoreCurve,
    UndefinedError,
    equal_error_rate,
    score_array,
    score_curve,
)

TdcfVersion = Literal["legacy", "revised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TandemCosts:
    """Costs and priors of the t-DCF; the defaults are those of all ASVspoof challenges.

    Attributes:
        target_prior: prior probability of the target speaker.
        nontarget_prior: prior probability of another person.
        spoof_prior: prior probability of a spoof.
        miss: cost of rejecting the target, by either system.
        false_alarm: cost of accepting another person.
        spoof_false_alarm: cost of accepting a spoof.
    """

    target_prior: float = 0.95 * 0.99
    nontarget_prior: float = 0.95 * 0.01
    spoof_prior: float = 0.05
    miss: float = 1.0
    false_alarm: float = 10.0
    spoof_false_alarm: float = 10.0

    def __post_init__(self) -> None:
        check_priors(self.target_prior, self.nontarget_prior, self.spoof_prior)
        if not min(self.miss, self.false_alarm, self.spoof_false_alarm) > 0:
            raise ValueError("costs of the t-DCF must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class AsvRates:
    """Error rates of the speaker verification system at its fixed threshold, each from 0 to 1.

    Attributes:
        miss: share of target trials rejected.
        false_alarm: share of non-target trials accepted.
        spoof_false_alarm: share of spoofs accepted.
        threshold: the threshold, where it is known.
    """

    miss: float
    false_alarm: float
    spoof_false_alarm: float
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not all(0 <= rate <= 1 for rate in (self.miss, self.false_alarm, self.spoof_false_alarm)):
            raise ValueError("error rates of the speaker verification must lie between 0 and 1")


# The pooled rates of the organisers' system that the challenge applies when it is given no ASV scores.
ASVSPOOF5_ASV = AsvRates(miss=0.018801, false_alarm=0.018810, spoof_false_alarm=0.460708)


@dataclass(frozen=True, slots=True)
class TandemEer:
    """The t-EER where the errors of a tandem meet, with the thresholds of both systems."""

    rate: float
    asv_threshold: float
    cm_threshold: float


def asv_rates(
    target: np.ndarray | list[float], nontarget: np.ndarray | list[float], spoof: np.ndarray | list[float]
) -> AsvRates:
    """Error rates of a speaker verification system at its equal error rate of target and non-target trials.

    The threshold is that of the ``asvspoof`` rule; trials with at least that score are accepted.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not one row of finite numbers.
    """
    threshold = equal_error_rate(score_curve(target, nontarget)).threshold
    against_others = score_curve(target, nontarget).rates_at(threshold)
    _, spoofed = score_curve([], spoof).rates_at(threshold)
    if spoofed is None:
        raise UndefinedError("not defined: there are no spoofed trials of the speaker verification")
    miss, alarm = against_others
    assert miss is not None
    assert alarm is not None
    return AsvRates(miss=miss, false_alarm=alarm, spoof_false_alarm=spoofed, threshold=threshold)


def tandem_terms(asv: AsvRates, costs: TandemCosts | None = None) -> tuple[float, float, float]:
    """The constants C0, C1 and C2 of the t-DCF.

    Raises:
        ValueError: C1 or C2 is not positive: the speaker verification is so bad that the cost says nothing.
    """
    costs = costs or TandemCosts()
    c0 = (
        costs.target_prior * costs.miss * asv.miss
        + costs.nontarget_prior * costs.false_alarm * asv.false_alarm
    )
    c1 = costs.target_prior * costs.miss - c0
    c2 = costs.spoof_prior * costs.spoof_false_alarm * asv.spoof_false_alarm
    if not min(c1, c2) > 0:
        raise ValueError(
            f"the t-DCF is not defined with C1 = {c1:.6g} and C2 = {c2:.6g}: both must be positive, so the "
            "speaker verification is too bad or accepts no spoof"
        )
    return c0, c1, c2


def tandem_floor(asv: AsvRates, costs: TandemCosts | None = None) -> float:
    """What the revised t-DCF of a perfect detector is: C0 / (C0 + min(C1, C2))."""
    c0, c1, c2 = tandem_terms(asv, costs)
    return c0 / (c0 + min(c1, c2))


def min_tdcf(
    curve: ScoreCurve,
    asv: AsvRates,
    costs: TandemCosts | None = None,
    *,
    version: TdcfVersion,
) -> MinimumCost:
    """Lowest normalised tandem detection cost of any threshold of the detector.

    Args:
        curve: scores of the detector on bona fide (target and non-target) and spoofed trials.
        asv: rates of the speaker verification, from scores on the same data set.
        costs: costs and priors; those of ASVspoof when None.
        version: ``legacy`` (2019) or ``revised`` (2021 and 5).

    Raises:
        UndefinedError: a class has no trials.
        ValueError: no such version, or the rates of the speaker verification give no cost.
    """
    if version not in ("legacy", "revised"):
        raise ValueError(f"no version {version!r} of the t-DCF; there are legacy and revised")
    c0, c1, c2 = tandem_terms(asv, costs)
    offset = c0 if version == "revised" else 0.0
    miss, alarm = curve.rates()
    cost = (offset + c1 * miss + c2 * alarm) / (offset + min(c1, c2))
    best = int(np.argmin(cost))
    return MinimumCost(float(cost[best]), float(curve.thresholds()[best]))


def tandem_eer(
    *,
    asv_target: np.ndarray | list[float],
    asv_nontarget: np.ndarray | list[float],
    asv_spoof: np.ndarray | list[float],
    cm_bonafide: np.ndarray | list[float],
    cm_spoof: np.ndarray | list[float],
) -> TandemEer:
    """The rate at which misses, accepted people and accepted spoofs of a tandem are equal (concurrent t-EER).

    For each threshold of the speaker verification, the threshold of the detector is found where tandem misses
    equal accepted spoofs; along that path the point is taken where accepted other people equal them too, with
    straight lines between operating points.

    Args:
        asv_target: scores of the speaker verification on target trials, shape (n,).
        asv_nontarget: on trials of other people.
        asv_spoof: on spoofs.
        cm_bonafide: scores of the detector on bona fide trials.
        cm_spoof: on spoofs.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not one row of finite numbers.
    """
    curve = score_curve(cm_bonafide, cm_spoof)
    cm_miss, cm_alarm = curve.rates()
    sides = [
        np.sort(score_array(scores, name))
        for scores, name in (
            (asv_target, "ASV target"),
            (asv_nontarget, "ASV non-target"),
            (asv_spoof, "ASV spoof"),
        )
    ]
    if not all(side.size for side in sides):
        raise UndefinedError("not defined: a class of the speaker verification has no trials")
    asv_thresholds = np.append(np.unique(np.concatenate(sides)), np.inf)
    rejected = [np.searchsorted(side, asv_thresholds, side="left") / side.size for side in sides]
    miss, others, spoofs = rejected[0], 1 - rejected[1], 1 - rejected[2]

    def excess(points: np.ndarray) -> np.ndarray:
        return 1 - (1 - cm_miss[points]) * (1 - miss) - cm_alarm[points] * spoofs

    # The excess of misses over accepted spoofs rises with the threshold of the detector: halve the interval.
    low, high = np.zeros(miss.size, np.int64), np.full(miss.size, cm_miss.size - 1)
    for _ in range(int(np.ceil(np.log2(cm_miss.size))) + 1):
        middle = (low + high) // 2
        enough = excess(middle) >= 0
        high = np.where(enough, middle, high)
        low = np.where(enough, low, np.minimum(middle + 1, high))
    before = np.maximum(high - 1, 0)
    over, under = excess(high), excess(before)
    share = np.where(over > under, np.clip(over / np.where(over > under, over - under, 1.0), 0, 1), 0.0)
    met_miss = cm_miss[high] - share * (cm_miss[high] - cm_miss[before])
    met_alarm = cm_alarm[high] - share * (cm_alarm[high] - cm_alarm[before])
    accepted_spoofs = met_alarm * spoofs
    surplus = (1 - met_miss) * others - accepted_spoofs
    after = int(np.argmax(surplus <= 0))
    if after == 0 or surplus[after - 1] == surplus[after]:
        rate = accepted_spoofs[after]
    else:
        part = surplus[after] / (surplus[after] - surplus[after - 1])
        rate = accepted_spoofs[after] - part * (accepted_spoofs[after] - accepted_spoofs[after - 1])
    return TandemEer(float(rate), float(asv_thresholds[after]), float(curve.thresholds()[high[after]]))
