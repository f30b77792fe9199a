"""LibriSpeech (Panayotov, Chen, Povey, Khudanpur 2015, ICASSP; openslr.org/12)."""

import re
from pathlib import Path

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import SPLITS, Corpus, check_files
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import media_files, read_table, require_folder, wrong_layout

LAYOUT = (
    "<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac with subsets such as train-clean-100, "
    "dev-clean and test-other"
)
FILE_NAME = re.compile(r"(?P<speaker>\d+)-(?P<chapter>\d+)-\d+")
SUBSET = re.compile(r"(train|dev|test)[-_](clean|other)")


def read_librispeech(root: Path, *, split: str | None = None) -> Corpus:
    """Read LibriSpeech; the names of its subsets give the split.

    Chapters become styles. Folders between the root and the files may be left out; a chapter without its
    ``.trans.txt`` gives clips without text.

    Args:
        root: folder of the release, of one subset, or of speakers.
        split: ``train``, ``dev`` or ``test`` for all clips; told by the folders' names when None.

    Raises:
        InputError: for a missing root, another layout, no subset in any folder's name, a broken line, or
            transcripts without audio.
    """
    require_folder(root, LAYOUT)
    if split is not None and split not in SPLITS:
        raise InputError(f"split is one of {', '.join(SPLITS)}, not {split!r}")
    paths = [
        path for path in media_files(root, frozenset({".flac", ".wav"})) if FILE_NAME.fullmatch(path.stem)
    ]
    if not paths:
        raise wrong_layout(root, LAYOUT)
    texts: dict[Path, str] = {}
    for script in sorted(root.rglob("*.trans.txt")):
        for name, (text,) in read_table(script, fields=2).items():
            texts[script.parent / name] = text
    held = {path.with_suffix("") for path in paths}
    check_files([f"{name}.flac" for name in texts if name not in held], str(root))
    clips = []
    for path in paths:
        speaker, chapter, _ = path.stem.split("-")
        clips.append(
            Clip(
                path.stem,
                speaker,
                audio=str(path),
                text=texts.get(path.with_suffix("")),
                style=chapter,
                split=split or split_of_subset(path),
            )
        )
    return Corpus.from_clips("librispeech", clips, root)


def split_of_subset(path: Path) -> str:
    """Return train, dev or test from the folder above a file that is named after a subset.

    Raises:
        InputError: when no folder is.
    """
    for folder in path.absolute().parent.parts[::-1]:
        subset = SUBSET.search(folder)
        if subset:
            return subset[1]
    raise InputError(
        f"{path}: no folder is named after a subset (train-clean-100, test-other ...); pass split="
    )
