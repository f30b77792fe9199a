"""What every detector hears: mono, its own rate, one level, no silence at the ends, and a length.

Level and silence at the ends tell how a file was made, not what is in it: on ASVspoof 2019 the leading
silence alone is right on 85 % of the trials (Müller et al. 2021), and a linear classifier that hears the
level lives on it. Both are taken out by default, at training and at test; the audit of
:mod:`doppelbench.detectors.shortcut_features` says what they would have told.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, LeftOutWarning, MediaError
from doppelbench.corpora.level import TARGET_DB, active_span, normalize_level
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.cache import ArrayCache, CacheItem, build_cache
from doppelbench.engine.errors import CacheError
from doppelbench.engine.hashing import content_key
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


@dataclass(frozen=True, slots=True, eq=False)
class TrainingAudio:
    """The recordings of both classes as a detector hears them, mapped into memory.

    Attributes:
        bonafide: float32 arrays of shape (n,).
        spoof: likewise.
        key: names the content.
    """

    bonafide: Sequence[np.ndarray]
    spoof: Sequence[np.ndarray]
    key: str


def check_classes(
    bonafide: Sequence[Clip], spoof: Sequence[Clip], media: Literal["audio", "video"] = "audio"
) -> None:
    """Refuse classes that cannot be told apart by their sound or by their pictures.

    Raises:
        InputError: a class is empty, or a recording is in both.
    """
    for what, clips in (("bona fide", bonafide), ("spoofed", spoof)):
        if not clips:
            raise InputError(f"a detector needs bona fide and spoofed clips; there is no {what} one")
    places = [{(getattr(clip, media), clip.start, clip.end) for clip in side} for side in (bonafide, spoof)]
    both = sorted(str(place[0]) for place in places[0] & places[1] if place[0] is not None)
    if both:
        raise InputError(f"{both[0]}: is given as bona fide and as spoof")


def training_audio(
    bonafide: Sequence[Clip], spoof: Sequence[Clip], settings: InputSettings, trainer: TrainerSettings
) -> TrainingAudio:
    """Prepare (or find) the clips of both classes under the directory of a training.

    Raises:
        InputError: a class has no clip that can be used, or a recording is in both.
    """
    check_classes(bonafide, spoof)
    sides = {"bona fide": bonafide, "spoofed": spoof}
    caches = {what: _prepared(clips, what, settings, trainer) for what, clips in sides.items()}
    arrays = [
        [cache[name]["samples"] for name in map(_name, clips) if name in cache]
        for clips, cache in zip(sides.values(), caches.values(), strict=True)
    ]
    return TrainingAudio(arrays[0], arrays[1], "|".join(cache.key for cache in caches.values()))


def _name(clip: Clip) -> str:
    """People may give their clips the same ids."""
    return f"{clip.speaker}/{clip.id}"


def _prepared(
    clips: Sequence[Clip], what: str, settings: InputSettings, trainer: TrainerSettings
) -> ArrayCache:
    items = [CacheItem(_name(clip), {"clip": asdict(clip), "settings": asdict(settings)}) for clip in clips]
    described = [(clip.speaker, clip.id, clip.sha256 or clip.audio, clip.start, clip.end) for clip in clips]
    key = content_key("heard", what, described, asdict(settings), TARGET_DB, RESAMPLER)[:16]
    try:
        cache = build_cache(trainer.directory / "features", key, items, heard_arrays)
    except CacheError as error:
        raise InputError(f"no {what} clip can be used for training: {error}") from None
    for name, reason in cache.failed.items():
        message = f"{what} clip {name} is left out of the training: {reason}"
        warnings.warn(message, LeftOutWarning, stacklevel=3)
    return cache
