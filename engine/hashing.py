"""Content keys: one SHA-256 over canonical JSON, the same on every machine and Python version."""

import dataclasses
import hashlib
import json
import numbers
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

BLOCK = 1 << 20


def canonical(value: Any) -> Any:
    """Reduce a value to what JSON can hold, with one representation for equal values.

    Dataclasses become dictionaries, paths strings, sets sorted lists, tuples lists, NumPy's
    numbers plain ones, bytes their hash.

    Raises:
        TypeError: the value has no canonical form.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: canonical(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a mapping in a content key needs strings as keys")
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, Set):
        return sorted((canonical(item) for item in value), key=canonical_json)
    if isinstance(value, Sequence):
        return [canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, floats by their shortest exact form."""
    return json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_key(*parts: Any) -> str:
    """Return the SHA-256 (64 hex digits) of any JSON-able parts; the order of the parts counts.

    Raises:
        TypeError: a part has no canonical form.
    """
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
