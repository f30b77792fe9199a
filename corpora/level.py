"""The one rule for the level of speech: active level at -26 dB re full scale.

Every system, at training and at test, and every level-sensitive metric sees speech through
:func:`normalize_level`. The active level is the mean power of the frames within 40 dB of the loudest frame,
so that pauses do not count; -26 dBov is the nominal active speech level of ITU-T P.56 and P.830.
"""

import numpy as np

from doppelbench.corpora.errors import MediaError

TARGET_DB = -26.0
ACTIVE_RANGE_DB = 40.0
FRAME_SECONDS = 0.02
# Quieter than the step of 24-bit audio: nothing was recorded.
SILENCE_DB = -100.0


def active_level(samples: np.ndarray, rate: int) -> float:
    """Return the active speech level in dB re full scale (a full-scale square wave is 0 dB).

    Args:
        samples: mono signal, shape (n,), nominal range -1 to 1.
        rate: samples per second.

    Returns:
        The level, or ``-inf`` for an empty or all-zero signal.
    """
    _, frames = _frame_powers(samples, rate)
    active = _active(frames)
    return float(10 * np.log10(frames[active].mean())) if active.any() else -np.inf


def active_span(samples: np.ndarray, rate: int) -> tuple[int, int]:
    """Return first sample and end of the part between the first and the last active frame.

    Args:
        samples: mono signal, shape (n,).
        rate: samples per second.

    Returns:
        Both are 0 for an empty or all-zero signal.
    """
    starts, frames = _frame_powers(samples, rate)
    active = np.flatnonzero(_active(frames))
    if not active.size:
        return 0, 0
    ends = np.append(starts[1:], samples.size)
    return int(starts[active[0]]), int(ends[active[-1]])


def _frame_powers(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """First sample and mean power of each frame."""
    frame = max(1, round(rate * FRAME_SECONDS))
    power = np.square(samples, dtype=np.float64)
    starts = np.arange(0, power.size, frame)
    if not starts.size:
        return starts, np.zeros(0)
    lengths = np.diff(np.append(starts, power.size))
    return starts, np.add.reduceat(power, starts) / lengths


def _active(frames: np.ndarray) -> np.ndarray:
    """Whether each frame is loud enough to count as speech."""
    loudest = frames.max(initial=0.0)
    return (frames > 0.0) & (frames >= loudest * 10 ** (-ACTIVE_RANGE_DB / 10))


def normalize_level(samples: np.ndarray, rate: int, target_db: float = TARGET_DB) -> np.ndarray:
    """Scale a mono signal so that its active speech level is ``target_db``.

    Args:
        samples: mono signal, shape (n,).
        rate: samples per second.
        target_db: wanted active level in dB re full scale.

    Returns:
        The scaled signal as float32. Peaks may exceed 1: writing a file is where clipping is dealt with.

    Raises:
        MediaError: status ``silent`` when the level is below -100 dB, ``not_finite`` for NaN or infinity.
    """
    if not np.isfinite(samples).all():
        raise MediaError("not_finite", "the signal has samples that are NaN or infinite")
    level = active_level(samples, rate)
    if level < SILENCE_DB:
        raise MediaError("silent", f"the signal is silent (active level {level:.0f} dB re full scale)")
    return (samples * 10 ** ((target_db - level) / 20)).astype(np.float32)
