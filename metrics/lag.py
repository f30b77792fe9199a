"""Lag: by how much the whole output is late or early against the reference.

The bounded cross-correlation of :mod:`doppelbench.metrics.alignment`: of waveforms, at most 100 ms, or with
``by=mel`` of log-mel spectrograms, at most 200 ms, for outputs whose phases a vocoder made. Identical
signals 10 ms apart lose a tenth of their STOI and all of their SI-SDR: look here before believing a low value
of those.
"""

from collections.abc import Sequence

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.metrics.alignment import MAX_MEL_LAG_MS, RULES, Resemblance, find_lag
from doppelbench.metrics.audio_metric import AudioMetric, scored_items
from doppelbench.metrics.metric import Figure, ItemScore, MetricSpec
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, same_length


class GlobalLag(AudioMetric):
    """Size of the lag in ms.

    The statistics hold ``lag_ms`` with its sign (positive when the output is late), the correlation ``peak``
    found there, and ``at_bound`` when the true lag may lie beyond the bound. Only resemblance shows a lag:
    between two voices the peak of waveforms is small and the lag says little.
    """

    spec = MetricSpec(
        name="lag",
        title="Global lag of the output, either way, by cross-correlation",
        version=1,
        unit="ms",
        direction="lower",
        range=(0.0, MAX_MEL_LAG_MS),
        needs=frozenset({"ref"}),
        cost=0.5,
        rate=16000,
        seconds=(0.2, None),
        same_timing=True,
        citation="Knapp and Carter, IEEE TASSP 1976",
    )

    def __init__(self, by: Resemblance = "waveform") -> None:
        """Choose what is correlated.

        Raises:
            InputError: neither ``waveform`` nor ``mel``.
        """
        if by not in RULES:
            raise InputError(f"lag: by is {' or '.join(RULES)}, not '{by}'")
        self.by = by

    @property
    def signature(self) -> str:
        """Method, bound, rate and rule for unequal lengths."""
        name, bound = RULES[self.by]
        return (
            f"lag|{name}-zero-mean|{bound:g}ms|sr{self.rate}-{RESAMPLER}|{LENGTH_RULE}|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Lag of one output."""
        assert ref is not None
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        found = find_lag(out=out, ref=ref, rate=self.rate, by=self.by)
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
