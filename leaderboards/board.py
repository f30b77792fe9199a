"""Boards: the ranked table of one track on one corpus and one set of trials, made from results.

**What shares a board**: results with the same track, task, corpus (by its hash), trials (by their hash) and
the same signature of the headline metric. Of the other metrics, figures of different signatures stand in
different columns. So a new version of a metric or of a corpus opens a new board; the old one stays under its
own id and says by which it is superseded: the one with the newest result of the same recipe.

**What is ranked**: of each system (its key and preset) the newest result; older ones are its history.
Reference rows are pinned apart and have no rank.

**How**: by the pessimistic bound of the headline figure's 95 % interval (the lower one where higher is
better, the upper one where lower is better), so that a system cannot win by few trials. Systems with all
items scored come first; those below full coverage follow, marked, because what failed may have been hard;
those without an interval come last and have no rank. Systems share a rank unless a difference is shown
(:mod:`doppelbench.leaderboards.ties`); where items were not kept, they share it while their intervals
overlap, and the board says so.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.result import (
    CorpusPart,
    FigurePart,
    MetricPart,
    Name,
    Part,
    Result,
    StoredResult,
    SystemItems,
    SystemPart,
    Text,
    TrialsPart,
    said_wrong,
    slug,
    system_id,
)
from doppelbench.leaderboards.ties import Place, align, group, paired_test
from doppelbench.metrics.statistics import ALPHA

SCHEMA = 1
PAIRED, OVERLAP, MIXED = "paired test", "overlapping intervals", "paired test or overlapping intervals"
RULES = {
    PAIRED: (
        "systems share a rank unless the paired permutation test against the first of their group shows a "
        "difference (Holm's correction over the tests of the board, 0.05)"
    ),
    OVERLAP: (
        "items were not kept, so there is no paired test: systems share a rank while their interval overlaps "
        "that of the first of their group, which shows fewer differences than a test would"
    ),
    MIXED: (
        "systems share a rank unless the paired permutation test against the first of their group shows a "
        "difference (Holm's correction, 0.05); where the items of one of the two were not kept, while their "
        "intervals overlap"
    ),
}

Section = Literal["ranked", "incomplete", "unranked", "reference"]


class Column(MetricPart):
    """A column of a board: one metric under one signature."""

    id: Name


class BoardFigure(FigurePart):
    """A figure in its column; ``metric`` is the id of the column."""


class HistoryEntry(Part):
    """A result of a system, the newest being the one that is ranked."""

    result: Name
    created: Name
    recipe: Text = ""
    commit: Text = ""
    value: float | None
    low: float | None
    high: float | None
    n: int
    expected: int


class Row(Part):
    """A system on a board.

    ``bound`` is what it is ranked by. ``tie`` says how it was told from, or tied with, the leader of the
    group.
    """

    system: SystemPart
    section: Section
    rank: int | None
    leader: Text = ""
    tie: Text = ""
    p: float | None = None
    bound: float | None
    result: Name
    figures: tuple[BoardFigure, ...]
    history: tuple[HistoryEntry, ...]

    @property
    def id(self) -> str:
        """Key and preset."""
        return system_id(self.system.key, self.system.preset)

    def figure(self, column: str) -> BoardFigure | None:
        """The figure in a column."""
        return next((figure for figure in self.figures if figure.metric == column), None)


class Board(Part):
    """A board of doppelbench."""

    schema_version: Literal[1] = Field(alias="schema")
    id: Name
    track: Name
    track_title: Text = ""
    corpus: CorpusPart
    trials: TrialsPart
    headline: Name = Field(description="id of the column that decides")
    rule: Text = Field(description="how systems are ranked, in words")
    ties: Text = Field(description="how systems are told apart, in words")
    recipes: tuple[Text, ...]
    newest: Name = Field(description="when the newest result was made")
    superseded_by: Text | None = None
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = Field(description="in the order of the board; reference rows last")
    results: tuple[Name, ...]
    published: tuple[Text, ...] = ()
    notes: tuple[Text, ...] = ()

    @property
    def title(self) -> str:
        """What the board is of."""
        return f"{self.track} on {self.name}"

    @property
    def name(self) -> str:
        """Corpus, task and recipes."""
        parts = [self.corpus.label, self.trials.task, " and ".join(self.recipes)]
        return ", ".join(dict.fromkeys(part for part in parts if part))

    @property
    def head(self) -> Column:
        """The column that decides."""
        return next(column for column in self.columns if column.id == self.headline)

    def as_json(self) -> str:
        """The file's content."""
        return _json(self.model_dump(mode="json", by_alias=True))


