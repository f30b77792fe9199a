"""MesoNet: small convolutional networks that judge single faces, Meso-4 and MesoInception-4.

D. Afchar, V. Nozick, J. Yamagishi and I. Echizen, "MesoNet: a compact facial video forgery detection
network", IEEE International Workshop on Information Forensics and Security 2018. Four convolutions (3 x 3
with 8 channels, then 5 x 5 with 8, 16 and 16) of a face of 256 x 256 pixels, each followed by a rectifier,
batch normalisation and a maximum over 2 x 2 pixels, the last over 4 x 4; a dropout of a half, 16 hidden
units, another dropout, and one sigmoid. MesoInception-4 has four parallel branches, two of them dilated, in
place of each of the first two convolutions. 27,977 and 28,615 trained parameters, as in the paper. Published
training: Adam, batches of 75, a learning rate of 1e-3 that falls to a tenth every 1000 steps, down to 1e-6;
pictures are slightly zoomed, turned, mirrored and changed in brightness and hue.

Where paper, released code and this differ:

* faces are aligned by landmarks (released code: a square of 1.3 times 2.2 times the larger distance between
  eyes, or eyes and mouth, turned upright); here one square a clip, see
  :mod:`doppelbench.detectors.face_input`;
* the paper judges a film by the mean of the frames' predictions, the released code by the share of frames
  above a half; here by the mean of their logits, so that one score is the sum of what its frames contribute.
  ``frame_scores`` gives each;
* paper and code take every frame with a face; here 32 frames spread over the film, at training and at test;
* the loss is the squared error of the sigmoid, as in the code; ``loss`` offers cross-entropy;
* the paper gives no extent of the random changes: here 10 % of size and brightness, 10 degrees, and 5 % of
  each colour in place of a change of hue;
* the number of steps is not published: 4000 give each of the four learning rates a thousand;
* batches hold as many bona fide as spoofed faces.

``small`` has the published network on faces of 64 pixels, 16 a film, batches of 32, a learning rate of 3e-3
and cross-entropy.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor, cat, nn

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.detectors.detector import DetectorSpec
from doppelbench.detectors.face_input import FaceSettings
from doppelbench.detectors.frame_network import FrameDetector, FrameSettings
from doppelbench.detectors.registry import register

PAPER = (
    "Afchar, Nozick, Yamagishi and Echizen: MesoNet: a Compact Facial Video Forgery Detection Network, "
    "WIFS 2018"
)
# Maxima over 2, 2, 2 and 4 pixels.
REDUCTION = 32
LEAK = 0.1
# Of the published framework's batch normalisation.
EPSILON = 1e-3
Branches = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MesoSettings(FrameSettings):
    """Hyperparameters; the defaults are those published.

    Attributes:
        channels: of the four convolutions; MesoInception-4 uses the last two.
        branches: channels of the four branches of each of the two inception blocks of MesoInception-4.
        hidden: units before the last.
        dropout: before and after them.
    """

    channels: tuple[int, int, int, int] = (8, 8, 16, 16)
    branches: tuple[Branches, Branches] = ((1, 4, 4, 2), (2, 4, 4, 2))
    hidden: int = 16
    dropout: float = 0.5
    faces: FaceSettings = field(default_factory=FaceSettings)
    batch_size: int = 75

    def __post_init__(self) -> None:
        """Refuse sizes that the networks cannot have.

        Raises:
            DoppelbenchError: see :class:`FrameSettings`; or the faces are no multiple of 32 pixels.
        """
        FrameSettings.__post_init__(self)
        if self.faces.picture % REDUCTION:
            raise DoppelbenchError(f"picture is {self.faces.picture}; it must be a multiple of {REDUCTION}")

    @property
    def flat(self) -> int:
        """Numbers that come out of the last convolution."""
        return self.channels[-1] * (self.faces.picture // REDUCTION) ** 2


PUBLISHED = MesoSettings()
SMALL = replace(
    PUBLISHED,
    faces=FaceSettings(picture=64, frames=16),
    batch_size=32,
    learning_rate=3e-3,
    decay_steps=250,
    loss="cross-entropy",
    max_steps=600,
)
TINY = replace(
    SMALL,
    faces=FaceSettings(picture=32, frames=8),
    batch_size=16,
    learning_rate=1e-2,
    decay_steps=40,
    dropout=0.2,
    augment=0.3,
    max_steps=60,
)
PRESETS = {"tiny": TINY, "small": SMALL, "paper": PUBLISHED}


class Inception(nn.Module):
    """Four branches side by side: 1 x 1, and 1 x 1 before 3 x 3 with a dilation of 1, 2 and 3."""

    def __init__(self, inputs: int, branches: Branches) -> None:
        super().__init__()
        plain, *wide = branches
        self.plain = nn.Sequential(nn.Conv2d(inputs, plain, 1), nn.ReLU())
        self.wide = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, count, 1),
                nn.ReLU(),
                nn.Conv2d(count, count, 3, padding=dilation, dilation=dilation),
                nn.ReLU(),
            )
            for dilation, count in enumerate(wide, start=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.plain(x), *(branch(x) for branch in self.wide)], dim=1)


def convolution(inputs: int, outputs: int, size: int) -> nn.Module:
    """A convolution that keeps height and width, and a rectifier."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.ReLU())


def normed(channels: int, pool: int) -> list[nn.Module]:
    """Batch normalisation and a maximum."""
    return [nn.BatchNorm2d(channels, eps=EPSILON), nn.MaxPool2d(pool)]


def with_hidden(first: list[nn.Module], between: int, settings: MesoSettings) -> nn.Module:
    """Complete the first two blocks by the last two and the hidden units, with the published first weights.

    Args:
        first: the first two blocks.
        between: channels that come out of them.
        settings: sizes of the rest.
    """
    third, fourth = settings.channels[2:]
    body = nn.Sequential(
        *first,
        convolution(between, third, 5),
        *normed(third, 2),
        convolution(third, fourth, 5),
        *normed(fourth, 4),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.flat, settings.hidden),
        nn.LeakyReLU(LEAK),
        nn.Dropout(settings.dropout),
    )
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return body


class MesoDetector(FrameDetector):
    """What both networks share."""

    settings_class = MesoSettings


@register
class Meso4(MesoDetector):
    """Four convolutions on single faces."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        "meso-4", "Meso-4 on single faces", PRESETS, PAPER, rate=None, media="video"
    )

    @classmethod
    def body(cls, settings: MesoSettings) -> tuple[nn.Module, int]:
        """Make the convolutions and the hidden units."""
        one, two = settings.channels[:2]
        blocks = [convolution(3, one, 3), *normed(one, 2), convolution(one, two, 5), *normed(two, 2)]
        return with_hidden(blocks, two, settings), settings.hidden


@register
class MesoInception4(MesoDetector):
    """Two inception blocks and two convolutions on single faces."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        "mesoinception-4", "MesoInception-4 on single faces", PRESETS, PAPER, rate=None, media="video"
    )

    @classmethod
    def body(cls, settings: MesoSettings) -> tuple[nn.Module, int]:
        """Make the inception blocks, the convolutions and the hidden units."""
        first, second = settings.branches
        one, two = sum(first), sum(second)
        blocks = [Inception(3, first), *normed(one, 2), Inception(one, second), *normed(two, 2)]
        return with_hidden(blocks, two, settings), settings.hidden
