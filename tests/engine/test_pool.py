"""One task's fate is its own, results do not depend on the workers, and no process is left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from doppelbench.engine.errors import ConfigError
from doppelbench.engine.pool import PoolError, Result, Task, run_pool


def task(key: str, function: str, cost: float = 1.0, **arguments) -> Task:
    return Task(key, f"pool_tasks:{function}", arguments, cost)


def outcome(tasks, **options) -> dict[str, Result]:
    return {result.key: result for result in run_pool(tasks, **options)}


@pytest.fixture(autouse=True)
def _no_process_is_left():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(number: int) -> bool:
    return psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE


def test_one_or_two_workers_or_none_and_any_order_give_the_same_values():
    tasks = [task(str(number), "square", number=number, cost=number % 5) for number in range(20)]
    expected = {str(number): {"square": number * number} for number in range(20)}
    for options in ({"jobs": 1}, {"jobs": 2}, {"in_process": True}):
        for order in (tasks, tasks[::-1]):
            found = outcome(order, **options)
            assert {key: result.value for key, result in found.items()} == expected
            assert {result.status for result in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("function", "arguments", "status", "reason"),
    [
        ("segfault", {}, "crashed", "SIGSEGV"),
        ("leave", {"code": 3}, "crashed", "exited with code 3: a library said why"),
        ("leave", {"code": 0}, "crashed", "exited with code 0"),
        ("exhaust", {}, "crashed", "MemoryError: no room"),
        ("fail", {}, "error", "ValueError: first line"),
        ("leave_politely", {}, "error", "SystemExit: 3"),
        ("no_json", {}, "error", "TypeError"),
        ("nowhere", {}, "error", "AttributeError"),
        ("square", {"wrong": 1}, "error", "TypeError"),
    ],
)
def test_what_befalls_one_task_is_told_and_spares_the_others(function, arguments, status, reason):
    tasks = [
        task("bad", function, cost=9, **arguments),
        *(task(str(n), "square", number=n) for n in range(3)),
    ]
    found = outcome(tasks, jobs=1)
    assert found["bad"].status == status
    assert reason in found["bad"].reason
    assert "\n" not in found["bad"].reason
    assert found["bad"].value is None
    assert [found[str(n)].value for n in range(3)] == [{"square": n * n} for n in range(3)]


def test_hang_is_ended_with_its_children_and_the_rest_goes_on(tmp_path):
    tasks = [task("hang", "hang", path=str(tmp_path / "pids"), cost=2), task("fine", "square", number=3)]
    found = outcome(tasks, jobs=1, timeout=1.5)
    assert found["hang"].status == "timeout"
    assert found["hang"].seconds >= 1.5
    assert found["fine"].value == {"square": 9}
    for number in (tmp_path / "pids").read_text().split():
        wait_until(lambda number=number: not alive(int(number)))


def test_every_task_may_crash():
    found = outcome([task(str(n), "segfault") for n in range(4)], jobs=2)
    assert {result.status for result in found.values()} == {"crashed"}
    assert len(found) == 4


def test_longest_task_starts_first():
    tasks = [task("short", "square", number=1, cost=1), task("long", "square", number=2, cost=5)]
    assert [result.key for result in run_pool(tasks, jobs=1)] == ["long", "short"]


def test_results_arrive_while_others_run():
    tasks = [task("slow", "square", number=1, seconds=30, cost=9), task("quick", "square", number=2)]
    began = time.monotonic()
    results = run_pool(tasks, jobs=2)
    assert next(results).key == "quick"
    results.close()
    assert time.monotonic() - began < 15


def test_worker_is_initialised_once_and_stays():
    options = {"initializer": "pool_tasks:load", "initializer_arguments": {"name": "model"}}
    found = outcome([task("a", "loaded", cost=2), task("b", "loaded")], jobs=1, **options)
    assert found["a"].value["loaded"] == ["model", "task"]
    assert found["b"].value["loaded"] == ["model", "task", "task"]
    assert found["a"].value["process"] == found["b"].value["process"] != os.getpid()
    assert found["a"].peak_memory > 1_000_000


def test_initializer_that_fails_or_dies_is_an_error_of_the_pool():
    with pytest.raises(PoolError, match=r"pool_tasks:fail failed.*ValueError: first line"):
        list(run_pool([task("a", "square", number=1)], jobs=1, initializer="pool_tasks:fail"))
    with pytest.raises(PoolError, match="SIGSEGV"):
        list(run_pool([task("a", "square", number=1)], jobs=1, initializer="pool_tasks:segfault"))


def test_consumer_that_fails_leaves_no_process(tmp_path):
    tasks = [
        task("hang", "hang", path=str(tmp_path / "pids"), cost=9),
        *(task(str(n), "square", number=n) for n in range(3)),
    ]
    results = run_pool(tasks, jobs=2)
    next(results)
    wait_until(lambda: (tmp_path / "pids").exists() and " " in (tmp_path / "pids").read_text())
    numbers = [int(text) for text in (tmp_path / "pids").read_text().split()]
    with pytest.raises(RuntimeError, match="consumer"):
        results.throw(RuntimeError("consumer"))
    for number in numbers:
        wait_until(lambda number=number: not alive(number))


# A shell that starts its tests in the background has them ignore SIGINT, and so would the program.
SCRIPT = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from doppelbench.engine.pool import Task, run_pool
for result in run_pool([Task("hang", "pool_tasks:hang", {"path": sys.argv[1]})], jobs=1):
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_program(tmp_path, number):
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), os.path.dirname(__file__)])
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "pids")],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: (tmp_path / "pids").exists() and " " in (tmp_path / "pids").read_text())
    worker, grandchild = (int(text) for text in (tmp_path / "pids").read_text().split())
    program.send_signal(number)
    _, errors = program.communicate(timeout=20)
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in errors
        assert not alive(worker)
        wait_until(lambda: not alive(grandchild))
    else:
        wait_until(lambda: not alive(worker))
        os.kill(grandchild, signal.SIGKILL)


def test_output_and_input_of_a_task_do_not_disturb():
    assert outcome([task("a", "chatter")], jobs=1)["a"].value == ""


def test_large_values_arrive():
    assert len(outcome([task("a", "large", size=3_000_000)], jobs=1)["a"].value) == 3_000_000


def test_worker_computes_on_one_thread_with_fixed_hashes_unless_told():
    found = outcome([task("a", "environment")], jobs=1)["a"].value
    assert found == {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}
    assert outcome([task("a", "environment")], jobs=1, threads=3)["a"].value["OMP_NUM_THREADS"] == "3"


def test_worker_imports_no_heavy_package():
    loaded = outcome([task("a", "modules")], jobs=1)["a"].value
    assert not {"numpy", "torch", "doppelbench.engine.pool", "asyncio"} & set(loaded)


def test_wrong_calls_are_refused_before_anything_starts():
    with pytest.raises(ConfigError, match="key 'a'"):
        run_pool([task("a", "square"), task("a", "square")])
    with pytest.raises(ConfigError, match="jobs"):
        run_pool([], jobs=0)
    with pytest.raises(ConfigError, match="timeout"):
        run_pool([], timeout=0)


def test_no_tasks_no_workers():
    assert list(run_pool([], jobs=4)) == []
