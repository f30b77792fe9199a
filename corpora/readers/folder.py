"""Recordings in plain folders, long ones cut into clips at pauses."""

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import probe, read_audio
from doppelbench.corpora.readers.layout import AUDIO_SUFFIXES, VIDEO_SUFFIXES, media_files, read_text
from doppelbench.corpora.readers.splits import EIGHTY_TEN_TEN, Fractions, by_order

LAYOUT = "<speaker>/*.wav (or any audio or video), or audio or video files of one speaker"
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES
FRAME_SECONDS = 0.02
# Long enough to tell a pause from a stop consonant.
PAUSE_SECONDS = 0.2


def read_folder(
    root: Path,
    *,
    name: str | None = None,
    speaker: str | None = None,
    max_seconds: float | None = 10.0,
    fractions: Fractions = EIGHTY_TEN_TEN,
) -> Corpus:
    """Read recordings of people: a folder for each, or one file or folder of a single person.

    A single long recording of a person is what the exemplar autoencoder learns from (Deng, Bansal, Ramanan
    2021). The text of a recording that is not cut may stand in a ``.txt`` file of the same name beside it.

    Args:
        root: a file, a folder of files (one speaker), or a folder of folders (one speaker each, at any depth
            below).
        name: of the corpus; that of the root when None.
        speaker: of a single file or folder of files; its name when None.
        max_seconds: longer recordings are cut at their quietest places into clips of at most this; None cuts
            nothing.
        fractions: of each speaker's clips, in order, that go to train, dev and test.

    Raises:
        InputError: for a missing root, no media files in it, files beside speakers' folders, or
            ``max_seconds`` below 1.
        MediaError: when a file cannot be read.
    """
    if not root.exists():
        raise InputError(f"{root}: there is no such file or folder; expected {LAYOUT}")
    if max_seconds is not None and max_seconds < 1:
        raise InputError(f"max_seconds is at least 1, not {max_seconds}")
    base = root if root.is_dir() else root.parent
    clips = []
    for person, files in _recordings(root, speaker).items():
        cuts = [(path, text, start, end) for path in files for text, start, end in _cut(path, max_seconds)]
        numbers: dict[Path, int] = {}
        for (path, text, start, end), split in zip(cuts, by_order(len(cuts), fractions), strict=True):
            numbers[path] = numbers.get(path, -1) + 1
            stem = "_".join((person, *_below_speaker(base, path, person)))
            clips.append(
                Clip(
                    stem if start is None else f"{stem}_{numbers[path]:04d}",
                    person,
                    audio=str(path),
                    video=str(path) if path.suffix.lower() in VIDEO_SUFFIXES else None,
                    text=text,
                    style=path.stem if start is not None else None,
                    split=split,
                    start=start,
                    end=end,
                )
            )
    return Corpus.from_clips(name or root.absolute().stem, clips, base)


def cut_at_pauses(samples: np.ndarray, rate: int, longest: float) -> list[tuple[float, float]]:
    """Divide a recording into consecutive pieces of at most ``longest`` seconds.

    Each cut is at the quietest 0.2 s within the second half of what a piece may hold.

    Args:
        samples: mono signal, shape (n,).
        rate: samples per second.
        longest: seconds.

    Returns:
        Start and end of each piece in seconds; each begins where the one before ends, and the last ends with
        the recording.
    """
    frame = max(1, round(FRAME_SECONDS * rate))
    count = math.ceil(samples.size / frame)
    padded = np.pad(samples.astype(np.float64), (0, count * frame - samples.size))
    power = np.square(padded).reshape(count, frame).mean(axis=1)
    width = round(PAUSE_SECONDS / FRAME_SECONDS)
    smooth = np.convolve(power, np.ones(width) / width, mode="same")
    most = int(longest * rate / frame)
    bounds = [0]
    while count - bounds[-1] > most:
        # The last piece keeps at least a quarter of the length, so that no crumb is left over.
        first, last = bounds[-1] + most // 2, min(bounds[-1] + most, count - most // 4)
        # Of equally quiet places the last, which leaves fewer and longer pieces.
        bounds.append(last - int(np.argmin(smooth[first : last + 1][::-1])))
    edges = [*(bound * frame / rate for bound in bounds), samples.size / rate]
    return list(pairwise(edges))


def _recordings(root: Path, speaker: str | None) -> dict[str, list[Path]]:
    if root.is_file():
        return {speaker or root.stem: [root]}
    files = media_files(root, MEDIA_SUFFIXES)
    if not files:
        raise InputError(f"{root}: holds no audio or video files; expected {LAYOUT}")
    direct = [path for path in files if path.parent == root]
    if len(direct) == len(files):
        return {speaker or root.absolute().name: files}
    if direct:
        raise InputError(
            f"{direct[0]}: lies beside the folders of speakers; move it into one; expected {LAYOUT}"
        )
    people: dict[str, list[Path]] = {}
    for path in files:
        people.setdefault(path.relative_to(root).parts[0], []).append(path)
    return people


def _below_speaker(base: Path, path: Path, person: str) -> tuple[str, ...]:
    """Parts of a path below the speaker's folder, without the suffix, that name the clip."""
    parts = path.relative_to(base).with_suffix("").parts
    return tuple(part for index, part in enumerate(parts) if index > 0 or part != person)


def _cut(path: Path, max_seconds: float | None) -> Iterator[tuple[str | None, float | None, float | None]]:
    """Yield text, start and end of each clip of a recording."""
    if max_seconds is None or probe(path).seconds <= max_seconds:
        script = path.with_suffix(".txt")
        yield read_text(script) if script.is_file() else None, None, None
        return
    audio = read_audio(path)
    for start, end in cut_at_pauses(audio.samples, audio.rate, max_seconds):
        yield None, start, end
