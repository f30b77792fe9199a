"""The optimiser of both systems: AdamW whose learning rate rises in a straight line and falls along a
cosine."""

import math
from collections.abc import Iterable

import torch

from doppelbench.baselines.video_to_speech.network import SpeechNetwork
from doppelbench.baselines.video_to_speech.settings import VideoToSpeechSettings


def steps_of(network: SpeechNetwork, settings: VideoToSpeechSettings) -> int:
    """Steps of the training of a network on sound, or on films."""
    return settings.pretrain_steps if network.modality == "audio" else settings.max_steps


def speech_optimizer(
    network: SpeechNetwork, settings: VideoToSpeechSettings, betas: tuple[float, float]
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Optimiser and schedule of a network that hears sound, or sees films."""
    hears = network.modality == "audio"
    return warm_cosine(
        network.parameters(),
        rate=settings.pretrain_rate if hears else settings.learning_rate,
        betas=betas,
        decay=settings.weight_decay,
        warm_up=settings.warm_up,
        steps=steps_of(network, settings),
    )


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
