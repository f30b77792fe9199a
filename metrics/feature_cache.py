"""Features of recordings, computed once: a leaderboard scores one reference against many systems.

What a metric needs of a recording (mel-cepstra, F0, band envelopes) depends on its samples and on a recipe
alone, so it is kept under the hash of both. Features of references go into memory and, where a folder is
named, to disk, where every worker process and every later run finds them; features of outputs stay in memory
for as long as several metrics score the same output.

A metric gets the same bits whether a feature was computed, remembered or read. A file that is torn, damaged
or of another format counts as absent; nothing is unpickled. A folder that is full or cannot be written to
costs time and no score. Bits may differ between processors, so machines of different kinds should not share
a folder.
"""

import contextlib
import hashlib
import io
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np

from doppelbench.corpora.errors import InputError

DIRECTORY_VARIABLE = "DOPPELBENCH_CACHE"
SUBFOLDER = "features-1"
SUFFIX = ".features"
PART = ".part"
DIGEST_BYTES = 32

Features = tuple[np.ndarray, ...]
Role = Literal["reference", "output"]


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Bounds in bytes, of the arrays in one process and of the files in a folder.

    Attributes:
        reference_bytes: of features of references in memory; 0 remembers none.
        output_bytes: of features of outputs in memory.
        disk_bytes: of all files; the ones used longest ago go first.
        sweep_share: share of ``disk_bytes`` that a process writes before it looks at the folder again.
        kept_share: share of ``disk_bytes`` that is left after files were removed.
        abandoned_seconds: age from which a half-written file is the remains of a process that was ended.
    """

    reference_bytes: int = 256 << 20
    output_bytes: int = 32 << 20
    disk_bytes: int = 4 << 30
    sweep_share: float = 1 / 32
    kept_share: float = 0.9
    abandoned_seconds: float = 3600.0


def signal_digest(samples: np.ndarray) -> bytes:
    """SHA-256 of type, shape and values of an array: its identity in the cache."""
    contiguous = np.ascontiguousarray(samples)
    digest = hashlib.sha256(f"{contiguous.dtype.str}{contiguous.shape}".encode())
    digest.update(contiguous.data)
    return digest.digest()


@cache
def versioned(recipe: str, *packages: str) -> str:
    """A recipe with the versions of the packages that decide its bits; NumPy always does."""
    return "|".join([recipe, *(f"{name}-{metadata.version(name)}" for name in ("numpy", *packages))])


class FeatureCache:
    """Features by recipe and content; safe with threads, and its folder with any number of processes."""

    def __init__(self, directory: Path | None = None, settings: CacheSettings | None = None) -> None:
        """Choose where features of references are kept beside memory.

        Args:
            directory: folder of files, made when needed; None keeps them in memory alone.
            settings: bounds.

        Raises:
            InputError: when ``directory`` is there and is no folder.
        """
        if directory is not None and directory.exists() and not directory.is_dir():
            raise InputError(f"{directory}: features can be kept in a folder, and this is a file")
        self.directory = directory
        self.settings = settings or CacheSettings()
        self._memory = {
            "reference": _Recent(self.settings.reference_bytes),
            "output": _Recent(self.settings.output_bytes),
        }
        # As if much had been written, so that the first write looks at what earlier runs left.
        self._written = self.settings.disk_bytes

    def get(
        self, recipe: str, digests: tuple[bytes, ...], compute: Callable[[], Features], *, role: Role
    ) -> Features:
        """Return features, computed now if nobody has done so before.

        Args:
            recipe: names the feature and everything that can change its values (:func:`versioned`).
            digests: of the signals it depends on, in order (:func:`signal_digest`).
            compute: makes it; what it raises is passed on and not remembered.
            role: of the recording; features of an output stay in memory.

        Returns:
            The arrays that ``compute`` returned, contiguous and read-only.
        """
        key = hashlib.sha256(b"\0".join([recipe.encode(), *digests])).hexdigest()
        memory = self._memory[role]
        found = memory.get(key)
        if found is None and role == "reference":
            found = self._read(key)
            if found is None:
                found = _frozen(compute())
                self._write(key, found)
            memory.put(key, found)
        elif found is None:
            found = _frozen(compute())
            memory.put(key, found)
        return found

    def _path(self, key: str) -> Path | None:
        return None if self.directory is None else self.directory / key[:2] / f"{key}{SUFFIX}"

    def _read(self, key: str) -> Features | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return unpack(content)

    def _write(self, key: str, features: Features) -> None:
        path = self._path(key)
        if path is None:
            return
        content = pack(features)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=PART)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.replace(name, path)
            except OSError:
                Path(name).unlink(missing_ok=True)
        self._written += len(content)
        if self._written > self.settings.disk_bytes * self.settings.sweep_share:
            self._written = 0
            self._sweep()

    def _sweep(self) -> None:
        """Remove the files used longest ago until the folder is within its bound."""
        assert self.directory is not None
        files = []
        for path in self.directory.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.suffix == SUFFIX:
                    files.append((status.st_mtime, status.st_size, path))
                elif time.time() - status.st_mtime > self.settings.abandoned_seconds:
                    path.unlink()
        total = sum(size for _, size, _ in files)
        if total <= self.settings.disk_bytes:
            return
        for _, size, path in sorted(files):
            if total <= self.settings.disk_bytes * self.settings.kept_share:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def pack(features: Features) -> bytes:
    """Arrays as bytes: NumPy's own format, one after another, then the SHA-256 of all of it."""
    buffer = io.BytesIO()
    for array in features:
        np.save(buffer, array, allow_pickle=False)
    content = buffer.getvalue()
    return content + hashlib.sha256(content).digest()


def unpack(content: bytes) -> Features | None:
    """Inverse of :func:`pack`; None when the bytes are not what was written."""
    body, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    buffer, arrays = io.BytesIO(body), []
    try:
        while buffer.tell() < len(body):
            arrays.append(np.load(buffer, allow_pickle=False))
    except (ValueError, EOFError):
        return None
    return _frozen(tuple(arrays))


def _frozen(features: Features) -> Features:
    """The arrays in one layout, whether they were computed or read, and safe from being changed."""
    frozen = []
    for array in features:
        contiguous = np.array(array, order="C")
        contiguous.flags.writeable = False
        frozen.append(contiguous)
    return tuple(frozen)


class _Recent:
    """Features used last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = 0
        self._entries: OrderedDict[str, Features] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Features | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: str, features: Features) -> None:
        size = sum(array.nbytes for array in features)
        if size > self.limit:
            return
        with self._lock:
            if key not in self._entries:
                self._entries[key] = features
                self._size += size
            while self._size > self.limit:
                _, oldest = self._entries.popitem(last=False)
                self._size -= sum(array.nbytes for array in oldest)


def directory_from_environment() -> Path | None:
    """The folder of features under ``DOPPELBENCH_CACHE``; None when that is not set."""
    place = os.environ.get(DIRECTORY_VARIABLE)
    return Path(place) / SUBFOLDER if place else None


_current: FeatureCache | None = None


def feature_cache() -> FeatureCache:
    """The cache that metrics use; made from the environment when first asked for."""
    global _current
    if _current is None:
        _current = FeatureCache(directory_from_environment())
    return _current


@contextlib.contextmanager
def using(cache: FeatureCache) -> Iterator[FeatureCache]:
    """Let metrics of this process use another cache for a while."""
    global _current
    previous, _current = _current, cache
    try:
        yield cache
    finally:
        _current = previous
