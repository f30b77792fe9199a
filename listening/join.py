"""Votes and the sealed key in one tidy table: what was said, and what it was said about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doppelbench.corpora.errors import InputError
from doppelbench.listening.study import ItemKind, Key, Study
from doppelbench.listening.votes import Vote

FIRST, SECOND, SAME = "first", "second", "same"
# What counts in the figures; gold, traps and training do not.
COUNTED: frozenset[ItemKind] = frozenset({"system", "reference", "anchor"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedVote:
    """A vote with what the key says of its item.

    Attributes:
        vote: as it was cast.
        kind: of the item.
        systems: that made the rated sound; two for a pair, in the order shown.
        trial: id of the trial; empty for traps.
        target: whose voice was asked for.
        source: who spoke.
        value: the answer as a number, on scales; None for pairs and for clips with a problem.
        preferred: the system chosen of a pair, empty for a tie; None on scales and where nothing was chosen.
        expected: the right answer of gold and traps, or empty.
    """

    vote: Vote
    kind: ItemKind
    systems: tuple[str, ...]
    trial: str
    target: str
    source: str
    value: float | None
    preferred: str | None
    expected: str

    @property
    def counted(self) -> bool:
        """Whether it enters the figures."""
        return self.kind in COUNTED and bool(self.vote.answer)

    @property
    def on_scale(self) -> bool:
        """Whether it is an answer on a scale of numbers."""
        return self.value is not None

    @property
    def system(self) -> str:
        """The system of an item with one."""
        return self.systems[0]


def join_votes(votes: Sequence[Vote], key: Key) -> list[JoinedVote]:
    """Put the key beside the votes, in their order.

    Raises:
        InputError: the key says nothing of an item.
    """
    rows = []
    for vote in votes:
        entry = key.entries.get(vote.item)
        if entry is None:
            raise InputError(f"the key of study {key.study} says nothing of item {vote.item}")
        rows.append(
            JoinedVote(
                vote=vote,
                kind=entry.kind,
                systems=entry.systems,
                trial=entry.trial,
                target=entry.target,
                source=entry.source,
                value=float(vote.answer) if vote.answer.isdecimal() else None,
                preferred=_preferred(vote.answer, entry.systems),
                expected=entry.expected.get(vote.question, ""),
            )
        )
    return rows


def _preferred(answer: str, systems: Sequence[str]) -> str | None:
    if answer == SAME:
        return ""
    if answer in (FIRST, SECOND) and len(systems) == 2:
        return systems[(FIRST, SECOND).index(answer)]
    return None


def scale_of(study: Study, question: str) -> tuple[float, float] | None:
    """Lowest and highest answer of a question with numbers; None for pairs."""
    values = [answer.value for answer in study.question(question).answers]
    if not values or not all(value.isdecimal() for value in values):
        return None
    return min(map(float, values)), max(map(float, values))


def tidy_row(row: JoinedVote, *, excluded: Mapping[str, str]) -> dict[str, object]:
    """One line of ``votes.csv``.

    Args:
        row: the vote.
        excluded: reason by sitting.
    """
    vote = row.vote
    return {
        "rater": vote.rater,
        "sitting": vote.sitting,
        "block": vote.block,
        "position": vote.position,
        "item": vote.item,
        "kind": row.kind,
        "system": row.systems[0] if row.systems else "",
        "second_system": row.systems[1] if len(row.systems) > 1 else "",
        "trial": row.trial,
        "target": row.target,
        "source": row.source,
        "question": vote.question,
        "answer": vote.answer,
        "value": "" if row.value is None else row.value,
        "preferred": row.preferred or "",
        "expected": row.expected,
        "plays": "" if vote.plays is None else vote.plays,
        "played": "" if vote.played is None else vote.played,
        "rate": "" if vote.rate is None else vote.rate,
        "seconds": "" if vote.seconds is None else vote.seconds,
        "sitting_seconds": "" if vote.sitting_seconds is None else vote.sitting_seconds,
        "time": vote.time,
        "problem": vote.problem,
        "rejected": int(vote.rejected),
        "excluded": excluded.get(vote.sitting, ""),
    }
