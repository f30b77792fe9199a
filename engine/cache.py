"""A cache of named arrays per item, one flat file a field, mapped into memory when read.

A training reads its features from here, so that the machine with the GPU needs neither codecs nor packages
that compute features, and memory stays flat whatever the size of the corpus. A cache lives under the key of
its content (inputs and settings): another key is another folder, and what is there is never changed.

``<directory>/<key>/<field>.bin`` holds the items' arrays one after another, little-endian, each aligned to 64
bytes; ``index.json`` holds for each item and field the offset, the shape and the SHA-256.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from doppelbench.engine.errors import CacheError, ConfigError
from doppelbench.engine.files import sync_folder, write_json
from doppelbench.engine.pool import Task, run_pool

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
INDEX = "index.json"
ALIGNMENT = 64
DTYPES = ("float16", "float32", "float64", "uint8", "int16", "int32", "int64", "bool")


@dataclass(frozen=True, slots=True)
class CacheItem:
    """One item to compute.

    Attributes:
        id: its name in the cache; no two items share one.
        arguments: keyword arguments of the function, such as paths, that JSON can hold.
        cost: expected cost in any unit, such as seconds of audio; larger ones start first.
    """

    id: str
    arguments: Mapping[str, Any]
    cost: float = 1.0


class ArrayCache:
    """A finished cache: ``cache[item][field]`` is a read-only view of the file, of which nothing is copied.

    It opens its files again in another process, so it can be handed to loading workers.
    """

    def __init__(self, folder: Path) -> None:
        """Open a finished cache.

        Raises:
            CacheError: the folder holds none, one of another version, or a file is cut short.
        """
        self.folder = folder
        try:
            index = json.loads((folder / INDEX).read_text())
        except (OSError, ValueError) as error:
            raise CacheError(f"{folder} holds no finished cache ({error}); build it again") from error
        if index.get("schema") != SCHEMA:
            raise CacheError(
                f"{folder} is a cache of format {index.get('schema')}, this version reads {SCHEMA}; delete it"
            )
        self.key: str = index["key"]
        self.failed: dict[str, str] = index["failed"]
        self._fields: dict[str, dict[str, Any]] = index["fields"]
        self._items: dict[str, dict[str, list[Any]]] = index["items"]
        self._maps: dict[str, np.ndarray] = {}
        for name, field in self._fields.items():
            path = folder / f"{name}.bin"
            size = path.stat().st_size if path.is_file() else -1
            if size != field["bytes"]:
                raise CacheError(f"{path} has {size} bytes, {field['bytes']} were written; delete {folder}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __contains__(self, item: str) -> bool:
        return item in self._items

    def __getitem__(self, item: str) -> dict[str, "np.ndarray"]:
        """Return an item's arrays by field, read-only.

        Raises:
            KeyError: there is no such item; its failure, if it has one, is in the message.
        """
        if item not in self._items:
            reason = self.failed.get(item)
            raise KeyError(f"{item} is not in the cache {self.folder}" + (f": {reason}" if reason else ""))
        return {name: self._view(name, *place) for name, place in self._items[item].items()}

    def shape(self, item: str, field: str) -> tuple[int, ...]:
        """Return the shape of an array without touching it."""
        return tuple(self._items[item][field][1])

    def verify(self) -> None:
        """Compare every array with its hash.

        Raises:
            CacheError: one differs.
        """
        for item in self:
            for name, array in self[item].items():
                if hashlib.sha256(array.tobytes()).hexdigest() != self._items[item][name][2]:
                    raise CacheError(f"{name} of {item} in {self.folder} is damaged; delete the folder")

    def _view(self, name: str, offset: int, shape: list[int], digest: str) -> "np.ndarray":
        import numpy as np

        if name not in self._maps:
            self._maps[name] = np.memmap(self.folder / f"{name}.bin", dtype=np.uint8, mode="r")
        dtype = np.dtype(self._fields[name]["dtype"])
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not size:
            return np.zeros(shape, dtype)
        return self._maps[name][offset : offset + size].view(dtype).reshape(shape)


def build_cache(
    directory: Path,
    key: str,
    items: Sequence[CacheItem],
    compute: str | Callable[..., Mapping[str, "np.ndarray"]],
    jobs: int | None = 1,
    *,
    timeout: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ArrayCache:
    """Return the cache under ``key``, after computing it when it is not there.

    The files are the same bytes for any number of jobs. An item whose computation fails is left out; why, is
    in :attr:`ArrayCache.failed`.

    Args:
        directory: folder of caches.
        key: content key of all that can change an array, such as settings and the hashes of the inputs.
        items: what to compute, in the order in which it is stored.
        compute: ``module:name`` of a function, or a function, that returns named arrays. A function runs in
            this process; a name runs in ``jobs`` workers.
        jobs: workers; None for one a core.
        timeout: seconds an item may take in a worker.
        progress: called with the items done and their number.

    Raises:
        CacheError: every item failed, or items disagree on fields or types.
        ConfigError: two items share an id.
    """
    folder = directory / key
    if (folder / INDEX).is_file():
        return ArrayCache(folder)
    ids = [item.id for item in items]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ConfigError(f"two items of a cache have the id {twice!r}")
    part = directory / f".{key}.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        computed = _compute(items, compute, jobs, timeout, part, progress)
        _join(part, key, ids, computed)
        _publish(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return ArrayCache(folder)


def compute_to_file(function: str, arguments: Mapping[str, Any], path: str) -> None:
    """Run a function in a worker and leave its arrays in a file, because pipes are for small values."""
    from doppelbench.engine.worker import load_function

    _save(load_function(function)(**arguments), Path(path))


def _compute(
    items: Sequence[CacheItem],
    compute: str | Callable[..., Mapping[str, "np.ndarray"]],
    jobs: int | None,
    timeout: float | None,
    part: Path,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Path | str]:
    """Return for each item the file of its arrays, or the reason why there is none."""
    paths = {item.id: part / f"{number}.npz" for number, item in enumerate(items)}
    done: dict[str, Path | str] = {}
    if callable(compute):
        for item in items:
            try:
                _save(compute(**item.arguments), paths[item.id])
                done[item.id] = paths[item.id]
            except Exception as error:
                done[item.id] = f"{type(error).__name__}: {error}".splitlines()[0]
            if progress:
                progress(len(done), len(items))
        return done
    tasks = [
        Task(
            item.id,
            f"{__name__}:compute_to_file",
            {"function": compute, "arguments": dict(item.arguments), "path": str(paths[item.id])},
            item.cost,
        )
        for item in items
    ]
    for result in run_pool(tasks, jobs, timeout):
        done[result.key] = paths[result.key] if result.status == "ok" else result.reason
        if progress:
            progress(len(done), len(items))
    return done


def _save(arrays: Mapping[str, "np.ndarray"], path: Path) -> None:
    import numpy as np

    for name, array in arrays.items():
        if not name.isidentifier():
            raise ValueError(f"{name!r} cannot name a field")
        if str(array.dtype) not in DTYPES:
            raise ValueError(f"{name} is of type {array.dtype}; a cache holds {', '.join(DTYPES)}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds a value that is not finite")
    np.savez(path, allow_pickle=False, **arrays)


def _join(part: Path, key: str, ids: Sequence[str], computed: Mapping[str, Path | str]) -> None:
    """Write the items' arrays one after another, in the order of the items, and the index."""
    import numpy as np

    failed = {name: reason for name in ids if isinstance(reason := computed[name], str)}
    if ids and len(failed) == len(ids):
        raise CacheError(f"no item could be computed; the first, {ids[0]}: {failed[ids[0]]}")
    fields: dict[str, dict[str, Any]] = {}
    places: dict[str, dict[str, list[Any]]] = {}
    files: dict[str, IO[bytes]] = {}
    try:
        for name in ids:
            source = computed[name]
            if isinstance(source, str):
                continue
            with np.load(source, allow_pickle=False) as arrays:
                places[name] = {
                    field: _append(part, field, arrays[field], fields, files)
                    for field in sorted(arrays.files)
                }
            source.unlink()
            if set(places[name]) != set(fields):
                missing = sorted(set(fields) ^ set(places[name]))
                raise CacheError(f"{name} and the items before it differ in the fields {', '.join(missing)}")
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    finally:
        for file in files.values():
            file.close()
    index = {"schema": SCHEMA, "key": key, "fields": fields, "items": places, "failed": failed}
    write_json(part / INDEX, index)


def _append(
    part: Path,
    field: str,
    array: "np.ndarray",
    fields: dict[str, dict[str, Any]],
    files: dict[str, IO[bytes]],
) -> list[Any]:
    dtype = array.dtype.newbyteorder("<").str
    known = fields.setdefault(field, {"dtype": dtype, "bytes": 0})
    if known["dtype"] != dtype:
        raise CacheError(f"{field} is of type {known['dtype']} in one item and {dtype} in another")
    if field not in files:
        files[field] = (part / f"{field}.bin").open("wb")
    content = array.astype(dtype, copy=False).tobytes()
    offset = known["bytes"]
    padding = -len(content) % ALIGNMENT
    files[field].write(content + bytes(padding))
    known["bytes"] = offset + len(content) + padding
    return [offset, list(array.shape), hashlib.sha256(content).hexdigest()]


def _publish(part: Path, folder: Path) -> None:
    """Give the finished folder its name; when another process was quicker, its equal result is used."""
    try:
        os.replace(part, folder)
    except OSError:
        if not (folder / INDEX).is_file():
            raise
    sync_folder(folder.parent)
