"""Mouth crops to one code a picture: a 3-D convolution over five pictures, then ResNet-18 on each.

The front end of lip reading (T. Stafylakis, G. Tzimiropoulos, "Combining Residual Networks with LSTMs for
Lipreading", Interspeech 2017) with K. He et al.'s ResNet-18 (CVPR 2016), as the video-to-speech systems of
this line have it: 64 channels, kernel 5 x 7 x 7, stride 1 x 2 x 2, batch norm, PReLU, max pooling by two,
then four stages of two residual blocks; 11.2 M parameters and 512 numbers a picture at the published widths.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Of the mouth crops that lip reading is trained on; grey, range 0 to 1.
MEAN, DEVIATION = 0.421, 0.165
BLOCKS = 2


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(hidden)) + self.shortcut(x))


class VideoEncoder(nn.Module):
    """Grey pictures to codes."""

    def __init__(self, stem: int, widths: Sequence[int], codes: int) -> None:
        """Make the network.

        Args:
            stem: channels of the 3-D convolution.
            widths: channels of the residual stages; each after the first halves height and width.
            codes: numbers a picture; a linear layer is put behind where the last width differs.
        """
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(1, stem, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(stem),
            nn.PReLU(stem),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        blocks: list[nn.Module] = []
        inputs = stem
        for stage, width in enumerate(widths):
            for block in range(BLOCKS):
                blocks.append(ResidualBlock(inputs, width, 2 if stage and not block else 1))
                inputs = width
        self.trunk = nn.Sequential(*blocks)
        self.output: nn.Module = nn.Identity() if inputs == codes else nn.Linear(inputs, codes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Encode.

        Args:
            pictures: uint8, shape (batch, pictures, side, side).

        Returns:
            Shape (batch, pictures, codes).
        """
        batch, count = pictures.shape[:2]
        hidden = self.stem(((pictures.float() / 255 - MEAN) / DEVIATION)[:, None])
        hidden = self.trunk(hidden.transpose(1, 2).flatten(0, 1))
        return torch.unflatten(self.output(hidden.mean(dim=(2, 3))), 0, (batch, count))
