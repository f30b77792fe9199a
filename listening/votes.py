"""Votes as a tidy table, whatever page or platform they were cast on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace


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
        block: id of the block that was done, or empty where the file does not say.
        rate: fastest rate of playback, or None.
        sitting_seconds: from accepting to submitting the sitting, or None.
        rejected: the platform's owner refused the sitting; it is told apart, not dropped.
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
    block: str = ""
    rate: float | None = None
    sitting_seconds: float | None = None
    rejected: bool = False


# Raters of a dry run; an analysis that finds one says that nothing in it was heard by people.
SIMULATED = "simulated-"


def is_simulated(rater: str) -> bool:
    """Whether a rater is one of a dry run."""
    return rater.startswith(SIMULATED)


def rename_raters(votes: Sequence[Vote], *, salt: str) -> list[Vote]:
    """Give raters and sittings names that do not lead back to a platform's account.

    Args:
        votes: all votes that are looked at together.
        salt: secret, such as that of the study's key; the same salt gives the same names.

    Returns:
        The votes in their order; simulated raters can still be told.
    """

    def opaque(kind: str, name: str) -> str:
        prefix = SIMULATED if is_simulated(name) else ""
        return f"{prefix}{kind}-{hashlib.sha256(f'{salt}/{kind}/{name}'.encode()).hexdigest()[:12]}"

    return [
        replace(vote, rater=opaque("rater", vote.rater), sitting=opaque("sitting", vote.sitting))
        for vote in votes
    ]
