"""Lip Reading in the Wild, LRW (Chung and Zisserman 2016, ACCV)."""

import re
from pathlib import Path

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

LAYOUT = "<WORD>/train, val and test/<WORD>_00001.mp4, and <WORD>_00001.txt beside it where there is one"
SPLITS = {"train": "train", "val": "dev", "test": "test"}
# LRW does not tell who speaks.
SPEAKER = "unknown"
DURATION = re.compile(r"Duration:\s*(\d+(?:\.\d+)?)\s*seconds?")


def read_lrw(root: Path, *, durations: bool = False) -> Corpus:
    """Read LRW: clips of 29 frames around one of 500 words, in the official train, val (here dev) and test.

    Speakers are not told, so all clips have the speaker ``unknown``: the corpus serves video-to-speech and
    not the copying of a voice. Numbers begin anew in every split, so ids hold its name. Many speakers are in
    more than one split; the split without common speakers that some papers use rests on a clustering that was
    not released.

    Args:
        root: the folder with a folder for each word (``lipread_mp4``), or one above it.
        durations: read the text file beside every clip for the length of the word itself, into the column
            ``word_seconds``; that opens half a million files for the whole of LRW.

    Raises:
        InputError: for a missing root, another layout, a clip that is not named after its word, two films of
            one clip, or with ``durations`` a text file that is missing or without a duration.
    """
    require_folder(root, LAYOUT)
    clips, seconds = [], []
    for path in media_files(root, VIDEO_SUFFIXES):
        folder, word = path.parent.name, path.parent.parent.name
        if folder not in SPLITS:
            continue
        name, _, number = path.stem.rpartition("_")
        if name != word or not number.isdigit():
            raise InputError(f"{path}: not named after its word, as in {word}_00001{path.suffix}")
        clips.append(
            Clip(
                f"{folder}_{path.stem}",
                SPEAKER,
                audio=str(path),
                video=str(path),
                text=word.lower(),
                split=SPLITS[folder],
            )
        )
        if durations:
            seconds.append(_word_seconds(path.with_suffix(".txt")))
    if not clips:
        raise wrong_layout(root, LAYOUT)
    corpus = Corpus.from_clips("lrw", clips, root)
    return Corpus("lrw", corpus.table.assign(word_seconds=seconds), root) if durations else corpus


def _word_seconds(path: Path) -> float:
    for _, line in numbered_lines(path):
        found = DURATION.fullmatch(line)
        if found:
            return float(found[1])
    raise InputError(f"{path}: there is no line such as 'Duration: 0.45 seconds'")
