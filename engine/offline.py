"""No network: what would reach out fails at once, with a sentence that says what to do.

``--offline`` sets the environment variable :data:`VARIABLE`, which worker processes inherit, and closes the
sockets of this process. Connections on this machine stay possible: processes of one host talk through them.
"""

import os
import socket
from typing import Any

from doppelbench.engine.errors import EngineError

VARIABLE = "DOPPELBENCH_OFFLINE"
# Libraries that would look for newer weights are told as well, so that they use what is there.
LIBRARIES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
LOCAL = ("localhost", "127.", "::1")


class OfflineError(EngineError, OSError):
    """Something wanted the network while ``--offline`` forbids it."""

    exit_code = 5


def is_offline() -> bool:
    """Whether the network is forbidden."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def go_offline() -> None:
    """Forbid the network to this process and to those that it starts."""
    os.environ[VARIABLE] = "1"
    for name in LIBRARIES:
        os.environ[name] = "1"
    close_network()


def close_network() -> None:
    """Make every connection to another machine fail with an :class:`OfflineError`; names are not resolved."""
    if getattr(socket.socket.connect, "offline", False):
        return
    connect, connect_ex, resolve = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _refuse(self.family, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _refuse(self.family, address)
        return connect_ex(self, address)

    def guarded_resolve(host: Any, *rest: Any, **options: Any) -> Any:
        if host is not None and not _is_local(host):
            raise _error(host)
        return resolve(host, *rest, **options)

    guarded_connect.offline = True  # type: ignore[attr-defined]
    socket.socket.connect = guarded_connect  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = guarded_resolve


def _refuse(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
        raise _error(address[0])


def _is_local(host: Any) -> bool:
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    return name == "" or name.startswith(LOCAL)


def _error(host: Any) -> OfflineError:
    return OfflineError(
        f"{host} was to be reached, which --offline forbids; fetch what is needed before with doppelbench "
        "prefetch"
    )
