"""Figures of real-vs-fake detection: everything a table of detectors needs, in one place.

Higher scores are more likely bona fide throughout. Curves, rates and areas are in
:mod:`~doppelbench.metrics.detection_curves`, costs in :mod:`~doppelbench.metrics.detection_costs` and
:mod:`~doppelbench.metrics.tandem_costs`, calibration in :mod:`~doppelbench.metrics.calibration_figures`,
accuracy in :mod:`~doppelbench.metrics.detection_accuracy`, intervals in
:mod:`~doppelbench.metrics.detection_intervals`. These are figures of a whole system, computed from stored
scores, and no metrics of an item.
"""

from doppelbench.metrics.calibration_figures import (
    ReliabilityCurve,
    bayes_error_rate,
    cllr,
    empirical_cross_entropy,
    min_cllr,
    pooled_llrs,
    reliability_curve,
)
from doppelbench.metrics.detection_accuracy import Accuracy, accuracy_at, transferred_accuracy
from doppelbench.metrics.detection_costs import (
    ASVSPOOF5_ADCF,
    AdcfCosts,
    DcfCosts,
    MinimumCost,
    SingleScoreRates,
    actual_dcf,
    min_adcf,
    min_dcf,
    single_score_rates,
)
from doppelbench.metrics.detection_curves import (
    EerRule,
    EqualErrorRate,
    ScoreCurve,
    UndefinedError,
    area_under_roc,
    det_points,
    equal_error_rate,
    miss_rate_at,
    reversal_z,
    roc_points,
    score_curve,
)
from doppelbench.metrics.detection_intervals import curve_intervals
from doppelbench.metrics.tandem_costs import (
    ASVSPOOF5_ASV,
    AsvRates,
    TandemCosts,
    TandemEer,
    asv_rates,
    min_tdcf,
    tandem_eer,
    tandem_floor,
    tandem_terms,
)

__all__ = [
    "ASVSPOOF5_ADCF",
    "ASVSPOOF5_ASV",
    "Accuracy",
    "AdcfCosts",
    "AsvRates",
    "DcfCosts",
    "EerRule",
    "EqualErrorRate",
    "MinimumCost",
    "ReliabilityCurve",
    "ScoreCurve",
    "SingleScoreRates",
    "TandemCosts",
    "TandemEer",
    "UndefinedError",
    "accuracy_at",
    "actual_dcf",
    "area_under_roc",
    "asv_rates",
    "bayes_error_rate",
    "cllr",
    "curve_intervals",
    "det_points",
    "empirical_cross_entropy",
    "equal_error_rate",
    "min_adcf",
    "min_cllr",
    "min_dcf",
    "min_tdcf",
    "miss_rate_at",
    "pooled_llrs",
    "reliability_curve",
    "reversal_z",
    "roc_points",
    "score_curve",
    "single_score_rates",
    "tandem_eer",
    "tandem_floor",
    "tandem_terms",
    "transferred_accuracy",
]
