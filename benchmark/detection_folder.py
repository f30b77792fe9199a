"""The folder of a detection run: its record, its lock, its table of trials.

``run.json`` and ``trials.parquet`` are the truth; ``figures.csv`` is computed from them. Layout and columns
are explained in docs/detection-runs.md.
"""

import contextlib
import csv
import fcntl
import io
import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from doppelbench.engine.errors import RunError
from doppelbench.engine.files import replacing, write_bytes, write_json
from doppelbench.engine.run import FIGURES, LOCK, RECORD, safe_name

SCHEMA = 1
TRACK = "detection"
TRIALS = "trials.parquet"
# The variant of clips that were not degraded.
PLAIN = "plain"
# Columns of the table of trials with their types; only those marked may be null.
COLUMNS: Mapping[str, tuple[str, bool]] = {
    "protocol": ("text", False),
    "fold": ("text", False),
    "detector": ("text", False),
    "variant": ("text", False),
    "id": ("text", False),
    "part": ("text", False),
    "bonafide": ("bool", False),
    "attack": ("text", False),
    "control": ("bool", False),
    "attack_seen": ("bool", True),
    "speaker": ("text", False),
    "speaker_seen": ("bool", False),
    "source_speaker": ("text", True),
    "style": ("text", True),
    "style_seen": ("bool", True),
    "path": ("text", False),
    "score": ("number", True),
    "llr": ("number", True),
    "status": ("text", False),
    "reason": ("text", False),
}
FIGURE_COLUMNS = (
    "protocol",
    "fold",
    "detector",
    "variant",
    "group",
    "name",
    "metric",
    "value",
    "low",
    "high",
    "speaker_low",
    "speaker_high",
    "bonafide",
    "spoof",
    "reason",
)


class DetectionFolder:
    """A detection run that is being written; use it as a context manager."""

    def __init__(self, directory: Path, record: dict[str, Any], lock: IO[str]) -> None:
        """Use :meth:`open`."""
        self.directory = directory
        self.record = record
        self._lock = lock

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Begin a detection run, or go on with one.

        Raises:
            RunError: the folder holds something else, or another process writes it.
        """
        before: dict[str, Any] = {}
        if (directory / RECORD).is_file():
            before = read_record(directory)
        elif directory.is_dir() and any(item.name != LOCK for item in directory.iterdir()):
            raise RunError(f"{directory} holds files but no {RECORD}, so it is no run; use another name")
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / LOCK).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RunError(f"{directory} is being written by another process; use another name") from None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = {
            "schema": SCHEMA,
            "track": TRACK,
            "name": directory.name,
            "created": before.get("created", now),
        }
        return cls(directory, record | {"stages": before.get("stages", {})}, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def save(self) -> None:
        """Write ``run.json``."""
        write_json(self.directory / RECORD, json.loads(json.dumps(self.record, default=str)))

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage; seconds add up over sessions."""
        began = time.monotonic()
        stage = self.record["stages"].setdefault(name, {"seconds": 0.0, "peak_memory": 0})
        try:
            yield
        finally:
            stage["seconds"] = round(stage["seconds"] + time.monotonic() - began, 3)
            stage["peak_memory"] = max(stage["peak_memory"], _peak_memory())
            self.save()

    def system(self, detector: str, protocol: str, fold: str) -> Path:
        """Where a trained detector is kept."""
        return self.directory / "systems" / _below(detector, protocol, fold)

    def scores(self, detector: str, protocol: str, fold: str, variant: str) -> Path:
        """Where finished scores are kept until they are in the table of trials."""
        return self.directory / "scores" / _below(detector, protocol, fold) / f"{safe_name(variant)}.json"

    def material(self, clip: str, variant: str = PLAIN) -> Path:
        """Where the prepared (and perhaps degraded) recording of a clip is kept."""
        return self.directory / "material" / safe_name(variant) / f"{safe_name(clip)}.flac"

    def write_trials(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``trials.parquet``; its bytes depend on the rows alone."""
        import pyarrow as pa
        import pyarrow.parquet

        types = {"text": pa.string(), "bool": pa.bool_(), "number": pa.float64()}
        schema = pa.schema(
            [pa.field(name, types[kind], nullable=null) for name, (kind, null) in COLUMNS.items()]
        )
        table = pa.table({name: [row[name] for row in rows] for name in COLUMNS}, schema=schema)
        with replacing(self.directory / TRIALS) as part:
            pyarrow.parquet.write_table(table, part, compression="zstd")

    def write_figures(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``figures.csv``."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, FIGURE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: "" if row[name] is None else row[name] for name in row} for row in rows)
        write_bytes(self.directory / FIGURES, text.getvalue().encode())


def finding(severity: str, where: str, message: str) -> dict[str, str]:
    """Something a reader of the figures must know; ``severity`` is ``warning`` or ``note``."""
    return {"severity": severity, "where": where, "message": message}


def read_record(directory: Path) -> dict[str, Any]:
    """Read ``run.json`` of a detection run.

    Raises:
        RunError: there is none, it is damaged, of a newer version, or of a run of another track.
    """
    path = directory / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{directory} is no run: it has no {RECORD}") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if not isinstance(record, dict) or record.get("track") != TRACK:
        raise RunError(f"{directory} is no detection run; use another name")
    if not isinstance(record.get("schema"), int) or record["schema"] > SCHEMA:
        raise RunError(
            f"{path} has the schema {record.get('schema')}, this version reads up to {SCHEMA}; update "
            "doppelbench"
        )
    return record


def _below(detector: str, protocol: str, fold: str) -> Path:
    """A path for one training; a protocol with one unnamed fold keeps it under ``%``."""
    return Path(safe_name(detector)) / safe_name(protocol) / safe_name(fold)


def _peak_memory() -> int:
    used = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(used) * (1 if sys.platform == "darwin" else 1024)