class Boards(Part):
    """All boards of a site."""

    schema_version: Literal[1] = Field(alias="schema")
    boards: tuple[Board, ...]

    def as_json(self) -> str:
        """The file's content."""
        return _json(self.model_dump(mode="json", by_alias=True))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A system of a result that stands on a board."""

    stored: StoredResult
    system: SystemPart
    head: FigurePart | None

    @property
    def age(self) -> tuple[str, str]:
        return self.stored.result.created, self.stored.id

    @property
    def items(self) -> SystemItems | None:
        return self.stored.items.get(system_id(self.system.key, self.system.preset))


def build_boards(results: Sequence[StoredResult], *, alpha: float = ALPHA, seed: int = 0) -> list[Board]:
    """Make all boards of results.

    Args:
        results: in any order; one given twice counts once.
        alpha: level at which a difference counts as shown.
        seed: of random swaps.

    Returns:
        Boards by track, corpus and id; those that are superseded follow the others.

    Raises:
        InputError: there are no results.
    """
    if not results:
        raise InputError("a board needs at least one result; make one with: doppelbench board add RUN")
    distinct = {stored.id: stored for stored in results}
    sharing: dict[tuple[str, ...], list[StoredResult]] = {}
    for stored in sorted(distinct.values(), key=lambda one: (one.result.created, one.id)):
        sharing.setdefault(_key(stored.result), []).append(stored)
    boards = [_board(key, own, _superseding(key, own, sharing), alpha, seed) for key, own in sharing.items()]
    return sorted(
        boards, key=lambda board: (board.superseded_by is not None, board.track, board.title, board.id)
    )


def read_boards(path: Path) -> list[Board]:
    """Read the JSON of one board or of all boards of a site.

    Raises:
        InputError: the file cannot be read or does not fit the schema; the message names file and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such board") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a board: {error}") from None
    try:
        content = json.loads(text)
        if isinstance(content, dict) and "boards" in content:
            return list(Boards.model_validate_json(text).boards)
        return [Board.model_validate_json(text)]
    except ValidationError as error:
        raise InputError(f"{path}: {said_wrong(error)}") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None


