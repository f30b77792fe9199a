"""DNSMOS, quality of the speech signal; see :mod:`doppelbench.metrics.dnsmos_kernel`."""

from doppelbench.metrics.dnsmos_kernel import P835, DnsmosMetric, dnsmos_spec


class SignalQuality(DnsmosMetric):
    """How little the speech itself is distorted on the scale of P.835."""

    scale = "sig_mos"
    spec = dnsmos_spec(
        "dnsmos_sig",
        title="Guessed quality of the speech signal, 1 to 5 (DNSMOS P.835)",
        highest=4.4426,
        citation=P835,
    )
