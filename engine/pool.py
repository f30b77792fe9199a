"""A pool of worker processes that survives what its tasks do: crashes, hangs, exceptions.

A task names a function and passes paths and settings, not arrays. A worker serves one task after another, so
that a model is loaded once; when it crashes or hangs, the one task it held is marked and another worker takes
its place. The longest tasks go first, so that none is left alone at the end.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from doppelbench.engine import worker as worker_module
from doppelbench.engine.errors import ConfigError, EngineError
from doppelbench.engine.threads import thread_environment

ResultStatus = Literal["ok", "timeout", "crashed", "error"]
START_SECONDS = 600.0
FAREWELL_SECONDS = 2.0
TICK = 0.5
CHUNK = 1 << 20


class PoolError(EngineError):
    """The workers cannot be started."""


@dataclass(frozen=True, slots=True)
class Task:
    """One call.

    Attributes:
        key: names the task in its result; no two tasks share one.
        function: ``module:name`` of a function that can be imported.
        arguments: keyword arguments that JSON can hold.
        cost: expected cost in any unit; larger ones start first.
        accelerated: whether it runs a model that gains from a GPU; a cluster gives it one where it can.
    """

    key: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 1.0
    accelerated: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a task.

    Attributes:
        key: of the task.
        status: ``ok``; ``error`` for an exception; ``crashed`` when the process died or ran out of memory;
            ``timeout`` when it was ended for taking too long.
        value: what the function returned, as JSON brings it back; None unless ``ok``.
        reason: one line; empty when ``ok``.
        seconds: time in the function, or until the process ended.
        peak_memory: most bytes the worker has used so far; 0 when unknown.
    """

    key: str
    status: ResultStatus
    value: Any = None
    reason: str = ""
    seconds: float = 0.0
    peak_memory: int = 0


