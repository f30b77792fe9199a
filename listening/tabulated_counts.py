"""Published votes that come as tables: counts by item and answer, or one mean a system."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.listening.votes import Vote


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """How often each answer was given to an item.

    Attributes:
        item: its id.
        counts: votes by answer.
        cells: the other columns of its line.
    """

    item: str
    counts: dict[str, int]
    cells: dict[str, str]

    @property
    def n(self) -> int:
        """Votes."""
        return sum(self.counts.values())

    @property
    def majority(self) -> tuple[str, ...]:
        """Answers with the most votes, several for a tie, in the order of the columns."""
        most = max(self.counts.values())
        return tuple(answer for answer, count in self.counts.items() if count == most)

    @property
    def agreement(self) -> float:
        """Share of the votes for the most frequent answer."""
        return max(self.counts.values()) / self.n


@dataclass(frozen=True, slots=True)
class SystemMean:
    """A published mean opinion score; rank 1 is the highest, equal means share the better rank."""

    system: str
    mean: float
    rank: int


def read_counts(path: Path, *, item: str, answers: Sequence[str]) -> list[ItemCounts]:
    """Read counts of answers, one item a line.

    Args:
        path: CSV, or ``.gz`` of one.
        item: column of the item's id.
        answers: columns of counts; the answers are named as they are.

    Raises:
        InputError: no such file, columns are missing, a count is no whole number from 0, an item without
            votes, or one that stands there twice.
    """
    found: dict[str, ItemCounts] = {}
    for line, cells in _read_cells(path, [item, *answers]):
        try:
            counts = {answer: int(cells[answer]) for answer in answers}
        except ValueError:
            counts = {}
        if not counts or min(counts.values()) < 0 or not any(counts.values()):
            raise InputError(
                f"{path}, line {line}: the counts of {cells[item]} are no whole numbers of votes"
            )
        if cells[item] in found:
            raise InputError(f"{path}, line {line}: the item {cells[item]} stands there twice")
        others = {name: value for name, value in cells.items() if name != item and name not in counts}
        found[cells[item]] = ItemCounts(cells[item], counts, others)
    return list(found.values())


def votes_of_counts(counts: Iterable[ItemCounts], question: str) -> list[Vote]:
    """Turn counts into votes; who cast them is not known, so every vote has a rater of its own."""
    votes = []
    for entry in counts:
        answers = [answer for answer, count in entry.counts.items() for _ in range(count)]
        for number, answer in enumerate(answers):
            name = f"unknown-{entry.item}-{number}"
            votes.append(Vote(rater=name, sitting=name, item=entry.item, question=question, answer=answer))
    return votes


def pooled_share(counts: Iterable[ItemCounts], expected: Callable[[ItemCounts], str]) -> float:
    """Share of all votes that are for the answer expected of their item.

    Raises:
        ValueError: no votes.
    """
    right = total = 0
    for entry in counts:
        right += entry.counts.get(expected(entry), 0)
        total += entry.n
    if not total:
        raise ValueError("no votes to take a share of")
    return right / total


def table_of_counts(counts: Sequence[ItemCounts]) -> np.ndarray:
    """Counts of shape (items, answers), as Krippendorff's alpha takes them."""
    return np.array([list(entry.counts.values()) for entry in counts], np.float64)


def read_system_means(path: Path, *, system: str = "system_ID", mean: str = "mean") -> list[SystemMean]:
    """Read one published mean a system, the highest first.

    Raises:
        InputError: no such file, columns are missing, a mean is no number, or a system stands there twice.
    """
    means: dict[str, float] = {}
    for line, cells in _read_cells(path, [system, mean]):
        try:
            value = float(cells[mean])
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise InputError(f"{path}, line {line}: the mean of {cells[system]} is no number")
        if cells[system] in means:
            raise InputError(f"{path}, line {line}: the system {cells[system]} stands there twice")
        means[cells[system]] = value
    ordered = sorted(means.items(), key=lambda entry: (-entry[1], entry[0]))
    return [
        SystemMean(name, value, 1 + sum(other > value for other in means.values())) for name, value in ordered
    ]


def _read_cells(path: Path, wanted: Sequence[str]) -> list[tuple[int, Mapping[str, str]]]:
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(reader, [])
        rows = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no table that can be read ({error})") from None
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InputError(f"{path}, line 1: the columns {', '.join(missing)} are missing")
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"{path}, line {line}: has {len(cells)} cells where the header names {len(header)}"
            )
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in rows]
