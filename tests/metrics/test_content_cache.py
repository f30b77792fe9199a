import numpy as np
import pytest

from doppelbench.metrics.content_cache import cached_by_content


@pytest.fixture
def counted():
    calls = []

    @cached_by_content(2)
    def total(samples):
        calls.append(samples.copy())
        if not samples.size:
            raise ValueError("nothing")
        return float(samples.sum())

    return total, calls


def test_equal_content_is_computed_once(counted):
    total, calls = counted
    first = np.arange(6.0)
    assert total(first) == total(first.copy()) == total(np.repeat(first, 2)[::2]) == 15.0
    assert len(calls) == 1


def test_other_content_type_or_shape_is_computed_anew(counted):
    total, calls = counted
    for samples in (np.zeros(4), np.zeros(4, np.float32), np.zeros(8, np.float32), np.zeros((2, 2))):
        total(samples)
    assert len(calls) == 4


def test_array_that_was_changed_is_another(counted):
    total, _ = counted
    samples = np.zeros(3)
    assert total(samples) == 0.0
    samples[0] = 1.0
    assert total(samples) == 1.0


def test_the_result_asked_for_least_recently_goes_first(counted):
    total, calls = counted
    one, two, three = (np.full(3, number) for number in (1.0, 2.0, 3.0))
    for samples in (one, two, one, three, one):
        total(samples)
    assert len(calls) == 3
    total(two)
    assert len(calls) == 4


def test_what_raises_is_not_kept(counted):
    total, calls = counted
    for _ in range(2):
        with pytest.raises(ValueError, match="nothing"):
            total(np.zeros(0))
    assert len(calls) == 2
