"""Acoustic features shared by systems and metrics, in NumPy.

The log-mel of the exemplar paper (16 kHz, window 800, hop 200, 80 bands, magnitude kept) follows the
filterbank of librosa (Slaney's mel scale and area normalisation), which the paper's released code uses.
Tests hold these functions against librosa.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.signal

MIN_MAGNITUDE = 1e-10


@dataclass(frozen=True, slots=True)
class MelSettings:
    """How a mel spectrogram is taken.

    The range -120 to +5 dB mapped to 0 to 1, and pre-emphasis of 0.97, are those of the released exemplar
    code.
    """

    rate: int = 16000
    n_fft: int = 800
    window: int = 800
    hop: int = 200
    n_mels: int = 80
    low_hz: float = 0.0
    high_hz: float = 8000.0
    preemphasis: float = 0.97
    min_db: float = -120.0
    max_db: float = 5.0

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.rate / self.hop


def hz_to_mel(frequency: np.ndarray | float) -> np.ndarray:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above."""
    frequency = np.asarray(frequency, dtype=np.float64)
    linear = frequency * 3 / 200
    logarithmic = 15 + np.log(np.maximum(frequency, 1000.0) / 1000) * 27 / np.log(6.4)
    return np.where(frequency >= 1000, logarithmic, linear)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """Inverse of :func:`hz_to_mel`."""
    mel = np.asarray(mel, dtype=np.float64)
    return np.where(mel >= 15, 1000 * np.exp((mel - 15) * np.log(6.4) / 27), mel * 200 / 3)


