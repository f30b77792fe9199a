"""Extended short-time objective intelligibility: does the output carry the temporal envelopes of the
reference?

Jensen and Taal, IEEE/ACM TASLP 2016; the values are those of pystoi 0.4.1, without its random noise.
There is no compensation of delay: the same signal shifted by 10 ms loses a tenth of its score; the option
``align`` takes one global lag off first, as another figure with another signature. The kernel is
:mod:`doppelbench.metrics.stoi_kernel`.
"""

import numpy as np

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.same_timing_metric import SameTimingMetric
from doppelbench.metrics.signals import RESAMPLER
from doppelbench.metrics.stoi_kernel import band_segments, extended_intelligibility

RATE = 16000


class ExtendedShortTimeObjectiveIntelligibility(SameTimingMetric):
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
        rate=RATE,
        seconds=(0.4, None),
        same_timing=True,
        citation="Jensen and Taal, IEEE/ACM TASLP 2016",
    )
    recipe = f"pystoi-0.4.1-deterministic|sr{RATE}-{RESAMPLER}|10k-octave"

    def compare(self, *, out: np.ndarray, ref: np.ndarray) -> tuple[float, dict[str, float | bool]]:
        """Intelligibility of one output, and how many segments it rests on."""
        ref_segments, out_segments = band_segments(out=out, ref=ref, rate=RATE)
        return extended_intelligibility(ref_segments, out_segments), {"segments": len(ref_segments)}
