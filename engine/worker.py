"""The process in which a pool runs its tasks: reads one task a line, answers one line, keeps what it loaded.

Started by :mod:`doppelbench.engine.pool` as a file: it imports the standard library alone and knows nothing
of the program that started it but its module search path.
"""

import contextlib
import importlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

PARENT_CHECK = 2.0
REASON_LENGTH = 300


def load_function(name: str) -> Callable[..., Any]:
    """Return the function that ``module:name`` means; the part after the colon may have dots."""
    module, _, attribute = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type and the first line of its message."""
    text = str(error).strip()
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__}: {first}"[:REASON_LENGTH] if first else type(error).__name__


def run_task(function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a function and return the answer to send: status, value, reason and seconds.

    Raises:
        MemoryError: passed on, because the process may no longer be usable.
    """
    began = time.perf_counter()
    answer: dict[str, Any] = {"status": "ok", "value": None, "reason": ""}
    try:
        value = load_function(function)(**arguments)
        json.dumps(value)
        answer["value"] = value
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        answer.update(status="error", reason=one_line(error))
    answer["seconds"] = time.perf_counter() - began
    return answer


def main() -> None:
    """Serve tasks until the parent closes the pipe."""
    tasks, answers = _own_pipes()
    _end_with_parent()
    hello = json.loads(tasks.readline())
    sys.path[:] = hello["path"]
    if os.environ.get("DOPPELBENCH_OFFLINE", "") not in ("", "0"):
        load_function("doppelbench.engine.offline:close_network")()
    if hello["initializer"]:
        answer = _guarded(hello["initializer"], hello["arguments"])
        _send(answers, {**answer, "ready": True})
        if answer["status"] != "ok":
            return
    else:
        _send(answers, {"ready": True, "status": "ok"})
    for line in tasks:
        task = json.loads(line)
        answer = _guarded(task["function"], task["arguments"])
        _send(answers, answer)
        if answer["status"] == "crashed":
            return


def _guarded(function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        return run_task(function, arguments)
    except MemoryError as error:
        seconds = time.perf_counter() - began
        return {"status": "crashed", "value": None, "reason": one_line(error), "seconds": seconds}


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes to the parent for ourselves: what a task reads or prints must not end up in them."""
    tasks = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return tasks, answers


def _send(answers: IO[bytes], answer: Mapping[str, Any]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    answers.write(json.dumps({**answer, "peak_memory": peak}).encode() + b"\n")
    answers.flush()


def _end_with_parent() -> None:
    """End this process, also in the middle of a task, once its parent is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
