"""PESQ, narrow band, as the raw score before the mapping of P.862.1 to MOS-LQO; see
:mod:`doppelbench.metrics.pesq_kernel`."""

from dataclasses import replace

from doppelbench.metrics.pesq_kernel import RAW_RANGE
from doppelbench.metrics.pesq_nb import NarrowBandPesq


class RawNarrowBandPesq(NarrowBandPesq):
    """Raw narrow-band PESQ, nominally from -0.5 to 4.5; what older tools print as "PESQ"."""

    scale = "raw"
    spec = replace(
        NarrowBandPesq.spec,
        name="pesq_nb_raw",
        title="Perceptual evaluation of speech quality, narrow band, raw score before the mapping to MOS-LQO",
        unit="raw",
        range=RAW_RANGE,
    )
