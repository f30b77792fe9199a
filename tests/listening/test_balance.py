"""Draws are even whatever the sizes and seeds are."""

from collections import Counter

import numpy as np
import pytest

from doppelbench.listening.balance import balanced_order, latin_blocks, spread_over_targets

SIZES = [(2, [4]), (3, [7, 7, 6]), (4, [10, 10, 10, 10, 10]), (5, [3, 2]), (1, [6]), (6, [1])]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rows", "portions"), SIZES)
def test_every_row_and_trial_meet_once_and_no_block_has_a_trial_twice(rows, portions, seed):
    blocks = latin_blocks(rows, portions, np.random.default_rng(seed))
    met = Counter(cell for block in blocks for cell in block)
    assert met == Counter((row, trial) for row in range(rows) for trial in range(sum(portions)))
    for block in blocks:
        trials = [trial for _, trial in block]
        assert len(set(trials)) == len(trials)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rows", "portions"), SIZES)
def test_rows_are_equally_frequent_in_every_block(rows, portions, seed):
    for block in latin_blocks(rows, portions, np.random.default_rng(seed)):
        counts = [sum(row == one for one, _ in block) for row in range(rows)]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rows", "portions"), SIZES)
def test_every_row_stands_equally_often_at_every_place(rows, portions, seed):
    blocks = latin_blocks(rows, portions, np.random.default_rng(seed))
    for place in range(max(portions)):
        counts = Counter(block[place][0] for block in blocks if place < len(block))
        assert len(counts) == rows
        assert len(set(counts.values())) == 1


def test_blocks_do_not_repeat_one_sequence_of_rows():
    blocks = latin_blocks(4, [12] * 5, np.random.default_rng(0))
    assert len({tuple(row for row, _ in block) for block in blocks}) > 10


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sizes", [(4, 4, 4), (3, 5, 1), (7,), (1, 1, 1, 1)])
def test_each_system_comes_first_equally_often_overall_and_for_every_target(seed, sizes):
    targets = [f"target{index}" for index, size in enumerate(sizes) for _ in range(size)]
    swapped = balanced_order(targets, np.random.default_rng(seed))
    assert abs(2 * sum(swapped) - len(targets)) <= 1
    for name in set(targets):
        own = [flag for flag, target in zip(swapped, targets, strict=True) if target == name]
        assert abs(2 * sum(own) - len(own)) <= 1


def test_the_order_differs_between_seeds():
    orders = {tuple(balanced_order(["a"] * 12, np.random.default_rng(seed))) for seed in range(10)}
    assert len(orders) > 5


def test_trials_are_spread_evenly_over_targets():
    targets = [name for name in "xyz" for _ in range(10)]
    chosen = spread_over_targets(targets, 7)
    assert Counter(targets[place] for place in chosen) == {"x": 3, "y": 2, "z": 2}
    assert len(set(chosen)) == 7
    # The three of x are not neighbours in its list.
    assert sorted(place for place in chosen if targets[place] == "x") == [0, 3, 6]
    assert sorted(spread_over_targets(targets, 1000)) == list(range(30))
    assert spread_over_targets([], 5) == []


def test_what_a_short_target_lacks_the_others_give():
    targets = ["x", *"y" * 9, *"z" * 9]
    chosen = spread_over_targets(targets, 9)
    assert Counter(targets[place] for place in chosen) == {"x": 1, "y": 4, "z": 4}
