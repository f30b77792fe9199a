"""A CSV (or tab-separated) manifest with a row for each clip."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from doppelbench.corpora.corpus import CLIP_COLUMNS, SPLITS, Corpus, check_files, normalize_text
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.splits import EIGHTY_TEN_TEN, Fractions, by_key

Row = dict[str, str | None]


def read_csv(
    path: Path,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    prefix: str | None = None,
    root: str | None = None,
    speaker: str | None = None,
    split: str | None = None,
    seed: int = 0,
    fractions: Fractions = EIGHTY_TEN_TEN,
) -> Corpus:
    """Read a manifest whose header names the fields of :class:`~doppelbench.corpora.clip.Clip`.

    Further columns are kept in the table. Without a column for ids, the names of the files serve where they
    are distinct, else their whole paths.

    Args:
        path: the file; fields are separated by commas, or by tabs in a ``.tsv``.
        name: of the corpus; that of the file when None.
        columns: which column holds a field, where it has another name: ``{"audio": "file", "text":
            "transcript"}``.
        where: keep only rows that have this value (or one of these values) in this column.
        prefix: keep only rows whose audio (or video) path begins with this.
        root: folder that relative paths start from; that of the manifest when None.
        speaker: of all clips, where there is no such column.
        split: ``train``, ``dev`` or ``test`` for all clips, or ``sentence`` to divide them so that no text of
            dev or test is in train; the column ``split``, or else ``train``, when None.
        seed: of the shuffle for ``sentence``.
        fractions: of the sentences that go to train, dev and test.

    Raises:
        InputError: for a missing or empty file, an unknown column, a broken line (with its number), missing
            media files, and all that :class:`~doppelbench.corpora.corpus.Corpus` refuses.
    """
    import pandas as pd

    columns = dict(columns or {})
    unknown = sorted(columns.keys() - set(CLIP_COLUMNS))
    if unknown:
        raise InputError(
            f"{path}: {', '.join(unknown)} is no field of a clip; those are {', '.join(CLIP_COLUMNS)}"
        )
    if split not in (None, "sentence", *SPLITS):
        raise InputError(f"{path}: split is one of {', '.join(SPLITS)} or sentence, not {split!r}")
    header, rows = _rows(path)
    wanted = {column: _choices(value) for column, value in (where or {}).items()}
    for column in [*columns.values(), *wanted]:
        if column not in header:
            raise InputError(f"{path}: there is no column {column!r}; there are {', '.join(header)}")
    for field, column in columns.items():
        rows = [row | {field: row[column]} for row in rows]
    rows = [row for row in rows if all(row[column] in values for column, values in wanted.items())]
    if prefix is not None:
        rows = [row for row in rows if (_media(row) or "").startswith(prefix)]
    if not rows:
        raise InputError(f"{path}: no row is left" if wanted or prefix else f"{path}: there are no rows")
    table = pd.DataFrame(rows)
    if "id" not in table:
        table["id"] = _ids(path, rows)
    if "speaker" not in table and speaker is not None:
        table["speaker"] = speaker
    if "seconds" in table:
        table["seconds"] = pd.to_numeric(table["seconds"], errors="coerce")
    if split in SPLITS:
        table["split"] = split
    elif split == "sentence":
        keys = [normalize_text(row.get("text") or "") or str(_media(row)) for row in rows]
        table["split"] = by_key(keys, seed=seed, fractions=fractions)
    folder = path.parent if root is None else Path(root)
    media = [folder / value for row in rows for key in ("audio", "video") if (value := row.get(key))]
    check_files(dict.fromkeys(media), str(path))
    return Corpus(name or path.stem, table, folder)


def _rows(path: Path) -> tuple[list[str], list[Row]]:
    """Header and rows; empty cells become None."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    rows: list[Row] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            header = next(reader, None)
            if not header:
                raise InputError(f"{path}: the file is empty")
            if len(set(header)) < len(header):
                raise InputError(f"{path}:1: a column is named twice: {', '.join(header)}")
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise InputError(
                        f"{path}:{reader.line_num}: expected {len(header)} fields, got {len(cells)}"
                    )
                rows.append({key: cell or None for key, cell in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    return header, rows


def _choices(value: Any) -> set[str | None]:
    """Values wanted in a column, as they stand in the file; None is an empty cell."""
    one = isinstance(value, str) or not isinstance(value, Iterable)
    return {None if item is None else str(item) for item in ([value] if one else value)}


def _media(row: Row) -> str | None:
    return row.get("video") or row.get("audio")


def _ids(path: Path, rows: Sequence[Row]) -> list[str]:
    media = [_media(row) for row in rows]
    if None in media:
        raise InputError(f"{path}: there is no column for audio or video, or a row has neither; see columns=")
    files = [PurePosixPath(str(name).replace("\\", "/")) for name in media]
    stems = [file.stem for file in files]
    if len(set(stems)) == len(stems):
        return stems
    return ["_".join(part for part in file.with_suffix("").parts if part != "/") for file in files]
