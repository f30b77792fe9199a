"""Detection costs of a real-vs-fake detector: minimum and actual DCF, and the single-score a-DCF.

The normalised detection cost of ASVspoof 5 track 1 weighs misses of bona fide speech and accepted spoofs by
their costs and by the prior of a spoof; 1 is what the better of "accept all" and "reject all" costs. The
actual cost is taken at the Bayes threshold, so it is one of calibration too and only means something for
natural-log likelihood ratios. The a-DCF (Shim et al. 2024) judges one score that must reject other people and
spoofs alike.
"""

from dataclasses import asdict, dataclass

import numpy as np

from doppelbench.metrics.detection_curves import (
    ScoreCurve,
    UndefinedError,
    equal_error_rate,
    require_both,
    score_array,
    score_curve,
)


def check_priors(target: float, nontarget: float, spoof: float) -> None:
    """Raise ValueError unless three priors are positive and sum to 1."""
    if not min(target, nontarget, spoof) > 0 or abs(target + nontarget + spoof - 1) > 1e-9:
        raise ValueError(
            f"priors of target, non-target and spoof must be positive and sum to 1, not "
            f"{target}, {nontarget} and {spoof}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DcfCosts:
    """Costs and prior of the detection cost; the defaults are those of ASVspoof 5 track 1.

    Attributes:
        miss: cost of rejecting bona fide speech.
        false_alarm: cost of accepting a spoof.
        spoof_prior: prior probability of a spoof, between 0 and 1.
    """

    miss: float = 1.0
    false_alarm: float = 10.0
    spoof_prior: float = 0.05

    def __post_init__(self) -> None:
        if not (self.miss > 0 and self.false_alarm > 0 and 0 < self.spoof_prior < 1):
            raise ValueError(f"costs must be positive and the prior between 0 and 1, not {asdict(self)}")

    @property
    def weights(self) -> tuple[float, float]:
        """Weights of miss and false alarm rate."""
        return self.miss * (1 - self.spoof_prior), self.false_alarm * self.spoof_prior

    @property
    def bayes_threshold(self) -> float:
        """Natural-log likelihood ratio from which on accepting costs less than rejecting."""
        miss, alarm = self.weights
        return float(-np.log(miss / alarm))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdcfCosts:
    """Costs and priors of the a-DCF; the defaults are those of its authors (a-DCF1).

    Attributes:
        target_prior: prior probability of the target speaker.
        nontarget_prior: prior probability of another person.
        spoof_prior: prior probability of a spoof.
        miss: cost of rejecting the target.
        false_alarm: cost of accepting another person.
        spoof_false_alarm: cost of accepting a spoof.
    """

    target_prior: float = 0.90
    nontarget_prior: float = 0.05
    spoof_prior: float = 0.05
    miss: float = 1.0
    false_alarm: float = 10.0
    spoof_false_alarm: float = 20.0

    def __post_init__(self) -> None:
        check_priors(self.target_prior, self.nontarget_prior, self.spoof_prior)
        if not min(self.miss, self.false_alarm, self.spoof_false_alarm) > 0:
            raise ValueError(f"costs must be positive, not {asdict(self)}")


ASVSPOOF5_ADCF = AdcfCosts(
    target_prior=0.9405, nontarget_prior=0.0095, spoof_prior=0.05, spoof_false_alarm=10.0
)


@dataclass(frozen=True, slots=True)
class MinimumCost:
    """Lowest normalised cost of any threshold, and the lowest score that is accepted there."""

    value: float
    threshold: float


def normalised_dcf(miss: np.ndarray | float, false_alarm: np.ndarray | float, costs: DcfCosts) -> np.ndarray:
    """Normalised detection cost of pairs of miss and false alarm rate, of any shape."""
    for_miss, for_alarm = costs.weights
    return (for_miss * np.asarray(miss) + for_alarm * np.asarray(false_alarm)) / min(for_miss, for_alarm)


def min_dcf(curve: ScoreCurve, costs: DcfCosts | None = None) -> MinimumCost:
    """Lowest normalised detection cost of any threshold, "accept all" and "reject all" included; at most 1.

    Raises:
        UndefinedError: a class has no trials.
    """
    miss, alarm = curve.rates()
    cost = normalised_dcf(miss, alarm, costs or DcfCosts())
    best = int(np.argmin(cost))
    return MinimumCost(float(cost[best]), float(curve.thresholds()[best]))


def actual_dcf(curve: ScoreCurve, costs: DcfCosts | None = None) -> float:
    """Normalised detection cost when natural-log likelihood ratios are decided at the Bayes threshold.

    It may exceed 1: "reject all" costs 1.9 with the costs of ASVspoof 5.

    Raises:
        UndefinedError: a class has no trials.
    """
    costs = costs or DcfCosts()
    require_both(curve.bonafide_total, curve.spoof_total)
    miss, alarm = curve.rates_at(costs.bayes_threshold)
    assert miss is not None
    assert alarm is not None
    return float(normalised_dcf(miss, alarm, costs))


def min_adcf(
    target: np.ndarray | list[float],
    nontarget: np.ndarray | list[float],
    spoof: np.ndarray | list[float],
    costs: AdcfCosts | None = None,
) -> MinimumCost:
    """Lowest normalised a-DCF of any threshold on one score that answers "is it the target, and live?".

    Args:
        target: scores of the target speaker, shape (n,).
        nontarget: scores of other people, shape (m,).
        spoof: scores of spoofs, shape (k,).
        costs: costs and priors; the authors' when None.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not one row of finite numbers.
    """
    costs = costs or AdcfCosts()
    sides = [
        np.sort(score_array(scores, name))
        for scores, name in ((target, "target"), (nontarget, "non-target"), (spoof, "spoof"))
    ]
    if not all(side.size for side in sides):
        raise UndefinedError("not defined: there are no trials of target, non-target or spoof")
    thresholds = np.append(np.unique(np.concatenate(sides)), np.inf)
    below = [np.searchsorted(side, thresholds, side="left") / side.size for side in sides]
    for_miss = costs.miss * costs.target_prior
    for_alarm = costs.false_alarm * costs.nontarget_prior
    for_spoof = costs.spoof_false_alarm * costs.spoof_prior
    cost = for_miss * below[0] + for_alarm * (1 - below[1]) + for_spoof * (1 - below[2])
    best = int(np.argmin(cost))
    return MinimumCost(float(cost[best] / min(for_miss, for_alarm + for_spoof)), float(thresholds[best]))


@dataclass(frozen=True, slots=True)
class SingleScoreRates:
    """Equal error rates of one score against spoofs and other people, by the ``asvspoof`` rule.

    Attributes:
        sasv: target against non-target and spoof together.
        sv: target against non-target.
        spf: target against spoof.
    """

    sasv: float
    sv: float
    spf: float


def single_score_rates(
    target: np.ndarray | list[float], nontarget: np.ndarray | list[float], spoof: np.ndarray | list[float]
) -> SingleScoreRates:
    """SASV-EER, SV-EER and SPF-EER of one score.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not one row of finite numbers.
    """
    impostors = np.concatenate([score_array(nontarget, "non-target"), score_array(spoof, "spoof")])
    return SingleScoreRates(
        *(equal_error_rate(score_curve(target, side)).rate for side in (impostors, nontarget, spoof))
    )
