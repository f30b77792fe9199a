"""Windows of mel-frequency cepstra around each picture of a film, as Speech2Vid and LipGAN hear speech.

J. S. Chung, A. Jamaludin, A. Zisserman, "You said that?", BMVC 2017: 16 kHz, windows of 25 ms every 10 ms,
pre-emphasis 0.97, Hamming window, 40 triangular filters between 300 and 3700 Hz on the magnitude spectrum, 13
cepstra with a sine lifter of 22, the first (loudness) dropped; 35 columns make one window of 12 x 35. The mel
scale and the unit height of the filters are those of HTK (S. Young et al., The HTK Book), whose recipe the
authors' MATLAB toolbox follows. This is not :func:`doppelbench.corpora.features.mfcc`, which follows librosa.

The released systems begin the window of frame f at its time in one place and centre it in another, 40 to 175
ms apart. Here the middle of the window is the middle of the time for which the frame is shown,
(f + 0.5) / fps, at training and at test and for any frame rate.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.features import preemphasize

# Bands of digital silence have this magnitude; all being equal, their cepstra are zero.
SMALLEST_MAGNITUDE = 1e-10
# Analysed at once, which keeps the memory of a recording of hours flat.
CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class MfccSettings:
    """How cepstra are taken; the defaults are those published.

    Attributes:
        rate: samples per second.
        window: samples of one analysis window.
        hop: samples between columns.
        n_fft: length of the transform.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter.
        filters: triangular filters.
        cepstra: that are computed; the first is dropped.
        lifter: of the sine lifter.
        preemphasis: coefficient of the first-order high-pass.
        columns: of one window around a picture, an odd number.
    """

    rate: int = 16000
    window: int = 400
    hop: int = 160
    n_fft: int = 512
    low_hz: float = 300.0
    high_hz: float = 3700.0
    filters: int = 40
    cepstra: int = 13
    lifter: int = 22
    preemphasis: float = 0.97
    columns: int = 35


@lru_cache(maxsize=4)
def htk_filterbank(settings: MfccSettings) -> np.ndarray:
    """Triangular filters of height 1, equally wide on the mel scale 1127 ln(1 + f / 700).

    Returns:
        Shape (filters, n_fft // 2 + 1), float64.
    """
    low, high = (1127 * np.log1p(edge / 700) for edge in (settings.low_hz, settings.high_hz))
    edges = 700 * np.expm1(np.linspace(low, high, settings.filters + 2) / 1127)
    bins = np.linspace(0, settings.rate / 2, settings.n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


def cepstra(samples: np.ndarray, starts: np.ndarray, settings: MfccSettings) -> np.ndarray:
    """Cepstra of the analysis windows that begin at given samples.

    Args:
        samples: mono signal, shape (n,); zeros lie before and after it.
        starts: first sample of each window, any whole numbers, shape (k,).
        settings: how cepstra are taken.

    Returns:
        Shape (k, cepstra - 1), float32.
    """
    before = max(0, -int(starts.min(initial=0)))
    after = max(0, int(starts.max(initial=0)) + settings.window - samples.size)
    signal = preemphasize(np.pad(samples, (before, after)), settings.preemphasis)
    windows = np.lib.stride_tricks.sliding_window_view(signal, settings.window)
    order = np.arange(settings.cepstra)
    lifter = 1 + settings.lifter / 2 * np.sin(np.pi * order / settings.lifter)
    result = np.empty((len(starts), settings.cepstra - 1), dtype=np.float32)
    for begin in range(0, len(starts), CHUNK):
        chosen = windows[starts[begin : begin + CHUNK] + before] * np.hamming(settings.window)
        magnitude = np.abs(scipy.fft.rfft(chosen, settings.n_fft, axis=1))
        bands = np.log(np.maximum(magnitude @ htk_filterbank(settings).T, SMALLEST_MAGNITUDE))
        found = scipy.fft.dct(bands, type=2, norm="ortho", axis=1)[:, : settings.cepstra] * lifter
        result[begin : begin + CHUNK] = found[:, 1:]
    return result


def mfcc_windows(
    samples: np.ndarray, count: int, fps: float, settings: MfccSettings | None = None
) -> np.ndarray:
    """The window of cepstra around the middle of each picture of a film.

    Args:
        samples: mono signal at ``settings.rate`` that begins with the film, shape (n,).
        count: pictures.
        fps: pictures per second.
        settings: how cepstra are taken; those published when None.

    Returns:
        Shape (count, cepstra - 1, columns), float32; column ``columns // 2`` of window f is centred at (f +
        0.5) / fps, to half a sample.

    Raises:
        InputError: ``count`` or ``fps`` is not above 0.
    """
    settings = settings or MfccSettings()
    if count < 1 or not fps > 0:
        raise InputError(f"a film of {count} pictures at {fps:g} per second has no sound to look at")
    middles = np.rint((np.arange(count) + 0.5) / fps * settings.rate - settings.window / 2).astype(np.int64)
    offsets = (np.arange(settings.columns) - settings.columns // 2) * settings.hop
    # Windows of neighbouring pictures share most of their columns where the rates fit.
    starts, places = np.unique(middles[:, None] + offsets, return_inverse=True)
    found = cepstra(samples, starts, settings)[places.reshape(count, settings.columns)]
    return np.ascontiguousarray(found.transpose(0, 2, 1))
