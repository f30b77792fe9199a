"""Results: what a board is made of, one small file a run or accepted submission.

A result is ``<id>.json`` and, where the items of the run were at hand, ``<id>.items.parquet`` beside it: what
each item adds to the headline figure of each system, so that systems of different results can be tested
against each other on the same trials. The layout is published as ``result.schema.json``; whatever does not
fit it is refused with the name of the file and of the field.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from doppelbench.corpora.errors import InputError

SCHEMA = 1
ITEMS_SUFFIX = ".items.parquet"
ITEM_COLUMNS = ("system", "trial", "numerator", "denominator")
LONGEST_SLUG = 60
LARGEST_RESULT = 64 << 20
SHOWN_ERRORS = 3

Text = Annotated[str, Field(max_length=20_000)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
Stamp = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?$")]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


class Part(BaseModel):
    """A part of a published file: nothing unknown, nothing converted, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class CorpusPart(Part):
    """What the systems were measured on."""

    label: Name = Field(description="name of the corpus")
    hash: Digest = Field(description="content hash of its clips")
    clips: Count | None = Field(default=None, description="number of its clips")


class TrialsPart(Part):
    """What every system had to answer."""

    count: Count
    hash: Digest = Field(description="hash of what the trials are made of; equal hashes can be compared")
    task: Text = Field(default="", description="protocol and fold, where a track has several")


class MetricPart(Part):
    """A metric of the result."""

    name: Name
    signature: Name = Field(description="everything that can change a value")
    unit: Annotated[str, Field(max_length=40)] = ""
    direction: Literal["higher", "lower"] = Field(description="which way is better")
    title: Text = ""


class FigurePart(Part):
    """One figure of a system, with its 95 % interval."""

    metric: Name
    value: float | None
    low: float | None
    high: float | None
    n: Count = Field(description="scored items")
    expected: Count = Field(description="items that should be scored")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.n > self.expected:
            raise ValueError(f"{self.n} scored items of {self.expected} expected")
        if self.value is None and (self.low is not None or self.high is not None):
            raise ValueError("an interval without a value")
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval with one bound")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"the lower bound {self.low} is above the upper bound {self.high}")
        return self

    @property
    def coverage(self) -> float:
        """Scored items over expected items."""
        return self.n / self.expected if self.expected else 0.0


class CostPart(Part):
    """What a system took, as far as it is known."""

    training_seconds: Amount | None = Field(default=None, description="of all its trainings")
    synthesis_seconds: Amount | None = Field(default=None, description="of all its outputs")
    peak_memory: Count | None = Field(default=None, description="most bytes of one training")
    parameters: Count | None = Field(default=None, description="of its largest model")


class SystemPart(Part):
    """One system: what it is, what it took, how it did."""

    key: Name = Field(description="its name on the board")
    name: Text = Field(default="", description="what it is registered as; a key may stand for a variant")
    title: Text = ""
    description: Text = ""
    paper: Text = ""
    preset: Annotated[str, Field(max_length=100)] | None = None
    reference_row: bool = Field(default=False, description="whether it pins the scale instead of competing")
    zero_shot: bool | None = Field(default=None, description="whether nobody of the trials was heard")
    extra_data: bool | None = Field(default=None, description="whether others than the target were heard")
    trained_on: Text | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    cost: CostPart = CostPart()
    figures: tuple[FigurePart, ...]


class ItemsPart(Part):
    """Where the items lie."""

    metric: Name
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=200)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    exact: bool = Field(default=True, description="false where the figure is no ratio of sums over items")


