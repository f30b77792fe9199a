"""The tasks of a pool on the machines of a Ray cluster.

Every slot of the cluster is an actor that owns one worker process
(:class:`~doppelbench.engine.pool.Station`): the process loads a model once and serves task after task, and a
task that crashes or hangs costs itself alone, as on one machine. Tasks travel in chunks. The chunks of a
machine that dies are given to others. The driver holds a bounded window of chunks, whatever their number:
tasks are taken from their iterator when there is room, and results are handed on as they come.

The machines see the same files under the same paths (a shared file system), because tasks carry paths.
"""

import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from doppelbench.engine.errors import ConfigError, DependencyError, EngineError
from doppelbench.engine.pool import Result, Station, Task, available_cores

CHUNK = 8
# Chunks that wait at an actor while it works, so that it never waits for the driver.
QUEUED = 2
RETRIES = 3
# Models share a GPU: a recogniser and a speaker encoder leave most of it free.
ACTORS_PER_GPU = 4


class ClusterError(EngineError):
    """The cluster cannot be reached, or no machine of it is left."""

    exit_code = 4


@dataclass
class _Chunk:
    tasks: list[Task]
    failures: int = 0


@dataclass
class _Slot:
    """An actor and what it was given; ``accelerated`` when it holds a share of a GPU."""

    actor: Any
    accelerated: bool
    chunks: deque[Any] = field(default_factory=deque)


def run_cluster(
    tasks: Iterable[Task],
    *,
    address: str | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    threads: int = 1,
    chunk: int = CHUNK,
    retries: int = RETRIES,
) -> Iterator[Result]:
    """Run tasks on a Ray cluster and yield their results as they complete.

    Args:
        tasks: taken as there is room; an iterator of any length keeps the driver small.
        address: ``host:port`` of a cluster, ``auto`` for the one this machine belongs to, or None for one of
            this machine alone.
        jobs: actors at most; None for one a core of the cluster.
        timeout: seconds a task may take; None for no limit.
        threads: compute threads of each worker process.
        chunk: tasks that travel together.
        retries: how often a chunk is given to another machine before its tasks count as crashed.

    Raises:
        DependencyError: Ray is not installed.
        ConfigError: a number is out of range.
        ClusterError: the cluster cannot be reached, or all of its machines are gone.
    """
    if chunk < 1 or retries < 0 or (jobs is not None and jobs < 1):
        raise ConfigError(f"chunk is {chunk}, retries {retries}, jobs {jobs}; each must be positive")
    ray = _ray()
    with contextlib.ExitStack() as ending:
        if not ray.is_initialized():
            ending.enter_context(_termination_handler_kept())
            _connect(ray, address, jobs)
            ending.callback(ray.shutdown)
        yield from _Driver(ray, jobs, timeout, threads, chunk, retries).run(tasks)