def run_pool(
    tasks: Sequence[Task],
    jobs: int | None = None,
    timeout: float | None = None,
    *,
    initializer: str | None = None,
    initializer_arguments: Mapping[str, Any] | None = None,
    threads: int = 1,
    in_process: bool = False,
    start_timeout: float = START_SECONDS,
) -> Iterator[Result]:
    """Run tasks in worker processes and yield their results as they complete.

    Closing the iterator, an exception in its consumer or an interrupt ends all workers and their children.

    Args:
        tasks: what to run.
        jobs: workers; None for one a core this process may use.
        timeout: seconds a task may take, the loading of models within it included; None for no limit.
        initializer: ``module:name`` of a function that every worker calls first.
        initializer_arguments: its keyword arguments.
        threads: compute threads of each worker.
        in_process: run everything here, without workers and their protection, for debugging.
        start_timeout: seconds a worker may take to start and initialise.

    Raises:
        ConfigError: two tasks share a key, or a number is out of range.
        PoolError: a worker cannot be started or its initializer fails.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs is {jobs}; it must be at least 1")
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"timeout is {timeout}; it must be above 0, or None")
    keys = [task.key for task in tasks]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigError(f"two tasks of a pool have the key {twice!r}")
    ordered = sorted(tasks, key=lambda task: -task.cost)
    start = _Start(initializer, dict(initializer_arguments or {}), threads, start_timeout)
    if in_process:
        return _run_here(ordered, start)
    return _run_in_workers(ordered, min(jobs or available_cores(), len(ordered)), timeout, start)


class Station:
    """One worker process that serves task after task and is replaced when a task kills it."""

    def __init__(
        self,
        *,
        timeout: float | None = None,
        initializer: str | None = None,
        initializer_arguments: Mapping[str, Any] | None = None,
        threads: int = 1,
        start_timeout: float = START_SECONDS,
    ) -> None:
        """Take the options of :func:`run_pool`; the process starts with the first task."""
        self._start = _Start(initializer, dict(initializer_arguments or {}), threads, start_timeout)
        self._timeout = timeout
        self._worker: _Worker | None = None

    def run(self, task: Task) -> Result:
        """Run one task and return what became of it.

        Raises:
            PoolError: the process cannot be started or its initializer fails.
        """
        waiting = [task]
        while True:
            if self._worker is None or (self._worker.gone and self._worker.task is None):
                self.close()
                self._worker = _Worker(self._start)
            _hand_out(waiting, self._worker)
            for worker in _ready([self._worker], _wait_for([self._worker])):
                worker.receive()
            result = self._worker.result(self._timeout)
            if result is not None:
                return result

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class _Start:
    initializer: str | None
    arguments: dict[str, Any]
    threads: int
    timeout: float


def _run_here(tasks: Sequence[Task], start: _Start) -> Iterator[Result]:
    if start.initializer:
        worker_module.load_function(start.initializer)(**start.arguments)
    for task in tasks:
        answer = worker_module.run_task(task.function, json.loads(json.dumps(dict(task.arguments))))
        yield Result(task.key, answer["status"], answer["value"], answer["reason"], answer["seconds"])


def _run_in_workers(
    tasks: Sequence[Task], jobs: int, timeout: float | None, start: _Start
) -> Iterator[Result]:
    waiting = list(reversed(tasks))
    workers: list[_Worker] = []
    try:
        workers.extend(_Worker(start) for _ in range(jobs))
        while waiting or any(worker.task for worker in workers):
            for worker in workers:
                _hand_out(waiting, worker)
            for worker in _ready(workers, _wait_for(workers)):
                worker.receive()
            for position, worker in enumerate(workers):
                result = worker.result(timeout)
                if worker.gone and waiting:
                    worker.close()
                    workers[position] = worker = _Worker(start)
                if result is not None:
                    _hand_out(waiting, worker)
                    yield result
    finally:
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            worker.close()


def _hand_out(waiting: list[Task], worker: "_Worker") -> None:
    if waiting and worker.idle and worker.send(waiting[-1]):
        waiting.pop()


def _wait_for(workers: "Sequence[_Worker]") -> float:
    return 0.0 if any(worker.gone and worker.task for worker in workers) else TICK


def _ready(workers: "Sequence[_Worker]", seconds: float) -> "list[_Worker]":
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if not worker.gone:
                selector.register(worker.answers, selectors.EVENT_READ, worker)
        return [key.data for key, _ in selector.select(seconds)] if selector.get_map() else []


class _Worker:
    """One worker process, the task it holds and the answer that is coming in."""

    def __init__(self, start: _Start) -> None:
        self.task: Task | None = None
        self.gone = False
        self._ready = False
        self._start = start
        self._buffer = b""
        self._since = time.monotonic()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        environment = {**os.environ, **thread_environment(start.threads), "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(worker_module.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            # A group of its own, so that ending a worker also ends what its task started, and so that Ctrl-C
            # reaches this process alone.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.answers = self._process.stdout
        hello = {"path": sys.path, "initializer": start.initializer, "arguments": start.arguments}
        self._write(hello)

    @property
    def idle(self) -> bool:
        return self._ready and self.task is None and not self.gone

    def send(self, task: Task) -> bool:
        """Hand over a task; False when the process died since its last one."""
        self._since = time.monotonic()
        if self._write({"function": task.function, "arguments": dict(task.arguments)}):
            self.task = task
        return self.task is not None

    def receive(self) -> None:
        """Take what the process has written; an end of file means that it is dead."""
        chunk = os.read(self.answers.fileno(), CHUNK)
        self._buffer += chunk
        self.gone = self.gone or not chunk

    def result(self, timeout: float | None) -> Result | None:
        """Return the result of the task in hand once there is one.

        Raises:
            PoolError: the process could not get ready.
        """
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            answer = json.loads(line)
            if not answer.get("ready"):
                return self._answered(answer)
            if answer["status"] != "ok":
                raise PoolError(f"{self._start.initializer} failed in a worker: {answer['reason']}")
            self._ready = True
        if not self.gone and self._process.poll() is not None and not self._more():
            self.gone = True
        seconds = time.monotonic() - self._since
        if self.gone and not self._ready:
            raise PoolError(f"a worker ended while starting: {self._death()}")
        if not self.gone and not self._ready and seconds > self._start.timeout:
            raise PoolError(f"a worker was not ready after {self._start.timeout:g} s")
        if self.task is None:
            return None
        if self.gone:
            return self._finish(Result(self.task.key, "crashed", None, self._death(), seconds))
        if timeout is not None and seconds > timeout and not self._buffer and not self._more():
            self.kill()
            self.gone = True
            reason = f"ended after {timeout:g} s"
            return self._finish(Result(self.task.key, "timeout", None, reason, seconds))
        return None

    def kill(self) -> None:
        """End the process and everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def dismiss(self) -> None:
        """Tell an idle process to end by itself."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def close(self) -> None:
        """Wait for an idle process to end by itself, end any other, and leave none behind."""
        self.dismiss()
        if self.idle:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(FAREWELL_SECONDS)
        self.kill()
        self.gone = True
        self.answers.close()
        self._errors.close()

    def _answered(self, answer: Mapping[str, Any]) -> Result:
        assert self.task is not None
        if answer["status"] == "crashed":
            self.gone = True
        keys = ("status", "value", "reason", "seconds", "peak_memory")
        return self._finish(Result(self.task.key, **{key: answer[key] for key in keys}))

    def _finish(self, result: Result) -> Result:
        self.task = None
        return result

    def _more(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _death(self) -> str:
        try:
            code = self._process.wait(FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its pipe"
        if code < 0:
            name = signal.Signals(-code).name
            how = f"ended by {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")
        else:
            how = f"exited with code {code}"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return f"{how}: {lines[-1].strip()[:200]}" if lines else how

    def _write(self, message: Mapping[str, Any]) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.gone = True
        return not self.gone
