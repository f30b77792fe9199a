"""LSE-C: lip-sync error, confidence, of Wav2Lip (Prajwal et al. 2020), by the published SyncNet."""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.sync_metric import RATE, SyncReading
from doppelbench.metrics.syncnet import SyncNetMetric


class LipSyncErrorConfidence(SyncNetMetric):
    """Median minus minimum of the mean distance over offsets; see :mod:`doppelbench.metrics.syncnet`."""

    spec = MetricSpec(
        name="lse_c",
        title="Lip-sync error, confidence (LSE-C) by the published SyncNet, face cropped by our detector",
        version=1,
        unit="",
        direction="higher",
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
        """How far the minimum of the curve lies under its median."""
        return reading.confidence
