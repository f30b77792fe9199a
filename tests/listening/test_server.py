"""The server of a study: what is confirmed is kept, once; what is not asked for is not given."""

import csv
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rater_client import Rater, request, vote
from serve_study import serving
from small_study import SYSTEMS, write_pairs, write_scales

from doppelbench.corpora.errors import InputError
from doppelbench.listening.server import ListeningServer, Settings, export_results, make_server
from doppelbench.listening.study import MEDIA, RATERS, Study, read_key, read_study, write_study

ANSWERS = {"naturalness": "4", "similarity": "2"}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_scales(tmp_path)


@pytest.fixture
def server(study: Study, tmp_path: Path) -> Iterator[ListeningServer]:
    with serving(tmp_path, tokens=3, settings=Settings(blocks_per_rater=2)) as running:
        yield running


@pytest.fixture
def rater(server: ListeningServer) -> Rater:
    return Rater(server.url, server.ballots.tokens()[0])


def exported(server: ListeningServer, path: Path) -> list[dict[str, str]]:
    export_results(server.database, server.study, path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def complete(rater: Rater) -> list[str]:
    items = rater.items()
    for item in items:
        rater.answer(item, ANSWERS)
    rater.finish()
    return items


# --- media


def test_a_range_is_a_part_of_the_file(server: ListeningServer) -> None:
    whole = (server.media / "i00a.wav").read_bytes()
    url = f"{server.url}/media/i00a.wav"
    status, headers, body = request(url)
    assert (status, body) == (200, whole)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Type"] == "audio/wav"
    size = len(whole)
    for wanted, first, last in (
        ("bytes=0-9", 0, 9),
        ("bytes=100-", 100, size - 1),
        ("bytes=-7", size - 7, size - 1),
        (f"bytes=5-{size + 100}", 5, size - 1),
    ):
        status, headers, body = request(url, headers={"Range": wanted})
        assert (status, body) == (206, whole[first : last + 1]), wanted
        assert headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    assert request(url, method="HEAD")[1]["Content-Length"] == str(len(whole))


@pytest.mark.parametrize("wanted", ["bytes=999999-", "bytes=5-2", "bytes=-"])
def test_a_range_outside_the_file_is_refused(server: ListeningServer, wanted: str) -> None:
    status, headers, _ = request(f"{server.url}/media/i00a.wav", headers={"Range": wanted})
    size = (server.media / "i00a.wav").stat().st_size
    assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("wanted", ["bytes=0-1,3-4", "items=0-1", "bytes=" + "9" * 40 + "-"])
def test_a_range_of_another_form_gets_the_whole_file(server: ListeningServer, wanted: str) -> None:
    assert request(f"{server.url}/media/i00a.wav", headers={"Range": wanted})[0] == 200


def test_a_range_of_a_changed_file_gets_the_whole_file(server: ListeningServer) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert request(f"{server.url}/media/i00a.wav", headers=headers)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/media/../study.json",
        "/media/..%2fstudy.json",
        "/media/%2e%2e/%2e%2e/key.json",
        "/media/..%5c..%5ckey.json",
        "/media//etc/passwd",
        "/media/",
        "/media/stray.wav",
        "/media/i00a.wav%00",
        "/raters/study.json",
        "/key.json",
        "/votes.sqlite",
        "/static/../page.js",
        "/static/fragment.html.j2",
        "/r/nobody",
        "/r/",
        "/owner/",
        "/owner/guess",
        "/owner/guess/results.csv",
        "/owner/%ff",
    ],
)
def test_nothing_but_the_study_is_given(server: ListeningServer, path: str) -> None:
    (server.media / "stray.wav").write_bytes(b"not of the study")
    status, _, body = request(server.url + path)
    assert status == 404
    assert b"salt" not in body
    assert b"stray" not in body


def test_every_answer_says_what_browsers_may_do_with_it(server: ListeningServer, rater: Rater) -> None:
    for url in (rater.url, f"{server.url}/media/i00a.wav", f"{server.url}/nothing", server.owner_url()):
        headers = request(url)[1]
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in headers
        assert "Python" not in headers["Server"]


