"""The rater's page in a real browser: locked until heard, usable by keyboard, kept through reloads."""

import csv
import re
import sqlite3
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from browser import chromium
from serve_study import serving
from small_study import NATURALNESS, PREFERENCE, write_pairs, write_scales, write_videos

from doppelbench.listening.export import export_results
from doppelbench.listening.pages import api_question, sheet_row, substitute, template, write_sheets
from doppelbench.listening.server import ListeningServer
from doppelbench.listening.study import Study

WAIT = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@contextmanager
def hosted(browser: Any, folder: Path, **options: Any) -> Iterator[tuple[Any, ListeningServer]]:
    """The page of the first rater of the study in a folder."""
    with serving(folder, tokens=2) as server:
        context = browser.new_context(**options)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda line: problems.append(line.text) if "Content Security" in line.text else None
        )
        page.goto(server.rater_url(server.ballots.tokens()[0]))
        yield page, server
        context.close()
        assert problems == []


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_scales(tmp_path, questions=(NATURALNESS,))


def agree(page: Any) -> None:
    """Go past consent and volume."""
    page.get_by_label("I have read this and agree to take part").check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()


def screen(page: Any) -> Any:
    return page.locator(".lt-screen:visible")


def heading(page: Any) -> str:
    return str(screen(page).locator("h2").inner_text())


def listen(page: Any) -> None:
    """Play everything on the screen to its end."""
    for player in screen(page).locator(".lt-player").all():
        player.locator(".lt-play").click()
        player.get_by_text("Heard", exact=True).wait_for()


def locked(page: Any) -> bool:
    return bool(screen(page).locator("fieldset").first.evaluate("one => one.disabled"))


def rate(page: Any, name: str) -> None:
    screen(page).get_by_label(name, exact=True).check()


def answer_all(page: Any, name: str) -> None:
    while re.match(r"\d+ of|Practice", heading(page)):
        listen(page)
        for fieldset in screen(page).locator("fieldset").all():
            fieldset.get_by_label(name, exact=True).check()
        page.get_by_role("button", name="Next").click()


def results(server: ListeningServer, path: Path) -> list[dict[str, str]]:
    export_results(server.database, server.study, path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT / 1000
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def axe(page: Any) -> list[str]:
    """Rules of accessibility that the page breaks."""
    found = (
        pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(page).response["violations"]
    )
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


def test_rating_is_locked_until_every_sound_was_heard(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, _):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
        agree(page)
        assert locked(page)
        assert "Locked: first listen to everything" in screen(page).inner_text()
        page.keyboard.press("4")
        assert "Locked" in page.locator("#lt-status").inner_text()
        page.get_by_role("button", name="Next").click()
        assert heading(page) == "1 of 2"
        screen(page).locator(".lt-play").first.click()
        screen(page).get_by_text("Heard", exact=True).wait_for()
        assert locked(page)
        listen(page)
        assert not locked(page)
        assert page.locator("#lt-status").inner_text() == "You can answer now."
        assert {"i01a.wav", "i01b.wav"} <= set(asked), "the next sounds are fetched ahead"


@pytest.mark.slow
def test_one_play_is_enough_on_a_slow_machine(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, _):
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 10})
        agree(page)
        for _ in range(2):
            listen(page)
            for player in screen(page).locator(".lt-player").all():
                player.get_by_role("button", name="Play again").click()
            rate(page, "4 Good")
            page.get_by_role("button", name="Next").click()


def test_dragging_to_the_end_does_not_unlock(browser: Any, tmp_path: Path) -> None:
    write_pairs(tmp_path, items=1, seconds=2.0)
    with hosted(browser, tmp_path) as (page, _):
        agree(page)
        paused, running = screen(page).locator(".lt-player").all()
        for player in (paused, running):
            media, play = player.locator("audio"), player.locator(".lt-play")
            media.evaluate(
                "one => new Promise(done => one.readyState ? done() : one.onloadedmetadata = done)"
            )
            if player is running:
                play.click()
                player.get_by_role("slider").fill("950")
            else:
                player.get_by_role("slider").fill("950")
                play.click()
            media.evaluate("one => new Promise(done => one.ended ? done() : one.onended = done)")
            assert player.get_by_text("Heard", exact=True).count() == 0
        assert locked(page)


