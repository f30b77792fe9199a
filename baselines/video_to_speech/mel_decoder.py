"""The decoder of V2A-MelSpec: conformer blocks from repeated codes to a log-mel spectrogram.

A. Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", Interspeech 2020, as
torchaudio implements it: attention without positions, whose neighbourhood the convolutions know, so that a
film may be longer than those in training. Repeated codes are told apart by a learned vector for each place
within the repetition. Sizes of ``paper`` are those of SVTS-S (R. Mira et al., Interspeech 2022).
"""

import torch
from torch import Tensor, nn
from torchaudio.models import Conformer

from doppelbench.baselines.video_to_speech.mel_scale import restore
from doppelbench.baselines.video_to_speech.modality_norm import split_norms


class MelDecoder(nn.Module):
    """States (batch, pictures * repeats, inputs) to a spectrogram (batch, pictures * frames, bands)."""

    def __init__(
        self,
        inputs: int,
        bands: int,
        *,
        repeats: int,
        frames: int,
        blocks: int,
        width: int,
        heads: int,
        feed_forward: int,
        kernel: int,
        dropout: float,
    ) -> None:
        """Make the network.

        Args:
            inputs: numbers of a state.
            bands: of the spectrogram.
            repeats: states of one picture.
            frames: of the spectrogram for each picture, a multiple of ``repeats``.
            blocks: conformer blocks.
            width: of a block.
            heads: of the attention.
            feed_forward: hidden width of the feed-forward layers.
            kernel: of the depth-wise convolution, an odd number of states.
            dropout: share of numbers that are dropped in training.
        """
        super().__init__()
        self.bands = bands
        self.input = nn.Linear(inputs, width)
        self.places = nn.Parameter(torch.randn(repeats, width) / width**0.5)
        self.conformer = Conformer(width, heads, feed_forward, blocks, kernel, dropout)
        split_norms(self.conformer)
        self.output = nn.Linear(width, frames // repeats * bands)

    def forward(self, states: Tensor) -> Tensor:
        places = self.places.repeat(states.shape[1] // len(self.places), 1)
        hidden = (self.input(states) + places).transpose(0, 1)
        # All of one length: no mask, which torchaudio would make of lengths that it waits for on a GPU.
        for layer in self.conformer.conformer_layers:
            hidden = layer(hidden, None)
        return restore(self.output(hidden.transpose(0, 1)).reshape(len(states), -1, self.bands))
