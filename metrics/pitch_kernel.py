"""Fundamental frequency of two recordings of one sentence, frame against frame.

F0 by Harvest (Morise 2017), the same for both signals, between 60 and 500 Hz, every 5 ms. The frames are
those of ``mcd``, and they meet on its exact warping path, so that F0 is compared where the same sound is
spoken. Voicing depends on the estimator more than on the systems (Harvest and DIO disagree on a third of the
frames of clean speech), hence estimator and range are part of every signature.
"""

from dataclasses import dataclass
from importlib import metadata

import numpy as np

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import ACTIVE_RANGE_DB
from doppelbench.metrics.dtw import warping_path
from doppelbench.metrics.feature_cache import Features, Role, feature_cache, signal_digest, versioned
from doppelbench.metrics.mcd import (
    ALPHA,
    HOP_MS,
    ORDER,
    RATE,
    active_bounds,
    cepstral_frames,
    frames_within,
)
from doppelbench.metrics.signals import RESAMPLER

LOW_HZ = 60.0
HIGH_HZ = 500.0
# Fewer frames, a tenth of a second, say nothing of an intonation.
MIN_COVOICED = 20
CENTS_PER_OCTAVE = 1200.0


@dataclass(frozen=True, slots=True, eq=False)
class AlignedPitch:
    """F0 in Hz of the frames that meet, 0 where unvoiced; ``ref`` and ``out`` of shape (path,)."""

    ref: np.ndarray
    out: np.ndarray
    frames_ref: int
    frames_out: int

    @property
    def covoiced(self) -> np.ndarray:
        """Whether both frames are voiced, shape (path,)."""
        return (self.ref > 0) & (self.out > 0)

    def voiced_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """F0 of ``ref`` and of ``out`` in Hz where both are voiced.

        Raises:
            MediaError: ``no_speech`` when fewer than 20 frames are.
        """
        covoiced = self.covoiced
        if covoiced.sum() < MIN_COVOICED:
            raise MediaError(
                "no_speech",
                f"{covoiced.sum()} frames of {HOP_MS:g} ms are voiced in both signals; at least "
                f"{MIN_COVOICED} are needed",
            )
        return self.ref[covoiced], self.out[covoiced]


def check_range(name: str, low_hz: float, high_hz: float) -> tuple[float, float]:
    """The range of F0 as floats.

    Raises:
        InputError: unless 40 <= low < high <= 1000; ``name`` is the metric in the message.
    """
    if not 40 <= low_hz < high_hz <= 1000:
        raise InputError(f"{name}: 40 <= low_hz < high_hz <= 1000 is needed, not {low_hz} and {high_hz}")
    return float(low_hz), float(high_hz)


def aligned_pitch(
    *, out: np.ndarray, ref: np.ndarray, low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ
) -> AlignedPitch:
    """F0 of two signals at 16 kHz on the warping path of ``mcd``.

    Args:
        out: float64, shape (n,).
        ref: float64, shape (m,).
        low_hz: lowest F0 that is looked for.
        high_hz: highest.
    """
    cepstra_ref, pitch_ref = _track(ref, "reference", low_hz, high_hz)
    cepstra_out, pitch_out = _track(out, "output", low_hz, high_hz)
    frames_ref, frames_out = warping_path(cepstra_ref, cepstra_out)
    return AlignedPitch(pitch_ref[frames_ref], pitch_out[frames_out], len(pitch_ref), len(pitch_out))


def signature_parts(low_hz: float, high_hz: float) -> str:
    """What the measures of F0 share in their signatures."""
    return (
        f"world-{metadata.version('pyworld')}-harvest-{low_hz:g}-{high_hz:g}Hz|sr{RATE}-{RESAMPLER}"
        f"|{HOP_MS:g}ms|trim-{ACTIVE_RANGE_DB:g}dB-20ms|dtw-exact-dio-stonemask-cheaptrick-o{ORDER}-a{ALPHA}"
        f"-c1-{ORDER}"
    )


def _track(samples: np.ndarray, role: Role, low_hz: float, high_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Mel-cepstra 1 to 24, shape (frames, 24), and F0 in Hz, shape (frames,), of the active part."""

    def compute() -> Features:
        import pyworld

        pitch, _ = pyworld.harvest(samples, RATE, f0_floor=low_hz, f0_ceil=high_hz, frame_period=HOP_MS)
        return (pitch,)

    recipe = versioned(f"harvest|{low_hz:g}-{high_hz:g}Hz|sr{RATE}|{HOP_MS:g}ms", "pyworld")
    (pitch,) = feature_cache().get(recipe, (signal_digest(samples),), compute, role=role)
    frames = cepstral_frames(samples, role)
    inside = frames_within(frames.times, active_bounds(samples, RATE), RATE)
    return frames.cepstra[inside, 1:], pitch[inside]
