"""A sheet for an AB test: pairs of sounds of two systems, for listeners who do not know which is which.

The exemplar paper (Deng et al., ICLR 2021, section 4.2 and appendices D.3 and D.4) asks which of two outputs
people prefer. A sheet makes that question askable: each system comes first in half of the pairs, overall and,
as nearly as numbers allow, for every target; the pairs stand in random order; names of files say nothing, and
neither do their rate, loudness, times or order of writing. What the listeners get lies in ``raters``; which
sound is whose lies beside it in ``key.csv`` and stays with whoever analyses the votes.
"""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import HEADROOM, Audio, read_audio, resample, write_audio

RATE = 16000
# One moment for all files, so that their times do not tell the order in which they were made.
FILE_TIME = 946684800
RATERS, SHEET, SOUNDS, KEY = "raters", "sheet.csv", "sounds", "key.csv"
SHEET_COLUMNS = ("pair", "first", "second", "reference", "question", "answer")
KEY_COLUMNS = ("pair", "trial", "target", "first", "second")


@dataclass(frozen=True, slots=True)
class AbPair:
    """What two systems made of one trial.

    Attributes:
        trial: its id.
        target: whose voice was asked for; the order is balanced within it.
        outputs: the two files, in the order of the systems.
        reference: a natural recording for the listeners to compare with, or None.
    """

    trial: str
    target: str
    outputs: tuple[Path, Path]
    reference: Path | None = None


def balanced_order(targets: Sequence[str], generator: np.random.Generator) -> list[bool]:
    """Say for each pair whether the second system comes first.

    Both orders are equally frequent overall and within each target; where a number is odd they differ by one.
    """
    swapped = [False] * len(targets)
    flag = bool(generator.integers(2))
    names = sorted(set(targets))
    for name in (names[index] for index in generator.permutation(len(names))):
        own = [index for index, target in enumerate(targets) if target == name]
        for index in generator.permutation(own):
            swapped[index] = flag
            flag = not flag
    return swapped


def make_ab_sheet(
    folder: Path, systems: tuple[str, str], pairs: Sequence[AbPair], *, question: str, seed: int
) -> None:
    """Write the sheet, the sounds and the key.

    Args:
        folder: new or empty; gets ``raters/sheet.csv``, ``raters/sounds`` and ``key.csv``.
        systems: the two names, which stand in the key alone.
        pairs: what is compared.
        question: put to the listeners at every pair; it names no system.
        seed: of order and names; who knows it and the outputs can tell the sounds apart.

    Raises:
        InputError: no pair, a trial named twice, a question that names a system, or a folder with content.
        MediaError: a file that cannot be read or is silent.
    """
    _check(folder, systems, pairs, question)
    generator = np.random.default_rng(seed)
    swapped = balanced_order([pair.target for pair in pairs], generator)
    names = _names(generator, 3 * len(pairs))
    sounds: dict[str, np.ndarray] = {}
    sheet, key = [], []
    for position, index in enumerate(generator.permutation(len(pairs)), 1):
        pair, order = pairs[index], (1, 0) if swapped[index] else (0, 1)
        places = [pair.outputs[which] for which in order]
        if pair.reference is not None:
            places.append(pair.reference)
        files = [f"{names.pop()}.flac" for _ in places]
        sounds |= {name: _sound(path) for name, path in zip(files, places, strict=True)}
        reference = files[2] if pair.reference is not None else ""
        sheet.append((position, files[0], files[1], reference, question, ""))
        key.append((position, pair.trial, pair.target, *(systems[which] for which in order)))
    raters = folder / RATERS
    (raters / SOUNDS).mkdir(parents=True)
    # One gain for all: a single loud peak must not make its own file quieter.
    gain = min(1.0, HEADROOM / max(float(np.abs(samples).max()) for samples in sounds.values()))
    for name in sorted(sounds):
        path = raters / SOUNDS / name
        write_audio(path, Audio((gain * sounds[name]).astype(np.float32), RATE))
        os.utime(path, (FILE_TIME, FILE_TIME))
    (raters / SHEET).write_text(_csv(SHEET_COLUMNS, sheet), encoding="utf-8")
    (folder / KEY).write_text(_csv(KEY_COLUMNS, key), encoding="utf-8")


def _check(folder: Path, systems: tuple[str, str], pairs: Sequence[AbPair], question: str) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files already, and a key must fit its sheet; name a new folder")
    if not pairs:
        raise InputError(f"{folder}: there is no trial that both {systems[0]} and {systems[1]} answered")
    trials = [pair.trial for pair in pairs]
    doubled = sorted({trial for trial in trials if trials.count(trial) > 1})
    if doubled:
        raise InputError(f"{folder}: the trial {doubled[0]} stands in two pairs")
    named = [name for name in systems if name.lower() in question.lower()]
    if named:
        raise InputError(f"{folder}: the question {question!r} names the system {named[0]}")


def _names(generator: np.random.Generator, count: int) -> list[str]:
    """Different names of eight hexadecimal digits."""
    names: list[str] = []
    while len(names) < count:
        name = generator.bytes(4).hex()
        if name not in names:
            names.append(name)
    return names


def _sound(path: Path) -> np.ndarray:
    return normalize_level(resample(read_audio(path), RATE).samples, RATE)


def _csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def read_key(folder: Path) -> list[dict[str, str]]:
    """Rows of the key of a sheet.

    Raises:
        InputError: there is none, or it has other columns.
    """
    path = folder / KEY
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no key that can be read ({error})") from None
    if tuple(reader.fieldnames or ()) != KEY_COLUMNS:
        raise InputError(f"{path}, line 1: the columns are not {', '.join(KEY_COLUMNS)}")
    return rows
