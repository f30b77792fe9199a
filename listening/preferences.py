"""Choices between two systems: how often one is preferred, whether the side decided, and a ranking of many.

Ties are told apart and never dropped in silence. The binomial test takes votes for independent; the interval
over raters and trials does not. Rankings from pairs are maximum-likelihood fits of Bradley and Terry (1952)
and, where ties were allowed, Davidson (1970); both exist only where no system is cut off from the others.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from doppelbench.listening.crossed import (
    DRAWS,
    FEWEST,
    VoteTable,
    crossed_draws,
    crossed_interval,
    crossed_variance,
    two_sided_p,
    unit_weights,
)
from doppelbench.metrics.statistics import LEVEL, Interval, holm, wilson

NEWTON_STEPS = 50
LARGEST_STEP = 2.0
CONVERGED = 1e-10
# Beyond this a fit runs away: a draw without an estimate that is finite.
LARGEST_STRENGTH = 30.0


class Choice(NamedTuple):
    """One vote on a pair: who, on which trial, what came first and second, and what was preferred.

    ``preferred`` is one of the two systems, or empty for a tie.
    """

    rater: Hashable
    item: Hashable
    first: str
    second: str
    preferred: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPreference:
    """Votes between two systems.

    Attributes:
        system: whose share is given.
        other: system.
        wins: votes for the system.
        losses: votes for the other.
        ties: votes for neither.
        raters: people.
        items: trials.
        share: wins over decided votes, with Wilson's interval, votes taken as independent.
        crossed: the same with the interval over raters and trials; no bounds where there are too few.
        share_with_ties: ties counted as half, over all votes.
        p: exact two-sided binomial test of the decided votes.
        p_crossed: of the share against one half over raters and trials; None where it is not defined.
        p_holm: ``p_crossed`` (``p`` where that is not defined) corrected for all pairs.
    """

    system: str
    other: str
    wins: int
    losses: int
    ties: int
    raters: int
    items: int
    share: Interval
    crossed: Interval
    share_with_ties: float | None
    p: float | None
    p_crossed: float | None
    p_holm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBias:
    """Whether the side on which a sound was offered decided.

    Attributes:
        first: decided votes for what came first.
        second: for what came second.
        share: of the first, with Wilson's interval, votes taken as independent.
        p: exact two-sided binomial test.
        crossed: share of the first, averaged over both orders of each pair so that the better system does not
            count, with the interval over raters and trials. No value where no pair was offered in both
            orders.
        p_crossed: of that share against one half; None where it is not defined.
    """

    first: int
    second: int
    share: Interval
    p: float | None
    crossed: Interval
    p_crossed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """A ranking from pairs.

    Attributes:
        model: ``bradley-terry``, or ``davidson`` where there are ties.
        strengths: natural logarithm by system with its interval; they sum to 0.
        tie: logarithm of Davidson's tie parameter; None without ties.
        draws: resamples on which the fit exists.
    """

    model: str
    strengths: dict[str, Interval]
    tie: float | None
    draws: int


def pair_preferences(
    choices: Sequence[Choice], *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> list[PairPreference]:
    """Compare every pair of systems that votes were cast on; the share is that of the first by name."""
    groups: dict[tuple[str, str], list[Choice]] = {}
    for choice in choices:
        names = sorted((choice.first, choice.second))
        groups.setdefault((names[0], names[1]), []).append(choice)
    found = [_pair(pair, groups[pair], draws=draws, seed=seed, level=level) for pair in sorted(groups)]
    tests = [entry.p if entry.p_crossed is None else entry.p_crossed for entry in found]
    known = [index for index, p in enumerate(tests) if p is not None]
    corrected = dict(zip(known, holm([tests[index] or 0.0 for index in known]), strict=True))
    return [replace(entry, p_holm=corrected.get(index)) for index, entry in enumerate(found)]


def _pair(
    pair: tuple[str, str], choices: Sequence[Choice], *, draws: int, seed: int, level: float
) -> PairPreference:
    system, other = pair
    wins = sum(choice.preferred == system for choice in choices)
    losses = sum(choice.preferred == other for choice in choices)
    ties = len(choices) - wins - losses
    decided = [choice for choice in choices if choice.preferred]
    crossed, p_crossed = _crossed_share(
        decided, [choice.preferred == system for choice in decided], draws=draws, seed=seed, level=level
    )
    return PairPreference(
        system=system,
        other=other,
        wins=wins,
        losses=losses,
        ties=ties,
        raters=len({choice.rater for choice in choices}),
        items=len({choice.item for choice in choices}),
        share=wilson(wins, wins + losses, level=level),
        crossed=crossed,
        share_with_ties=(wins + ties / 2) / len(choices) if choices else None,
        p=_binomial(wins, wins + losses),
        p_crossed=p_crossed,
    )


def side_bias(
    choices: Sequence[Choice], *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> SideBias | None:
    """Test whether what came first was preferred for it; None without a decided vote."""
    decided = [choice for choice in choices if choice.preferred and choice.first != choice.second]
    if not decided:
        return None
    first = sum(choice.preferred == choice.first for choice in decided)
    crossed, p_crossed = _balanced_side(decided, draws=draws, seed=seed, level=level)
    return SideBias(
        first=first,
        second=len(decided) - first,
        share=wilson(first, len(decided), level=level),
        p=_binomial(first, len(decided)),
        crossed=crossed,
        p_crossed=p_crossed,
    )


def _balanced_side(
    decided: Sequence[Choice], *, draws: int, seed: int, level: float
) -> tuple[Interval, float | None]:
    """Share of what came first: half from each order of a pair, pairs by their votes."""
    orders = {(choice.first, choice.second) for choice in decided}
    both = sorted(order for order in orders if order[::-1] in orders)
    votes = [choice for choice in decided if (choice.first, choice.second) in both]
    if not votes:
        return Interval(None, None, None), None
    table = VoteTable.of(
        [float(choice.preferred == choice.first) for choice in votes],
        series=[(choice.first, choice.second) for choice in votes],
        raters=[str(choice.rater) for choice in votes],
        items=[str(choice.item) for choice in votes],
        order=both,
    )
    counts = dict(zip(both, table.counts().tolist(), strict=True))
    weights = np.array([(counts[order] + counts[order[::-1]]) / (2 * len(votes)) for order in both])
    share = float(weights @ table.means())
    if min(table.distinct(table.raters), table.distinct(table.items)) < FEWEST:
        return Interval(share, None, None), None
    error = crossed_variance(table).error(weights)
    drawn = crossed_draws(table, draws=draws, seed=seed) @ weights
    interval = crossed_interval(share, drawn, error, level=level, bounds=(0.0, 1.0))
    return interval, two_sided_p(share - 0.5, error)


def _binomial(successes: int, n: int) -> float | None:
    from scipy.stats import binomtest

    return float(binomtest(successes, n, 0.5).pvalue) if n else None


def _crossed_share(
    choices: Sequence[Choice], chosen: Sequence[bool], *, draws: int, seed: int, level: float
) -> tuple[Interval, float | None]:
    if not choices:
        return Interval(None, None, None), None
    table = VoteTable.of(
        np.asarray(chosen, np.float64),
        series=[0] * len(choices),
        raters=[str(choice.rater) for choice in choices],
        items=[str(choice.item) for choice in choices],
    )
    share = float(np.mean(chosen))
    if min(table.distinct(table.raters), table.distinct(table.items)) < FEWEST or share in (0.0, 1.0):
        return Interval(share, None, None), None
    error = crossed_variance(table).error(np.ones(1))
    drawn = crossed_draws(table, draws=draws, seed=seed)[:, 0]
    interval = crossed_interval(share, drawn, error, level=level, bounds=(0.0, 1.0))
    return interval, two_sided_p(share - 0.5, error)


def win_tables(
    choices: Sequence[Choice], systems: Sequence[str], weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Wins and ties between systems.

    Args:
        choices: votes.
        systems: in the order of the tables.
        weights: of each vote in each resample, shape (draws, n); one table of plain counts when None.

    Returns:
        ``wins[d, i, j]`` is how often i was preferred to j; ``ties`` is symmetric, each tie counted in both
        places. Shapes (draws, systems, systems).
    """
    place = {name: index for index, name in enumerate(systems)}
    size = len(systems)
    weights = np.ones((1, len(choices))) if weights is None else weights
    cells = np.zeros((len(choices), 2), np.intp)
    tied = np.array([not choice.preferred for choice in choices], bool)
    for row, choice in enumerate(choices):
        pair = (choice.first, choice.second)
        winner = pair if choice.preferred != choice.second else pair[::-1]
        cells[row] = place[winner[0]], place[winner[1]]
    flat = cells[:, 0] * size + cells[:, 1]
    turned = cells[:, 1] * size + cells[:, 0]
    wins = np.zeros((len(weights), size * size))
    ties = np.zeros_like(wins)
    for row in range(len(choices)):
        if tied[row]:
            ties[:, flat[row]] += weights[:, row]
            ties[:, turned[row]] += weights[:, row]
        else:
            wins[:, flat[row]] += weights[:, row]
    shape = (len(weights), size, size)
    return wins.reshape(shape), ties.reshape(shape)


