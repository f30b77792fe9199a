"""--offline: nothing reaches out, in no process, and what is local goes on."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from doppelbench.engine.pool import Task, run_pool

# An address of the block that RFC 5737 keeps for documentation: nobody is there.
NOBODY = "192.0.2.1"


def offline(code: str) -> subprocess.CompletedProcess:
    program = f"import socket\nfrom doppelbench.engine.offline import go_offline\ngo_offline()\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "call",
    [
        f"socket.create_connection(('{NOBODY}', 80), timeout=5)",
        f"socket.socket().connect_ex(('{NOBODY}', 80))",
        "socket.getaddrinfo('example.org', 443)",
        "import urllib.request; urllib.request.urlopen('http://example.org', timeout=5)",
    ],
)
def test_reaching_out_fails_at_once_and_says_what_to_do(call):
    result = offline(call)
    assert result.returncode == 1
    assert "--offline forbids" in result.stderr
    assert "prefetch" in result.stderr


def test_processes_of_this_machine_still_talk():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answering = threading.Thread(target=lambda: server.accept()[0].sendall(b"here"))
        answering.start()
        result = offline(f"print(socket.create_connection(('127.0.0.1', {port})).recv(4))")
        answering.join()
    assert result.stdout == "b'here'\n", result.stderr


def test_workers_inherit_it(monkeypatch):
    monkeypatch.setenv("DOPPELBENCH_OFFLINE", "1")
    task = Task("reach out", "socket:create_connection", {"address": [NOBODY, 80], "timeout": 5})
    (result,) = run_pool([task], jobs=1)
    assert result.status == "error"
    assert "OfflineError" in result.reason


def test_without_it_the_network_is_left_alone():
    assert "DOPPELBENCH_OFFLINE" not in os.environ
    assert not hasattr(socket.socket.connect, "offline")
