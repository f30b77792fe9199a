"""Who rates what, and what they answered: the database of a listening test.

One SQLite file in write-ahead mode with full synchronisation, so that a confirmed vote is on the disk. Every
rater has a token, which is the only thing that opens their page, and an opaque name, which is the only thing
that leaves the database. A sitting is one block done by one rater.

A vote is known by sitting, item and question. It carries the name of the page that sent it and a number that
grows with every change, so that a vote sent twice is one vote, and an old one that arrives late is dropped.
"""

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.listening.study import Block, Study

MOST_EVENTS = 20_000

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (
    token TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, person TEXT UNIQUE, details TEXT NOT NULL,
    made TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sittings (
    id TEXT PRIMARY KEY, rater TEXT NOT NULL REFERENCES raters (name), block TEXT NOT NULL,
    started TEXT NOT NULL, seen TEXT NOT NULL, finished TEXT NOT NULL DEFAULT '',
    details TEXT NOT NULL DEFAULT '{}', UNIQUE (rater, block));
CREATE TABLE IF NOT EXISTS votes (
    sitting TEXT NOT NULL REFERENCES sittings (id), item TEXT NOT NULL, question TEXT NOT NULL,
    answer TEXT NOT NULL, problem TEXT NOT NULL, plays INTEGER, played REAL, rate REAL, seconds REAL,
    time TEXT NOT NULL, client TEXT NOT NULL, revision INTEGER NOT NULL, received TEXT NOT NULL,
    PRIMARY KEY (sitting, item, question));
CREATE TABLE IF NOT EXISTS events (
    sitting TEXT NOT NULL REFERENCES sittings (id), client TEXT NOT NULL, number INTEGER NOT NULL,
    time TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (sitting, client, number));
"""
_SAVE_VOTE = """
INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sitting, item, question) DO UPDATE SET
    answer = excluded.answer, problem = excluded.problem, plays = excluded.plays, played = excluded.played,
    rate = excluded.rate, seconds = excluded.seconds, time = excluded.time, client = excluded.client,
    revision = excluded.revision, received = excluded.received
