"""Equal error rates by named rules, area, DET and ROC of bona fide and spoof scores."""

import numpy as np
import pytest

from doppelbench.metrics.detection import (
    UndefinedError,
    accuracy_at,
    area_under_roc,
    det_points,
    equal_error_rate,
    miss_rate_at,
    reversal_z,
    roc_points,
    score_curve,
    transferred_accuracy,
)
from doppelbench.metrics.detection_curves import spread_points


def scores_of(seed, real=37, fake=53, decimals=12):
    generator = np.random.default_rng(seed)
    return (
        np.round(generator.normal(1.0, 1.0, real), decimals),
        np.round(generator.normal(0.0, 1.0, fake), decimals),
    )


def rate(real, fake, rule="asvspoof"):
    return equal_error_rate(score_curve(real, fake), rule).rate


@pytest.mark.parametrize(
    ("real", "fake", "asvspoof", "rocch"),
    [
        ([3.0, 4.0], [1.0, 2.0], 0.0, 0.0),
        ([1.0, 2.0], [3.0, 4.0], 1.0, 0.5),
        # A constant: all bona fide are rejected before any spoof is.
        ([0.0] * 10, [0.0] * 10, 1.0, 0.5),
        # 9 of 10 and 8 of 10 decisions are right: (1/10, 2/10) and (1, 0) span the hull.
        ([1.0] * 9 + [0.0], [0.0] * 8 + [1.0] * 2, 0.2, 2 / 11),
        # Points (miss, alarm): (0, 1/2), (1/3, 1/2), (2/3, 1/2), (2/3, 0).
        ([1.0, 2.0, 3.0], [0.0, 2.5], 7 / 12, 2 / 7),
        # One of four misses against one of four false alarms; the hull joins (0, 1/4) and (1/4, 0).
        ([0.4, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.5], 0.25, 0.125),
        ([5.0], [5.0], 1.0, 0.5),
    ],
)
def test_small_cases_by_hand(real, fake, asvspoof, rocch):
    assert rate(real, fake) == pytest.approx(asvspoof, abs=1e-12)
    assert rate(real, fake, "rocch") == pytest.approx(rocch, abs=1e-12)


@pytest.mark.parametrize("counts", [(37, 53), (400, 7), (7, 400)])
@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize("seed", range(8))
def test_rate_of_asvspoof_is_that_of_a_walk_over_all_trials(seed, decimals, counts):
    """The rule told trial by trial: bona fide first among ties, nearest rates, their mean."""
    real, fake = scores_of(seed, *counts, decimals=decimals)
    trials = sorted([(score, 0) for score in real] + [(score, 1) for score in fake])
    missed = refused = 0
    nearest, expected = 1.0, 0.5
    for _, spoofed in trials:
        missed, refused = missed + (not spoofed), refused + spoofed
        miss, alarm = missed / len(real), (len(fake) - refused) / len(fake)
        if abs(miss - alarm) < nearest:
            nearest, expected = abs(miss - alarm), (miss + alarm) / 2
    assert rate(real, fake) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize("seed", range(8))
def test_rate_on_the_hull_is_the_worst_bayes_error(seed, decimals):
    """The hull meets the diagonal where the least error, over thresholds, is greatest over priors."""
    real, fake = scores_of(seed, decimals=decimals)
    thresholds = np.append(np.unique(np.concatenate([real, fake])), np.inf)
    miss = np.array([(real < threshold).mean() for threshold in thresholds])
    alarm = np.array([(fake >= threshold).mean() for threshold in thresholds])
    prior = np.linspace(0, 1, 20001)[:, None]
    worst = (prior * miss + (1 - prior) * alarm).min(axis=1).max()
    assert rate(real, fake, "rocch") == pytest.approx(worst, abs=1e-4)


@pytest.mark.parametrize("rule", ["asvspoof", "rocch"])
def test_rates_follow_neither_order_nor_a_rising_map(rule):
    real, fake = scores_of(1)
    expected = rate(real, fake, rule)
    generator = np.random.default_rng(0)
    assert rate(generator.permutation(real), generator.permutation(fake), rule) == expected
    assert rate(np.exp(real), np.exp(fake), rule) == expected
    assert rate(3 * real - 7, 3 * fake - 7, rule) == expected


def test_area_follows_a_rising_map_and_turns_with_the_sign():
    real, fake = scores_of(2)
    area = area_under_roc(score_curve(real, fake))
    assert area_under_roc(score_curve(np.tanh(real), np.tanh(fake))) == area
    assert area_under_roc(score_curve(-real, -fake)) == pytest.approx(1 - area, abs=1e-12)


def test_rate_on_the_hull_never_exceeds_one_half_but_that_of_asvspoof_shows_reversed_scores():
    real, fake = scores_of(3, 200, 200)
    assert rate(fake, real) > 0.6
    assert rate(fake, real, "rocch") <= 0.5


