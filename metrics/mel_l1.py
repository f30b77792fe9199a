"""Mean absolute difference of log-mel spectrograms in dB, what most voice models are trained to lower.

The log-mel of the exemplar paper (80 bands, window 800, hop 200 at 16 kHz, -120 to +5 dB;
:func:`doppelbench.corpora.features.log_mel`), frame against frame without warping. Both signals enter at the
house's level, at which systems see speech; ``level=raw`` leaves them as they are.
"""

from typing import Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.features import MelSettings, log_mel
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, Leveling, same_length

SETTINGS = MelSettings()


class MelDistance(AudioMetric):
    """Mel L1 in dB against a reference of the same timing; the statistics hold the ``frames``."""

    spec = MetricSpec(
        name="mel_l1",
        title="Mean absolute difference of 80-band log-mel spectrograms",
        version=1,
        unit="dB",
        direction="lower",
        range=(0.0, SETTINGS.max_db - SETTINGS.min_db),
        needs=frozenset({"ref"}),
        cost=1.0,
        rate=SETTINGS.rate,
        seconds=(0.1, None),
        same_timing=True,
        citation="Deng et al.: Unsupervised Audiovisual Synthesis via Exemplar Autoencoders, ICLR 2021",
    )

    def __init__(self, level: Literal["active", "raw"] = "active") -> None:
        """Choose ``active``, both signals at an active level of -26 dB, or ``raw``, as they are."""
        self.leveling = Leveling(self.spec.name, level)

    @property
    def signature(self) -> str:
        """Level, spectrogram, rate and rule for unequal lengths."""
        mel = SETTINGS
        return (
            f"mel_l1|{self.leveling.rule}|preemphasis{mel.preemphasis:g}|hann{mel.window}-{mel.hop}"
            f"|slaney{mel.n_mels}-{mel.low_hz:g}-{mel.high_hz:g}Hz|{mel.min_db:g}-{mel.max_db:g}dB"
            f"|sr{self.rate}-{RESAMPLER}|{LENGTH_RULE}|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Distance of one output."""
        assert ref is not None
        out, ref = (self.leveling.apply(signal, self.rate) for signal in (out, ref))
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        difference = np.abs(log_mel(out, SETTINGS) - log_mel(ref, SETTINGS))
        value = float(difference.mean(dtype=np.float64)) * (SETTINGS.max_db - SETTINGS.min_db)
        return ItemScore(value, stats={"frames": len(difference)})
