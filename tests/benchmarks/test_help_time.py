"""``doppelbench --help`` answers in under half a second of CPU."""

import resource
import subprocess
import sys

import pytest

LIMIT_SECONDS = 0.5


def cpu_seconds_of_help() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "doppelbench.benchmark", "--help"], check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.benchmark(group="command line")
def test_help(benchmark) -> None:
    benchmark.pedantic(cpu_seconds_of_help, rounds=5, warmup_rounds=1)
    # Wall time is what the plugin reports; the bound is on CPU time, which a busy machine does not stretch.
    assert min(cpu_seconds_of_help() for _ in range(3)) < LIMIT_SECONDS
