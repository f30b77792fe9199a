"""Cllr, its minimum, pooled likelihood ratios, reliability and empirical cross-entropy."""

import math

import numpy as np
import pytest

from doppelbench.metrics.detection import (
    UndefinedError,
    bayes_error_rate,
    cllr,
    empirical_cross_entropy,
    min_cllr,
    pooled_llrs,
    reliability_curve,
    score_curve,
)


def ratios(seed, real=300, fake=500, separation=2.0):
    """Honest likelihood ratios of two normal distributions: their own are normal with variance 2 x mean."""
    generator = np.random.default_rng(seed)
    mean = separation**2 / 2
    return generator.normal(mean, separation, real), generator.normal(-mean, separation, fake)


def cllr_from_the_formula(real, fake):
    first = sum(math.log2(1 + math.exp(-s)) for s in real) / len(real)
    second = sum(math.log2(1 + math.exp(s)) for s in fake) / len(fake)
    return (first + second) / 2


@pytest.mark.parametrize("seed", range(5))
def test_cllr_is_the_formula_summed_in_plain_python(seed):
    real, fake = ratios(seed)
    assert cllr(real, fake) == pytest.approx(cllr_from_the_formula(real, fake), rel=1e-12)


def test_scores_that_say_nothing_cost_one_bit_and_large_ones_do_not_overflow():
    assert cllr([0.0, 0.0], [0.0]) == 1.0
    assert cllr([5000.0], [-5000.0]) == 0.0
    assert cllr([-5000.0], [5000.0]) == pytest.approx(5000 / math.log(2))


def test_cllr_is_the_balanced_log_loss_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    real, fake = ratios(1)
    posterior = 1 / (1 + np.exp(-np.concatenate([real, fake])))
    labels = np.repeat([1, 0], [len(real), len(fake)])
    weights = np.repeat([1 / len(real), 1 / len(fake)], [len(real), len(fake)])
    loss = metrics.log_loss(labels, posterior, sample_weight=weights)
    assert cllr(real, fake) == pytest.approx(loss / math.log(2), rel=1e-9)


@pytest.mark.parametrize("decimals", [0, 12])
@pytest.mark.parametrize("seed", range(3))
def test_pooled_ratios_are_those_of_isotonic_regression(seed, decimals):
    isotonic = pytest.importorskip("sklearn.isotonic")
    real, fake = (np.round(side, decimals) for side in ratios(seed, 60, 90, 1.0))
    scores = np.concatenate([real, fake])
    labels = np.repeat([1.0, 0.0], [len(real), len(fake)])
    curve = score_curve(real, fake)
    model = isotonic.IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    share = model.predict(curve.scores)
    with np.errstate(divide="ignore"):
        expected = np.log(share) - np.log1p(-share) - math.log(len(real) / len(fake))
    assert np.allclose(pooled_llrs(curve), expected, atol=1e-6)


def test_minimum_by_hand():
    # Scores 1 (fake), 2 (real), 3 (fake), 4 (real): the middle pair is pooled at a ratio of 1.
    curve = score_curve([2.0, 4.0], [1.0, 3.0])
    assert pooled_llrs(curve).tolist() == [-np.inf, 0.0, 0.0, np.inf]
    assert min_cllr(curve) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_minimum_follows_a_rising_map_and_no_map_does_better(seed):
    real, fake = ratios(seed, 60, 90)
    lowest = min_cllr(score_curve(real, fake))
    assert min_cllr(score_curve(np.arctan(real), np.arctan(fake))) == lowest
    for slope in (0.5, 1.0, 1.5):
        for offset in (-1.0, 0.0, 1.0):
            assert lowest <= cllr(slope * real + offset, slope * fake + offset)


def test_minimum_is_zero_for_separated_and_one_for_constant_or_reversed_scores():
    assert min_cllr(score_curve([2.0], [1.0])) == 0.0
    assert min_cllr(score_curve([1.0, 1.0], [1.0])) == pytest.approx(1.0)
    assert min_cllr(score_curve([1.0], [2.0])) == pytest.approx(1.0)


def test_the_order_of_tied_scores_is_not_used():
    tied = score_curve([0.0, 0.0, 1.0], [0.0, 0.0, -1.0])
    # Two of three each stay at a ratio of 1 and cost a bit; one of three each costs nothing.
    assert min_cllr(tied) == pytest.approx(2 / 3)


def test_cross_entropy_at_one_half_is_cllr_and_at_a_prior_never_more_than_its_entropy_when_honest():
    real, fake = ratios(0, 20000, 20000)
    assert empirical_cross_entropy(real, fake) == pytest.approx(cllr(real, fake))
    for prior in (0.01, 0.3, 0.9):
        entropy = -prior * math.log2(prior) - (1 - prior) * math.log2(1 - prior)
        assert empirical_cross_entropy(real, fake, prior=prior) < entropy
    assert empirical_cross_entropy([0.0], [0.0], prior=0.25) == pytest.approx(0.811278, abs=1e-6)


def test_honest_ratios_are_reliable_and_boasting_ones_are_not():
    real, fake = ratios(0, 40000, 10000)
    honest = reliability_curve(real, fake)
    assert honest.expected_error < 0.01
    assert honest.weight.sum() == pytest.approx(1.0)
    assert honest.trials.sum() == 50000
    assert np.abs(honest.claimed - honest.observed).max() < 0.04
    assert reliability_curve(3 * real, 3 * fake).expected_error > 0.05


def test_reliability_by_hand():
    # Posteriors 0.75 and 0.25 at even odds; each holds one of two real and one of two fake clips.
    found = reliability_curve([math.log(3), -math.log(3)], [math.log(3), -math.log(3)], bins=2)
    assert found.claimed == pytest.approx([0.25, 0.75])
    assert found.observed == pytest.approx([0.5, 0.5])
    assert found.expected_error == pytest.approx(0.25)


def test_bayes_error_by_hand():
    actual, lowest = bayes_error_rate(score_curve([1.0, -1.0], [-2.0, -3.0]), prior=0.5)
    assert actual == 0.25
    assert lowest == 0.0
    # At a prior of 0.9 the threshold falls to -2.2 and accepts one spoof.
    assert bayes_error_rate(score_curve([1.0, -1.0], [-2.0, -3.0]), prior=0.9)[0] == pytest.approx(0.05)


@pytest.mark.parametrize("figure", [cllr, reliability_curve, empirical_cross_entropy])
def test_a_class_without_trials_or_a_score_that_is_no_number_has_no_figure(figure):
    with pytest.raises(UndefinedError, match="no spoofed"):
        figure([1.0], [])
    with pytest.raises(ValueError, match="bona fide score 0 is nan"):
        figure([np.nan], [1.0])


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0])
def test_priors_at_their_ends_are_refused(prior):
    with pytest.raises(ValueError, match="prior"):
        empirical_cross_entropy([1.0], [0.0], prior=prior)
    with pytest.raises(ValueError, match="prior"):
        reliability_curve([1.0], [0.0], prior=prior)
