"""Short-time objective intelligibility, plain (Taal et al. 2011) and extended (Jensen and Taal 2016),
vectorised.

The values are those of pystoi 0.4.1, with two differences. The extended measure adds no machine noise
before it normalises, so it is deterministic and takes nothing from the global random state; rows without
any energy correlate 0. Too little active speech is an error instead of a small number.
"""

from functools import lru_cache

import numpy as np

from doppelbench.corpora.errors import MediaError

RATE = 10000
FRAME = 256
HOP = 128
N_FFT = 512
BANDS = 15
LOWEST_CENTRE_HZ = 150
SEGMENT = 30
LOWER_SDR_DB = -15.0
DYNAMIC_RANGE_DB = 40.0
TINY = np.finfo(np.float64).eps
# scipy's Hann window with the zeros at its ends left off, as in the authors' code.
TAPER = np.hanning(FRAME + 2)[1:-1]


@lru_cache(maxsize=8)
def octave_filter(up: int, down: int) -> np.ndarray:
    """Anti-aliasing filter of Octave's ``resample``: Kaiser-windowed sinc, 60 dB rejection; sums to 1.

    Args:
        up: interpolation factor, without a common divisor with ``down``.
        down: decimation factor.
    """
    rejection_db = 60.0
    cutoff = 1 / (2 * max(up, down))
    half = int(np.ceil((rejection_db - 8) / (28.714 * cutoff / 10)))
    ideal = np.sinc(2 * cutoff * np.arange(-half, half + 1))
    taps = np.kaiser(2 * half + 1, 0.1102 * (rejection_db - 8.7)) * ideal
    return taps / taps.sum()


def resample_octave(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample to 10 kHz as Octave does."""
    if rate == RATE:
        return samples
    from scipy.signal import resample_poly

    divisor = int(np.gcd(RATE, rate))
    up, down = RATE // divisor, rate // divisor
    return np.asarray(resample_poly(samples, up, down, window=octave_filter(up, down)))


@lru_cache(maxsize=1)
def band_matrix() -> np.ndarray:
    """One-third-octave bands as sums of bins of the power spectrum, shape (15, 257)."""
    bins = np.linspace(0, RATE, N_FFT + 1)[: N_FFT // 2 + 1]
    edges = LOWEST_CENTRE_HZ * 2.0 ** ((2 * np.arange(BANDS + 1) - 1) / 6)
    nearest = np.abs(bins - edges[:, None]).argmin(axis=1)
    index = np.arange(bins.size)
    return ((index >= nearest[:-1, None]) & (index < nearest[1:, None])).astype(np.float64)


def _frames(samples: np.ndarray) -> np.ndarray:
    view = np.lib.stride_tricks.sliding_window_view(samples, FRAME)
    return view[: samples.size - FRAME : HOP] * TAPER


def _overlap_add(frames: np.ndarray) -> np.ndarray:
    total = np.zeros((len(frames) + 1, HOP))
    total[:-1] += frames[:, :HOP]
    total[1:] += frames[:, HOP:]
    return total.ravel()


def _envelopes(frames: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(_frames(_overlap_add(frames)), n=N_FFT, axis=1)
    return np.sqrt(band_matrix() @ np.square(np.abs(spectrum)).T)


def band_segments(*, out: np.ndarray, ref: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Band envelopes of the active frames, cut into segments of 30 frames (384 ms).

    Args:
        out: shape (n,).
        ref: shape (n,); frames more than 40 dB below its loudest are left out of both.
        rate: samples per second of both.

    Returns:
        Segments of ``ref`` and of ``out``, each of shape (segments, 15, 30).

    Raises:
        MediaError: ``too_short`` under one frame, ``no_speech`` with less than one segment of active speech.
    """
    if out.shape != ref.shape:
        raise ValueError(f"signals of one length are needed, got {out.shape} and {ref.shape}")
    ref, out = resample_octave(ref, rate), resample_octave(out, rate)
    if ref.size <= FRAME:
        raise MediaError("too_short", f"the signals last {ref.size / RATE:.3f} s; 0.026 s are one frame")
    ref_frames, out_frames = _frames(ref), _frames(out)
    energy = 20 * np.log10(np.linalg.norm(ref_frames, axis=1) + TINY)
    active = energy > energy.max() - DYNAMIC_RANGE_DB
    # Framing the active part again gives one frame less.
    if active.sum() <= SEGMENT:
        raise MediaError(
            "no_speech",
            f"the reference has {active.sum()} active frames of 12.8 ms; more than {SEGMENT} are needed",
        )
    view = np.lib.stride_tricks.sliding_window_view
    ref_segments = view(_envelopes(ref_frames[active]), SEGMENT, axis=1).transpose(1, 0, 2)
    out_segments = view(_envelopes(out_frames[active]), SEGMENT, axis=1).transpose(1, 0, 2)
    return ref_segments, out_segments


def intelligibility(ref_segments: np.ndarray, out_segments: np.ndarray) -> float:
    """STOI of segments from :func:`band_segments`: mean correlation per band after clipping at -15 dB SDR."""
    ref_norm = np.linalg.norm(ref_segments, axis=2, keepdims=True)
    out_norm = np.linalg.norm(out_segments, axis=2, keepdims=True)
    scaled = out_segments * (ref_norm / (out_norm + TINY))
    clipped = np.minimum(scaled, ref_segments * (1 + 10 ** (-LOWER_SDR_DB / 20)))
    clipped = clipped - clipped.mean(axis=2, keepdims=True)
    centred = ref_segments - ref_segments.mean(axis=2, keepdims=True)
    clipped /= np.linalg.norm(clipped, axis=2, keepdims=True) + TINY
    centred /= np.linalg.norm(centred, axis=2, keepdims=True) + TINY
    # Rounding alone can lift the correlation of equal signals above 1.
    return min(1.0, float(np.einsum("sbt,sbt->", clipped, centred) / (len(ref_segments) * BANDS)))


def extended_intelligibility(ref_segments: np.ndarray, out_segments: np.ndarray) -> float:
    """ESTOI of segments from :func:`band_segments`: correlation of spectra after normalising rows and
    columns."""
    ref_normal, out_normal = _normalized(ref_segments), _normalized(out_segments)
    return min(1.0, float(np.einsum("sbt,sbt->", ref_normal, out_normal) / (SEGMENT * len(ref_segments))))


def _normalized(segments: np.ndarray) -> np.ndarray:
    rows = _unit(segments - segments.mean(axis=2, keepdims=True), axis=2, scale=np.abs(segments).max())
    return _unit(rows - rows.mean(axis=1, keepdims=True), axis=1, scale=1.0)


def _unit(vectors: np.ndarray, *, axis: int, scale: float) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=axis, keepdims=True)
    # What is left of a constant vector after its mean is taken off is rounding, not signal.
    defined = norms > 64 * TINY * scale
    return np.where(defined, vectors / np.where(defined, norms, 1.0), 0.0)
