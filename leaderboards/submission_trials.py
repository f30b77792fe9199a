"""``trials.csv``: what a submission is to hold, one line a trial.

The hash of the list is over its values, not over its bytes, so that a spreadsheet may save the file anew.
"""

import csv
import hashlib
import io
import json
import math
import re
from dataclasses import dataclass
from typing import Literal

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.submission_findings import is_plain, printable

TRIALS = "trials.csv"
OUTPUTS = "outputs"
COLUMNS = ("trial", "source", "input", "target", "text_allowed", "output", "seconds", "fps", "size")
OUTPUT = re.compile(r"outputs/[A-Za-z0-9_~@+=,%-][A-Za-z0-9_.~@+=,%-]{0,159}\.(flac|mkv)")
LARGEST = 1 << 23
MOST_TRIALS = 20_000
LONGEST_SECONDS = 600.0
FASTEST = 240.0
SIZES = (16, 2160)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One thing that a submission is to hold.

    Attributes:
        trial: its id.
        source: id of the clip whose words are to be said, or that drives the face.
        target: who is to be heard or seen.
        output: name of the file in the submission.
        seconds: how long it should be.
        text_allowed: whether the words of the source may be used.
        fps: frames per second of a film; None for sound.
        size: height and width of a film in pixels; None for sound.
        input: file with the source in the folder that ``submit init --inputs`` made; not part of the hash.
    """

    trial: str
    source: str
    target: str
    output: str
    seconds: float
    text_allowed: bool = False
    fps: float | None = None
    size: int | None = None
    input: str = ""


@dataclass(frozen=True, slots=True)
class TrialSheet:
    """All trials of a submission, in the order of the track."""

    rows: tuple[TrialRow, ...]

    @property
    def media(self) -> Literal["audio", "video"]:
        """Whether outputs are sounds or films."""
        return "video" if self.rows[0].output.endswith(".mkv") else "audio"

    @property
    def hash(self) -> str:
        """SHA-256 of the list, whatever the order of its lines."""
        values = [
            [row.trial, row.source, row.target, row.text_allowed, row.output, f"{row.seconds:.3f}",
             None if row.fps is None else f"{row.fps:.6g}", row.size]
            for row in sorted(self.rows, key=lambda row: row.trial)
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(values, ensure_ascii=False).encode()).hexdigest()


def write_sheet(sheet: TrialSheet) -> bytes:
    """Return the content of ``trials.csv``."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sheet.rows:
        writer.writerow(
            (
                row.trial,
                row.source,
                row.input,
                row.target,
                "yes" if row.text_allowed else "no",
                row.output,
                f"{row.seconds:.3f}",
                "" if row.fps is None else f"{row.fps:.6g}",
                "" if row.size is None else row.size,
            )
        )
    return text.getvalue().encode()


def read_sheet(content: bytes, name: str = TRIALS) -> TrialSheet:
    """Parse and check a trial list.

    Raises:
        InputError: too large, not UTF-8, no table, other columns, a value out of range, a trial or an output
            twice, sounds beside films, or no line; the message has the line.
    """
    if len(content) > LARGEST:
        raise InputError(f"{name}: {len(content)} bytes, more than {LARGEST}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not a UTF-8 text file ({error.reason} at byte {error.start})") from None
    rows: list[TrialRow] = []
    trials: set[str] = set()
    outputs: set[str] = set()
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), 1):
            where = f"{name}, line {number}"
            if number == 1:
                if tuple(cells) != COLUMNS:
                    raise InputError(f"{where}: expected the columns {','.join(COLUMNS)}")
                continue
            if not cells:
                continue
            if len(rows) == MOST_TRIALS:
                raise InputError(f"{where}: more than {MOST_TRIALS} trials")
            row = _row(cells, where)
            if row.trial in trials:
                raise InputError(f"{where}: the trial {printable(row.trial)} stands twice")
            if row.output.lower() in outputs:
                raise InputError(f"{where}: the output {row.output} stands twice")
            trials.add(row.trial)
            outputs.add(row.output.lower())
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{name}: not a table that can be read ({error})") from None
    if not rows:
        raise InputError(f"{name}: there is no trial in it")
    if len({row.output.rpartition(".")[2] for row in rows}) > 1:
        raise InputError(f"{name}: sounds and films in one list")
    return TrialSheet(tuple(rows))


def _row(cells: list[str], where: str) -> TrialRow:
    if len(cells) != len(COLUMNS):
        raise InputError(f"{where}: {len(cells)} fields instead of {len(COLUMNS)}")
    hidden = next((sign for cell in cells for sign in cell if not is_plain(sign)), None)
    if hidden is not None:
        raise InputError(f"{where}: a field holds the hidden character U+{ord(hidden):04X}")
    values = dict(zip(COLUMNS, cells, strict=True))
    for column in ("trial", "source", "target"):
        if not 0 < len(values[column]) <= 500:
            raise InputError(f"{where}: {column} is empty or longer than 500 characters")
    if not OUTPUT.fullmatch(values["output"]):
        raise InputError(f"{where}: {printable(values['output'])} is no name such as outputs/<trial>.flac")
    if values["text_allowed"] not in ("yes", "no"):
        raise InputError(f"{where}: text_allowed is yes or no, not {printable(values['text_allowed'])}")
    film = values["output"].endswith(".mkv")
    seconds = _number(values["seconds"], 0.001, LONGEST_SECONDS, f"{where}: seconds")
    fps = size = None
    if film:
        fps = _number(values["fps"], 1.0, FASTEST, f"{where}: fps")
        size = int(_number(values["size"], *SIZES, f"{where}: size"))
    elif values["fps"] or values["size"]:
        raise InputError(f"{where}: fps and size belong to films")
    return TrialRow(
        trial=values["trial"],
        source=values["source"],
        target=values["target"],
        output=values["output"],
        seconds=seconds,
        text_allowed=values["text_allowed"] == "yes",
        fps=fps,
        size=size,
        input=values["input"],
    )


def _number(text: str, low: float, high: float, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise InputError(f"{where} is {printable(text, 20)}; expected a number from {low:g} to {high:g}")
    return number
