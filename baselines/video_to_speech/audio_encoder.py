"""Speech to one code for the time of each picture: the encoder that is thrown away after pre-training.

It emits rate and width of the video encoder, so that a decoder can be taken from one to the other. The layers
are ours, as the paper's are not known: convolutions over the log-mel spectrogram, each stride of which is
symmetric about the middle of what it joins, so that code f is of the time for which picture f is shown.
"""

import math

from torch import Tensor, nn

from doppelbench.baselines.video_to_speech.mel_scale import standardize


class AudioEncoder(nn.Module):
    """Log-mel spectrogram to codes."""

    def __init__(self, bands: int, channels: int, codes: int, frames: int) -> None:
        """Make the network.

        Args:
            bands: of the spectrogram.
            channels: of the hidden layers.
            codes: numbers a picture.
            frames: of the spectrogram for each picture.
        """
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv1d(bands, channels, 5, padding=2, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
        ]
        for factor in _factors(frames):
            # As wide as two strides, one more where that would lie askew.
            kernel = 2 * factor + factor % 2
            layers += [
                nn.Conv1d(channels, channels, kernel, factor, (kernel - factor) // 2, bias=False),
                nn.BatchNorm1d(channels),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, codes, 3, padding=1))

    def forward(self, mel: Tensor) -> Tensor:
        """Encode a log-mel spectrogram (batch, pictures * frames, bands), range 0 to 1; returns (batch,
        pictures, codes)."""
        return self.layers(standardize(mel).transpose(1, 2)).transpose(1, 2)


def _factors(number: int) -> list[int]:
    """Prime factors in ascending order; none for 1."""
    found = []
    divisor = 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor = number if divisor >= math.isqrt(number) else divisor + 1
    return found
