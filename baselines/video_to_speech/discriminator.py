"""MelGAN's discriminators of three time scales, with the least-squares objective and feature matching.

K. Kumar et al., "MelGAN: Generative Adversarial Networks for Conditional Waveform Synthesis", NeurIPS 2019:
networks of one design on the waveform and on its averages over two and four samples. A convolution of 15
samples to 16 channels, four strided grouped convolutions of 41, one of 5 and one of 3 to a map; weight norm
and leaky ReLU. X. Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

SLOPE = 0.2
STRIDE = 4
GROUP = 4


class ScaleDiscriminator(nn.Module):
    """Judges one time scale."""

    def __init__(self, channels: int, stages: int, widest: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(1, channels, 15, padding=7)]
        inputs = channels
        for _ in range(stages):
            outputs = min(STRIDE * inputs, widest)
            layers.append(nn.Conv1d(inputs, outputs, 41, STRIDE, 20, groups=max(1, inputs // GROUP)))
            inputs = outputs
        layers += [nn.Conv1d(inputs, inputs, 5, padding=2), nn.Conv1d(inputs, 1, 3, padding=1)]
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of all layers for a waveform (batch, 1, samples); the last is the judgement."""
        found = []
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), SLOPE)
            found.append(x)
        return [*found, self.layers[-1](x)]


class MultiScaleDiscriminator(nn.Module):
    """Judges a waveform on several time scales."""

    def __init__(self, scales: int, channels: int, stages: int, widest: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(ScaleDiscriminator(channels, stages, widest) for _ in range(scales))

    def forward(self, sound: Tensor) -> list[list[Tensor]]:
        """Return what each scale makes of sound (batch, samples)."""
        x, found = sound[:, None], []
        for number, scale in enumerate(self.scales):
            if number:
                x = F.avg_pool1d(x, 4, 2, padding=1, count_include_pad=False)
            found.append(scale(x))
        return found


def real_loss(judged: list[list[Tensor]]) -> Tensor:
    """How far judgements are from "real", 1: squared, mean over the map, then over scales."""
    return torch.stack([(1 - scale[-1]).square().mean() for scale in judged]).mean()


def made_loss(judged: list[list[Tensor]]) -> Tensor:
    """How far judgements are from "made", 0."""
    return torch.stack([scale[-1].square().mean() for scale in judged]).mean()


def feature_loss(made: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """L1 between what the hidden layers make of two waveforms, mean over layers and scales."""
    distances = [
        F.l1_loss(ours, theirs.detach())
        for ours_of_scale, theirs_of_scale in zip(made, real, strict=True)
        for ours, theirs in zip(ours_of_scale[:-1], theirs_of_scale[:-1], strict=True)
    ]
    return torch.stack(distances).mean()
