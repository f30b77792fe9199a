"""Progress of a training on standard error: a bar on a terminal, else one plain line now and then."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_EVERY = 10.0
BAR_EVERY = 0.2


class TrainingProgress:
    """Shows step, rate, losses and the time left; the end is known by steps, by seconds, or by both."""

    def __init__(
        self,
        max_steps: int | None,
        max_seconds: float | None,
        title: str = "training",
        stream: TextIO | None = None,
    ) -> None:
        """Write to ``stream``, standard error by default."""
        self.max_steps = max_steps
        self.max_seconds = max_seconds
        self.title = title
        self.stream = stream or sys.stderr
        self._bar: Progress | None = None
        self._started = time.monotonic()
        self._first_step: int | None = None
        self._shown = self._started
        self._losses: Mapping[str, float] = {}

    def start(self, step: int) -> None:
        """Begin at a step, which is not zero when a training is resumed."""
        self._started = self._shown = time.monotonic()
        self._first_step = step
        if self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}"))
            self._bar = Progress(*columns, console=Console(file=self.stream), transient=True)
            self._bar.start()
            self._bar.add_task(self.title, total=1.0, line="")

    def update(self, step: int, elapsed: float, losses: Mapping[str, float] | None = None) -> None:
        """Tell of a finished step; ``elapsed`` is the training time so far, earlier sessions included."""
        self._losses = losses or self._losses
        now = time.monotonic()
        if now - self._shown < (BAR_EVERY if self._bar else PLAIN_EVERY):
            return
        self._shown = now
        line = self._line(step, elapsed, now)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=self._share(step, elapsed), line=line)
        else:
            self.stream.write(f"{self.title}: {line}\n")
            self.stream.flush()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _share(self, step: int, elapsed: float) -> float:
        by_steps = step / self.max_steps if self.max_steps else 0.0
        by_seconds = elapsed / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(by_steps, by_seconds))

    def _line(self, step: int, elapsed: float, now: float) -> str:
        rate = (step - (self._first_step or 0)) / max(now - self._started, 1e-9)
        parts = [f"step {step}" + (f" of {self.max_steps}" if self.max_steps else ""), f"{rate:.3g} steps/s"]
        parts += [f"{name} {value:.4g}" for name, value in list(self._losses.items())[:4]]
        left = [(self.max_steps - step) / rate] if self.max_steps and rate else []
        left += [self.max_seconds - elapsed] if self.max_seconds else []
        if left:
            parts.append(f"{duration(max(0.0, min(left)))} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration for people: ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
