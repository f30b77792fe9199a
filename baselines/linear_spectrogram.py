"""Linear log-magnitude spectrograms, scaled to 0 to 1, and the way back to a waveform.

For systems published on the spectrogram itself, without a mel filterbank. The defaults are those of the code
released with Chou et al. 2018 (16 kHz, transform 1024, window 800, hop 200, -80 to +20 dB).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchaudio

from doppelbench.baselines.vocoders.griffin_lim import GriffinLimSettings
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.features import MIN_MAGNITUDE, deemphasize, preemphasize, stft_magnitude
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio


@dataclass(frozen=True, slots=True)
class LinearSettings:
    """How a linear spectrogram is taken."""

    rate: int = 16000
    n_fft: int = 1024
    window: int = 800
    hop: int = 200
    preemphasis: float = 0.97
    min_db: float = -80.0
    max_db: float = 20.0

    @property
    def bins(self) -> int:
        """Frequencies of a frame."""
        return self.n_fft // 2 + 1


def log_linear(samples: np.ndarray, settings: LinearSettings) -> np.ndarray:
    """Pre-emphasis, magnitude, 20 log10, then (dB - min) / (max - min) clipped to 0 to 1.

    Args:
        samples: mono signal at ``settings.rate``, shape (n,), at the level of the house.
        settings: how the spectrogram is taken.

    Returns:
        Array of shape (1 + n // hop, bins), float32.
    """
    emphasized = preemphasize(samples, settings.preemphasis)
    magnitude = stft_magnitude(emphasized, settings.n_fft, settings.hop, settings.window)
    decibel = 20 * np.log10(np.maximum(magnitude, MIN_MAGNITUDE))
    scaled = (decibel - settings.min_db) / (settings.max_db - settings.min_db)
    return np.clip(scaled, 0.0, 1.0).astype(np.float32)


def clip_log_linear(clip: Clip, settings: LinearSettings) -> np.ndarray:
    """Linear log spectrogram of a clip at the level of the house; shape (frames, bins), range 0 to 1.

    Raises:
        MediaError: the clip has no audio, or it cannot be read, is silent, or holds less than one frame.
    """
    if clip.audio is None:
        raise MediaError("missing", f"clip {clip.id} has no audio")
    audio = read_audio(clip.audio, rate=settings.rate, start=clip.start, end=clip.end)
    if audio.samples.size < settings.window:
        raise MediaError("too_short", f"{clip.audio}: {audio.seconds:.3f} s is less than one analysis window")
    return log_linear(normalize_level(audio.samples, audio.rate), settings)


def log_linear_arrays(clip: Mapping[str, Any], linear: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute the cached features of one clip; arguments are the fields of a clip and of the settings."""
    return {"linear": clip_log_linear(Clip(**clip), LinearSettings(**linear))}


class LinearGriffinLim:
    """Griffin-Lim from a linear log spectrogram: phase by iteration from a first phase of zero."""

    name = "griffin-lim"

    def __init__(self, linear: LinearSettings, settings: GriffinLimSettings) -> None:
        self.linear = linear
        self.settings = settings

    def __call__(self, features: np.ndarray) -> Audio:
        """Turn a spectrogram of :func:`log_linear` into a waveform of (frames - 1) * hop samples."""
        linear = self.linear
        decibel = features * (linear.max_db - linear.min_db) + linear.min_db
        magnitude = torch.from_numpy(np.power(10.0, decibel / 20).astype(np.float32)).T
        with torch.inference_mode():
            samples = torchaudio.functional.griffinlim(
                magnitude,
                window=torch.hann_window(linear.window),
                n_fft=linear.n_fft,
                hop_length=linear.hop,
                win_length=linear.window,
                power=1.0,
                n_iter=self.settings.iterations,
                momentum=self.settings.momentum,
                length=(features.shape[0] - 1) * linear.hop,
                rand_init=False,
            )
        return Audio(deemphasize(samples.numpy(), linear.preemphasis), linear.rate)