def test_links_are_those_that_others_can_reach(tmp_path: Path, study: Study) -> None:
    with serving(tmp_path, settings=Settings(public_url="https://lab.example.org/study/")) as server:
        assert server.rater_url("t") == "https://lab.example.org/study/r/t"


def test_only_this_machine_is_served_unless_told(server: ListeningServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


# --- raters and blocks


def test_every_block_gets_as_many_raters_as_the_study_asks_for(tmp_path: Path) -> None:
    write_scales(tmp_path, blocks=3, raters=4)
    with serving(tmp_path, tokens=13) as server:
        raters = [Rater(server.url, token) for token in server.ballots.tokens()]
        blocks = Counter()
        for rater in raters[:12]:
            blocks[complete(rater)[0]] += 1
        assert set(blocks.values()) == {4}
        assert b"All parts of this study are taken" in request(raters[12].url)[2]


def test_blocks_are_given_evenly(tmp_path: Path) -> None:
    write_scales(tmp_path, blocks=3, raters=4)
    with serving(tmp_path, tokens=6) as server:
        blocks = Counter(Rater(server.url, token).items()[0] for token in server.ballots.tokens())
    assert set(blocks.values()) == {2}


def test_nobody_gets_an_item_twice(server: ListeningServer, rater: Rater) -> None:
    first = complete(rater)
    status, headers, _ = request(f"{rater.url}/next", b"")
    assert (status, headers["Location"]) == (303, f"../{rater.token}")
    second = rater.items()
    assert not set(first) & set(second)
    complete(rater)
    assert b"Do another part" not in request(rater.url)[2]
    request(f"{rater.url}/next", b"")
    assert b"completion code" in request(rater.url)[2]


def test_a_block_that_shares_an_item_is_not_given_to_the_same_rater(tmp_path: Path) -> None:
    study = write_scales(tmp_path, blocks=2)
    shared = replace(study.blocks[1], items=(study.blocks[0].items[0], *study.blocks[1].items))
    write_study(tmp_path, replace(study, blocks=(study.blocks[0], shared)), read_key(tmp_path))
    with serving(tmp_path, tokens=1, settings=Settings(blocks_per_rater=2)) as server:
        rater = Rater(server.url, server.ballots.tokens()[0])
        complete(rater)
        assert b"Do another part" not in request(rater.url)[2]


def test_an_abandoned_block_is_given_again(tmp_path: Path) -> None:
    write_scales(tmp_path, blocks=1, raters=1)
    with serving(tmp_path, tokens=2) as server:
        first, second = (Rater(server.url, token) for token in server.ballots.tokens())
        assert first.items()
        assert not second.items()
        with sqlite3.connect(server.database) as connection:
            connection.execute("UPDATE sittings SET seen = '2020-01-01T00:00:00.000+00:00'")
        assert second.items()
        first.answer("i00", ANSWERS)


def test_training_comes_with_the_first_block_alone(tmp_path: Path) -> None:
    write_scales(tmp_path, training=1)
    with serving(tmp_path, tokens=1, settings=Settings(blocks_per_rater=2)) as server:
        rater = Rater(server.url, server.ballots.tokens()[0])
        assert b"p0a.wav" in request(rater.url)[2]
        complete(rater)
        request(f"{rater.url}/next", b"")
        assert b"p0a.wav" not in request(rater.url)[2]


def test_without_a_link_there_is_no_way_in(server: ListeningServer) -> None:
    assert request(server.url + "/")[0] == 403
    assert request(server.url + "/?PROLIFIC_PID=abc")[0] == 403


def test_anyone_may_come_when_the_owner_says_so(tmp_path: Path, study: Study) -> None:
    with serving(tmp_path, settings=Settings(anyone=True)) as server:
        places = {request(server.url + "/")[1]["Location"] for _ in range(3)}
        assert len(places) == 3
        assert all(request(f"{server.url}/{place}")[0] == 200 for place in places)


def test_somebody_from_prolific_has_one_token(tmp_path: Path, study: Study) -> None:
    with serving(tmp_path, settings=Settings(prolific=True, code="C0DE")) as server:
        entry = server.url + "/?PROLIFIC_PID=person%201&STUDY_ID=s&SESSION_ID="
        places = [request(entry + session)[1]["Location"] for session in "ab"]
        assert places[0] == places[1] != request(server.url + "/?PROLIFIC_PID=other")[1]["Location"]
        assert request(server.url + "/?STUDY_ID=s")[0] == 403
        rater = Rater(server.url, places[0].removeprefix("r/"))
        complete(rater)
        page = request(rater.url)[2].decode()
        assert "https://app.prolific.com/submissions/complete?cc=C0DE" in page
        assert "person 1" not in str(exported(server, tmp_path / "results.csv"))


def test_the_page_of_a_finished_part_shows_the_code(server: ListeningServer, rater: Rater) -> None:
    assert server.code.encode() not in request(rater.url)[2]
    complete(rater)
    assert server.code.encode() in request(rater.url)[2]


# --- votes


def test_a_vote_sent_twice_is_one_vote(server: ListeningServer, rater: Rater, tmp_path: Path) -> None:
    item = rater.items()[0]
    assert request(f"{rater.url}/votes", vote(item, ANSWERS))[2] == b'{"saved": 2, "revision": 1}'
    assert request(f"{rater.url}/votes", vote(item, ANSWERS))[2] == b'{"saved": 0, "revision": 1}'
    (row,) = exported(server, tmp_path / "results.csv")
    assert row["Answer.naturalness_0"] == "4"


def test_the_last_answer_of_a_page_counts_in_whatever_order_it_arrives(rater: Rater) -> None:
    item = rater.items()[0]
    rater.answer(item, {"naturalness": "5"}, revision=3)
    rater.answer(item, {"naturalness": "1"}, revision=2)
    assert rater.state()[item]["answers"] == {"naturalness": "5"}


def test_a_rater_may_go_on_with_another_device_whose_clock_is_late(rater: Rater) -> None:
    item = rater.items()[0]
    rater.answer(item, {"naturalness": "5"}, revision=2_000)
    request(f"{rater.url}/votes", vote(item, {"naturalness": "2"}, revision=1_000, client="c2"))
    assert rater.state()[item]["answers"] == {"naturalness": "2"}


def test_a_problem_takes_the_answers_back(server: ListeningServer, rater: Rater, tmp_path: Path) -> None:
    item = rater.items()[0]
    rater.answer(item, ANSWERS)
    request(f"{rater.url}/votes", vote(item, {}, revision=2, problem='No sound, "really"\nnone'))
    (row,) = exported(server, tmp_path / "results.csv")
    assert row["Answer.problem_0"] == 'No sound, "really"\nnone'
    assert row["Answer.naturalness_0"] == row["Answer.similarity_0"] == ""
    request(f"{rater.url}/votes", vote(item, {"naturalness": "3"}, revision=3))
    (row,) = exported(server, tmp_path / "results.csv")
    assert [row[f"Answer.{name}_0"] for name in ("problem", "naturalness", "similarity")] == ["", "3", ""]
    assert server.ballots.progress().problems == 0


def test_a_part_is_finished_only_when_everything_is_answered(rater: Rater) -> None:
    first, second = rater.items()
    rater.answer(first, ANSWERS)
    rater.answer(second, {"naturalness": "4"})
    status, _, body = request(f"{rater.url}/finish", {"client": "c1"})
    assert (status, body) == (409, b'{"error": "recording 2 has no answer yet"}')
    request(f"{rater.url}/votes", vote(second, {}, revision=2, problem="No sound"))
    rater.finish()
    rater.finish()


def test_a_finished_part_cannot_be_changed_but_a_retry_is_confirmed(rater: Rater) -> None:
    item = complete(rater)[0]
    assert request(f"{rater.url}/votes", vote(item, ANSWERS))[0] == 200
    status, _, body = request(f"{rater.url}/votes", vote(item, {"naturalness": "1"}, revision=9))
    assert status == 409
    assert b"cannot be changed" in body


def test_events_sent_twice_are_kept_once(server: ListeningServer, rater: Rater) -> None:
    rater.items()
    events = [
        {"n": number, "at": "2026-01-02T03:04:05Z", "kind": kind, "item": "i00", "value": number / 2}
        for number, kind in enumerate(("shown", "play", "seek"))
    ]
    for _ in range(2):
        assert request(f"{rater.url}/events", {"client": "c1", "events": events})[0] == 200
    with sqlite3.connect(server.database) as connection:
        assert connection.execute("SELECT kind, value FROM events ORDER BY number").fetchall() == [
            ("shown", "0.0"),
            ("play", "0.5"),
            ("seek", "1.0"),
        ]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "no JSON"),
        (b"\xff", 400, "no JSON"),
        (b"[]", 400, "no JSON object"),
        (b"[" * 60_000, 400, "no JSON"),
        (b"x" * 70_000, 413, "larger than 65536 bytes"),
        (vote("i99", ANSWERS), 400, "no item 'i99'"),
        (vote("i10", ANSWERS), 400, "no item 'i10' in this part"),
        (vote("i00", {"loudness": "1"}), 400, "does not ask 'loudness'"),
        (vote("i00", {"naturalness": "6"}), 400, "'6' is no answer to naturalness"),
        (vote("i00", {"naturalness": 4}), 400, "answers is no object of texts"),  # type: ignore[dict-item]
        (vote("i00", ANSWERS) | {"answers": []}, 400, "answers is no object of texts"),
        (vote("i00", ANSWERS, played=1.5), 400, "played is no number from 0 to 1"),
        (vote("i00", ANSWERS, played=float("nan")), 400, "played is no number"),
        (vote("i00", ANSWERS, plays=True), 400, "plays is no number"),
        (vote("i00", ANSWERS, seconds=None), 400, "seconds is no number"),
        (vote("i00", ANSWERS, time="yesterday"), 400, "time is no time in ISO 8601"),
        (vote("i00", ANSWERS, client="../x"), 400, "client is no name of a page"),
        (vote("i00", ANSWERS, problem="x" * 1001), 400, "problem is no text of at most 1000"),
        (vote("i00", ANSWERS, problem="\ud800"), 400, "problem is no text"),
        ({"item": "i00"}, 400, "answers is no object"),
    ],
)
def test_a_body_that_is_no_vote_is_refused(rater: Rater, body: object, status: int, reason: str) -> None:
    rater.items()
    answer = request(f"{rater.url}/votes", body)
    assert answer[0] == status
    assert reason in answer[2].decode()
    assert rater.state() == {}


