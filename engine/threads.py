"""One compute thread a process, set before the numerical libraries load.

On a machine whose cores are shared, a second OpenMP thread that waits for a busy core spins at every barrier:
one LSTM training step took 0.16 s on one thread and 8 to 30 s on two. Work is spread over processes instead.
"""

import os
import sys
from collections.abc import MutableMapping

VARIABLE = "DOPPELBENCH_THREADS"
LIBRARIES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_count(count: int | None = None) -> int:
    """Return the compute threads a process may use: the argument, else ``DOPPELBENCH_THREADS``, else 1."""
    if count is not None:
        return max(1, count)
    text = os.environ.get(VARIABLE, "")
    return max(1, int(text)) if text.isdigit() else 1


def thread_environment(count: int | None = None) -> dict[str, str]:
    """Return the environment variables that hold a child process to ``count`` compute threads."""
    text = str(thread_count(count))
    return {**dict.fromkeys(LIBRARIES, text), "OMP_WAIT_POLICY": "PASSIVE", VARIABLE: text}


def limit_threads(count: int | None = None, environment: MutableMapping[str, str] | None = None) -> int:
    """Hold this process to ``count`` compute threads and return the number.

    Libraries read the environment when they load, so call it before numpy does; what the user has set already
    stays, unless ``count`` is given. Torch, when loaded, is told directly.
    """
    environment = os.environ if environment is None else environment
    number = thread_count(count)
    for name, value in thread_environment(number).items():
        if count is not None and name in LIBRARIES:
            environment[name] = value
        else:
            environment.setdefault(name, value)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(number)
    return number
