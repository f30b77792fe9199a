"""The files of a submission, in a folder or a ZIP archive of strangers, without trusting either.

An archive is judged before anything of it is unpacked: its directory is bounded before it is read, and names,
kinds, sizes and places of its entries are held against what a submission needs. Nothing is unpacked but into
an empty folder of our own, one file at a time, and never more bytes than were announced.
"""

import contextlib
import hashlib
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Protocol

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.submission_findings import printable

BLOCK = 1 << 20
# One name, the folders in it included.
LONGEST_NAME = 200
DEEPEST = 4
NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".jar", ".whl")
# Windows takes these for devices, with any suffix.
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
# Sources and enrolment lie there for the owner of the folder and are no part of the submission.
INPUTS = "inputs"

END = b"PK\x05\x06"
END_SIZE = 22
LOCATOR = b"PK\x06\x07"
LOCATOR_SIZE = 20
LOCAL_SIZE = 30
LONGEST_COMMENT = 0xFFFF
WORD, DOUBLE_WORD = 0xFFFF, 0xFFFFFFFF
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1 | 0x40 | 0x2000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLimits:
    """How much a submission may be.

    Attributes:
        entries: files and folders.
        directory_bytes: of an archive's directory, which is read as a whole.
        file_bytes: of one file.
        total_bytes: of all files.
        ratio: bytes of an entry for each byte that it takes in the archive, from ``ratio_bytes`` on.
        ratio_bytes: smaller entries may be packed as tightly as they will.
    """

    entries: int = 30_000
    directory_bytes: int = 16 << 20
    file_bytes: int = 512 << 20
    total_bytes: int = 3 << 30
    ratio: float = 100.0
    ratio_bytes: int = 1 << 20


LIMITS = FileLimits()


class SubmissionFiles(Protocol):
    """Files by name; names have ``/`` between folders."""

    sizes: dict[str, int]

    def read(self, name: str, most: int) -> bytes:
        """Return the content of a file of at most ``most`` bytes."""

    def place(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give a path at which the file lies as long as the block lasts."""

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file in hexadecimal."""


@contextlib.contextmanager
def open_submission(path: Path, limits: FileLimits = LIMITS) -> Iterator[SubmissionFiles]:
    """Open a folder or a ZIP archive.

    Raises:
        InputError: no such thing, or one that is refused as a whole; the message says for which entry.
    """
    if path.is_dir():
        yield FolderFiles(path, limits)
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="submission-") as folder, path.open("rb") as file:
            yield ArchiveFiles(path, file, Path(folder), limits)
    else:
        raise InputError(f"{path}: there is no such folder or archive")


def name_problem(name: str) -> str | None:
    """Say what is wrong with the name of a file in a submission; None when nothing is."""
    hidden = next((sign for sign in name if ord(sign) < 32 or ord(sign) == 127), None)
    if hidden is not None:
        return f"its name holds the control character U+{ord(hidden):04X}"
    if not name or len(name) > LONGEST_NAME:
        return f"its name has {len(name)} characters; at most {LONGEST_NAME} are read"
    if not name.isascii():
        return "its name holds letters outside ASCII"
    if "\\" in name:
        return "its name holds a backslash; folders are divided by /"
    if name.startswith("/"):
        return "its name is an absolute path"
    if ":" in name:
        return "its name holds a colon, as drive letters do"
    parts = name.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "its name leads out of the archive or in a circle (.. or . or //)"
    if len(parts) > DEEPEST:
        return f"it lies more than {DEEPEST} folders deep"
    if any(DEVICES.fullmatch(part) or part.endswith((".", " ")) for part in parts):
        return "its name is none on Windows"
    if name.lower().endswith(NESTED):
        return "it is an archive in the archive"
    return None


