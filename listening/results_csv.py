"""Votes from the results files of platforms, and from our own export, which has the same columns.

A row is one assignment: a person did one block once. Besides ``AssignmentId`` and ``WorkerId`` only columns
``Input.*`` and ``Answer.*`` are needed, because older exports and self-hosted platforms leave out others.
Four shapes of answers are read:

* a plain field: ``Answer.naturalness_3`` is ``4``;
* JSON of a crowd form: ``Answer.taskAnswers`` is ``[{"naturalness_3": {"4": true, ...}}]``;
* flattened objects: ``Answer.naturalness_3.4`` is ``true``;
* P.808 templates: ``Answer.q0`` is ``4`` and ``Answer.q0_url`` names the file.

Names of columns are compared without regard to case, separators are commas, tabs or semicolons.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from doppelbench.corpora.errors import InputError
from doppelbench.listening.fields import (
    ANSWER_PREFIX,
    BLOCK,
    INPUT_PREFIX,
    ITEM,
    PLAYED,
    PLAYS,
    PROBLEM,
    RATE,
    SECONDS,
    TIME,
    numbered,
    split_numbered,
)
from doppelbench.listening.study import Study
from doppelbench.listening.votes import Vote

Repeats = Literal["first", "all"]
ASSIGNMENT, WORKER = "assignmentid", "workerid"
CROWD_FORM = "taskanswers"
# Zones that platforms print by name, in hours from UTC.
ZONES = {
    "UTC": 0,
    "GMT": 0,
    "PST": -8,
    "PDT": -7,
    "MST": -7,
    "MDT": -6,
    "CST": -6,
    "CDT": -5,
    "EST": -5,
    "EDT": -4,
}
_P808 = re.compile(r"q(\d+)")
_FLAT = re.compile(r"([a-z]+_\d+)\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One assignment, with the names of its columns in lower case."""

    place: str
    assignment: str
    worker: str
    cells: dict[str, str]
    inputs: dict[str, str]
    answers: dict[str, str]


def read_results(paths: Sequence[Path], study: Study, *, repeats: Repeats = "first") -> list[Vote]:
    """Read the votes of a study from results files.

    Args:
        paths: the files; a sitting may stand in one of them only.
        study: that they answer.
        repeats: what to do where a rater did a block twice: keep the sitting that was submitted first, or
            all.

    Returns:
        Votes in the order of the files. A question without an answer gives no vote, unless the rater said
        what is wrong with the clip.

    Raises:
        InputError: a file that is cut off, not in UTF-8 or lacks columns; an item or block that is not in the
            study; an answer outside its scale; or an assignment that stands there twice.
    """
    rows = [row for path in paths for row in _read_rows(path)]
    places: dict[str, str] = {}
    for row in rows:
        if row.assignment in places:
            raise InputError(
                f"{row.place}: assignment {row.assignment} stands already in {places[row.assignment]}"
            )
        places[row.assignment] = row.place
    reader = _StudyReader(study)
    sittings = [(row, reader.votes(row)) for row in rows]
    if repeats == "first":
        sittings = _first_sittings(sittings)
    return [vote for _, votes in sittings for vote in votes]


def _read_rows(path: Path) -> list[_Row]:
    text = _read_text(path)
    header = text.partition("\n")[0]
    delimiter = max(",\t;", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    names: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise InputError(
                f"{path}, line {line}: cannot be read; the file may be cut off ({error})"
            ) from None
        if not cells:
            continue
        if names is None:
            names = _checked_header(path, cells)
            continue
        if len(cells) != len(names):
            raise InputError(
                f"{path}, line {line}: has {len(cells)} cells where the header names {len(names)}; "
                "the file may be cut off"
            )
        rows.append(_row(f"{path}, line {line}", dict(zip(names, cells, strict=True))))
    if not rows:
        raise InputError(f"{path}: holds no assignment")
    return rows


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: is not in UTF-8; export the file again as UTF-8 CSV"
        ) from None
    if "\0" in text:
        raise InputError(f"{path}: holds zero bytes; export the file again as UTF-8 CSV")
    return text


