"""The optimiser of both systems: AdamW whose learning rate rises in a straight line and falls along a
cosine."""

import math
from collections.abc import Iterable

import torch


def warm_cosine(
    parameters: Iterable[torch.nn.Parameter],
    *,
    rate: float,
    betas: tuple[float, float],
    decay: float,
    warm_up: float,
    steps: int,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Make optimiser and schedule for the parameters that are trained.

    Args:
        parameters: those that want no gradient are passed over.
        rate: learning rate at its highest.
        betas: of AdamW.
        decay: of the weights.
        warm_up: share of the steps in which the rate rises.
        steps: at which it has fallen to 0, where it stays.
    """
    trained = [value for value in parameters if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, rate, betas, weight_decay=decay)
    rising = max(1, round(warm_up * steps))

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)
