"""Extended short-time objective intelligibility: does the output carry the temporal envelopes of the
reference?

Jensen and Taal, IEEE/ACM TASLP 2016; the values are those of pystoi 0.4.1, without its random noise.
There is no compensation of delay: the same signal shifted by 10 ms loses a tenth of its score. The kernel is
:mod:`doppelbench.metrics.stoi_kernel`.
"""

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, same_length
from doppelbench.metrics.stoi_kernel import band_segments, extended_intelligibility


class ExtendedShortTimeObjectiveIntelligibility(AudioMetric):
    """ESTOI against a reference of the same timing; ``segments`` of 384 ms is in the statistics."""

    spec = MetricSpec(
        name="estoi",
        title="Extended short-time objective intelligibility",
        version=1,
        unit="",
        direction="higher",
        range=(-1.0, 1.0),
        needs=frozenset({"ref"}),
        cost=2.5,
        rate=16000,
        seconds=(0.4, None),
        same_timing=True,
        citation="Jensen and Taal, IEEE/ACM TASLP 2016",
    )

    @property
    def signature(self) -> str:
        """Kernel, rates and rule for unequal lengths."""
        return (
            f"estoi|pystoi-0.4.1-deterministic|sr{self.rate}-{RESAMPLER}|10k-octave|{LENGTH_RULE}"
            f"|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Intelligibility of one output."""
        assert ref is not None
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        ref_segments, out_segments = band_segments(out=out, ref=ref, rate=self.rate)
        value = extended_intelligibility(ref_segments, out_segments)
        return ItemScore(value, stats={"segments": len(ref_segments)})
