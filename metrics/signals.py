"""Signals made fit for a metric: one place that checks, mixes and resamples what goes in.

Every metric works on mono float64 at the rate of its spec; the resampler is soxr at its highest quality
(:func:`doppelbench.corpora.media.resample`), named ``soxr-vhq`` in signatures. What cannot be scored is a
:class:`~doppelbench.corpora.errors.MediaError`, whose status becomes the status of the item.
"""

from dataclasses import dataclass

import numpy as np

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import SILENCE_DB, TARGET_DB, active_level
from doppelbench.corpora.media import Audio, Video, resample

RESAMPLER = "soxr-vhq"
LENGTH_TOLERANCE_SECONDS = 0.1
LENGTH_RULE = f"truncate-{LENGTH_TOLERANCE_SECONDS:g}s"


def checked_samples(
    signal: Audio | Video | None,
    *,
    role: str,
    rate: int,
    seconds: tuple[float, float | None] = (0.0, None),
) -> np.ndarray:
    """Return the samples of a signal, ready to be scored.

    Args:
        signal: the audio, or a video with sound.
        role: ``output``, ``reference`` or ``source``; only for the messages.
        rate: wanted samples per second.
        seconds: shortest and longest duration; a longer signal is the metric's own affair and passes.

    Returns:
        Mono signal, shape (n,), float64, nominal range -1 to 1.

    Raises:
        MediaError: ``missing`` without a signal, ``unreadable`` when it is not one row of floating-point
            samples, ``not_finite`` for NaN or infinity, ``too_short``, ``silent`` below -100 dB re full
            scale.
    """
    audio = signal.audio if isinstance(signal, Video) else signal
    if audio is None:
        raise MediaError("missing", f"there is no {role} with sound")
    samples = np.asarray(audio.samples)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise MediaError(
            "unreadable",
            f"the {role} has samples of type {samples.dtype} and shape {samples.shape}; one row of "
            "floating-point samples from -1 to 1 is needed",
        )
    if not np.isfinite(samples).all():
        raise MediaError("not_finite", f"the {role} has samples that are NaN or infinite")
    if samples.size == 0 or audio.seconds < seconds[0]:
        raise MediaError(
            "too_short", f"the {role} lasts {audio.seconds:.3f} s; at least {seconds[0]:g} s are needed"
        )
    level = active_level(samples, audio.rate)
    if level < SILENCE_DB:
        raise MediaError("silent", f"the {role} is silent (active level {level:.0f} dB re full scale)")
    single = np.ascontiguousarray(samples, dtype=np.float32)
    return resample(Audio(single, audio.rate), rate).samples.astype(np.float64)


def same_length(*, out: np.ndarray, ref: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the longer of two signals, shape (n,), to the shorter when they differ by 0.1 s at most.

    Systems add or lose a frame at the end; a larger difference means another timing, and a measure that
    compares instant by instant has no meaning then.

    Returns:
        ``out`` and ``ref``, of one length.

    Raises:
        MediaError: ``length_mismatch`` when they differ by more.
    """
    difference = abs(out.size - ref.size) / rate
    if difference > LENGTH_TOLERANCE_SECONDS:
        raise MediaError(
            "length_mismatch",
            f"the output lasts {out.size / rate:.3f} s and the reference {ref.size / rate:.3f} s; "
            f"at most {LENGTH_TOLERANCE_SECONDS:g} s of difference are allowed, for instants are compared",
        )
    shorter = min(out.size, ref.size)
    return out[:shorter], ref[:shorter]


@dataclass(frozen=True, slots=True)
class Leveling:
    """The option ``level`` of the metric ``name``: ``active``, the house's level, or ``raw``, as it is."""

    name: str
    level: str

    def __post_init__(self) -> None:
        if self.level not in ("active", "raw"):
            raise InputError(f"{self.name}: level is active or raw, not '{self.level}'")

    @property
    def rule(self) -> str:
        """How signatures name it."""
        return "level-raw" if self.level == "raw" else f"level{TARGET_DB:g}dBov-active"

    def apply(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """The signal, float64 of shape (n,), at the level that was chosen."""
        if self.level == "raw":
            return samples
        return samples * 10 ** ((TARGET_DB - active_level(samples, rate)) / 20)
