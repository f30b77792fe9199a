"""GRID audio-visual sentence corpus (Cooke, Barker, Cunningham, Shao 2006, doi:10.1121/1.2229005)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import (
    VIDEO_SUFFIXES,
    media_files,
    numbered_lines,
    require_folder,
    wrong_layout,
)
from doppelbench.corpora.readers.splits import by_order

LAYOUT = (
    "s1/*.mpg (or .mp4) for each talker s1 to s34, and <name>.align files below align/ or beside the videos"
)
TALKER = re.compile(r"s\d+")
SEEN_FRACTIONS = (0.9, 0.05, 0.05)
# Align files count 1000 to a video frame of 1/25 s.
ALIGN_UNITS = 25000
PAUSES = frozenset({"sil", "sp"})
DEV_TALKERS = frozenset(f"s{number}" for number in (9, 20, 23, 27, 29, 30, 34))
TEST_TALKERS = frozenset(f"s{number}" for number in (2, 4, 11, 13, 15, 18, 19, 25, 31, 33))
TRAIN_TALKERS = frozenset(
    f"s{number}" for number in (1, 3, 5, 6, 7, 8, 10, 12, 14, 16, 17, 22, 24, 26, 28, 32)
)
FOUR_TALKERS = frozenset({"s1", "s2", "s4", "s29"})
TALKERS_OF = {"unseen-33": TRAIN_TALKERS | DEV_TALKERS | TEST_TALKERS, "seen-4": FOUR_TALKERS}
PROTOCOLS = ("unseen", "seen", "unseen-33", "seen-4")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GRAMMAR = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(zip("z123456789", DIGITS, strict=True)),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its beginning and end in seconds."""

    text: str
    start: float
    end: float


def read_grid(
    root: Path, *, protocol: Literal["unseen", "seen", "unseen-33", "seen-4"] = "unseen", seed: int = 0
) -> Corpus:
    """Read GRID; the table's column ``alignment`` names the align file of a clip (see :func:`read_align`).

    The text comes from the align file, or from the six letters of the file's name where there is none. The
    sound is that of the video file.

    The two protocols of the field are ``unseen-33`` and ``seen-4``. They keep exactly their talkers and
    refuse a root where one is missing:

    * ``unseen-33``: 16 talkers for training (15888 clips in VCA-GAN's lists), 7 for dev (7000) and 10 for
      test (9982); talker 21 has no video and is in none. That other groups mean the same list by "unseen"
      follows only from equal numbers of talkers; lip-reading papers mean another one (test s1, s2, s20,
      s22).
    * ``seen-4``: talkers 1, 2, 4 and 29, with 90/5/5 of every talker's clips. Public code has 3586, 199 and
      200 clips, 50 for test from each; which ones is drawn here by the seed, not taken from a list.

    ``unseen`` and ``seen`` apply the same rules to whichever talkers are there (``unseen`` trains on any that
    the lists do not name).

    Args:
        root: folder that holds a folder for each talker, at any depth.
        protocol: ``unseen`` and ``unseen-33`` keep speakers apart, with the lists of 16, 7 and 10 talkers
            that the code of VCA-GAN (Kim, Hong, Ro 2021) ships; ``seen`` and ``seen-4`` hold out 5 % dev and
            5 % test of every talker's clips, the proportions of the four-speaker experiments (Akbari et al.
            2018).
        seed: of the shuffle for ``seen`` and ``seen-4``.

    Raises:
        InputError: for a missing root, another layout, a talker of the protocol that is missing, a file name
            that is no GRID sentence and has no align file, or a broken align file.
    """
    require_folder(root, LAYOUT)
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol is unseen or seen, unseen-33 or seen-4, not {protocol!r}")
    wanted = TALKERS_OF.get(protocol)
    aligned = {(_talker(root, path), path.stem): path for path in sorted(root.rglob("*.align"))}
    clips, alignments = [], []
    for path in media_files(root, VIDEO_SUFFIXES):
        talker = _talker(root, path)
        if talker is None or (wanted is not None and talker not in wanted):
            continue
        align = aligned.get((talker, path.stem))
        text = sentence_of_name(path) if align is None else " ".join(word.text for word in read_align(align))
        clips.append(Clip(f"{talker}_{path.stem}", talker, audio=str(path), video=str(path), text=text))
        alignments.append(None if align is None else str(align.relative_to(root)))
    if not clips:
        raise wrong_layout(root, LAYOUT)
    absent = sorted(
        (wanted or frozenset()) - {clip.speaker for clip in clips}, key=lambda name: int(name[1:])
    )
    if absent:
        raise InputError(f"{root}: protocol {protocol} needs talkers that are not there: {', '.join(absent)}")
    table = Corpus.from_clips("grid", clips, root).table
    table["alignment"] = alignments
    speakers = table["speaker"].tolist()
    unseen = protocol.startswith("unseen")
    splits = [_unseen(name) for name in speakers] if unseen else _seen(speakers, seed)
    return Corpus("grid", table.assign(split=splits), root)


def read_align(path: Path) -> list[Word]:
    """Read the words of an align file with their times; pauses are left out.

    Raises:
        InputError: for a line that is not start, end and word.
    """
    words = []
    for place, line in numbered_lines(path):
        fields = line.split()
        if len(fields) != 3 or not fields[0].isdigit() or not fields[1].isdigit():
            raise InputError(f"{place}: expected start, end and word, got {line!r}")
        if fields[2] not in PAUSES:
            words.append(Word(fields[2], int(fields[0]) / ALIGN_UNITS, int(fields[1]) / ALIGN_UNITS))
    return words


def sentence_of_name(path: Path) -> str:
    """Return the six words that the six characters of a GRID file name stand for.

    Raises:
        InputError: when the name does not follow the grammar.
    """
    name = path.stem.lower()
    if len(name) != len(GRAMMAR) or any(char not in words for char, words in zip(name, GRAMMAR, strict=True)):
        raise InputError(
            f"{path}: neither an align file nor a name of GRID's grammar (such as bbaf2n) gives the text"
        )
    return " ".join(words[char] for char, words in zip(name, GRAMMAR, strict=True))


def _talker(root: Path, path: Path) -> str | None:
    names = [
        part
        for part in (root.absolute().name, *path.relative_to(root).parent.parts)
        if TALKER.fullmatch(part)
    ]
    return names[-1] if names else None


def _unseen(talker: str) -> str:
    return "dev" if talker in DEV_TALKERS else "test" if talker in TEST_TALKERS else "train"


def _seen(speakers: list[str], seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    splits = np.empty(len(speakers), dtype=object)
    for talker in sorted(set(speakers)):
        rows = np.flatnonzero([name == talker for name in speakers])
        splits[generator.permutation(rows)] = by_order(len(rows), SEEN_FRACTIONS)
    return list(splits)
