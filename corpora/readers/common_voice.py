"""Common Voice (Ardila et al. 2020, LREC; commonvoice.mozilla.org)."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import require_folder, tabbed_rows, wrong_layout
from doppelbench.corpora.readers.listed import Row, check_seconds, listed_corpus

LAYOUT = "train.tsv, dev.tsv and test.tsv of one language beside clips/*.mp3, or <language>/ with them"
TABLES = ("train", "dev", "test")
NEEDED = ("client_id", "path", "sentence")
FURTHER = ("gender", "age", "accents", "accent", "locale")


def read_common_voice(
    root: Path,
    *,
    language: str | None = None,
    validated: bool = False,
    skip_missing: bool = False,
    check: bool = False,
) -> Corpus:
    """Read one language of Common Voice; its tables are the split, and no speaker is in two of them.

    ``gender``, ``age``, ``accents`` and ``locale`` become columns, and so do ``seconds`` where the release
    has ``clip_durations.tsv``. No audio file is opened. Common Voice must be downloaded by hand (torchaudio
    reads it and does not download it either).

    Args:
        root: folder of a language, or of a release.
        language: such as ``en``, where the root is a release.
        validated: also take the clips of ``validated.tsv`` that no other table lists for training, but for
            those of speakers in dev and test; for pre-training on all there is.
        skip_missing: leave out clips whose file is not there.
        check: look into every file and compare its length with the table's.

    Raises:
        InputError: for a missing root, another layout, a column that is missing, a broken line, a clip listed
            twice or missing (each with the line), or a length that is wrong.
    """
    require_folder(root, LAYOUT)
    folder = _language_folder(root, language)
    tables = {split: folder / f"{split}.tsv" for split in TABLES if (folder / f"{split}.tsv").is_file()}
    if not tables or not (folder / "clips").is_dir():
        raise wrong_layout(folder, LAYOUT)
    seconds = _seconds(folder / "clip_durations.tsv")
    rows = _rows(folder, tables, seconds)
    if validated:
        rows = _with_validated(folder, rows, seconds)
    corpus = listed_corpus(
        "common_voice", rows, folder, columns=(*FURTHER, "seconds"), skip_missing=skip_missing
    )
    if check:
        check_seconds(corpus)
    return corpus


def _language_folder(root: Path, language: str | None) -> Path:
    if language is not None:
        return require_folder(root / language, LAYOUT)
    if (root / "clips").is_dir():
        return root
    languages = sorted(path.parent.name for path in root.glob("*/clips"))
    if len(languages) > 1:
        raise InputError(f"{root}: holds several languages ({', '.join(languages)}); pass language=")
    return root / languages[0] if languages else root


def _rows(folder: Path, tables: Mapping[str, Path], seconds: Mapping[str, float]) -> Iterator[Row]:
    for split, path in tables.items():
        yield from (_row(folder, split, place, cells, seconds) for place, cells in tabbed_rows(path))


def _row(folder: Path, split: str, place: str, cells: Mapping[str, str], seconds: Mapping[str, float]) -> Row:
    absent = [column for column in NEEDED if column not in cells]
    if absent:
        raise InputError(f"{place}: the table has no column {', '.join(absent)}")
    empty = next((column for column in ("client_id", "path") if not cells[column]), None)
    if empty is not None:
        raise InputError(f"{place}: {empty} is empty")
    name = PurePosixPath(cells["path"])
    # The first releases wrote names without a suffix.
    file = name if name.suffix else name.with_suffix(".mp3")
    clip = Clip(
        file.stem,
        cells["client_id"],
        audio=str(folder / "clips" / file),
        text=cells["sentence"],
        split=split,
    )
    return place, clip, [*(cells.get(column) or None for column in FURTHER), seconds.get(file.name)]


def _with_validated(folder: Path, rows: Iterator[Row], seconds: Mapping[str, float]) -> Iterator[Row]:
    listed: set[str] = set()
    held_out: set[str] = set()
    for place, clip, further in rows:
        listed.add(clip.id)
        if clip.split != "train":
            held_out.add(clip.speaker)
        yield place, clip, further
    for place, cells in tabbed_rows(folder / "validated.tsv"):
        row = _row(folder, "train", place, cells, seconds)
        if row[1].id not in listed and row[1].speaker not in held_out:
            yield row


def _seconds(path: Path) -> dict[str, float]:
    """Length of each file that ``clip_durations.tsv`` lists in milliseconds; nothing without that table."""
    seconds: dict[str, float] = {}
    if path.is_file():
        for place, cells in tabbed_rows(path):
            name, *lengths = cells.values()
            if len(lengths) != 1 or not lengths[0].isdigit():
                raise InputError(f"{place}: expected a clip and its milliseconds, got {list(cells.values())}")
            seconds[name] = int(lengths[0]) / 1000
    return seconds
