"""Griffin-Lim: phase by iteration, no training.

D. Griffin and J. Lim, "Signal estimation from modified short-time Fourier transform", IEEE TASSP 32(2),
1984; with the momentum of N. Perraudin, P. Balazs and P. Soendergaard, "A fast Griffin-Lim algorithm",
WASPAA 2013, as torchaudio implements it. The released exemplar code offers it beside its neural vocoder,
with 100 iterations and a random first phase; here the first phase is zero, so that the same spectrum always
gives the same waveform.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torchaudio

from doppelbench.baselines.vocoders.vocoder import Vocoder
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.features import MelSettings, deemphasize, mel_filterbank, mel_from_log
from doppelbench.corpora.media import Audio
from doppelbench.engine.files import write_json
from doppelbench.engine.saving import settings_from_dict


@dataclass(frozen=True, slots=True)
class GriffinLimSettings:
    """``inversion_steps`` refine the non-negative inverse of the mel filterbank, ``iterations`` the phase."""

    iterations: int = 60
    momentum: float = 0.99
    inversion_steps: int = 30


@lru_cache(maxsize=8)
def _filterbank(settings: MelSettings) -> tuple[torch.Tensor, torch.Tensor]:
    filters = torch.from_numpy(
        mel_filterbank(settings.rate, settings.n_fft, settings.n_mels, settings.low_hz, settings.high_hz)
    )
    return filters, torch.linalg.pinv(filters)


def invert_mel(mel: torch.Tensor, settings: MelSettings, steps: int) -> torch.Tensor:
    """Find a non-negative magnitude spectrogram whose mel spectrogram is ``mel``.

    Starts from the clipped pseudo-inverse and applies the multiplicative updates of D. Lee and H. Seung,
    "Algorithms for non-negative matrix factorization", NIPS 2000, which never increase the squared error.

    Args:
        mel: mel magnitudes, shape (n_mels, frames).
        settings: how the mel spectrogram was taken.
        steps: number of updates.

    Returns:
        Magnitudes of shape (n_fft // 2 + 1, frames).
    """
    filters, inverse = _filterbank(settings)
    tiny = torch.finfo(mel.dtype).tiny
    magnitude = (inverse @ mel).clamp_min(1e-3 * mel.mean().clamp_min(tiny))
    wanted = filters.T @ mel
    gram = filters.T @ filters
    for _ in range(steps):
        magnitude = magnitude * wanted / (gram @ magnitude).clamp_min(tiny)
    return magnitude


class GriffinLim(Vocoder):
    """Vocoder without parameters: scaled log-mel in, waveform out."""

    name: ClassVar[str] = "griffin-lim"
    presets: ClassVar[Mapping[str, Any]] = {
        "tiny": GriffinLimSettings(iterations=8, inversion_steps=4),
        "small": GriffinLimSettings(),
        "paper": GriffinLimSettings(iterations=100),
    }

    def __init__(self, mel: MelSettings | None = None, settings: GriffinLimSettings | None = None) -> None:
        self.mel = mel or MelSettings()
        self.settings = settings or GriffinLimSettings()

    def __call__(self, features: np.ndarray) -> Audio:
        """Turn a log-mel spectrogram of :func:`doppelbench.corpora.features.log_mel` into a waveform.

        Args:
            features: shape (frames, n_mels), range 0 to 1.

        Returns:
            A waveform of (frames - 1) * hop samples, de-emphasised.
        """
        mel = torch.from_numpy(mel_from_log(features, self.mel)).T
        with torch.inference_mode():
            magnitude = invert_mel(mel, self.mel, self.settings.inversion_steps)
            samples = torchaudio.functional.griffinlim(
                magnitude,
                window=torch.hann_window(self.mel.window),
                n_fft=self.mel.n_fft,
                hop_length=self.mel.hop,
                win_length=self.mel.window,
                power=1.0,
                n_iter=self.settings.iterations,
                momentum=self.settings.momentum,
                length=(features.shape[0] - 1) * self.mel.hop,
                rand_init=False,
            )
        return Audio(deemphasize(samples.numpy(), self.mel.preemphasis), self.mel.rate)

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = {"vocoder": self.name, "settings": asdict(self.settings), "mel": asdict(self.mel)}
        write_json(directory / "config.json", config)

    @classmethod
    def load(cls, directory: Path) -> "GriffinLim":
        try:
            config = json.loads((directory / "config.json").read_text())
            mel = settings_from_dict(MelSettings, config["mel"])
            return cls(mel, settings_from_dict(GriffinLimSettings, config["settings"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{directory}: no vocoder that can be read ({error})") from None
