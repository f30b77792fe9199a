"""The report opens without a network, shows everything of the run, and says what is missing."""

import json
import re
from html.parser import HTMLParser

import pytest

from doppelbench.benchmark.report import choose_examples, table_rows, training_plot
from doppelbench.benchmark.run import write_run_report
from doppelbench.engine.run import Run

SYSTEMS = [
    {"key": "one", "reference_row": False},
    {"key": "two", "reference_row": False},
    {"key": "row", "reference_row": True},
]


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def page(finished) -> Page:
    return Page((finished.folder / "report.html").read_text(encoding="utf-8"))


def figure(system, value, direction="higher", metric="m"):
    return {"system": system, "metric": metric, "value": value, "direction": direction}


def marked(rows):
    return [row["system"]["key"] for row in rows if row["cells"][0]["best"]]


def test_nothing_in_the_page_is_fetched_from_anywhere(page):
    places = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "poster", "data", "action")
    ]
    assert places
    assert all(place.startswith("data:") for place in places)
    assert not page.named("script")
    assert not page.named("link")
    assert not re.search(r"url\(|@import", page.text)


def test_every_system_metric_and_signature_is_shown(finished, page):
    plan = Run.open(finished.folder).info.plan
    for system in plan["systems"]:
        assert system["key"] in page.text
    for entry in plan["metrics"]:
        assert entry["signature"] in page.text


def test_every_player_has_one_sound_and_one_picture(finished, page):
    plan = Run.open(finished.folder).info.plan
    players, captions = page.named("audio"), page.named("figcaption")
    assert len(players) == len(captions) == len(page.named("figure"))
    assert all(player["src"].startswith("data:audio/flac") for player in players)
    # Source, target and four rows of each example, and the system where its training did not fail.
    shown = choose_examples(plan["trials"])
    assert {trial["source"]["speaker"] for trial in shown} == {"cleo", "zoë"}
    assert len(players) == sum(6 - 1 + (trial["target"] != "short") for trial in shown)


def test_incomplete_coverage_is_marked_and_its_reason_told(page):
    assert [a for a in page.named("small") if a.get("class") == "warning"]
    assert "4 of 6" in page.text
    assert "6 items could not be scored" in page.text
    assert "5.0 s of usable speech" in page.text


def test_texts_are_escaped(copied):
    with Run.resume(copied.folder) as run:
        for trial in run.info.plan["trials"]:
            trial["source"]["text"] = "<script>alert('&')</script>"
        run.info.corpus["label"] = "<img src=x onerror=alert(1)>"
        run.info.config["name"] = "</pre><script>"
        write_run_report(run, copied.figures)
    page = Page((copied.folder / "report.html").read_text(encoding="utf-8"))
    assert not page.named("script")
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "<script>alert('&')</script>" in page.text


def test_outputs_with_damaged_sound_are_left_out_of_the_players(copied):
    before = len(Page((copied.folder / "report.html").read_text()).named("audio"))
    for output in (copied.folder / "outputs" / "random-target").iterdir():
        output.write_bytes(b"")
    with Run.resume(copied.folder) as run:
        write_run_report(run, copied.figures)
    after = len(Page((copied.folder / "report.html").read_text()).named("audio"))
    assert before - after == 4


def test_a_run_without_classifier_and_words_has_a_report(copied):
    with Run.resume(copied.folder) as run:
        figures = [one for one in copied.figures if one["metric"] == "mcd"]
        run.info.plan["metrics"] = [one for one in run.info.plan["metrics"] if one["name"] == "mcd"]
        del run.info.plan["classifier"]
        write_run_report(run, figures)
    assert "mcd" in Page((copied.folder / "report.html").read_text()).text


def test_an_empty_training_log_is_passed_over(copied):
    for log in (copied.folder / "systems").rglob("log.csv"):
        log.write_text("")
    assert training_plot(copied.folder) is None


def test_the_report_is_made_from_the_record_and_the_items_alone(copied):
    (copied.folder / "figures.csv").unlink()
    (copied.folder / "report.html").unlink()
    with Run.resume(copied.folder) as run:
        path = write_run_report(run, copied.figures)
    assert path == copied.folder / "report.html"
    assert json.loads((copied.folder / "run.json").read_text())["name"] in path.read_text()


@pytest.mark.parametrize(("direction", "best"), [("higher", ["two"]), ("lower", ["one"])])
def test_the_best_competing_system_is_marked_by_direction(direction, best):
    figures = [
        figure("one", 1.0, direction),
        figure("two", 2.0, direction),
        figure("row", 9.0 * (direction == "higher"), direction),
    ]
    assert marked(table_rows(figures, SYSTEMS, ["m"])) == best


def test_equally_good_systems_are_both_marked():
    figures = [figure("one", 1.0), figure("two", 1.0), figure("row", 0.0)]
    assert marked(table_rows(figures, SYSTEMS, ["m"])) == ["one", "two"]


def test_a_single_system_and_one_without_a_value_are_not_marked():
    assert marked(table_rows([figure("one", 1.0), figure("row", 0.0)], SYSTEMS[::2], ["m"])) == []
    assert marked(table_rows([figure("one", 1.0), figure("two", None)], SYSTEMS, ["m"])) == []


def test_examples_take_targets_and_source_speakers_in_turn():
    trials = [
        {"id": f"{s}{n}{t}", "target": t, "source": {"speaker": s}}
        for t in "ab"
        for s in "xyz"
        for n in range(3)
    ]
    chosen = choose_examples(trials, 4)
    assert [trial["target"] for trial in chosen] == ["a", "b", "a", "b"]
    assert {trial["source"]["speaker"] for trial in chosen[:3]} == {"x", "y", "z"}
    assert len({trial["id"] for trial in choose_examples(trials, 100)}) == len(trials)
