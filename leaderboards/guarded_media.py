"""Have media of strangers decoded by a process with limits, and get facts or a status back."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from doppelbench.corpora.errors import DoppelbenchError

START_SECONDS = 120.0
# The server ends an item by itself; this much later it is ended with it.
GRACE_SECONDS = 5.0
CHUNK = 1 << 16
# Lets the process find the package where this one found it.
BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from doppelbench.leaderboards.guarded_child import serve; serve()"
)
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """What decoding one output may take.

    Attributes:
        memory: bytes of address space beyond the libraries; bounds the process on Linux.
        cpu_seconds: of processor time.
        wall_seconds: by the clock.
        output_bytes: of each file that is written.
        answer_bytes: of the facts.
        media_seconds: what claims to be longer is not decoded.
        media_values: what claims more samples or pixels is not decoded.
    """

    memory: int = 3 << 30
    cpu_seconds: int = 60
    wall_seconds: float = 120.0
    output_bytes: int = 2 << 30
    answer_bytes: int = 1 << 16
    media_seconds: float = 900.0
    media_values: int = 400_000_000


class MediaGuard:
    """A server that decodes outputs one after another, each in a fork with limits; a context manager."""

    def __init__(self, limits: MediaLimits | None = None) -> None:
        self.limits = limits or MediaLimits()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *rest: object) -> None:
        self.close()

    def measure(
        self,
        path: Path,
        *,
        film: bool,
        compare: Sequence[Mapping[str, Any]] = (),
        write: Path | None = None,
    ) -> dict[str, Any]:
        """Decode one output.

        Args:
            path: of the output.
            film: whether it should be a film.
            compare: trusted recordings as ``role``, ``path``, ``start``, ``end``.
            write: where the decoded content is written anew; what a failed item wrote is removed.

        Returns:
            Facts of :func:`doppelbench.leaderboards.media_measures.measure_output` with the status ``ok``, or
            status and reason.
        """
        limits = self.limits
        arguments = {
            "path": str(path.resolve()),
            "film": film,
            "most_seconds": limits.media_seconds,
            "most_values": limits.media_values,
            "compare": list(compare),
            "write": None if write is None else str(write.resolve()),
        }
        answer = self._ask({"limits": asdict(limits), "arguments": arguments})
        if answer["status"] != "ok":
            answer = {"status": answer["status"], "reason": _nameless(str(answer["reason"]), path)}
            if write is not None:
                for left in (write, write.with_suffix(".mp4")):
                    left.unlink(missing_ok=True)
                for part in write.parent.glob(f".{write.stem}.*.partial"):
                    part.unlink(missing_ok=True)
        return answer

    def close(self) -> None:
        """End the server and what it decodes."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._line(self.limits.wall_seconds + GRACE_SECONDS)
        if answer is None:
            self.close()
            return {"status": "crashed", "reason": "the decoding process gave no answer"}
        return answer

    def _start(self) -> None:
        """Start the server.

        Raises:
            DoppelbenchError: it does not come up.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", BOOT, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        )
        if self._line(START_SECONDS) is None:
            self.close()
            raise DoppelbenchError("the process that decodes submissions cannot be started")

    def _line(self, seconds: float) -> dict[str, Any] | None:
        """One line of the server, or None when it has not come in time or is damaged."""
        assert self._process is not None
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        deadline, content = time.monotonic() + seconds, b""
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while not content.endswith(b"\n") and len(content) <= self.limits.answer_bytes + CHUNK:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                block = os.read(handle, CHUNK)
                if not block:
                    return None
                content += block
        try:
            answer: dict[str, Any] = json.loads(content)
        except ValueError:
            return None
        return answer


def _nameless(reason: str, path: Path) -> str:
    """A reason without the place at which the file happened to lie."""
    for name in (str(path.resolve()), str(path)):
        reason = reason.replace(f"{name}: ", "").replace(name, path.name)
    return reason