def _checked_header(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    doubled = sorted({name for name in names if names.count(name) > 1 and name})
    if doubled:
        raise InputError(f"{path}, line 1: the column {doubled[0]} stands there twice")
    wanted = {"AssignmentId": ASSIGNMENT in names, "WorkerId": WORKER in names}
    for prefix in (INPUT_PREFIX, ANSWER_PREFIX):
        wanted[f"{prefix}*"] = any(name.startswith(prefix.lower()) for name in names)
    missing = [name for name, there in wanted.items() if not there]
    if missing:
        raise InputError(f"{path}, line 1: the columns {', '.join(missing)} are missing")
    return names


def _row(place: str, cells: dict[str, str]) -> _Row:
    def under(prefix: str) -> dict[str, str]:
        start = prefix.lower()
        return {name[len(start) :]: value.strip() for name, value in cells.items() if name.startswith(start)}

    assignment, worker = cells[ASSIGNMENT].strip(), cells[WORKER].strip()
    if not assignment or not worker:
        raise InputError(f"{place}: AssignmentId or WorkerId is empty")
    return _Row(
        place=place,
        assignment=assignment,
        worker=worker,
        cells=cells,
        inputs=under(INPUT_PREFIX),
        answers=_plain_answers(place, under(ANSWER_PREFIX)),
    )


def _plain_answers(place: str, answers: dict[str, str]) -> dict[str, str]:
    """Bring the JSON of crowd forms and flattened objects to plain fields."""
    answers = dict(answers)
    if text := answers.pop(CROWD_FORM, ""):
        answers |= _crowd_form(place, text)
    plain: dict[str, str] = {}
    for name, value in answers.items():
        match = _FLAT.fullmatch(name)
        if match is None:
            plain.setdefault(name, value)
        elif value.lower() in {"true", "on"}:
            if plain.get(match[1]):
                raise InputError(f"{place}: {match[1]} has both answers {plain[match[1]]} and {match[2]}")
            plain[match[1]] = match[2]
        elif value.lower() not in {"false", ""}:
            raise InputError(f"{place}: {name} is {value!r}, neither true nor false")
    return plain


def _crowd_form(place: str, text: str) -> dict[str, str]:
    try:
        values = json.loads(text)
        fields = values[0] if isinstance(values, list) and len(values) == 1 else values
        if not isinstance(fields, dict):
            raise ValueError("expected a list with one object")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: Answer.taskAnswers is no JSON of a crowd form ({error})") from None
    flat: dict[str, str] = {}
    for name, value in fields.items():
        key = str(name).strip().lower()
        if isinstance(value, dict):
            flat |= {f"{key}.{answer}": str(chosen).lower() for answer, chosen in value.items()}
        else:
            flat[key] = "" if value is None else str(value).strip()
    return flat


class _StudyReader:
    """Turns assignments into votes and holds them against the study."""

    def __init__(self, study: Study):
        self.study = study
        self.items = {item.id: item for item in study.items}
        self.blocks = {block.id: frozenset(block.items) | frozenset(study.training) for block in study.blocks}
        self.orders = {block.id: block.items for block in study.blocks}
        self.answers: dict[str, dict[str, str]] = {
            question.name: {answer.value.lower(): answer.value for answer in question.answers}
            for question in study.questions
        }
        self.files = {
            stimulus.file.lower(): item.id
            for item in study.items
            for stimulus in item.stimuli
            if stimulus.role in ("output", "first")
        }

    def votes(self, row: _Row) -> list[Vote]:
        block = row.inputs.get(BLOCK, "")
        if block and block not in self.blocks:
            raise InputError(f"{row.place}: the study has no block {block}")
        answers, items = self._p808(row) or (row.answers, row.inputs)
        asked: dict[tuple[int, str], tuple[str, str]] = {}
        for name, value in answers.items():
            parts = split_numbered(name)
            if parts is None or not value:
                continue
            question, place = parts
            if question in self.answers:
                item = self._item(row, items, block, place, f"{question}_{place}")
                if question not in self.items[item].questions:
                    raise InputError(f"{row.place}: item {item} is not asked for {question}")
                asked[place, question] = (item, value)
            elif question == PROBLEM:
                item = self._item(row, items, block, place, name)
                asked |= {(place, other): (item, "") for other in self.items[item].questions}
        votes = []
        for (place, question), (item, value) in sorted(asked.items(), key=lambda entry: entry[0][0]):
            problem = answers.get(numbered(PROBLEM, place), "")
            answer = "" if problem else self._answer(row, numbered(question, place), question, value)
            votes.append(
                Vote(
                    rater=row.worker,
                    sitting=row.assignment,
                    item=item,
                    question=question,
                    answer=answer,
                    position=place,
                    plays=_whole(row, answers, numbered(PLAYS, place)),
                    played=_number(row, answers, numbered(PLAYED, place), 1.0),
                    seconds=_number(row, answers, numbered(SECONDS, place)),
                    time=answers.get(numbered(TIME, place), "") or _moment(row.cells.get("submittime", "")),
                    problem=problem,
                    block=block,
                    rate=_number(row, answers, numbered(RATE, place)),
                    sitting_seconds=_number(row, row.cells, "worktimeinseconds"),
                    rejected=_is_rejected(row.cells),
                )
            )
        return votes

    def _item(self, row: _Row, items: Mapping[str, str], block: str, place: int, field: str) -> str:
        """Item at a place: as the row says, by its file, or as the block of the study says."""
        column = numbered(ITEM, place)
        name = items.get(column) or self.files.get(items.get(numbered("output", place), "").lower(), "")
        order = self.orders.get(block, ())
        if not name and place < len(order):
            name = order[place]
        if not name:
            raise InputError(f"{row.place}: {field} is answered, but {INPUT_PREFIX}{column} is not there")
        if name not in self.items:
            raise InputError(f"{row.place}: the study has no item {name} ({INPUT_PREFIX}{column})")
        if block and name not in self.blocks[block]:
            raise InputError(f"{row.place}: block {block} has no item {name}")
        return name

    def _answer(self, row: _Row, field: str, question: str, value: str) -> str:
        known = self.answers[question]
        text = value.lower()
        # Spreadsheets write whole numbers with a decimal point.
        text = text[:-2] if text.endswith(".0") else text
        if text not in known:
            raise InputError(
                f"{row.place}: {ANSWER_PREFIX}{field} is {value!r}, none of {', '.join(known.values())}"
            )
        return known[text]

    def _p808(self, row: _Row) -> tuple[dict[str, str], dict[str, str]] | None:
        """Fields and items of a P.808 template under our names; None for other shapes."""
        asked = [(name, match[1]) for name in row.answers if (match := _P808.fullmatch(name))]
        if not asked:
            return None
        scales = [question.name for question in self.study.questions]
        if len(scales) != 1:
            raise InputError(
                f"{row.place}: columns q0, q1 ... do not say which of {', '.join(scales)} was asked"
            )
        answers: dict[str, str] = {}
        items: dict[str, str] = {}
        for name, number in asked:
            place = int(number)
            url = row.answers.get(f"{name}_url") or row.inputs.get(name, "")
            file = PurePosixPath(unquote(urlsplit(url).path)).name
            if file.lower() not in self.files:
                raise InputError(
                    f"{row.place}: {ANSWER_PREFIX}{name} is about {url!r}, no sound of the study"
                )
            items[numbered(ITEM, place)] = self.files[file.lower()]
            answers[numbered(scales[0], place)] = row.answers[name]
            if plays := row.answers.get(f"audio_n_play_{name}"):
                answers[numbered(PLAYS, place)] = plays
            if ends := row.answers.get(f"audio_n_finish_{name}"):
                answers[numbered(PLAYED, place)] = "0" if ends in {"0", "0.0"} else "1"
        return answers, items


def _number(row: _Row, cells: Mapping[str, str], name: str, highest: float | None = None) -> float | None:
    text = cells.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise InputError(f"{row.place}: {name} is {text!r}, no number from 0")
    return value if highest is None else min(value, highest)


def _whole(row: _Row, cells: Mapping[str, str], name: str) -> int | None:
    value = _number(row, cells, name)
    return None if value is None else int(value)


def _is_rejected(cells: Mapping[str, str]) -> bool:
    return (
        cells.get("assignmentstatus", "").strip().lower() == "rejected"
        or bool(cells.get("rejectiontime", "").strip())
        or bool(cells.get("reject", "").strip())
    )


def _moment(text: str) -> str:
    """A platform's time in ISO 8601 and UTC; empty where it cannot be told."""
    text = text.strip()
    parts = text.split()
    try:
        if len(parts) == 6 and parts[4] in ZONES:
            moment = datetime.strptime(" ".join(parts[:4] + parts[5:]), "%a %b %d %H:%M:%S %Y")
            moment = moment.replace(tzinfo=timezone(timedelta(hours=ZONES[parts[4]])))
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return moment.astimezone(UTC).isoformat() if moment.tzinfo else ""


def _first_sittings(sittings: Iterable[tuple[_Row, list[Vote]]]) -> list[tuple[_Row, list[Vote]]]:
    """Keep of each rater and block the sitting submitted first, or the first in the file without times."""
    kept: dict[tuple[str, object], tuple[str, int]] = {}
    listed = list(sittings)
    for index, (row, votes) in enumerate(listed):
        work = votes[0].block or frozenset(vote.item for vote in votes) if votes else row.assignment
        key = (row.worker, work)
        moment = (_moment(row.cells.get("submittime", "")), index)
        if key not in kept or (moment[0] and moment < kept[key]):
            kept[key] = moment
    chosen = {index for _, index in kept.values()}
    return [listed[index] for index in sorted(chosen)]
