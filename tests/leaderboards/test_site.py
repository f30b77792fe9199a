"""The site: harmless, repeatable, whole, accessible, and served to this machine alone."""

import http.client
import re
import sys
import threading
from pathlib import Path

import pytest
from small_results import figure, measured, stored, system

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.board import build_boards
from doppelbench.leaderboards.result import StoredResult
from doppelbench.leaderboards.site import write_site
from doppelbench.leaderboards.site_server import find_file, make_site_server

HOSTILE = "\"><script>alert('x')</script>&{{ 7*7 }}"


def small_site(folder, **more):
    made = measured(
        {"one": [1.0, 2.0, 3.0] * 4, "two": [2.0, 3.5, 4.0] * 4, "part": [None, *[1.0, 3.0] * 5, 2.0]}
    )
    costs = [
        system("fast", figure(3.0), preset="small", zero_shot=True, cost={"training_seconds": 30.0}),
        system("slow", figure(9.0), preset="paper", zero_shot=False, cost={"training_seconds": 3000.0}),
        system("natural", figure(12.0), reference_row=True),
    ]
    dear = stored(costs, name="dear", trials={"count": 20, "hash": "d" * 16}, **more)
    boards = build_boards([made, dear])
    write_site(boards, folder, results=[made, dear])
    return boards


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_same_results_make_the_same_bytes_and_replace_an_older_site(tmp_path):
    small_site(tmp_path / "a")
    small_site(tmp_path / "b")
    (tmp_path / "b" / "boards" / "stale.html").write_text("old")
    (tmp_path / "b" / "kept.txt").write_text("mine")
    small_site(tmp_path / "b")
    second = files(tmp_path / "b")
    assert second.pop("kept.txt") == b"mine"
    assert files(tmp_path / "a") == second


def test_every_link_of_every_page_points_to_a_file(tmp_path):
    small_site(tmp_path, published="exemplar-2021/table-2")
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) == 2 + 2 + 6
    for page in pages:
        for target in re.findall(r'(?:href|src)="([^"#]+)"', page.read_text()):
            assert "//" not in target
            assert (page.parent / target).is_file(), f"{page}: {target}"


def test_hostile_names_are_text(tmp_path):
    bad = system(HOSTILE, figure(1.0), title=HOSTILE, description=HOSTILE, settings={HOSTILE: HOSTILE})
    made = stored(
        [
            {**bad, "cost": {"training_seconds": 1.0}},
            system("x", figure(9.0), cost={"training_seconds": 9.0}),
        ],
        recipe=HOSTILE,
        corpus={"label": HOSTILE, "hash": "a" * 16},
        track=HOSTILE,
        notes=[HOSTILE],
        environment=HOSTILE,
    )
    write_site(build_boards([made]), tmp_path)
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert "<script>alert" not in text
        assert '"><script' not in text
        assert page.resolve().is_relative_to(tmp_path.resolve())
    assert "{{ 7*7 }}" in (tmp_path / "index.html").read_text()


def test_examples_are_copied_and_played(tmp_path):
    sound = tmp_path / "out.flac"
    sound.write_bytes(b"fLaC")
    made = stored([system("one", figure(1.0))])
    heard = StoredResult(made.id, made.result, examples={"one": [("trial <1>", sound)]})
    [board] = build_boards([heard])
    write_site([board], tmp_path / "site", results=[heard])
    page = tmp_path / "site" / "boards" / f"{board.id}.html"
    [source] = re.findall(r'<audio[^>]*src="([^"]+)"', page.read_text())
    assert (page.parent / source).read_bytes() == b"fLaC"


def test_published_figures_stand_on_their_own_page_alone(tmp_path):
    boards = small_site(tmp_path, published="exemplar-2021/table-2")
    assert "Chou et al. 2018" in (tmp_path / "published.html").read_text()
    for board in boards:
        assert "Chou et al. 2018" not in (tmp_path / "boards" / f"{board.id}.html").read_text()


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is no site"):
        write_site([], tmp_path)
    with pytest.raises(InputError, match="is a file"):
        write_site([], tmp_path / "thesis.tex")


