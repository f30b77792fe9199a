"""Bootstrap intervals of detection figures, by trial and by cluster."""

import numpy as np
import pytest

from doppelbench.metrics.detection import (
    DcfCosts,
    UndefinedError,
    actual_dcf,
    area_under_roc,
    cllr,
    curve_intervals,
    equal_error_rate,
    min_cllr,
    min_dcf,
    score_curve,
)


def scores_of(seed, real, fake, separation=2.0):
    generator = np.random.default_rng(seed)
    return generator.normal(separation, 1.5, real), generator.normal(-separation, 1.5, fake)


def figures_of(real, fake):
    curve = score_curve(real, fake)
    return {
        "eer_asvspoof": equal_error_rate(curve).rate,
        "eer_rocch": equal_error_rate(curve, "rocch").rate,
        "auc": area_under_roc(curve),
        "min_dcf": min_dcf(curve).value,
        "min_cllr": min_cllr(curve),
        "actual_dcf": actual_dcf(curve),
        "cllr": cllr(real, fake),
    }


@pytest.mark.parametrize("counts", [(60, 90), (900, 2500)])
def test_bounds_are_those_of_resampling_the_trials_themselves(counts):
    real, fake = scores_of(0, *counts, separation=1.5)
    generator = np.random.default_rng(1)
    drawn = [
        figures_of(generator.choice(real, len(real)), generator.choice(fake, len(fake))) for _ in range(400)
    ]
    found = curve_intervals(real, fake, draws=1000)
    for name, value in figures_of(real, fake).items():
        sample = np.array([figures[name] for figures in drawn])
        assert found[name].value == value
        low, high = np.quantile(sample, [0.025, 0.975])
        assert found[name].low == pytest.approx(low, abs=0.5 * sample.std()), name
        assert found[name].high == pytest.approx(high, abs=0.5 * sample.std()), name


def test_bounds_by_cluster_are_those_of_resampling_whole_clusters():
    generator = np.random.default_rng(2)
    shifts = generator.normal(0, 1.5, 25)
    real = [shift + generator.normal(2, 1, 20) for shift in shifts]
    fake = [shift + generator.normal(-2, 1, 30) for shift in shifts]
    drawn = []
    for _ in range(400):
        picks = generator.integers(0, 25, 25)
        drawn.append(
            figures_of(np.concatenate([real[n] for n in picks]), np.concatenate([fake[n] for n in picks]))
        )
    names = [f"speaker {n}" for n in range(25)]
    clusters = (np.repeat(names, 20), np.repeat(names, 30))
    found = curve_intervals(np.concatenate(real), np.concatenate(fake), clusters=clusters, draws=1000)
    by_trial = curve_intervals(np.concatenate(real), np.concatenate(fake), draws=1000, pooling=False)
    for name, interval in found.items():
        sample = np.array([figures[name] for figures in drawn])
        low, high = np.quantile(sample, [0.025, 0.975])
        assert interval.low == pytest.approx(low, abs=0.5 * sample.std()), name
        assert interval.high == pytest.approx(high, abs=0.5 * sample.std()), name
    wide = found["eer_asvspoof"].high - found["eer_asvspoof"].low
    assert wide > 1.5 * (by_trial["eer_asvspoof"].high - by_trial["eer_asvspoof"].low)


def test_the_interval_of_cllr_is_as_wide_as_its_standard_error():
    real, fake = scores_of(6, 400, 700, 0.7)
    interval = curve_intervals(real, fake, draws=8000, pooling=False)["cllr"]
    costs = [np.log2(1 + np.exp(side)) for side in (-real, fake)]
    error = np.sqrt(sum(cost.var() / cost.size for cost in costs)) / 2
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.03)


