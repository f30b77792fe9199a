import librosa
import numpy as np
import pytest

from doppelbench.metrics.dtw import warp, warping_path


@pytest.mark.parametrize("seed", range(5))
def test_cost_and_length_are_those_of_librosa(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(37, 4)), generator.normal(size=(29, 4))
    total, path = librosa.sequence.dtw(X=first.T, Y=second.T)
    found = warp(first, second)
    assert found.cost == pytest.approx(total[-1, -1])
    assert found.length == len(path)


def test_second_features_are_summed_along_the_path_of_the_first():
    generator = np.random.default_rng(8)
    first, second = generator.normal(size=(20, 3)), generator.normal(size=(25, 3))
    other_first, other_second = generator.normal(size=(20, 2)), generator.normal(size=(25, 2))
    _, path = librosa.sequence.dtw(X=first.T, Y=second.T)
    expected = sum(np.linalg.norm(other_first[i] - other_second[j]) for i, j in path)
    found = warp(first, second, other_first=other_first, other_second=other_second)
    assert found.other == pytest.approx(expected)


def test_exchanging_the_sequences_changes_nothing_even_with_ties():
    generator = np.random.default_rng(0)
    first = generator.integers(0, 3, size=(40, 1)).astype(float)
    second = generator.integers(0, 3, size=(31, 1)).astype(float)
    assert warp(first, second) == warp(second, first)


def shortest_of_the_cheapest(first, second):
    """Least (cost, length) over every path, one by one."""
    pending, found = [((0, 0), 0.0, 0)], []
    while pending:
        (i, j), cost, length = pending.pop()
        cost, length = cost + abs(first[i] - second[j]), length + 1
        if (i, j) == (len(first) - 1, len(second) - 1):
            found.append((cost, length))
        for step in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
            if step[0] < len(first) and step[1] < len(second):
                pending.append((step, cost, length))
    return min(found)


def test_of_equally_cheap_paths_the_shortest_is_taken():
    generator = np.random.default_rng(0)
    for _ in range(200):
        first, second = generator.integers(0, 3, size=(2, 5)).astype(float)
        found = warp(first[:, None], second[:, None])
        assert (found.cost, found.length) == shortest_of_the_cheapest(first, second)


def test_equal_sequences_follow_the_diagonal_at_no_cost():
    rows = np.repeat(np.random.default_rng(0).normal(size=(10, 2)), 3, axis=0)
    assert (warp(rows, rows).cost, warp(rows, rows).length) == (0.0, 30)


def test_no_frames_are_an_error():
    with pytest.raises(ValueError, match="without frames"):
        warp(np.empty((0, 2)), np.ones((3, 2)))


@pytest.mark.parametrize("seed", range(5))
def test_path_is_that_of_librosa(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(37, 4)), generator.normal(size=(29, 4))
    _, path = librosa.sequence.dtw(X=first.T, Y=second.T)
    assert np.array_equal(np.column_stack(warping_path(first, second)), path[::-1])


def test_path_with_ties_has_the_cost_and_length_of_the_table():
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 3, size=(2, 40, 1)).astype(float)
    rows, columns = warping_path(first, second[:30])
    found = warp(first, second[:30])
    assert np.abs(first[rows] - second[columns]).sum() == found.cost
    assert len(rows) == found.length
    steps = set(zip(np.diff(rows).tolist(), np.diff(columns).tolist(), strict=True))
    assert steps <= {(1, 1), (1, 0), (0, 1)}