@pytest.mark.slow
def test_hearing_one_half_twice_does_not_unlock(browser: Any, tmp_path: Path) -> None:
    write_pairs(tmp_path, seconds=1.0)
    with hosted(browser, tmp_path) as (page, _):
        agree(page)
        for player in screen(page).locator(".lt-player").all():
            media = player.locator("audio")
            for _ in range(2):
                media.evaluate(
                    "media => new Promise(done => { media.currentTime = 0; media.play();"
                    " media.ontimeupdate = () => { if (media.currentTime < 0.4 || media.seeking) return;"
                    " media.pause(); done(); }; })"
                )
        assert locked(page)


def test_four_times_the_speed_does_not_unlock(browser: Any, tmp_path: Path) -> None:
    write_scales(tmp_path, seconds=0.8, questions=(NATURALNESS,))
    with hosted(browser, tmp_path) as (page, server):
        agree(page)
        for media in screen(page).locator("audio").all():
            media.evaluate(
                "media => new Promise(done => { const hurry = () => { media.playbackRate = 4; };"
                " const timer = setInterval(hurry, 1); hurry(); media.play();"
                " media.onended = () => { clearInterval(timer); done(); }; })"
            )
        assert locked(page)
        assert "Only normal speed counts." in page.locator("#lt-status").inner_text()
        for media in screen(page).locator("audio").all():
            media.evaluate("media => { media.playbackRate = 1; }")
        listen(page)
        rate(page, "2 Poor")
        page.get_by_text("Chosen: Poor").wait_for()
        until(lambda: server.ballots.progress().votes == 1)
        (row,) = results(server, tmp_path / "results.csv")
        assert float(row["Answer.rate_0"]) == 4

        def logged() -> set[str]:
            with sqlite3.connect(server.database) as connection:
                found = connection.execute("SELECT value FROM events WHERE kind = 'rate' AND item = 'i00'")
                return {value for (value,) in found}

        # Events come in a post of their own, which may be later than that of the vote.
        until(lambda: bool(logged()))
        assert logged() == {"4"}


def test_a_block_can_be_done_with_the_keyboard_alone(browser: Any, tmp_path: Path) -> None:
    write_scales(tmp_path, training=1)
    with hosted(browser, tmp_path) as (page, server):
        press = page.keyboard.press

        def tab_to(name: str) -> None:
            for _ in range(40):
                press("Tab")
                if page.evaluate("() => document.activeElement.id") == name:
                    return
            raise AssertionError(f"{name} is out of reach")

        tab_to("lt-agree")
        press("Enter")
        press("Space")
        tab_to("lt-next")
        press("Enter")
        assert heading(page) == "Set your volume"
        press("ArrowRight")
        for expected in ("Practice 1 of 1", "1 of 2", "2 of 2"):
            assert heading(page) == expected
            for number in (0, 1):
                press("Space")
                screen(page).locator(".lt-player").nth(number).get_by_text("Heard", exact=True).wait_for()
            press("r")
            press("5")
            press("2")
            press("Enter")
            press("ArrowRight")
        assert heading(page) == "All done"
        press("ArrowLeft")
        assert heading(page) == "2 of 2"
        press("ArrowRight")
        tab_to("lt-submit")
        press("Enter")
        page.get_by_text(server.code).wait_for()
        (row,) = results(server, tmp_path / "results.csv")
        assert [row[f"Answer.{name}"] for name in ("naturalness_0", "similarity_0", "naturalness_1")] == [
            "5",
            "2",
            "5",
        ]
        assert float(row["Answer.played_1"]) >= 0.95
        assert int(row["Answer.plays_0"]) >= 1
        assert row["Answer.rate_0"] == "1"
        assert float(row["Answer.seconds_0"]) > 0.9
        assert row["Answer.pointer"] == "fine"
        assert row["AssignmentStatus"] == "Submitted"