class Result(Part):
    """A result of doppelbench: the figures of the systems of one run on one track, corpus and set of trials.

    ``ranking`` names the metrics that order a board, the first that was measured deciding; the track states
    it.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: Name = Field(description="of the run or submission")
    created: Stamp
    track: Name
    track_title: Text = ""
    corpus: CorpusPart
    trials: TrialsPart
    ranking: tuple[Name, ...] = Field(min_length=1)
    recipe: Annotated[str, Field(max_length=500)] = ""
    preset: Annotated[str, Field(max_length=100)] | None = None
    seeds: dict[str, int] = Field(default_factory=dict)
    environment: Text = Field(default="", description="machine and versions in one line")
    commit: Annotated[str, Field(max_length=80)] = ""
    config: dict[str, Any] | None = Field(
        default=None, description="the whole recipe, by which the figures can be made again"
    )
    versions: dict[str, str] = Field(default_factory=dict, description="of Python and the packages")
    machine: dict[str, str] = Field(default_factory=dict, description="processor, accelerators and platform")
    published: Text = Field(default="", description="key of a published table to be shown, never mixed in")
    metrics: tuple[MetricPart, ...] = Field(min_length=1)
    systems: tuple[SystemPart, ...] = Field(min_length=1)
    items: ItemsPart | None = Field(default=None, description="absent when only figures were kept")
    notes: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        metrics = [metric.name for metric in self.metrics]
        _unique(metrics, "the metric")
        _unique([(system.key, system.preset) for system in self.systems], "the system")
        for system in self.systems:
            _unique([figure.metric for figure in system.figures], f"of {system.key} the metric")
            for figure in system.figures:
                if figure.metric not in metrics:
                    raise ValueError(f"{system.key} has a figure of {figure.metric}, which is no metric here")
        if self.headline is None:
            raise ValueError(f"none of the ranking metrics {', '.join(self.ranking)} was measured")
        if self.items is not None and self.items.metric != self.headline.name:
            raise ValueError(f"the items are of {self.items.metric}, the headline is {self.headline.name}")
        return self

    @property
    def headline(self) -> MetricPart | None:
        """The metric that decides: the first of the ranking that a system has a figure of."""
        measured = {
            figure.metric
            for system in self.systems
            for figure in system.figures
            if not system.reference_row and figure.value is not None
        }
        declared = {metric.name: metric for metric in self.metrics}
        for wanted in (measured, set(declared)):
            for name in self.ranking:
                if name in wanted:
                    return declared[name]
        return None

    def as_json(self) -> str:
        """The file's content: sorted keys, one value a line, the same bytes for equal results."""
        content = self.model_dump(mode="json", by_alias=True)
        return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True, slots=True)
class SystemItems:
    """What the items of one system add to its headline figure.

    Attributes:
        trials: names of the trials, shape (n,).
        numerators: shape (n,), float64.
        denominators: shape (n,), float64, not negative; 1 for a mean.
    """

    trials: np.ndarray
    numerators: np.ndarray
    denominators: np.ndarray


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result with its id and, by system, its items.

    Attributes:
        id: name of the file without its suffix.
        result: the content.
        items: by key and preset of the system; empty when only figures were kept.
        examples: media to hear or see, by key of the system: pairs of a label and a file.
    """

    id: str
    result: Result
    items: Mapping[str, SystemItems] = field(default_factory=dict)
    examples: Mapping[str, Sequence[tuple[str, Path]]] = field(default_factory=dict)


def system_id(key: str, preset: str | None) -> str:
    """Name of a system in the table of items: the key, with its preset where it has one."""
    return key if preset is None else f"{key}@{preset}"


def slug(text: str) -> str:
    """Return a short file name for any text; one that loses something ends in a hash."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_SLUG].strip("-")
    if plain and plain == text:
        return plain
    return f"{plain or 'x'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_result(path: Path, *, items: bool = True) -> StoredResult:
    """Read a result and check everything in it.

    Args:
        path: the JSON file.
        items: whether to read the items too.

    Raises:
        InputError: the file cannot be read, does not fit the schema, or its items are missing or changed; the
            message names the file and the field.
    """
    try:
        if path.stat().st_size > LARGEST_RESULT:
            raise InputError(f"{path}: larger than {LARGEST_RESULT >> 20} MiB, so no result")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such result") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a result: {error}") from None
    result = parse_result(text, str(path))
    stored: dict[str, SystemItems] = {}
    if items and result.items is not None:
        file = path.parent / result.items.file
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: items.file: {file.name} cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != result.items.sha256:
            raise InputError(f"{path}: items.sha256: {file.name} was changed after the result was written")
        known = {system_id(system.key, system.preset) for system in result.systems}
        stored = _read_items(content, str(file), known)
        _check_items(result, stored, str(path))
    return StoredResult(path.stem, result, stored)


