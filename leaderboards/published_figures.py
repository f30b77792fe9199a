"""Figures that papers print, as typed rows with the page they stand on.

They are shown beside measured figures and never in one column with them: the corpora differ. One CSV file a
paper lies in ``leaderboards/published/``, and one holds what is only known by quotation of the papers beside
it; what a paper leaves open or contradicts itself in stands in the note of the figure. A figure that was not
read from the paper itself is marked as second hand, has the source in its note and may lack a page.
"""

import csv
import difflib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar

from doppelbench.corpora.errors import InputError

Value = TypeVar("Value")

TABLES = resources.files("doppelbench.leaderboards").joinpath("published")
COLUMNS = (
    "paper", "table", "page", "corpus", "system", "item", "metric", "value", "spread", "unit", "first_hand",
    "note",
)  # fmt: skip
REQUIRED = ("paper", "table", "corpus", "system", "metric")
UNITS = ("", "%", "1-5", "dB", "yes/no")


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """One figure as it is printed.

    Attributes:
        paper: key of the paper, such as ``exemplar-2021``.
        table: table or section it stands in, such as ``table-2`` or ``table-5a``.
        page: page of the paper's own numbering; None where a figure is second hand and it is not known.
        corpus: what it was measured on, as the paper names it.
        system: row of the table, as the paper names it.
        item: further part of the row (a word, a test set); empty where a row is a system.
        metric: column of the table.
        value: the figure; 1 or 0 for a tick or a cross.
        spread: what is printed behind a plus-minus sign, or None.
        unit: ``%``, ``1-5`` (opinion score), ``dB``, ``yes/no``, or empty where none is stated.
        first_hand: whether it was read from the paper itself and not from one that quotes it.
        note: what a reader must know of it.
        text: the value as it is printed.
    """

    paper: str
    table: str
    page: int | None
    corpus: str
    system: str
    item: str
    metric: str
    value: float
    spread: float | None
    unit: str
    first_hand: bool
    note: str
    text: str

    @property
    def printed(self) -> str:
        """The figure with its spread; ticks and crosses in words."""
        if self.unit == "yes/no":
            return "yes" if self.value else "no"
        return self.text if self.spread is None else f"{self.text} ± {self.spread:g}"


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A printed table: its rows and columns in their order.

    Attributes:
        key: ``<paper>/<table>``.
        pages: where it is printed, as far as known.
        first_hand: whether all of it was read from the paper itself.
        corpora: what it was measured on.
        metrics: its columns.
        rows: for each row its name and one cell a column, None where it has none.
        notes: what a reader must know, without repetitions.
    """

    key: str
    pages: tuple[int, ...]
    first_hand: bool
    corpora: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str | None, ...]], ...]
    notes: tuple[str, ...]

    @property
    def place(self) -> str:
        """Pages and corpora in words, and whether it is second hand."""
        pages = [f"page {', '.join(str(page) for page in self.pages)}"] if self.pages else []
        return ", ".join([*([] if self.first_hand else ["second hand"]), *pages, *self.corpora])


def read_figures(text: str, where: str) -> list[PublishedFigure]:
    """Read and check a CSV file of published figures.

    Args:
        text: its content.
        where: its name in messages.

    Raises:
        InputError: another header, a field that is missing or cannot be meant, or a figure that stands twice;
            the message names the file and the line.
    """
    reader = csv.reader(io.StringIO(text))
    header = tuple(next(reader, ()))
    if header != COLUMNS:
        raise InputError(f"{where}, line 1: the columns are {', '.join(header)}, not {', '.join(COLUMNS)}")
    figures: list[PublishedFigure] = []
    seen: dict[tuple[str, ...], int] = {}
    for cells in reader:
        place = f"{where}, line {reader.line_num}"
        if len(cells) != len(COLUMNS):
            raise InputError(f"{place}: {len(cells)} fields where {len(COLUMNS)} are needed")
        figure = _figure(dict(zip(COLUMNS, cells, strict=True)), place)
        key = (figure.paper, figure.table, figure.system, figure.item, figure.metric)
        if key in seen:
            raise InputError(f"{place}: {' / '.join(key)} stands in line {seen[key]} already")
        seen[key] = reader.line_num
        figures.append(figure)
    return figures


def _figure(cells: dict[str, str], place: str) -> PublishedFigure:
    for name in REQUIRED:
        if not cells[name].strip():
            raise InputError(f"{place}: {name} is empty")
    if cells["unit"] not in UNITS:
        raise InputError(f"{place}: unit is {cells['unit']!r}, not one of {', '.join(filter(None, UNITS))}")
    if cells["first_hand"] not in {"yes", "no"}:
        raise InputError(f"{place}: first_hand is {cells['first_hand']!r}, not yes or no")
    second_hand = cells["first_hand"] == "no"
    if not cells["page"].isdigit() and not (second_hand and not cells["page"]):
        raise InputError(f"{place}: page is {cells['page']!r}, not a number")
    if second_hand and not cells["note"].strip():
        raise InputError(f"{place}: note is empty; where a figure that is second hand is from stands there")
    value = _number(cells["value"], "value", place)
    lowest, highest = {"%": (0, 100), "1-5": (1, 5), "yes/no": (0, 1)}.get(cells["unit"], (0, math.inf))
    if not lowest <= value <= highest:
        raise InputError(f"{place}: value is {cells['value']}, outside {lowest} to {highest}")
    return PublishedFigure(
        paper=cells["paper"],
        table=cells["table"],
        page=int(cells["page"]) if cells["page"] else None,
        corpus=cells["corpus"],
        system=cells["system"],
        item=cells["item"],
        metric=cells["metric"],
        value=value,
        spread=_number(cells["spread"], "spread", place) if cells["spread"] else None,
        unit=cells["unit"],
        first_hand=not second_hand,
        note=cells["note"],
        text=cells["value"],
    )


def _number(text: str, name: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: {name} is {text!r}, not a number")
    return value


def published_figures() -> list[PublishedFigure]:
    """All figures that come with the package.

    Raises:
        InputError: a file is damaged.
    """
    figures = []
    for file in sorted(TABLES.iterdir(), key=lambda file: file.name):
        if Path(file.name).suffix == ".csv":
            figures += read_figures(file.read_text(encoding="utf-8"), file.name)
    return figures


def published_keys() -> list[str]:
    """Keys of the tables, such as ``exemplar-2021/table-2``."""
    return list(dict.fromkeys(f"{figure.paper}/{figure.table}" for figure in published_figures()))


def find_published(key: str) -> list[PublishedTable]:
    """Return the table of a key, or all parts of it: ``table-5`` is ``table-5a`` and ``table-5b``.

    Raises:
        InputError: there is no such table; the message suggests the nearest.
    """
    figures = published_figures()
    keys = [found for found in published_keys() if found == key or found[:-1] == key]
    if not keys:
        near = difflib.get_close_matches(key, published_keys(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(published_keys())}"
        raise InputError(f"there is no published table {key!r}; {hint}")
    return [
        _table(found, [figure for figure in figures if f"{figure.paper}/{figure.table}" == found])
        for found in keys
    ]


def _table(key: str, figures: Sequence[PublishedFigure]) -> PublishedTable:
    metrics = _distinct(figure.metric for figure in figures)
    names = _distinct((figure.system, figure.item) for figure in figures)
    cells = {(figure.system, figure.item, figure.metric): figure.printed for figure in figures}
    units = {figure.metric: figure.unit for figure in figures if figure.unit not in {"", "yes/no"}}
    rows = tuple(
        (": ".join(filter(None, name)), tuple(cells.get((*name, metric)) for metric in metrics))
        for name in names
    )
    return PublishedTable(
        key,
        pages=_distinct(figure.page for figure in figures if figure.page is not None),
        first_hand=all(figure.first_hand for figure in figures),
        corpora=_distinct(figure.corpus for figure in figures),
        metrics=tuple(f"{metric} ({units[metric]})" if metric in units else metric for metric in metrics),
        rows=rows,
        notes=tuple(_notes(figures)),
    )


def _notes(figures: Sequence[PublishedFigure]) -> list[str]:
    """Each note once, with the rows or the columns that it belongs to."""
    by_note: dict[str, list[PublishedFigure]] = {}
    for figure in figures:
        for note in filter(None, figure.note.split("; ")):
            by_note.setdefault(note, []).append(figure)
    notes = []
    for note, own in by_note.items():
        metrics = _distinct(figure.metric for figure in own)
        names = _distinct(figure.item or figure.system for figure in own)
        everywhere = set(names) == {figure.item or figure.system for figure in figures}
        whose = ", ".join(metrics) if everywhere else f"{', '.join(metrics)} of {', '.join(names)}"
        notes.append(f"{whose}: {note}")
    return notes


def _distinct(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(values))
