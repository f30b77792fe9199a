"""Spoken Wikipedia Corpora, SWC 2.0 (Köhn, Stegen, Baumann 2016, LREC; nats.gitlab.io/swc)."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import read_text, require_folder, wrong_layout
from doppelbench.corpora.readers.listed import Row, listed_corpus
from doppelbench.corpora.readers.splits import EIGHTY_TEN_TEN, Fractions, by_key

LAYOUT = "<article>/aligned.swc and <article>/audio.ogg (or audio1.ogg, audio2.ogg ... and info.json)"
ALIGNMENT = "aligned.swc"
AUDIO = re.compile(r"audio(?P<number>\d*)\.(wav|flac|ogg|mp3)")
SENTENCES = frozenset({"s", "sectiontitle"})
READER = "reader.name"


class Piece(NamedTuple):
    """Words that follow each other, with their beginning and end in seconds."""

    text: str
    start: float
    end: float


def read_spoken_wikipedia(
    root: Path,
    *,
    min_seconds: float = 1.0,
    max_seconds: float = 20.0,
    seed: int = 0,
    fractions: Fractions = EIGHTY_TEN_TEN,
    skip_missing: bool = False,
) -> Corpus:
    """Read the articles of one language; clips are the longest aligned stretches of each sentence.

    The layout is taken from public programs that read version 2.0 and was not compared with its
    documentation. Words without a time break a sentence, punctuation does not. Texts are the normalised
    words, as they are spoken. The article becomes the style. Speakers are told apart by the name in the
    annotation; an article that names none is a speaker of its own. The corpus states no split: a tenth of
    the speakers each is drawn for dev and test. No audio file is opened.

    Args:
        root: folder of a language, with a folder for each article.
        min_seconds: shorter stretches are left out.
        max_seconds: longer stretches are left out.
        seed: of the shuffle of speakers.
        fractions: of the speakers that go to train, dev and test.
        skip_missing: leave out articles without audio.

    Raises:
        InputError: for a missing root, another layout, an annotation that is no XML (with the line) or has
            a wrong time, several audio files without their offsets, or an article without audio.
    """
    require_folder(root, LAYOUT)
    articles = sorted(path.parent for path in root.glob(f"*/{ALIGNMENT}"))
    if (root / ALIGNMENT).is_file():
        articles = [root]
    if not articles:
        raise wrong_layout(root, LAYOUT)
    rows = (row for article in articles for row in _rows(article, min_seconds, max_seconds))
    corpus = listed_corpus("spoken_wikipedia", rows, root, skip_missing=skip_missing)
    splits = by_key(corpus.table["speaker"].tolist(), seed=seed, fractions=fractions)
    return Corpus("spoken_wikipedia", corpus.table.assign(split=splits), root)


def read_pieces(path: Path) -> tuple[str | None, list[Piece]]:
    """Return the reader's name and the aligned stretches of all sentences of an annotation.

    Raises:
        InputError: for a file that is no XML, or a time that is no whole number of milliseconds.
    """
    reader: str | None = None
    pieces: list[Piece] = []
    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag == "prop" and element.get("key") == READER:
                reader = element.get("value") or None
            elif element.tag in SENTENCES:
                pieces += _pieces(path, element)
                element.clear()
    except ElementTree.ParseError as error:
        raise InputError(f"{path}:{error.position[0]}: not an annotation in XML ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return reader, pieces


def _pieces(path: Path, sentence: ElementTree.Element) -> Iterator[Piece]:
    words: list[tuple[str, int, int]] = []
    for word in [*sentence.iter("n"), None]:
        times = None if word is None else _times(path, word)
        if word is not None and times is not None:
            words.append((word.get("pronunciation", ""), *times))
        elif words:
            yield Piece(" ".join(text for text, _, _ in words), words[0][1] / 1000, words[-1][2] / 1000)
            words = []


def _times(path: Path, word: ElementTree.Element) -> tuple[int, int] | None:
    start, end = word.get("start"), word.get("end")
    if start is None or end is None:
        return None
    if not start.isdecimal() or not end.isdecimal():
        name = word.get("pronunciation")
        raise InputError(f"{path}: {name!r} goes from {start!r} to {end!r}, not whole milliseconds")
    return int(start), int(end)


def _rows(article: Path, min_seconds: float, max_seconds: float) -> Iterator[Row]:
    path = article / ALIGNMENT
    name = article.absolute().name
    reader, pieces = read_pieces(path)
    parts = _audio(article)
    number = 0
    for piece in pieces:
        if not min_seconds <= piece.end - piece.start <= max_seconds:
            continue
        place = next(((file, offset) for file, offset, end in parts if offset <= piece.start < end), None)
        if place is None or piece.end > next(end for file, _, end in parts if file == place[0]):
            continue
        audio, offset = place
        clip = Clip(
            f"{name}_{number:04d}",
            reader or name,
            audio=str(audio),
            text=piece.text,
            style=name,
            start=round(piece.start - offset, 3),
            end=round(piece.end - offset, 3),
        )
        number += 1
        yield str(path), clip, ()


def _audio(article: Path) -> list[tuple[Path, float, float]]:
    """Audio files of an article, and where each begins and ends within the annotation's time in seconds."""
    found = sorted(
        (int(name["number"] or 0), path)
        for path in article.iterdir()
        if (name := AUDIO.fullmatch(path.name.lower()))
    )
    whole = [path for number, path in found if number == 0]
    if whole or not found:
        return [(whole[0] if whole else article / "audio.ogg", 0.0, float("inf"))]
    offsets = _offsets(article / "info.json")
    if len(offsets) != len(found):
        raise InputError(f"{article / 'info.json'}: tells {len(offsets)} offsets of {len(found)} audio files")
    ends = [end for _, end in pairwise(offsets)] + [float("inf")]
    return [(path, offset, end) for (_, path), offset, end in zip(found, offsets, ends, strict=True)]


def _offsets(path: Path) -> list[float]:
    try:
        files: list[dict[str, Any]] = json.loads(read_text(path))["audio_files"]
        return [float(file["offset"]) for file in files]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: expected audio_files with an offset in seconds for each") from None
