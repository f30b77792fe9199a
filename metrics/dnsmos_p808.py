"""DNSMOS, listening quality; see :mod:`doppelbench.metrics.dnsmos_kernel`."""

from doppelbench.metrics.dnsmos_kernel import P808, DnsmosMetric, dnsmos_spec


class ListeningQuality(DnsmosMetric):
    """How good it sounds on the one scale of P.808."""

    scale = "p808_mos"
    spec = dnsmos_spec(
        "dnsmos_p808",
        title="Guessed listening quality, 1 to 5 (DNSMOS P.808)",
        highest=None,
        citation=P808,
    )
