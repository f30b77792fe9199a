"""The mis-scaled mel-cepstral distortion that explains published values such as 408.8. It is NOT in dB.

The constant of the definition, 10 / ln 10 * sqrt 2, belongs to cepstra of natural-log amplitude. Here, as in
papers that print hundreds of "dB", it multiplies an orthonormal cosine transform of the 80-band mel
spectrogram in decibels, whose coefficients are 8.686 * sqrt(80 / 2) = 54.9 times larger, and coefficient 0
is kept. With 13 coefficients, the recipe gave 408 on conversions whose published value is 408.8; what such
papers did exactly is not known, and other recipes come near. Never compare it with ``mcd``.

Log-mel of the exemplar paper (:func:`doppelbench.corpora.features.log_mel`, a frame every 12.5 ms), the
house's level, trimmed as ``mcd`` is, exact dynamic time warping on the same coefficients, mean over the path.
"""

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.features import MelSettings, log_mel
from doppelbench.corpora.level import ACTIVE_RANGE_DB
from doppelbench.metrics.dtw import warp
from doppelbench.metrics.mcd import DB_PER_DISTANCE, active_bounds
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import RESAMPLER, Leveling
from doppelbench.metrics.warped_metric import WarpedMetric, path_score

SETTINGS = MelSettings()
COEFFICIENTS = 13


def decibel_cepstra(decibel: np.ndarray) -> np.ndarray:
    """Orthonormal cosine transform of mel spectra in dB, (frames, bands); shape (frames, 13)."""
    from scipy.fft import dct

    return np.asarray(dct(decibel, type=2, norm="ortho", axis=1))[:, :COEFFICIENTS]


def legacy_cepstra(samples: np.ndarray) -> np.ndarray:
    """Mis-scaled cepstra of the active part of a signal at 16 kHz, shape (frames, 13)."""
    first, end = active_bounds(samples, SETTINGS.rate)
    scaled = log_mel(samples[first:end], SETTINGS).astype(np.float64)
    return decibel_cepstra(scaled * (SETTINGS.max_db - SETTINGS.min_db) + SETTINGS.min_db)


class LegacyMelCepstralDistortion(WarpedMetric):
    """The mis-scaled figure; statistics and details are those of :class:`WarpedMetric`."""

    spec = MetricSpec(
        name="mcd_legacy",
        title="Mis-scaled mel-cepstral distortion of old papers (not in dB; compares with nothing else)",
        version=1,
        unit="",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"ref"}),
        cost=1.0,
        rate=SETTINGS.rate,
        seconds=(0.1, None),
        citation="Values explained: Deng et al., ICLR 2021, table 2",
    )

    def __init__(self) -> None:
        """Take no option: one recipe is enough to explain old values."""
        self.leveling = Leveling(self.spec.name, "active")

    @property
    def signature(self) -> str:
        """Level, spectrogram, transform, coefficients, trimming, alignment and mean."""
        mel = SETTINGS
        return (
            f"mcd_legacy|not-dB|{self.leveling.rule}|sr{self.rate}-{RESAMPLER}"
            f"|preemphasis{mel.preemphasis:g}|hann{mel.window}-{mel.hop}|slaney{mel.n_mels}-dB-ortho-dct"
            f"|c0-{COEFFICIENTS - 1}|trim-{ACTIVE_RANGE_DB:g}dB-20ms|dtw-exact|path-mean|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Figure of one output against the parallel recording."""
        assert ref is not None
        cepstra_ref = legacy_cepstra(self.leveling.apply(ref, self.rate))
        cepstra_out = legacy_cepstra(self.leveling.apply(out, self.rate))
        path = warp(cepstra_ref, cepstra_out)
        return path_score(path.cost * DB_PER_DISTANCE, path.length, len(cepstra_ref), len(cepstra_out))