def test_the_threshold_of_asvspoof_is_the_last_rejected_score():
    curve = score_curve([0.4, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.5])
    assert equal_error_rate(curve).threshold == 0.4
    assert curve.rates_at(0.4) == (0.0, 0.25)
    assert curve.rates_at(np.nextafter(0.4, 1)) == (0.25, 0.25)


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize("seed", range(3))
def test_curve_and_area_are_those_of_scikit_learn(seed, decimals):
    metrics = pytest.importorskip("sklearn.metrics")
    real, fake = scores_of(seed, decimals=decimals)
    labels, scores = np.repeat([1, 0], [len(real), len(fake)]), np.concatenate([real, fake])
    curve = score_curve(real, fake)
    assert area_under_roc(curve) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    alarm, hit, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    ours = roc_points(curve)
    assert np.allclose(ours[0][::-1], alarm)
    assert np.allclose(ours[1][::-1], hit)
    for limit in (0.0, 0.01, 0.1, 0.5):
        assert miss_rate_at(curve, limit) == pytest.approx(1 - hit[alarm <= limit].max())


def test_both_acceptance_rules_share_their_operating_points():
    real, fake = scores_of(4, decimals=0)
    miss, alarm = score_curve(real, fake).rates()
    for score in np.unique(np.concatenate([real, fake])):
        at_least = ((real < score).mean(), (fake >= score).mean())
        above = ((real <= score).mean(), (fake > score).mean())
        for point in (at_least, above):
            assert np.isclose([miss, alarm], np.array(point)[:, None]).all(axis=0).any()


def test_det_axes_are_normal_deviates_without_infinite_points():
    alarm, miss = det_points(score_curve([0.0, 2.0], [-1.0, 1.0]))
    # Of the points only (1/2, 1/2) has no rate of 0 or 1.
    assert alarm == pytest.approx([0.0])
    assert miss == pytest.approx([0.0])
    real, fake = scores_of(5, 4000, 4000)
    alarm, miss = det_points(score_curve(real, fake))
    # Two normal distributions one deviation apart lie on the line miss = -alarm - 1.
    middle = np.abs(alarm + 0.5) < 1
    assert np.abs(miss + alarm + 1)[middle].max() < 0.15


def test_few_points_keep_the_ends_and_the_shape():
    real, fake = scores_of(6, 3000, 30000)
    curve = score_curve(real, fake)
    kept = spread_points(curve, 300)
    assert kept[0] == 0
    assert kept[-1] == curve.scores.size
    assert len(kept) < 600
    miss, _ = curve.rates()
    assert np.diff(miss[kept]).max() < 0.02
    thinned, whole = roc_points(curve, 300), roc_points(curve)
    area = [-np.trapezoid(hit, alarm) for alarm, hit in (thinned, whole)]
    assert area[0] == pytest.approx(area[1], abs=1e-4)


@pytest.mark.parametrize(("real", "fake"), [([], [1.0]), ([1.0], []), ([], [])])
def test_a_class_without_trials_is_undefined_and_no_number(real, fake):
    curve = score_curve(real, fake)
    for figure in (equal_error_rate, area_under_roc, roc_points, det_points, reversal_z):
        with pytest.raises(UndefinedError, match="there are no"):
            figure(curve)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_finite_numbers_are_refused_with_their_place(bad):
    with pytest.raises(ValueError, match="spoof score 1 is"):
        score_curve([1.0], [0.0, bad])


def test_scores_of_several_rows_and_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="one row"):
        score_curve(np.zeros((2, 2)), [0.0])
    with pytest.raises(ValueError, match="no rule 'nearest'"):
        equal_error_rate(score_curve([1.0], [0.0]), "nearest")


def test_reversal_is_the_rank_sum_test_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    real, fake = scores_of(7, decimals=0)
    found = stats.mannwhitneyu(real, fake, method="asymptotic", use_continuity=False, alternative="less")
    assert stats.norm.cdf(reversal_z(score_curve(real, fake))) == pytest.approx(found.pvalue, rel=1e-9)
    assert reversal_z(score_curve([1.0, 1.0], [1.0])) == 0.0


def test_accuracy_is_told_by_class_with_wilson_intervals():
    found = accuracy_at(score_curve([0.5, 1.0, 2.0, -1.0], [0.0, -2.0]), 0.0)
    assert found.bonafide.value == 0.75
    assert found.spoof.value == 0.5
    assert found.balanced == 0.625
    assert found.plain == 4 / 6
    assert found.origin == "fixed"
    assert found.bonafide.low == pytest.approx(0.300642, abs=1e-6)


def test_accuracy_of_one_class_alone_is_defined():
    found = accuracy_at(score_curve([], [0.0, 1.0, 2.0]), 1.0)
    assert found.spoof.value == pytest.approx(1 / 3)
    assert found.bonafide.value is None
    assert found.balanced is None


def test_a_transferred_threshold_is_that_of_the_development_set():
    development = score_curve([0.4, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.5])
    test = score_curve([0.3, 0.45, 0.9], [0.2, 0.4])
    found = transferred_accuracy(development, test)
    assert found.threshold == 0.4
    assert found.origin == "development"
    assert found.bonafide.value == pytest.approx(2 / 3)
    assert found.spoof.value == 0.5