class FolderFiles:
    """A submission in a folder; hidden files and the folder ``inputs`` are left alone."""

    def __init__(self, root: Path, limits: FileLimits = LIMITS) -> None:
        """List the files.

        Raises:
            InputError: links, devices, pipes, sockets, refused names, too many or too large files.
        """
        self.root = root
        self.limits = limits
        self.sizes: dict[str, int] = {}
        self._list(root, "")
        _check_names(self.sizes, str(root))
        _check_total(self.sizes, str(root), limits)

    def _list(self, folder: Path, above: str) -> None:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = above + entry.name
            if entry.name.startswith(".") or name == INPUTS:
                continue
            where = f"{self.root}: {printable(name, LONGEST_NAME)}"
            problem = name_problem(name)
            if problem:
                raise InputError(f"{where}: {problem}")
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                raise InputError(f"{where}: it is a link; put the file itself there")
            if stat.S_ISDIR(mode):
                self._list(folder / entry.name, f"{name}/")
            elif stat.S_ISREG(mode):
                self.sizes[name] = entry.stat(follow_symlinks=False).st_size
            else:
                raise InputError(f"{where}: it is a device, a pipe or a socket and no file")
            if len(self.sizes) > self.limits.entries:
                raise InputError(f"{self.root}: more than {self.limits.entries} files")

    def read(self, name: str, most: int) -> bytes:
        """Return the content of a file of at most ``most`` bytes.

        Raises:
            InputError: a larger file, or one that is not there.
        """
        with self._open(name) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise InputError(f"{self.root / name}: more than {most} bytes")
        return content

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """Give the path of the file."""
        yield self.root / name

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file in hexadecimal."""
        with self._open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _open(self, name: str) -> BufferedReader:
        try:
            return os.fdopen(os.open(self.root / name, os.O_RDONLY | os.O_NOFOLLOW), "rb")
        except OSError as error:
            raise InputError(f"{self.root / name}: {error.strerror}") from None


class ArchiveFiles:
    """A submission in a ZIP archive."""

    def __init__(self, path: Path, file: IO[bytes], scratch: Path, limits: FileLimits = LIMITS) -> None:
        """Judge the archive.

        Args:
            path: of the archive, for messages.
            file: the archive, open for reading.
            scratch: empty folder in which single files are unpacked for a while.
            limits: how much it may be.

        Raises:
            InputError: an archive that is broken or refused.
        """
        self.path = path
        self.limits = limits
        self._scratch = scratch
        entries = _check_end(path, file, limits)
        with self._refusing():
            self._archive = zipfile.ZipFile(file)
            infos = self._archive.infolist()
        if len(infos) != entries:
            raise InputError(f"{path}: its directory holds {len(infos)} entries and announces {entries}")
        for info in infos:
            self._check(info)
        self._infos = {info.filename: info for info in infos if not info.is_dir()}
        self.sizes = {name: info.file_size for name, info in self._infos.items()}
        _check_names([info.filename for info in infos], str(path))
        _check_total(self.sizes, str(path), limits)
        self._check_places(infos)

    def read(self, name: str, most: int) -> bytes:
        """Return the content of a file of at most ``most`` bytes.

        Raises:
            InputError: a larger file, one that is not there, or one that is broken.
        """
        if self.sizes.get(name, 0) > most:
            raise InputError(f"{self.path}: {name}: more than {most} bytes")
        return b"".join(self._blocks(name))

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """Unpack the file for a while.

        Raises:
            InputError: one that is broken.
        """
        path = self._scratch / name.rpartition("/")[2]
        try:
            with path.open("xb") as file:
                for block in self._blocks(name):
                    file.write(block)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file in hexadecimal.

        Raises:
            InputError: one that is broken.
        """
        digest = hashlib.sha256()
        for block in self._blocks(name):
            digest.update(block)
        return digest.hexdigest()

    def _blocks(self, name: str) -> Iterator[bytes]:
        if name not in self._infos:
            raise InputError(f"{self.path}: {name}: there is no such file in it")
        info = self._infos[name]
        left = info.file_size
        with self._refusing(name), self._archive.open(info) as file:
            while block := file.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise InputError(f"{self.path}: {name}: larger than announced")
                yield block
            if left:
                raise InputError(f"{self.path}: {name}: {left} bytes less than announced")

    @contextlib.contextmanager
    def _refusing(self, name: str = "") -> Iterator[None]:
        """Everything that the library for archives objects to becomes an InputError."""
        where = f"{self.path}: {name}" if name else str(self.path)
        try:
            yield
        except (
            zipfile.BadZipFile,
            zlib.error,
            struct.error,
            EOFError,
            ValueError,
            IndexError,
            OverflowError,
            OSError,
            RuntimeError,
        ) as error:
            raise InputError(f"{where}: a broken archive ({printable(str(error))})") from None

    def _check(self, info: zipfile.ZipInfo) -> None:
        where = f"{self.path}: {printable(info.orig_filename, LONGEST_NAME)}"
        problem = name_problem(info.orig_filename)
        if problem:
            raise InputError(f"{where}: {problem}")
        if info.flag_bits & ENCRYPTED:
            raise InputError(f"{where}: it is encrypted")
        if info.compress_type not in METHODS:
            raise InputError(f"{where}: it is packed by method {info.compress_type}; only deflate is read")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise InputError(f"{where}: it is a link; put the file itself there")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{where}: it is a device, a pipe or a socket and no file")
        if (kind == stat.S_IFDIR) and not info.is_dir():
            raise InputError(f"{where}: it is a folder with the name of a file")
        if info.is_dir() and info.file_size:
            raise InputError(f"{where}: it is a folder with content")
        limit = self.limits
        if info.file_size >= limit.ratio_bytes and info.file_size > limit.ratio * max(1, info.compress_size):
            times = info.file_size / max(1, info.compress_size)
            raise InputError(f"{where}: it unpacks to {times:.0f} times its size, as bombs do")

    def _check_places(self, infos: list[zipfile.ZipInfo]) -> None:
        """Entries that share bytes unpack to more than the archive holds."""
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise InputError(f"{self.path}: {info.filename}: it overlaps another entry, as bombs do")
            end = info.header_offset + LOCAL_SIZE + len(info.orig_filename) + info.compress_size


