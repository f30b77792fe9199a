"""Names of the columns that pages, servers, platforms and the analysis share.

A sheet has one row a block. ``item_3`` is the id of the item at place 3 of the block, ``output_3`` the file
that is played there in the role ``output``. A page answers with fields of the same places: ``naturalness_3``
is the answer, ``plays_3``, ``played_3``, ``rate_3`` and ``seconds_3`` are what it saw of the listening. A
platform puts ``Input.`` before the columns of the sheet and ``Answer.`` before the fields.
"""

import re

BLOCK = "block"
ITEM = "item"
# Evidence of listening: starts of the rated sound, least share heard of a sound, fastest rate, time spent.
PLAYS, PLAYED, RATE, SECONDS = "plays", "played", "rate", "seconds"
# When it was answered (ISO 8601, UTC), and what the rater said is wrong with the clip.
TIME, PROBLEM = "time", "problem"
INPUT_PREFIX, ANSWER_PREFIX = "Input.", "Answer."

_NUMBERED = re.compile(r"([a-z]+)_(\d+)")


def numbered(name: str, place: int) -> str:
    """Name of a column or field at a place of the block, counted from 0."""
    return f"{name}_{place}"


def split_numbered(field: str) -> tuple[str, int] | None:
    """Take :func:`numbered` apart; None for other names."""
    match = _NUMBERED.fullmatch(field.lower())
    return None if match is None else (match[1], int(match[2]))
