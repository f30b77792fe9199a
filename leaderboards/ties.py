"""Which neighbours of a ranking are shown to differ: paired tests against the leader of a group.

Systems come in the order of the board. The first leads a group; each following system is tested against the
leader of the group that stands, on the trials that both have scored, and joins the group unless a difference
is shown, in which case it leads the next one. So a board of k systems has k - 1 tests and not k (k - 1) / 2,
and Holm's correction is over these: the tests are gone through again with the level alpha / (tests -
rejections) until no further one is rejected, which for fixed hypotheses is Holm's procedure step by step.

The test is the paired permutation test of :mod:`doppelbench.metrics.statistics`: the two systems are swapped
within a trial, which turns the sign of what the trial adds to their difference. Its p-value is computed by
the cheapest way that is exact or errs on the safe side:

* Hoeffding's bound 2 exp(-z^2 / 2), where it is below what random swaps could show (Hoeffding 1963);
* the binomial distribution, where all differences are equally large (the sign test; McNemar's exact test);
* the normal distribution, where enough trials carry the sum. The sum of sign-flipped differences is symmetric
  and has an excess kurtosis of -2 / m with m = (sum d^2)^2 / sum d^4, so that from m = 400 on the normal
  p-value is at most a few per cent too large down to 1e-5, and not too small;
* swaps themselves, all of them up to 16 trials and random ones above.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from doppelbench.metrics.statistics import ALPHA, ROUNDING, paired_differences

LEAST_CARRIERS = 400.0
SWAPS = 10_000
# Random swaps reach 1 / (1 + swaps), which must stay far below the level of a single test.
SWAPS_PER_THRESHOLD = 10
FIRST_SWAPS = 1_000
# A p-value of few swaps that is this large will not become significant with more.
HOPELESS = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system stands in its section of a board.

    Attributes:
        leader: index of the system that leads its group, its own when it does.
        against: index of the leader that it was compared with; None for the first.
        p: p-value of that test, None where nothing could be tested.
        differs: whether a difference was shown.
    """

    leader: int
    against: int | None
    p: float | None
    differs: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """What trials add to the figures of systems, on one list of trials.

    Attributes:
        numerators: shape (trials, systems), 0 where a trial does not count.
        denominators: the same shape.
        counted: which trials count, the same shape, bool.
    """

    numerators: np.ndarray
    denominators: np.ndarray
    counted: np.ndarray


def group(
    compare: Callable[[int, int], tuple[float | None, bool | None]], count: int, *, alpha: float = ALPHA
) -> list[Place]:
    """Group systems in their order by tests against leaders.

    Args:
        compare: of the index of a leader and of a later system; gives the p-value and None, or, where there
            is no test, None and whether the two are taken to differ.
        count: systems.
        alpha: chance of any false difference among all tests of the call.

    Returns:
        One place a system.
    """
    known: dict[tuple[int, int], tuple[float | None, bool | None]] = {}
    rejected = 0
    while True:
        places, tests, found = [Place(0, None, None, False)] if count else [], 0, 0
        level = alpha / max(1, count - 1 - rejected)
        leader = 0
        for index in range(1, count):
            if (leader, index) not in known:
                known[leader, index] = compare(leader, index)
            p, differs = known[leader, index]
            if p is not None:
                tests += 1
                differs = p <= level
                found += differs
            places.append(Place(index if differs else leader, leader, p, bool(differs)))
            leader = places[-1].leader
        if found <= rejected or tests == 0:
            return places
        rejected = found


def paired_test(
    terms: Terms, *, family: int, alpha: float = ALPHA, seed: int = 0
) -> Callable[[int, int], float | None]:
    """Return the test of two systems by their column.

    Args:
        terms: of all systems.
        family: tests that are corrected for together, which decides the number of swaps.
        alpha: level of the family.
        seed: of random swaps.

    Returns:
        A function that gives the two-sided p-value on the common trials; None where there are none, or where
        a figure is not defined on them.
    """
    swaps = max(SWAPS, math.ceil(SWAPS_PER_THRESHOLD * family / alpha))

    def test(first: int, second: int) -> float | None:
        differences = _differences(terms, first, second)
        return None if differences is None else swap_p_value(differences, swaps=swaps, seed=seed)

    return test


def swap_p_value(differences: np.ndarray, *, swaps: int = SWAPS, seed: int = 0) -> float:
    """Two-sided p-value of a sum whose terms could as well have had the other sign.

    Args:
        differences: what each trial adds to the difference, shape (n,).
        swaps: random swaps where the p-value is not had otherwise.
        seed: of the random swaps.
    """
    moved = differences[differences != 0.0]
    squares = float(moved @ moved)
    if squares == 0.0:
        return 1.0
    total = abs(float(moved.sum()))
    bound = 2 * math.exp(-min(700.0, total * total / (2 * squares)))
    if bound <= 1 / (1 + swaps):
        return bound
    sizes = np.abs(moved)
    if sizes.max() - sizes.min() <= ROUNDING * sizes.max():
        return _sign_test(int((moved > 0).sum()), len(moved))
    if squares * squares / float((moved**2) @ (moved**2)) >= LEAST_CARRIERS:
        return math.erfc(total / math.sqrt(2 * squares))
    rough = _random_swaps(moved, min(swaps, FIRST_SWAPS), seed)
    return rough if rough >= HOPELESS else _random_swaps(moved, swaps, seed)


def _random_swaps(moved: np.ndarray, swaps: int, seed: int) -> float:
    second = np.stack([moved, np.ones_like(moved)], axis=-1)[:, None]
    first = second * [0.0, 1.0]
    found = paired_differences(first, second, draws=2, swaps=swaps, seed=seed)[0].p
    assert found is not None
    return found


def _sign_test(above: int, count: int) -> float:
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(above, count - above), count, 0.5)))


def _differences(terms: Terms, first: int, second: int) -> np.ndarray | None:
    """What each common trial adds to second minus first.

    With equal denominators on both sides, such as the words of one reference, this is exact; else the shares
    are those of the first-order expansion of both ratios.
    """
    common = terms.counted[:, first] & terms.counted[:, second]
    pair = [
        (terms.numerators[common, column], terms.denominators[common, column]) for column in (first, second)
    ]
    totals = [float(denominators.sum()) for _, denominators in pair]
    if not common.any() or min(totals) <= 0.0:
        return None
    if np.array_equal(pair[0][1], pair[1][1]):
        return np.asarray((pair[1][0] - pair[0][0]) / totals[0])
    shares = []
    for (numerators, denominators), total in zip(pair, totals, strict=True):
        ratio = float(numerators.sum()) / total
        shares.append(ratio / len(numerators) + (numerators - ratio * denominators) / total)
    return np.asarray(shares[1] - shares[0])


def align(
    stored: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray] | None],
) -> Terms:
    """Bring the items of systems onto one list of trials.

    Args:
        stored: for each system the names of its trials, numerators and denominators; None without items.
    """
    names = sorted({name for entry in stored if entry is not None for name in entry[0].tolist()})
    place = {name: index for index, name in enumerate(names)}
    shape = (len(names), len(stored))
    terms = Terms(np.zeros(shape, order="F"), np.zeros(shape, order="F"), np.zeros(shape, bool, order="F"))
    for column, entry in enumerate(stored):
        if entry is None:
            continue
        rows = np.fromiter((place[name] for name in entry[0].tolist()), np.int64, len(entry[0]))
        terms.numerators[rows, column] = entry[1]
        terms.denominators[rows, column] = entry[2]
        terms.counted[rows, column] = True
    return terms
