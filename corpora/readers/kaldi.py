"""Kaldi data directories (kaldi-asr.org/doc/data_prep.html)."""

import re
from pathlib import Path

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import SPLITS, Corpus, check_files
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.readers.layout import numbered_lines, read_table, require_folder, wrong_layout

LAYOUT = "wav.scp and utt2spk, and where there are any text and segments"
ARCHIVE_OFFSET = re.compile(r":\d+(\[.*\])?$")
SPLIT_WORDS = {"train": "train", "dev": "dev", "valid": "dev", "test": "test", "eval": "test"}


def read_kaldi(root: Path, *, split: str | None = None, base: str | None = None) -> Corpus:
    """Read a Kaldi data directory.

    Args:
        root: the directory.
        split: ``train``, ``dev`` or ``test``; when None it is told by the directory's name, else ``train``.
        base: folder that relative paths of wav.scp start from; the directory itself when None.

    Raises:
        InputError: for a missing root, another layout, a broken line, an utterance without a speaker or a
            recording, a command or archive in wav.scp (nothing is executed), or missing audio.
    """
    require_folder(root, LAYOUT)
    if not (root / "wav.scp").is_file() or not (root / "utt2spk").is_file():
        raise wrong_layout(root, LAYOUT)
    if split is not None and split not in SPLITS:
        raise InputError(f"split is one of {', '.join(SPLITS)}, not {split!r}")
    recordings = _recordings(root / "wav.scp", root if base is None else Path(base))
    speakers = {name: speaker for name, (speaker,) in read_table(root / "utt2spk", fields=2).items()}
    texts = _texts(root / "text")
    segments = _segments(root / "segments")
    if segments is None:
        segments = {name: (name, None, None) for name in recordings}
    clips = []
    for name, (recording, start, end) in segments.items():
        if recording not in recordings:
            raise InputError(
                f"{root / 'segments'}: {name!r} lies in {recording!r}, which wav.scp does not list"
            )
        if name not in speakers:
            raise InputError(f"{root / 'utt2spk'}: the utterance {name!r} has no speaker")
        audio = str(recordings[recording])
        clips.append(
            Clip(
                name,
                speakers[name],
                audio=audio,
                text=texts.get(name),
                split=split or _split_of(root),
                start=start,
                end=end,
            )
        )
    check_files(recordings.values(), str(root / "wav.scp"))
    return Corpus.from_clips(root.absolute().name, clips, root)


def _recordings(path: Path, base: Path) -> dict[str, Path]:
    recordings = {}
    for name, (place,) in read_table(path, fields=2).items():
        refuse_indirect(str(path), name, place)
        recordings[name] = base / place
    return recordings


def refuse_indirect(where: str, name: str, place: str) -> None:
    """Refuse an entry of a Kaldi list that is no file: nothing is executed, and archives are not read.

    Args:
        where: file, and line where it is known, for the message.
        name: id of the entry.
        place: what the list says of it.

    Raises:
        InputError: a command or a place in an archive.
    """
    if place.endswith("|") or place.startswith("|"):
        raise InputError(
            f"{where}: {name!r} is made by a command, which is never executed; write it to a file"
        )
    if ARCHIVE_OFFSET.search(place):
        raise InputError(
            f"{where}: {name!r} lies in a Kaldi archive; write it to a WAV or FLAC file and name that"
        )


def _texts(path: Path) -> dict[str, str]:
    """Transcripts; Kaldi allows an utterance of no words."""
    texts: dict[str, str] = {}
    if path.is_file():
        for place, line in numbered_lines(path):
            name, _, text = line.partition(" ")
            if name in texts:
                raise InputError(f"{place}: {name!r} was listed before")
            texts[name] = text.strip()
    return texts


def _segments(path: Path) -> dict[str, tuple[str, float | None, float | None]] | None:
    """Recording, start and end of each utterance; None without a file. A negative end is the recording's."""
    if not path.is_file():
        return None
    segments: dict[str, tuple[str, float | None, float | None]] = {}
    for name, (recording, start, end) in read_table(path, fields=4).items():
        try:
            first, last = float(start), float(end)
        except ValueError:
            raise InputError(
                f"{path}: {name!r} goes from {start!r} to {end!r}, not numbers of seconds"
            ) from None
        segments[name] = (recording, first, None if last < 0 else last)
    return segments


def _split_of(root: Path) -> str:
    words = re.split(r"[^a-z]+", root.absolute().name.lower())
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "train")
