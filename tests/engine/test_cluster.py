"""A Ray cluster of several nodes on this machine: the same results as the pool, also when a node dies."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from doppelbench.engine.cluster import run_cluster
from doppelbench.engine.pool import Task, run_pool

pytest.importorskip("ray", reason="pip install 'doppelbench[cluster]'")


def tasks(count: int, seconds: float = 0.0):
    for number in range(count):
        yield Task(str(number), "pool_tasks:square", {"number": number, "seconds": seconds})


def values(results) -> dict[str, object]:
    return {result.key: (result.status, result.value) for result in results}


@pytest.fixture
def cluster():
    """Three nodes of one core each; a node takes SIGTERM over in the process that starts it."""
    import ray
    from ray.cluster_utils import Cluster

    before = signal.getsignal(signal.SIGTERM)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made
    ray.shutdown()
    made.shutdown()
    signal.signal(signal.SIGTERM, before)


def test_a_cluster_gives_what_the_pool_gives_also_when_a_node_is_killed(cluster):
    expected = values(run_pool(list(tasks(60)), jobs=1))
    results = []
    for result in run_cluster(tasks(60, seconds=0.1), address=cluster.address, chunk=2):
        results.append(result)
        if len(results) == 12:
            cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)
    assert len(results) == 60
    assert values(results) == expected


def test_what_a_task_does_costs_itself_alone():
    bad = [
        Task("segfault", "pool_tasks:segfault"),
        Task("fail", "pool_tasks:fail"),
        Task("slow", "pool_tasks:square", {"number": 2, "seconds": 60.0}),
    ]
    good = list(tasks(5))
    outcome = {
        result.key: result.status for result in run_cluster([*bad, *good], jobs=2, chunk=4, timeout=3.0)
    }
    assert outcome == {
        "segfault": "crashed",
        "fail": "error",
        "slow": "timeout",
        **{task.key: "ok" for task in good},
    }


def test_a_model_is_loaded_once_by_each_process():
    waiting = [Task(str(number), "pool_tasks:loaded", accelerated=number % 2 == 0) for number in range(12)]
    results = list(run_cluster(waiting, jobs=2, chunk=2))
    by_process: dict[int, list[int]] = {}
    for result in results:
        by_process.setdefault(result.value["process"], []).append(len(result.value["loaded"]))
    assert len(by_process) <= 2
    for counts in by_process.values():
        assert sorted(counts) == list(range(1, len(counts) + 1))


def test_the_signal_handler_of_the_process_is_left_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    assert len(list(run_cluster(tasks(2), jobs=1))) == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_chunks_hold_tasks_of_one_kind():
    from doppelbench.engine.cluster import _chunks

    mixed = [replace(task, accelerated=int(task.key) % 3 == 0) for task in tasks(20)]
    chunks = list(_chunks(mixed, 4))
    assert sorted(int(task.key) for chunk in chunks for task in chunk.tasks) == list(range(20))
    assert all(len({task.accelerated for task in chunk.tasks}) == 1 for chunk in chunks)
    assert all(len(chunk.tasks) <= 4 for chunk in chunks)


MEASURE = """
import resource, sys
from doppelbench.engine.cluster import run_cluster
from doppelbench.engine.pool import Task

def tasks(count):
    for number in range(count):
        yield Task(str(number), "pool_tasks:square", {"number": number})

count = sum(result.status == "ok" for result in run_cluster(tasks(int(sys.argv[1])), jobs=2, chunk=64))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(count, round(peak, 1))
"""


def driver_memory(count: int) -> tuple[int, float]:
    """Items done, and the most memory of the driver in MiB."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(count)],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    done, peak = result.stdout.split()
    return int(done), float(peak)


@pytest.mark.slow
def test_memory_of_the_driver_does_not_grow_with_the_items():
    few, many = driver_memory(1_000), driver_memory(100_000)
    print(f"driver memory: {few[1]} MiB for 1,000 items, {many[1]} MiB for 100,000")
    assert (few[0], many[0]) == (1_000, 100_000)
    assert many[1] < few[1] + 20
