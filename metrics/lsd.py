"""Log-spectral distance in dB: how far are the power spectra of output and reference, frame by frame?

After Gray and Markel (1976): the root of the mean over frequency of the squared difference of log power
spectra, averaged over frames. Papers on bandwidth extension often leave out the factor 10 and so print a
tenth of it; transform and hop move it too (512/128 gives 11 % more than 2048/512), hence the signature.

Both signals enter at the house's level (:mod:`doppelbench.corpora.level`), or gain alone would make the
distance; ``level=raw`` leaves them as they are.
"""

from typing import Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, Leveling, same_length

N_FFT = 2048
HOP = 512
# Power re a full-scale sine, -100 dB: under it is no sound, and the logarithm stays finite.
FLOOR = 1e-10


def log_power(samples: np.ndarray) -> np.ndarray:
    """Power spectra in dB re a full-scale sine, shape (frames, 1025), of whole frames of 2048 every 512.

    Args:
        samples: shape (n,); zeros are added to a signal shorter than a frame.
    """
    taper = np.hanning(N_FFT + 1)[:-1]
    padded = np.pad(samples, (0, max(0, N_FFT - samples.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    power = np.square(np.abs(np.fft.rfft(frames * taper))) / (taper.sum() / 2) ** 2
    return 10 * np.log10(np.maximum(power, FLOOR))


class LogSpectralDistance(AudioMetric):
    """LSD in dB against a reference of the same timing; the statistics hold the ``frames``."""

    spec = MetricSpec(
        name="lsd",
        title="Log-spectral distance",
        version=1,
        unit="dB",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"ref"}),
        cost=1.5,
        rate=16000,
        seconds=(0.1, None),
        same_timing=True,
        citation="Gray and Markel, IEEE TASSP 1976",
    )

    def __init__(self, level: Literal["active", "raw"] = "active") -> None:
        """Choose ``active``, both signals at an active level of -26 dB, or ``raw``, as they are."""
        self.leveling = Leveling(self.spec.name, level)

    @property
    def signature(self) -> str:
        """Level, transform, floor, rate and rule for unequal lengths."""
        return (
            f"lsd|{self.leveling.rule}|hann{N_FFT}-{HOP}|floor{FLOOR:g}|sr{self.rate}-{RESAMPLER}"
            f"|{LENGTH_RULE}|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Distance of one output."""
        assert ref is not None
        out, ref = (self.leveling.apply(signal, self.rate) for signal in (out, ref))
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        distances = np.sqrt(np.mean(np.square(log_power(out) - log_power(ref)), axis=1))
        return ItemScore(float(distances.mean()), stats={"frames": len(distances)})
