"""The process in which media of strangers are decoded: one fork an item, each with limits of its own.

The server itself decodes nothing. It has the libraries loaded, so that an item costs a fork; whatever an item
does (crash, loop, fill the memory) ends with its fork, and the next one starts clean.
"""

import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

BLOCK = 1 << 16
OPEN_FILES = 64
MIB = 1 << 20


def serve() -> None:
    """Answer one request a line until standard input ends."""
    _load_libraries()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    answers.write(b"{}\n")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer = guarded(request["limits"], request["arguments"])
        answers.write(json.dumps(answer).encode() + b"\n")


def _load_libraries() -> None:
    """Load once, for all forks, what measuring loads when it is first used."""
    import av
    import numpy as np
    import soundfile
    import soxr

    from doppelbench.leaderboards import media_measures

    loaded = (av.open, soundfile.SoundFile, soxr.resample, media_measures.measure_output)
    assert all(callable(one) for one in loaded)
    np.fft.irfft(np.fft.rfft(np.ones(8)))


def guarded(limits: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Measure one output in a fork and say what became of it.

    Args:
        limits: ``memory``, ``output_bytes`` and ``answer_bytes`` in bytes, ``cpu_seconds`` and
            ``wall_seconds``.
        arguments: of :func:`doppelbench.leaderboards.media_measures.measure_output`.

    Returns:
        Its result with the status ``ok``, or status and reason.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _work(writing, limits, arguments)
    os.close(writing)
    answer, verdict = _receive(reading, limits)
    os.close(reading)
    # The pipe ends when the fork does; one that closed it and goes on is ended here.
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if verdict is not None:
        return verdict
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else _death(status, limits)


def _receive(reading: int, limits: Mapping[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
    answer = b""
    deadline = time.monotonic() + limits["wall_seconds"]
    while len(answer) <= limits["answer_bytes"]:
        left = deadline - time.monotonic()
        if left <= 0:
            reason = f"decoding took longer than {limits['wall_seconds']:g} s"
            return b"", {"status": "timeout", "reason": reason}
        if select.select([reading], [], [], left)[0]:
            block = os.read(reading, BLOCK)
            if not block:
                return answer, None
            answer += block
    return b"", {"status": "crashed", "reason": "the decoder answered more than was asked"}


def _death(status: int, limits: Mapping[str, Any]) -> dict[str, Any]:
    if not os.WIFSIGNALED(status):
        return {"status": "crashed", "reason": "the decoder ended without an answer"}
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        reason = f"decoding took more than {limits['cpu_seconds']:g} s of processor time"
        return {"status": "timeout", "reason": reason}
    return {"status": "crashed", "reason": f"the decoder was ended by {signal.Signals(number).name}"}


def _work(writing: int, limits: Mapping[str, Any], arguments: Mapping[str, Any]) -> NoReturn:
    """What the fork does."""
    try:
        answer = json.dumps(_measured(limits, arguments)).encode()
        while answer:
            answer = answer[os.write(writing, answer) :]
        os._exit(0)
    finally:
        os._exit(1)


def _measured(limits: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    from doppelbench.corpora.errors import MediaError
    from doppelbench.leaderboards.media_measures import measure_output

    try:
        _limit(limits)
        return {"status": "ok", "reason": "", **measure_output(**arguments)}
    except MediaError as error:
        return {"status": error.status, "reason": error.reason}
    except MemoryError:
        reason = f"decoding needs more than {limits['memory'] // MIB} MiB of memory"
    except OSError as error:
        reason = f"the decoder could not write or read ({error.strerror})"
    except Exception as error:
        reason = f"the decoder failed ({type(error).__name__})"
    return {"status": "crashed", "reason": reason}


def _limit(limits: Mapping[str, Any]) -> None:
    """Bound this process; a system that does not know a limit does without it."""
    seconds = int(limits["cpu_seconds"])
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_FSIZE, limits["output_bytes"], limits["output_bytes"]),
        (resource.RLIMIT_AS, _address_space() + limits["memory"], _address_space() + limits["memory"]),
    ):
        try:
            resource.setrlimit(kind, (soft, hard))
        except (ValueError, OSError):
            continue


def _address_space() -> int:
    """Bytes of address space that the libraries take already."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 1 << 30
