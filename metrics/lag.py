"""Lag: by how much the whole output is late or early against the reference.

The bounded cross-correlation of :mod:`doppelbench.metrics.alignment`, at most 100 ms. Identical signals 10 ms
apart lose a tenth of their STOI and all of their SI-SDR: look here before believing a low value of those.
"""

from collections.abc import Sequence

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.metrics.alignment import MAX_LAG_MS, best_lag
from doppelbench.metrics.audio_metric import AudioMetric, scored_items
from doppelbench.metrics.metric import Figure, ItemScore, MetricSpec
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, same_length


class GlobalLag(AudioMetric):
    """Size of the lag in ms.

    The statistics hold ``lag_ms`` with its sign (positive when the output is late), the correlation ``peak``
    found there, and ``at_bound`` when the true lag may lie beyond 100 ms. Only the resemblance of waveforms
    shows a lag: between two voices the peak is small and the lag says little.
    """

    spec = MetricSpec(
        name="lag",
        title="Global lag of the output, either way, by cross-correlation up to 100 ms",
        version=1,
        unit="ms",
        direction="lower",
        range=(0.0, MAX_LAG_MS),
        needs=frozenset({"ref"}),
        cost=0.5,
        rate=16000,
        seconds=(0.2, None),
        same_timing=True,
        citation="Knapp and Carter, IEEE TASSP 1976",
    )

    @property
    def signature(self) -> str:
        """Method, bound, rate and rule for unequal lengths."""
        return (
            f"lag|xcorr-zero-mean|{MAX_LAG_MS:g}ms|sr{self.rate}-{RESAMPLER}|{LENGTH_RULE}"
            f"|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Lag of one output."""
        assert ref is not None
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        found = best_lag(out=out, ref=ref, rate=self.rate)
        signed = 1000 * found.samples / self.rate
        stats = {"lag_ms": signed, "peak": found.peak, "at_bound": found.at_bound}
        return ItemScore(abs(signed), stats=stats)

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean size; details: median lag with its sign, ``median_ms``, and the items ``at_bound``."""
        figure = super().reduce(items, clusters)
        scored, _ = scored_items(items, clusters)
        if not scored:
            return figure
        details = {
            "median_ms": float(np.median([item.stats["lag_ms"] for item in scored])),
            "at_bound": sum(item.stats["at_bound"] for item in scored),
        }
        return Figure(figure.value, figure.low, figure.high, figure.n, figure.expected, details)
