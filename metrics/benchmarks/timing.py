"""How two ways of computing one thing are timed: alternately, in CPU time, after a warm-up, by medians."""

import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from doppelbench.metrics.benchmarks.speech import Pair

Maker = Callable[[Pair], Callable[[], float]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the table.

    Attributes:
        name: of the metric or kernel.
        ours: makes, of a pair, the call that is timed.
        library: what we are compared with.
        theirs: likewise for the library.
        modules: what must be importable for ``theirs``.
        packages: what installs them.
        goal: least ratio of their time to ours; None when none is promised.
        same: whether both compute one quantity, so that the difference of values means something.
        rounds: of timing.
    """

    name: str
    ours: Maker
    library: str
    theirs: Maker
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    goal: float | None = None
    same: bool = True
    rounds: int = 7


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured.

    Attributes:
        name: of the metric or kernel.
        library: what we are compared with.
        ours_ms: CPU milliseconds per second of audio.
        theirs_ms: likewise of the library; None when it is not installed.
        ratio: their time over ours; above 1 we are faster.
        goal: least ratio that is promised.
        difference: largest absolute difference of values over the pairs; None for other definitions.
        note: why something is missing.
    """

    name: str
    library: str
    ours_ms: float
    theirs_ms: float | None = None
    ratio: float | None = None
    goal: float | None = None
    difference: float | None = None
    note: str = ""


def cpu_medians(calls: Sequence[Callable[[], float]], rounds: int) -> tuple[list[float], list[float]]:
    """Time calls in turn, so that a busy moment or a slow clock meets them all.

    Returns:
        Median CPU seconds of each, and the value of each.
    """
    values = [call() for call in calls]
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for times, call in zip(taken, calls, strict=True):
            began = time.process_time()
            call()
            times.append(time.process_time() - began)
    return [statistics.median(times) for times in taken], values


def measure(comparison: Comparison, pairs: Iterable[Pair]) -> Row:
    """Time one comparison on all pairs."""
    missing = [name for name in comparison.modules if importlib.util.find_spec(name) is None]
    makers = [comparison.ours] if missing else [comparison.ours, comparison.theirs]
    totals, seconds, differences = [0.0] * len(makers), 0.0, []
    with warnings.catch_warnings():
        # What the libraries say of themselves while they load is not what is measured.
        warnings.simplefilter("ignore")
        for pair in pairs:
            medians, values = cpu_medians([maker(pair) for maker in makers], comparison.rounds)
            totals = [total + median for total, median in zip(totals, medians, strict=True)]
            seconds += pair.seconds
            differences.append(abs(values[0] - values[-1]))
    ours = 1000 * totals[0] / seconds
    if missing:
        note = f"not installed: pip install {' '.join(comparison.packages)}"
        return Row(comparison.name, comparison.library, ours, goal=comparison.goal, note=note)
    return Row(
        comparison.name,
        comparison.library,
        ours,
        1000 * totals[1] / seconds,
        totals[1] / totals[0],
        comparison.goal,
        max(differences) if comparison.same else None,
        "" if comparison.same else "another definition",
    )
