"""The picture networks of the audiovisual exemplar autoencoder: from codes of speech to a film of one face.

K. Deng, A. Bansal, D. Ramanan, ICLR 2021, section 3.3 and appendix C.2: the codes before their down-sampling
(80 a second) go through one convolution over time to the frame rate of the film; then come two stages, as in
StackGAN (H. Zhang et al., ICCV 2017):

* stage one, a stack of transposed convolutions from 1x1 to 128x128 pixels, a width of 1024 halved at each
  layer; where films have at most 128 pixels it is the only one;
* stage two, for larger films: the picture of stage one down to a quarter, the code beside every position,
  residual blocks, and four blocks that double the size, to four times the size of stage one.

A patch discriminator is told the code as well; real pictures with the code of another moment are its third
class, as StackGAN's are real pictures with another description.

Paper, released code and what is built here:

* the paper writes that convolutions over pictures are 3-D; those of the code are 2-D except in the last
  blocks of stage two. ``temporal_kernel`` 3 is the paper, 1 the code; the last blocks are 3-D with both;
* the code reads films at 20 frames a second only. Its convolution over time (kernel 64, stride 4, padding 30)
  is kept at every frame rate, and the codes are read at four times that rate (:func:`code_positions`);
* in the code stage one goes up to 256 pixels; here everything above 128 has two stages, and any size works
  that halves far enough: the first layer makes 4 to 7 pixels, more for sizes such as 176;
* the target of stage one is the mean of 4x4 pixels, where the code resizes;
* ``residual_to_mean`` is in neither: the networks draw the difference from the mean picture of the training
  films, and the last layer begins with zeros, so that hair, clothes and background need not be learned.
  Without it a small network moves the lips long before its pictures are better than the mean held still;
* the paper has an adversarial loss and describes no discriminator, the code has no such loss: the
  discriminator is ours.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import check_sizes
from doppelbench.corpora.errors import DoppelbenchError, InputError

# Of the convolution over time, in codes; the stride is how many codes there are for a picture.
TIME_KERNEL, STRIDE, TIME_PADDING = 64, 4, 30
# Stage two multiplies the size by so much; films above the limit have one.
GROWTH = 4
ONE_STAGE_PIXELS = 128
# The discriminator judges patches once a side is no longer than this.
PATCHES = 8
# Pictures that are drawn together; more would need more memory and no less time.
DRAWN_TOGETHER = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSettings:
    """Hyperparameters of the picture networks; the defaults are the paper's.

    Attributes:
        size: height and width of the films in pixels; 0 takes them as they are.
        frame_code: numbers that describe the speech around a picture.
        channels: width of stage one: its first layer has eight times as many.
        temporal_kernel: of convolutions over pictures, in pictures: 3 or 1.
        stages: 1 or 2; 0 for two above 128 pixels.
        refine_channels: width of stage two's first layer.
        residual_blocks: of stage two.
        residual_to_mean: whether the difference from the mean picture is drawn.
        discriminator_channels: width of the discriminator's first layer.
    """

    size: int = 0
    frame_code: int = 256
    channels: int = 128
    temporal_kernel: int = 3
    stages: int = 0
    refine_channels: int = 32
    residual_blocks: int = 4
    residual_to_mean: bool = False
    discriminator_channels: int = 64

    def __post_init__(self) -> None:
        """Refuse what no network can have.

        Raises:
            DoppelbenchError: says which setting is wrong.
        """
        check_sizes(self, zero=("size", "stages"))
        if self.temporal_kernel not in (1, 3):
            raise DoppelbenchError(f"temporal_kernel is {self.temporal_kernel}; it must be 1 or 3")
        if self.stages not in (0, 1, 2):
            raise DoppelbenchError(
                f"stages is {self.stages}; it must be 1 or 2, or 0 to follow the films' size"
            )
        if self.size:
            stage_sizes(self, self.size)


def stage_sizes(settings: PictureSettings, size: int) -> tuple[int, ...]:
    """Height and width of what each stage draws, the last being those of the film.

    Raises:
        InputError: no stage can draw pictures of this size.
    """
    two = settings.stages == 2 or (settings.stages == 0 and size > ONE_STAGE_PIXELS)
    step = 8 * GROWTH if two else 8
    if size < 2 * step or size % step:
        stages = "two stages" if two else "one stage"
        raise InputError(
            f"films of {size} pixels cannot be drawn in {stages}: the size must be a multiple of {step} and "
            f"at least {2 * step}"
        )
    return (size // GROWTH, size) if two else (size,)


def code_positions(pictures: int, fps: float, rate: float) -> np.ndarray:
    """Where in the codes of a recording the samples lie that the convolution over time reads.

    At a fourth of the codes' rate (20 pictures a second) every code is read once, as published; the window of
    picture f is then centred 6 ms, half a code, before its middle at (f + 0.5) / fps. At other frame rates
    sample j lies at (j + 0.5) / (4 fps) seconds, which puts the centre of the window on the middle of the
    picture. Nothing drifts, whatever the two rates are.

    Args:
        pictures: number of pictures from the beginning of the recording on.
        fps: pictures a second.
        rate: codes a second; code a belongs to the moment a / rate.

    Returns:
        float64, shape (4 * pictures,), in codes.
    """
    step = rate / (STRIDE * fps)
    return np.arange(STRIDE * pictures) * step + (0.0 if math.isclose(step, 1) else step / 2)


def read_codes(codes: Tensor, positions: Tensor) -> Tensor:
    """Interpolate codes (batch, codes, width) linearly at positions (batch, samples).

    Outside of the recording its first or last code is held.
    """
    last = codes.shape[1] - 1
    inside = positions.clamp(0, last)
    left = inside.floor().long()
    share = (inside - left)[..., None].to(codes.dtype)
    first, second = (
        codes.gather(1, index[..., None].expand(-1, -1, codes.shape[2]))
        for index in (left, (left + 1).clamp(max=last))
    )
    return torch.lerp(first, second, share)


def convolution(
    temporal: int, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0
) -> nn.Module:
    """Convolution over pictures, 2-D where ``temporal`` is 1."""
    if temporal == 1:
        return nn.Conv2d(inputs, outputs, kernel, stride, padding)
    return nn.Conv3d(
        inputs, outputs, (temporal, kernel, kernel), (1, stride, stride), (temporal // 2, padding, padding)
    )


def transposed(
    temporal: int, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0
) -> nn.Module:
    """Transposed convolution over pictures, 2-D where ``temporal`` is 1."""
    if temporal == 1:
        return nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding)
    return nn.ConvTranspose3d(
        inputs, outputs, (temporal, kernel, kernel), (1, stride, stride), (temporal // 2, padding, padding)
    )


def normalization(temporal: int, channels: int) -> nn.Module:
    """Batch norm of 2-D or 3-D features."""
    return nn.BatchNorm2d(channels) if temporal == 1 else nn.BatchNorm3d(channels)


def laid_out(features: Tensor, temporal: int) -> Tensor:
    """Bring (batch, pictures, channels, height, width) into the order that convolutions want.

    2-D convolutions see every picture as an item of the batch.
    """
    return features.flatten(0, 1) if temporal == 1 else features.transpose(1, 2)


def laid_back(features: Tensor, temporal: int, batch: int) -> Tensor:
    """Undo :func:`laid_out`."""
    return features.unflatten(0, (batch, -1)) if temporal == 1 else features.transpose(1, 2)


class FirstStage(nn.Module):
    """Codes (batch, pictures, frame_code) to pictures (batch, pictures, 3, size, size), not squashed."""

    def __init__(self, settings: PictureSettings, size: int) -> None:
        super().__init__()
        self.temporal = temporal = settings.temporal_kernel
        side, doublings = size, 0
        while side % 2 == 0 and side >= 8:
            side, doublings = side // 2, doublings + 1
        widths = [max(1, 8 * settings.channels >> layer) for layer in range(doublings)]
        layers: list[nn.Module] = [transposed(temporal, settings.frame_code, widths[0], side)]
        for inputs, outputs in pairwise(widths):
            layers += [
                normalization(temporal, inputs),
                nn.ReLU(),
                transposed(temporal, inputs, outputs, 4, 2, 1),
            ]
        layers += [normalization(temporal, widths[-1]), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.output = transposed(temporal, widths[-1], 3, 4, 2, 1)
        self.reach = (doublings + 1) * (temporal // 2)

    def forward(self, codes: Tensor) -> Tensor:
        hidden = self.hidden(laid_out(codes[..., None, None], self.temporal))
        return laid_back(self.output(hidden), self.temporal, len(codes))


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, temporal: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(temporal, channels, channels, 3, 1, 1),
            normalization(temporal, channels),
            nn.ReLU(),
            convolution(temporal, channels, channels, 3, 1, 1),
            normalization(temporal, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.layers(features))


class Doubling(nn.Module):
    """Twice the height and width; the convolution is 3-D always, as in the released code."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)
        self.normalization = nn.BatchNorm3d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        larger = F.interpolate(features, scale_factor=(1, 2, 2), mode="nearest")
        return F.relu(self.normalization(self.convolution(larger)))


