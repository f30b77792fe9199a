"""Lines of protocol and score files that people bring: encodings, line ends and separators, with exact
errors."""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from doppelbench.corpora.errors import InputError

MAX_BYTES = 1 << 30
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a file (or of its gzip) with one kind of line end and without a byte order mark.

    Raises:
        InputError: there is no such file, it is empty, larger than ``max_bytes``, damaged, or not UTF-8; the
            message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: the file cannot be read ({error})") from None
    if len(content) > max_bytes:
        raise InputError(f"{path}: the file is larger than {max_bytes} bytes")
    if content.startswith(UTF16_MARKS):
        raise InputError(f"{path}: the file is UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
        raise InputError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(f"{path}:{line}: the line holds a null byte; this is no text file")
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def rows_of(path: Path, text: str, separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not blank.

    Args:
        path: the file, for messages.
        text: of the whole file.
        separator: ``,``, ``|`` or a tab for tables (quotes only with a comma), None for fields divided by
            white space.

    Raises:
        InputError: quotes of a table do not fit, so that rows would be lost.
    """
    if separator == ",":
        reader = csv.reader(io.StringIO(text), strict=True)
        try:
            for row in reader:
                if any(field.strip() for field in row):
                    yield reader.line_num, [field.strip() for field in row]
        except csv.Error as error:
            raise InputError(f"{path}:{reader.line_num}: the table cannot be read ({error})") from None
        return
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split() if separator is None else [field.strip() for field in line.split(separator)]
        if any(fields):
            yield number, fields


def first_fields(path: Path, text: str) -> tuple[str | None, list[str]]:
    """Guess the separator from the first line that is not blank: comma, tab, bar, or white space (None)."""
    line = next(line for line in text.split("\n") if line.strip())
    for separator in (",", "\t", "|"):
        if separator in line:
            return separator, next(fields for _, fields in rows_of(path, line, separator))
    return None, line.split()


def number_of(text: str) -> float | None:
    """The number a field holds, which may be NaN or infinite; None when it holds none."""
    try:
        # Python reads 1_000 as a number; no score file means that.
        return None if "_" in text else float(text)
    except ValueError:
        return None


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names of many and how many there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
