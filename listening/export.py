"""Votes of our own server in the results format of the crowd platforms: one row a sitting.

The metadata columns and their order are those of the platform's results files, then come the cells of the
sheet as ``Input.*`` and the answers as ``Answer.*``. Raters stand there by opaque names alone.
"""

import csv
import json
import os
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from doppelbench.corpora.errors import InputError
from doppelbench.listening.fields import (
    ANSWER_PREFIX,
    INPUT_PREFIX,
    PLAYED,
    PLAYS,
    PROBLEM,
    RATE,
    SECONDS,
    TIME,
    numbered,
)
from doppelbench.listening.pages import sheet_columns, sheet_row
from doppelbench.listening.study import Study

METADATA = (
    "HITId", "HITTypeId", "Title", "Description", "Keywords", "Reward", "CreationTime", "MaxAssignments",
    "RequesterAnnotation", "AssignmentDurationInSeconds", "AutoApprovalDelayInSeconds", "Expiration",
    "NumberOfSimilarHITs", "LifetimeInSeconds", "AssignmentId", "WorkerId", "AssignmentStatus", "AcceptTime",
    "SubmitTime", "AutoApprovalTime", "ApprovalTime", "RejectionTime", "RequesterFeedback",
    "WorkTimeInSeconds",
    "LifetimeApprovalRate", "Last30DaysApprovalRate", "Last7DaysApprovalRate",
)  # fmt: skip
# What the page says once a sitting.
DETAILS = ("headphones", "samplerate", "pointer", "agent", "away", "comment")
SUBMITTED, STARTED = "Submitted", "Started"
MEDIA = "media"


def export_results(database: Path, study: Study, path: Path) -> int:
    """Write the votes of a database; the server may be running.

    Args:
        database: of the server.
        study: it belongs to.
        path: of the CSV file, replaced as a whole.

    Returns:
        Number of sittings with at least one answer or report. Unfinished ones are among them, with the status
        ``Started`` and without a time of submission.

    Raises:
        InputError: no such database, or it belongs to another study.
    """
    columns, rows = results(database, study)
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)
    return len(rows)


def results(database: Path, study: Study) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of :func:`export_results`."""
    sittings, votes = _read(database, study)
    by_sitting: dict[str, list[dict[str, Any]]] = {}
    for vote in votes:
        by_sitting.setdefault(vote["sitting"], []).append(vote)
    blocks = {block.id: block for block in study.blocks}
    rows = [
        _metadata(study, sitting)
        | {
            f"{INPUT_PREFIX}{name}": cell
            for name, cell in sheet_row(study, blocks[sitting["block"]], media_url=MEDIA).items()
        }
        | _answers(blocks[sitting["block"]].items, sitting, by_sitting[sitting["id"]])
        for sitting in sittings
        if sitting["id"] in by_sitting
    ]
    inputs = [f"{INPUT_PREFIX}{name}" for name in sheet_columns(study)]
    return [*METADATA, *inputs, *_answer_columns(study), "Approve", "Reject"], rows


def _read(database: Path, study: Study) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not database.is_file():
        raise InputError(f"{database}: there is no database of votes")
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    try:
        # One transaction, so that votes and sittings are of the same moment.
        connection.execute("BEGIN")
        design = connection.execute("SELECT value FROM facts WHERE name = 'design'").fetchone()
        sittings = connection.execute("SELECT * FROM sittings ORDER BY rowid").fetchall()
        votes = connection.execute(
            "SELECT * FROM votes WHERE answer != '' OR problem != '' ORDER BY rowid"
        ).fetchall()
    except sqlite3.DatabaseError as error:
        raise InputError(f"{database}: no database of votes that can be read ({error})") from None
    finally:
        connection.close()
    if design is None or design["value"] != study.design_sha256():
        raise InputError(f"{database}: holds votes on another study than {study.id}")
    return [dict(row) for row in sittings], [dict(row) for row in votes]


def _metadata(study: Study, sitting: Mapping[str, str]) -> dict[str, str]:
    finished = sitting["finished"]
    seconds = _moment(finished or sitting["seen"]) - _moment(sitting["started"])
    return {
        "HITId": sitting["block"],
        "HITTypeId": study.id,
        "Title": study.title,
        "Reward": f"${study.recruitment.reward:.2f}",
        "MaxAssignments": str(study.recruitment.raters_per_item),
        "AssignmentDurationInSeconds": str(60 * study.recruitment.minutes),
        "AssignmentId": sitting["id"],
        "WorkerId": sitting["rater"],
        "AssignmentStatus": SUBMITTED if finished else STARTED,
        "AcceptTime": _platform_time(sitting["started"]),
        "SubmitTime": _platform_time(finished) if finished else "",
        "WorkTimeInSeconds": str(round(seconds.total_seconds())),
    }


def _answers(
    items: tuple[str, ...], sitting: Mapping[str, str], votes: list[dict[str, Any]]
) -> dict[str, str]:
    cells = {}
    for vote in votes:
        place = items.index(vote["item"])
        if vote["answer"]:
            cells[numbered(vote["question"], place)] = vote["answer"]
        for name in (PLAYS, PLAYED, RATE, SECONDS, TIME, PROBLEM):
            cells[numbered(name, place)] = _cell(vote[name])
    details = json.loads(sitting["details"])
    cells |= {name: details[name] for name in DETAILS if name in details}
    return {f"{ANSWER_PREFIX}{name}": cell for name, cell in cells.items()}


def _answer_columns(study: Study) -> list[str]:
    names = []
    for place in range(max((len(block.items) for block in study.blocks), default=0)):
        asked = {
            question
            for block in study.blocks
            if place < len(block.items)
            for question in study.item(block.items[place]).questions
        }
        ordered = [question.name for question in study.questions if question.name in asked]
        names += [numbered(name, place) for name in (*ordered, PLAYS, PLAYED, RATE, SECONDS, TIME, PROBLEM)]
    return [f"{ANSWER_PREFIX}{name}" for name in (*names, *DETAILS)]


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _platform_time(text: str) -> str:
    """A time as the platform's files write it, such as ``Wed Nov 20 21:03:26 UTC 2019``."""
    return _moment(text).strftime("%a %b %d %H:%M:%S UTC %Y")
