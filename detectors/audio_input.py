"""What every detector hears: mono, its own rate, one level, no silence at the ends, and a length.

Level and silence at the ends tell how a file was made, not what is in it: on ASVspoof 2019 the leading
silence alone is right on 85 % of the trials (Müller et al. 2021), and a linear classifier that hears the
level lives on it. Both are taken out by default, at training and at test; the audit of
:mod:`doppelbench.detectors.shortcut_features` says what they would have told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.level import TARGET_DB, active_span, normalize_level
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.detectors.training_arrays import TrainingArrays, training_arrays
from doppelbench.engine.trainer import TrainerSettings
from doppelbench.metrics.signals import RESAMPLER, checked_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """What is done to a recording before a detector hears it.

    Attributes:
        rate: samples per second.
        level: whether speech is brought to the house's level (:mod:`doppelbench.corpora.level`).
        trim: whether what lies before the first and after the last active frame is cut off.
        shortest: seconds that must be left.
    """

    rate: int = 16000
    level: bool = True
    trim: bool = True
    shortest: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A recording as a detector hears it: ``samples`` float32, shape (n,), from second ``start`` on."""

    samples: np.ndarray
    start: float = 0.0


def hear(audio: Audio, settings: InputSettings) -> Heard:
    """Resample, trim and level a recording.

    Raises:
        MediaError: ``silent``, ``too_short``, ``not_finite``, or ``unreadable`` when it is not one row of
            floating-point samples.
    """
    samples = checked_samples(audio, role="recording", rate=settings.rate, seconds=(settings.shortest, None))
    first, end = active_span(samples, settings.rate) if settings.trim else (0, samples.size)
    if end - first < settings.shortest * settings.rate:
        raise MediaError(
            "too_short",
            f"the recording holds {(end - first) / settings.rate:.3f} s between its first and last sound; at "
            f"least {settings.shortest:g} s are needed",
        )
    kept = samples[first:end]
    levelled = normalize_level(kept, settings.rate) if settings.level else kept
    return Heard(levelled.astype(np.float32), first / settings.rate)


def crop_indices(samples: int, length: int, offset: int = 0) -> np.ndarray:
    """Indices of ``length`` samples from ``offset`` on; a recording begins again at its end."""
    return (offset + np.arange(length)) % samples


def random_crop(samples: np.ndarray, length: int, generator: np.random.Generator) -> np.ndarray:
    """Draw ``length`` samples, shape (length,); a shorter recording is repeated from its beginning."""
    offset = int(generator.integers(0, samples.size - length + 1)) if samples.size > length else 0
    return samples[crop_indices(samples.size, length, offset)]


def heard_arrays(clip: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute what is kept of one clip for training; arguments are the fields of clip and settings."""
    found, chosen = Clip(**clip), InputSettings(**settings)
    if found.audio is None:
        raise MediaError("missing", f"clip {found.id} has no audio")
    return {"samples": hear(read_audio(found.audio, start=found.start, end=found.end), chosen).samples}


def training_audio(
    bonafide: Sequence[Clip], spoof: Sequence[Clip], settings: InputSettings, trainer: TrainerSettings
) -> TrainingArrays:
    """Prepare (or find) the clips of both classes under the directory of a training.

    Returns:
        Recordings as a detector hears them, float32 of shape (n,).

    Raises:
        InputError: a class has no clip that can be used, or a recording is in both.
    """
    arrays, _ = training_arrays(
        bonafide,
        spoof,
        heard_arrays,
        asdict(settings),
        trainer,
        field="samples",
        media="audio",
        kind=("heard",),
        rules=(TARGET_DB, RESAMPLER),
    )
    return arrays
