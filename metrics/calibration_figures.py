"""How far scores are honest likelihood ratios: Cllr, its minimum, reliability and empirical cross-entropy.

Scores are natural-log likelihood ratios of bona fide against spoof; ranking figures ignore the kind of a
score, these do not. The cost of log likelihood ratios, Cllr (Brümmer and du Preez 2006), is 1 for a system
that says nothing; its minimum is what remains after the best monotone recalibration on the same data, found
by pooling adjacent violators over groups of tied scores. Two figures share the letters ECE: the *expected
calibration error* of posteriors in bins, and the *empirical cross-entropy* of forensic science (Ramos et al.
2013), which at a prior of 0.5 is Cllr. Functions here spell them out.
"""

from dataclasses import dataclass

import numpy as np

from doppelbench.metrics.detection_curves import ScoreCurve, pooled_blocks, require_both, score_array

BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """Claimed and observed probabilities of bona fide in bins of equal width; empty bins are left out.

    Attributes:
        claimed: mean posterior in each bin, shape (b,).
        observed: share of bona fide in each bin, with the classes weighed to the prior, shape (b,).
        weight: share of the weight in each bin, shape (b,), sums to 1.
        trials: trials in each bin, shape (b,).
    """

    claimed: np.ndarray
    observed: np.ndarray
    weight: np.ndarray
    trials: np.ndarray

    @property
    def expected_error(self) -> float:
        """Expected calibration error: weighted mean distance of claimed and observed."""
        return float(np.dot(self.weight, np.abs(self.claimed - self.observed)))


def _both(
    bonafide: np.ndarray | list[float], spoof: np.ndarray | list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both classes in ascending order, so that sums do not follow the order of the trials."""
    real, fake = np.sort(score_array(bonafide, "bona fide")), np.sort(score_array(spoof, "spoof"))
    require_both(real.size, fake.size)
    return real, fake


def bonafide_cost(llr: np.ndarray) -> np.ndarray:
    """Bits lost by each likelihood ratio of a bona fide trial: log2(1 + exp(-s)), without overflow."""
    return np.logaddexp(0.0, -llr) / np.log(2)


def spoof_cost(llr: np.ndarray) -> np.ndarray:
    """Bits lost by each likelihood ratio of a spoofed trial: log2(1 + exp(s)), without overflow."""
    return np.logaddexp(0.0, llr) / np.log(2)


def cllr(bonafide: np.ndarray | list[float], spoof: np.ndarray | list[float]) -> float:
    """Cost of log likelihood ratios in bits.

    Args:
        bonafide: natural-log likelihood ratios of bona fide trials, shape (n,).
        spoof: of spoofed trials, shape (m,).

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not one row of finite numbers.
    """
    real, fake = _both(bonafide, spoof)
    return float((bonafide_cost(real).mean() + spoof_cost(fake).mean()) / 2)


def pooled_llrs(curve: ScoreCurve) -> np.ndarray:
    """Likelihood ratios after the best monotone recalibration on the same data, in natural logarithms.

    Returns:
        One for each different score of the curve, shape (k,), never falling. Scores beyond which one class
        has no trials have minus or plus infinity.

    Raises:
        UndefinedError: a class has no trials.
    """
    starts = pooled_blocks(curve)
    real, fake = (np.add.reduceat(side, starts[:-1]) for side in (curve.bonafide, curve.spoof))
    with np.errstate(divide="ignore"):
        ratios = np.log(real) - np.log(fake) - np.log(curve.bonafide_total / curve.spoof_total)
    return np.repeat(ratios, np.diff(starts))


def min_cllr(curve: ScoreCurve) -> float:
    """Cllr after the best monotone recalibration on the same data, from 0 to 1.

    Infinite likelihood ratios at the pure ends are kept and cost nothing; no dummy trials are added.

    Raises:
        UndefinedError: a class has no trials.
    """
    ratios = pooled_llrs(curve)
    real, fake = curve.bonafide > 0, curve.spoof > 0
    return float(
        np.dot(curve.bonafide[real], bonafide_cost(ratios[real])) / curve.bonafide_total / 2
        + np.dot(curve.spoof[fake], spoof_cost(ratios[fake])) / curve.spoof_total / 2
    )


def reliability_curve(
    bonafide: np.ndarray | list[float],
    spoof: np.ndarray | list[float],
    *,
    prior: float = 0.5,
    bins: int = BINS,
) -> ReliabilityCurve:
    """Compare the posteriors that likelihood ratios claim with what is observed.

    The classes are weighed so that bona fide has the prior, whatever the counts.

    Args:
        bonafide: natural-log likelihood ratios of bona fide trials, shape (n,).
        spoof: of spoofed trials, shape (m,).
        prior: probability of bona fide, between 0 and 1.
        bins: number of bins of equal width between 0 and 1.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not finite, the prior is not between 0 and 1, or there are no bins.
    """
    from scipy.special import expit

    real, fake = _both(bonafide, spoof)
    offset = _log_odds(prior)
    if bins < 1:
        raise ValueError(f"a reliability curve needs at least one bin, not {bins}")
    claimed = expit(np.concatenate([real, fake]) + offset)
    weight = np.repeat([prior / real.size, (1 - prior) / fake.size], [real.size, fake.size])
    place = np.minimum((claimed * bins).astype(np.int64), bins - 1)
    total = np.bincount(place, weight, bins)
    true = np.bincount(place[: real.size], weight[: real.size], bins)
    mean = np.bincount(place, weight * claimed, bins)
    trials = np.bincount(place, minlength=bins)
    kept = trials > 0
    return ReliabilityCurve(
        mean[kept] / total[kept], true[kept] / total[kept], total[kept] / total.sum(), trials[kept]
    )


def empirical_cross_entropy(
    bonafide: np.ndarray | list[float], spoof: np.ndarray | list[float], *, prior: float = 0.5
) -> float:
    """Bits lost on average by posteriors that follow from likelihood ratios and a prior; Cllr at 0.5.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: scores are not finite, or the prior is not between 0 and 1.
    """
    real, fake = _both(bonafide, spoof)
    offset = _log_odds(prior)
    return float(prior * bonafide_cost(real + offset).mean() + (1 - prior) * spoof_cost(fake + offset).mean())


def bayes_error_rate(curve: ScoreCurve, *, prior: float = 0.5) -> tuple[float, float]:
    """Error rate at the Bayes threshold of a prior, as the scores stand and at its best threshold.

    Args:
        curve: natural-log likelihood ratios of both classes.
        prior: probability of bona fide; both errors cost 1.

    Returns:
        Actual and minimum error rate.

    Raises:
        UndefinedError: a class has no trials.
        ValueError: the prior is not between 0 and 1.
    """
    offset = _log_odds(prior)
    miss, alarm = curve.rates()
    rates = prior * miss + (1 - prior) * alarm
    point = int(np.searchsorted(curve.scores, -offset, side="left"))
    return float(rates[point]), float(rates.min())


def _log_odds(prior: float) -> float:
    if not 0 < prior < 1:
        raise ValueError(f"the prior of bona fide must lie between 0 and 1, not at {prior}")
    return float(np.log(prior / (1 - prior)))
