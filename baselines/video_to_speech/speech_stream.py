"""Hours of speech from disk, a few stretches at a time: what the autoencoders are pre-trained on.

Nothing is computed before the training begins but the length of each file, and nothing is kept but the pool
that the batches of the moment are cropped from. A file is cut into stretches of a few seconds. Every epoch
has its own order of them; the batches of ``POOL_STEPS`` steps are random crops of the next ``POOL_STRETCHES``
stretches of that order. Which those are follows from seed and step alone, so that a resumed training goes on
as if it had not stopped.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from doppelbench.baselines.video_to_speech.settings import VideoToSpeechSettings
from doppelbench.baselines.video_to_speech.talking_clips import (
    Speech,
    SpeechBatch,
    cut_speech,
    joined,
    speech_by_pictures,
)
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, LeftOutWarning, MediaError
from doppelbench.corpora.level import TARGET_DB
from doppelbench.corpora.media import probe, read_audio
from doppelbench.engine.hashing import content_key

# Sound in a pool: at most 64 times 8 s, 48 MB with its spectrogram at 24 kHz.
STRETCH_SECONDS = 8.0
POOL_STRETCHES = 64
POOL_STEPS = 64
# Less than this is no speech to learn from.
LEAST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording, in seconds from the beginning of the file."""

    path: str
    start: float
    end: float


def stretches(clips: Sequence[Clip], seed: int, hours: float = 0.0) -> list[Stretch]:
    """List the parts of recordings that a training hears.

    Args:
        clips: with sound; a clip that cannot be opened is left out and named in a warning.
        seed: of the order in which clips are taken where not all are; half an hour is a part of one hour.
        hours: at most so many, but for the last clip; 0 for all.

    Raises:
        InputError: nothing is left.
    """
    order = np.random.default_rng(seed).permutation(len(clips)) if hours else np.arange(len(clips))
    taken: dict[int, list[Stretch]] = {}
    left = 3600 * hours if hours else math.inf
    for index in order:
        if left <= 0:
            break
        try:
            found = _stretches_of(clips[index])
        except MediaError as error:
            message = f"clip {clips[index].id} is left out of the pre-training: {error.reason}"
            warnings.warn(message, LeftOutWarning, stacklevel=2)
            continue
        taken[int(index)] = found
        left -= sum(part.end - part.start for part in found)
    listed = [part for index in sorted(taken) for part in taken[index]]
    if not listed:
        raise InputError(
            f"there is no speech to pre-train on: none of {len(clips)} clip(s) without pictures can be used; "
            "give clips of other people, a checkpoint, or transfer: scratch"
        )
    return listed


def _stretches_of(clip: Clip) -> list[Stretch]:
    if clip.audio is None:
        raise MediaError("missing", f"clip {clip.id} has no sound")
    start = clip.start or 0.0
    end = probe(clip.audio).seconds if clip.end is None else clip.end
    count = math.ceil(round((end - start) / STRETCH_SECONDS, 6))
    if end - start < LEAST_SECONDS:
        raise MediaError("too_short", f"{clip.audio}: {end - start:.2f} s of speech are too little")
    edges = np.linspace(start, end, count + 1).round(4).tolist()
    return [Stretch(clip.audio, *edge) for edge in pairwise(edges)]


class SpeechStream:
    """Batches of crops of speech without pictures."""

    def __init__(self, listed: Sequence[Stretch], settings: VideoToSpeechSettings, seed: int) -> None:
        self.listed = list(listed)
        self.settings = settings
        self.seed = seed
        described = [(part.path, part.start, part.end) for part in self.listed]
        self.key = content_key(described, TARGET_DB, STRETCH_SECONDS, POOL_STRETCHES, POOL_STEPS)
        self._pool: tuple[tuple[int, ...], list[Speech]] = ((), [])
        self._number: int | None = None

    @property
    def hours(self) -> float:
        """Duration of all stretches."""
        return sum(part.end - part.start for part in self.listed) / 3600

    def batch(self, step: int, rank: int, world: int) -> SpeechBatch:
        settings = self.settings
        pool = self.pool((step // POOL_STEPS) * world + rank)
        generator = np.random.default_rng([self.seed, step, rank])
        speeches = []
        for _ in range(settings.batch_size):
            speech = pool[generator.integers(len(pool))]
            first = int(generator.integers(max(1, len(speech.mel) - settings.crop_pictures + 1)))
            speeches.append(cut_speech(speech, first, settings.crop_pictures))
        pictures = np.zeros((settings.batch_size, settings.crop_pictures, 0, 0), np.uint8)
        identity = np.zeros((settings.batch_size, 0), np.float32)
        return joined(pictures, identity, speeches, settings.window, step, generator)

    def pool(self, number: int) -> list[Speech]:
        """The stretches that some steps crop from.

        Raises:
            InputError: none of them can be read.
        """
        # The order of an epoch of thousands of hours takes longer to draw than a batch.
        if number == self._number:
            return self._pool[1]
        chosen = self.members(number)
        if chosen != self._pool[0]:
            self._number, self._pool = None, ((), [])
            found = [speech for index in chosen if (speech := self._read(self.listed[index])) is not None]
            if not found:
                raise InputError(
                    f"none of {len(chosen)} stretches of speech, such as {self.listed[chosen[0]]}, "
                    "can be used to pre-train on"
                )
            self._pool = (chosen, found)
        self._number = number
        return self._pool[1]

    def members(self, number: int) -> tuple[int, ...]:
        """Which stretches are in a pool: the next ones of the epoch's order, each once in an epoch."""
        count = len(self.listed)
        if count <= POOL_STRETCHES:
            return tuple(range(count))
        epoch, place = divmod(number, count // POOL_STRETCHES)
        order = np.random.default_rng([self.seed, epoch]).permutation(count)
        return tuple(order[place * POOL_STRETCHES : (place + 1) * POOL_STRETCHES].tolist())

    def _read(self, part: Stretch) -> Speech | None:
        """Read a stretch; None where it is silent or cannot be read, which costs the training nothing."""
        settings = self.settings
        try:
            audio = read_audio(part.path, rate=settings.mel.rate, start=part.start, end=part.end)
            pictures = max(1, int(audio.samples.size / settings.samples))
            return speech_by_pictures(audio.samples, pictures, settings.fps, settings.mel)
        except MediaError as error:
            warnings.warn(f"left out of the pre-training: {error.reason}", LeftOutWarning, stacklevel=2)
            return None
