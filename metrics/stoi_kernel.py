"""Short-time objective intelligibility, plain (Taal et al. 2011) and extended (Jensen and Taal 2016),
vectorised.

The values are those of pystoi 0.4.1, with two differences. The extended measure adds no machine noise
before it normalises, so it is deterministic and takes nothing from the global random state; rows without
any energy correlate 0. Too little active speech is an error instead of a small number.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from doppelbench.corpora.errors import MediaError
from doppelbench.metrics.feature_cache import Features, feature_cache, signal_digest, versioned

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


@lru_cache(maxsize=8)
def _block_matrix(up: int, down: int) -> tuple[np.ndarray, int]:
    """The resampler as a matrix: one block of input against the outputs of three blocks.

    Output m is the sum over inputs i of taps[half + down m - up i] x[i], times ``up``. With blocks longer
    than the filter reaches, a block of input touches the outputs of its own block and of its neighbours only.

    Returns:
        Shape (inputs, 3 outputs): towards the previous, the same and the next block; and how many outputs a
        block has.
    """
    taps = octave_filter(up, down) * up
    half = taps.size // 2
    blocks = -(-half // (up * down)) + 1
    inputs, outputs = blocks * down, blocks * up
    lags = down * np.arange(-outputs, 2 * outputs) - up * np.arange(inputs)[:, None]
    inside = np.abs(lags) <= half
    return np.where(inside, taps[np.where(inside, half + lags, 0)], 0.0), outputs


def resample_octave(samples: np.ndarray, rate: int) -> np.ndarray:
    """Resample to 10 kHz as Octave does.

    The polyphase filter is applied as one product of matrices, which takes a fifth of the time of
    ``scipy.signal.resample_poly``.
    """
    if rate == RATE:
        return samples
    divisor = int(np.gcd(RATE, rate))
    up, down = RATE // divisor, rate // divisor
    matrix, outputs = _block_matrix(up, down)
    rows = -(-samples.size // len(matrix))
    padded = np.zeros((rows + 1, len(matrix)))
    padded.ravel()[: samples.size] = samples
    product = padded @ matrix
    total = product[:, outputs : 2 * outputs]
    total[:-1] += product[1:, :outputs]
    total[1:] += product[:-1, 2 * outputs :]
    return total.ravel()[: -(-samples.size * up // down)]


@lru_cache(maxsize=1)
def band_matrix() -> np.ndarray:
    """One-third-octave bands as sums of bins of the power spectrum, shape (15, 257)."""
    bins = np.linspace(0, RATE, N_FFT + 1)[: N_FFT // 2 + 1]
    edges = LOWEST_CENTRE_HZ * 2.0 ** ((2 * np.arange(BANDS + 1) - 1) / 6)
    nearest = np.abs(bins - edges[:, None]).argmin(axis=1)
    index = np.arange(bins.size)
    return ((index >= nearest[:-1, None]) & (index < nearest[1:, None])).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceBands:
    """What the measures need of a reference, once for all outputs.

    Attributes:
        active: which frames of the 10 kHz signal are within 40 dB of the loudest, shape (frames,).
        envelopes: band envelopes of the active frames, shape (15, active frames - 1).
    """

    active: np.ndarray
    envelopes: np.ndarray


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
    return np.sqrt(band_matrix() @ (np.square(spectrum.real) + np.square(spectrum.imag)).T)


def reference_bands(ref: np.ndarray, rate: int) -> ReferenceBands:
    """Active frames of a reference and their band envelopes.

    Args:
        ref: shape (n,).
        rate: samples per second.

    Raises:
        MediaError: ``too_short`` under one frame, ``no_speech`` with less than one segment of active speech.
    """
    ref = resample_octave(ref, rate)
    if ref.size <= FRAME:
        raise MediaError("too_short", f"the signals last {ref.size / RATE:.3f} s; 0.026 s are one frame")
    frames = _frames(ref)
    energy = 20 * np.log10(np.sqrt(np.einsum("ft,ft->f", frames, frames)) + TINY)
    active = energy > energy.max() - DYNAMIC_RANGE_DB
    # Framing the active part again gives one frame less.
    if active.sum() <= SEGMENT:
        raise MediaError(
            "no_speech",
            f"the reference has {active.sum()} active frames of 12.8 ms; more than {SEGMENT} are needed",
        )
    return ReferenceBands(active, _envelopes(frames[active]))


def output_envelopes(out: np.ndarray, rate: int, active: np.ndarray) -> np.ndarray:
    """Band envelopes of an output in the active frames of its reference.

    Args:
        out: shape (n,), as long as the reference.
        rate: samples per second.
        active: of :class:`ReferenceBands`.

    Returns:
        Shape (15, active frames - 1).
    """
    return _envelopes(_frames(resample_octave(out, rate))[active])


def segments_of(envelopes: np.ndarray) -> np.ndarray:
    """Segments of 30 frames (384 ms) of envelopes (15, frames), one at every frame, as a view.

    Returns:
        Shape (segments, 15, 30).
    """
    return np.lib.stride_tricks.sliding_window_view(envelopes, SEGMENT, axis=1).transpose(1, 0, 2)


def band_segments(*, out: np.ndarray, ref: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Band envelopes of the active frames, cut into segments of 30 frames (384 ms).

    Envelopes of both come from the cache of features where they are known, so that STOI and ESTOI share them
    and a reference is analysed once for all its outputs.

    Args:
        out: shape (n,).
        ref: shape (n,); frames more than 40 dB below its loudest are left out of both.
        rate: samples per second of both.

    Returns:
        Segments of ``ref`` and of ``out``, each of shape (segments, 15, 30).

    Raises:
        MediaError: as :func:`reference_bands`.
    """
    if out.shape != ref.shape:
        raise ValueError(f"signals of one length are needed, got {out.shape} and {ref.shape}")

    def compute_reference() -> Features:
        bands = reference_bands(ref, rate)
        return bands.active, bands.envelopes

    def compute_output() -> Features:
        return (output_envelopes(out, rate, active),)

    cache, recipe = feature_cache(), versioned(f"third-octave-envelopes|sr{rate}")
    digest_ref, digest_out = signal_digest(ref), signal_digest(out)
    active, envelopes_ref = cache.get(recipe, (digest_ref,), compute_reference, role="reference")
    (envelopes_out,) = cache.get(recipe, (digest_ref, digest_out), compute_output, role="output")
    return segments_of(envelopes_ref), segments_of(envelopes_out)