@contextlib.contextmanager
def _termination_handler_kept() -> Iterator[None]:
    """Ray takes over SIGTERM when it connects and does not give it back; a training would lose its step."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ray() -> Any:
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError as error:
        raise DependencyError(
            "the engine ray needs the package ray: pip install 'doppelbench[cluster]'"
        ) from error
    return ray


def _connect(ray: Any, address: str | None, jobs: int | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        # The loopback address keeps a cluster of this machine alone off the network.
        options |= {
            "num_cpus": jobs or available_cores(),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        place = address or "this machine"
        raise ClusterError(
            f"no Ray cluster can be reached at {place}: {str(error).splitlines()[0]}"
        ) from None


class _Serving:
    """What runs on a machine of the cluster: one worker process."""

    def __init__(self, path: list[str], environment: Mapping[str, str], options: Mapping[str, Any]) -> None:
        sys.path[:] = list(dict.fromkeys([*path, *sys.path]))
        os.environ.update(environment)
        self.station = Station(**options)

    def serve(self, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [asdict(self.station.run(Task(**task))) for task in tasks]


class _Driver:
    def __init__(
        self, ray: Any, jobs: int | None, timeout: float | None, threads: int, chunk: int, retries: int
    ) -> None:
        self.ray = ray
        self.options = {"timeout": timeout, "threads": threads}
        self.chunk = chunk
        self.retries = retries
        resources = ray.cluster_resources()
        count = min(jobs or sys.maxsize, max(1, int(resources.get("CPU", 1))))
        gpus = int(resources.get("GPU", 0))
        on_gpu = min(gpus * ACTORS_PER_GPU, max(1, count // 2)) if gpus else 0
        self.slots = [self._slot(False) for _ in range(max(1, count - on_gpu))]
        self.slots += [self._slot(True) for _ in range(on_gpu)]
        self.lost: list[_Chunk] = []
        self.flights: dict[Any, tuple[_Slot, _Chunk]] = {}

    def _slot(self, accelerated: bool) -> _Slot:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("DOPPELBENCH_", "PYTHONPATH"))
        }
        kind = self.ray.remote(_Serving).options(
            num_cpus=1, num_gpus=1 / ACTORS_PER_GPU if accelerated else 0, max_restarts=0
        )
        return _Slot(kind.remote(list(sys.path), environment, self.options), accelerated)

    def run(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Hand out chunks while there is room, and yield results as they come."""
        source = _chunks(tasks, self.chunk)
        exhausted = False
        try:
            while True:
                while not exhausted and not self.lost and self._room():
                    chunk = next(source, None)
                    if chunk is None:
                        exhausted = True
                    else:
                        self._send(chunk)
                while self.lost and self._room():
                    self._send(self.lost.pop())
                if not self.flights:
                    return
                done, _ = self.ray.wait(list(self.flights), num_returns=1)
                for reference in done:
                    yield from self._land(reference)
        finally:
            for slot in self.slots:
                with contextlib.suppress(Exception):
                    self.ray.kill(slot.actor)

    def _room(self) -> bool:
        return any(len(slot.chunks) < QUEUED for slot in self.slots)

    def _send(self, chunk: _Chunk) -> None:
        wanted = chunk.tasks[0].accelerated and any(slot.accelerated for slot in self.slots)
        fitting = [slot for slot in self.slots if slot.accelerated == wanted] or self.slots
        slot = min(fitting, key=lambda slot: len(slot.chunks))
        reference = slot.actor.serve.remote([asdict(task) for task in chunk.tasks])
        slot.chunks.append(reference)
        self.flights[reference] = (slot, chunk)

    def _land(self, reference: Any) -> Iterator[Result]:
        slot, chunk = self.flights.pop(reference)
        slot.chunks.remove(reference)
        try:
            answers = self.ray.get(reference)
        except self.ray.exceptions.RayActorError:
            self._drop(slot)
            chunk.failures += 1
            if chunk.failures <= self.retries:
                self.lost.append(chunk)
                return
            reason = f"the machine died {chunk.failures} times while this chunk was on it"
            answers = [{"key": task.key, "status": "crashed", "reason": reason} for task in chunk.tasks]
        for answer in answers:
            yield Result(**answer)

    def _drop(self, slot: _Slot) -> None:
        """Forget a dead actor; what waits for it lands by itself, and a last one is replaced."""
        if slot in self.slots:
            self.slots.remove(slot)
        if not self.slots:
            if not self.ray.cluster_resources().get("CPU"):
                raise ClusterError("no machine of the cluster is left; the same command goes on where it was")
            self.slots.append(self._slot(False))


def _chunks(tasks: Iterable[Task], size: int) -> Iterator[_Chunk]:
    """Cut tasks into chunks of one kind; an order by cost is the caller's."""
    held: dict[bool, list[Task]] = {False: [], True: []}
    iterator = iter(tasks)
    while block := list(islice(iterator, size)):
        for task in block:
            own = held[task.accelerated]
            own.append(task)
            if len(own) == size:
                yield _Chunk(own.copy())
                own.clear()
    for own in held.values():
        if own:
            yield _Chunk(own)