def test_a_reload_goes_on_where_it_was(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, _):
        agree(page)
        listen(page)
        rate(page, "4 Good")
        page.get_by_role("button", name="Next").click()
        screen(page).locator(".lt-play").first.click()
        screen(page).get_by_text("Heard", exact=True).wait_for()
        page.reload()
        assert heading(page) == "2 of 2"
        assert screen(page).get_by_text("Heard", exact=True).count() == 1
        page.get_by_role("button", name="Back").click()
        assert screen(page).get_by_label("4 Good").is_checked()
        assert not locked(page)


@pytest.mark.slow
def test_another_device_goes_on_with_what_the_server_has(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, server):
        agree(page)
        listen(page)
        rate(page, "4 Good")
        page.get_by_role("button", name="Next").click()
        until(lambda: server.ballots.progress().votes == 1)
        other = browser.new_context().new_page()
        other.goto(page.url)
        assert heading(other) == "2 of 2"
        answer_all(other, "1 Bad")
        other.get_by_role("button", name="Send my answers").click()
        other.get_by_text(server.code).wait_for()
        other.context.close()
        (row,) = results(server, tmp_path / "results.csv")
        assert [row["Answer.naturalness_0"], row["Answer.naturalness_1"]] == ["4", "1"]
        assert float(row["Answer.played_0"]) >= 0.95


@pytest.mark.slow
def test_answers_wait_for_a_server_that_is_away(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, server):
        agree(page)
        listen(page)
        page.route("**/votes", lambda route: route.abort())
        rate(page, "3 Fair")
        page.get_by_text("Not saved on the server yet").wait_for()
        page.unroute("**/votes")
        page.get_by_text("Everything is saved.").wait_for()
        (row,) = results(server, tmp_path / "results.csv")
        assert row["Answer.naturalness_0"] == "3"


@pytest.mark.slow
def test_a_sound_that_fails_to_load_is_tried_again(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, _):
        failures = []

        def fail_once(route: Any) -> None:
            if len(failures) < 2:
                failures.append(route.request.url)
                route.abort()
            else:
                route.continue_()

        page.route("**/media/*a.wav", fail_once)
        agree(page)
        listen(page)
        assert not locked(page)
        assert failures


@pytest.mark.slow
def test_a_faulty_clip_is_reported_instead_of_rated(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, server):
        agree(page)
        listen(page)
        rate(page, "3 Fair")
        screen(page).get_by_text("Something is wrong with this clip").click()
        screen(page).get_by_label("What is wrong?").select_option("It is damaged")
        screen(page).get_by_label("In your words").fill("clicks")
        assert axe(page) == []
        page.get_by_role("button", name="Next").click()
        assert heading(page) == "2 of 2"
        answer_all(page, "4 Good")
        page.get_by_role("button", name="Send my answers").click()
        page.get_by_text(server.code).wait_for()
        (row,) = results(server, tmp_path / "results.csv")
        assert (row["Answer.problem_0"], row["Answer.naturalness_0"]) == ("It is damaged: clicks", "")
        assert (row["Answer.problem_1"], row["Answer.naturalness_1"]) == ("", "4")


@pytest.mark.slow
def test_pairs_are_answered_by_word(browser: Any, tmp_path: Path) -> None:
    write_pairs(tmp_path)
    with hosted(browser, tmp_path) as (page, server):
        agree(page)
        assert screen(page).get_by_role("heading", level=3).all_inner_texts() == [
            "Recording A",
            "Recording B",
        ]
        answer_all(page, PREFERENCE.answers[1].word)
        page.get_by_role("button", name="Send my answers").click()
        page.get_by_text(server.code).wait_for()
        (row,) = results(server, tmp_path / "results.csv")
        assert row["Answer.preference_1"] == "second"


