"""A run's folder: the only thing that boards, gates and comparisons read.

``items.parquet`` and ``run.json`` are the truth, everything else is rendered from them. Scores go to an
append-only journal first, one synced line each, so that a killed run loses at most the line in hand;
finishing sorts them into ``items.parquet``, whose bytes depend on the scores alone: not on workers, order, or
how often the run was resumed. What does differ from time to time, the milliseconds, is kept apart in
``timings.parquet``.
"""

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import math
import os
import resource
import shutil
import socket
import sys
import time
import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from doppelbench.engine.errors import ConfigError, DependencyError, RunError
from doppelbench.engine.files import replacing, sync_folder, write_bytes, write_json
from doppelbench.engine.hashing import canonical, canonical_json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA = 1
RECORD = "run.json"
ITEMS = "items.parquet"
TIMINGS = "timings.parquet"
JOURNAL = "items.journal.jsonl"
FIGURES = "figures.csv"
LOCK = ".lock"
FOLDERS = ("systems", "outputs", "listening")
RENDERED = (
    "report.html",
    "experiment.csv",
    "experiment.md",
    "reprojection.csv",
    "reprojection_averages.csv",
)
NAME_LENGTH = 150
SHOWN_DIFFERENCES = 5

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class ItemRow:
    """Score of one output by one metric.

    Attributes:
        system: which system made it.
        trial: what it had to make.
        metric: what scored it.
        key: content hash of the inputs and the metric's signature; a score is reused while it stays the same.
        value: the score; None unless ``status`` is ``ok``.
        status: ``ok`` or why there is no value.
        reason: one line; empty when ``ok``.
        statistics: what the figure is computed from, as JSON can hold it.
        signature_id: which of the run's signatures the metric had (:func:`signature_id`).
        milliseconds: time it took; not part of ``items.parquet``.
    """

    system: str
    trial: str
    metric: str
    key: str
    value: float | None
    status: str = "ok"
    reason: str = ""
    statistics: Mapping[str, Any] = field(default_factory=dict)
    signature_id: str = ""
    milliseconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a failed item with a number and a scored one without.

        Raises:
            ValueError: value and status contradict each other.
        """
        fits = (
            self.value is None
            if self.status != "ok"
            else self.value is not None and math.isfinite(self.value)
        )
        if not fits:
            raise ValueError(
                f"{'/'.join(self.place)} has the value {self.value} with the status {self.status}"
            )

    @property
    def place(self) -> Place:
        """Where the item stands: system, trial, metric."""
        return self.system, self.trial, self.metric


@dataclass(frozen=True, slots=True)
class FigureRow:
    """Figure of one system by one metric, with its interval, as in ``figures.csv``."""

    system: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    expected: int
    signature_id: str = ""

    @property
    def coverage(self) -> float:
        """Scored items over expected items."""
        return self.n / self.expected if self.expected else 0.0


@dataclass(slots=True)
class Stage:
    """What a stage took: seconds of all sessions, most bytes of this process or one of its children."""

    seconds: float = 0.0
    peak_memory: int = 0
    finished: bool = False


@dataclass(slots=True)
class Session:
    """One start of the program on a run."""

    command: list[str]
    started: str
    environment: dict[str, Any] = field(default_factory=dict)
    ended: str = ""
    status: str = "running"


@dataclass(slots=True)
class RunInfo:
    """What ``run.json`` holds.

    Attributes:
        name: of the folder.
        created: time stamp, UTC.
        config: everything that can change a result; a run is resumed only with the same.
        seeds: by purpose.
        corpus: name, version, split and the like of the clips.
        plan: what was to be done: systems, trials, metrics with their options, classifier.
        inputs: SHA-256 of every input by id.
        signatures: full signature of a metric by its id.
        coverage: scored and expected items by system and metric.
        metrics: seconds, items and the like by metric, the ledger of costs.
        stages: seconds and memory by stage.
        sessions: every start of the program, with its environment.
        schema: version of this layout.
    """

    name: str
    created: str
    config: dict[str, Any]
    seeds: dict[str, Any] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    coverage: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    schema: int = SCHEMA


class Run:
    """A run's folder, open for reading (:meth:`open`) or, one process at a time, writing (:meth:`resume`)."""

    def __init__(self, directory: Path, info: RunInfo, lock: IO[str] | None = None) -> None:
        """Use :meth:`open` or :meth:`resume`."""
        self.directory = directory
        self.info = info
        self._lock = lock
        self._journal: IO[bytes] | None = None

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open a run for reading.

        Raises:
            RunError: the folder holds no run, or one of a newer version.
        """
        return cls(directory, _read_info(directory))

    @classmethod
    def resume(
        cls,
        directory: Path,
        config: Mapping[str, Any] | None = None,
        *,
        command: Sequence[str] = (),
        environment: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> Self:
        """Open a run for writing; begin it when the folder is empty or not there.

        Args:
            directory: the folder.
            config: everything that can change a result, JSON-able; None takes the one of the existing run.
            command: what the user typed.
            environment: record of the environment for this session.
            force: replace a run with another configuration by an empty one.

        Raises:
            RunError: the folder holds something else, a run of a newer version, or one in use.
            ConfigError: the run has another configuration; the message says what differs.
        """
        exists = (directory / RECORD).is_file()
        if not exists and directory.is_dir() and any(item.name != LOCK for item in directory.iterdir()):
            raise RunError(f"{directory} holds files but no {RECORD}, so it is no run; use another name")
        if not exists and config is None:
            raise RunError(f"{directory} is no run: it has no {RECORD}")
        directory.mkdir(parents=True, exist_ok=True)
        lock = _lock(directory)
        try:
            info = _read_info(directory) if exists else None
            wanted = None if config is None else json.loads(canonical_json(config))
            if info is not None and wanted is not None and info.config != wanted:
                if not force:
                    raise ConfigError(_difference_message(directory, info.config, wanted))
                _clear(directory)
                info = None
            if info is None:
                assert wanted is not None
                info = RunInfo(directory.name, _now(), wanted)
            run = cls(directory, info, lock)
            record = json.loads(json.dumps(canonical(environment or {})))
            info.sessions.append(Session(list(command), _now(), record))
            run.save()
        except BaseException:
            lock.close()
            raise
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close("complete" if kind is None else "interrupted")

    def close(self, status: str = "complete") -> None:
        """End the session and let others write."""
        if self._lock is None:
            return
        if self._journal:
            self._journal.close()
            self._journal = None
        self.info.sessions[-1].ended = _now()
        self.info.sessions[-1].status = status
        self.save()
        self._lock.close()
        self._lock = None

    def save(self) -> None:
        """Write ``run.json`` as :attr:`info` is now.

        Raises:
            RunError: the run is open for reading.
        """
        self._must_write()
        write_json(self.directory / RECORD, asdict(self.info))

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Measure a stage; seconds add up over sessions, also of one that did not finish."""
        stage = self.info.stages.setdefault(name, Stage())
        stage.finished = False
        began = time.monotonic()
        try:
            yield stage
            stage.finished = True
        finally:
            stage.seconds = round(stage.seconds + time.monotonic() - began, 3)
            stage.peak_memory = max(stage.peak_memory, _peak_memory())
            self.save()

    def system_directory(self, system: str, target: str | None = None) -> Path:
        """Return where a fitted system is kept; one fitted for a target has a folder for it."""
        folder = self.directory / "systems" / safe_name(system)
        return folder if target is None else folder / safe_name(target)

    def output_path(self, system: str, trial: str, suffix: str) -> Path:
        """Return where the output for a trial is kept; ``suffix`` such as ``.flac``."""
        return output_path(self.directory, system, trial, suffix)

    def add_signature(self, signature: str) -> str:
        """Note a metric's signature and return its id; :meth:`save` writes it."""
        identifier = signature_id(signature)
        self.info.signatures[identifier] = signature
        return identifier

    def append_items(self, rows: Iterable[ItemRow]) -> None:
        """Add scores to the journal; when this returns they survive a power cut.

        Raises:
            RunError: the run is open for reading.
            ValueError: a statistic is not finite.
            TypeError: a statistic has no JSON form.
        """
        self._must_write()
        content = b"".join(_journal_line(row) for row in rows)
        if self._journal is None:
            path = self.directory / JOURNAL
            _cut_torn_line(path)
            self._journal = path.open("ab")
            sync_folder(self.directory)
        self._journal.write(content)
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def item_rows(self) -> list[ItemRow]:
        """Return all scores, finished or in the journal, sorted by place; the newest of a place counts.

        Raises:
            RunError: a file is damaged.
        """
        rows = {row.place: row for row in self._finished_rows()}
        rows.update((row.place, row) for row in self._journal_rows())
        return [rows[place] for place in sorted(rows)]

    def scored_keys(self, retry: Collection[str] = ()) -> dict[Place, str]:
        """Return the content key under which each item is scored.

        Args:
            retry: statuses, such as ``timeout``, that count as not scored.
        """
        return {row.place: row.key for row in self.item_rows() if row.status not in retry}

    def finish_items(self, expected: Collection[Place] | None = None) -> None:
        """Sort the journal into ``items.parquet`` and ``timings.parquet``.

        Args:
            expected: the items that belong to the run; others, of a metric since removed, are dropped. None
                keeps all.
        """
        self._must_write()
        wanted = None if expected is None else set(expected)
        rows = [row for row in self.item_rows() if wanted is None or row.place in wanted]
        _write_parquet(self.directory / TIMINGS, _timings_table(rows))
        _write_parquet(self.directory / ITEMS, _items_table(rows))
        if self._journal:
            self._journal.close()
            self._journal = None
        (self.directory / JOURNAL).unlink(missing_ok=True)

    def items(self) -> "pd.DataFrame":
        """Return the scores as a table with the columns of ``items.parquet``; ``statistics`` is JSON text."""
        return _items_table(self.item_rows()).to_pandas()

    def write_figures(self, rows: Iterable[FigureRow]) -> None:
        """Write ``figures.csv``, sorted by system and metric."""
        self._must_write()
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*(item.name for item in fields(FigureRow)), "coverage"])
        for row in sorted(rows, key=lambda row: (row.system, row.metric)):
            values = [getattr(row, item.name) for item in fields(FigureRow)]
            writer.writerow(["" if value is None else value for value in [*values, row.coverage]])
        write_bytes(self.directory / FIGURES, text.getvalue().encode())

    def figures(self) -> list[FigureRow]:
        """Read ``figures.csv``; empty when it was not written yet."""
        path = self.directory / FIGURES
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [_figure(row) for row in csv.DictReader(file)]

    def _must_write(self) -> None:
        if self._lock is None:
            raise RunError(f"{self.directory} is open for reading only")

    def _finished_rows(self) -> Iterator[ItemRow]:
        path = self.directory / ITEMS
        if not path.is_file():
            return
        times = _read_parquet(self.directory / TIMINGS) if (self.directory / TIMINGS).is_file() else []
        known = {(row["system"], row["trial"], row["metric"]): row["milliseconds"] for row in times}
        for row in _read_parquet(path):
            place = row["system"], row["trial"], row["metric"]
            statistics = json.loads(row.pop("statistics"))
            yield ItemRow(**row, statistics=statistics, milliseconds=known.get(place, 0.0))

    def _journal_rows(self) -> Iterator[ItemRow]:
        path = self.directory / JOURNAL
        if not path.is_file():
            return
        lines = path.read_bytes().split(b"\n")
        # What follows the last line end was being written when the program was killed.
        for number, line in enumerate(lines[:-1], start=1):
            try:
                yield ItemRow(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise RunError(
                    f"{path}, line {number} is damaged ({error}); delete the line to score that item again"
                ) from error


def signature_id(signature: str) -> str:
    """Return the short name of a signature: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(signature.encode()).hexdigest()[:12]


def output_path(directory: Path, system: str, trial: str, suffix: str) -> Path:
    """Return where a run's folder keeps the output of a system for a trial."""
    return directory / "outputs" / safe_name(system) / (safe_name(trial) + suffix)


def safe_name(text: str) -> str:
    """Return a file name for any id: other characters than letters, digits and ``-_~@+=,.`` percent-encoded.

    Different ids have different names; one too long for a file system ends in a hash instead.
    """
    name = urllib.parse.quote(text, safe="@+=,")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if not name:
        return "%"
    if len(name) > NAME_LENGTH:
        name = f"{name[: NAME_LENGTH - 17]}%{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return name


def _read_info(directory: Path) -> RunInfo:
    path = directory / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{directory} is no run: it has no {RECORD}") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    version = record.get("schema")
    if not isinstance(version, int) or version > SCHEMA:
        raise RunError(
            f"{path} has the schema {version}, this version reads up to {SCHEMA}; update doppelbench"
        )
    try:
        record["stages"] = {name: Stage(**stage) for name, stage in record["stages"].items()}
        record["sessions"] = [Session(**session) for session in record["sessions"]]
        return RunInfo(**record)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error


def _lock(directory: Path) -> IO[str]:
    """Take the lock, which the system takes back when the process ends, however it ends."""
    file = (directory / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise RunError(f"{directory} is being written by {owner}; wait for it, or use another name") from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def _clear(directory: Path) -> None:
    """Delete what a run's folder holds, and nothing else that may lie there."""
    for name in (RECORD, ITEMS, TIMINGS, JOURNAL, FIGURES, *RENDERED):
        (directory / name).unlink(missing_ok=True)
    for name in FOLDERS:
        shutil.rmtree(directory / name, ignore_errors=True)


def _difference_message(directory: Path, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    old, new = dict(_flat(before)), dict(_flat(wanted))
    missing = object()
    names = sorted(name for name in {*old, *new} if old.get(name, missing) != new.get(name, missing))
    shown = [
        f"{name} is {json.dumps(old[name]) if name in old else 'not set'} there and "
        f"{json.dumps(new[name]) if name in new else 'not set'} now"
        for name in names[:SHOWN_DIFFERENCES]
    ]
    more = f", and {len(names) - SHOWN_DIFFERENCES} more" if len(names) > SHOWN_DIFFERENCES else ""
    return (
        f"{directory} is a run with another configuration: {'; '.join(shown)}{more}. Use another name, or "
        "--force to replace it"
    )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _journal_line(row: ItemRow) -> bytes:
    return json.dumps(canonical(row), sort_keys=True, allow_nan=False, ensure_ascii=False).encode() + b"\n"


def _cut_torn_line(path: Path) -> None:
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _items_table(rows: Sequence[ItemRow]) -> "pa.Table":
    pa = _pyarrow()
    text = pa.string()
    schema = pa.schema(
        [
            pa.field("system", text, nullable=False),
            pa.field("trial", text, nullable=False),
            pa.field("metric", text, nullable=False),
            pa.field("key", text, nullable=False),
            pa.field("value", pa.float64()),
            pa.field("status", text, nullable=False),
            pa.field("reason", text, nullable=False),
            pa.field("statistics", text, nullable=False),
            pa.field("signature_id", text, nullable=False),
        ]
    )
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names if name != "statistics"}
    columns["statistics"] = [canonical_json(row.statistics) for row in rows]
    return pa.table(columns, schema=schema)


def _timings_table(rows: Sequence[ItemRow]) -> "pa.Table":
    pa = _pyarrow()
    names = ("system", "trial", "metric")
    schema = pa.schema(
        [*(pa.field(name, pa.string(), nullable=False) for name in names), ("milliseconds", pa.float64())]
    )
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)


def _write_parquet(path: Path, table: "pa.Table") -> None:
    import pyarrow.parquet

    with replacing(path) as part:
        pyarrow.parquet.write_table(table, part, compression="zstd", row_group_size=100_000)


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    pa = _pyarrow()
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.ParquetFile(path).read().to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return rows


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise DependencyError("the items of a run need the package pyarrow: pip install pyarrow") from error
    return pyarrow


def _figure(row: Mapping[str, str]) -> FigureRow:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return FigureRow(
        row["system"],
        row["metric"],
        number("value"),
        number("low"),
        number("high"),
        int(row["n"]),
        int(row["expected"]),
        row["signature_id"],
    )


def _peak_memory() -> int:
    used = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(used) * (1 if sys.platform == "darwin" else 1024)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
