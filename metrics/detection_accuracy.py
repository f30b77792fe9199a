"""Accuracy of a real-vs-fake detector at a threshold whose origin is told.

Accuracy is given for each class with Wilson's interval and as their mean, because plain accuracy follows the
counts of the classes: accepting everything is right on 10 % of the ASVspoof 2019 evaluation set. A threshold
is fixed beforehand, transferred from a development set, or an oracle found on the test set itself; only the
first two say what a user will meet.
"""

from dataclasses import dataclass
from typing import Literal

from doppelbench.metrics.detection_curves import EerRule, ScoreCurve, equal_error_rate
from doppelbench.metrics.statistics import LEVEL, Interval, wilson

Origin = Literal["fixed", "development", "oracle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Decisions at one threshold; scores from the threshold on are called bona fide.

    Attributes:
        threshold: the threshold.
        origin: where it came from: ``fixed``, ``development`` or ``oracle``.
        bonafide: share of bona fide trials called bona fide; None values without such trials.
        spoof: share of spoofed trials called spoofed.
        balanced: mean of both shares; None when a class has no trials.
        correct: right decisions.
        trials: all decisions.
    """

    threshold: float
    origin: Origin
    bonafide: Interval
    spoof: Interval
    balanced: float | None
    correct: int
    trials: int

    @property
    def plain(self) -> float | None:
        """Share of right decisions, which follows the counts of the classes; None without trials."""
        return self.correct / self.trials if self.trials else None


def accuracy_at(
    curve: ScoreCurve, threshold: float, *, origin: Origin = "fixed", level: float = LEVEL
) -> Accuracy:
    """Accuracy when scores from the threshold on are called bona fide; defined for one class alone too."""
    miss, alarm = curve.rates_at(threshold)
    real, fake = curve.bonafide_total, curve.spoof_total
    accepted = 0 if miss is None else round((1 - miss) * real)
    refused = 0 if alarm is None else round((1 - alarm) * fake)
    return Accuracy(
        threshold=float(threshold),
        origin=origin,
        bonafide=wilson(accepted, real, level=level),
        spoof=wilson(refused, fake, level=level),
        balanced=None if miss is None or alarm is None else 1 - (miss + alarm) / 2,
        correct=accepted + refused,
        trials=real + fake,
    )


def transferred_accuracy(
    development: ScoreCurve, test: ScoreCurve, *, rule: EerRule = "asvspoof", level: float = LEVEL
) -> Accuracy:
    """Accuracy on a test set at the threshold of the equal error rate of a development set.

    Raises:
        UndefinedError: a class of the development set has no trials.
    """
    threshold = equal_error_rate(development, rule).threshold
    return accuracy_at(test, threshold, origin="development", level=level)
