"""What the readers share: finding files, reading lists line by line, and saying what is wrong with them."""

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
    """Return all files below a folder that end in one of the suffixes, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
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


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ``file:number`` and text of every line that is not blank.

    Raises:
        InputError: when the file is missing, not UTF-8 or has no line with text.
    """
    content = read_text(path)
    if not content:
        raise InputError(f"{path}: the file is empty")
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


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
