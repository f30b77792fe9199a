"""Votes as a tidy table, whatever page or platform they were cast on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One answer of one rater to one question about one item.

    Attributes:
        rater: opaque name of the person.
        sitting: of the assignment or session; one block done once.
        item: id in the study.
        question: its name.
        answer: ``1`` to ``5``, or ``first``, ``second``, ``same``.
        position: place of the item in the sitting, from 0; -1 where the file does not say.
        plays: times that the rated sound was started, or None where nothing was recorded.
        played: least share of a sound of the item that was heard, 0 to 1, or None.
        seconds: spent on the item, or None.
        time: of the answer, ISO 8601 in UTC, or empty.
        problem: what the rater said is wrong with the clip; such a vote has no answer and is not counted.
    """

    rater: str
    sitting: str
    item: str
    question: str
    answer: str
    position: int = -1
    plays: int | None = None
    played: float | None = None
    seconds: float | None = None
    time: str = ""
    problem: str = ""
