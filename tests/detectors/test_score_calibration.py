"""Affine calibration turns scores into likelihood ratios, or says why it cannot."""

import json

import numpy as np
import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.detectors.calibration import AffineCalibration, SeparableError, fit_affine, fit_bounded
from doppelbench.metrics.detection import cllr, min_cllr, score_curve


def scores_of(seed, real=400, fake=900):
    """Scores whose likelihood ratio is 2 s - 1: normal, one apart in mean, variance one half."""
    generator = np.random.default_rng(seed)
    return generator.normal(1.0, 0.5**0.5, real), generator.normal(0.0, 0.5**0.5, fake)


def test_slope_and_offset_of_normal_scores_are_found_whatever_the_counts():
    found = fit_affine(*scores_of(0, 40000, 10000))
    assert found.slope == pytest.approx(2.0, abs=0.06)
    assert found.offset == pytest.approx(-1.0, abs=0.06)


@pytest.mark.parametrize("prior", [0.5, 0.05, 0.9])
def test_fit_is_that_of_scikit_learn_with_weighted_classes(prior):
    linear_model = pytest.importorskip("sklearn.linear_model")
    real, fake = scores_of(1)
    scores, labels = np.concatenate([real, fake])[:, None], np.repeat([1, 0], [len(real), len(fake)])
    weights = np.where(labels == 1, prior / len(real), (1 - prior) / len(fake)) * len(scores)
    model = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(scores, labels, sample_weight=weights)
    found = fit_affine(real, fake, prior=prior)
    assert found.slope == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert found.offset == pytest.approx(model.intercept_[0] - np.log(prior / (1 - prior)), abs=1e-3)


def test_calibrated_scores_cost_least_on_the_set_they_were_fitted_on():
    real, fake = scores_of(2)
    distorted = 7 * real + 30, 7 * fake + 30
    found = fit_affine(*distorted)
    least = cllr(found(distorted[0]), found(distorted[1]))
    assert least == pytest.approx(cllr(*(fit_affine(real, fake)(side) for side in (real, fake))), abs=1e-9)
    assert min_cllr(score_curve(real, fake)) <= least < min(1.0, cllr(*distorted))
    for slope, offset in ((1.02, 0.0), (0.98, 0.0), (1.0, 0.05), (1.0, -0.05)):
        assert cllr(*(slope * found(side) + offset for side in distorted)) > least


def test_reversed_scores_get_a_negative_slope():
    real, fake = scores_of(3)
    straight, turned = fit_affine(real, fake), fit_affine(-real, -fake)
    assert turned.slope == pytest.approx(-straight.slope, rel=1e-6)
    assert turned.offset == pytest.approx(straight.offset, abs=1e-6)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_separable_scores_are_refused_without_a_penalty(turn):
    real, fake = turn * np.array([2.0, 3.0, 4.0]), turn * np.array([-1.0, 0.0, 1.0])
    with pytest.raises(SeparableError, match="the best slope is infinite"):
        fit_affine(real, fake)
    found = fit_affine(real, fake, penalty=0.1)
    assert 0 < turn * found.slope < 100


def test_a_bound_keeps_ratios_within_what_the_trials_support():
    real, fake = scores_of(4, 50, 900)
    found = fit_affine(real, fake, bounded=True)
    assert found.limit == pytest.approx(np.log(50))
    assert found([100.0, -100.0]).tolist() == [found.limit, -found.limit]
    assert found([0.5])[0] == pytest.approx(fit_affine(real, fake)([0.5])[0])


def test_the_map_survives_json():
    found = fit_affine(*scores_of(5))
    assert AffineCalibration(**json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize(
    ("real", "fake", "options", "message"),
    [
        ([], [1.0], {}, "needs bona fide and spoofed"),
        ([1.0], [np.nan], {}, "spoof score 0 is nan"),
        ([1.0, 1.0], [1.0], {}, "all scores of the development set are equal"),
        ([1.0, 0.0], [1.0, 0.5], {"prior": 1.0}, "prior 1.0 must be between"),
        ([1.0, 0.0], [1.0, 0.5], {"penalty": -1.0}, "penalty -1.0 not negative"),
    ],
)
def test_sets_that_calibrate_nothing_are_refused(real, fake, options, message):
    with pytest.raises(InputError, match=message):
        fit_affine(real, fake, **options)


def test_a_bounded_fit_of_separable_scores_is_penalised_and_says_so() -> None:
    found, said = fit_bounded([3.0, 4.0, 5.0, 6.0], [-1.0, 0.0, 1.0])
    assert "separates the development set" in said
    assert np.isfinite(found.slope)
    assert found.slope > 0
    # Three fakes cannot support a ratio above three.
    assert np.allclose(found([100.0, -100.0]), [np.log(3), -np.log(3)])


def test_a_bounded_fit_of_overlapping_scores_is_the_plain_one_within_its_bounds() -> None:
    real, fake = [1.0, 2.0, 3.0, 0.5], [0.0, 1.5, -1.0, -2.0]
    found, said = fit_bounded(real, fake)
    plain = fit_affine(real, fake)
    assert (found.slope, found.offset) == (plain.slope, plain.offset)
    assert "separates" not in said
    assert "negative" in fit_bounded(fake, real)[1]
