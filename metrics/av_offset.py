"""Audio-visual offset: by how much the sound leads or trails the lips (Chung and Zisserman 2016).

Read by SyncNet-lite; :mod:`doppelbench.metrics.syncnet_lite` says how far it can be trusted on real faces. An
output whose lips do not move has no offset, yet its curve has a minimum somewhere: look at the confidence
beside it.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.sync_metric import FRAME_MS, LARGEST_OFFSET, MIN_SECONDS, RATE, SyncReading
from doppelbench.metrics.syncnet_lite import SyncNetLiteMetric


class AudioVisualOffset(SyncNetLiteMetric):
    """Size of the offset in ms, in steps of 40; ``offset_ms`` in the statistics has its sign."""

    spec = MetricSpec(
        name="av_offset",
        title="Audio-visual offset, either way, by SyncNet-lite (trained on drawn faces)",
        version=1,
        unit="ms",
        direction="lower",
        range=(0.0, LARGEST_OFFSET * FRAME_MS),
        needs=frozenset(),
        cost=33.0,
        rate=RATE,
        seconds=(MIN_SECONDS, None),
        citation="Chung and Zisserman, ACCV workshops 2016",
        media="audiovisual",
    )

    def value_of(self, reading: SyncReading) -> float:
        """Size of the offset in ms."""
        return abs(reading.offset) * FRAME_MS
