"""PESQ, narrow band on 16 kHz signals: ITU-T P.862 with the mapping of P.862.1; see
:mod:`doppelbench.metrics.pesq_kernel`."""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.pesq_kernel import LICENCE, MAXIMUM, MIN_SECONDS, RATE, PesqMetric


class NarrowBandPesq(PesqMetric):
    """Narrow-band PESQ at 16 kHz, MOS-LQO up to 4.55; the protocol of Lip2Wav."""

    band = "nb"
    spec = MetricSpec(
        name="pesq_nb",
        title="Perceptual evaluation of speech quality, narrow band",
        version=1,
        unit="MOS-LQO",
        direction="higher",
        range=(0.999, MAXIMUM["nb"]),
        needs=frozenset({"ref"}),
        cost=10.0,
        rate=RATE,
        seconds=(MIN_SECONDS, None),
        same_timing=True,
        citation="ITU-T P.862 (2001), P.862.1 (2003)",
        licence=LICENCE,
    )
