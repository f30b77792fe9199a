"""Mean opinion scores by system and scale, differences between systems, and the two voices of a conversion.

Layout after Table 3 of Deng et al. (ICLR 2021): naturalness, voice similarity (VS) and content consistency
(CC), the geometric mean of VS and CC because copying the target or the input maximises one of them alone, and
the share of items on which a system was ranked best. Intervals resample raters and items
(:mod:`doppelbench.listening.crossed`); the usual one on pooled votes stands beside it to be compared.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from doppelbench.listening.crossed import (
    DRAWS,
    FEWEST,
    CrossedVariance,
    VoteTable,
    crossed_draws,
    crossed_interval,
    crossed_variance,
    two_sided_p,
)
from doppelbench.metrics.statistics import ALPHA, LEVEL, Interval, holm, wilson

# Items need so many votes before their spread says something (SOS hypothesis).
SPREAD_VOTES = 4
# Means of whole numbers that are equal in exact arithmetic differ by rounding.
ROUNDING = 1e-9


class Ballot(NamedTuple):
    """One score: who gave it, to what, of whom."""

    rater: Hashable
    item: Hashable
    system: str
    question: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionScore:
    """One system on one scale.

    Attributes:
        system: its name.
        question: the scale.
        n: votes.
        raters: people.
        items: trials.
        mean: opinion score.
        low: lower bound of the interval over raters and items; None where there are too few to generalise.
        high: upper bound.
        naive_half: half width of the t interval on pooled votes, which takes them for independent.
        crowdmos_half: half width after Ribeiro et al. (2011); None where its parts are not defined.
        deviation: standard deviation of the votes.
        histogram: votes by answer.
        ranks: best and worst rank that the comparisons leave open; None for rows that are not ranked.
    """

    system: str
    question: str
    n: int
    raters: int
    items: int
    mean: float
    low: float | None
    high: float | None
    naive_half: float | None
    crowdmos_half: float | None
    deviation: float | None
    histogram: dict[str, int]
    ranks: tuple[int, int] | None = None

    @property
    def too_few(self) -> bool:
        """Whether raters or items are too few to say anything about others."""
        return min(self.raters, self.items) < FEWEST


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDifference:
    """Second system minus first on one scale.

    Attributes:
        question: the scale.
        first: system.
        second: system.
        difference: of the means.
        low: lower bound over raters and items; None where there are too few.
        high: upper bound.
        p: two-sided; None where it is not defined.
        p_holm: corrected for all pairs of the scale.
        effect: difference over the standard deviation of votes (Cohen's d with the mean of both variances).
    """

    question: str
    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    effect: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMean:
    """Geometric mean of two scales for one system.

    Attributes:
        system: its name.
        of_means: geometric mean of the two means, with an interval over the same resamples of both.
        of_items: mean of the geometric means of items; never above where all items have equally many votes.
            None without common items.
    """

    system: str
    of_means: Interval
    of_items: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BestShare:
    """How often a system was ranked best on a scale.

    Attributes:
        system: its name.
        question: the scale.
        wins: items on which its mean was strictly the highest.
        shared: items on which it was among the highest with others.
        ties: items on which several systems share the highest mean.
        items: that all systems have votes on; the denominator.
        share: wins over items, with Wilson's interval over items.
        split_share: the same where a tie counts in equal parts.
    """

    system: str
    question: str
    wins: int
    shared: int
    ties: int
    items: int
    share: Interval
    split_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionScores:
    """All of it.

    Attributes:
        scores: by question and system, in the order given.
        differences: of all pairs of ranked systems.
        joint: geometric means, where both scales were asked.
        best: shares of items ranked best.
        spread: parameter a of the SOS hypothesis by question (Hossfeld et al. 2011).
    """

    scores: tuple[OpinionScore, ...]
    differences: tuple[ScoreDifference, ...]
    joint: tuple[JointMean, ...]
    best: tuple[BestShare, ...]
    spread: dict[str, float | None]

    def score(self, system: str, question: str) -> OpinionScore | None:
        """The score of a system on a scale, or None."""
        return next((s for s in self.scores if s.system == system and s.question == question), None)


def opinion_scores(
    ballots: Sequence[Ballot],
    scales: Mapping[str, tuple[float, float]],
    *,
    ranked: Sequence[str] | None = None,
    joint: tuple[str, str] = ("similarity", "consistency"),
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> OpinionScores:
    """Compute everything about scores.

    Args:
        ballots: counted votes, in any order.
        scales: lowest and highest answer of every question.
        ranked: systems that are compared with each other; all when None. Others (references, anchors) have
            scores alone.
        joint: the two scales of the geometric mean; both must have the same ends.
        draws: of the bootstrap.
        seed: of its generator.
        level: coverage of intervals.
    """
    systems = sorted({ballot.system for ballot in ballots})
    ranked = [name for name in (systems if ranked is None else ranked) if name in systems]
    series = [(question, system) for question in scales for system in systems]
    if not ballots:
        return OpinionScores(scores=(), differences=(), joint=(), best=(), spread=dict.fromkeys(scales))
    table = VoteTable.of(
        [ballot.value for ballot in ballots],
        series=[(ballot.question, ballot.system) for ballot in ballots],
        raters=[str(ballot.rater) for ballot in ballots],
        items=[str(ballot.item) for ballot in ballots],
        order=series,
    )
    drawn = crossed_draws(table, draws=draws, seed=seed)
    variance = crossed_variance(table)
    place = {name: index for index, name in enumerate(series)}
    scores = {
        name: _score(table, drawn, variance, index, name, scales[name[0]], level)
        for name, index in place.items()
        if (table.series == index).any()
    }
    differences: list[ScoreDifference] = []
    for question in scales:
        names = [(question, system) for system in ranked if (question, system) in scores]
        family = _differences(table, drawn, variance, place, [scores[name] for name in names], level)
        differences += family
        for name in names:
            scores[name] = _with_ranks(scores[name], family, len(names))
    both = [name for name in systems if all((question, name) in scores for question in joint)]
    fits = len({scales.get(question) for question in joint}) == 1 and joint[0] in scales
    return OpinionScores(
        scores=tuple(scores.values()),
        differences=tuple(differences),
        joint=tuple(
            _joint(
                table,
                drawn,
                variance,
                [place[question, name] for question in joint],
                name,
                level,
                scales[joint[0]],
            )
            for name in (both if fits else [])
        ),
        best=tuple(share for question in scales for share in best_shares(ballots, question, ranked)),
        spread={question: spread_parameter(ballots, question, ends) for question, ends in scales.items()},
    )


def _score(
    table: VoteTable,
    drawn: np.ndarray,
    variance: CrossedVariance,
    index: int,
    name: tuple[str, str],
    scale: tuple[float, float],
    level: float,
) -> OpinionScore:
    own = table.series == index
    values, raters, items = table.values[own], table.raters[own], table.items[own]
    counts = table.distinct(raters), table.distinct(items)
    interval = Interval(float(values.mean()), None, None)
    if min(counts) >= FEWEST:
        error = variance.error(_unit(table.series_count, index))
        interval = crossed_interval(float(values.mean()), drawn[:, index], error, level=level, bounds=scale)
    tally = Counter(values.tolist())
    answers = sorted({*tally, *(float(value) for value in range(int(scale[0]), int(scale[1]) + 1))})
    return OpinionScore(
        system=name[1],
        question=name[0],
        n=len(values),
        raters=counts[0],
        items=counts[1],
        mean=float(values.mean()),
        low=interval.low,
        high=interval.high,
        naive_half=naive_half_width(values, level=level),
        crowdmos_half=crowdmos_half_width(score_matrix(values, raters, items), level=level),
        deviation=float(values.std(ddof=1)) if len(values) > 1 else None,
        histogram={f"{answer:g}": tally.get(answer, 0) for answer in answers},
    )


def _unit(size: int, *places: int, factors: Iterable[float] = (1.0,)) -> np.ndarray:
    weights = np.zeros(size)
    for place, factor in zip(places, factors, strict=True):
        weights[place] += factor
    return weights


def naive_half_width(values: np.ndarray, *, level: float = LEVEL) -> float | None:
    """Half width of Student's interval that takes votes for independent; None with fewer than two."""
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return None
    return float(stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(n))


def score_matrix(values: np.ndarray, raters: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Scores by rater and item, NaN where there is none; repeated scores of a rater are averaged."""
    rows, columns = (np.unique(units, return_inverse=True)[1] for units in (raters, items))
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (rows, columns), values)
    np.add.at(counts, (rows, columns), 1.0)
    return np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)


def crowdmos_half_width(scores: np.ndarray, *, level: float = LEVEL) -> float | None:
    """Half width after Ribeiro et al. (ICASSP 2011): two-way random effects in closed form.

    Variances within items, within raters and of all scores (over their number, as there) give those of
    raters, items and what is left; Student's t has the lesser number of raters or items, less one.

    Args:
        scores: shape (raters, items), NaN where there is none.
        level: coverage.

    Returns:
        The half width; None where no item or no rater has two scores, or the variance is negative.
    """
    from scipy.special import stdtrit

    present = np.isfinite(scores)
    if min(scores.shape) < 2 or not (present.sum(axis=0) > 1).any() or not (present.sum(axis=1) > 1).any():
        return None
    total = float(np.nanvar(scores))
    within_items = float(np.nanvar(scores[:, present.sum(axis=0) > 1], axis=0).mean())
    within_raters = float(np.nanvar(scores[present.sum(axis=1) > 1], axis=1).mean())
    rater, item, rest = total - within_raters, total - within_items, within_items + within_raters - total
    n = present.sum()
    variance = (
        rater * (present.sum(axis=1) ** 2).sum() / n**2
        + item * (present.sum(axis=0) ** 2).sum() / n**2
        + rest / n
    )
    if variance < 0:
        return None
    return float(stdtrit(min(scores.shape) - 1, (1 + level) / 2) * np.sqrt(variance))


def _differences(
    table: VoteTable,
    drawn: np.ndarray,
    variance: CrossedVariance,
    place: Mapping[tuple[str, str], int],
    scores: Sequence[OpinionScore],
    level: float,
) -> list[ScoreDifference]:
    found = []
    for position, first in enumerate(scores):
        for second in scores[position + 1 :]:
            pair = [place[score.question, score.system] for score in (first, second)]
            error = (float("nan"), float("nan"))
            if not (first.too_few or second.too_few):
                error = variance.error(_unit(table.series_count, *pair, factors=(-1.0, 1.0)))
            difference = second.mean - first.mean
            interval = crossed_interval(difference, drawn[:, pair[1]] - drawn[:, pair[0]], error, level=level)
            spread = None
            if first.deviation is not None and second.deviation is not None:
                spread = float(np.sqrt((first.deviation**2 + second.deviation**2) / 2))
            found.append(
                ScoreDifference(
                    question=first.question,
                    first=first.system,
                    second=second.system,
                    difference=difference,
                    low=interval.low,
                    high=interval.high,
                    p=two_sided_p(difference, error),
                    p_holm=None,
                    effect=difference / spread if spread else None,
                )
            )
    known = [index for index, entry in enumerate(found) if entry.p is not None]
    corrected = holm([found[index].p or 0.0 for index in known])
    adjusted = dict(zip(known, corrected, strict=True))
    return [replace(entry, p_holm=adjusted.get(index)) for index, entry in enumerate(found)]


def _with_ranks(score: OpinionScore, family: Sequence[ScoreDifference], count: int) -> OpinionScore:
    """Ranks left open by the corrected comparisons, valid for all systems at once (Mogstad et al. 2024)."""
    better = worse = 0
    for entry in family:
        if score.system not in (entry.first, entry.second) or entry.p_holm is None or entry.p_holm >= ALPHA:
            continue
        ahead = (entry.difference > 0) == (entry.second == score.system)
        worse, better = worse + ahead, better + (not ahead)
    return replace(score, ranks=(1 + better, count - worse))


def _joint(
    table: VoteTable,
    drawn: np.ndarray,
    variance: CrossedVariance,
    places: Sequence[int],
    system: str,
    level: float,
    scale: tuple[float, float],
) -> JointMean:
    means = table.means()[list(places)]
    value = float(np.sqrt(means.prod()))
    gradient = _unit(table.series_count, *places, factors=(value / (2 * means[0]), value / (2 * means[1])))
    few = any(
        table.distinct(units, [place]) < FEWEST for place in places for units in (table.raters, table.items)
    )
    error = (float("nan"), float("nan")) if few else variance.error(gradient)
    both = drawn[:, list(places)]
    by_item = [{item: (sum_, count) for item, sum_, count in _item_sums(table, place)} for place in places]
    common = sorted(set(by_item[0]) & set(by_item[1]))
    items = [np.sqrt(np.prod([entry[item][0] / entry[item][1] for entry in by_item])) for item in common]
    return JointMean(
        system=system,
        of_means=crossed_interval(value, np.sqrt(both.prod(axis=1)), error, level=level, bounds=scale),
        of_items=float(np.mean(items)) if items else None,
    )


def _item_sums(table: VoteTable, place: int) -> list[tuple[int, float, int]]:
    own = table.series == place
    names, index = np.unique(table.items[own], return_inverse=True)
    sums, counts = np.bincount(index, table.values[own]), np.bincount(index)
    return list(zip(names.tolist(), sums.tolist(), counts.tolist(), strict=True))


def best_shares(ballots: Sequence[Ballot], question: str, systems: Sequence[str]) -> list[BestShare]:
    """Share of the items on which each system has the highest mean, ties told apart.

    Args:
        ballots: votes; those of other questions and systems are passed over.
        question: the scale.
        systems: that compete; an item counts where all of them have votes.
    """
    sums: dict[Hashable, dict[str, list[float]]] = {}
    for ballot in ballots:
        if ballot.question == question and ballot.system in systems:
            sums.setdefault(ballot.item, {}).setdefault(ballot.system, []).append(ballot.value)
    asked = {system for cells in sums.values() for system in cells}
    systems = [system for system in systems if system in asked]
    if len(systems) < 2:
        return []
    leaders = []
    for cells in sums.values():
        if len(cells) == len(systems):
            means = {system: sum(values) / len(values) for system, values in cells.items()}
            highest = max(means.values())
            leaders.append([name for name, mean in means.items() if mean >= highest - ROUNDING])
    ties = sum(len(names) > 1 for names in leaders)
    found = []
    for system in systems:
        wins = sum(names == [system] for names in leaders)
        parts = sum(1 / len(names) for names in leaders if system in names)
        found.append(
            BestShare(
                system=system,
                question=question,
                wins=wins,
                shared=sum(system in names and len(names) > 1 for names in leaders),
                ties=ties,
                items=len(leaders),
                share=wilson(wins, len(leaders)),
                split_share=parts / len(leaders) if leaders else None,
            )
        )
    return found


def spread_parameter(
    ballots: Sequence[Ballot], question: str, scale: tuple[float, float], *, votes: int = SPREAD_VOTES
) -> float | None:
    """Parameter a of the SOS hypothesis: the variance of an item is a (x - lowest)(highest - x) at mean x.

    0 is one opinion, 1 the two ends alone (Hossfeld, Schatz and Egger 2011).

    Args:
        ballots: votes; those of other questions are passed over.
        question: the scale.
        scale: its ends.
        votes: that a system's item must have.

    Returns:
        The least-squares fit over items, None where no item has votes enough away from the ends.
    """
    groups: dict[tuple[Hashable, str], list[float]] = {}
    for ballot in ballots:
        if ballot.question == question:
            groups.setdefault((ballot.item, ballot.system), []).append(ballot.value)
    top = bottom = 0.0
    for values in groups.values():
        if len(values) >= votes:
            mean = float(np.mean(values))
            room = (mean - scale[0]) * (scale[1] - mean)
            top += float(np.var(values)) * room
            bottom += room**2
    return top / bottom if bottom else None
