"""What people bring to be scored: folders matched by name, manifests, Kaldi lists, or single files.

Nothing is decoded here. A file that is named and is not there becomes an item with the status ``missing``:
dropping it would flatter the figure.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.kaldi import refuse_indirect

AUDIO_SUFFIXES = (".flac", ".wav", ".ogg", ".mp3", ".m4a")
VIDEO_SUFFIXES = (".mkv", ".mp4", ".mov", ".avi", ".webm", ".mpg")
MEDIA_SUFFIXES = (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES)
MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")
LIST_SUFFIX = ".scp"
COLUMNS = ("id", "out", "ref", "source", "text", "speaker")


@dataclass(frozen=True, slots=True)
class Pair:
    """One output and what it is compared with.

    Attributes:
        id: names the item.
        out: the output.
        ref: natural recording to compare with, or None.
        source: recording that was converted, or None.
        text: words that should be heard, or None.
        speaker: intended target, or None.
    """

    id: str
    out: Path
    ref: Path | None = None
    source: Path | None = None
    text: str | None = None
    speaker: str | None = None


def read_pairs(out: Path, ref: Path | None, text: Path | None) -> list[Pair]:
    """List the items of a folder, a manifest (.csv, .tsv, .jsonl), a Kaldi list (.scp) or one file.

    Args:
        out: outputs in one of these forms.
        ref: references in the same form; a manifest names its own.
        text: transcripts by id, see :func:`read_texts`; they replace those of a manifest.

    Raises:
        InputError: a form that does not fit, a broken line (with its number), or nothing to score.
    """
    suffix = out.suffix.lower()
    if suffix in MANIFEST_SUFFIXES and out.is_file():
        if ref is not None:
            raise InputError(f"{out} is a manifest; name references in its column ref instead of with --ref")
        pairs = read_manifest(out)
    elif suffix == LIST_SUFFIX and out.is_file():
        pairs = match_lists(out, ref)
    else:
        matched = match_files(out, ref)
        pairs = [Pair(name, path, reference) for name, (path, reference) in matched.items()]
    if text is None:
        return pairs
    known = read_texts(text)
    return [
        Pair(pair.id, pair.out, pair.ref, pair.source, words, speaker or pair.speaker)
        for pair in pairs
        for words, speaker in [known.get(pair.id, (pair.text, pair.speaker))]
    ]


def read_manifest(path: Path) -> list[Pair]:
    """Read a table with the column ``out`` and perhaps ``id``, ``ref``, ``source``, ``text`` and ``speaker``.

    Relative paths start from the folder of the manifest. Without ids, the names of the outputs serve.

    Raises:
        InputError: a broken line, an unknown or missing column, a double id, or no line.
    """
    pairs: dict[str, Pair] = {}
    for where, row in _rows(path):
        unknown = sorted(set(row) - set(COLUMNS))
        if unknown:
            raise InputError(f"{where}: unknown column {', '.join(unknown)}; known are {', '.join(COLUMNS)}")
        values = {name: value for name, value in row.items() if value not in (None, "")}
        wrong = sorted(name for name, value in values.items() if not isinstance(value, str))
        if wrong:
            raise InputError(f"{where}: {', '.join(wrong)} is not text")
        if "out" not in values:
            raise InputError(f"{where}: there is no output; the column is called out")
        name = values.get("id", Path(values["out"]).stem)
        if name in pairs:
            raise InputError(f"{where}: the id {name} stands twice")
        places = {key: path.parent / values[key] for key in ("ref", "source") if key in values}
        pairs[name] = Pair(
            name,
            path.parent / values["out"],
            places.get("ref"),
            places.get("source"),
            values.get("text"),
            values.get("speaker"),
        )
    if not pairs:
        raise InputError(f"{path}: there is nothing in it to score")
    return list(pairs.values())


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            if path.suffix.lower() == ".jsonl":
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield f"{path}, line {number}", _json_row(line, f"{path}, line {number}")
                return
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            for number, row in enumerate(reader, 2):
                if None in row or None in row.values():
                    raise InputError(f"{path}, line {number}: {len(reader.fieldnames or [])} fields expected")
                yield f"{path}, line {number}", row
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file ({error.reason})") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a table that can be read ({error})") from None


def _json_row(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object such as {{'out': 'a.wav', 'ref': 'b.wav'}}")
    return row


def match_lists(out: Path, ref: Path | None) -> list[Pair]:
    """Pair the recordings of two Kaldi lists (``<id> <path>`` lines) by id; one list alone has no references.

    Raises:
        InputError: a broken line, a command or an archive (nothing is executed), or no common id.
    """
    outputs = _read_list(out)
    if ref is None:
        return [Pair(name, path) for name, path in outputs.items()]
    if ref.suffix.lower() != LIST_SUFFIX:
        raise InputError(f"{ref}: expected a list ({LIST_SUFFIX}) of references for the list {out}")
    references = _read_list(ref)
    if not outputs.keys() & references.keys():
        raise InputError(f"{out} and {ref} have no id in common")
    return [
        Pair(
            name,
            outputs.get(name, out.parent / f"{name} (not in {out.name})"),
            references.get(name, ref.parent / f"{name} (not in {ref.name})"),
        )
        for name in sorted({*outputs, *references})
    ]


def _read_list(path: Path) -> dict[str, Path]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    found: dict[str, Path] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file ({error.reason})") from None
    for number, line in enumerate(lines, 1):
        name, _, place = line.strip().partition(" ")
        place = place.strip()
        if not name:
            continue
        if not place:
            raise InputError(f"{path}, line {number}: expected '<id> <path>'")
        refuse_indirect(f"{path}, line {number}", name, place)
        if name in found:
            raise InputError(f"{path}, line {number}: the id {name} stands twice")
        found[name] = path.parent / place
    if not found:
        raise InputError(f"{path}: there is nothing in it to score")
    return found


def match_files(out: Path, ref: Path | None) -> dict[str, tuple[Path, Path | None]]:
    """Pair outputs with references by file name without suffix.

    A reference without an output is an item with a missing output, and the other way round: both are scored
    as ``missing`` rather than dropped.

    Raises:
        InputError: no such file or folder, no audio in it, a folder beside a file, or two files of one name.
    """
    if out.is_file():
        if ref is not None and not ref.is_file():
            raise InputError(f"{ref}: expected one reference file for the one output {out}")
        return {out.stem: (out, ref)}
    outputs = _media_files(out)
    if ref is None:
        return {name: (path, None) for name, path in outputs.items()}
    if ref.is_file():
        raise InputError(f"{ref}: expected a folder of references for the folder {out}")
    references = _media_files(ref)
    if not outputs.keys() & references.keys():
        raise InputError(f"{out} and {ref} have no file name in common (suffixes do not matter)")
    return {
        name: (
            outputs.get(name, out / f"{name}.flac"),
            references.get(name, ref / f"{name}.flac"),
        )
        for name in sorted({*outputs, *references})
    }


def _media_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such file or folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in MEDIA_SUFFIXES or not path.is_file():
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"{folder}: {found[name].name} and {path.name} have the same name")
        found[name] = path
    if not found:
        raise InputError(f"{folder}: no sound or video file in it ({', '.join(MEDIA_SUFFIXES)})")
    return found


def read_texts(path: Path) -> dict[str, tuple[str, str | None]]:
    """Read transcripts: a CSV with the columns id, text and perhaps speaker, or lines ``<id> <words>``.

    Raises:
        InputError: no such file, a missing column, a line without words (with its number), or a double id.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    texts: dict[str, tuple[str, str | None]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file)
                if not {"id", "text"} <= set(reader.fieldnames or []):
                    raise InputError(f"{path}: expected the columns id and text, found {reader.fieldnames}")
                entries = [(row["id"], row["text"], row.get("speaker")) for row in reader]
            else:
                entries = []
                for number, line in enumerate(file, 1):
                    if line.strip():
                        name, _, words = line.strip().partition(" ")
                        if not words:
                            raise InputError(f"{path}: line {number} has an id and no words")
                        entries.append((name, words, None))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text file ({error.reason})") from None
    for name, words, speaker in entries:
        if name in texts:
            raise InputError(f"{path}: the id {name} stands twice")
        texts[name] = (words or "", speaker or None)
    return texts
