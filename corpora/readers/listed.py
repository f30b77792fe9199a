"""Corpora whose clips stand in lists: every complaint names the line."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import CLIP_COLUMNS, Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import probe

Row = tuple[str, Clip, Sequence[Any]]
SECONDS_TOLERANCE = 0.1


def listed_corpus(
    name: str, rows: Iterable[Row], root: Path, *, columns: Sequence[str] = (), skip_missing: bool = False
) -> Corpus:
    """Make a corpus of clips that lists name; files are looked for, and none is opened.

    Args:
        name: of the corpus.
        rows: ``file:line`` that names a clip, the clip, and a cell for each further column.
        root: folder that relative paths start from.
        columns: names of the further columns; one without any value is left out.
        skip_missing: leave out clips whose file is not there, as in a partial copy of a data set.

    Raises:
        InputError: for an id that was listed before, or files that do not exist (with the line of the first),
            or when no clip is left.
    """
    import pandas as pd

    seen: set[str] = set()
    kept: list[Clip] = []
    cells: list[Sequence[Any]] = []
    absent: list[str] = []
    for place, clip, further in rows:
        if clip.id in seen:
            raise InputError(f"{place}: {clip.id!r} was listed before")
        seen.add(clip.id)
        media = dict.fromkeys(path for path in (clip.audio, clip.video) if path is not None)
        missing = next((path for path in media if not os.path.isfile(path)), None)
        if missing is None:
            kept.append(clip)
            cells.append(further)
        else:
            absent.append(f"{place}: {missing} does not exist")
    if absent and not skip_missing:
        others = f", nor do the files of {len(absent) - 1} other clips" if len(absent) > 1 else ""
        raise InputError(f"{absent[0]}{others}; skip_missing=true leaves such clips out")
    if not kept:
        raise InputError(absent[0] + "; no clip is left" if absent else f"{root}: the lists name no clip")
    table = {field: [getattr(clip, field) for clip in kept] for field in CLIP_COLUMNS}
    for index, column in enumerate(columns):
        values = [row[index] for row in cells]
        if any(value is not None for value in values):
            table[column] = values
    return Corpus(name, pd.DataFrame(table), root)


def check_seconds(corpus: Corpus) -> None:
    """Compare the lengths that lists tell (the column ``seconds``) with the files; every file is looked into.

    Raises:
        InputError: for a file whose length differs by more than 0.1 s.
        MediaError: for a file that cannot be read.
    """
    if "seconds" not in corpus.table:
        raise InputError(f"corpus {corpus.name}: the lists tell no lengths to check")
    told = corpus.table[corpus.table["seconds"].notna()]
    for path, seconds in zip(told["audio"], told["seconds"], strict=True):
        place = corpus.locate(path)
        found = probe(place).seconds
        if abs(found - seconds) > SECONDS_TOLERANCE:
            raise InputError(f"{place}: lasts {found:.2f} s, not {seconds:.2f} s as the list says")
