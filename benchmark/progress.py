"""Progress of the stages on standard error: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
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