def parse_result(text: str, where: str) -> Result:
    """Check the content of a result file.

    Raises:
        InputError: it is no JSON or does not fit the schema.
    """
    try:
        content = json.loads(text)
        version = content.get("schema") if isinstance(content, dict) else None
        if isinstance(version, int) and version > SCHEMA:
            raise InputError(
                f"{where}: schema: is {version}, this version reads up to {SCHEMA}; update doppelbench"
            )
        return Result.model_validate_json(text)
    except ValidationError as error:
        raise InputError(f"{where}: {said_wrong(error)}") from None
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON: {error}") from None


def said_wrong(error: ValidationError) -> str:
    """The first things that are wrong, each with the name of its field."""
    found = error.errors(include_url=False)
    said = []
    for entry in found[:SHOWN_ERRORS]:
        place = ".".join(str(part) for part in entry["loc"]) or "the whole"
        message = entry["msg"].removeprefix("Value error, ")
        said.append(f"{place}: {message[0].lower() + message[1:]}")
    more = f", and {len(found) - SHOWN_ERRORS} more" if len(found) > SHOWN_ERRORS else ""
    return "; ".join(said) + more


def write_result(
    result: Result, folder: Path, items: Mapping[str, SystemItems] | None = None, *, exact: bool = True
) -> StoredResult:
    """Write a result and its items; the same result has the same file name and bytes.

    Args:
        result: without a note of its items, which is made here.
        folder: where; made when it is not there.
        items: by name of the system (:func:`system_id`); None when only figures were kept.
        exact: whether the items sum up to the headline figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prepared = with_items(result, items, exact=exact)
    if prepared.content is not None:
        assert prepared.stored.result.items is not None
        _replace(folder / prepared.stored.result.items.file, prepared.content)
    _replace(folder / f"{prepared.stored.id}.json", prepared.stored.result.as_json().encode())
    return prepared.stored


@dataclass(frozen=True, slots=True)
class PreparedResult:
    """A result as it is stored, and the bytes of its table of items."""

    stored: StoredResult
    content: bytes | None


def with_items(
    result: Result, items: Mapping[str, SystemItems] | None, *, exact: bool = True
) -> PreparedResult:
    """Give a result its id and note its items in it."""
    headline = result.headline
    assert headline is not None
    identity = f"{slug(result.name)}-{hashlib.sha256(result.as_json().encode()).hexdigest()[:8]}"
    if not items:
        return PreparedResult(StoredResult(identity, result), None)
    content = _items_bytes(items)
    part = ItemsPart(
        metric=headline.name,
        file=f"{identity}{ITEMS_SUFFIX}",
        sha256=hashlib.sha256(content).hexdigest(),
        exact=exact,
    )
    return PreparedResult(StoredResult(identity, result.model_copy(update={"items": part}), items), content)


def find_results(folder: Path) -> list[Path]:
    """Result files of a folder, by name."""
    return sorted(path for path in folder.glob("*.json") if path.is_file())


def trials_hash(trials: Iterable[Any]) -> str:
    """Hash of what trials are made of, in any order; the entries must be JSON-able."""
    lines = sorted(json.dumps(trial, sort_keys=True, ensure_ascii=False) for trial in trials)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def result_schema() -> dict[str, Any]:
    """The published JSON schema of a result."""
    schema = Result.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _unique(values: Sequence[Any], what: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            name = value if isinstance(value, str) else system_id(*value)
            raise ValueError(f"{what} {name} stands twice")
        seen.add(value)


def _check_items(result: Result, items: Mapping[str, SystemItems], where: str) -> None:
    """The items must give the figures, or the ranking would rest on other numbers than it shows."""
    headline = result.headline
    assert headline is not None
    if result.items is None or not result.items.exact:
        return
    for system in result.systems:
        own = items.get(system_id(system.key, system.preset))
        figure = next((one for one in system.figures if one.metric == headline.name), None)
        if own is None or figure is None or figure.value is None:
            continue
        total = float(own.denominators.sum())
        value = float(own.numerators.sum()) / total if total else math.nan
        if not math.isclose(value, figure.value, rel_tol=1e-6, abs_tol=1e-6):
            raise InputError(
                f"{where}: items.file: the items of {system.key} give {value:.6g} {headline.name}, its "
                f"figure is {figure.value:.6g}"
            )


def _read_items(content: bytes, where: str, known: set[str]) -> dict[str, SystemItems]:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(
            pa.BufferReader(content), read_dictionary=["system", "trial"], use_threads=False
        )
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{where}: no table of items: {error}") from None
    if tuple(table.column_names) != ITEM_COLUMNS:
        raise InputError(
            f"{where}: the columns are {', '.join(table.column_names)}, not {', '.join(ITEM_COLUMNS)}"
        )
    systems, system_names = _codes(table["system"], where)
    trials, trial_names = _codes(table["trial"], where)
    numbers = {}
    for name in ITEM_COLUMNS[2:]:
        if table[name].null_count or not pa.types.is_float64(table[name].type):
            raise InputError(f"{where}: {name} must be numbers without gaps")
        numbers[name] = table[name].to_numpy()
        if not np.isfinite(numbers[name]).all():
            raise InputError(f"{where}: {name} holds a number that is not finite")
    if (numbers["denominator"] < 0).any():
        raise InputError(f"{where}: denominator is negative")
    unknown = sorted(set(system_names) - known)
    if unknown:
        raise InputError(f"{where}: system: {unknown[0]} is not in the result")
    found = {}
    order = np.lexsort((trials, systems))
    borders = np.searchsorted(systems[order], np.arange(len(system_names) + 1))
    for code, name in enumerate(system_names):
        own = order[borders[code] : borders[code + 1]]
        if len(np.unique(trials[own])) != len(own):
            raise InputError(f"{where}: trial: {name} has one twice")
        found[str(name)] = SystemItems(
            trial_names[trials[own]], numbers["numerator"][own], numbers["denominator"][own]
        )
    return found


def _codes(column: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a column of names and the names, whatever its chunks hold."""
    import pyarrow as pa

    merged = column.unify_dictionaries().combine_chunks()
    chunks = merged.chunks if isinstance(merged, pa.ChunkedArray) else [merged]
    if column.null_count or not all(pa.types.is_dictionary(chunk.type) for chunk in chunks):
        raise InputError(f"{where}: system and trial must be names without gaps")
    if not chunks:
        return np.zeros(0, np.int64), np.zeros(0, dtype=object)
    names = np.array(chunks[0].dictionary.to_pylist(), dtype=object)
    return np.concatenate([chunk.indices.to_numpy() for chunk in chunks]).astype(np.int64), names


def _items_bytes(items: Mapping[str, SystemItems]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    names, trials, numerators, denominators = [], [], [], []
    for name in sorted(items):
        own = items[name]
        order = np.argsort(own.trials.astype(str), kind="stable")
        names += [name] * len(order)
        trials.append(own.trials[order])
        numerators.append(np.asarray(own.numerators, np.float64)[order])
        denominators.append(np.asarray(own.denominators, np.float64)[order])
    table = pa.table(
        {
            "system": pa.array(names, pa.string()),
            "trial": pa.array(np.concatenate(trials).tolist(), pa.string()),
            "numerator": np.concatenate(numerators),
            "denominator": np.concatenate(denominators),
        }
    )
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd", row_group_size=1 << 20)
    return bytes(sink.getvalue())


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.chmod(name, 0o644)
    os.replace(name, path)
