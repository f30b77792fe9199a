"""Progress of the stages on standard error: a bar on a terminal, a plain line now and then elsewhere."""

import csv
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_EVERY = 10.0


def say(message: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


class TaskProgress:
    """Counts finished tasks, with rate and time left."""

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self.done = 0
        self._started = self._shown = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._bar.add_task(self.title, total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self) -> None:
        """Count one more finished task."""
        self.done += 1
        now = time.monotonic()
        if self._bar:
            self._bar.advance(self._bar.task_ids[0])
        elif now - self._shown >= PLAIN_EVERY or self.done == self.total:
            self._shown = now
            rate = self.done / max(now - self._started, 1e-9)
            left = (self.total - self.done) / rate
            say(f"{self.title}: {self.done} of {self.total}, {rate:.3g} a second, {left:.0f} s left")


class TrainingWatch:
    """Tells every few seconds how far the trainings in worker processes are, from the logs they write."""

    def __init__(
        self, logs: Mapping[str, Path], steps: Mapping[str, int], every: float = PLAIN_EVERY
    ) -> None:
        """Watch ``log.csv`` files by the name of their training; ``steps`` says how many each will take."""
        self.logs = logs
        self.steps = steps
        self.every = every
        self._ended = threading.Event()
        self._shown: dict[str, str] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self.every):
            for name, path in self.logs.items():
                line = self.line(name, path)
                if line and line != self._shown.get(name):
                    self._shown[name] = line
                    say(line)

    def line(self, name: str, path: Path) -> str:
        """Return step, rate, loss and time left of one training; empty before its first line of the log."""
        newest: dict[str, float] = {}
        step = 0
        try:
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    newest[row["metric"]] = float(row["value"])
                    step = int(row["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        total, rate = self.steps[name], newest.get("steps_per_second", 0.0)
        if not step or step >= total:
            return ""
        parts = [f"{name}: step {step} of {total}", f"loss {newest.get('loss', float('nan')):.4f}"]
        if rate:
            parts += [f"{rate:.1f} steps/s", f"{(total - step) / rate:.0f} s left"]
        return ", ".join(parts)
