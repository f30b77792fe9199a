import time

import numpy as np
import pytest

from doppelbench.metrics.statistics import bootstrap_mean, bootstrap_ratio, resampled_sums, wilson


def test_wilson_has_the_textbook_bounds():
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    table = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, n), (low, high) in table.items():
        interval = wilson(successes, n)
        assert interval.value == successes / n
        assert interval.low == pytest.approx(low, abs=5e-5)
        assert interval.high == pytest.approx(high, abs=5e-5)


def test_wilson_of_nothing_is_undefined_and_of_impossible_counts_an_error():
    assert wilson(0, 0).value is None
    assert wilson(1, 1).high == 1.0
    with pytest.raises(ValueError, match="3 successes"):
        wilson(3, 2)


def test_mean_of_two_values_has_the_exact_percentiles():
    # The mean of two draws from {0, 1} is 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4.
    interval = bootstrap_mean([0.0, 1.0])
    assert (interval.low, interval.value, interval.high) == (0.0, 0.5, 1.0)
    assert (bootstrap_mean([0.0, 1.0], level=0.4).low, bootstrap_mean([0.0, 1.0], level=0.4).high) == (
        0.5,
        0.5,
    )


def test_interval_of_a_large_sample_is_that_of_the_normal_law():
    values = np.random.default_rng(5).normal(3.0, 2.0, size=4000)
    interval = bootstrap_mean(values, seed=1)
    half = 1.959964 * values.std() / np.sqrt(values.size)
    assert interval.value == pytest.approx(values.mean(), abs=1e-12)
    assert interval.high - interval.value == pytest.approx(half, rel=0.03)
    assert interval.value - interval.low == pytest.approx(half, rel=0.03)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        interval = bootstrap_mean(generator.normal(size=60), draws=1000, seed=trial)
        hits += interval.low <= 0.0 <= interval.high
    assert 180 <= hits <= 198


def test_clusters_that_agree_within_widen_the_interval():
    speakers = np.repeat(np.arange(10), 50)
    values = np.random.default_rng(2).normal(size=10)[speakers]
    by_item = bootstrap_mean(values)
    by_speaker = bootstrap_mean(values, clusters=[f"s{speaker}" for speaker in speakers])
    assert by_speaker.value == pytest.approx(by_item.value)
    width = by_speaker.high - by_speaker.low
    assert width / (by_item.high - by_item.low) == pytest.approx(np.sqrt(50), rel=0.1)


def test_clusters_of_one_item_each_are_items():
    values = [3.0, 1.0, 2.0, 5.0]
    by_item, by_cluster = (
        bootstrap_mean(sorted(values)),
        bootstrap_mean(sorted(values), clusters=["a", "b", "c", "d"]),
    )
    assert by_item == by_cluster


def test_pooled_ratio_is_not_the_mean_of_ratios():
    # Ten words without an error and one word with one: 1/11 pooled, 1/2 as a mean.
    assert bootstrap_ratio([0, 1], [10, 1]).value == pytest.approx(1 / 11)


def test_draws_without_a_denominator_are_left_out():
    interval = bootstrap_ratio([1, 0], [2, 0])
    assert (interval.low, interval.value, interval.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("clusters", [None, ["a"]])
def test_one_item_has_a_value_and_no_interval(clusters):
    interval = bootstrap_mean([4.0], clusters=clusters)
    assert (interval.value, interval.low, interval.high) == (4.0, None, None)


def test_one_cluster_has_no_interval():
    assert bootstrap_mean([1.0, 2.0], clusters=["a", "a"]).low is None


def test_nothing_has_no_value():
    assert bootstrap_mean([]).value is None
    assert bootstrap_mean([], clusters=[]).value is None
    assert bootstrap_ratio([0, 0], [0, 0]).value is None


def test_order_of_the_items_does_not_matter_to_the_last_bit():
    generator = np.random.default_rng(3)
    values, names = generator.normal(size=101), generator.choice(["a", "b", "c"], size=101)
    order = generator.permutation(101)
    assert bootstrap_mean(values) == bootstrap_mean(values[order])
    assert bootstrap_mean(values, clusters=names) == bootstrap_mean(values[order], clusters=names[order])


def test_seed_decides_the_draws_and_global_state_does_not():
    rows = np.arange(20.0)[:, None]
    np.random.seed(1)
    first = resampled_sums(rows, draws=50, seed=7)
    np.random.seed(2)
    assert np.array_equal(first, resampled_sums(rows, draws=50, seed=7))
    assert not np.array_equal(first, resampled_sums(rows, draws=50, seed=8))


def test_all_series_share_the_draws():
    values = np.random.default_rng(1).normal(size=(30, 1))
    sums = resampled_sums(np.hstack([values, values + 1, np.ones_like(values)]), draws=300)
    assert np.all(sums[:, 2] == 30)
    np.testing.assert_allclose(sums[:, 1] - sums[:, 0], 30)


def test_forty_series_of_ten_thousand_items_are_quick():
    rows = np.random.default_rng(0).normal(size=(10_000, 40))
    started = time.process_time()
    resampled_sums(rows, draws=1000)
    # A tenth of the usual 10,000 draws; 0.1 s were measured.
    assert time.process_time() - started < 0.5
