"""DNSMOS, overall quality; see :mod:`doppelbench.metrics.dnsmos_kernel`."""

from doppelbench.metrics.dnsmos_kernel import P835, DnsmosMetric, dnsmos_spec


class OverallQuality(DnsmosMetric):
    """How good the whole sounds on the scale of P.835, with the noise."""

    scale = "ovrl_mos"
    spec = dnsmos_spec(
        "dnsmos_ovrl",
        title="Guessed overall quality, 1 to 5 (DNSMOS P.835)",
        highest=4.6434,
        citation=P835,
    )
