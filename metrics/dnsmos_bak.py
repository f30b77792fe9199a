"""DNSMOS, intrusiveness of the background; see :mod:`doppelbench.metrics.dnsmos_kernel`."""

from doppelbench.metrics.dnsmos_kernel import P835, DnsmosMetric, dnsmos_spec


class BackgroundQuality(DnsmosMetric):
    """How little the background intrudes on the scale of P.835."""

    scale = "bak_mos"
    spec = dnsmos_spec(
        "dnsmos_bak",
        title="Guessed unobtrusiveness of the background noise, 1 to 5 (DNSMOS P.835)",
        highest=4.5205,
        citation=P835,
    )
