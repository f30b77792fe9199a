"""Outputs of systems to make listening tests of: voiced bursts whose pitch says whose they are."""

from pathlib import Path

import numpy as np

from doppelbench.corpora.media import Audio, write_audio
from doppelbench.listening.rows import Sound

RATE = 16000
ROWS = (("alpha", "system"), ("beta", "system"), ("gamma", "system"), ("natural", "reference"))


def voice(
    pitch: float, seconds: float, gain: float, generator: np.random.Generator, rate: int = RATE
) -> Audio:
    """Syllables of a harmonic tone with silence of random length around them."""
    time = np.arange(round(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5))
    samples = gain * tone * (0.55 + 0.45 * np.cos(2 * np.pi * 4 * time))
    around = (generator.uniform(0.0, 0.3, 2) * rate).astype(int)
    return Audio(np.pad(samples, tuple(around)).astype(np.float32), rate)


def make_sounds(
    folder: Path, *, targets: int = 3, per_target: int = 4, rows=ROWS, seed: int = 0
) -> list[Sound]:
    """One sound for each row and trial; systems differ in level, silence and sampling rate."""
    generator = np.random.default_rng(seed)
    sounds = []
    for t in range(targets):
        target = f"person{t}"
        sample = folder / f"{target}.flac"
        write_audio(sample, voice(110 + 20 * t, 1.5, 0.1, generator))
        for n in range(per_target):
            trial = f"words{n}_to_{target}"
            source = folder / f"words{n}_{target}.flac"
            write_audio(source, voice(90, 1.0 + 0.1 * n, 0.1, generator))
            # The same speech length for all rows: what differs is what must not tell.
            seconds = float(generator.uniform(0.5, 1.2))
            for place, (system, kind) in enumerate(rows):
                path = folder / system / f"{trial}.flac"
                rate = (16000, 22050, 16000, 24000)[place % 4]
                write_audio(path, voice(200 + 40 * place, seconds, 0.02 * (place + 1), generator, rate))
                sounds.append(
                    Sound(
                        system=system,
                        kind=kind,
                        trial=trial,
                        target=target,
                        source=f"speaker{n}",
                        path=path,
                        target_sample=sample,
                        source_sample=source,
                    )
                )
    return sounds


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
