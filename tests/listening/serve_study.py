"""A server for tests: in a thread, or as a process of its own that can be killed (folder, port)."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doppelbench.listening.server import ListeningServer, Settings, make_server, serve


@contextmanager
def serving(folder: Path, **options: Any) -> Iterator[ListeningServer]:
    """A server in a thread; the options are those of ``make_server``."""
    server = make_server(folder, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), port=int(sys.argv[2]), settings=Settings(owner="owner"))
