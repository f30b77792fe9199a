"""The speech that is measured on: sentences of the built-in talkers, or recordings of the user."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, read_audio, resample, write_audio

RATE = 16000
# The first speaks what is the reference, the second the same words as another voice.
SPEAKERS = ("ada", "bruno")
# Sentences joined into each reference, for the ordinary durations of 5 and 7 s.
JOINED = (2, 3)
SENTENCES = sum(JOINED)
# The other voice under the reference, for measures of equal timing.
BABBLE_DB = -5.0


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One reference and two outputs, float64 of shape (n,) at 16 kHz, and the same as WAV files.

    Attributes:
        ref: the recording.
        noisy: the same with another voice under it, of the same timing and length.
        other: the same words by another voice, of another timing.
        ref_file: where ``ref`` lies.
        noisy_file: where ``noisy`` lies.
        other_file: where ``other`` lies.
    """

    ref: np.ndarray
    noisy: np.ndarray
    other: np.ndarray
    ref_file: Path
    noisy_file: Path
    other_file: Path

    @property
    def seconds(self) -> float:
        """Duration of the reference."""
        return self.ref.size / RATE


def pair_of(ref: np.ndarray, other: np.ndarray, folder: Path, name: str) -> Pair:
    """A pair of two recordings of the same words, shape (n,) and (m,), and its files in ``folder``."""
    under = np.resize(other, ref.size)
    gain = 10 ** (BABBLE_DB / 20) * np.linalg.norm(ref) / np.linalg.norm(under)
    signals, files = {}, {}
    for role, samples in (("ref", ref), ("noisy", ref + gain * under), ("other", other)):
        files[role] = folder / f"{name}_{role}.wav"
        write_audio(files[role], Audio((samples / np.abs(samples).max() * 0.5).astype(np.float32), RATE))
        # What the libraries that take files see, the others see as well.
        signals[role] = read_audio(files[role]).samples.astype(np.float64)
    return Pair(
        signals["ref"], signals["noisy"], signals["other"], files["ref"], files["noisy"], files["other"]
    )


def talkers_pairs(folder: Path) -> list[Pair]:
    """Pairs of 5 and 7 s of synthetic speech, the same on every run; the corpus is made in ``folder``."""
    from doppelbench.corpora.talkers import talkers

    clips = talkers(
        folder,
        video=False,
        speakers=SPEAKERS,
        target_seconds=0.0,
        source_seconds=0.0,
        dev_sentences=0,
        test_sentences=SENTENCES,
        jobs=1,
    )
    spoken: dict[str, list[np.ndarray]] = {speaker: [] for speaker in SPEAKERS}
    for clip in clips:
        assert clip.audio is not None
        spoken[clip.speaker].append(read_audio(clip.audio, rate=RATE).samples.astype(np.float64))
    pairs, first = [], 0
    for count in JOINED:
        ref, other = (np.concatenate(spoken[speaker][first : first + count]) for speaker in SPEAKERS)
        pairs.append(pair_of(ref, other, folder, f"pair{count}"))
        first += count
    return pairs


def file_pairs(files: Sequence[tuple[Path, Path]], folder: Path) -> list[Pair]:
    """Pairs of a user's recordings: a reference and the same words by another voice each.

    Raises:
        InputError: when there is none.
        MediaError: when a file cannot be read.
    """
    if not files:
        raise InputError("at least one pair of recordings is needed")
    pairs = []
    for number, names in enumerate(files):
        ref, other = (resample(read_audio(name), RATE).samples.astype(np.float64) for name in names)
        pairs.append(pair_of(ref, other, folder, f"pair{number}"))
    return pairs