def test_a_video_plays_and_unlocks(browser: Any, tmp_path: Path) -> None:
    write_videos(tmp_path)
    with hosted(browser, tmp_path) as (page, _):
        agree(page)
        assert locked(page)
        listen(page)
        assert screen(page).locator("video").evaluate("media => media.videoWidth") == 64
        assert not locked(page)
        assert axe(page) == []


@pytest.mark.slow
def test_the_headphone_check_is_recorded_and_bars_nobody(browser: Any, study: Study, tmp_path: Path) -> None:
    with hosted(browser, tmp_path) as (page, server):
        page.get_by_label("I have read this and agree to take part").check()
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Play the sound").click()
        for group in screen(page).get_by_role("group").all():
            group.get_by_role("button", name="Play tones").click()
            group.get_by_label("First").check()
        page.get_by_role("button", name="Next").click()
        answer_all(page, "4 Good")
        page.get_by_role("button", name="Send my answers").click()
        page.get_by_text(server.code).wait_for()
        (row,) = results(server, tmp_path / "results.csv")
        assert re.fullmatch(r"[0-3]/3", row["Answer.headphones"])
        assert int(float(row["Answer.samplerate"])) >= 8000


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewport": {"width": 1280, "height": 800}}, marks=pytest.mark.slow),
        {
            "viewport": {"width": 360, "height": 640},
            "is_mobile": True,
            "has_touch": True,
            "device_scale_factor": 2,
        },
    ],
    ids=["desktop", "phone"],
)
def test_every_screen_is_accessible_and_fits(browser: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    write_scales(tmp_path, items=1, training=1, instructions=("A" * 80, "Rate each recording."))
    with hosted(browser, tmp_path, **options) as (page, server):

        def check() -> None:
            assert axe(page) == []
            assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
            small = page.evaluate(
                "() => { const small = one => { const box = one.getBoundingClientRect();"
                " return box.height < 44 || box.width < 44; };"
                " const all = document.querySelectorAll('button, summary, select, textarea, label, input');"
                " return Array.from(all).filter(one => one.checkVisibility() && small(one)"
                " && !(one.tagName === 'INPUT' && one.closest('label'))).map(one => one.outerHTML); }"
            )
            assert small == []

        check()
        page.get_by_label("I have read this and agree to take part").check()
        page.get_by_role("button", name="Next").click()
        check()
        page.get_by_role("button", name="Next").click()
        check()
        while heading(page) != "All done":
            listen(page)
            for fieldset in screen(page).locator("fieldset").all():
                fieldset.get_by_label("3 Fair").check()
            check()
            page.get_by_role("button", name="Next").click()
        check()
        page.get_by_role("button", name="Send my answers").click()
        page.get_by_text(server.code).wait_for()
        assert axe(page) == []
        page.goto(server.owner_url())
        assert axe(page) == []


@contextmanager
def on_platform(browser: Any, study: Study, folder: Path, query: str) -> Iterator[tuple[Any, list[str]]]:
    """The fragment in a page like a platform's, and what its form posts."""
    sent: list[str] = []
    with serving(folder) as server:
        row = sheet_row(study, study.blocks[0], media_url=f"{server.url}/media")
        host = (
            "<!DOCTYPE html><html lang='en'><head><title>Host</title></head><body>"
            "<form id='mturk_form' method='post' action='/task'>"
            "<input type='hidden' name='assignmentId' value=''>"
            f"{substitute(template(study), row)}</form></body></html>"
        )
        context = browser.new_context()
        context.set_default_timeout(WAIT)
        page = context.new_page()

        def answer(route: Any) -> None:
            if route.request.method == "POST":
                sent.append(route.request.post_data or "")
                route.fulfill(body="sent", content_type="text/plain")
            else:
                route.fulfill(body=host, content_type="text/html; charset=utf-8")

        page.route(f"{server.url}/task*", answer)
        page.goto(f"{server.url}/task?{query}")
        yield page, sent
        context.close()


@pytest.mark.slow
def test_the_platform_gets_the_fields_of_the_sheet(browser: Any, tmp_path: Path) -> None:
    study = write_scales(tmp_path, training=1)
    with on_platform(browser, study, tmp_path, "assignmentId=A1&workerId=W1") as (page, sent):
        agree(page)
        answer_all(page, "4 Good")
        page.get_by_role("button", name="Send my answers").click()
        page.get_by_text("sent").wait_for()
        values = dict(parse_qsl(sent[0], keep_blank_values=True))
        assert values["assignmentId"] == "A1"
        expected = {"assignmentId", "headphones", "samplerate", "pointer", "agent", "away", "comment"}
        for place in (0, 1):
            expected |= {
                f"{name}_{place}"
                for name in (
                    "naturalness",
                    "similarity",
                    "plays",
                    "played",
                    "rate",
                    "seconds",
                    "time",
                    "problem",
                )
            }
        assert values.keys() == expected
        assert values["similarity_1"] == "4"
        assert float(values["played_0"]) >= 0.95


def test_a_preview_lets_nobody_submit(browser: Any, study: Study, tmp_path: Path) -> None:
    with on_platform(browser, study, tmp_path, "assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE") as (page, sent):
        page.get_by_text("This is a preview.").wait_for()
        assert page.get_by_label("I have read this").is_disabled()
        assert page.get_by_role("button", name="Next").is_disabled()
        assert page.locator("#lt-submit").is_disabled()
        page.keyboard.press("ArrowRight")
        page.evaluate("() => document.getElementById('mturk_form').requestSubmit()")
        page.wait_for_timeout(100)
        assert heading(page) == "Before you start"
        assert sent == []


@pytest.mark.parametrize(
    ("submit_to", "action"),
    [
        ("https://workersandbox.mturk.com", "https://workersandbox.mturk.com/mturk/externalSubmit"),
        ("https://thief.example.org", "https://www.mturk.com/mturk/externalSubmit"),
    ],
)
def test_the_question_of_the_api_posts_to_the_platform_alone(
    browser: Any, study: Study, submit_to: str, action: str
) -> None:
    question = api_question(study, study.blocks[0], media_url="https://media.example.org")
    content = next(
        one.text for one in ElementTree.fromstring(question.encode()) if one.tag.endswith("Content")
    )
    page = browser.new_page()
    page.route("**/*", lambda route: route.fulfill(body=content, content_type="text/html; charset=utf-8"))
    page.goto(f"https://task.example.org/?assignmentId=A1&hitId=H1&turkSubmitTo={quote(submit_to, safe='')}")
    assert heading(page) == "Before you start"
    assert page.locator("form").evaluate("one => one.action") == action
    assert page.locator("input[name=assignmentId]").input_value() == "A1"
    page.close()


def test_enter_does_not_submit_half_a_block(browser: Any, study: Study, tmp_path: Path) -> None:
    with on_platform(browser, study, tmp_path, "assignmentId=A1") as (page, sent):
        agree(page)
        listen(page)
        rate(page, "4 Good")
        screen(page).get_by_label("4 Good").press("Enter")
        page.evaluate("() => document.getElementById('mturk_form').requestSubmit()")
        page.wait_for_timeout(100)
        assert sent == []
        assert heading(page) == "1 of 2"


@pytest.mark.slow
def test_the_preview_opens_from_disk_and_shows_what_would_be_sent(
    browser: Any, study: Study, tmp_path: Path
) -> None:
    write_sheets(
        study, tmp_path / "sheets", media_url="https://m.example.org", preview_media="../raters/media"
    )
    page = browser.new_page()
    page.set_default_timeout(WAIT)
    page.goto((tmp_path / "sheets" / "preview.html").as_uri())
    agree(page)
    answer_all(page, "2 Poor")
    page.get_by_role("button", name="Send my answers").click()
    assert "naturalness_1 = 2" in page.locator("#lt-answers").inner_text()
    page.close()
