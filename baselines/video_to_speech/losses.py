"""What the decoders are trained with, beside the adversarial terms.

* Mel spectrograms: L1 and spectral convergence, as in SVTS (R. Mira et al., Interspeech 2022).
* Waveforms: the multi-resolution STFT loss (R. Yamamoto et al., "Parallel WaveGAN", ICASSP 2020), at 24 kHz
  with its resolutions and at other rates with windows of the same duration; L1 of cepstra; L1 of the
  logarithmic power spectrogram of 25 ms windows every 10 ms. The last two are the predecessor's MFCC and
  power losses (R. Mira et al., "End-to-End Video-To-Speech Synthesis using Generative Adversarial Networks",
  IEEE Transactions on Cybernetics, 2022); their formulas are not printed in what could be read, so these are
  ours.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.fft
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.corpora.features import mel_filterbank

PUBLISHED_RATE = 24000
# Transform, hop and window in samples at that rate.
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
SMALLEST_POWER = 1e-7
POWER_WINDOW_SECONDS, POWER_HOP_SECONDS = 0.025, 0.01
MFCC_BANDS, MFCC_COEFFICIENTS = 80, 25


class Resolution(NamedTuple):
    """Transform, hop and window in samples."""

    n_fft: int
    hop: int
    window: int


def resolutions(rate: int) -> list[Resolution]:
    """The published resolutions at another rate: windows of the same duration, the nearest power of two."""
    scale = rate / PUBLISHED_RATE
    return [
        Resolution(2 ** round(math.log2(n_fft * scale)), round(hop * scale), round(window * scale))
        for n_fft, hop, window in RESOLUTIONS
    ]


def spectral_convergence(made: Tensor, wanted: Tensor) -> Tensor:
    """Norm of the difference over the norm of what is wanted, a number over the whole batch."""
    same_shape(made, wanted)
    return (wanted - made).norm() / wanted.norm().clamp_min(1e-6)


def mel_losses(made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """L1 and spectral convergence of log-mel spectrograms of one shape, range 0 to 1."""
    same_shape(made, wanted)
    return {
        "mel_l1": F.l1_loss(made, wanted),
        "spectral_convergence": spectral_convergence(made, wanted),
    }


def same_shape(made: Tensor, wanted: Tensor) -> None:
    """Refuse shapes that differ, though they could perhaps be broadcast.

    Raises:
        ValueError: names both.
    """
    if made.shape != wanted.shape:
        raise ValueError(f"{tuple(made.shape)} was made where {tuple(wanted.shape)} is wanted")


class WaveformLosses(nn.Module):
    """Spectral losses of waveforms (batch, samples) of one rate; without parameters."""

    filters: Tensor
    cosines: Tensor

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.resolutions = resolutions(rate)
        window = round(POWER_WINDOW_SECONDS * rate)
        n_fft = 2 ** math.ceil(math.log2(window))
        self.power = Resolution(n_fft, round(POWER_HOP_SECONDS * rate), window)
        filters = mel_filterbank(rate, n_fft, MFCC_BANDS, 0.0, rate / 2)
        # A narrow band of a short transform may hold no bin; its cepstra would be of nothing.
        filters = filters[filters.sum(axis=1) > 0]
        cosines = scipy.fft.dct(np.eye(len(filters)), type=2, norm="ortho", axis=1)[:, :MFCC_COEFFICIENTS]
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("cosines", torch.from_numpy(cosines.astype(np.float32)), persistent=False)

    def forward(self, made: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        """Losses by name, without their weights."""
        same_shape(made, wanted)
        with torch.autocast(made.device.type, enabled=False):
            made, wanted = made.float(), wanted.float()
            terms = [
                self.stft_loss(spectrum(made, each), spectrum(wanted, each)) for each in self.resolutions
            ]
            ours, theirs = spectrum(made, self.power), spectrum(wanted, self.power)
            return {
                "stft": torch.stack(terms).mean(),
                "mfcc": F.l1_loss(self.mfcc(ours), self.mfcc(theirs)),
                "power": F.l1_loss(ours.log(), theirs.log()),
            }

    def stft_loss(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Spectral convergence and L1 of the logarithms of two power spectrograms' magnitudes."""
        made, wanted = made.sqrt(), wanted.sqrt()
        return spectral_convergence(made, wanted) + F.l1_loss(made.log(), wanted.log())

    def mfcc(self, power: Tensor) -> Tensor:
        """Cepstra (batch, frames, coefficients) of a power spectrogram (batch, bins, frames)."""
        bands = (power.transpose(1, 2) @ self.filters.T).clamp_min(SMALLEST_POWER)
        return bands.log() @ self.cosines


def spectrum(sound: Tensor, resolution: Resolution) -> Tensor:
    """Power spectrogram (batch, bins, frames) of sound (batch, samples), at least 1e-7."""
    window = torch.hann_window(resolution.window, device=sound.device)
    found = torch.stft(
        sound,
        resolution.n_fft,
        resolution.hop,
        resolution.window,
        window,
        return_complex=True,
        pad_mode="constant",
    )
    return (found.real.square() + found.imag.square()).clamp_min(SMALLEST_POWER)
