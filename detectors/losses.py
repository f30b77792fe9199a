"""Heads that turn an embedding into a score, with the loss that trains them.

Class 1 is bona fide and a higher score says bona fide, whatever the head. The weight of a class multiplies
its recordings in the loss; a batch is divided by the sum of its weights.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Head(nn.Module):
    """An embedding (batch, width) in, a score (batch,) out."""

    @abstractmethod
    def loss(self, embedding: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
        """Mean loss; ``labels`` are 0 (spoof) or 1 (bona fide), ``weights`` theirs in that order."""


class TwoLogits(Head):
    """A linear layer with two outputs and cross-entropy; the score is the difference of the logits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def forward(self, embedding: Tensor) -> Tensor:
        logits = self.linear(embedding)
        return logits[:, 1] - logits[:, 0]

    def loss(self, embedding: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
        logits = self.linear(embedding)
        return F.cross_entropy(logits, labels, weight=logits.new_tensor(weights))


class OneLogit(Head):
    """A linear layer with one output and binary cross-entropy; the score is what goes into the sigmoid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.linear(embedding)[:, 0]

    def loss(self, embedding: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
        scores = self(embedding)
        of_items = scores.new_tensor(weights)[labels]
        total = F.binary_cross_entropy_with_logits(scores, labels.to(scores), of_items, reduction="sum")
        return total / of_items.sum()


class OneClassSoftmax(Head):
    """OC-softmax: bona fide speech close to one direction, everything else away from it; the score is the
    cosine.

    Y. Zhang, F. Jiang and Z. Duan, "One-class learning towards synthetic voice spoofing detection", IEEE
    Signal Processing Letters 28, 2021. Loss: log(1 + exp(scale (margin of bona fide - cosine))) for bona
    fide, log(1 + exp(scale (cosine - margin of spoof))) for spoofed speech. The released code's scores
    have the other sign.
    """

    def __init__(
        self, width: int, scale: float = 20.0, bonafide_margin: float = 0.9, spoof_margin: float = 0.2
    ) -> None:
        super().__init__()
        self.scale, self.bonafide_margin, self.spoof_margin = scale, bonafide_margin, spoof_margin
        self.direction = nn.Parameter(torch.empty(1, width))
        nn.init.kaiming_uniform_(self.direction, 0.25)

    def forward(self, embedding: Tensor) -> Tensor:
        return F.cosine_similarity(embedding, self.direction)

    def loss(self, embedding: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
        cosine = self(embedding)
        violation = torch.where(labels == 1, self.bonafide_margin - cosine, cosine - self.spoof_margin)
        of_items = cosine.new_tensor(weights)[labels]
        return (of_items * F.softplus(self.scale * violation)).sum() / of_items.sum()
