"""What the workers of the pool's tests run; it imports the standard library alone."""

import os
import signal
import subprocess
import sys
import time

LOADED = []


def square(number: int, seconds: float = 0.0) -> dict[str, float]:
    time.sleep(seconds)
    return {"square": number * number}


def load(name: str) -> None:
    LOADED.append(name)


def loaded() -> dict[str, object]:
    LOADED.append("task")
    return {"loaded": list(LOADED), "process": os.getpid()}


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(code: int) -> None:
    sys.stderr.write("a library said why\n")
    sys.stderr.flush()
    os._exit(code)


def exhaust() -> None:
    raise MemoryError("no room")


def hang(path: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(path, "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def fail() -> None:
    raise ValueError("first line\nsecond line")


def leave_politely() -> None:
    sys.exit(3)


def no_json() -> object:
    return object()


def chatter() -> str:
    print("{} not an answer")
    os.write(1, b"neither is this\n")
    subprocess.run(["echo", "nor this"], check=True)
    return sys.stdin.read()


def environment() -> dict[str, str]:
    return {
        name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PYTHONHASHSEED")
    }


def modules() -> list[str]:
    return sorted(sys.modules)


def large(size: int) -> str:
    return "x" * size
