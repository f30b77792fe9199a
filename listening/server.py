"""The rater's page on our own machine: ``listen serve``.

A server of the standard library over one SQLite database. Who has a link with a token gets a block, hears it,
and every answer is on the disk before it is confirmed; after a crash or a restart everybody goes on where
they were. People whom Prolific sends are told apart by the ids in its link. The owner has a page of their own
with counts and the results so far, and no system is named there either.

Media are served by their opaque names alone, with byte ranges, without which browsers cannot seek.
"""

import hmac
import html
import json
import re
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import sha256_of
from doppelbench.listening.ballots import Ballot, Ballots, RefusedError, Sitting
from doppelbench.listening.export import DETAILS, export_results
from doppelbench.listening.pages import hosted_page, message_page, page_asset
from doppelbench.listening.study import MEDIA, RATERS, STUDY, read_study

__all__ = ["ListeningServer", "Settings", "export_results", "make_server", "serve"]

DATABASE = "votes.sqlite"
LARGEST_BODY = 65_536
LARGEST_DRAINED = 1 << 20
# Of a text that a page sends.
LONGEST_TEXT = 1_000
IDLE_SECONDS = 60
PIECE = 1 << 16
OWNER_REFRESH_SECONDS = 10
PROLIFIC = ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID")
PROLIFIC_COMPLETE = "https://app.prolific.com/submissions/complete?cc="
MEDIA_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
JSON, HTML, TEXT = "application/json", "text/html; charset=utf-8", "text/plain; charset=utf-8"

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_LENGTH = re.compile(r"\d{1,10}", re.ASCII)
_KIND = re.compile(r"[a-z]{1,20}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CLIENT = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the owner decides.

    Attributes:
        blocks_per_rater: sittings that one person may do.
        anyone: whoever opens the bare address gets a token; otherwise a link is needed.
        prolific: people with Prolific's ids in the address get one token each.
        code: shown at the end; made up, once for a database, when it is empty.
        owner: token of the owner's page; made up, once for a database, when it is empty.
        public_url: address under which others reach the server, where it stands behind another one.
    """

    blocks_per_rater: int = 1
    anyone: bool = False
    prolific: bool = False
    code: str = ""
    owner: str = field(default="", repr=False)
    public_url: str = ""


class ListeningServer(ThreadingHTTPServer):
    """A server for one study, one thread a connection; :meth:`server_close` closes the database too."""

    daemon_threads = True
    # Browsers of a whole crowd may knock at once; what does not fit into the queue is refused.
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], folder: Path, database: Path, settings: Settings) -> None:
        self.study = read_study(folder)
        place = folder if (folder / STUDY).is_file() else folder / RATERS
        self.media = place / MEDIA
        for name, digest in self.study.media.items():
            if not (self.media / name).is_file():
                raise InputError(f"{self.media / name}: a file of the study is missing")
            if sha256_of(self.media / name) != digest:
                raise InputError(f"{self.media / name}: was changed after the study was sealed")
        self.database = database
        self.settings = settings
        self.ballots = Ballots(database, self.study, blocks_per_rater=settings.blocks_per_rater)
        self.code = settings.code or self.ballots.fact("code", lambda: secrets.token_hex(4).upper())
        self.owner = settings.owner or self.ballots.fact("owner", lambda: secrets.token_urlsafe(16))
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            self.ballots.close()
            raise InputError(f"{address[0]}:{address[1]}: cannot be served on ({error})") from None

    @property
    def url(self) -> str:
        """Address of the server, without a slash at its end."""
        own = f"http://{self.server_address[0]!s}:{self.server_address[1]}"
        return self.settings.public_url.rstrip("/") or own

    def rater_url(self, token: str) -> str:
        """Link of a rater."""
        return f"{self.url}/r/{token}"

    def owner_url(self) -> str:
        """Link of the owner's page."""
        return f"{self.url}/owner/{self.owner}"

    def server_close(self) -> None:
        super().server_close()
        self.ballots.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error worth a traceback."""


def make_server(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    database: Path | None = None,
    tokens: int = 0,
    settings: Settings | None = None,
) -> ListeningServer:
    """A server that listens already; call ``serve_forever`` on it, and ``server_close`` at the end.

    Args:
        folder: of the study.
        host: address to listen on; other machines are shut out unless it says otherwise.
        port: 0 takes a free one.
        database: kept beside the study unless named.
        tokens: that there are at least for raters; missing ones are made.
        settings: the owner's.

    Raises:
        InputError: no study, a missing media file, a database of another study, or an address that is taken.
    """
    settings = settings or Settings()
    beside = folder.parent if (folder / STUDY).is_file() else folder
    server = ListeningServer((host, port), folder, database or beside / DATABASE, settings)
    server.ballots.create_tokens(max(0, tokens - len(server.ballots.tokens())))
    return server


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    database: Path | None = None,
    tokens: int = 0,
    settings: Settings | None = None,
    started: Callable[[ListeningServer], None] | None = None,
) -> None:
    """Serve a study until interrupted.

    Args:
        folder: of the study.
        host: address to listen on.
        port: 0 takes a free one.
        database: kept beside the study unless named.
        tokens: that there are at least for raters.
        settings: the owner's.
        started: told the server before the first request, for instance to show its links.

    Raises:
        InputError: see :func:`make_server`.
    """
    server = make_server(folder, host=host, port=port, database=database, tokens=tokens, settings=settings)
    try:
        if started is not None:
            started(server)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Routes; everything that is refused is refused by :class:`RefusedError`."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "listening", ""
    timeout = IDLE_SECONDS
    # Head and body are written one after the other, and Nagle's algorithm would wait in between.
    disable_nagle_algorithm = True
    server: ListeningServer

    def do_GET(self) -> None:
        self._answer(self._get)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: object) -> None:
        """Addresses with tokens do not belong into a log."""

    def _answer(self, route: Callable[[str], None]) -> None:
        try:
            route(unquote(urlsplit(self.path).path))
        except sqlite3.Error:
            # The page tries again, and what it was told is saved stays saved.
            self.close_connection = True
            self._send(503, JSON, json.dumps({"error": "the answer could not be saved"}))
        except RefusedError as error:
            # A body that was not read would be taken for the next request.
            self.close_connection = self.close_connection or self.command == "POST"
            if self.command == "POST":
                self._send(error.status, JSON, json.dumps({"error": str(error)}))
            else:
                self._page("This page cannot be shown", [f"<p>{html.escape(str(error))}</p>"], error.status)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True

    # --- pages

    def _get(self, path: str) -> None:
        parts = path.split("/")[1:]
        match parts:
            case [""]:
                self._enter()
            case ["static", "page.css"]:
                self._send(200, "text/css; charset=utf-8", page_asset("page.css"))
            case ["static", "page.js"]:
                self._send(200, "text/javascript; charset=utf-8", page_asset("page.js"))
            case ["media", name]:
                self._media(name)
            case ["r", token]:
                self._rater(token)
            case ["owner", token]:
                self._check_owner(token)
                self._progress()
            case ["owner", token, "results.csv"]:
                self._check_owner(token)
                self._results()
            case _:
                raise RefusedError(404, "there is no such page")

    def _enter(self) -> None:
        """Give whoever comes to the bare address their own, if they may have one."""
        settings, ballots = self.server.settings, self.server.ballots
        query = parse_qs(urlsplit(self.path).query)
        sent = {name: query[name][0][:LONGEST_TEXT] for name in PROLIFIC if query.get(name)}
        if settings.prolific and PROLIFIC[0] in sent:
            token = ballots.token_of(f"prolific:{sent[PROLIFIC[0]]}", sent)
        elif settings.anyone:
            # A block is given when the page is opened: a redirect that nobody follows must not take a place.
            token = ballots.create_tokens(1)[0]
        else:
            raise RefusedError(403, "Please use the personal link that you were sent.")
        self._send(303, TEXT, "", {"Location": f"r/{token}"})

    def _rater(self, token: str) -> None:
        sitting = self.server.ballots.sitting(token)
        if sitting is None:
            self._page("Thank you", ["<p>All parts of this study are taken at the moment.</p>"])
        elif sitting.finished:
            self._page("Thank you", self._thanks(token, sitting))
        else:
            study = self.server.study
            block = next(block for block in study.blocks if block.id == sitting.block)
            states = self.server.ballots.states(sitting)
            text = hosted_page(
                study, block, sitting=sitting.id, save=quote(token), states=states, training=sitting.first
            )
            self._send(200, HTML, text)

    def _thanks(self, token: str, sitting: Sitting) -> list[str]:
        code = html.escape(self.server.code)
        paragraphs = [
            "<p>Your answers are saved. Your completion code:</p>",
            f'<p class="lt-code">{code}</p>',
        ]
        if self.server.settings.prolific:
            link = PROLIFIC_COMPLETE + quote(self.server.code, safe="")
            paragraphs.append(f'<p><a href="{html.escape(link)}">Back to Prolific</a></p>')
        if self.server.ballots.more(sitting):
            paragraphs.append(
                f'<form class="lt" method="post" action="{html.escape(quote(token))}/next">'
                '<p><input type="submit" value="Do another part"></p></form>'
            )
        return paragraphs

    def _progress(self) -> None:
        progress = self.server.ballots.progress()
        wanted = self.server.study.recruitment.raters_per_item
        rows = "".join(
            f'<tr><th scope="row">{html.escape(block)}</th><td>{done} of {wanted}</td><td>{live}</td>'
            f"<td>{votes}</td></tr>"
            for block, done, live, votes in progress.blocks
        )
        self._page(
            "Progress",
            [
                f"<p>{progress.votes} votes, {progress.raters} raters, {progress.problems} clips reported as "
                f"faulty, {progress.recent} votes in the last ten minutes.</p>",
                '<table><thead><tr><th scope="col">Block</th><th scope="col">Finished</th>'
                '<th scope="col">Under way</th><th scope="col">Votes</th></tr></thead>'
                f"<tbody>{rows}</tbody></table>",
                f'<p><a href="{quote(self.server.owner)}/results.csv">Results so far (CSV)</a></p>',
            ],
            headers={"Refresh": str(OWNER_REFRESH_SECONDS)},
        )

    def _results(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "results.csv"
            export_results(self.server.database, self.server.study, path)
            content = path.read_bytes()
        self._send(
            200,
            "text/csv; charset=utf-8",
            content,
            {"Content-Disposition": 'attachment; filename="results.csv"'},
        )

    def _check_owner(self, token: str) -> None:
        if not hmac.compare_digest(token.encode(), self.server.owner.encode()):
            raise RefusedError(404, "there is no such page")

    # --- media

    def _media(self, name: str) -> None:
        """Serve a file of the study, whole or the range that is asked for (RFC 9110, section 14)."""
        digest = self.server.study.media.get(name)
        if digest is None:
            raise RefusedError(404, "there is no such recording")
        tag = f'"{digest[:32]}"'
        headers = {
            "Accept-Ranges": "bytes",
            "ETag": tag,
            "Cache-Control": "private, max-age=86400, immutable",
        }
        kind = MEDIA_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
        try:
            file = (self.server.media / name).open("rb")
        except OSError:
            raise RefusedError(404, "this recording is missing") from None
        with file:
            size = file.seek(0, 2)
            wanted = self.headers.get("Range") if self.headers.get("If-Range", tag) == tag else None
            span = _span(wanted, size)
            if span is None:
                self._send(416, TEXT, "", headers | {"Content-Range": f"bytes */{size}"})
                return
            first, last = span
            partial = wanted is not None and _RANGE.fullmatch(wanted) is not None
            if partial:
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            self._head(206 if partial else 200, kind, last - first + 1, headers)
            if self.command == "HEAD":
                return
            file.seek(first)
            left = last - first + 1
            while left > 0 and (piece := file.read(min(PIECE, left))):
                self.wfile.write(piece)
                left -= len(piece)

    # --- what pages send

    def _post(self, path: str) -> None:
        match path.split("/")[1:]:
            case ["r", token, "next"]:
                self._body()
                self.server.ballots.sitting(token, advance=True)
                self._send(303, TEXT, "", {"Location": f"../{quote(token)}"})
            case ["r", token, "votes"]:
                values, sitting = self._received(token)
                ballot = _ballot(values)
                saved = self.server.ballots.save(sitting, ballot)
                self._send(200, JSON, json.dumps({"saved": saved, "revision": ballot.revision}))
            case ["r", token, "events"]:
                values, sitting = self._received(token)
                self.server.ballots.log(
                    sitting, _client(values), [_event(one) for one in _list(values, "events")]
                )
                self._send(200, JSON, "{}")
            case ["r", token, "finish"]:
                values, sitting = self._received(token)
                details = {name: _text(values, name, "") for name in DETAILS}
                self.server.ballots.finish(sitting, details)
                self._send(200, JSON, "{}")
            case _:
                raise RefusedError(404, "there is no such page")

    def _received(self, token: str) -> tuple[dict[str, Any], Sitting]:
        if self.headers.get_content_type() != JSON:
            raise RefusedError(415, "answers are sent as JSON")
        try:
            values = json.loads(self._body())
        except (ValueError, RecursionError):
            raise RefusedError(400, "the body is no JSON") from None
        if not isinstance(values, dict):
            raise RefusedError(400, "the body is no JSON object")
        sitting = self.server.ballots.sitting(token)
        if sitting is None:
            raise RefusedError(409, "there is no part to answer")
        return values, sitting

    def _body(self) -> bytes:
        stated = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(stated):
            raise RefusedError(411, "the length of the body is not stated")
        length = int(stated)
        if length > LARGEST_BODY:
            # A browser that is still sending would see a broken connection instead of the reason.
            self.rfile.read(min(length, LARGEST_DRAINED))
            raise RefusedError(413, f"the body is larger than {LARGEST_BODY} bytes")
        body = self.rfile.read(length)
        if len(body) < length:
            raise RefusedError(400, "the body ends early")
        return body

    # --- answers

    def _page(
        self,
        title: str,
        paragraphs: list[str],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        depth = max(0, urlsplit(self.path).path.count("/") - 1)
        assets = "/".join([".."] * depth + ["static"]) if depth else "static"
        self._send(status, HTML, message_page(title, paragraphs, assets=assets), headers)

    def _send(
        self, status: int, kind: str, content: str | bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        data = content.encode() if isinstance(content, str) else content
        self._head(status, kind, len(data), {"Cache-Control": "no-store", **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _head(self, status: int, kind: str, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(length),
            **HEADERS,
            **headers,
        }.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a range; the whole file where none, or one of another form, is asked for."""
    match = _RANGE.fullmatch(wanted) if wanted else None
    if match is None:
        return 0, size - 1
    first, last = match.groups()
    if first:
        bounds = int(first), min(int(last), size - 1) if last else size - 1
    elif last:
        bounds = max(0, size - int(last)), size - 1
    else:
        return None
    return bounds if bounds[0] <= bounds[1] else None


def _ballot(values: Mapping[str, Any]) -> Ballot:
    answers = values.get("answers")
    if not isinstance(answers, dict) or not all(
        isinstance(value, str) for pair in answers.items() for value in pair
    ):
        raise RefusedError(400, "answers is no object of texts")
    return Ballot(
        item=_text(values, "item"),
        answers=answers,
        problem=_text(values, "problem", ""),
        plays=round(_number(values, "plays", 10_000)),
        played=_number(values, "played", 1.0),
        rate=_number(values, "rate", 100.0),
        seconds=_number(values, "seconds", 1e6),
        time=_time(values, "time"),
        client=_client(values),
        revision=round(_number(values, "revision", 2**53)),
    )


def _event(values: object) -> tuple[int, str, str, str, str]:
    if not isinstance(values, dict):
        raise RefusedError(400, "an event is no JSON object")
    kind = _text(values, "kind")
    if not _KIND.fullmatch(kind):
        raise RefusedError(400, f"{kind[:40]!r} is no kind of event")
    value = values.get("value", "")
    if not isinstance(value, str | int | float):
        raise RefusedError(400, "the value of an event is neither a text nor a number")
    number = round(_number(values, "n", 2**53))
    return number, _time(values, "at"), kind, _text(values, "item", ""), str(value)[:LONGEST_TEXT]


def _client(values: Mapping[str, Any]) -> str:
    client = _text(values, "client")
    if not _CLIENT.fullmatch(client):
        raise RefusedError(400, "client is no name of a page")
    return client


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    value = values.get(name)
    if not isinstance(value, list):
        raise RefusedError(400, f"{name} is no list")
    return value


def _text(values: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = values.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or _SURROGATE.search(value):
        raise RefusedError(400, f"{name} is no text of at most {LONGEST_TEXT} characters")
    return value


def _number(values: Mapping[str, Any], name: str, largest: float) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise RefusedError(400, f"{name} is no number from 0 to {largest:g}")
    return value


def _time(values: Mapping[str, Any], name: str) -> str:
    text = _text(values, name)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise RefusedError(400, f"{name} is no time in ISO 8601") from None
    return text
