"""Serve a site of boards on this machine: ``board serve``; files of the folder and nothing else."""

import mimetypes
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.site import ALL

LOOPBACK = "127.0.0.1"
PIECE = 1 << 16
TYPES = {".md": "text/markdown; charset=utf-8", ".json": "application/json", ".flac": "audio/flac"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})", re.ASCII)


def serve_site(folder: Path, *, port: int = 0, started: Callable[[str], None] | None = None) -> None:
    """Serve until interrupted.

    Args:
        folder: of the site.
        port: 0 takes a free one.
        started: told the address.

    Raises:
        InputError: see :func:`make_site_server`.
    """
    server = make_site_server(folder, port=port)
    if started is not None:
        started(f"http://{LOOPBACK}:{server.server_address[1]}/")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def make_site_server(folder: Path, *, port: int = 0) -> ThreadingHTTPServer:
    """A server that listens already, on the loopback address alone.

    Raises:
        InputError: the folder is no site, or the port is taken.
    """
    if not (folder / ALL).is_file():
        raise InputError(f"{folder} is no site: it has no {ALL}; make one with: doppelbench board build")
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), partial(_Handler, folder.resolve()))
    except OSError as error:
        raise InputError(f"{LOOPBACK}:{port}: cannot be served on ({error})") from None
    server.daemon_threads = True
    return server


def find_file(folder: Path, path: str) -> Path | None:
    """The file of a request, or None: nothing outside the folder, nothing hidden, no link out of it.

    Args:
        folder: of the site, resolved.
        path: as the request gives it, percent-encoded, with its query.
    """
    name = unquote(urlsplit(path).path)
    parts = [part for part in name.split("/") if part]
    if "\0" in name or "\\" in name or any(part.startswith(".") for part in parts):
        return None
    found = folder.joinpath(*parts) if parts else folder / "index.html"
    try:
        resolved = found.resolve(strict=True)
    except OSError:
        return None
    return resolved if resolved.is_relative_to(folder) and resolved.is_file() else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def __init__(self, folder: Path, *rest: object) -> None:
        self.folder = folder
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Send a file, or the part of it that a player asks for."""
        self._send(body=True)

    def do_HEAD(self) -> None:
        """Send what is known of a file."""
        self._send(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def _send(self, *, body: bool) -> None:
        file = find_file(self.folder, self.path)
        host = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host")
        # A page elsewhere must not reach this one under a name of its own that points here.
        if file is None or host not in {LOOPBACK, "localhost"}:
            self._headers(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", 0)
            return
        size = file.stat().st_size
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if kind.startswith("text/") and "charset" not in kind:
            kind += "; charset=utf-8"
        first, last = 0, size - 1
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2]) if asked[2] else size - 1, size - 1)
            if first > last:
                self._headers(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, kind, 0, f"bytes */{size}")
                return
            self._headers(HTTPStatus.PARTIAL_CONTENT, kind, last - first + 1, f"bytes {first}-{last}/{size}")
        else:
            self._headers(HTTPStatus.OK, kind, size)
        if body:
            with file.open("rb") as source:
                source.seek(first)
                left = last - first + 1
                while left > 0 and (piece := source.read(min(PIECE, left))):
                    self.wfile.write(piece)
                    left -= len(piece)

    def _headers(self, status: HTTPStatus, kind: str, length: int, part: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if part:
            self.send_header("Content-Range", part)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
