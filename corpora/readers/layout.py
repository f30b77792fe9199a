"""What the readers share: finding files, reading lists line by line, and saying what is wrong with them."""

import os
from collections.abc import Iterator
from pathlib import Path

from doppelbench.corpora.errors import InputError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".wma", ".aiff"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mpg", ".mpeg", ".avi", ".mov", ".webm", ".wmv", ".3gp"})


def require_folder(root: Path, layout: str) -> Path:
    """Return the root of a data set.

    Raises:
        InputError: when it is no folder; the message says what was expected there.
    """
    if not root.is_dir():
        reason = "is not a folder" if root.exists() else "there is no such folder"
        raise InputError(f"{root}: {reason}; expected {layout}")
    return root


def wrong_layout(root: Path, layout: str) -> InputError:
    """Return the error for a folder that holds something else than the data set."""
    return InputError(f"{root}: not the expected layout; expected {layout}")


def media_files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Return all files below a folder that end in one of the suffixes, sorted; hidden ones are left out.

    Only folders are listed; no file is opened.
    """
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes
    )


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 file without white space around it.

    Raises:
        InputError: when it is missing or not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def raw_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ``file:number`` and text of every line, without its line end; the file is never held as a whole.

    Raises:
        InputError: when the file is missing, or a line of it is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(
                        f"{path}:{number}: not UTF-8 text (byte 0x{line[error.start]:02x})"
                    ) from None
                yield f"{path}:{number}", text.rstrip("\r\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ``file:number`` and text of every line that is not blank, without white space around it.

    Raises:
        InputError: when the file is missing, not UTF-8 or has no line with text.
    """
    empty = True
    for place, line in raw_lines(path):
        if line.strip():
            empty = False
            yield place, line.strip()
    if empty:
        raise InputError(f"{path}: the file is empty")


def tabbed_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield ``file:number`` and the cells of each row of a tab-separated table with a header.

    Quotation marks are text, as in the tables of speech data sets.

    Raises:
        InputError: when the file is missing, empty or not UTF-8, a column is named twice, or a row has more
            or fewer cells than the header.
    """
    header: list[str] = []
    for place, line in raw_lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        if not header:
            header = cells
            if len(set(header)) < len(header):
                raise InputError(f"{place}: a column is named twice: {', '.join(header)}")
        elif len(cells) != len(header):
            raise InputError(f"{place}: expected {len(header)} fields divided by tabs, got {len(cells)}")
        else:
            yield place, dict(zip(header, cells, strict=True))
    if not header:
        raise InputError(f"{path}: the file is empty")


def read_table(path: Path, *, fields: int) -> dict[str, list[str]]:
    """Read lines of white-space separated fields into a mapping from the first field to the others.

    Args:
        path: the list.
        fields: how many fields a line has; the last takes the rest of the line.

    Raises:
        InputError: for a line with fewer fields or a first field that came before, with the number of the
            line.
    """
    table: dict[str, list[str]] = {}
    for place, line in numbered_lines(path):
        key, *values = line.split(maxsplit=fields - 1)
        if len(values) != fields - 1:
            raise InputError(f"{place}: expected {fields} fields separated by spaces, got {line!r}")
        if key in table:
            raise InputError(f"{place}: {key!r} was listed before")
        table[key] = values
    return table