WHERE excluded.client != client OR excluded.revision > revision
"""


class RefusedError(DoppelbenchError):
    """What a rater's page sent cannot be taken; ``status`` is that of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Sitting:
    """One block that one rater does.

    Attributes:
        id: opaque.
        rater: opaque name.
        block: its id.
        finished: time, or empty.
        first: it is the rater's first.
    """

    id: str
    rater: str
    block: str
    finished: str
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """Everything that a page says of one item.

    Attributes:
        item: its id.
        answers: by question; empty with a problem.
        problem: what is wrong with the clip, or empty.
        plays: starts of the rated sound.
        played: least share heard.
        rate: fastest rate.
        seconds: spent on it.
        time: of the answer, ISO 8601.
        client: opaque name of the page that sent it.
        revision: grows with every change.
    """

    item: str
    answers: Mapping[str, str]
    problem: str
    plays: int
    played: float
    rate: float
    seconds: float
    time: str
    client: str
    revision: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the study stands.

    Attributes:
        blocks: id, sittings finished, sittings under way, votes.
        raters: people that have opened a page.
        votes: answers in all.
        problems: reports of clips.
        recent: votes of the last ten minutes.
    """

    blocks: tuple[tuple[str, int, int, int], ...]
    raters: int
    votes: int
    problems: int
    recent: int


class Ballots:
    """The database of one study.

    One connection, one lock: SQLite writes one transaction at a time anyway.

    Args:
        path: of the database; made when it is missing.
        study: it belongs to.
        blocks_per_rater: sittings that one person may do.

    Raises:
        InputError: the file is no such database, or belongs to another study or another state of it.
    """

    def __init__(self, path: Path, study: Study, *, blocks_per_rater: int = 1) -> None:
        self.study = study
        self.blocks_per_rater = blocks_per_rater
        self._lock = threading.RLock()
        self._items = {block.id: frozenset(block.items) for block in study.blocks}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA busy_timeout=10000")
            self._connection.executescript(_TABLES)
        except (OSError, sqlite3.DatabaseError) as error:
            raise InputError(f"{path}: no database of votes that can be opened ({error})") from None
        if self.fact("design", study.design_sha256) != study.design_sha256():
            self.close()
            raise InputError(
                f"{path}: holds votes on another study, or the study was changed after they were cast"
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def fact(self, name: str, make: Callable[[], str]) -> str:
        """A text that is made once and kept."""
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, make()))
            return str(self._one("SELECT value FROM facts WHERE name = ?", name)[0])

    def create_tokens(self, count: int) -> list[str]:
        """Tokens for so many new raters."""
        with self._transaction():
            return [self._new_rater(None, {}) for _ in range(count)]

    def token_of(self, person: str, details: Mapping[str, str]) -> str:
        """Token of somebody whom a platform sent; made when they come for the first time.

        Args:
            person: the platform's id.
            details: what else it sent.
        """
        with self._transaction():
            row = self._one("SELECT token FROM raters WHERE person = ?", person)
            return str(row[0]) if row else self._new_rater(person, details)

    def tokens(self) -> list[str]:
        """All tokens in the order in which they were made."""
        return [str(row[0]) for row in self._all("SELECT token FROM raters ORDER BY rowid")]

    def sitting(self, token: str, *, advance: bool = False) -> Sitting | None:
        """What a rater does now; a block is given to those who have none.

        A block is given while fewer than ``raters_per_item`` people have finished it or are at it, the one
        that has the fewest first. Somebody who has done nothing for the minutes allotted no longer counts,
        but may still finish. Nobody gets a block, or another one with one of its items, a second time.

        Args:
            token: of the rater.
            advance: give the next block to somebody who has finished one.

        Returns:
            The sitting, which may be finished; None when there is nothing to give.

        Raises:
            RefusedError: no such token.
        """
        with self._transaction():
            row = self._one("SELECT name FROM raters WHERE token = ?", token)
            if row is None:
                raise RefusedError(404, "this link belongs to nobody")
            rater = str(row[0])
            own = self._all("SELECT id, block, finished FROM sittings WHERE rater = ? ORDER BY rowid", rater)
            unfinished = [row for row in own if not row[2]]
            if unfinished or (own and not (advance and len(own) < self.blocks_per_rater)):
                name, block, finished = (unfinished or own)[-1]
                return Sitting(name, rater, block, finished, len(own) == 1)
            block = self._free_block({row[1] for row in own})
            if block is None:
                return Sitting(own[-1][0], rater, own[-1][1], own[-1][2], len(own) == 1) if own else None
            name, now = secrets.token_hex(8), _now()
            self._connection.execute(
                "INSERT INTO sittings (id, rater, block, started, seen) VALUES (?, ?, ?, ?, ?)",
                (name, rater, block, now, now),
            )
            return Sitting(name, rater, block, "", not own)

    def more(self, sitting: Sitting) -> bool:
        """Whether the rater of a sitting may do another block."""
        with self._lock:
            own = [row[0] for row in self._all("SELECT block FROM sittings WHERE rater = ?", sitting.rater)]
            return len(own) < self.blocks_per_rater and self._free_block(set(own)) is not None

    def save(self, sitting: Sitting, ballot: Ballot) -> int:
        """Store what a page says of an item; when this returns it is on the disk.

        Returns:
            How many votes were new or changed.

        Raises:
            RefusedError: an item, question or answer that the sitting does not have, or it is finished and
                this would change it.
        """
        self._check(sitting, ballot)
        # A ballot is all that is said of an item: a question that it leaves out has no answer any more.
        given = {} if ballot.problem else ballot.answers
        answers = {name: given.get(name, "") for name in self.study.item(ballot.item).questions}
        now = _now()
        rows = [
            (
                sitting.id, ballot.item, question, answer, ballot.problem, ballot.plays, ballot.played,
                ballot.rate, ballot.seconds, ballot.time, ballot.client, ballot.revision, now,
            )
            for question, answer in answers.items()
        ]  # fmt: skip
        with self._transaction():
            if self._finished(sitting):
                if all(self._has(row) for row in rows):
                    return 0
                raise RefusedError(409, "this part was sent already and cannot be changed")
            before = self._connection.total_changes
            self._connection.executemany(_SAVE_VOTE, rows)
            changed = self._connection.total_changes - before
            self._connection.execute("UPDATE sittings SET seen = ? WHERE id = ?", (now, sitting.id))
        return changed

    def log(self, sitting: Sitting, client: str, events: Iterable[tuple[int, str, str, str, str]]) -> None:
        """Store events (number, time, kind, item, value); one that is there already is left alone.

        Raises:
            RefusedError: the sitting has more than a page would send.
        """
        with self._transaction():
            count = self._one("SELECT COUNT(*) FROM events WHERE sitting = ?", sitting.id)[0]
            if count >= MOST_EVENTS:
                raise RefusedError(429, "too many events")
            rows = [(sitting.id, client, *event) for event in events]
            self._connection.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def finish(self, sitting: Sitting, details: Mapping[str, str]) -> None:
        """Close a sitting; a second time changes nothing.

        Raises:
            RefusedError: an item is neither answered nor reported.
        """
        with self._transaction():
            if self._finished(sitting):
                return
            have = {
                (row[0], row[1])
                for row in self._all(
                    "SELECT item, question FROM votes WHERE sitting = ? AND (answer != '' OR problem != '')",
                    sitting.id,
                )
            }
            for place, name in enumerate(self._block(sitting).items, 1):
                if any((name, question) not in have for question in self.study.item(name).questions):
                    raise RefusedError(409, f"recording {place} has no answer yet")
            self._connection.execute(
                "UPDATE sittings SET finished = ?, seen = ?, details = ? WHERE id = ?",
                (_now(), _now(), json.dumps(dict(details)), sitting.id),
            )

    def states(self, sitting: Sitting) -> dict[str, dict[str, Any]]:
        """What a page needs to go on where another left off, by item id."""
        found: dict[str, dict[str, Any]] = {}
        rows = self._all(
            "SELECT item, question, answer, problem, plays, played, rate, seconds, time, revision"
            " FROM votes WHERE sitting = ?",
            sitting.id,
        )
        for item, question, answer, problem, plays, played, rate, seconds, time, revision in rows:
            sound = {"plays": plays, "heard": [], "share": played}
            state = found.setdefault(
                item,
                {
                    "answers": {},
                    "problem": problem,
                    "sounds": [dict(sound) for _ in self.study.item(item).stimuli],
                    "rate": rate,
                    "seconds": seconds,
                    "time": time,
                    "revision": revision,
                    "dirty": False,
                },
            )
            if answer:
                state["answers"][question] = answer
        return found

    def progress(self) -> Progress:
        """Counts for the owner."""
        horizon = _stamp(datetime.now(UTC) - timedelta(minutes=10))
        with self._lock:
            done = dict(self._all("SELECT block, COUNT(*) FROM sittings WHERE finished != '' GROUP BY block"))
            live = self._under_way()
            votes = dict(
                self._all(
                    "SELECT block, COUNT(*) FROM votes JOIN sittings ON sittings.id = sitting"
                    " WHERE answer != '' GROUP BY block"
                )
            )
            return Progress(
                tuple(
                    (block.id, done.get(block.id, 0), live.get(block.id, 0), votes.get(block.id, 0))
                    for block in self.study.blocks
                ),
                self._one("SELECT COUNT(DISTINCT rater) FROM sittings")[0],
                sum(votes.values()),
                self._one(
                    "SELECT COUNT(*) FROM (SELECT DISTINCT sitting, item FROM votes WHERE problem != '')"
                )[0],
                self._one("SELECT COUNT(*) FROM votes WHERE answer != '' AND received > ?", horizon)[0],
            )

    def _check(self, sitting: Sitting, ballot: Ballot) -> None:
        if ballot.item not in self._items[sitting.block]:
            raise RefusedError(400, f"there is no item {ballot.item!r} in this part")
        questions = self.study.item(ballot.item).questions
        for name, answer in ballot.answers.items():
            if name not in questions:
                raise RefusedError(400, f"item {ballot.item} does not ask {name!r}")
            if answer not in [choice.value for choice in self.study.question(name).answers]:
                raise RefusedError(400, f"{answer!r} is no answer to {name}")

    def _block(self, sitting: Sitting) -> Block:
        return next(block for block in self.study.blocks if block.id == sitting.block)

    def _finished(self, sitting: Sitting) -> bool:
        return bool(self._one("SELECT finished FROM sittings WHERE id = ?", sitting.id)[0])

    def _has(self, row: Sequence[object]) -> bool:
        stored = self._one(
            "SELECT answer, problem FROM votes WHERE sitting = ? AND item = ? AND question = ?", *row[:3]
        )
        return stored is not None and tuple(stored) == tuple(row[3:5])

    def _free_block(self, own: set[str]) -> str | None:
        """The block with the fewest raters that one who has done others may get."""
        seen = frozenset[str]().union(*(self._items.get(block, frozenset()) for block in own))
        counts = dict(self._all("SELECT block, COUNT(*) FROM sittings WHERE finished != '' GROUP BY block"))
        for block, count in self._under_way().items():
            counts[block] = counts.get(block, 0) + count
        free = [
            (counts.get(block.id, 0), place, block.id)
            for place, block in enumerate(self.study.blocks)
            if counts.get(block.id, 0) < self.study.recruitment.raters_per_item
            and not seen & self._items[block.id]
        ]
        return min(free)[2] if free else None

    def _under_way(self) -> dict[str, int]:
        horizon = _stamp(datetime.now(UTC) - timedelta(minutes=self.study.recruitment.minutes))
        return dict(
            self._all(
                "SELECT block, COUNT(*) FROM sittings WHERE finished = '' AND seen > ? GROUP BY block",
                horizon,
            )
        )

    def _new_rater(self, person: str | None, details: Mapping[str, str]) -> str:
        token = secrets.token_urlsafe(16)
        self._connection.execute(
            "INSERT INTO raters VALUES (?, ?, ?, ?, ?)",
            (token, f"r{secrets.token_hex(6)}", person, json.dumps(dict(details)), _now()),
        )
        return token

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Hold the lock and one transaction; committed at the end, taken back on an error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _one(self, query: str, *values: object) -> Any:
        with self._lock:
            return self._connection.execute(query, values).fetchone()


def _now() -> str:
    return _stamp(datetime.now(UTC))


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
