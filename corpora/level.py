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
    if samples.size == 0:
        return -np.inf
    frame = max(1, round(rate * FRAME_SECONDS))
    power = np.square(samples, dtype=np.float64)
    starts = np.arange(0, power.size, frame)
    lengths = np.diff(np.append(starts, power.size))
    frames = np.add.reduceat(power, starts) / lengths
    loudest = frames.max()
    if loudest <= 0.0:
        return -np.inf
    active = frames >= loudest * 10 ** (-ACTIVE_RANGE_DB / 10)
    return float(10 * np.log10(frames[active].mean()))


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