@pytest.mark.parametrize(
    "events",
    [
        None,
        [1],
        [{"n": 1, "at": "2026-01-02", "kind": "<b>"}],
        [{"n": 1, "at": "2026-01-02", "kind": "play", "value": []}],
    ],
)
def test_events_of_another_form_are_refused(rater: Rater, events: object) -> None:
    rater.items()
    assert request(f"{rater.url}/events", {"client": "c1", "events": events})[0] == 400


def test_a_form_of_another_site_cannot_vote(rater: Rater) -> None:
    item = rater.items()[0]
    headers = {"Content-Type": "text/plain"}
    assert request(f"{rater.url}/votes", vote(item, ANSWERS), headers)[0] == 415


def test_a_body_without_a_length_is_refused(server: ListeningServer, rater: Rater) -> None:
    with socket.create_connection(server.server_address[:2], timeout=10) as connection:
        head = f"POST /r/{rater.token}/votes HTTP/1.1", "Host: x", "Content-Type: application/json"
        connection.sendall("\r\n".join((*head, "", "")).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 411 ")


def test_votes_of_somebody_else_are_out_of_reach(server: ListeningServer, rater: Rater) -> None:
    other = Rater(server.url, server.ballots.tokens()[1])
    item = rater.items()[0]
    assert item not in other.items()
    assert request(f"{other.url}/votes", vote(item, ANSWERS))[0] == 400
    assert request(f"{server.url}/r/nobody/votes", vote(item, ANSWERS))[0] == 404


# --- the owner


def test_the_owner_sees_counts_and_no_system(server: ListeningServer, rater: Rater) -> None:
    complete(rater)
    status, headers, body = request(server.owner_url())
    assert (status, headers["Refresh"]) == (200, "10")
    assert b"4 votes, 1 raters, 0 clips" in body
    assert b"1 of 2" in body
    assert not [name for name in SYSTEMS if name.encode() in body]
    status, headers, results = request(server.owner_url() + "/results.csv")
    assert results.startswith(b'"HITId","HITTypeId"')
    assert "attachment" in headers["Content-Disposition"]


def test_results_have_the_columns_of_the_platforms(
    server: ListeningServer, rater: Rater, tmp_path: Path
) -> None:
    complete(rater)
    other = Rater(server.url, server.ballots.tokens()[1])
    items = other.items()
    other.answer(items[1], {"naturalness": "3"})
    rows = exported(server, tmp_path / "results.csv")
    columns = list(rows[0])
    assert columns[:2] == ["HITId", "HITTypeId"]
    assert columns[14:17] == ["AssignmentId", "WorkerId", "AssignmentStatus"]
    assert columns[26:28] == ["Last7DaysApprovalRate", "Input.block"]
    assert columns[-2:] == ["Approve", "Reject"]
    assert columns.index("Input.target_1") < columns.index("Answer.naturalness_0")
    done, started = rows
    assert [done[name] for name in ("AssignmentStatus", "Reward", "HITId")] == ["Submitted", "$0.50", "b0"]
    assert time.strptime(done["SubmitTime"], "%a %b %d %H:%M:%S UTC %Y")
    names = ("similarity", "plays", "played", "rate", "seconds", "time")
    values = ("2", "1", "1", "1", "2.5", "2026-01-02T03:04:05.678Z")
    assert tuple(done[f"Answer.{name}_1"] for name in names) == values
    assert [started[name] for name in ("AssignmentStatus", "SubmitTime")] == ["Started", ""]
    assert started["Input.item_1"] == items[1]
    assert [started[f"Answer.naturalness_{place}"] for place in (0, 1)] == ["", "3"]
    tokens = server.ballots.tokens()
    assert not [token for token in tokens if token in str(rows)]
    assert done["WorkerId"] != started["WorkerId"]


def test_results_can_be_had_without_the_server(tmp_path: Path) -> None:
    study = write_pairs(tmp_path)
    with serving(tmp_path, tokens=1) as server:
        rater = Rater(server.url, server.ballots.tokens()[0])
        for item in rater.items():
            rater.answer(item, {"preference": "second"})
        database = server.database
    assert export_results(database, study, tmp_path / "new" / "results.csv") == 1
    assert '"second"' in (tmp_path / "new" / "results.csv").read_text()


# --- restarts


def test_a_restart_goes_on_with_the_same_database(tmp_path: Path, study: Study) -> None:
    with serving(tmp_path, tokens=2) as server:
        token, secrets = server.ballots.tokens()[0], (server.code, server.owner)
        item = Rater(server.url, token).items()[0]
        Rater(server.url, token).answer(item, ANSWERS)
    with serving(tmp_path, tokens=2) as server:
        assert server.ballots.tokens()[0] == token
        assert len(server.ballots.tokens()) == 2
        assert (server.code, server.owner) == secrets
        assert Rater(server.url, token).state()[item]["answers"] == ANSWERS


def test_a_database_of_another_study_is_refused(tmp_path: Path) -> None:
    write_scales(tmp_path / "one")
    other = write_scales(tmp_path / "two", items=3)
    make_server(tmp_path / "one", database=tmp_path / "votes").server_close()
    with pytest.raises(InputError, match="another study"):
        make_server(tmp_path / "two", database=tmp_path / "votes")
    with pytest.raises(InputError, match="another study"):
        export_results(tmp_path / "votes", other, tmp_path / "results.csv")


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b"no database" * 100), lambda path: path.mkdir()]
)
def test_a_file_that_is_no_database_is_refused(
    tmp_path: Path, study: Study, damage: Callable[[Path], object]
) -> None:
    damage(tmp_path / "votes")
    with pytest.raises(InputError, match=r"votes: (no|there is no) database"):
        make_server(tmp_path, database=tmp_path / "votes")
    with pytest.raises(InputError, match=r"votes: (no|there is no) database"):
        export_results(tmp_path / "votes", study, tmp_path / "results.csv")


