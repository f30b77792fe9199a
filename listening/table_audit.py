"""Whether printed figures of a listening test can be right, by arithmetic alone.

A mean of n whole numbers is a multiple of 1 / n, so most printed decimals exclude most n (the GRIM test,
Brown and Heathers 2017). The same holds for shares of votes and of items. Everything here takes the printed
text, because ``4.60`` says more than ``4.6``.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from doppelbench.metrics.statistics import Interval, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCount:
    """A count that a printed share of votes can stand for.

    Attributes:
        successes: votes for the system.
        n: votes.
        p: exact two-sided binomial probability, votes taken as independent.
        interval: Wilson's, as a proportion.
    """

    successes: int
    n: int
    p: float
    interval: Interval


def printed_bounds(text: str) -> tuple[Fraction, Fraction]:
    """Lowest and highest number that is printed so, with either rule for halves.

    Raises:
        ValueError: no decimal number.
    """
    cleaned = text.strip()
    digits = cleaned.lstrip("+-").replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text!r} is no decimal number")
    value = Fraction(cleaned)
    decimals = len(cleaned.partition(".")[2])
    half = Fraction(1, 2 * 10**decimals)
    return value - half, value + half


def counts_for_percentage(percentage: str, n: int) -> list[int]:
    """Counts out of n that would be printed as this percentage; empty where it is impossible."""
    low, high = (bound * n / 100 for bound in printed_bounds(percentage))
    return [count for count in _whole_numbers(low, high) if 0 <= count <= n]


def sums_for_mean(mean: str, n: int, *, scale: tuple[int, int] = (1, 5)) -> list[int]:
    """Sums of n whole scores whose mean would be printed so; empty where it is impossible."""
    low, high = (bound * n for bound in printed_bounds(mean))
    return [total for total in _whole_numbers(low, high) if n * scale[0] <= total <= n * scale[1]]


def _whole_numbers(low: Fraction, high: Fraction) -> range:
    return range(-((-low.numerator) // low.denominator), high.numerator // high.denominator + 1)


def denominators(percentages: Sequence[str], *, highest: int, multiple_of: int = 1) -> list[int]:
    """Every n up to a highest one from which all of the percentages can come, halves rounded by one rule.

    Args:
        percentages: as printed, with one denominator.
        highest: n that is tried.
        multiple_of: that n must be, such as the votes that every pair got.

    Raises:
        ValueError: no percentage.
    """
    if not percentages:
        raise ValueError("no percentage to find a denominator for")
    return [
        n
        for n in range(multiple_of, highest + 1, multiple_of)
        if any(
            all(_prints(percentage, n, rule) for percentage in percentages) for rule in ("up", "even", "down")
        )
    ]


def _prints(percentage: str, n: int, rule: str) -> bool:
    """Whether a count out of n is printed so when halves are rounded up, to even digits or down."""
    unit = 10 ** len(percentage.strip().partition(".")[2])
    wanted = Fraction(percentage.strip()) * unit
    for count in counts_for_percentage(percentage, n):
        exact = Fraction(100 * unit * count, n)
        below = math.floor(exact)
        rounded = round(exact)
        if exact - below == Fraction(1, 2) and rule != "even":
            rounded = below + (rule == "up")
        if rounded == wanted:
            return True
    return False


def geometric_mean_fits(first: str, second: str, printed: str) -> bool:
    """Whether the printed geometric mean can be that of two printed means."""
    lows, highs = zip(*(printed_bounds(text) for text in (first, second)), strict=True)
    low, high = printed_bounds(printed)
    return lows[0] * lows[1] <= high**2 and highs[0] * highs[1] >= max(low, Fraction(0)) ** 2


def pair_counts(percentage: str, *, votes_per_pair: int, pairs: Sequence[int]) -> list[PairCount]:
    """What a printed preference can stand for, with the test that it would pass.

    Args:
        percentage: as printed.
        votes_per_pair: votes that every pair got.
        pairs: numbers of pairs that are tried.
    """
    return [
        pair_count(count, votes_per_pair * number)
        for number in pairs
        for count in counts_for_percentage(percentage, votes_per_pair * number)
    ]


def pair_count(successes: int, n: int) -> PairCount:
    """Exact two-sided binomial test against one half, and Wilson's interval."""
    from scipy.stats import binomtest

    return PairCount(
        successes=successes,
        n=n,
        p=float(binomtest(successes, n, 0.5).pvalue),
        interval=wilson(successes, n),
    )


def preference_notes(column: Sequence[str], *, items: int, votes: int) -> Iterator[str]:
    """Say what does not add up in a column of preferences, "share of the items ranked best".

    Args:
        column: percentages as printed, one a system.
        items: that were rated.
        votes: on all items.
    """
    bounds = [printed_bounds(text) for text in column]
    low, high = sum(bound[0] for bound in bounds), sum(bound[1] for bound in bounds)
    total = float(sum(Fraction(text.strip()) for text in column))
    if not low <= 100 <= high:
        yield f"the preferences sum to {total:g} %, so ties or other answers were dropped"
    for name, n in (("items", items), ("votes", votes)):
        impossible = [text for text in column if not counts_for_percentage(text, n)]
        if impossible:
            yield f"{', '.join(impossible)} cannot come from {n} {name}"
