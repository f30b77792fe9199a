"""LFCC-LCNN: a light convolutional network with max-feature-map activation on cepstral coefficients.

X. Wang and J. Yamagishi, "A comparative study on recent neural spoofing countermeasures for synthetic speech
detection", Interspeech 2021, and the ASVspoof 2021 baseline B03: LFCC with energy, delta and delta-delta (60
numbers a frame of 20 ms every 10 ms), nine convolutions whose channels are halved by the larger of two (max
feature map), four poolings, dropout of 0.7, two bidirectional LSTM layers beside a shortcut, mean over time,
one linear unit. 269,729 parameters.

Where paper, released code and this differ:

* the baseline takes coefficients of 0 to 4 kHz; the toy project with released weights, and the paper, of 0 to
  8 kHz. The baseline's band is the preset ``paper``;
* the released recipe begins with trained weights; here training begins from random ones;
* the code trains on whole utterances, sorted by length and padded; here on crops of 4 s, and whole utterances
  are scored, as published;
* the code halves the learning rate when the development loss stops falling, and stops after 50 epochs
  without progress; here the rate stays and the number of steps is given;
* the published training draws recordings alike and weighs classes alike; ``balanced`` is on here, because
  the loss has no weights and training sets differ in their shares;
* the paper also trains with P2SGrad; ``head`` offers the published sigmoid and, as in
  :class:`doppelbench.detectors.losses.OneClassSoftmax`, one-class learning.

``small`` has a quarter of the channels, crops of 1.6 s, batches of 16, and a learning rate of 1e-3.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from torch import Tensor, nn

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.detectors.detector import DetectorSpec
from doppelbench.detectors.lfcc import Lfcc, LfccSettings
from doppelbench.detectors.losses import Head, OneClassSoftmax, OneLogit
from doppelbench.detectors.network_detector import DetectorNetwork, NetworkDetector, NetworkSettings
from doppelbench.detectors.registry import register

PUBLISHED_LFCC = LfccSettings(
    window=320,
    hop=160,
    n_fft=1024,
    filters=20,
    preemphasis=0.97,
    centred=True,
    periodic=True,
    energy=True,
    floor=1.1920929e-07,
)
# Four poolings halve time and coefficients.
REDUCTION = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LcnnSettings(NetworkSettings):
    """Hyperparameters; the defaults are those published.

    Attributes:
        channels: of the convolutions before the max feature map, which halves them; the last one's
            half, times the coefficients left, is the width of the LSTM layers.
        head: ``sigmoid`` (published) or ``oc-softmax``.
    """

    lfcc: LfccSettings = field(default_factory=lambda: PUBLISHED_LFCC)
    channels: tuple[int, ...] = (64, 64, 96, 96, 128, 128, 64, 64, 64)
    dropout: float = 0.7
    head: Literal["sigmoid", "oc-softmax"] = "sigmoid"
    crop: int = 64_000
    whole: bool = True
    batch_size: int = 64
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    max_steps: int = 40_000

    def __post_init__(self) -> None:
        """Refuse sizes that the nine convolutions cannot have.

        Raises:
            DoppelbenchError: see :class:`NetworkSettings`; or the channels are not nine even numbers.
        """
        NetworkSettings.__post_init__(self)
        if len(self.channels) != 9 or any(count % 2 or count < 2 for count in self.channels):
            raise DoppelbenchError(f"channels are {self.channels}; nine even numbers are needed")
        if self.crop < REDUCTION * self.lfcc.hop:
            raise DoppelbenchError(f"crop is {self.crop}; at least {REDUCTION * self.lfcc.hop} are needed")
        if self.head not in ("sigmoid", "oc-softmax"):
            raise DoppelbenchError(f"head is {self.head!r}; it must be 'sigmoid' or 'oc-softmax'")

    @property
    def width(self) -> int:
        """Numbers that the LSTM layers hear at a time."""
        return self.channels[-1] // 2 * (self.lfcc.width // REDUCTION)


PAPER = LcnnSettings()
SMALL = replace(
    PAPER,
    channels=(16, 16, 24, 24, 32, 32, 16, 16, 16),
    crop=25_600,
    batch_size=16,
    learning_rate=1e-3,
    max_steps=1500,
)
TINY = replace(
    SMALL,
    channels=(8, 8, 8, 8, 8, 8, 8, 8, 8),
    crop=8000,
    batch_size=8,
    dropout=0.2,
    learning_rate=5e-3,
    max_steps=60,
)


class MaxFeatureMap(nn.Module):
    """The larger of two halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first.maximum(second)


class BidirectionalLstm(nn.Module):
    """An LSTM in both directions that keeps the width; (batch, frames, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.lstm(x)[0]
        return outputs


class LcnnBody(nn.Module):
    """Waveforms (batch, samples) to embeddings (batch, width)."""

    def __init__(self, settings: LcnnSettings) -> None:
        super().__init__()
        self.lfcc = Lfcc(settings.lfcc)
        counts = settings.channels

        def convolution(number: int, size: int) -> list[nn.Module]:
            inputs = counts[number - 1] // 2 if number else 1
            return [nn.Conv2d(inputs, counts[number], size, padding=size // 2), MaxFeatureMap()]

        def norm(number: int) -> nn.Module:
            return nn.BatchNorm2d(counts[number] // 2, affine=False)

        self.convolutions = nn.Sequential(
            *convolution(0, 5),
            nn.MaxPool2d(2),
            *convolution(1, 1),
            norm(1),
            *convolution(2, 3),
            nn.MaxPool2d(2),
            norm(2),
            *convolution(3, 1),
            norm(3),
            *convolution(4, 3),
            nn.MaxPool2d(2),
            *convolution(5, 1),
            norm(5),
            *convolution(6, 3),
            norm(6),
            *convolution(7, 1),
            norm(7),
            *convolution(8, 3),
            nn.MaxPool2d(2),
            nn.Dropout(settings.dropout),
        )
        self.recurrent = nn.Sequential(BidirectionalLstm(settings.width), BidirectionalLstm(settings.width))

    def forward(self, waveforms: Tensor) -> Tensor:
        hidden = self.convolutions(self.lfcc(waveforms)[:, None])
        hidden = hidden.transpose(1, 2).flatten(2)
        return (self.recurrent(hidden) + hidden).mean(dim=1)


@register
class LfccLcnn(NetworkDetector):
    """Light convolutional network on LFCC."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        name="lfcc-lcnn",
        title="Light CNN and LSTM on LFCC",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Wang and Yamagishi: A Comparative Study on Recent Neural Spoofing Countermeasures for "
        "Synthetic Speech Detection, Interspeech 2021",
    )
    settings_class = LcnnSettings

    @classmethod
    def build(cls, settings: LcnnSettings) -> DetectorNetwork:
        """Make the network."""
        heads: dict[str, type[Head]] = {"sigmoid": OneLogit, "oc-softmax": OneClassSoftmax}
        return DetectorNetwork(LcnnBody(settings), heads[settings.head](settings.width))  # type: ignore[call-arg]
