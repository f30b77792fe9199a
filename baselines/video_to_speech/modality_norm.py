"""Batch normalisation that keeps the statistics of what came from sound and from pictures apart.

T. Kefalas, Y. Panagakis, M. Pantic, "Large-scale unsupervised audio pre-training for video-to-speech
synthesis", IEEE/ACM TASLP 32, 2024: a decoder that was trained on codes of sound sees codes of another
distribution when pictures drive it. Scale and shift are shared; mean and variance are not.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Modality = Literal["audio", "video"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
MOMENTUM = 0.1


class ModalityNorm(nn.Module):
    """Batch norm of (batch, channels, frames) with running statistics for each modality."""

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        for modality in MODALITIES:
            self.register_buffer(f"{modality}_mean", torch.zeros(channels))
            self.register_buffer(f"{modality}_variance", torch.ones(channels))
        self.modality: Modality = "audio"

    def statistics(self, modality: Modality) -> tuple[Tensor, Tensor]:
        """Running mean and variance of one modality, each of shape (channels,)."""
        return self.get_buffer(f"{modality}_mean"), self.get_buffer(f"{modality}_variance")

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.statistics(self.modality)
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, MOMENTUM)


def modality_norms(module: nn.Module) -> list[ModalityNorm]:
    """All such norms of a network."""
    return [part for part in module.modules() if isinstance(part, ModalityNorm)]


def use_modality(module: nn.Module, modality: Modality) -> None:
    """Let all norms of a network take the statistics of one modality."""
    for norm in modality_norms(module):
        norm.modality = modality


def start_from_audio(module: nn.Module) -> None:
    """Copy the statistics of sound to those of pictures, which go their own way from there."""
    with torch.no_grad():
        for norm in modality_norms(module):
            for own, given in zip(norm.statistics("video"), norm.statistics("audio"), strict=True):
                own.copy_(given)


def split_norms(module: nn.Module) -> None:
    """Replace every :class:`torch.nn.BatchNorm1d` below a module."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d):
            setattr(module, name, ModalityNorm(child.num_features))
        else:
            split_norms(child)
