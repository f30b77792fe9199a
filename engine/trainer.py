"""Training on Lightning that resumes exactly.

Three rules make a training that was killed and resumed end with the same weights, bit for bit on a CPU, as
one that was not: batches are a function of the step number, the random state is set from (seed, step, rank)
at every step, and a checkpoint is taken between two steps, with optimisers, schedulers and counters, and
appears whole or not at all.

Steps are our own count of batches. Lightning's ``global_step`` counts calls of every optimiser, so that a
training with two of them (a GAN) would end at half its steps.
"""

import contextlib
import json
import logging
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doppelbench.engine.data import ShuffledBatches, StepData
from doppelbench.engine.errors import CheckpointError, ConfigError, DependencyError
from doppelbench.engine.files import write_json
from doppelbench.engine.hashing import canonical, content_key
from doppelbench.engine.threads import limit_threads

if TYPE_CHECKING:
    import lightning

    from doppelbench.engine.loop import StepLoop

SCHEMA = 1
RECORD = "training.json"
CHECKPOINTS = "checkpoints"
CHECKPOINTS_KEPT = 2
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """How long, where and how a training runs; what is trained is the module's business.

    Attributes:
        directory: checkpoints, logs and the record go here; a training found here is resumed.
        max_steps: batches to train on; None leaves the end to ``max_seconds``.
        max_seconds: training time at most, earlier sessions of a resumed training counted in.
        device: ``auto`` (CUDA when there is one), ``cpu``, ``cuda`` or ``mps``.
        devices: how many devices a node, or ``auto``.
        nodes: machines.
        strategy: Lightning's name of the way to spread over devices.
        precision: ``auto`` (bfloat16 autocast on CUDA, else 32 bit) or Lightning's name of one.
        gradient_clip: largest norm of the gradients of each optimiser; None leaves them.
        checkpoint_every: steps between checkpoints.
        log_every: steps between lines of the log.
        seed: of everything random in training; the module's first weights are the caller's (:func:`seeded`).
        threads: compute threads of this process.
        workers: processes that prepare batches; 0 prepares them in this one.
        progress: whether to show progress on standard error.
        resume: whether to go on from what ``directory`` holds; False starts over and deletes it.
        features: folder of caches that trainings share; None keeps them in ``directory``.
    """

    directory: Path
    max_steps: int | None = None
    max_seconds: float | None = None
    device: str = "auto"
    devices: int | str = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "auto"
    gradient_clip: float | None = None
    checkpoint_every: int = 1000
    log_every: int = 50
    seed: int = 0
    threads: int = 1
    workers: int = 0
    progress: bool = True
    resume: bool = True
    features: Path | None = None

    @property
    def feature_folder(self) -> Path:
        """Where features are cached, by the content that they are made of."""
        return self.features or self.directory / "features"

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant.

        Raises:
            ConfigError: a number is out of range.
        """
        smallest = {
            "max_steps": 1,
            "checkpoint_every": 1,
            "log_every": 1,
            "threads": 1,
            "workers": 0,
            "nodes": 1,
        }
        for name, low in smallest.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{name} is {value}; it must be at least {low}")
        if self.device not in DEVICES:
            raise ConfigError(f"device is {self.device!r}; it must be one of {', '.join(DEVICES)}")
        for name in ("max_seconds", "gradient_clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value}; it must be above 0, or None")


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """What a training did.

    Attributes:
        steps: batches trained on.
        seconds: training time, all sessions together.
        steps_per_second: of the last session.
        peak_memory: most bytes in use, on the GPU when there is one, else by the process.
        losses: the last value of everything the module logged.
        device: name of the device.
        stopped_by: ``max_steps`` or ``max_seconds``.
        parameters: number of trained values.
    """

    steps: int
    seconds: float
    steps_per_second: float
    peak_memory: int
    losses: Mapping[str, float] = field(default_factory=dict)
    device: str = "cpu"
    stopped_by: str = "max_steps"
    parameters: int = 0


def train(
    module: "lightning.LightningModule",
    data: StepData | Sequence[Any],
    settings: TrainerSettings,
    *,
    batch_size: int | None = None,
) -> TrainingRecord:
    """Train a module or finish a training begun earlier; the weights are left in the module, on the CPU.

    Called again after it finished, it loads the weights and returns the record at once.

    Args:
        module: a LightningModule; ``training_step`` may use manual optimisation. Schedulers must have the
            interval ``step``: there are no epochs.
        data: batches by step (:class:`StepData`), or a map-style data set with ``batch_size``.
        settings: how long, where and how.
        batch_size: items a batch and process, for a map-style data set.

    Raises:
        ConfigError: the settings name no end, or the directory holds another training.
        TrainingError: a loss is no longer finite.
        CheckpointError: a checkpoint is damaged.
        KeyboardInterrupt: interrupted by the user, after the step in hand and its checkpoint were finished.
        SystemExit: ended by SIGTERM, likewise.
    """
    if settings.max_steps is None and settings.max_seconds is None:
        raise ConfigError("a training needs max_steps or max_seconds, else it would never end")
    steps = _step_data(data, settings.seed, batch_size)
    identity = _identity(module, steps, settings)
    state = _TrainingFolder(settings.directory)
    if not settings.resume:
        state.clear()
    found = state.finished(identity, settings)
    if found is not None:
        module.load_state_dict(_module_state(state.newest_checkpoint()))
        return found
    state.begin(identity)
    limit_threads(settings.threads)
    with _quiet(), _own_randomness(settings):
        return _fit(module, steps, settings, state, identity)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give a module its first weights from a seed, and leave torch's global random state as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


class _TrainingFolder:
    """What a training directory holds and whether it belongs to this training."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checkpoints = directory / CHECKPOINTS

    def clear(self) -> None:
        import shutil

        (self.directory / RECORD).unlink(missing_ok=True)
        (self.directory / "log.csv").unlink(missing_ok=True)
        for folder in (self.checkpoints, self.directory / "tensorboard"):
            shutil.rmtree(folder, ignore_errors=True)

    def newest_checkpoint(self) -> Path | None:
        found = sorted(self.checkpoints.glob("step-*.safetensors"))
        return found[-1] if found else None

    def path_of(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:09d}.safetensors"

    def rotate(self, keep: int) -> None:
        for path in sorted(self.checkpoints.glob("step-*.safetensors"))[:-keep]:
            path.unlink(missing_ok=True)
        for path in self.checkpoints.glob(".*.part"):
            path.unlink(missing_ok=True)

    def read(self) -> dict[str, Any] | None:
        path = self.directory / RECORD
        if not path.is_file():
            return None
        try:
            record: dict[str, Any] = json.loads(path.read_text())
        except ValueError as error:
            raise ConfigError(
                f"{path} is damaged ({error}); train with resume=False to start over, or restore the file"
            ) from error
        if record.get("schema", 0) > SCHEMA:
            raise ConfigError(f"{path} was written by a newer doppelbench; update, or use another directory")
        return record

    def finished(self, identity: Mapping[str, Any], settings: TrainerSettings) -> TrainingRecord | None:
        """Return the record when there is nothing left to train.

        Raises:
            ConfigError: the directory holds another training, or a longer one.
        """
        found = self.read()
        if found is None:
            if self.newest_checkpoint():
                raise ConfigError(
                    f"{self.directory} has checkpoints but no {RECORD}, so it is unknown what was trained; "
                    "use another directory or resume=False"
                )
            return None
        differing = sorted(
            name
            for name in {*identity, *found["identity"]}
            if identity.get(name) != found["identity"].get(name)
        )
        if differing:
            raise ConfigError(
                f"{self.directory} holds a training with other {', '.join(differing)}; use another "
                "directory, or resume=False to replace it"
            )
        if "record" not in found:
            return None
        record = TrainingRecord(**found["record"])
        if settings.max_steps is not None and record.steps > settings.max_steps:
            raise ConfigError(
                f"{self.directory} is already trained for {record.steps} steps, more than the "
                f"{settings.max_steps} asked for; use another directory, or resume=False to replace it"
            )
        by_steps = settings.max_steps is not None and record.steps >= settings.max_steps
        by_seconds = settings.max_seconds is not None and record.seconds >= settings.max_seconds
        if not (by_steps or by_seconds):
            return None
        if self.newest_checkpoint() is None:
            raise ConfigError(
                f"{self.directory} is recorded as trained but its checkpoint is gone; train with resume=False"
            )
        return record

    def begin(self, identity: Mapping[str, Any]) -> None:
        write_json(self.directory / RECORD, {"schema": SCHEMA, "identity": identity})

    def finish(self, identity: Mapping[str, Any], record: TrainingRecord) -> None:
        write_json(
            self.directory / RECORD, {"schema": SCHEMA, "identity": identity, "record": asdict(record)}
        )


