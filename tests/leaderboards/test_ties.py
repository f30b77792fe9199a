"""Tests between neighbours: p-values against references, Holm's correction, and who leads a group."""

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from doppelbench.leaderboards.ties import align, group, paired_test, swap_p_value
from doppelbench.metrics.statistics import holm

SEED = np.random.default_rng


def test_few_trials_have_the_exact_p_value_of_all_swaps():
    differences = SEED(1).normal(0.4, 1, 10)
    reference = permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    assert swap_p_value(differences) == pytest.approx(reference)


def test_equally_large_differences_have_the_p_value_of_the_sign_test():
    differences = np.array([2.0] * 70 + [-2.0] * 45 + [0.0] * 900)
    assert swap_p_value(differences) == pytest.approx(binomtest(70, 115).pvalue)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.09])
def test_many_trials_agree_with_random_swaps(shift):
    differences = SEED(3).gamma(2.0, 0.7, 2_000) * SEED(4).choice([-1.0, 1.0], 2_000) + shift
    signs = SEED(5).choice([-1.0, 1.0], (20_000, 2_000))
    extreme = np.abs(signs @ differences) >= abs(differences.sum())
    reference = extreme.mean()
    assert swap_p_value(differences) == pytest.approx(reference, abs=4 * np.sqrt(0.25 / 20_000))


def test_a_clear_difference_has_a_p_value_that_errs_on_the_safe_side():
    differences = np.concatenate([np.ones(59) + SEED(6).normal(0, 0.01, 59), [-1.0]])
    assert binomtest(59, 60).pvalue < swap_p_value(differences) < 1e-4


def test_equal_systems_do_not_differ():
    assert swap_p_value(np.zeros(50)) == 1.0


def test_the_test_is_on_the_common_trials():
    names = np.array([f"t{number}" for number in range(12)], object)
    ones = np.ones(12)
    first = SEED(7).normal(0, 1, 12)
    entries = [
        (names, first, ones),
        (names[:10], first[:10] + SEED(8).normal(0.5, 0.5, 10), ones[:10]),
        (np.array(["elsewhere"], object), np.ones(1), np.ones(1)),
    ]
    test = paired_test(align([*entries, None]), family=3)
    assert test(0, 1) == pytest.approx(swap_p_value((entries[1][1] - first[:10]) / 10))
    assert test(0, 2) is None
    assert test(0, 3) is None


def test_pooled_rates_are_compared_by_their_counts():
    words = SEED(9).integers(3, 20, 14).astype(float)
    names = np.array([f"t{number:02d}" for number in range(14)], object)
    errors = [
        SEED(seed).binomial(words.astype(int), share).astype(float) for seed, share in ((1, 0.2), (2, 0.4))
    ]
    p = paired_test(align([(names, own, words) for own in errors]), family=1)(0, 1)
    moved = errors[1] - errors[0]
    signs = 1 - 2 * ((np.arange(2**14)[:, None] >> np.arange(14)) & 1)
    assert p == pytest.approx((np.abs(signs @ moved) >= abs(moved.sum()) - 1e-9).mean())


def test_the_correction_is_holms_where_the_tests_are_fixed():
    p_values = [None, 0.3, 0.009, 0.02, 0.6, 0.013]

    def compare(first, second):
        # The same whoever leads, so that the family of tests is fixed.
        return p_values[second], None

    shown = [place.differs for place in group(compare, 6)][1:]
    assert shown == [p <= 0.05 for p in holm(p_values[1:])]


def test_a_system_that_differs_leads_the_next_group():
    values = [10.0, 9.5, 7.0, 6.8, 2.0]
    asked = []

    def compare(first, second):
        asked.append((first, second))
        return (1e-6 if values[first] - values[second] > 1 else 0.7), None

    places = group(compare, 5)
    assert [place.leader for place in places] == [0, 0, 2, 2, 4]
    assert asked == [(0, 1), (0, 2), (2, 3), (2, 4)], "each is tested once, against a leader"


def test_no_systems_and_one_are_groups_too():
    assert group(lambda first, second: (1.0, None), 0) == []
    assert [place.leader for place in group(lambda first, second: (1.0, None), 1)] == [0]
