"""From results files and a sealed study to figures: everything that is said about a listening test.

Figures are computed with all sittings and with those that pass the rules, and once more for each rule alone.
A study whose seal is broken is refused: rules that were changed after the votes are no rules.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.listening.agreement import (
    IntraclassCorrelations,
    count_table,
    intraclass_correlations,
    krippendorff_alpha,
)
from doppelbench.listening.correlation import Correlation, correlations, objective_scores
from doppelbench.listening.crossed import DRAWS
from doppelbench.listening.join import JoinedVote, join_votes, scale_of, tidy_row
from doppelbench.listening.opinion_scores import Ballot, OpinionScores, opinion_scores
from doppelbench.listening.preferences import (
    Choice,
    PairPreference,
    SideBias,
    Strengths,
    pair_preferences,
    pair_strengths,
    side_bias,
)
from doppelbench.listening.results_csv import Repeats, read_results
from doppelbench.listening.screening import (
    RULE_TITLES,
    Rule,
    Sitting,
    excluded_sittings,
    kept_rows,
    screen,
)
from doppelbench.listening.study import MEDIA, RATERS, ItemKind, Key, Study, read_key, read_study
from doppelbench.listening.votes import is_simulated, rename_raters

VOTES, SCORES, PAIRS, EXCLUSIONS, RECORD, PAGE = (
    "votes.csv",
    "scores.csv",
    "pairs.csv",
    "exclusions.csv",
    "analysis.json",
    "analysis.html",
)
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far raters agree on one question.

    Attributes:
        question: asked.
        items: with two votes at least.
        nominal: Krippendorff's alpha; None where it is not defined.
        ordinal: the same with ranks; None for pairs.
        interval: the same with differences; None for pairs.
        blocks: with a complete table of raters and items.
        intraclass: means of the six correlations over these blocks; None without one.
    """

    question: str
    items: int
    nominal: float | None
    ordinal: float | None
    interval: float | None
    blocks: int
    intraclass: IntraclassCorrelations | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """Figures of one question about pairs.

    Attributes:
        question: asked.
        pairs: preferences between two systems.
        sides: whether the side decided; None without a decided vote.
        strengths: ranking from all pairs; None where none is defined.
        strengths_note: why there is no ranking, or empty.
    """

    question: str
    pairs: tuple[PairPreference, ...]
    sides: SideBias | None
    strengths: Strengths | None
    strengths_note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Figures of one selection of sittings.

    Attributes:
        votes: counted.
        raters: people.
        trials: heard.
        scores: of the scales.
        pairs: of the questions about pairs.
        agreement: by question.
    """

    votes: int
    raters: int
    trials: int
    scores: OpinionScores
    pairs: tuple[PairResult, ...]
    agreement: tuple[Agreement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEffect:
    """What one rule alone does.

    Attributes:
        rule: its name, ``all rules``, or ``refused on the platform``, which is no rule of the study.
        sittings: left out by it.
        votes: left out with them.
        largest_change: of a mean opinion score, in points; None without scales.
        where: system and question of that change, or empty.
        largest_share_change: of a share of decided votes between two systems, in percentage points; None
            without pairs.
    """

    rule: str
    sittings: int
    votes: int
    largest_change: float | None
    where: str
    largest_share_change: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything about one listening test.

    Attributes:
        study: that was run.
        kinds: of every system of the key.
        simulated: whether a rater is one of a dry run.
        rows: all votes with what the key says.
        sittings: with the rules they break.
        excluded: reason by sitting.
        everyone: figures of all sittings.
        screened: figures of the sittings that pass; the ones to be printed.
        sensitivity: what each rule does.
        problems: votes in which a rater said what is wrong with a clip.
        correlations: with objective metrics.
        draws: of the bootstrap.
        seed: of its generator.
    """

    study: Study
    kinds: dict[str, ItemKind]
    simulated: bool
    rows: tuple[JoinedVote, ...]
    sittings: tuple[Sitting, ...]
    excluded: dict[str, str]
    everyone: Result
    screened: Result
    sensitivity: tuple[RuleEffect, ...]
    problems: int
    correlations: tuple[Correlation, ...]
    draws: int
    seed: int


