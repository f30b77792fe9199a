"""What changed between two versions of a board: ranks, figures, systems.

Boards are matched by their id, which holds corpus, trials and signature; what is left over, by track, task,
corpus and recipes, so that a new version of a corpus or metric is named as such and its figures are not
compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from doppelbench.leaderboards.board import Board, BoardFigure, Row, format_number, rank_text

Kind = Literal["board added", "board dropped", "board replaced", "added", "dropped", "rank", "figure"]
# What nobody should overlook; a new system or board that changes nothing else is none of them.
GRAVE: frozenset[Kind] = frozenset({"board dropped", "board replaced", "dropped", "rank", "figure"})


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs.

    Attributes:
        board: id of the board.
        kind: what happened. ``rank``: among the systems that both versions rank, another one is before or
            beside it. ``figure``: the new value lies outside the old interval.
        system: which system; empty for a whole board.
        metric: which column; empty where none is meant.
        before: what was, in words.
        after: what is.
    """

    board: str
    kind: Kind
    system: str = ""
    metric: str = ""
    before: str = ""
    after: str = ""

    @property
    def grave(self) -> bool:
        """Whether it makes ``board diff`` end with exit code 3."""
        return self.kind in GRAVE


def diff_boards(old: Sequence[Board], new: Sequence[Board]) -> list[Change]:
    """List the changes from old to new boards, board by board in the order of the old ones."""
    before, after = {board.id: board for board in old}, {board.id: board for board in new}
    changes: list[Change] = []
    replaced: set[str] = set()
    for key, board in before.items():
        if key in after:
            changes += _board_changes(board, after[key])
            continue
        successor = next(
            (
                other
                for other in new
                if other.id not in before and other.id not in replaced and _asks_the_same(board, other)
            ),
            None,
        )
        if successor is None:
            changes.append(Change(key, "board dropped", before=board.title))
        else:
            replaced.add(successor.id)
            changes.append(
                Change(
                    key,
                    "board replaced",
                    before=_version(board),
                    after=f"{successor.id}: {_version(successor)}",
                )
            )
    changes += [
        Change(key, "board added", after=board.title)
        for key, board in after.items()
        if key not in before and key not in replaced
    ]
    return changes


def _asks_the_same(first: Board, second: Board) -> bool:
    return (first.track, first.corpus.label, first.trials.task) == (
        second.track,
        second.corpus.label,
        second.trials.task,
    ) and bool(set(first.recipes) & set(second.recipes))


def _version(board: Board) -> str:
    return f"corpus {board.corpus.hash[:12]}, trials {board.trials.hash[:12]}, {board.head.signature}"


def _board_changes(old: Board, new: Board) -> list[Change]:
    before, after = {row.id: row for row in old.rows}, {row.id: row for row in new.rows}
    changes = [
        Change(old.id, "dropped", key, before=_standing(before[key])) for key in before if key not in after
    ]
    changes += [
        Change(old.id, "added", key, after=_standing(after[key])) for key in after if key not in before
    ]
    common = [key for key in before if key in after]
    old_order, new_order = _order(before, common), _order(after, common)
    changes += [
        Change(old.id, "rank", key, before=_standing(before[key]), after=_standing(after[key]))
        for key in common
        if old_order.get(key) != new_order.get(key)
    ]
    units = {(column.name, column.signature): column.unit for column in old.columns}
    for key in common:
        mine, theirs = _by_signature(old, before[key]), _by_signature(new, after[key])
        for place in mine:
            if place in theirs and _moved(mine[place], theirs[place]):
                changes.append(
                    Change(
                        old.id,
                        "figure",
                        key,
                        place[0],
                        before=_said(mine[place], units[place]),
                        after=_said(theirs[place], units[place]),
                    )
                )
    return changes


def _order(rows: dict[str, Row], common: Sequence[str]) -> dict[str, int | None]:
    """Rank of each system among those that both boards have, so that a newcomer moves nobody."""
    ranks = [rows[key].rank for key in common]
    given = [rank for rank in ranks if rank is not None]
    return {
        key: None if rank is None else sum(other < rank for other in given)
        for key, rank in zip(common, ranks, strict=True)
    }


def _by_signature(board: Board, row: Row) -> dict[tuple[str, str], BoardFigure]:
    columns = {column.id: (column.name, column.signature) for column in board.columns}
    return {columns[figure.metric]: figure for figure in row.figures}


def _moved(old: BoardFigure, new: BoardFigure) -> bool:
    if old.value is None or new.value is None:
        return (old.value is None) != (new.value is None)
    if old.low is None or old.high is None:
        return old.value != new.value
    return not old.low <= new.value <= old.high


def _standing(row: Row) -> str:
    return row.section if row.rank is None else f"rank {rank_text(row)}"


def _said(figure: BoardFigure, unit: str) -> str:
    text = format_number(figure.value, unit)
    if figure.low is None:
        return text
    return f"{text} [{format_number(figure.low, unit)}, {format_number(figure.high, unit)}]"