def is_connected(wins: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Whether a finite fit exists: chains of wins or ties lead from each system to all others (Ford 1957).

    Args:
        wins: shape (..., systems, systems).
        ties: the same shape.

    Returns:
        Booleans of shape (...).
    """
    size = wins.shape[-1]
    reach = (((wins + ties) > 0) | np.eye(size, dtype=bool)).astype(np.float64)
    for _ in range(max(1, int(np.ceil(np.log2(size))))):
        reach = (reach @ reach > 0).astype(np.float64)
    return np.asarray((reach > 0).all(axis=(-2, -1)))


def fit_strengths(wins: np.ndarray, ties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit logarithms of strengths by Newton's method, for a stack of tables at once.

    A win of i over j has a probability proportional to exp(s_i), a tie to exp(t + (s_i + s_j) / 2); without
    ties this is Bradley and Terry's model. The likelihood is concave in s and t.

    Args:
        wins: shape (draws, systems, systems).
        ties: the same shape, symmetric; all zero for Bradley and Terry's model.

    Returns:
        Strengths of shape (draws, systems) that sum to 0, and t of shape (draws,), minus infinity without
        ties. NaN where there is no finite fit.
    """
    draws, size, _ = wins.shape
    with_ties = bool(ties.any())
    upper = np.triu_indices(size, 1)
    won = np.stack([wins[:, *upper], wins.swapaxes(1, 2)[:, *upper], ties[:, *upper]], axis=2)
    design = np.zeros((len(upper[0]), 3, size + 1))
    rows = np.arange(len(upper[0]))
    design[rows, 0, upper[0]] = design[rows, 1, upper[1]] = 1.0
    design[rows, 2, upper[0]] = design[rows, 2, upper[1]] = 0.5
    design[:, 2, size] = 1.0
    if not with_ties:
        won, design = won[:, :, :2], design[:, :2, :size]
    width = design.shape[2]
    # Adding one number to all strengths changes nothing; the first is held at 0.
    free = np.arange(1, width)
    values = np.zeros((draws, width))
    totals = won.sum(axis=2)
    fits = is_connected(wins, ties)
    if with_ties:
        fits &= (ties.sum(axis=(1, 2)) > 0) & (wins.sum(axis=(1, 2)) > 0)
    active = fits.copy()
    for _ in range(NEWTON_STEPS):
        if not active.any():
            break
        scores = np.einsum("pkw,dw->dpk", design, values[active])
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        gradient = np.einsum("dpk,pkw->dw", won[active] - totals[active][:, :, None] * shares, design)
        mean = np.einsum("dpk,pkw->dpw", shares, design)
        hessian = np.einsum("dp,dpk,pkv,pkw->dvw", totals[active], shares, design, design, optimize=True)
        hessian -= np.einsum("dp,dpv,dpw->dvw", totals[active], mean, mean, optimize=True)
        hessian = hessian[:, 1:, 1:] + 1e-12 * np.eye(width - 1)
        step = np.linalg.solve(hessian, gradient[:, free, None])[:, :, 0]
        step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        moved = np.flatnonzero(active)
        values[np.ix_(moved, free)] += step
        lost = np.abs(values[moved]).max(axis=1) > LARGEST_STRENGTH
        fits[moved[lost]] = False
        active[moved[lost | (np.abs(step).max(axis=1) < CONVERGED)]] = False
    fits &= ~active
    strengths = values[:, :size] - values[:, :size].mean(axis=1, keepdims=True)
    tie = values[:, size] if with_ties else np.full(draws, -np.inf)
    return np.where(fits[:, None], strengths, np.nan), np.where(fits, tie, np.nan)


def pair_strengths(
    choices: Sequence[Choice], *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> Strengths:
    """Rank systems from votes on pairs, with percentile intervals over resampled raters and trials.

    Raises:
        ValueError: the systems fall into groups that no chain of wins and ties connects both ways, so that
            the distance between them is not defined.
    """
    systems = sorted({name for choice in choices for name in (choice.first, choice.second)})
    choices = sorted(choices, key=lambda choice: tuple(map(str, choice)))
    wins, ties = win_tables(choices, systems)
    if len(systems) < 2 or not is_connected(wins, ties)[0]:
        raise ValueError(_unconnected(systems, wins[0], ties[0]))
    strengths, tie = fit_strengths(wins, ties)
    if not np.isfinite(strengths).all():
        raise ValueError("every vote is a tie, so that no strength is defined")
    generator = np.random.default_rng(seed)
    weights = np.ones((draws, len(choices)))
    for units in ([str(choice.rater) for choice in choices], [str(choice.item) for choice in choices]):
        names, index = np.unique(units, return_inverse=True)
        weights *= unit_weights(generator, draws, len(names))[:, index]
    drawn, _ = fit_strengths(*win_tables(choices, systems, weights))
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    few = min(len({choice.rater for choice in choices}), len({choice.item for choice in choices})) < FEWEST
    tail = (1 - level) / 2
    found = {}
    for column, name in enumerate(systems):
        value = float(strengths[0, column])
        if few or len(drawn) < 2:
            found[name] = Interval(value, None, None)
        else:
            low, high = np.quantile(drawn[:, column], [tail, 1 - tail])
            found[name] = Interval(value, float(low), float(high))
    return Strengths(
        model="davidson" if ties.any() else "bradley-terry",
        strengths=found,
        tie=float(tie[0]) if ties.any() else None,
        draws=len(drawn),
    )


def _unconnected(systems: Sequence[str], wins: np.ndarray, ties: np.ndarray) -> str:
    from scipy.sparse.csgraph import connected_components

    if len(systems) < 2:
        return "a ranking needs two systems"
    _, groups = connected_components(wins + ties > 0, directed=True, connection="strong")
    named = [
        "{" + ", ".join(name for name, own in zip(systems, groups, strict=True) if own == group) + "}"
        for group in set(groups.tolist())
    ]
    return f"no chain of wins and ties leads both ways between {' and '.join(sorted(named))}"