def _check_end(path: Path, file: IO[bytes], limits: FileLimits) -> int:
    """Judge the last record of an archive, which says how large its directory is; returns the entries.

    The archive is to begin with its first entry and to end with this record, so that no two programs can
    understand it differently.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END_SIZE - LOCATOR_SIZE))
    tail = file.read()
    end = tail[-END_SIZE:]
    if len(end) < END_SIZE or end[:4] != END:
        file.seek(max(0, size - END_SIZE - LONGEST_COMMENT))
        behind = file.read().rpartition(END)
        if behind[1] and len(behind[2]) >= END_SIZE - len(END):
            raise InputError(f"{path}: there are bytes behind the end of the archive, or a comment")
        file.seek(0)
        if file.read(2) == b"PK":
            raise InputError(f"{path}: the archive is cut off; its directory is missing")
        raise InputError(f"{path}: no ZIP archive; make one with doppelbench submit pack")
    _, disk, first_disk, here, entries, length, offset, comment = struct.unpack("<4s4H2LH", end)
    if comment:
        raise InputError(f"{path}: the archive is cut off within its comment")
    large = WORD in (here, entries) or DOUBLE_WORD in (length, offset)
    if large or tail[-END_SIZE - LOCATOR_SIZE :][:4] == LOCATOR:
        raise InputError(f"{path}: an archive of the kind ZIP64, with more than 65,534 files or 4 GiB")
    if disk or first_disk or here != entries:
        raise InputError(f"{path}: one part of an archive of several")
    if entries > limits.entries:
        raise InputError(f"{path}: {entries} entries, more than {limits.entries}")
    if length > limits.directory_bytes:
        raise InputError(f"{path}: a directory of {length} bytes, more than {limits.directory_bytes}")
    if offset + length != size - END_SIZE:
        raise InputError(f"{path}: there are bytes before, behind or between the parts of the archive")
    file.seek(0)
    return int(entries)


def _check_names(names: "list[str] | dict[str, int]", where: str) -> None:
    """Names that are one on some file system would overwrite each other."""
    seen: dict[str, str] = {}
    for name in names:
        key = name.removesuffix("/").lower()
        if key in seen:
            other = seen[key]
            what = "stands twice" if other == name else f"and {other} are one where case does not count"
            raise InputError(f"{where}: {name} {what}")
        seen[key] = name
    for key, name in seen.items():
        parts = key.split("/")
        for length in range(1, len(parts)):
            above = seen.get("/".join(parts[:length]))
            if above is not None and not above.endswith("/"):
                raise InputError(f"{where}: {above} is a file and, for {name}, a folder")


def _check_total(sizes: dict[str, int], where: str, limits: FileLimits) -> None:
    for name, size in sizes.items():
        if size > limits.file_bytes:
            raise InputError(f"{where}: {name}: {size} bytes, more than {limits.file_bytes}")
    if sum(sizes.values()) > limits.total_bytes:
        raise InputError(f"{where}: {sum(sizes.values())} bytes in all, more than {limits.total_bytes}")
