"""Speech as pitch, mel-cepstrum and aperiodicity, by WORLD.

M. Morise, F. Yokomori, K. Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time
applications", IEICE Transactions E99-D(7), 2016: Harvest for F0, CheapTrick for the envelope, D4C for the
aperiodicity; the envelope is coded to a mel-cepstrum by WORLD's own codec.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """How WORLD analyses.

    Attributes:
        rate: samples per second.
        hop_ms: milliseconds between frames.
        coefficients: of the mel-cepstrum, the first included.
        low_hz: lowest F0 looked for.
        high_hz: highest F0 looked for.
    """

    rate: int = 22050
    hop_ms: float = 5.0
    coefficients: int = 34
    low_hz: float = 71.0
    high_hz: float = 800.0


@dataclass(frozen=True, slots=True)
class WorldSpeech:
    """An utterance taken apart.

    Attributes:
        pitch: F0 in Hz, 0 where unvoiced, shape (frames,).
        cepstrum: shape (frames, coefficients).
        aperiodicity: share of noise by frequency, shape (frames, bins).
    """

    pitch: np.ndarray
    cepstrum: np.ndarray
    aperiodicity: np.ndarray


def analyze(samples: np.ndarray, settings: WorldSettings) -> WorldSpeech:
    """Take a mono signal of shape (n,) at ``settings.rate`` apart."""
    import pyworld

    signal = samples.astype(np.float64)
    pitch, times = pyworld.harvest(
        signal,
        settings.rate,
        f0_floor=settings.low_hz,
        f0_ceil=settings.high_hz,
        frame_period=settings.hop_ms,
    )
    envelope = pyworld.cheaptrick(signal, pitch, times, settings.rate)
    aperiodicity = pyworld.d4c(signal, pitch, times, settings.rate)
    cepstrum = pyworld.code_spectral_envelope(envelope, settings.rate, settings.coefficients)
    return WorldSpeech(pitch, cepstrum, aperiodicity)


def synthesize(speech: WorldSpeech, settings: WorldSettings) -> Audio:
    """Put an utterance together again."""
    import pyworld

    n_fft = 2 * (speech.aperiodicity.shape[1] - 1)
    cepstrum = np.ascontiguousarray(speech.cepstrum, dtype=np.float64)
    envelope = pyworld.decode_spectral_envelope(cepstrum, settings.rate, n_fft)
    samples = pyworld.synthesize(
        np.ascontiguousarray(speech.pitch, dtype=np.float64),
        envelope,
        speech.aperiodicity,
        settings.rate,
        settings.hop_ms,
    )
    return Audio(samples.astype(np.float32), settings.rate)


def clip_speech(clip: Clip, settings: WorldSettings) -> WorldSpeech:
    """Take a clip at the house's level apart.

    Raises:
        MediaError: the clip has no audio, or it cannot be read, is silent, or is shorter than two frames.
    """
    if clip.audio is None:
        raise MediaError("missing", f"clip {clip.id} has no audio")
    audio = read_audio(clip.audio, rate=settings.rate, start=clip.start, end=clip.end)
    if audio.seconds < 2 * settings.hop_ms / 1000:
        raise MediaError("too_short", f"{clip.audio}: {audio.seconds:.3f} s is less than two frames")
    return analyze(normalize_level(audio.samples, audio.rate), settings)


def world_arrays(clip: Mapping[str, Any], world: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute the cached features of one clip: mel-cepstrum, and F0 in Hz as a column (0 where unvoiced)."""
    speech = clip_speech(Clip(**clip), WorldSettings(**world))
    return {
        "cepstrum": speech.cepstrum.astype(np.float32),
        "pitch": speech.pitch.astype(np.float32)[:, None],
    }
