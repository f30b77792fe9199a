"""The parts that Lightning drives: our step counter, the checkpoints, the loaders and the log.

Importing this module loads torch and Lightning; :mod:`doppelbench.engine.trainer` does so when needed.
"""

import csv
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from doppelbench.engine.checkpoint import read_checkpoint, write_checkpoint
from doppelbench.engine.data import StepData, batches_from
from doppelbench.engine.errors import TrainingError
from doppelbench.engine.progress import TrainingProgress

if TYPE_CHECKING:
    from doppelbench.engine.trainer import TrainerSettings


class SafetensorsCheckpoints(CheckpointIO):
    """Lightning's checkpoints as one safetensors file, never a pickle."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write the file; it appears whole or not at all."""
        step = checkpoint["callbacks"][StepLoop.__qualname__]["step"]
        write_checkpoint(Path(path), checkpoint, {"step": str(step)})

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read the file onto the CPU; Lightning moves what belongs on the device."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)


class StepLoop(lightning.Callback):
    """Counts steps, sets the random state of each, saves, logs, shows progress, and ends the training."""

    def __init__(
        self,
        settings: "TrainerSettings",
        path_of: Callable[[int], Path],
        saved: Callable[[], None],
        start: int,
    ) -> None:
        """Take over at ``start``; ``path_of`` names a step's checkpoint, ``saved`` is told of each."""
        self.settings = settings
        self.step = start
        self.interrupted = False
        self.stopped_by = ""
        self.losses: dict[str, float] = {}
        self._path_of = path_of
        self._saved = saved
        self._start = start
        self._saved_at = start
        self._seconds_before = 0.0
        self._began = math.nan
        self._ended: float | None = None
        self._log: TrainingLog | None = None
        self._progress: TrainingProgress | None = None

    @property
    def state_key(self) -> str:
        """Name of this callback's state in a checkpoint."""
        return type(self).__qualname__

    @property
    def session_seconds(self) -> float:
        """Training time of this session."""
        if math.isnan(self._began):
            return 0.0
        return (self._ended or time.monotonic()) - self._began

    @property
    def elapsed(self) -> float:
        """Training time of all sessions."""
        return self._seconds_before + self.session_seconds

    @property
    def rate(self) -> float:
        """Steps a second in this session."""
        return (self.step - self._start) / self.session_seconds if self.session_seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the counters to keep."""
        return {"step": self.step, "seconds": self.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the counters of a checkpoint."""
        self.step = int(state_dict["step"])
        self._seconds_before = float(state_dict["seconds"])

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write Lightning's own counters as they are between two steps of an epoch that does not end.

        Lightning has several notions of where a checkpoint was taken and corrects its counters for each when
        it resumes. We always resume between two steps, whichever hook the checkpoint was taken in.
        """
        fit = checkpoint["loops"]["fit_loop"]
        batches = fit["epoch_loop.batch_progress"]
        for part in ("total", "current"):
            batches[part] = dict.fromkeys(batches[part], self.step)
            fit["epoch_progress"][part].update(ready=1, started=1, processed=0, completed=0)
        batches["is_last_batch"] = False
        fit["epoch_loop.state_dict"]["_batches_that_stepped"] = self.step

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the log and start the clock."""
        self._began = time.monotonic()
        if trainer.is_global_zero:
            self._log = TrainingLog(self.settings.directory, self.step)
            if self.settings.progress:
                self._progress = TrainingProgress(self.settings.max_steps, self.settings.max_seconds)
                self._progress.start(self.step)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time, as nothing of the coming step has happened yet, and set its random state."""
        if self.step > self._saved_at and self.step % self.settings.checkpoint_every == 0:
            self._save(trainer)
        sequence = np.random.SeedSequence([self.settings.seed, self.step, trainer.global_rank])
        _set_random_state(int(sequence.generate_state(1, np.uint64)[0]), pl_module.device.type)

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Clip here, because Lightning refuses to clip for a module that steps its optimisers itself."""
        if self.settings.gradient_clip is not None:
            parameters = [value for group in optimizer.param_groups for value in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.settings.gradient_clip)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the step, log it when it is time, and end the training when it is done."""
        self.step += 1
        self.stopped_by = self._limit_reached(trainer)
        if self.stopped_by or self.interrupted:
            trainer.should_stop = True
        if self.step % self.settings.log_every == 0 or self.stopped_by or self.step == 1:
            self._record(trainer, outputs)
        if self._progress:
            self._progress.update(self.step, self.elapsed, self.losses)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the last step."""
        self._ended = time.monotonic()
        if self.step > self._saved_at:
            self._save(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Save at SIGTERM, which Lightning raises between two steps; within a step the state is torn."""
        if isinstance(exception, KeyboardInterrupt):
            self.interrupted = True
        if isinstance(exception, SIGTERMException) and self.step > self._saved_at:
            self._save(trainer)

    def close(self) -> None:
        """Close the log and take the progress bar away."""
        if self._ended is None:
            self._ended = time.monotonic()
        if self._progress:
            self._progress.close()
        if self._log:
            self._log.close()

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self._path_of(self.step))
        self._saved_at = self.step
        if trainer.is_global_zero:
            self._saved()

    def _limit_reached(self, trainer: lightning.Trainer) -> str:
        if self.settings.max_steps is not None and self.step >= self.settings.max_steps:
            return "max_steps"
        if self.settings.max_seconds is None:
            return ""
        late = self.elapsed >= self.settings.max_seconds
        if trainer.world_size > 1:
            late = trainer.strategy.reduce_boolean_decision(late, all=False)
        return "max_seconds" if late else ""

    def _record(self, trainer: lightning.Trainer, outputs: Any) -> None:
        values: dict[str, Any] = dict(trainer.callback_metrics)
        if "loss" not in values and isinstance(outputs, Mapping) and "loss" in outputs:
            values["loss"] = outputs["loss"]
        self.losses = {name: float(value) for name, value in values.items()}
        wrong = [name for name, value in self.losses.items() if not math.isfinite(value)]
        if wrong:
            raise TrainingError(
                f"{', '.join(wrong)} is not finite at step {self.step}; the checkpoint before it is kept in "
                f"{self.settings.directory}; a smaller learning rate, gradient_clip or "
                "precision='32-true' may help"
            )
        if self._log:
            rates = {
                f"learning_rate_{index}": float(optimizer.param_groups[0]["lr"])
                for index, optimizer in enumerate(trainer.optimizers)
            }
            self._log.write(self.step, {**self.losses, **rates, "steps_per_second": self.rate})


class TrainingLog:
    """``log.csv`` (a row per step and metric) and TensorBoard files, without steps that a resume repeats."""

    HEADER = ("step", "metric", "value")

    def __init__(self, directory: Path, step: int) -> None:
        """Continue the log after ``step``."""
        from torch.utils.tensorboard import SummaryWriter

        path = directory / "log.csv"
        kept: list[list[str]] = []
        if path.is_file():
            with path.open(newline="") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(self.HEADER)]
            kept = [row for row in rows if row[0].isdigit() and int(row[0]) <= step]
        self._file = path.open("w", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerows([self.HEADER, *kept])
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row for each value."""
        for name, value in values.items():
            self._rows.writerow([step, name, f"{value:.8g}"])
            self._board.add_scalar(name, value, step)
        self._file.flush()

    def close(self) -> None:
        """Finish the files."""
        self._file.close()
        self._board.close()


class StepLoaders(lightning.LightningDataModule):
    """A loader that begins at a step; the rank is known only once Lightning has started its processes."""

    def __init__(self, data: StepData, start: int, workers: int, pin_memory: bool) -> None:
        """Serve ``data`` from step ``start`` on."""
        super().__init__()
        self.data = data
        self.start = start
        self.workers = workers
        self.pin_memory = pin_memory

    def train_dataloader(self) -> DataLoader:
        """Return the loader of this process."""
        trainer = self.trainer
        assert trainer is not None
        return DataLoader(
            _Steps(self.data, self.start, trainer.global_rank, trainer.world_size),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=self.pin_memory,
            persistent_workers=self.workers > 0,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_leave_interrupts_to_parent,
        )


class _Steps(IterableDataset):
    def __init__(self, data: StepData, start: int, rank: int, world: int) -> None:
        self.data = data
        self.start = start
        self.rank = rank
        self.world = world

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        return batches_from(self.data, self.start, self.rank, self.world, worker, workers)


def _set_random_state(seed: int, device: str) -> None:
    # Not torch.manual_seed: for every kind of accelerator that is absent it queues a call with a formatted
    # stack, at each step, for good.
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.manual_seed(seed)
    elif device == "mps":
        torch.mps.manual_seed(seed)


def _leave_interrupts_to_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
