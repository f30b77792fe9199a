"""PESQ, wide band: ITU-T P.862.2; see :mod:`doppelbench.metrics.pesq_kernel`."""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.pesq_kernel import LICENCE, MAXIMUM, MIN_SECONDS, RATE, PesqMetric


class WideBandPesq(PesqMetric):
    """Wide-band PESQ, MOS-LQO up to 4.64."""

    band = "wb"
    spec = MetricSpec(
        name="pesq_wb",
        title="Perceptual evaluation of speech quality, wide band",
        version=1,
        unit="MOS-LQO",
        direction="higher",
        range=(0.999, MAXIMUM["wb"]),
        needs=frozenset({"ref"}),
        cost=10.0,
        rate=RATE,
        seconds=(MIN_SECONDS, None),
        same_timing=True,
        citation="ITU-T P.862 (2001), P.862.2 (2007)",
        licence=LICENCE,
    )
