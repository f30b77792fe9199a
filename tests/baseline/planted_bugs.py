"""Mistakes that the baseline must notice, put in the place of the right code for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch

from doppelbench.baselines.autoencoder_blocks import Decoder
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
from doppelbench.benchmark import work

BUGS = {
    "vocoder-off-by-one-band": ("exemplar", "copy-synthesis", "source-copy-synthesis"),
    "vocoder-one-frame-short": ("copy-synthesis",),
    "decoder-upside-down": ("exemplar",),
    "mcd-without-its-root": (),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Replace a part of the suite by a wrong one; what was loaded before is loaded again."""
    for cache in (work._trained, work._reference_row, work._metric):
        cache.cache_clear()
    vocode, decode = GriffinLim.__call__, Decoder.forward
    wrong = {
        "vocoder-off-by-one-band": lambda: patch.object(
            GriffinLim, "__call__", lambda self, mel: vocode(self, np.roll(mel, 1, axis=1).copy())
        ),
        "vocoder-one-frame-short": lambda: patch.object(
            GriffinLim, "__call__", lambda self, mel: vocode(self, mel[1:])
        ),
        "decoder-upside-down": lambda: patch.object(
            Decoder, "forward", lambda self, *codes: torch.flip(decode(self, *codes), dims=[2])
        ),
        "mcd-without-its-root": lambda: patch("doppelbench.metrics.mcd.DB_PER_DISTANCE", 10 / np.log(10)),
    }[name]()
    try:
        with wrong:
            yield
    finally:
        for cache in (work._trained, work._reference_row, work._metric):
            cache.cache_clear()
