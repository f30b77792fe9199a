"""Audio-visual confidence: do lips and sound belong together at any offset (Chung and Zisserman 2016)?

Median minus minimum of SyncNet-lite's distance over the offsets. A system that was trained against such a
network can exceed natural speech: hold the value against the natural row, nearer is better.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.sync_metric import MIN_SECONDS, RATE, SyncReading
from doppelbench.metrics.syncnet_lite import SyncNetLiteMetric


class AudioVisualConfidence(SyncNetLiteMetric):
    """Confidence between 0 and 2, of distances between unit vectors."""

    spec = MetricSpec(
        name="av_confidence",
        title="Audio-visual sync confidence by SyncNet-lite (trained on drawn faces)",
        version=1,
        unit="",
        direction="higher",
        range=(0.0, 2.0),
        needs=frozenset(),
        cost=33.0,
        rate=RATE,
        seconds=(MIN_SECONDS, None),
        citation="Chung and Zisserman, ACCV workshops 2016",
        media="audiovisual",
    )

    def value_of(self, reading: SyncReading) -> float:
        """Median minus minimum of the curve."""
        return reading.confidence
