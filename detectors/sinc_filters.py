"""A bank of fixed band-pass filters, the first layer of RawNet2 and AASIST.

The bands border on each other and are equally wide on the mel scale 2595 log10(1 + f / 700); each filter is
the difference of two ideal low-passes under a Hamming window (M. Ravanelli and Y. Bengio, "Speaker
recognition from raw waveform with SincNet", SLT 2018). Nothing is trained here.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def band_edges(filters: int, rate: int) -> np.ndarray:
    """Borders of the bands in Hz, shape (filters + 1,), from 0 to half the rate."""
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    return 700 * (10 ** (np.linspace(0, highest, filters + 1) / 2595) - 1)


def band_pass_filters(filters: int, taps: int, rate: int) -> np.ndarray:
    """Impulse responses, shape (filters, taps); ``taps`` is odd."""
    time = np.arange(taps) - (taps - 1) / 2
    edges = band_edges(filters, rate)[:, None] * 2 / rate
    low_passes = edges * np.sinc(edges * time)
    return np.diff(low_passes, axis=0) * np.hamming(taps)


class SincFilters(nn.Module):
    """Waveforms (batch, samples) to bands (batch, filters, samples - taps + 1)."""

    responses: Tensor

    def __init__(self, filters: int, taps: int, rate: int) -> None:
        super().__init__()
        responses = torch.from_numpy(band_pass_filters(filters, taps, rate)).float()
        self.register_buffer("responses", responses[:, None], persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        # Half precision would bury what is 50 dB below the loudest band.
        with torch.autocast(waveforms.device.type, enabled=False):
            return F.conv1d(waveforms.float()[:, None], self.responses)