def test_few_operating_points_give_nearly_the_same_interval():
    real, fake = scores_of(7, 5000, 20000, 1.0)
    whole = curve_intervals(real, fake, pooling=False, draws=500)
    rough = curve_intervals(real, fake, pooling=False, draws=500, points=40)
    for name in ("eer_asvspoof", "auc", "min_dcf", "cllr"):
        width = whole[name].high - whole[name].low
        assert rough[name].low == pytest.approx(whole[name].low, abs=0.25 * width), name
        assert rough[name].high == pytest.approx(whole[name].high, abs=0.25 * width), name
    # However few the points, an interval lies about its exact figure.
    coarse = curve_intervals(real, fake, pooling=False, draws=500, points=6)
    for name in ("eer_asvspoof", "auc", "cllr"):
        middle = (coarse[name].low + coarse[name].high) / 2
        assert abs(middle - coarse[name].value) < 0.2 * (coarse[name].high - coarse[name].low), name


def test_order_of_trials_does_not_matter_and_the_seed_does():
    real, fake = scores_of(3, 200, 300, 1.0)
    names = np.array([f"s{n % 10}" for n in range(300)])
    clusters = (names[:200], names)
    order, other = np.random.default_rng(0).permutation(200), np.random.default_rng(1).permutation(300)
    turned = (clusters[0][order], clusters[1][other])
    assert curve_intervals(real, fake, draws=50) == curve_intervals(real[order], fake[other], draws=50)
    first = curve_intervals(real, fake, clusters=clusters, draws=50, calibrated=False)
    assert first == curve_intervals(real[order], fake[other], clusters=turned, draws=50, calibrated=False)
    assert curve_intervals(real, fake, draws=50, seed=1) != curve_intervals(real, fake, draws=50)


def test_separated_classes_have_the_upper_bound_of_no_error_among_so_many():
    found = curve_intervals(np.arange(20.0) + 100, np.arange(50.0), draws=100)
    # Wilson's bound for 0 of 20.
    assert found["eer_asvspoof"].low == 0.0
    assert found["eer_asvspoof"].high == pytest.approx(0.161125, abs=1e-6)
    assert found["eer_rocch"].high == found["eer_asvspoof"].high


def test_one_trial_or_one_cluster_has_no_interval():
    single = curve_intervals([1.0], [0.0, 2.0, 3.0], draws=10)
    assert single["auc"].value == pytest.approx(1 / 3)
    assert single["auc"].low is None
    same = curve_intervals([1.0, 2.0], [0.0, 3.0], clusters=(["a", "a"], ["a", "a"]), draws=10)
    assert same["auc"].low is None


def test_figures_not_asked_for_are_left_out():
    real, fake = scores_of(4, 20, 20)
    assert set(curve_intervals(real, fake, draws=10, calibrated=False, pooling=False)) == {
        "eer_asvspoof",
        "auc",
        "min_dcf",
    }


def test_costs_are_followed():
    real, fake = scores_of(5, 50, 50, 0.5)
    costs = DcfCosts(spoof_prior=0.5, false_alarm=1.0)
    found = curve_intervals(real, fake, costs=costs, draws=200)["min_dcf"]
    assert found.value == min_dcf(score_curve(real, fake), costs).value
    assert found.low < found.value < found.high + 1e-12


def test_wrong_inputs_are_refused():
    with pytest.raises(UndefinedError):
        curve_intervals([], [1.0])
    with pytest.raises(ValueError, match="name of its cluster"):
        curve_intervals([1.0, 2.0], [0.0], clusters=(["a"], ["a"]))


def test_intervals_hold_the_true_rate_and_are_no_wider_than_theory():
    # Two normal distributions whose means lie four thirds of a deviation from the threshold.
    truth, count = 0.0912112, 300
    found = []
    for seed in range(40):
        real, fake = scores_of(seed, count, count, 2.0)
        found.append(curve_intervals(real, fake, draws=200, calibrated=False, pooling=False)["eer_asvspoof"])
    assert sum(interval.low <= truth <= interval.high for interval in found) >= 36
    width = np.mean([interval.high - interval.low for interval in found])
    assert width == pytest.approx(2 * 1.96 * np.sqrt(truth * (1 - truth) / (2 * count)), rel=0.25)
