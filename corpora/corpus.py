"""A corpus: a checked table of clips, with filters, parallel pairs, content hashes and a Parquet manifest."""

import hashlib
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import probe, sha256_of

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "dev", "test")
CLIP_COLUMNS = tuple(field.name for field in fields(Clip))
TIME_COLUMNS = ("start", "end")
MANIFEST_KEY = b"doppelbench"
# A message names at most this many files.
NAMED_FILES = 5


class Corpus:
    """Clips of one data set.

    Attributes:
        name: what the corpus is called in results.
        table: one row per clip; the columns are the fields of :class:`Clip`, and any further ones a reader
            knows (``seconds``, ``alignment`` ...), which can be filtered by. Paths are relative to ``root`` where
            there is one and they lie below it.
        root: folder that the paths are relative to, or None when they stand for themselves.
    """

    def __init__(self, name: str, table: "pd.DataFrame", root: str | os.PathLike[str] | None = None) -> None:
        """Check and keep a table of clips.

        Args:
            name: what the corpus is called in results.
            table: at least the columns ``id``, ``speaker`` and one of ``audio`` and ``video``.
            root: folder that relative paths start from.

        Raises:
            InputError: for a missing column, a duplicate id, an id that is no file name, an unknown split, a
                clip without a speaker, with neither audio nor video, or with an end before its start; the message
                names the row.
        """
        self.name = name
        self.root = None if root is None else Path(root)
        self.table = _completed(name, table, self.root)
        _check(name, self.table)

    @classmethod
    def from_clips(
        cls, name: str, clips: Iterable[Clip], root: str | os.PathLike[str] | None = None
    ) -> "Corpus":
        """Make a corpus of clips.

        Raises:
            InputError: as the constructor does.
        """
        import pandas as pd

        rows = [asdict(clip) for clip in clips]
        return cls(name, pd.DataFrame(rows, columns=list(CLIP_COLUMNS)), root)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}, {len(self)} clips, {len(self.speakers)} speakers)"

    @property
    def speakers(self) -> list[str]:
        """All speakers, sorted."""
        return sorted(self.table["speaker"].unique())

    def clips(self, **filters: Any) -> list[Clip]:
        """Return the clips that pass every filter, in the order of the table.

        Args:
            **filters: a column and the value wanted, or a list, set or tuple of values; None finds
                empty cells.

        Raises:
            InputError: when there is no such column.
        """
        return [self._clip(row) for row in self._rows(filters)]

    def select(self, **filters: Any) -> "Corpus":
        """Return the part of the corpus that passes every filter (see :meth:`clips`)."""
        return Corpus(self.name, self.table[self._mask(filters)], self.root)

    def locate(self, path: str | os.PathLike[str]) -> Path:
        """Return where a path of the table lies: below ``root``, where there is one."""
        return Path(path) if self.root is None else self.root / path

    def parallel(self, a: str | None = None, b: str | None = None, **filters: Any) -> list[tuple[Clip, Clip]]:
        """Return pairs of clips in which different speakers say the same text.

        Texts are compared by :func:`normalize_text`. Where speakers say a text several times, the first
        take of one goes with the first of the other, and so on. Pairs are ordered by speaker, then by text.

        Args:
            a: speaker of the first clip of each pair.
            b: speaker of the second; without a and b, every two speakers are paired once, in sorted order.
            **filters: restrict the clips, as in :meth:`clips`.

        Raises:
            InputError: when only one of a and b is given, or a speaker is not in the corpus.
        """
        if (a is None) != (b is None):
            raise InputError(f"corpus {self.name}: name both speakers of a parallel pair, or none")
        for speaker in (a, b):
            if speaker is not None and speaker not in self.speakers:
                raise InputError(f"corpus {self.name}: there is no speaker {speaker!r}")
        takes: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        for clip in self.clips(**filters):
            text = normalize_text(clip.text or "")
            if text:
                takes[clip.speaker][text].append(clip)
        couples = [(a, b)] if a is not None and b is not None and a != b else []
        if a is None:
            couples = list(combinations(sorted(takes), 2))
        return [
            pair
            for first, second in couples
            for text in sorted(takes[first].keys() & takes[second].keys())
            for pair in zip(takes[first][text], takes[second][text], strict=False)
        ]

    def summary(self) -> "pd.DataFrame":
        """Return clips, seconds and speakers of every split and of the whole.

        Durations come from the column ``seconds``, from start and end, or else from the headers of the files.

        Returns:
            Table with the index train, dev, test (where there are clips) and all.

        Raises:
            MediaError: when a file that must be looked into is missing or unreadable.
        """
        import pandas as pd

        table = self.table.assign(seconds=self._seconds())
        parts = {split: table[table["split"] == split] for split in SPLITS} | {"all": table}
        rows = {
            split: {
                "clips": len(part),
                "seconds": part["seconds"].sum(),
                "speakers": part["speaker"].nunique(),
            }
            for split, part in parts.items()
            if len(part) or split == "all"
        }
        summary = pd.DataFrame.from_dict(rows, orient="index")
        return summary.astype({"clips": int, "seconds": float, "speakers": int})

    def with_hashes(self, jobs: int = 1) -> "Corpus":
        """Return the corpus with the SHA-256 of every clip's media file filled in.

        A clip whose sound and pictures lie in two files gets the hash of both hashes.

        Args:
            jobs: files that are read at a time.

        Raises:
            InputError: when files are missing.
        """
        files = [list(dict.fromkeys(self._media(row))) for row in self._rows({})]
        distinct = list(dict.fromkeys(path for paths in files for path in paths))
        check_files(distinct, f"corpus {self.name}")
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            hashes = dict(zip(distinct, pool.map(sha256_of, distinct), strict=True))
        combined = [_joint_hash([hashes[path] for path in paths]) for paths in files]
        return Corpus(self.name, self.table.assign(sha256=combined), self.root)

    @property
    def corpus_hash(self) -> str:
        """SHA-256 over ids, speakers, media hashes, texts, splits, starts and ends, in hexadecimal.

        It depends neither on the order of the clips nor on where the files lie. Media count only where
        :meth:`with_hashes` has filled in their hashes.
        """
        keys = ("id", "speaker", "sha256", "text", "split", "start", "end")
        clips = sorted(self.clips(), key=lambda clip: clip.id)
        lines = (json.dumps([getattr(clip, key) for key in keys], ensure_ascii=False) for clip in clips)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as Parquet, atomically; the root is kept relative to the file's folder.

        Media hashes that are not there yet are computed.

        Raises:
            InputError: when media files are missing.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        corpus = self if self.table["sha256"].notna().all() else self.with_hashes()
        root = None if self.root is None else os.path.relpath(self.root.resolve(), path.parent.resolve())
        head = {"name": self.name, "root": root, "corpus_hash": corpus.corpus_hash}
        arrow = pa.Table.from_pandas(corpus.table, preserve_index=False)
        arrow = arrow.replace_schema_metadata({MANIFEST_KEY: json.dumps(head).encode()})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            pq.write_table(arrow, partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> "Corpus":
        """Read a manifest that :meth:`save` wrote.

        Args:
            path: the Parquet file.
            root: where the media files lie now; where the manifest says when None.

        Raises:
            InputError: when the file is missing, is no manifest, or was changed since it was written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: there is no such manifest")
        try:
            arrow = pq.read_table(path)
            head = json.loads((arrow.schema.metadata or {})[MANIFEST_KEY])
            name, stored, digest = head["name"], head["root"], head["corpus_hash"]
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            raise InputError(
                f"{path}: not a corpus manifest of doppelbench; write one with Corpus.save"
            ) from None
        if root is None and stored is not None:
            root = Path(os.path.normpath(path.parent / stored))
        corpus = cls(name, arrow.to_pandas(), root)
        if corpus.corpus_hash != digest:
            raise InputError(f"{path}: the clips do not match the hash in the manifest; write it anew")
        return corpus

    def _rows(self, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        table = self.table[self._mask(filters)]
        plain = table.astype(object).where(table.notna(), None)
        return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]

    def _mask(self, filters: Mapping[str, Any]) -> "pd.Series[bool]":
        import pandas as pd

        mask = pd.Series(True, index=self.table.index)
        for column, wanted in filters.items():
            if column not in self.table:
                known = ", ".join(self.table.columns)
                raise InputError(f"corpus {self.name}: there is no column {column!r}; there are {known}")
            is_one = wanted is None or isinstance(wanted, str) or not isinstance(wanted, Iterable)
            values = [wanted] if is_one else list(wanted)
            cells = self.table[column]
            found = cells.isin([value for value in values if value is not None])
            mask &= (found | cells.isna()) if None in values else found
        return mask

    def _clip(self, row: Mapping[str, Any]) -> Clip:
        values = {key: row[key] for key in CLIP_COLUMNS}
        for key in ("audio", "video"):
            if values[key] is not None:
                values[key] = str(self.locate(values[key]))
        return Clip(**values)

    def _media(self, row: Mapping[str, Any]) -> list[Path]:
        return [self.locate(row[key]) for key in ("audio", "video") if row[key] is not None]

    def _seconds(self) -> list[float]:
        probed: dict[Path, float] = {}
        seconds = []
        for row in self._rows({}):
            length, end = row.get("seconds"), row["end"]
            if length is None and end is None:
                path = self._media(row)[0]
                if path not in probed:
                    probed[path] = probe(path).seconds
                end = probed[path]
            seconds.append(float(length if length is not None else end - (row["start"] or 0.0)))
        return seconds


def normalize_text(text: str) -> str:
    """Return a text in lower case without punctuation and with single spaces, for comparing sentences.

    Apostrophes inside words stay, because they distinguish words.
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    kept = (char if char.isalnum() or unicodedata.combining(char) or char == "'" else " " for char in folded)
    return " ".join(word.strip("'") for word in "".join(kept).split() if word.strip("'"))


def check_files(paths: Iterable[str | os.PathLike[str]], owner: str) -> None:
    """Raise an InputError with the count and the first five of the files that do not exist.

    Args:
        paths: files that must be there.
        owner: what lists them, for the message.
    """
    absent = [str(path) for path in paths if not os.path.isfile(path)]
    if absent:
        named = ", ".join(absent[:NAMED_FILES]) + (" ..." if len(absent) > NAMED_FILES else "")
        raise InputError(f"{owner}: {len(absent)} media file(s) do not exist: {named}")


def _joint_hash(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _completed(name: str, table: "pd.DataFrame", root: Path | None) -> "pd.DataFrame":
    """Bring the columns of a clip into order and to one type each; further columns stay behind them."""
    import pandas as pd

    for column in ("id", "speaker"):
        if column not in table:
            raise InputError(f"corpus {name}: the table has no column {column!r}")
    table = table.reset_index(drop=True).copy()
    for column in CLIP_COLUMNS:
        if column in TIME_COLUMNS:
            cells = table[column] if column in table else pd.Series(index=table.index, dtype="float64")
            table[column] = _seconds_column(name, column, cells)
        else:
            default = "train" if column == "split" else None
            cells = table[column] if column in table else pd.Series(default, index=table.index, dtype="str")
            known = cells.notna()
            table[column] = cells.astype(object).map(str).where(known, None).astype("str")
    if root is not None:
        for column in ("audio", "video"):
            table[column] = table[column].map(lambda path: _below(root, path), na_action="ignore")
    rest = [column for column in table.columns if column not in CLIP_COLUMNS]
    return table[[*CLIP_COLUMNS, *rest]]


def _below(root: Path, path: str) -> str:
    """Return a path relative to the root where it lies below it, so that a manifest can move with its files."""
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path


def _seconds_column(name: str, column: str, cells: "pd.Series[Any]") -> "pd.Series[float]":
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    wrong = numbers.isna() & cells.notna()
    if wrong.any():
        index = int(wrong.to_numpy().argmax())
        raise InputError(
            f"corpus {name}: row {index + 1}: {column} is {cells.iloc[index]!r}, not a number of seconds"
        )
    return numbers


def _check(name: str, table: "pd.DataFrame") -> None:
    ids = table["id"].fillna("")
    bad_name = ids.str.contains(r"[/\\\x00]", regex=True) | ids.isin(["", ".", ".."])
    duplicate = ids.duplicated()
    late = (table["start"].fillna(0.0) >= table["end"]) | (table["start"] < 0)
    problems = (
        (bad_name, "its id is empty or holds a path separator, but serves as a file name"),
        (duplicate, "its id is taken by an earlier row; ids are unique within a corpus"),
        (table["speaker"].isna() | (table["speaker"] == ""), "it has no speaker"),
        (table["audio"].isna() & table["video"].isna(), "it has neither audio nor video"),
        (~table["split"].isin(SPLITS), "its split is none of train, dev and test"),
        (late, "its start lies before 0 or not before its end"),
    )
    for wrong, reason in problems:
        if wrong.any():
            index = int(wrong.to_numpy().argmax())
            raise InputError(f"corpus {name}: row {index + 1} (id {table['id'].iloc[index]!r}): {reason}")
