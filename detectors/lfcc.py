"""Linear-frequency cepstral coefficients of the ASVspoof baselines, in torch.

Power spectrum, triangular filters of equal width, log10, orthonormal DCT-II; deltas are the difference of
the frames after and before, x[t + 1] - x[t - 1], with the end frames repeated, and delta-deltas the same
once more.

``torchaudio.transforms.LFCC`` differs: filters over the whole band or a given one but decibels (10 log10 with
a floor under the loudest) or the natural logarithm, no energy, no deltas, and a Hann window unless told
otherwise. :func:`doppelbench.corpora.features.lfcc` has a Hann window and no deltas.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class LfccSettings:
    """How coefficients are taken; the defaults are those of the ASVspoof 2021 LFCC-GMM baseline.

    Attributes:
        high_hz: upper end of the highest filter.
        centred: whether frame t is centred at sample t * hop, zeros beyond the ends; else only whole frames
            inside the recording are taken, the first from sample 0.
        periodic: whether the Hamming window is the periodic one.
        energy: whether coefficient 0 is replaced by the log10 of the energy of the frame.
        floor: added to the power before the logarithm.
    """

    rate: int = 16000
    window: int = 480
    hop: int = 240
    n_fft: int = 1024
    filters: int = 70
    coefficients: int = 20
    high_hz: float = 4000.0
    preemphasis: float = 0.0
    centred: bool = False
    periodic: bool = False
    energy: bool = False
    floor: float = 2.2204e-16

    @property
    def width(self) -> int:
        """Numbers in a frame: coefficients, deltas and delta-deltas."""
        return 3 * self.coefficients


def filterbank(settings: LfccSettings) -> np.ndarray:
    """Triangular filters with peak 1 from 0 to ``high_hz``; shape (filters, n_fft // 2 + 1), float64."""
    bins = np.linspace(0, settings.rate / 2, settings.n_fft // 2 + 1)
    edges = np.linspace(0, settings.high_hz, settings.filters + 2)
    width = edges[1] - edges[0]
    return np.maximum(0.0, 1.0 - np.abs(bins[None, :] - edges[1:-1, None]) / width)


def delta(frames: Tensor) -> Tensor:
    """Difference of the frames after and before; (batch, frames, n) in and out."""
    padded = torch.cat([frames[:, :1], frames, frames[:, -1:]], dim=1)
    return padded[:, 2:] - padded[:, :-2]


class Lfcc(nn.Module):
    """Waveforms (batch, samples) to frames (batch, frames, 3 * coefficients); nothing in it is trained."""

    taper: Tensor
    filters: Tensor
    cosines: Tensor

    def __init__(self, settings: LfccSettings) -> None:
        super().__init__()
        from scipy.fft import dct

        self.settings = settings
        cosines = dct(np.eye(settings.filters), type=2, norm="ortho", axis=0)[: settings.coefficients]
        taper = torch.hamming_window(settings.window, periodic=settings.periodic, dtype=torch.float64)
        self.register_buffer("taper", taper.float(), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filterbank(settings)).float(), persistent=False)
        self.register_buffer("cosines", torch.from_numpy(cosines).float(), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        # Half precision would bury what is 50 dB below the loudest band.
        with torch.autocast(waveforms.device.type, enabled=False):
            static = self.static(waveforms.float())
            first = delta(static)
            return torch.cat([static, first, delta(first)], dim=2)

    def static(self, waveforms: Tensor) -> Tensor:
        """Coefficients alone: (batch, frames, coefficients)."""
        settings = self.settings
        if settings.preemphasis:
            previous = F.pad(waveforms[:, :-1], (1, 0))
            waveforms = waveforms - settings.preemphasis * previous
        if settings.centred:
            waveforms = F.pad(waveforms, (settings.window // 2, settings.window // 2))
        frames = waveforms.unfold(1, settings.window, settings.hop) * self.taper
        power = torch.fft.rfft(frames, n=settings.n_fft).abs().square()
        logarithm = torch.log10(power @ self.filters.T + settings.floor)
        coefficients = logarithm @ self.cosines.T
        if settings.energy:
            energy = torch.log10(power.sum(dim=2, keepdim=True) / settings.n_fft + settings.floor)
            coefficients = torch.cat([energy, coefficients[..., 1:]], dim=2)
        return coefficients