@pytest.fixture
def address(tmp_path):
    small_site(tmp_path / "site")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site" / ".hidden").write_text("secret")
    (tmp_path / "site" / "link.txt").symlink_to(tmp_path / "secret.txt")
    server = make_site_server(tmp_path / "site")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address
    server.shutdown()
    server.server_close()
    thread.join()


def ask(address, path, **headers):
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_pages_are_served_on_the_loopback_address(address):
    assert address[0] == "127.0.0.1"
    status, content = ask(address, "/")
    assert status == 200
    assert b"<h1>Boards</h1>" in content
    assert ask(address, "/boards.json")[0] == 200
    assert ask(address, "/index.html", Range="bytes=0-14") == (206, b"<!doctype html>")
    assert ask(address, "/index.html", Range="bytes=999999-")[0] == 416


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/boards/../../secret.txt",
        "//etc/passwd", "/%2fetc/passwd", "/.hidden", "/link.txt", "/boards", "/nothing",
        "/..%5csecret.txt", "/a%00b",
        "/" + "x" * 5000,
    ],
)  # fmt: skip
def test_nothing_outside_the_site_is_served(address, path):
    status, content = ask(address, path)
    assert status == 404
    assert b"secret" not in content


def test_another_name_for_this_machine_is_refused(address):
    assert ask(address, "/", Host="evil.example:80")[0] == 404


def test_what_is_no_site_is_not_served(tmp_path):
    with pytest.raises(InputError, match="is no site"):
        make_site_server(tmp_path)
    assert find_file(tmp_path, "/") is None


@pytest.fixture(scope="module")
def browser():
    sys.path.insert(0, str(Path(__file__).parents[1] / "listening"))
    try:
        from browser import chromium
    finally:
        sys.path.pop(0)
    yield from chromium()


def test_the_pages_are_accessible_and_fit_a_phone(browser, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    small_site(tmp_path, published="exemplar-2021/table-2")
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    names = ["index.html", "published.html", "systems/voice-conversion-slow.html"]
    names += [f"boards/{path.name}" for path in (tmp_path / "boards").iterdir()]
    for name in names:
        page.goto((tmp_path / name).as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, f"{name} is {wide} px wide"
        assert problems == []
        found = axe.run(page).response["violations"]
        assert found == [], [(one["id"], one["nodes"][0]["html"]) for one in found]
        # What the policy of the page denies to the checker is no fault of the page.
        problems.clear()
    page.context.close()


def test_tables_sort_and_filter_by_keyboard_and_stand_without_a_script(browser, tmp_path):
    boards = small_site(tmp_path)
    board = next(board for board in boards if any(row.system.preset for row in board.rows))
    address = (tmp_path / "boards" / f"{board.id}.html").as_uri()
    page = browser.new_context().new_page()
    page.goto(address)

    def shown():
        return page.locator("table.board tbody.systems tr:visible th").all_inner_texts()

    assert [name.split()[0] for name in shown()] == ["slow", "fast"]
    page.get_by_role("button", name="training").focus()
    page.keyboard.press("Enter")
    assert [name.split()[0] for name in shown()] == ["fast", "slow"]
    assert page.locator("th[aria-sort=ascending]").count() == 1
    page.keyboard.press("Enter")
    assert [name.split()[0] for name in shown()] == ["slow", "fast"]
    page.get_by_label("Zero-shot").select_option("yes")
    assert [name.split()[0] for name in shown()] == ["fast"]
    page.get_by_label("Zero-shot").select_option("")
    page.get_by_label("Kind").select_option("references")
    assert shown() == []
    page.get_by_label("Kind").select_option("")
    page.get_by_label("Search").fill("SLO")
    assert [name.split()[0] for name in shown()] == ["slow"]
    assert page.locator("output").inner_text() == "1 rows"
    page.context.close()
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(address)
    assert plain.locator("table.board tbody tr").count() == 3
    assert not plain.locator(".filters").is_visible()
    plain.context.close()
