"""A network and a GAN with everything that makes exact resuming hard, trained here or in a child process."""

import os
import signal
import sys
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import nn

from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train


class Noise:
    key = "noise"

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at = kill_at

    def batch(self, step: int, rank: int, world: int) -> tuple[np.ndarray, np.ndarray]:
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        features = np.random.default_rng([1, step, rank]).normal(size=(8, 6)).astype(np.float32)
        return features, features.sum(1, keepdims=True)


class Network(lightning.LightningModule):
    """Dropout, batch normalisation, a hook after the step, a step and a plateau scheduler."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(6, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.ReLU(), nn.Linear(width, 1)
        )
        self.average = nn.Parameter(torch.zeros(width, 6), requires_grad=False)
        self.batch_numbers: list[int] = []

    def training_step(self, batch, batch_idx):
        self.batch_numbers.append(batch_idx)
        features, wanted = batch
        loss = ((self.layers(features) - wanted) ** 2).mean()
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, outputs, batch, batch_idx):
        with torch.no_grad():
            self.average.lerp_(self.layers[0].weight, 0.1)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        schedulers = [
            {
                "scheduler": torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 13),
                "interval": "step",
            },
            {
                "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2),
                "interval": "step",
                "monitor": "loss",
            },
        ]
        return [optimizer], schedulers


class Adversaries(lightning.LightningModule):
    """Two optimisers stepped by hand, the critic twice as often, spectral normalisation, random noise."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Linear(6, 1)
        self.critic = nn.Sequential(nn.utils.spectral_norm(nn.Linear(1, 8)), nn.ReLU(), nn.Linear(8, 1))
        self.norms: list[float] = []

    def training_step(self, batch, batch_idx):
        features, wanted = batch
        first, second = self.optimizers()
        scheduler = self.lr_schedulers()
        for _ in range(2):
            made = self.generator(features + torch.randn_like(features)).detach()
            critic_loss = (self.critic(made) - self.critic(wanted)).mean()
            second.zero_grad()
            self.manual_backward(critic_loss)
            second.step()
        loss = ((self.generator(features) - wanted) ** 2).mean() - 0.1 * self.critic(
            self.generator(features)
        ).mean()
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        gradient = [item.grad.norm() for item in self.generator.parameters()]
        self.norms.append(float(torch.stack(gradient).norm()))
        scheduler.step()
        self.log_dict({"generator": loss, "critic": critic_loss})

    def configure_optimizers(self):
        first = torch.optim.RMSprop(self.generator.parameters(), lr=1e-2)
        second = torch.optim.AdamW(self.critic.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.LambdaLR(first, lambda step: 0.99**step)
        return [first, second], [schedule]


MODULES = {"network": Network, "adversaries": Adversaries}


def new(name: str) -> lightning.LightningModule:
    with seeded(7):
        return MODULES[name]()


def run(
    name: str, directory: Path, max_steps: int = 40, kill_at: int | None = None, **settings
) -> tuple[lightning.LightningModule, TrainingRecord]:
    module = new(name)
    defaults = {"checkpoint_every": 7, "log_every": 5, "progress": False, "device": "cpu"}
    record = train(
        module, Noise(kill_at), TrainerSettings(directory, max_steps=max_steps, **{**defaults, **settings})
    )
    return module, record


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), kill_at=int(sys.argv[3]) if len(sys.argv) > 3 else None)
