"""A detection run as it lies on disk: ``run.json`` and ``trials.parquet``, checked before anything is made of
them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doppelbench.benchmark.detection_folder import SCHEMA, TRACK, TRIALS
from doppelbench.corpora.errors import InputError
from doppelbench.engine.run import RECORD

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("protocol", "fold", "detector", "variant", "id", "part", "attack", "speaker", "path", "status")
OPTIONAL_TEXTS = ("source_speaker", "style", "reason")
FLAGS = ("bonafide", "control", "speaker_seen")
OPTIONAL_FLAGS = ("attack_seen", "style_seen")
NUMBERS = ("score", "llr")
# A clip may be a span of a longer recording.
SPANS = ("start", "end")
PARTS = ("development", "test")
# Systems answer the same trials, so an id alone names no fake.
KEY = ["protocol", "fold", "detector", "variant", "part", "attack", "speaker", "id"]
# What each part of the record must be, and what it is where it is left out.
PARTS_OF_RECORD: Mapping[str, type] = {
    "protocols": dict,
    "audit": list,
    "findings": list,
    "sources": list,
    "corpus": dict,
    "config": dict,
    "environment": dict,
    "stages": dict,
    "detectors": dict,
}


@dataclass(frozen=True, slots=True, eq=False)
class DetectionRun:
    """A detection run that was read.

    Attributes:
        folder: the run folder.
        record: content of ``run.json``; parts that may be left out are there, and empty.
        trials: rows of ``trials.parquet``. Texts are never null, ``score`` and ``llr`` are float64 with NaN
            where there is none, ``attack_seen`` and ``style_seen`` are True, False or None.
    """

    folder: Path
    record: Mapping[str, Any]
    trials: "pd.DataFrame"

    @property
    def protocols(self) -> list[str]:
        """Protocols in the order of the record, then those that only the trials know."""
        found = dict.fromkeys([*self.record["protocols"], *sorted(self.trials["protocol"].unique())])
        return [name for name in found if (self.trials["protocol"] == name).any()]


def read_detection_run(folder: Path) -> DetectionRun:
    """Read and check a detection run.

    Raises:
        InputError: a file is missing, damaged or not of a detection run; the message names file and place.
    """
    folder = Path(folder)
    return DetectionRun(folder, _read_record(folder / RECORD), _read_trials(folder / TRIALS))


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; a detection run has one") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(record, dict) or record.get("track") != TRACK:
        raise InputError(f"{path}: is not the record of a detection run; its track is not 'detection'")
    if record.get("schema") != SCHEMA:
        raise InputError(f"{path}: has schema {record.get('schema')!r}; this version reads {SCHEMA}")
    if not isinstance(record.get("name"), str):
        raise InputError(f"{path}: does not say the name of the run")
    for part, kind in PARTS_OF_RECORD.items():
        record.setdefault(part, kind())
        if not isinstance(record[part], kind):
            raise InputError(f"{path}: {part!r} must be {'an object' if kind is dict else 'a list'}")
    for part, keys in (("audit", ("feature", "flagged")), ("findings", ("message",)), ("sources", ())):
        for number, entry in enumerate(record[part]):
            if not isinstance(entry, dict) or any(key not in entry for key in keys):
                raise InputError(f"{path}: entry {number} of {part!r} needs {', '.join(keys) or 'keys'}")
    for part in ("protocols", "stages", "detectors"):
        for name, entry in record[part].items():
            if not isinstance(entry, dict):
                raise InputError(f"{path}: {name!r} of {part!r} must be an object")
    for name, entry in record["protocols"].items():
        for part in ("counts", "notes"):
            rows = entry.setdefault(part, [])
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise InputError(f"{path}: the {part} of protocol {name!r} must be a list of objects")
    return record


def _read_trials(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise InputError(f"{path}: there is no such file; a detection run has one")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a parquet file ({error})") from None
    missing = [name for name in (*TEXTS, *FLAGS, "attack_seen", *NUMBERS) if name not in table]
    if missing:
        raise InputError(f"{path}: there is no column {', '.join(missing)}")
    if table.empty:
        raise InputError(f"{path}: holds no trials")
    made: dict[str, Any] = {}
    for name in (*TEXTS, *OPTIONAL_TEXTS):
        made[name] = _texts(table, name, path, needed=name in TEXTS)
    for name in (*FLAGS, *OPTIONAL_FLAGS):
        made[name] = _flags(table, name, path, needed=name in FLAGS)
    for name in (*NUMBERS, *SPANS):
        made[name] = _numbers(table, name, path)
    trials = pd.DataFrame(made)
    _check_rows(trials, path)
    return trials


def _texts(table: "pd.DataFrame", name: str, path: Path, *, needed: bool) -> "pd.Series[Any]":
    import pandas as pd

    if name not in table:
        return pd.Series([""] * len(table), dtype=object)
    column = table[name].astype(object).reset_index(drop=True)
    empty = column.isna()
    wrong = ~empty & ~column.map(lambda value: isinstance(value, str))
    # Only an attack may be nothing, for a bona fide trial.
    if needed and name != "attack":
        wrong |= empty
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        held = "null" if empty[row] else repr(column[row])
        raise InputError(f"{path}: {name!r} of row {row} is {held}, not a text")
    return column.where(~empty, "")


def _flags(table: "pd.DataFrame", name: str, path: Path, *, needed: bool) -> "pd.Series[Any]":
    import pandas as pd

    if name not in table:
        return pd.Series([None] * len(table), dtype=object)
    column = table[name].astype(object).reset_index(drop=True)
    empty = column.isna()
    wrong = ~empty & ~column.isin([True, False])
    if needed:
        wrong |= empty
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        held = "null" if empty[row] else repr(column[row])
        raise InputError(f"{path}: {name!r} of row {row} is {held}, not true or false")
    if needed:
        return column.astype(bool)
    return pd.Series(
        [None if none else bool(value) for none, value in zip(empty, column, strict=True)], dtype=object
    )


def _numbers(table: "pd.DataFrame", name: str, path: Path) -> "pd.Series[Any]":
    import numpy as np
    import pandas as pd

    if name not in table:
        return pd.Series(np.full(len(table), np.nan))
    column = table[name].reset_index(drop=True)
    try:
        numbers = pd.to_numeric(column).astype("float64")
    except (ValueError, TypeError):
        raise InputError(f"{path}: column {name!r} does not hold numbers") from None
    infinite = np.isinf(numbers.to_numpy())
    if infinite.any():
        row = int(infinite.argmax())
        raise InputError(f"{path}: {name!r} of row {row} is {numbers[row]}; it must be finite or null")
    return numbers


def _check_rows(trials: "pd.DataFrame", path: Path) -> None:
    problems = (
        (~trials["part"].isin(PARTS), "has a part that is neither development nor test"),
        (trials["bonafide"] & (trials["attack"] != ""), "is bona fide and has an attack"),
        (trials["bonafide"] & trials["control"], "is bona fide and of a control generator"),
        (~trials["bonafide"] & (trials["attack"] == ""), "is spoofed and does not say its attack"),
        ((trials["status"] == "ok") & trials["score"].isna(), "has the status ok and no score"),
        ((trials["status"] != "ok") & trials["score"].notna(), "has a score though its status is not ok"),
        (trials.duplicated(KEY), "stands there twice"),
    )
    for wrong, what in problems:
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            where = ", ".join(f"{name} {trials[name][row]!r}" for name in KEY)
            raise InputError(f"{path}: row {row} ({where}) {what}")
    if not (trials["part"] == "test").any():
        raise InputError(f"{path}: holds no trials of the part test")