@lru_cache(maxsize=16)
def mel_filterbank(rate: int, n_fft: int, n_mels: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Triangular mel filters with Slaney's area normalisation.

    Returns:
        Matrix of shape (n_mels, n_fft // 2 + 1), float32.
    """
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    edges = mel_to_hz(np.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), n_mels + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None, :]
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    filters *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


def preemphasize(samples: np.ndarray, coefficient: float = 0.97) -> np.ndarray:
    """First-order high-pass y[n] = x[n] - c x[n-1]."""
    return scipy.signal.lfilter([1.0, -coefficient], [1.0], samples).astype(np.float32)


def deemphasize(samples: np.ndarray, coefficient: float = 0.97) -> np.ndarray:
    """Inverse of :func:`preemphasize`."""
    return scipy.signal.lfilter([1.0], [1.0, -coefficient], samples).astype(np.float32)


def stft_magnitude(samples: np.ndarray, n_fft: int, hop: int, window: int | None = None) -> np.ndarray:
    """Magnitude of the short-time Fourier transform with a periodic Hann window and centred frames.

    Args:
        samples: mono signal, shape (n,); zero-padded by n_fft // 2 at both ends.
        n_fft: length of the transform.
        hop: samples between frames.
        window: length of the window, at most ``n_fft`` and centred in it; ``n_fft`` when None.

    Returns:
        Array of shape (1 + n // hop, n_fft // 2 + 1), float32.
    """
    window = window or n_fft
    taper = np.zeros(n_fft, dtype=np.float32)
    offset = (n_fft - window) // 2
    taper[offset : offset + window] = scipy.signal.get_window("hann", window)
    padded = np.pad(np.asarray(samples, dtype=np.float32), n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.abs(scipy.fft.rfft(frames * taper, axis=1)).astype(np.float32)


def mel_magnitude(samples: np.ndarray, settings: MelSettings) -> np.ndarray:
    """Mel-filtered magnitude spectrogram, shape (frames, n_mels), float32."""
    magnitude = stft_magnitude(samples, settings.n_fft, settings.hop, settings.window)
    filters = mel_filterbank(
        settings.rate, settings.n_fft, settings.n_mels, settings.low_hz, settings.high_hz
    )
    return magnitude @ filters.T


def log_mel(samples: np.ndarray, settings: MelSettings | None = None) -> np.ndarray:
    """Log-mel spectrogram of the exemplar paper, scaled to 0 to 1.

    Pre-emphasis, mel of the magnitude, 20 log10, then (dB - min) / (max - min) clipped to 0 to 1. The caller
    normalises the level (:mod:`doppelbench.corpora.level`).

    Args:
        samples: mono signal at ``settings.rate``, shape (n,).
        settings: how the spectrogram is taken; the paper's when None.

    Returns:
        Array of shape (1 + n // hop, n_mels), float32, range 0 to 1.
    """
    settings = settings or MelSettings()
    return log_from_mel(mel_magnitude(preemphasize(samples, settings.preemphasis), settings), settings)


def log_from_mel(mel: np.ndarray, settings: MelSettings | None = None) -> np.ndarray:
    """Logarithm and scaling of :func:`log_mel`; mel magnitudes to float32 of the same shape, 0 to 1."""
    settings = settings or MelSettings()
    decibel = 20 * np.log10(np.maximum(mel, MIN_MAGNITUDE))
    scaled = (decibel - settings.min_db) / (settings.max_db - settings.min_db)
    return np.clip(scaled, 0.0, 1.0).astype(np.float32)


def mel_from_log(features: np.ndarray, settings: MelSettings | None = None) -> np.ndarray:
    """Undo the scaling and the logarithm of :func:`log_mel`; returns mel magnitudes of the same shape."""
    settings = settings or MelSettings()
    decibel = features * (settings.max_db - settings.min_db) + settings.min_db
    return np.power(10.0, decibel / 20).astype(np.float32)


def mfcc(
    samples: np.ndarray,
    rate: int,
    *,
    n_mfcc: int = 40,
    n_fft: int = 2048,
    window: int | None = None,
    hop: int = 128,
    n_mels: int = 200,
    dynamic_range_db: float = 80.0,
) -> np.ndarray:
    """Mel-frequency cepstral coefficients: orthonormal DCT-II of the log power mel spectrogram.

    The floor lies ``dynamic_range_db`` under the loudest band and frame, as in librosa.

    Returns:
        Array of shape (frames, n_mfcc), float32; coefficient 0 is kept.
    """
    power = np.square(stft_magnitude(samples, n_fft, hop, window))
    mel = power @ mel_filterbank(rate, n_fft, n_mels, 0.0, rate / 2).T
    decibel = 10 * np.log10(np.maximum(mel, MIN_MAGNITUDE))
    decibel = np.maximum(decibel, decibel.max() - dynamic_range_db)
    return scipy.fft.dct(decibel, type=2, norm="ortho", axis=1)[:, :n_mfcc].astype(np.float32)


@lru_cache(maxsize=16)
def linear_filterbank(rate: int, n_fft: int, n_filters: int) -> np.ndarray:
    """Triangular filters of equal width from 0 to half the rate, peak 1; shape (n_filters, n_fft // 2 +
    1)."""
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    edges = np.linspace(0, rate / 2, n_filters + 2)
    width = edges[1] - edges[0]
    return np.maximum(0, 1 - np.abs(bins[None, :] - edges[1:-1, None]) / width).astype(np.float32)


def lfcc(
    samples: np.ndarray,
    rate: int,
    *,
    n_lfcc: int = 20,
    n_fft: int = 512,
    window: int = 320,
    hop: int = 160,
    n_filters: int = 20,
) -> np.ndarray:
    """Linear-frequency cepstral coefficients: DCT-II of log energies in equally spaced triangular filters.

    Returns:
        Array of shape (frames, n_lfcc), float32. The defaults are those of the ASVspoof LFCC baselines.
    """
    power = np.square(stft_magnitude(samples, n_fft, hop, window))
    energy = power @ linear_filterbank(rate, n_fft, n_filters).T
    logarithm = np.log10(np.maximum(energy, np.finfo(np.float32).eps))
    return scipy.fft.dct(logarithm, type=2, norm="ortho", axis=1)[:, :n_lfcc].astype(np.float32)
