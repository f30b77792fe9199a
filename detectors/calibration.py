"""Calibration of detector scores into likelihood ratios, fitted on a development set.

An affine map is fitted by logistic regression whose classes are weighed to a prior (Brümmer and du Preez
2006), so that its output is a natural-log likelihood ratio whatever the counts of the classes. Trials to fit
on should share neither speakers nor attacks with the test: a map fitted on attacks that were seen in training
makes calibration worse.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.metrics.detection_curves import area_under_roc, score_array, score_curve

STEPS = 100
# Added for scores that a threshold separates: slopes stay near those of scores that overlap a little.
SEPARABLE_PENALTY = 0.01
# A step of Newton's method that changes the objective by less than this share is the last.
TOLERANCE = 1e-12


class SeparableError(InputError):
    """Scores of a development set that a threshold separates: their best slope is infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineCalibration:
    """The map ``slope * score + offset`` to natural-log likelihood ratios.

    Attributes:
        slope: nats for each unit of score; negative for scores that were reversed.
        offset: in nats.
        prior: of bona fide that the classes were weighed to.
        bonafide: bona fide trials it was fitted on.
        spoof: spoofed trials.
        limit: largest size of a likelihood ratio it gives, in nats; unlimited when None.
    """

    slope: float
    offset: float
    prior: float
    bonafide: int
    spoof: int
    limit: float | None = None

    def __call__(self, scores: np.ndarray | list[float]) -> np.ndarray:
        """Natural-log likelihood ratios of scores, of their shape."""
        ratios = self.slope * np.asarray(scores, dtype=np.float64) + self.offset
        return ratios if self.limit is None else np.clip(ratios, -self.limit, self.limit)

    def as_json(self) -> dict[str, Any]:
        """The map in types of JSON; ``AffineCalibration(**map)`` reads it back."""
        return asdict(self)


def fit_affine(
    bonafide: np.ndarray | list[float],
    spoof: np.ndarray | list[float],
    *,
    prior: float = 0.5,
    penalty: float = 0.0,
    bounded: bool = False,
) -> AffineCalibration:
    """Fit an affine calibration on the scores of a development set.

    Minimises the prior-weighted cross-entropy by Newton's method; the problem is convex, so the answer is the
    only one.

    Args:
        bonafide: scores of bona fide trials, shape (n,), finite.
        spoof: scores of spoofed trials, shape (m,), finite.
        prior: of bona fide, between 0 and 1, which the classes are weighed to.
        penalty: half of it times the squared slope, in units of the standard deviation of the scores, is
            added to the objective in nats; keeps the slope finite for separable scores.
        bounded: limit likelihood ratios to what so many trials can support, the logarithm of the smaller
            count of both classes.

    Raises:
        InputError: a class is empty, scores are not finite or all equal, or a setting is out of its range.
        SeparableError: no score of one class lies among the other, and there is no penalty.
    """
    try:
        real, fake = score_array(bonafide, "bona fide"), score_array(spoof, "spoof")
    except ValueError as error:
        raise InputError(f"calibration: {error}") from None
    if not real.size or not fake.size:
        raise InputError("calibration needs bona fide and spoofed trials of a development set")
    if not 0 < prior < 1 or not penalty >= 0:
        raise InputError(
            f"calibration: prior {prior} must be between 0 and 1, penalty {penalty} not negative"
        )
    scores = np.concatenate([real, fake])
    centre, spread = scores.mean(), scores.std()
    if not spread > 0:
        raise InputError("calibration: all scores of the development set are equal")
    if penalty == 0 and area_under_roc(score_curve(real, fake)) in (0.0, 1.0):
        raise SeparableError(
            "calibration: a threshold separates the development set, so the best slope is infinite; use more "
            "or harder trials, or a penalty"
        )
    signs = np.repeat([1.0, -1.0], [real.size, fake.size])
    weights = np.repeat([prior / real.size, (1 - prior) / fake.size], [real.size, fake.size])
    slope, offset = _newton((scores - centre) / spread, signs, weights, np.log(prior / (1 - prior)), penalty)
    return AffineCalibration(
        slope=float(slope / spread),
        offset=float(offset - slope * centre / spread),
        prior=prior,
        bonafide=int(real.size),
        spoof=int(fake.size),
        limit=float(np.log(max(2, min(real.size, fake.size)))) if bounded else None,
    )


def fit_bounded(
    bonafide: np.ndarray | list[float], spoof: np.ndarray | list[float], *, prior: float = 0.5
) -> tuple[AffineCalibration, str]:
    """Fit a calibration that claims no more than its development set supports.

    Likelihood ratios are limited as by ``bounded`` of :func:`fit_affine`. Where a threshold separates the
    classes the best slope would be infinite; a penalty keeps it finite.

    Returns:
        The map, and one sentence on what was done and why.

    Raises:
        InputError: a class is empty, or scores are not finite or all equal.
    """
    try:
        found = fit_affine(bonafide, spoof, prior=prior, bounded=True)
        said = ""
    except SeparableError:
        found = fit_affine(bonafide, spoof, prior=prior, penalty=SEPARABLE_PENALTY, bounded=True)
        said = (
            "A threshold separates the development set, so the slope is that of a penalised fit "
            f"(penalty {SEPARABLE_PENALTY:g}): how strong the evidence is beyond the bound cannot be told. "
        )
    said += (
        f"Fitted on {found.bonafide} bona fide and {found.spoof} spoofed clips, likelihood ratios are "
        f"limited to {np.exp(found.limit or 0.0):.3g}."
    )
    if found.slope < 0:
        said += " The slope is negative: on the development set lower scores are more likely bona fide."
    return found, said


def _newton(
    scores: np.ndarray, signs: np.ndarray, weights: np.ndarray, log_odds: float, penalty: float
) -> tuple[float, float]:
    """Slope and offset of least weighted cross-entropy, by Newton's method with step halving."""
    from scipy.special import expit

    inputs = np.stack([scores, np.ones_like(scores)], axis=1)
    ridge = np.diag([penalty, 0.0])

    def loss(found: np.ndarray) -> float:
        margins = signs * (inputs @ found + log_odds)
        return float(np.dot(weights, np.logaddexp(0.0, -margins)) + penalty * found[0] ** 2 / 2)

    found = np.zeros(2)
    current = loss(found)
    for _ in range(STEPS):
        wrong = expit(-signs * (inputs @ found + log_odds))
        gradient = -inputs.T @ (weights * signs * wrong) + ridge @ found
        curvature = (inputs * (weights * wrong * (1 - wrong))[:, None]).T @ inputs + ridge
        step = np.linalg.solve(curvature + 1e-15 * np.eye(2), gradient)
        size = 1.0
        while loss(found - size * step) > current and size > 1e-10:
            size /= 2
        found = found - size * step
        previous, current = current, loss(found)
        if previous - current <= TOLERANCE * max(current, 1e-300):
            break
    return float(found[0]), float(found[1])