class SecondStage(nn.Module):
    """Pictures of stage one and codes to pictures (batch, pictures, 3, size, size), not squashed."""

    def __init__(self, settings: PictureSettings) -> None:
        super().__init__()
        self.temporal = temporal = settings.temporal_kernel
        width = settings.refine_channels
        self.encoder = nn.Sequential(
            convolution(temporal, 3, width, 3, 1, 1),
            nn.ReLU(),
            convolution(temporal, width, 2 * width, 4, 2, 1),
            normalization(temporal, 2 * width),
            nn.ReLU(),
            convolution(temporal, 2 * width, 4 * width, 4, 2, 1),
            normalization(temporal, 4 * width),
            nn.ReLU(),
        )
        self.joint = nn.Sequential(
            convolution(temporal, 4 * width + settings.frame_code, 4 * width, 3, 1, 1),
            normalization(temporal, 4 * width),
            nn.ReLU(),
            *(ResidualBlock(temporal, 4 * width) for _ in range(settings.residual_blocks)),
        )
        widths = [max(1, 4 * width >> layer) for layer in range(5)]
        self.doublings = nn.Sequential(*(Doubling(a, b) for a, b in pairwise(widths)))
        self.output = nn.Conv3d(widths[-1], 3, 3, padding=1)
        self.reach = (4 + 2 * settings.residual_blocks) * (temporal // 2) + len(widths)

    def forward(self, codes: Tensor, pictures: Tensor) -> Tensor:
        encoded = laid_back(self.encoder(laid_out(pictures, self.temporal)), self.temporal, len(codes))
        tiled = codes[..., None, None].expand(-1, -1, -1, *encoded.shape[-2:])
        joint = self.joint(laid_out(torch.cat([encoded, tiled], dim=2), self.temporal))
        joint = laid_back(joint, self.temporal, len(codes)).transpose(1, 2)
        return self.output(self.doublings(joint)).transpose(1, 2)


class VideoDecoder(nn.Module):
    """Codes of speech at four times the frame rate to pictures, -1 to 1.

    ``code`` is the width of the codes, ``size`` that of the films in pixels. With ``residual_to_mean`` the
    mean picture is a buffer, which the training sets (:meth:`set_mean`) and a saved network holds.
    """

    mean: Tensor

    def __init__(self, settings: PictureSettings, code: int, size: int) -> None:
        super().__init__()
        sizes = stage_sizes(settings, size)
        self.settings = settings
        self.time = nn.Conv1d(code, settings.frame_code, TIME_KERNEL, STRIDE, TIME_PADDING)
        self.first = FirstStage(settings, sizes[0])
        self.second = SecondStage(settings) if len(sizes) == 2 else None
        self.sizes = sizes
        # Pictures before and after one that decide how it is drawn, beside its own code.
        self.reach = self.first.reach + (0 if self.second is None else self.second.reach)
        if settings.residual_to_mean:
            self.register_buffer("mean", torch.zeros(3, size, size))
            for output in (self.first.output, *(() if self.second is None else (self.second.output,))):
                nn.init.zeros_(output.weight)  # type: ignore[arg-type]
                nn.init.zeros_(output.bias)  # type: ignore[arg-type]

    def set_mean(self, picture: np.ndarray) -> None:
        """Set the mean picture, shape (size, size, 3), range 0 to 255."""
        self.mean.copy_(scaled(torch.from_numpy(np.asarray(picture, np.float32)[None, None]))[0, 0])

    def frame_codes(self, samples: Tensor) -> Tensor:
        """Describe the speech around each picture.

        Args:
            samples: codes at four times the frame rate, (batch, 4 * pictures, code).

        Returns:
            Shape (batch, pictures, frame_code).
        """
        described: Tensor = self.time(samples.transpose(1, 2))
        return described.transpose(1, 2)

    def forward(self, codes: Tensor) -> list[Tensor]:
        """Draw pictures given what :meth:`frame_codes` returns.

        Returns:
            For each stage a tensor (batch, pictures, 3, size, size). With ``residual_to_mean`` values can lie
            outside of -1 to 1.
        """
        pictures = [self._toned(self.first(codes), self.sizes[0])]
        if self.second is not None:
            pictures.append(self._toned(self.second(codes, pictures[0]), self.sizes[1]))
        return pictures

    def _toned(self, drawn: Tensor, size: int) -> Tensor:
        drawn = drawn.float()
        if not self.settings.residual_to_mean:
            return torch.tanh(drawn)
        return drawn + F.adaptive_avg_pool2d(self.mean, size)

    @torch.inference_mode()
    def draw(self, samples: Tensor) -> np.ndarray:
        """Draw a film of any length, some pictures at a time.

        Args:
            samples: as for :meth:`frame_codes`, of one recording.

        Returns:
            uint8, shape (pictures, size, size, 3).
        """
        codes, parts = self.frame_codes(samples), []
        for start in range(0, codes.shape[1], DRAWN_TOGETHER):
            begin = max(0, start - self.reach)
            pictures = self(codes[:, begin : start + DRAWN_TOGETHER + self.reach])[-1][0]
            wanted = pictures[start - begin : start - begin + DRAWN_TOGETHER]
            levels = ((wanted + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
            parts.append(levels.permute(0, 2, 3, 1).cpu().numpy())
        return np.ascontiguousarray(np.concatenate(parts))


def scaled(pictures: Tensor) -> Tensor:
    """Bring pictures (batch, pictures, height, width, 3) of 0 to 255 to -1 to 1.

    Returns:
        Shape (batch, pictures, 3, height, width), float32.
    """
    return pictures.permute(0, 1, 4, 2, 3).float() / 127.5 - 1


class PatchDiscriminator(nn.Module):
    """Pictures (n, 3, size, size) and codes (n, frame_code) to logits (n, 1, patches, patches).

    Every picture is judged alone; a logit is high where a patch is of a real picture that goes with the code.
    """

    def __init__(self, settings: PictureSettings, size: int) -> None:
        super().__init__()
        widest = 8 * settings.discriminator_channels
        layers: list[nn.Module] = []
        inputs, outputs = 3, settings.discriminator_channels
        while size > PATCHES and size % 2 == 0:
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1)]
            if inputs != 3:
                layers += [nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(0.2)]
            inputs, outputs, size = outputs, min(widest, 2 * outputs), size // 2
        self.pictures = nn.Sequential(*layers)
        self.joint = nn.Sequential(
            nn.Conv2d(inputs + settings.frame_code, inputs, 3, padding=1),
            nn.BatchNorm2d(inputs),
            nn.LeakyReLU(0.2),
            nn.Conv2d(inputs, 1, 3, padding=1),
        )

    def forward(self, pictures: Tensor, codes: Tensor) -> Tensor:
        features = self.pictures(pictures)
        tiled = codes[..., None, None].expand(-1, -1, *features.shape[-2:])
        logits: Tensor = self.joint(torch.cat([features, tiled], dim=1))
        return logits


def of_other_moments(codes: Tensor) -> Tensor:
    """Give every picture the code of a picture half a crop away: (batch, pictures, frame_code).

    The same film at another moment, so that only what is said tells a pair from a mismatched one.
    """
    return codes.roll(codes.shape[1] // 2, dims=1)


Verdict = Literal["real", "mismatched", "drawn"]


def discriminator_losses(
    discriminator: PatchDiscriminator, real: Tensor, drawn: Tensor, codes: Tensor
) -> dict[Verdict, Tensor]:
    """Cross-entropies of the three classes.

    Args:
        discriminator: judges.
        real: pictures (batch, pictures, 3, size, size), -1 to 1.
        drawn: the decoder's, of the same shape.
        codes: frame codes (batch, pictures, frame_code) of both.

    Returns:
        Means over patches by class; StackGAN adds to the first half of each of the others.
    """
    cases: tuple[tuple[Verdict, Tensor, Tensor, float], ...] = (
        ("real", real, codes, 1.0),
        ("mismatched", real, of_other_moments(codes), 0.0),
        ("drawn", drawn, codes, 0.0),
    )
    losses: dict[Verdict, Tensor] = {}
    for name, pictures, given, label in cases:
        logits = discriminator(pictures.detach().flatten(0, 1), given.detach().flatten(0, 1))
        losses[name] = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
    return losses


def adversarial_loss(discriminator: PatchDiscriminator, drawn: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy of drawn pictures (batch, pictures, 3, size, size) with the class of real ones.

    The codes are given and not judged: no gradient goes into them this way.
    """
    logits = discriminator(drawn.flatten(0, 1), codes.detach().flatten(0, 1))
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