def _fit(
    module: "lightning.LightningModule",
    data: StepData,
    settings: TrainerSettings,
    folder: _TrainingFolder,
    identity: Mapping[str, Any],
) -> TrainingRecord:
    import lightning
    import torch

    from doppelbench.engine.checkpoint import read_note
    from doppelbench.engine.loop import SafetensorsCheckpoints, StepLoaders, StepLoop

    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    device = "cuda" if cuda else ("cpu" if settings.device == "auto" else settings.device)
    if cuda and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda' and torch finds no CUDA device here; use 'cpu' or 'auto'")
    precision = settings.precision
    if precision == "auto":
        precision = "bf16-mixed" if cuda else "32-true"
    checkpoint = folder.newest_checkpoint()
    start = _noted_step(checkpoint, read_note(checkpoint)) if checkpoint else 0
    loop = StepLoop(settings, folder.path_of, lambda: folder.rotate(CHECKPOINTS_KEPT), start)
    trainer = lightning.Trainer(
        accelerator=device,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=settings.strategy,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=-1,
        logger=False,
        callbacks=[loop],
        plugins=[SafetensorsCheckpoints()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
        default_root_dir=settings.directory,
    )
    loaders = StepLoaders(data, start, settings.workers, pin_memory=cuda)
    if cuda:
        torch.set_float32_matmul_precision("high")
        torch.cuda.reset_peak_memory_stats()
    with _interrupt_between_steps(loop):
        try:
            # The file is ours and holds no code; weights_only is torch's name for that and is passed through.
            trainer.fit(module, datamodule=loaders, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            # Lightning turns an interrupt inside a step into an exit of the whole program.
            if loop.interrupted:
                raise KeyboardInterrupt from None
            raise
        finally:
            loop.close()
    if loop.interrupted:
        raise KeyboardInterrupt
    record = TrainingRecord(
        steps=loop.step,
        seconds=round(loop.elapsed, 3),
        steps_per_second=round(loop.rate, 4),
        peak_memory=torch.cuda.max_memory_allocated() if cuda else _process_peak(),
        losses=loop.losses,
        device=torch.cuda.get_device_name() if cuda else device,
        stopped_by=loop.stopped_by,
        parameters=sum(item.numel() for item in module.parameters() if item.requires_grad),
    )
    module.to("cpu")
    if trainer.is_global_zero:
        folder.finish(identity, record)
        folder.rotate(1)
    return record


def _step_data(data: StepData | Sequence[Any], seed: int, batch_size: int | None) -> StepData:
    if isinstance(data, StepData):
        if batch_size is not None:
            raise ConfigError("batch_size is for a map-style data set; this data makes its own batches")
        return data
    if batch_size is None:
        raise ConfigError("a map-style data set needs batch_size")
    return ShuffledBatches(data, batch_size, seed)


def _identity(
    module: "lightning.LightningModule", data: StepData, settings: TrainerSettings
) -> dict[str, Any]:
    """Return what makes a training the same one; where and how long it runs is not part of it."""
    shapes = [[name, list(value.shape), str(value.dtype)] for name, value in module.state_dict().items()]
    return {
        "module": type(module).__qualname__,
        "hyperparameters": {name: _plain(value) for name, value in module.hparams.items()},
        "architecture": content_key(shapes),
        "data": str(getattr(data, "key", "")),
        "seed": settings.seed,
        "gradient_clip": settings.gradient_clip,
    }


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(canonical(value), allow_nan=False))
    except (TypeError, ValueError):
        return repr(value)


def _noted_step(path: Path, note: Mapping[str, str]) -> int:
    if not note.get("step", "").isdigit():
        raise CheckpointError(
            f"{path} does not say at which step it was taken; delete it to resume from the one before"
        )
    return int(note["step"])


def _module_state(path: Path | None) -> dict[str, Any]:
    from doppelbench.engine.checkpoint import read_checkpoint

    assert path is not None
    weights: dict[str, Any] = read_checkpoint(path)["state_dict"]
    return weights


def _process_peak() -> int:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


@contextlib.contextmanager
def _own_randomness(settings: TrainerSettings) -> Iterator[None]:
    """Every step sets torch's global random state; the caller gets back the one it had."""
    import torch

    cuda = settings.device in ("auto", "cuda") and torch.cuda.is_available()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if cuda else []):
        yield


@contextlib.contextmanager
def _interrupt_between_steps(loop: "StepLoop") -> Iterator[None]:
    """Let the first Ctrl-C end the training after the step in hand, so that the checkpoint is whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_interrupt(number: int, frame: Any) -> None:
        if loop.interrupted:
            raise KeyboardInterrupt
        loop.interrupted = True

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's tips and advice, which are about options set here, off the user's terminal."""
    try:
        import lightning  # noqa: F401
    except ImportError as error:
        raise DependencyError("training needs the package lightning: pip install lightning") from error
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
