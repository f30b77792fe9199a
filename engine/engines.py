"""Where tasks run: on this machine, or on a Ray cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from doppelbench.engine.pool import Result, Task, run_pool

EngineName = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class Engine:
    """A choice of where tasks run.

    Attributes:
        name: ``local`` for processes of this machine, ``ray`` for a cluster.
        jobs: worker processes; None for one a core.
        address: of the cluster, see :func:`doppelbench.engine.cluster.run_cluster`.
    """

    name: EngineName = "local"
    jobs: int | None = None
    address: str | None = None

    def run(self, tasks: Sequence[Task], *, timeout: float | None = None) -> Iterator[Result]:
        """Run tasks and yield their results as they complete; items do not depend on where they ran.

        Raises:
            EngineError: workers or cluster cannot be started.
        """
        if self.name == "local":
            return run_pool(tasks, jobs=self.jobs, timeout=timeout)
        from doppelbench.engine.cluster import run_cluster

        ordered = sorted(tasks, key=lambda task: -task.cost)
        return run_cluster(ordered, address=self.address, jobs=self.jobs, timeout=timeout)
