"""Short-time objective intelligibility: does the output carry the temporal envelopes of the reference?

Taal, Hendriks, Heusdens and Jensen, IEEE TASLP 2011; the values are those of pystoi 0.4.1.
There is no compensation of delay: the same signal shifted by 10 ms loses a tenth of its score; the option
``align`` takes one global lag off first, as another figure with another signature. The kernel is
:mod:`doppelbench.metrics.stoi_kernel`.
"""

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.metrics.alignment import ALIGN_RULE, aligned, check_align
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, same_length
from doppelbench.metrics.stoi_kernel import band_segments, intelligibility


class ShortTimeObjectiveIntelligibility(AudioMetric):
    """STOI against a reference of the same timing; ``segments`` of 384 ms is in the statistics.

    With ``align`` the statistics also hold the lag that was taken off.
    """

    spec = MetricSpec(
        name="stoi",
        title="Short-time objective intelligibility",
        version=1,
        unit="",
        direction="higher",
        range=(-1.0, 1.0),
        needs=frozenset({"ref"}),
        cost=2.5,
        rate=16000,
        seconds=(0.4, None),
        same_timing=True,
        citation="Taal et al., IEEE TASLP 2011",
    )

    def __init__(self, align: bool = False) -> None:
        """Choose whether the best global lag is taken off first."""
        self.align = check_align(self.spec.name, align)

    @property
    def signature(self) -> str:
        """Kernel, rates, rule for unequal lengths and alignment."""
        align = f"|{ALIGN_RULE}" if self.align else ""
        return (
            f"stoi|pystoi-0.4.1-equal|sr{self.rate}-{RESAMPLER}|10k-octave|{LENGTH_RULE}{align}"
            f"|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Intelligibility of one output."""
        assert ref is not None
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        stats: dict[str, float | bool] = {}
        if self.align:
            out, ref, stats = aligned(out=out, ref=ref, rate=self.rate)
        ref_segments, out_segments = band_segments(out=out, ref=ref, rate=self.rate)
        value = intelligibility(ref_segments, out_segments)
        return ItemScore(value, stats={"segments": len(ref_segments), **stats})
