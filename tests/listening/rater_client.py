"""What a rater's page does, without a browser: opens its page, listens to nothing, posts its answers."""

import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlsplit


def request(
    url: str, body: object | bytes | None = None, headers: Mapping[str, str] | None = None, method: str = ""
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of one request; redirects are not followed."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if data is not None else {}
    path = place.path + (f"?{place.query}" if place.query else "")
    try:
        connection.request(
            method or ("GET" if data is None else "POST"), path, data, {**kind, **(headers or {})}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def vote(item: str, answers: Mapping[str, str], *, revision: int = 1, **changes: Any) -> dict[str, Any]:
    """What a page posts of an item."""
    return {
        "client": "c1", "revision": revision, "item": item, "answers": dict(answers), "problem": "",
        "plays": 1, "played": 1.0, "rate": 1, "seconds": 2.5, "time": "2026-01-02T03:04:05.678Z", **changes,
    }  # fmt: skip


@dataclass
class Rater:
    """Somebody with a token; ``confirmed`` is what the server said that it has."""

    server: str
    token: str
    confirmed: dict[tuple[str, str], str] = field(default_factory=dict)
    retries: int = 0

    @property
    def url(self) -> str:
        return f"{self.server}/r/{self.token}"

    def items(self) -> list[str]:
        """Ids of the items on the page; training is not among them."""
        page = self.patiently(self.url)[2].decode()
        return re.findall(r'<i data-item="([^"]+)"', page)

    def state(self) -> dict[str, Any]:
        """What the server's page knows of the answers already."""
        match = re.search(r'data-state="([^"]*)"', request(self.url)[2].decode())
        assert match is not None
        return json.loads(unescape(match[1]))

    def answer(self, item: str, answers: Mapping[str, str], *, revision: int = 1) -> None:
        """Post until it is confirmed, like the page does."""
        status, _, body = self.patiently(f"{self.url}/votes", vote(item, answers, revision=revision))
        assert status == 200, body
        self.confirmed |= {(item, question): value for question, value in answers.items()}

    def finish(self) -> None:
        """Send it in."""
        assert self.patiently(f"{self.url}/finish", {"client": "c1"})[0] == 200

    def patiently(self, url: str, body: object = None) -> tuple[int, Mapping[str, str], bytes]:
        """Try again while the server is away."""
        end = time.monotonic() + 120
        while True:
            try:
                return request(url, body)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > end:
                    raise
                self.retries += 1
                time.sleep(0.05)