def test_a_missing_or_changed_sound_is_noticed_at_the_start(tmp_path: Path, study: Study) -> None:
    path = tmp_path / RATERS / MEDIA / "i00a.wav"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"i00a\.wav: was changed"):
        make_server(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"i00a\.wav: a file of the study is missing"):
        make_server(tmp_path)


def test_a_port_that_is_taken_is_named(server: ListeningServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be served on"):
        make_server(tmp_path, port=server.server_address[1], database=tmp_path / "other")


class Process:
    """A server in a process of its own that is killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        script = Path(__file__).parent / "serve_study.py"
        self.process = subprocess.Popen([sys.executable, str(script), str(self.folder), str(self.port)])

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def vote_through_kills(folder: Path, raters: int, kills: int) -> tuple[list[Rater], float]:
    """All raters of a study answer everything at once while the server is killed and started again."""
    study = read_study(folder)
    with serving(folder, tokens=raters) as server:
        tokens = server.ballots.tokens()
    process = Process(folder)
    try:
        people = [Rater(process.url, token) for token in tokens]
        threads = [threading.Thread(target=complete, args=(rater,)) for rater in people]
        people[0].items()
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        expected = sum(len(block.items) for block in study.blocks) * study.recruitment.raters_per_item * 2
        for kill in range(1, kills + 1):
            while sum(len(rater.confirmed) for rater in people) < expected * kill / (kills + 1):
                time.sleep(0.002)
            process.kill()
            process.start()
        for thread in threads:
            thread.join()
        return people, time.perf_counter() - start
    finally:
        process.kill()


def check_votes(folder: Path, people: list[Rater]) -> int:
    """Exactly what was confirmed is in the database, once; the number of votes."""
    with sqlite3.connect(folder / "votes.sqlite") as connection:
        stored = connection.execute(
            "SELECT token, item, question, answer FROM votes"
            " JOIN sittings ON sittings.id = sitting JOIN raters ON raters.name = rater"
        ).fetchall()
        finished = connection.execute("SELECT COUNT(*) FROM sittings WHERE finished != ''").fetchone()[0]
    confirmed = [(rater.token, *name, answer) for rater in people for name, answer in rater.confirmed.items()]
    assert sorted(stored) == sorted(confirmed)
    assert finished == len(people)
    return len(stored)


def test_no_confirmed_vote_is_lost_or_doubled_when_the_server_is_killed(tmp_path: Path) -> None:
    study = write_scales(tmp_path, blocks=1, items=20, raters=3)
    people, _ = vote_through_kills(tmp_path, raters=3, kills=1)
    assert sum(rater.retries for rater in people) > 0
    assert check_votes(tmp_path, people) == 3 * 20 * 2
    assert export_results(tmp_path / "votes.sqlite", study, tmp_path / "results.csv") == 3


@pytest.mark.slow
def test_two_hundred_raters_at_once_and_a_server_that_is_killed(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    write_scales(tmp_path, blocks=20, items=12, raters=10)
    people, seconds = vote_through_kills(tmp_path, raters=200, kills=2)
    assert sum(rater.retries for rater in people) > 0
    votes = check_votes(tmp_path, people)
    assert votes == 200 * 12 * 2
    record_testsuite_property("votes", votes)
    record_testsuite_property("seconds", round(seconds, 1))
    study = read_study(tmp_path)
    assert export_results(tmp_path / "votes.sqlite", study, tmp_path / "results.csv") == 200
