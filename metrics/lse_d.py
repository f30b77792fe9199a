"""LSE-D: lip-sync error, distance, of Wav2Lip (Prajwal et al. 2020), by the published SyncNet."""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.sync_metric import RATE, SyncReading
from doppelbench.metrics.syncnet import SyncNetMetric


class LipSyncErrorDistance(SyncNetMetric):
    """Smallest mean distance over offsets of 15 frames either way; see :mod:`doppelbench.metrics.syncnet`."""

    spec = MetricSpec(
        name="lse_d",
        title="Lip-sync error, distance (LSE-D) by the published SyncNet, face cropped by our detector",
        version=1,
        unit="",
        direction="lower",
        range=(0.0, None),
        needs=frozenset(),
        cost=750.0,
        rate=RATE,
        seconds=(0.5, None),
        citation="Prajwal et al., ACM Multimedia 2020; Chung and Zisserman, ACCV workshops 2016",
        licence="the weights of SyncNet are not part of this package; their authors offer them for research",
        media="audiovisual",
    )

    def value_of(self, reading: SyncReading) -> float:
        """The minimum of the curve."""
        return reading.distance
