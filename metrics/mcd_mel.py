"""Mel-cepstral distance in Kubichek's first form, as the package mel_cepstral_distance defines it. It is
NOT in dB.

Power spectrogram (Hann window of 32 ms, hop 8 ms) of the peak-normalised signal, 20 triangular mel bands
with edges on whole bins, log10, cosine sum over the bands; the distance of a pair of frames is the
Euclidean distance of coefficients 2 to 16 (the package counts them from 1 and starts at index s = 1).
Frames are aligned by exact dynamic time warping on the mel spectrograms, and the mean is over the path. The
package aligns with FastDTW; on its own examples the exact path is the same. For the default 20 bands, the
value times 0.7071 compares with decibels.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.metrics.dtw import Warping, warp
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import RESAMPLER
from doppelbench.metrics.warped_metric import WarpedMetric, path_score

RATE = 16000
TINY = np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True)
class MelCepstrumSettings:
    """How mel-cepstra are taken; coefficients ``first`` to ``last`` enter the distance, counted from 1."""

    window_ms: float = 32.0
    hop_ms: float = 8.0
    bands: int = 20
    first: int = 2
    last: int = 16


@lru_cache(maxsize=8)
def band_weights(rate: int, n_fft: int, bands: int) -> np.ndarray:
    """Triangular filters of peak 1 from 0 to half the rate, on the mel scale 2595 log10(1 + f / 700).

    Returns:
        Shape (bands, n_fft // 2 + 1).
    """
    mels = np.linspace(0.0, 2595 * np.log10(1 + rate // 2 / 700), bands + 2)
    edges = np.floor((n_fft + 1) * 700 * (10 ** (mels / 2595) - 1) / rate)
    bins = np.arange(n_fft // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = np.where((bins >= low) & (bins < centre), (bins - low) / np.maximum(centre - low, 1), 0.0)
    falling = np.where((bins >= centre) & (bins < high), (high - bins) / np.maximum(high - centre, 1), 0.0)
    return rising + falling


def log_mel_bands(samples: np.ndarray, rate: int, settings: MelCepstrumSettings) -> np.ndarray:
    """Log10 power in mel bands, shape (frames, bands), of a signal scaled to a peak of 1."""
    window = int(settings.window_ms / 1000 * rate)
    hop = int(settings.hop_ms / 1000 * rate)
    frames = np.lib.stride_tricks.sliding_window_view(samples / np.abs(samples).max(), window)
    frames = frames[: samples.size - window : hop]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window))))
    return np.log10(power @ band_weights(rate, window, settings.bands).T + TINY)


def mel_cepstral_distance(
    *, out: np.ndarray, ref: np.ndarray, rate: int, settings: MelCepstrumSettings | None = None
) -> tuple[Warping, int, int]:
    """Distance of two signals at one rate, each longer than a window.

    Returns:
        The path, whose ``other`` is the distance summed over it, and the frames of ``ref`` and of ``out``.
    """
    settings = settings or MelCepstrumSettings()
    orders = np.arange(settings.first, settings.last + 1)
    bands = np.arange(1, settings.bands + 1) - 0.5
    cosine = np.cos(np.pi / settings.bands * np.outer(bands, orders))
    mel_ref = log_mel_bands(ref, rate, settings)
    mel_out = log_mel_bands(out, rate, settings)
    path = warp(mel_ref, mel_out, other_first=mel_ref @ cosine, other_second=mel_out @ cosine)
    return path, len(mel_ref), len(mel_out)


class MelBandCepstralDistance(WarpedMetric):
    """Kubichek's distance on 20 mel bands; statistics and details are those of :class:`WarpedMetric`."""

    spec = MetricSpec(
        name="mcd_mel",
        title="Mel-cepstral distance of 20 mel bands (as mel_cepstral_distance; not in dB)",
        version=1,
        unit="",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"ref"}),
        cost=2.0,
        rate=RATE,
        seconds=(0.1, None),
        citation="Kubichek, PACRIM 1993; mel_cepstral_distance 0.0.4",
    )

    def __init__(self, rate: int = RATE) -> None:
        """Choose the rate of analysis, which moves the value: 16000, or 22050 to compare with the package."""
        if not 8000 <= rate <= 48000:
            raise InputError(f"mcd_mel: a rate from 8000 to 48000 is needed, not {rate}")
        self.rate = rate

    @property
    def signature(self) -> str:
        """Rate, window, bands, coefficients, alignment and mean."""
        settings = MelCepstrumSettings()
        return (
            f"mcd_mel|kubichek|sr{self.rate}-{RESAMPLER}|hann{settings.window_ms:g}ms|{settings.hop_ms:g}ms"
            f"|mel{settings.bands}|c{settings.first}-{settings.last}|peak-norm|dtw-exact-on-mel|path-mean"
            f"|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Distance of one output from the parallel recording."""
        assert ref is not None
        path, frames_ref, frames_out = mel_cepstral_distance(out=out, ref=ref, rate=self.rate)
        return path_score(path.other, path.length, frames_ref, frames_out)
