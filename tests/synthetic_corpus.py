"""A small parallel corpus without text-to-speech: harmonic, speech-like signals made from a seed."""

import csv
import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.media import Audio, write_audio

RATE = 16000
TEST_SENTENCES = ("bin blue at a one now", "set red by c two soon")
FORMANTS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))


@dataclass(frozen=True)
class Talker:
    """A synthetic speaker."""

    name: str
    pitch: float
    tract: float
    train: Sequence[float]


TALKERS = (
    Talker("ana", 210.0, 1.12, (8.0,) * 5),
    Talker("ben", 110.0, 0.95, (8.0,) * 5),
    Talker("cleo", 240.0, 1.2, (4.0,) * 3),
    Talker("zoë", 130.0, 1.0, (4.0,) * 3),
    Talker("short", 170.0, 1.05, (5.0,)),
)


def seed_of(*parts: object) -> int:
    return zlib.crc32(repr(parts).encode())


def speak(talker: Talker, text: str, seconds: float) -> np.ndarray:
    """Syllables of vowels that follow from the text, at the talker's pitch; shape (n,), peak 0.3."""
    content = np.random.default_rng(seed_of(text))
    voice = np.random.default_rng(seed_of(text, talker.name))
    time = np.arange(round(seconds * RATE)) / RATE
    syllables = max(2, round(4 * seconds))
    vowels = content.integers(0, len(FORMANTS), syllables)
    position = np.minimum((time / seconds * syllables).astype(int), syllables - 1)
    pitch = talker.pitch * (1 + 0.08 * np.sin(2 * np.pi * 0.7 * time + voice.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    signal = np.zeros_like(time)
    for harmonic in range(1, int(7000 / (1.1 * talker.pitch))):
        frequency = harmonic * talker.pitch
        gains = np.array(
            [sum(1 / (1 + ((frequency - talker.tract * f) / 120) ** 2) for f in vowel) for vowel in FORMANTS]
        )
        signal += gains[vowels][position] / harmonic**0.3 * np.sin(harmonic * phase)
    loud = 0.15 + np.abs(np.sin(np.pi * time / seconds * syllables)) ** 0.7
    signal = signal * loud + 0.003 * voice.standard_normal(time.size)
    return (0.3 * signal / np.abs(signal).max()).astype(np.float32)


def make_corpus(folder: Path) -> Path:
    """Write the recordings of all talkers and a manifest; returns the manifest.

    Ids of one speaker hold a space and a letter outside ASCII, as real data sets have them.
    """
    rows = []
    for talker in TALKERS:
        sentences = [
            *((f"train {talker.name} {n}", s, "train") for n, s in enumerate(talker.train)),
            *((text, 1.2, "test") for text in TEST_SENTENCES),
        ]
        for number, (text, seconds, split) in enumerate(sentences):
            name = f"{talker.name} {number:02d}" if talker.name == "zoë" else f"{talker.name}_{number:02d}"
            file = folder / talker.name / f"{name}.flac"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_audio(file, Audio(speak(talker, text, seconds), RATE))
            rows.append((name, talker.name, f"{talker.name}/{name}.flac", text, split))
    return write_manifest(folder / "manifest.csv", rows)


@functools.cache
def corpus_below(folder: Path) -> Path:
    """The corpus of a test session, made once for all rooms; returns the manifest."""
    return make_corpus(folder / "synthetic")


def write_manifest(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "speaker", "audio", "text", "split"))
        writer.writerows(rows)
    return path