def analyse(
    folder: Path,
    results: Sequence[Path],
    *,
    objective: Iterable[Mapping[str, Any]] | None = None,
    repeats: Repeats = "first",
    opaque_raters: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> Analysis:
    """Analyse a listening test.

    Args:
        folder: of the study, with its key.
        results: results files.
        objective: rows with ``system``, ``trial``, ``metric`` and ``value`` to correlate with.
        repeats: what to do where a rater did a block twice.
        opaque_raters: replace the platform's names of raters and sittings.
        draws: of the bootstrap.
        seed: of its generator.

    Raises:
        InputError: a seal is broken, a file cannot be read, or no vote is left to analyse.
    """
    key, study = read_key(folder), read_study(folder)
    _check_media(folder, study)
    votes = read_results(results, study, repeats=repeats)
    simulated = any(is_simulated(vote.rater) for vote in votes)
    if opaque_raters:
        votes = rename_raters(votes, salt=key.salt)
    rows = join_votes(votes, key)
    if not any(row.counted for row in rows):
        raise InputError(f"{', '.join(map(str, results))}: no vote on an item that counts")
    kinds = system_kinds(key)
    ranked = sorted(name for name, kind in kinds.items() if kind == "system")
    sittings = screen(rows, study)
    excluded = excluded_sittings(sittings)
    everyone = analyse_rows(kept_rows(rows, {}), study, ranked, draws=draws, seed=seed)
    kept = kept_rows(rows, excluded)
    screened = analyse_rows(kept, study, ranked, draws=draws, seed=seed) if excluded else everyone
    metrics = objective_scores(objective or ())
    ballots = [ballot for ballot in ballots_of(kept) if ballot.system in ranked]
    return Analysis(
        study=study,
        kinds=kinds,
        simulated=simulated,
        rows=tuple(rows),
        sittings=tuple(sittings),
        excluded=excluded,
        everyone=everyone,
        screened=screened,
        sensitivity=tuple(sensitivity(rows, sittings)),
        problems=sum(bool(row.vote.problem) for row in rows),
        correlations=tuple(correlations(ballots, metrics, scale_names(study), draws=draws, seed=seed)),
        draws=draws,
        seed=seed,
    )


def _check_media(folder: Path, study: Study) -> None:
    for name, digest in sorted(study.media.items()):
        path = folder / RATERS / MEDIA / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise InputError(f"{path}: was changed after the study was sealed")


def system_kinds(key: Key) -> dict[str, ItemKind]:
    """What every system of the counted items is."""
    order: tuple[ItemKind, ...] = ("anchor", "reference", "system")
    entries = [entry for entry in key.entries.values() if entry.kind in order]
    # A system that is in a counted item of its own is one, though an anchor may stand beside it in a pair.
    entries.sort(key=lambda entry: (len(entry.systems) == 1, order.index(entry.kind)))
    return {name: entry.kind for entry in entries for name in entry.systems}


def scale_names(study: Study) -> list[str]:
    """Questions with numbers as answers, in their order."""
    return [question.name for question in study.questions if scale_of(study, question.name)]


def ballots_of(rows: Sequence[JoinedVote]) -> list[Ballot]:
    """Scores of counted votes; the item is the trial, which systems share."""
    return [
        Ballot(row.vote.rater, row.trial or row.vote.item, row.system, row.vote.question, row.value)
        for row in rows
        if row.value is not None and len(row.systems) == 1
    ]


def choices_of(rows: Sequence[JoinedVote], question: str) -> list[Choice]:
    """Choices of counted votes on one question."""
    return [
        Choice(row.vote.rater, row.trial or row.vote.item, row.systems[0], row.systems[1], row.preferred)
        for row in rows
        if row.vote.question == question and row.preferred is not None and len(row.systems) == 2
    ]


def analyse_rows(
    rows: Sequence[JoinedVote], study: Study, ranked: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> Result:
    """Figures of one selection of counted votes."""
    scales = {name: ends for name in scale_names(study) if (ends := scale_of(study, name))}
    paired = [question.name for question in study.questions if question.name not in scales]
    return Result(
        votes=len(rows),
        raters=len({row.vote.rater for row in rows}),
        trials=len({row.trial for row in rows}),
        scores=opinion_scores(ballots_of(rows), scales, ranked=ranked, draws=draws, seed=seed),
        pairs=tuple(
            _pair_result(question, choices, draws=draws, seed=seed)
            for question in paired
            if (choices := choices_of(rows, question))
        ),
        agreement=tuple(
            agreement_on(rows, question.name, on_scale=question.name in scales)
            for question in study.questions
        ),
    )


def _pair_result(question: str, choices: Sequence[Choice], *, draws: int, seed: int) -> PairResult:
    strengths, note = None, ""
    try:
        strengths = pair_strengths(choices, draws=draws, seed=seed)
    except ValueError as error:
        note = str(error)
    return PairResult(
        question=question,
        pairs=tuple(pair_preferences(choices, draws=draws, seed=seed)),
        sides=side_bias(choices, draws=draws, seed=seed),
        strengths=strengths,
        strengths_note=note,
    )


def agreement_on(rows: Sequence[JoinedVote], question: str, *, on_scale: bool) -> Agreement:
    """Agreement of counted votes; of a rater's repeated votes on an item the first counts."""
    asked: dict[tuple[str, str], JoinedVote] = {}
    for row in rows:
        if row.vote.question == question:
            asked.setdefault((row.vote.item, row.vote.rater), row)
    units = [item for item, _ in asked]
    answers: list[Any] = [row.value if on_scale else row.preferred or "same" for row in asked.values()]
    counts, values = count_table(units, answers)
    numbers = values if on_scale else list(range(len(values)))
    blocks: dict[str, dict[str, dict[str, float]]] = {}
    if on_scale:
        for row in asked.values():
            own = blocks.setdefault(row.vote.block, {}).setdefault(row.vote.rater, {})
            own[row.vote.item] = row.value or 0.0
    tables = [
        correlation
        for name, raters in blocks.items()
        if name and (correlation := _intraclass(list(raters.values()))) is not None
    ]
    return Agreement(
        question=question,
        items=int((counts.sum(axis=1) > 1).sum()),
        nominal=krippendorff_alpha(counts, numbers, "nominal"),
        ordinal=krippendorff_alpha(counts, numbers, "ordinal") if on_scale else None,
        interval=krippendorff_alpha(counts, numbers, "interval") if on_scale else None,
        blocks=len(tables),
        intraclass=_mean_of(tables) if tables else None,
    )


def _intraclass(raters: Sequence[Mapping[str, float]]) -> IntraclassCorrelations | None:
    """Of the raters that answered every item of a block."""
    items = sorted({item for scores in raters for item in scores})
    table = [[scores[item] for item in items] for scores in raters if len(scores) == len(items)]
    return intraclass_correlations(np.array(table).T) if len(table) > 1 else None


def _mean_of(tables: Sequence[IntraclassCorrelations]) -> IntraclassCorrelations:
    values = [asdict(table) for table in tables]
    return IntraclassCorrelations(**{name: float(np.mean([v[name] for v in values])) for name in values[0]})


def sensitivity(rows: Sequence[JoinedVote], sittings: Sequence[Sitting]) -> list[RuleEffect]:
    """What each rule alone does to the means of systems, all rules, and refusals on the platform."""
    cases: dict[str, Mapping[str, str]] = {"all rules": excluded_sittings(sittings)}
    rules: Sequence[Rule] = list(RULE_TITLES)
    cases |= {rule: excluded_sittings(sittings, rule) for rule in rules}
    cases["refused on the platform"] = {sitting.id: "" for sitting in sittings if sitting.rejected}
    before, shares = _means(kept_rows(rows, {})), _pair_shares(kept_rows(rows, {}))
    found = []
    for name, excluded in cases.items():
        kept = kept_rows(rows, dict(excluded))
        after = _means(kept)
        changes = {place: after[place] - before[place] for place in before if place in after}
        others = _pair_shares(kept)
        moved = [100 * (others[pair] - shares[pair]) for pair in shares if pair in others]
        place = max(changes, key=lambda place: abs(changes[place]), default=None)
        found.append(
            RuleEffect(
                rule=name,
                sittings=len(excluded),
                votes=sum(row.counted for row in rows) - len(kept),
                largest_change=None if place is None else changes[place],
                where="" if place is None or not changes[place] else f"{place[0]}, {place[1]}",
                largest_share_change=max(moved, key=abs, default=None),
            )
        )
    return found


def _means(rows: Sequence[JoinedVote]) -> dict[tuple[str, str], float]:
    values: dict[tuple[str, str], list[float]] = {}
    for ballot in ballots_of(rows):
        values.setdefault((ballot.system, ballot.question), []).append(ballot.value)
    return {place: float(np.mean(scores)) for place, scores in values.items()}


def _pair_shares(rows: Sequence[JoinedVote]) -> dict[tuple[str, str, str], float]:
    """Share of decided votes for the first system by name, by question and pair."""
    votes: dict[tuple[str, str, str], list[bool]] = {}
    for row in rows:
        if row.preferred:
            first, second = sorted(row.systems)
            votes.setdefault((row.vote.question, first, second), []).append(row.preferred == first)
    return {pair: float(np.mean(chosen)) for pair, chosen in votes.items()}


def write_analysis(analysis: Analysis, folder: Path) -> Path:
    """Write tables, ``analysis.json`` and ``analysis.html``.

    Args:
        analysis: what is written.
        folder: is made where it does not exist; files of an earlier analysis are replaced.

    Returns:
        Path of the page.
    """
    from doppelbench.listening.analysis_page import render_page

    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / VOTES, [tidy_row(row, excluded=analysis.excluded) for row in analysis.rows])
    selections = {"screened": analysis.screened, "all": analysis.everyone}
    _write_csv(
        folder / SCORES, [row for name, result in selections.items() for row in _score_rows(name, result)]
    )
    _write_csv(
        folder / PAIRS, [row for name, result in selections.items() for row in _pair_rows(name, result)]
    )
    _write_csv(
        folder / EXCLUSIONS,
        [
            {
                "sitting": sitting.id,
                "rater": sitting.rater,
                "block": sitting.block,
                "votes": sitting.votes,
                "rules": " ".join(sitting.findings),
                "reason": sitting.reason,
            }
            for sitting in analysis.sittings
            if sitting.findings
        ],
        columns=("sitting", "rater", "block", "votes", "rules", "reason"),
    )
    (folder / RECORD).write_text(
        json.dumps(analysis_record(analysis), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        encoding="utf-8",
    )
    (folder / PAGE).write_text(render_page(analysis), encoding="utf-8")
    return folder / PAGE


def analysis_record(analysis: Analysis) -> dict[str, Any]:
    """Content of ``analysis.json``: all figures, no vote."""
    from doppelbench.listening.methods_text import methods_paragraph, rater_datasheet

    record: dict[str, Any] = {
        "schema": SCHEMA,
        "study": analysis.study.id,
        "design_sha256": analysis.study.design_sha256(),
        "simulated": analysis.simulated,
        "draws": analysis.draws,
        "seed": analysis.seed,
        "kinds": analysis.kinds,
        "sittings": len(analysis.sittings),
        "excluded": analysis.excluded,
        "problems": analysis.problems,
        "screened": asdict(analysis.screened),
        "all": asdict(analysis.everyone),
        "sensitivity": [asdict(effect) for effect in analysis.sensitivity],
        "correlations": [asdict(entry) for entry in analysis.correlations],
        "methods": methods_paragraph(analysis),
        "datasheet": rater_datasheet(analysis),
    }
    return _finite(record)  # type: ignore[no-any-return]


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for by null."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _score_rows(selection: str, result: Result) -> list[dict[str, object]]:
    shares = {(share.system, share.question): share for share in result.scores.best}
    joint = {entry.system: entry for entry in result.scores.joint}
    rows: list[dict[str, object]] = []
    for score in result.scores.scores:
        share = shares.get((score.system, score.question))
        rows.append(
            {
                "votes_of": selection,
                "system": score.system,
                "question": score.question,
                "votes": score.n,
                "raters": score.raters,
                "trials": score.items,
                "mean": score.mean,
                "low": score.low,
                "high": score.high,
                "naive_half_width": score.naive_half,
                "crowdmos_half_width": score.crowdmos_half,
                "standard_deviation": score.deviation,
                "histogram": " ".join(f"{answer}:{count}" for answer, count in score.histogram.items()),
                "best_rank": score.ranks[0] if score.ranks else None,
                "worst_rank": score.ranks[1] if score.ranks else None,
                "ranked_best": share.wins if share else None,
                "ranked_best_of": share.items if share else None,
                "ranked_best_ties": share.ties if share else None,
            }
        )
    for system, entry in joint.items():
        rows.append(
            {
                "votes_of": selection,
                "system": system,
                "question": "geometric mean of similarity and consistency",
                "mean": entry.of_means.value,
                "low": entry.of_means.low,
                "high": entry.of_means.high,
            }
        )
    return rows


def _pair_rows(selection: str, result: Result) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {
            "votes_of": selection,
            "question": difference.question,
            "first": difference.first,
            "second": difference.second,
            "figure": "difference of means, second minus first",
            "value": difference.difference,
            "low": difference.low,
            "high": difference.high,
            "p": difference.p,
            "p_holm": difference.p_holm,
            "effect": difference.effect,
        }
        for difference in result.scores.differences
    ]
    rows += [
        {
            "votes_of": selection,
            "question": entry.question,
            "first": pair.system,
            "second": pair.other,
            "figure": "share of decided votes for the first",
            "value": pair.share.value,
            "low": pair.crossed.low,
            "high": pair.crossed.high,
            "p": pair.p_crossed,
            "p_holm": pair.p_holm,
            "wins": pair.wins,
            "losses": pair.losses,
            "ties": pair.ties,
            "wilson_low": pair.share.low,
            "wilson_high": pair.share.high,
            "p_binomial": pair.p,
        }
        for entry in result.pairs
        for pair in entry.pairs
    ]
    return rows


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> None:
    names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(buffer.getvalue(), encoding="utf-8")
