"""PESQ, wide band, as the raw score before the mapping of P.862.2 to MOS-LQO; see
:mod:`doppelbench.metrics.pesq_kernel`."""

from dataclasses import replace

from doppelbench.metrics.pesq_kernel import RAW_RANGE
from doppelbench.metrics.pesq_wb import WideBandPesq


class RawWideBandPesq(WideBandPesq):
    """Raw wide-band PESQ, nominally from -0.5 to 4.5; what older tools print as "PESQ"."""

    scale = "raw"
    spec = replace(
        WideBandPesq.spec,
        name="pesq_wb_raw",
        title="Perceptual evaluation of speech quality, wide band, raw score before the mapping to MOS-LQO",
        unit="raw",
        range=RAW_RANGE,
    )