def intelligibility(ref_segments: np.ndarray, out_segments: np.ndarray) -> float:
    """STOI of segments from :func:`band_segments`: mean correlation per band after clipping at -15 dB SDR."""
    total = 0.0
    for ref, out in zip(_by_band(ref_segments), _by_band(out_segments), strict=True):
        scaled = out * (_norms(ref) / (_norms(out) + TINY))
        np.minimum(scaled, ref * (1 + 10 ** (-LOWER_SDR_DB / 20)), out=scaled)
        scaled -= scaled.mean(axis=0)
        centred = ref - ref.mean(axis=0)
        products = np.einsum("ts,ts->s", scaled, centred)
        total += float((products / ((_norms(scaled) + TINY) * (_norms(centred) + TINY))).sum())
    # Rounding alone can lift the correlation of equal signals above 1.
    return min(1.0, total / (len(ref_segments) * BANDS))


def extended_intelligibility(ref_segments: np.ndarray, out_segments: np.ndarray) -> float:
    """ESTOI of segments from :func:`band_segments`: correlation of spectra after normalising rows and
    columns."""
    ref, ref_norms = _normalized(ref_segments)
    out, out_norms = _normalized(out_segments)
    products = np.einsum("bts,bts->ts", ref, out)
    defined = (ref_norms > 0) & (out_norms > 0)
    total = float((products[defined] / (ref_norms[defined] * out_norms[defined])).sum())
    return min(1.0, total / (SEGMENT * len(ref_segments)))


def _by_band(segments: np.ndarray) -> np.ndarray:
    """Shape (15, 30, segments): reductions over time then run along contiguous memory."""
    return segments.transpose(1, 2, 0)


def _norms(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ts,ts->s", vectors, vectors))


def _normalized(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unit norm, centred over the bands, of shape (15, 30, segments), and the norms of the columns.

    What is left of a constant vector after its mean is taken off is rounding, not signal: it becomes zero.
    """
    bands = _by_band(segments)
    rows = np.empty(bands.shape)
    smallest = 64 * TINY * np.abs(bands).max()
    for row, band in zip(rows, bands, strict=True):
        np.subtract(band, band.mean(axis=0), out=row)
        norms = _norms(row)
        row *= np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > smallest)
    rows -= rows.mean(axis=0)
    norms = np.sqrt(np.einsum("bts,bts->ts", rows, rows))
    return rows, np.where(norms > 64 * TINY, norms, 0.0)