def board_schema() -> dict[str, Any]:
    """The published JSON schema of a board."""
    schema = Board.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def board_csv(board: Board) -> str:
    """One line for each system and column, in the order of the board."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("board", "section", "rank", "system", "preset", "metric", "value", "low", "high", "unit", "n"),
            *("expected", "coverage", "signature", "training_seconds", "synthesis_seconds", "peak_memory"),
            *("parameters", "result"),
        ]
    )
    columns = {column.id: column for column in board.columns}
    for row in board.rows:
        cost = row.system.cost
        for figure in row.figures:
            column = columns[figure.metric]
            cells = [
                *(board.id, row.section, row.rank, row.system.key, row.system.preset, column.id),
                *(figure.value, figure.low, figure.high, column.unit, figure.n, figure.expected),
                *(figure.coverage, column.signature, cost.training_seconds, cost.synthesis_seconds),
                *(cost.peak_memory, cost.parameters, row.result),
            ]
            writer.writerow(["" if cell is None else _harmless(cell) for cell in cells])
    return text.getvalue()


def board_markdown(board: Board) -> str:
    """The table with everything that belongs to a figure, for a page or an issue."""
    lines = [f"# {_cell(board.title)}", "", f"Board `{board.id}`. {board.rule}"]
    if board.superseded_by:
        lines += ["", f"Superseded by board `{board.superseded_by}`."]
    lines += [
        "",
        f"Corpus {_cell(board.corpus.label)} `{board.corpus.hash[:12]}`, {board.trials.count} trials "
        f"`{board.trials.hash[:12]}`.",
        "",
    ]
    heads = [f"{_cell(column.id)} {arrow(column)}{_unit(column)}" for column in board.columns]
    lines.append("| " + " | ".join(["rank", "system", *heads, "training"]) + " |")
    lines.append("|" + "---|" * (len(heads) + 3))
    for row in board.rows:
        cells = [rank_text(row), _cell(row.id) + ("" if row.section != "reference" else " (reference)")]
        cells += [_figure_cell(row.figure(column.id), column.unit) for column in board.columns]
        lines.append("| " + " | ".join([*cells, seconds_text(row.system.cost.training_seconds)]) + " |")
    lines += ["", "Signatures:", ""]
    lines += [f"- {_cell(column.id)}: `{column.signature}`" for column in board.columns]
    lines += ["", *(f"- {_cell(note)}" for note in board.notes)]
    return "\n".join(lines).rstrip() + "\n"


def format_number(value: float | None, unit: str = "") -> str:
    """Format a figure: one decimal for per cent, three without a unit, else two."""
    if value is None:
        return "–"
    digits = 1 if unit == "%" else 2 if unit else 3
    return f"{value:.{digits}f}"


def rank_text(row: Row) -> str:
    """The rank; a dash for what has none."""
    return "–" if row.rank is None else str(row.rank)


def seconds_text(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def arrow(column: MetricPart) -> str:
    """Which way is better."""
    return "↑" if column.direction == "higher" else "↓"


def _key(result: Result) -> tuple[str, ...]:
    head = result.headline
    assert head is not None
    return (
        result.track,
        result.corpus.label,
        result.corpus.hash,
        result.trials.task,
        result.trials.hash,
        head.name,
        head.signature,
        head.direction,
    )


def _identity(key: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
    return f"{slug(key[0])}-{slug(key[1])}-{digest}"


def _superseding(
    key: tuple[str, ...],
    own: Sequence[StoredResult],
    sharing: dict[tuple[str, ...], list[StoredResult]],
) -> str | None:
    """The board with the newest result of a recipe of this one, where that is another board.

    Recipes are compared within a track, a name of a corpus and a task: another recipe asks something else.
    """

    def newest(results: Iterable[StoredResult], recipe: str) -> tuple[str, str] | None:
        ages = [(one.result.created, one.id) for one in results if one.result.recipe == recipe]
        return max(ages, default=None)

    found: list[tuple[tuple[str, str], str]] = []
    for recipe in {one.result.recipe for one in own if one.result.recipe}:
        mine = newest(own, recipe)
        for other, results in sharing.items():
            alike = other != key and (other[0], other[1], other[3]) == (key[0], key[1], key[3])
            theirs = newest(results, recipe) if alike else None
            if mine is not None and theirs is not None and theirs > mine:
                found.append((theirs, _identity(other)))
    return max(found)[1] if found else None


def _board(
    key: tuple[str, ...],
    own: Sequence[StoredResult],
    superseded_by: str | None,
    alpha: float,
    seed: int,
) -> Board:
    newest = own[-1].result
    head = newest.headline
    assert head is not None
    entries = _entries(own, head.name)
    current = [versions[-1] for versions in entries.values()]
    columns = _columns(newest, head, current)
    identifiers = {(column.name, column.signature): column.id for column in columns}
    competing = [entry for entry in current if not entry.system.reference_row]
    expected = max((entry.head.expected for entry in competing if entry.head is not None), default=0)
    sections = _sections(competing, head.direction, expected)
    rows: list[Row] = []
    ways: set[str] = set()
    before = 0
    for section, members in sections.items():
        places, texts = [Place(index, None, None, True) for index in range(len(members))], [""] * len(members)
        if section != "unranked":
            places, texts, used = _places(members, alpha, seed)
            ways |= used
        for index, (entry, place) in enumerate(zip(members, places, strict=True)):
            rank = None if section == "unranked" else before + place.leader + 1
            leader = None if place.against is None else members[place.against].system
            rows.append(
                _row(
                    entry,
                    entries[_row_key(entry.system)],
                    identifiers,
                    section=section,
                    rank=rank,
                    leader="" if leader is None else system_id(leader.key, leader.preset),
                    tie=texts[index],
                    p=place.p,
                    bound=_bound(entry.head, head.direction),
                )
            )
        before += len(members)
    rows += [
        _row(entry, entries[_row_key(entry.system)], identifiers, section="reference", rank=None, bound=None)
        for entry in current
        if entry.system.reference_row
    ]
    if not ways:
        ways = {PAIRED if any(one.items for one in own) else OVERLAP}
    way = next(iter(ways)) if len(ways) == 1 else MIXED
    side = "lower" if head.direction == "higher" else "upper"
    return Board(
        schema=1,
        id=_identity(key),
        track=newest.track,
        track_title=newest.track_title,
        corpus=newest.corpus,
        trials=newest.trials,
        headline=identifiers[head.name, head.signature],
        rule=(
            f"Ranked by {head.name}, {head.direction} is better, by the {side} bound of its 95 % interval; "
            f"{RULES[way]}."
        ),
        ties=way,
        recipes=tuple(sorted({one.result.recipe for one in own if one.result.recipe})),
        newest=newest.created,
        superseded_by=superseded_by,
        columns=tuple(columns),
        rows=tuple(rows),
        results=tuple(one.id for one in own),
        published=tuple(sorted({one.result.published for one in own if one.result.published})),
        notes=tuple(dict.fromkeys(note for one in own for note in one.result.notes)),
    )


def _row_key(system: SystemPart) -> tuple[str, str | None, bool]:
    return system.key, system.preset, system.reference_row


def _entries(own: Sequence[StoredResult], headline: str) -> dict[tuple[str, str | None, bool], list[_Entry]]:
    """Results of each system, the oldest first, in the order in which systems first came."""
    entries: dict[tuple[str, str | None, bool], list[_Entry]] = {}
    for stored in own:
        for system in stored.result.systems:
            head = next((figure for figure in system.figures if figure.metric == headline), None)
            entries.setdefault(_row_key(system), []).append(_Entry(stored, system, head))
    return entries


def _columns(newest: Result, head: MetricPart, current: Sequence[_Entry]) -> list[Column]:
    """The headline, the other ranking metrics, then the rest; one column for each signature of a metric."""
    found: dict[tuple[str, str], MetricPart] = {(head.name, head.signature): head}
    for entry in sorted(current, key=lambda entry: entry.age, reverse=True):
        shown = {figure.metric for figure in entry.system.figures}
        for metric in entry.stored.result.metrics:
            if metric.name in shown:
                found.setdefault((metric.name, metric.signature), metric)
    order = {name: index for index, name in enumerate(newest.ranking)}
    names = [name for name, _ in found]
    columns = []
    for metric in sorted(found.values(), key=lambda metric: order.get(metric.name, len(order))):
        digest = hashlib.sha256(metric.signature.encode()).hexdigest()[:6]
        identity = metric.name if names.count(metric.name) == 1 else f"{metric.name} [{digest}]"
        columns.append(Column(id=identity, **metric.model_dump()))
    return sorted(columns, key=lambda column: column.name != head.name or column.signature != head.signature)


def _bound(figure: FigurePart | None, direction: str) -> float | None:
    if figure is None:
        return None
    return figure.low if direction == "higher" else figure.high


def _sections(
    competing: Sequence[_Entry], direction: str, expected: int
) -> dict[Literal["ranked", "incomplete", "unranked"], list[_Entry]]:
    sections: dict[Literal["ranked", "incomplete", "unranked"], list[_Entry]] = {
        "ranked": [],
        "incomplete": [],
        "unranked": [],
    }
    for entry in competing:
        bound = _bound(entry.head, direction)
        if entry.head is None or bound is None:
            sections["unranked"].append(entry)
        elif entry.head.n < expected:
            sections["incomplete"].append(entry)
        else:
            sections["ranked"].append(entry)

    def order(entry: _Entry) -> tuple[float, float, str, str]:
        sign = -1.0 if direction == "higher" else 1.0
        bound = _bound(entry.head, direction)
        value = None if entry.head is None else entry.head.value
        return (
            sign * (bound or 0.0),
            sign * (value or 0.0),
            entry.system.key,
            entry.system.preset or "",
        )

    return {name: sorted(members, key=order) for name, members in sections.items()}


def _places(members: Sequence[_Entry], alpha: float, seed: int) -> tuple[list[Place], list[str], set[str]]:
    """Groups of systems in their order, for each a text that says how, and the ways that were used."""
    stored = [entry.items for entry in members]
    terms = align([None if one is None else (one.trials, one.numerators, one.denominators) for one in stored])
    test = paired_test(terms, family=max(1, len(members) - 1), alpha=alpha, seed=seed)

    def compare(first: int, second: int) -> tuple[float | None, bool | None]:
        if stored[first] is not None and stored[second] is not None:
            p = test(first, second)
            if p is not None:
                return p, None
        return None, not _overlap(members[first].head, members[second].head)

    places = group(compare, len(members), alpha=alpha)
    texts, ways = [], set()
    for place in places:
        if place.against is None:
            texts.append("")
            continue
        if place.p is not None:
            ways.add(PAIRED)
            texts.append("difference shown" if place.differs else "no difference shown")
        else:
            ways.add(OVERLAP)
            texts.append("intervals apart" if place.differs else "intervals overlap")
    return places, texts, ways


def _overlap(first: FigurePart | None, second: FigurePart | None) -> bool:
    bounds = [
        bound
        for figure in (first, second)
        for bound in ((figure.low, figure.high) if figure else (None, None))
    ]
    if any(bound is None for bound in bounds):
        return False
    low, high, other_low, other_high = (float(bound) for bound in bounds if bound is not None)
    return low <= other_high and other_low <= high


def _row(
    entry: _Entry,
    versions: Sequence[_Entry],
    identifiers: dict[tuple[str, str], str],
    *,
    section: Section,
    rank: int | None,
    bound: float | None,
    leader: str = "",
    tie: str = "",
    p: float | None = None,
) -> Row:
    signatures = {metric.name: metric.signature for metric in entry.stored.result.metrics}
    figures = tuple(
        BoardFigure(
            metric=identifiers[figure.metric, signatures[figure.metric]],
            value=figure.value,
            low=figure.low,
            high=figure.high,
            n=figure.n,
            expected=figure.expected,
        )
        for figure in entry.system.figures
    )
    return Row(
        system=entry.system.model_copy(update={"figures": ()}),
        section=section,
        rank=rank,
        leader=leader,
        tie=tie,
        p=p,
        bound=bound,
        result=entry.stored.id,
        figures=figures,
        history=tuple(_history(version) for version in reversed(versions)),
    )


def _history(entry: _Entry) -> HistoryEntry:
    result, head = entry.stored.result, entry.head
    return HistoryEntry(
        result=entry.stored.id,
        created=result.created,
        recipe=result.recipe,
        commit=result.commit,
        value=None if head is None else head.value,
        low=None if head is None else head.low,
        high=None if head is None else head.high,
        n=0 if head is None else head.n,
        expected=0 if head is None else head.expected,
    )


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _harmless(cell: Any) -> Any:
    """A name that a spreadsheet would take for a formula gets a quote before it."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _cell(text: str) -> str:
    """Text that stays text in a table of Markdown that may be shown as HTML."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("|", "\\|").replace("`", "'").replace("\n", " ")


def _unit(column: MetricPart) -> str:
    return f" {column.unit}" if column.unit else ""


def _figure_cell(figure: FigurePart | None, unit: str) -> str:
    if figure is None or figure.value is None:
        return "–"
    text = format_number(figure.value, unit)
    if figure.low is not None:
        text += f" [{format_number(figure.low, unit)}, {format_number(figure.high, unit)}]"
    return text if figure.n == figure.expected else f"{text} ({figure.n} of {figure.expected})"
