"""LibriTTS (Zen et al. 2019, Interspeech; openslr.org/60) and LibriTTS-R (openslr.org/141)."""

import re
from collections.abc import Iterator
from pathlib import Path

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import SPLITS, Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import (
    media_files,
    raw_lines,
    read_text,
    require_folder,
    wrong_layout,
)
from doppelbench.corpora.readers.librispeech import split_of_subset
from doppelbench.corpora.readers.listed import Row, listed_corpus

LAYOUT = (
    "<subset>/<speaker>/<chapter>/<speaker>_<chapter>_<paragraph>_<sentence>.wav with subsets such as "
    "train-clean-100, and <speaker>_<chapter>.trans.tsv or .normalized.txt files beside them"
)
FILE_NAME = re.compile(r"\d+_\d+_\d+_\d+")
LIST_END = ".trans.tsv"


def read_libritts(
    root: Path, *, split: str | None = None, normalized: bool = True, skip_missing: bool = False
) -> Corpus:
    """Read LibriTTS; the names of its subsets give the split (train-*, dev-*, test-*).

    Chapters become styles. Texts come from a chapter's ``.trans.tsv``, or from the text file beside a clip
    that no such list names. ``torchaudio.datasets.LIBRITTS`` can download it.

    Args:
        root: folder of the release, of one subset, or of speakers.
        split: ``train``, ``dev`` or ``test`` for all clips; told by the folders' names when None.
        normalized: take the text with numbers and abbreviations written out.
        skip_missing: leave out clips that a list names and that are not there.

    Raises:
        InputError: for a missing root, another layout, no subset in any folder's name, a broken line, a clip
            listed twice or missing (each with the line), or a text that is not UTF-8.
    """
    require_folder(root, LAYOUT)
    if split is not None and split not in SPLITS:
        raise InputError(f"split is one of {', '.join(SPLITS)}, not {split!r}")
    sounds = [path for path in media_files(root, frozenset({".wav"})) if FILE_NAME.fullmatch(path.stem)]
    if not sounds:
        raise wrong_layout(root, LAYOUT)
    return listed_corpus("libritts", _rows(root, sounds, split, normalized), root, skip_missing=skip_missing)


def _rows(root: Path, sounds: list[Path], split: str | None, normalized: bool) -> Iterator[Row]:
    listed: set[Path] = set()
    for script in media_files(root, frozenset({".tsv"})):
        if not script.name.endswith(LIST_END):
            continue
        for place, line in raw_lines(script):
            fields = line.split("\t")
            if not line.strip():
                continue
            if len(fields) != 3 or not FILE_NAME.fullmatch(fields[0]):
                raise InputError(
                    f"{place}: expected id, text and normalised text divided by tabs, got {line!r}"
                )
            path = script.parent / f"{fields[0]}.wav"
            listed.add(path)
            yield place, _clip(path, fields[2 if normalized else 1], split), ()
    end = ".normalized.txt" if normalized else ".original.txt"
    for path in sounds:
        if path not in listed:
            script = path.with_name(path.stem + end)
            yield str(path), _clip(path, read_text(script) if script.is_file() else None, split), ()


def _clip(path: Path, text: str | None, split: str | None) -> Clip:
    speaker, chapter, _, _ = path.stem.split("_")
    return Clip(
        path.stem, speaker, audio=str(path), text=text, style=chapter, split=split or split_of_subset(path)
    )
