"""The page of a detection run shows the figures of the evaluation, warns of shortcuts, and is complete."""

import itertools
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from stored_detection_runs import DEGRADED, SEEN, seen_attacks, write_detection_run, write_recordings

from doppelbench.benchmark.forensic_media import Players
from doppelbench.benchmark.forensic_page import findings, shade, shortcuts, write_forensic_page
from doppelbench.benchmark.forensic_tables import detector_rows, protocol_tables, seen_table, variant_table
from doppelbench.benchmark.forensic_trials import read_detection_run
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import read_audio
from doppelbench.detectors.evaluation import evaluate
from doppelbench.detectors.trials import Trials
from doppelbench.metrics.detection_accuracy import transferred_accuracy
from doppelbench.metrics.detection_curves import score_curve

DRAWS = 25
HOSTILE = "<script>alert('$\\frac')</script>"
BEST = "serra-statistics"


class Page(HTMLParser):
    """Tags with their attributes, tables as rows of cells by caption, headings, cards, and the text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.content = content
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: list[tuple[str, list[list[tuple[dict[str, str | None], str]]]]] = []
        self.within: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "table":
            self.tables.append(("", []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append((attributes, ""))
        if tag in ("td", "th", "caption", "li", "style", "h1", "h2", "h3", "h4"):
            self.within.append(tag)

    def handle_endtag(self, tag):
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data):
        self.text += data
        if self.within and self.within[-1] in ("td", "th"):
            attributes, text = self.tables[-1][1][-1][-1]
            self.tables[-1][1][-1][-1] = (attributes, text + " " + data.strip())
        elif self.within and self.within[-1] == "caption":
            caption, rows = self.tables[-1]
            self.tables[-1] = (caption + data, rows)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def table(self, caption: str, number: int = 0) -> list[list[tuple[dict[str, str | None], str]]]:
        return [rows for said, rows in self.tables if caption in said][number]

    def row(self, caption: str, name: str, number: int = 0) -> list[str]:
        """Texts of the first row that begins with a name."""
        rows = self.table(caption, number)
        return next([text.split() for _, text in row] for row in rows if row[0][1].split()[:1] == [name])


def render(folder: Path) -> Page:
    return Page(write_forensic_page(folder, draws=DRAWS).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run; read it, do not change it."""
    return write_detection_run(tmp_path_factory.mktemp("detection") / "run", flagged=("level", "bandwidth"))


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return render(folder)


@pytest.fixture(scope="module")
def trials(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "trials.parquet")


def small(folder: Path, change=None, **record) -> Path:
    """A run with one protocol, two detectors and no degradation, without recordings."""

    def cut(rows):
        rows[:] = [
            row
            for row in rows
            if row["protocol"] == "speaker-agnostic"
            and row["variant"] == "plain"
            and row["detector"] != "lfcc-gmm"
        ]
        if change is not None:
            change(rows)

    return write_detection_run(folder, change=cut, media=False, **record)


def chosen(trials: pd.DataFrame, **values) -> pd.DataFrame:
    values = {"fold": "", "part": "test", "variant": "plain", "status": "ok", "control": False, **values}
    for name, value in values.items():
        trials = trials[trials[name] == value]
    return trials


def as_trials(table: pd.DataFrame, column: str) -> Trials:
    return Trials(
        ids=table["id"].tolist(),
        scores=table[column].to_numpy(float),
        bonafide=table["bonafide"].to_numpy(bool),
        groups={"speaker": table["speaker"].tolist()},
    )


def test_summary_figures_and_intervals_are_those_of_the_evaluation(page, trials):
    table = chosen(trials, protocol="speaker-agnostic", detector=BEST)
    pooled = evaluate(as_trials(table, "llr"), score_kind="llr", by=(), draws=DRAWS).pooled
    cells = page.row("speaker-agnostic, test trials", BEST)
    names = ("eer_asvspoof", "eer_rocch", "auc", "min_dcf", "actual_dcf", "cllr", "min_cllr")
    for name, texts in zip(names, cells[1:8], strict=True):
        figure = pooled.figures[name]
        scale, digits = (100, 2) if name.startswith("eer") else (1, 3)
        expected = [figure.value, figure.low, figure.high, figure.speaker_low, figure.speaker_high]
        shown = [float(text) for text in texts if text not in ("to", "spk")]
        assert shown == [pytest.approx(scale * value, abs=0.51 * 10**-digits) for value in expected], name
    # Control generators are in no pooled figure.
    assert cells[10][:3] == [str(pooled.bonafide), "+", str(pooled.spoof)]
    assert pooled.spoof == 47


def test_accuracy_is_that_at_the_development_threshold(page, trials):
    sides = []
    for part in ("development", "test"):
        table = chosen(trials, protocol="speaker-agnostic", detector="lfcc-gmm", part=part)
        sides.append(score_curve(table.loc[table.bonafide, "score"], table.loc[~table.bonafide, "score"]))
    expected = transferred_accuracy(*sides)
    cells = page.row("speaker-agnostic, test trials", "lfcc-gmm")[8]
    assert float(cells[0]) == pytest.approx(100 * expected.balanced, abs=0.051)
    assert float(cells[2]) == pytest.approx(100 * expected.bonafide.value, abs=0.051)
    assert float(cells[4]) == pytest.approx(100 * expected.spoof.value, abs=0.051)


def test_incomplete_scores_are_counted_and_their_reason_told(page):
    assert "95 of 96 scored" in " ".join(page.row("speaker-agnostic, test trials", BEST)[10])
    assert "0.05 s are too short" in page.text


def test_every_fold_has_its_detectors_and_the_principal_one_comes_first(page):
    rows = page.table("matrix, test trials")
    groups = [row[0][1].strip() for row in rows if len(row) == 1]
    assert groups == ["all", "without autovc", "autovc"]
    assert sum(row[0][1].split()[:1] == [BEST] for row in rows) == 3


def test_trivial_rows_are_shaded_and_none_of_them_is_best(page):
    rows = [attributes for tag, attributes in page.tags if tag == "tr" and attributes.get("class") == "best"]
    assert len(rows) == 4
    assert f"The best detector by equal error rate is {BEST}" in page.text


@pytest.mark.parametrize("fold", ["all", "without autovc", "autovc"])
def test_seen_generators_are_outlined_and_controls_stand_apart(page, trials, fold):
    rows = page.table(f"{BEST}: generators tested")
    heads = [text.split()[0] for _, text in rows[1][1:]]
    assert heads == ["autovc", "exemplar", "copy-synthesis", "pooled"]
    assert [text.split()[0] for _, text in rows[0] if text.strip()] == ["generators", "controls"]
    cells = next(row for row in rows[2:] if row[0][1].strip() == fold)[1:]
    outlined = {
        head
        for head, (attributes, _) in zip(heads, cells, strict=True)
        if "seen" in (attributes["class"] or "").split()
    }
    assert outlined == seen_attacks(fold)
    for head, (_, text) in zip(heads[:3], cells[:3], strict=True):
        table = trials[(trials.protocol == "matrix") & (trials.detector == BEST)]
        table = chosen(table[table.bonafide | (table.attack == head)], fold=fold, control=head == heads[2])
        if head == heads[2]:
            table = pd.concat([chosen(trials, protocol="matrix", detector=BEST, fold=fold, attack=""), table])
        expected = evaluate(as_trials(table, "score"), score_kind="raw", by=(), intervals=()).pooled
        assert float(text.split()[0]) == pytest.approx(
            100 * expected.figures["eer_asvspoof"].value, abs=0.0051
        )


def test_speakers_are_marked_as_seen_or_unseen_with_their_own_rates(page, trials):
    for speaker in ("ana", "ben", "cleo", "dora"):
        cells = page.row("of each speaker", speaker)
        assert cells[1] == ["seen" if speaker in SEEN else "unseen"]
        table = chosen(trials, protocol="speaker-agnostic", detector=BEST, speaker=speaker)
        expected = evaluate(as_trials(table, "score"), score_kind="raw", by=(), intervals=()).pooled
        assert float(cells[4][0]) == pytest.approx(100 * expected.figures["eer_asvspoof"].value, abs=0.0051)
    for state in ("seen", "unseen"):
        table = chosen(trials, protocol="speaker-agnostic", detector=BEST, speaker_seen=state == "seen")
        expected = evaluate(as_trials(table, "score"), score_kind="raw", by=(), draws=DRAWS).pooled
        figure = expected.figures["eer_asvspoof"]
        cells = page.row("by what was in training", state)
        assert cells[1:3] == [["all"], ["all"]]
        bounds = [figure.value, figure.low, figure.high]
        assert [float(cells[3][place]) for place in (0, 1, 3)] == [
            pytest.approx(100 * value, abs=0.0051) for value in bounds
        ]


def test_the_drop_is_against_the_same_trials_as_they_were(folder, trials):
    run = read_detection_run(folder)
    # A degradation that was tried on half of the speakers only.
    half = run.trials[(run.trials.variant == "plain") | run.trials.speaker.isin(["ana", "cleo"])]
    cut = type(run)(run.folder, run.record, half)
    tables = protocol_tables(cut, "speaker-agnostic", detector_rows(cut), draws=DRAWS)
    row = next(row for row in variant_table(cut, tables, draws=DRAWS)["rows"] if row["variant"] == DEGRADED)
    rates = []
    for variant in (DEGRADED, "plain"):
        table = chosen(trials, protocol="speaker-agnostic", detector="lfcc-gmm", variant=variant)
        table = table[table.speaker.isin(["ana", "cleo"])]
        found = evaluate(as_trials(table, "score"), score_kind="raw", by=(), intervals=()).pooled
        rates.append(found.figures["eer_asvspoof"].value)
    assert row["cells"][1]["drop"] == pytest.approx(rates[0] - rates[1])
    assert tables.slices["", "lfcc-gmm"].eer != rates[1]


def test_the_worst_trials_are_the_worst(page, trials):
    cards = re.findall(r"<li><strong>([^<]+)</strong>\s*<small>score ([−.\d]+)", page.content)
    table = chosen(trials, protocol="speaker-agnostic", detector=BEST)
    fakes = table[~table.bonafide].sort_values("score", ascending=False)[:6]
    people = table[table.bonafide].sort_values("score")[:6]
    expected = [*fakes.itertuples(), *people.itertuples()]
    shown = [(name, float(score.replace("−", "-"))) for name, score in cards[:12]]
    assert shown == [(row.id, pytest.approx(row.score, abs=0.00051)) for row in expected]


def test_players_are_relative_and_recordings_from_elsewhere_have_previews(folder, page):
    players = page.named("audio")
    assert len(players) == 24
    for player in players:
        file = folder / unquote(player["src"])
        assert read_audio(file).seconds == pytest.approx(0.2)
    assert {player["src"].split("/")[0] for player in players} == {"outputs", "forensics"}
    assert str(folder.parent) not in page.content


def test_nothing_in_the_page_is_fetched_from_anywhere(page):
    places = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "poster", "data", "action")
    ]
    assert all(re.match(r"data:image/svg|#|outputs/|forensics/", place) for place in places)
    assert not page.named("script")
    assert not page.named("link")


def test_headings_are_in_order_and_tables_have_captions_and_scopes(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(caption.strip() for caption, _ in page.tables)
    assert all(attributes.get("scope") for attributes in page.named("th"))
    assert all(image.get("alt") for image in page.named("img"))


def test_flagged_features_are_told_at_the_top(page):
    banner = page.content[page.content.index('role="alert"') : page.content.index("<nav")]
    assert "Loudness and bandwidth alone separate the classes" in banner
    assert "duration" not in banner


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return render(small(tmp_path_factory.mktemp("plain") / "run"))


def test_without_a_flag_there_is_no_warning(plain):
    assert 'role="alert"' not in plain.content
    assert "No feature is flagged" in plain.text


def test_missing_recordings_have_no_player_and_say_so(plain):
    assert not plain.named("audio")
    assert "no player: the file is missing" in plain.text


def test_bytes_are_repeatable_wherever_the_run_lies(tmp_path):
    first = small(tmp_path / "first")
    shutil.copytree(first, tmp_path / "second")
    pages = [write_forensic_page(place, draws=DRAWS).read_bytes() for place in (first, tmp_path / "second")]
    assert pages[0] == pages[1]


def test_hostile_names_are_shown_and_do_nothing(tmp_path):
    def rename(rows):
        for row in rows:
            row["detector"] = HOSTILE if row["detector"] == BEST else row["detector"]
            row["speaker"] = HOSTILE if row["speaker"] == "ana" else row["speaker"]
            row["attack"] = HOSTILE if row["attack"] == "autovc" else row["attack"]
            row["id"] += HOSTILE
            row["path"] = "javascript:alert(1)"

    found = render(
        small(
            tmp_path / "run",
            rename,
            name=HOSTILE,
            corpus={"label": HOSTILE},
            config={"name": HOSTILE},
            command=HOSTILE,
            findings=[{"severity": "warning", "where": HOSTILE, "message": HOSTILE}],
            detectors={HOSTILE: {"title": HOSTILE}, "loudness-only": {"trivial": True}},
        )
    )
    assert not found.named("script")
    assert found.text.count(HOSTILE) > 10
    assert "javascript:" not in found.content


def test_figures_that_are_not_defined_are_dashes_with_the_reason(tmp_path):
    def strip(rows):
        rows[:] = [row for row in rows if row["part"] == "test"]
        for row in rows:
            row["llr"] = None
            if row["detector"] == "loudness-only":
                row |= {"score": None, "status": "crashed", "reason": "no memory"}

    found = render(small(tmp_path / "run", strip))
    rows = found.table("speaker-agnostic, test trials")
    row = {row[0][1].split()[0]: row for row in rows}
    for place in (5, 6):
        attributes, text = row[BEST][place]
        assert text.strip() == "–"
        assert "no development trials to calibrate on" in attributes["title"]
    assert row[BEST][7][1].strip() != "–"
    attributes, text = row["loudness-only"][1]
    assert (text.strip(), attributes["title"]) == ("–", "no trial has a score")


def test_ratios_that_rank_otherwise_leave_the_error_rate_to_the_scores(tmp_path):
    def bound(rows):
        for row in rows:
            row["llr"] = None if row["llr"] is None else float(np.clip(row["llr"], -0.1, 0.1))

    folder = small(tmp_path / "run", bound)
    run = read_detection_run(folder)
    tables = protocol_tables(run, "speaker-agnostic", detector_rows(run), draws=DRAWS)
    one = tables.slices["", BEST]
    by_score = evaluate(as_trials(one.table, "score"), score_kind="raw", by=(), intervals=()).pooled
    by_ratio = evaluate(as_trials(one.table, "llr"), score_kind="llr", by=(), intervals=()).pooled
    assert one.pooled.figures["auc"].value == by_score.figures["auc"].value != by_ratio.figures["auc"].value
    for name in ("cllr", "min_cllr", "actual_dcf"):
        assert one.pooled.figures[name].value == by_ratio.figures[name].value


def set_in(place, **values):
    return lambda rows: rows[place].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in(3, score=None), "has the status ok and no score"),
        (set_in(3, score=float("inf")), "'score' of row 3 is inf"),
        (set_in(3, part="train"), "neither development nor test"),
        (set_in(3, speaker=None), "'speaker' of row 3 is null"),
        (set_in(3, bonafide=None), "'bonafide' of row 3 is null"),
        (set_in(3, attack="autovc"), "is bona fide and has an attack"),
        (lambda rows: rows.append(rows[5]), "stands there twice"),
        (lambda rows: [row.pop("llr") for row in rows], "there is no column llr"),
        (lambda rows: rows.clear(), "there is no column"),
        (lambda rows: [row.update(part="development") for row in rows], "holds no trials of the part test"),
    ],
)
def test_malformed_trials_are_refused_by_name(tmp_path, change, message):
    folder = small(tmp_path / "run", change)
    with pytest.raises(InputError, match=message) as caught:
        write_forensic_page(folder)
    assert str(folder / "trials.parquet") in str(caught.value)
    assert not (folder / "forensics.html").exists()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"track": "voice-conversion"}, "not the record of a detection run"),
        ({"schema": 7}, "has schema 7"),
        ({"name": None}, "does not say the name"),
        ({"audit": {}}, "'audit' must be a list"),
        ({"audit": [{"feature": "level"}]}, "entry 0 of 'audit' needs feature, flagged"),
        ({"protocols": {"matrix": {"counts": 3}}}, "counts of protocol 'matrix'"),
    ],
)
def test_malformed_records_are_refused_by_name(tmp_path, record, message):
    folder = small(tmp_path / "run", **record)
    with pytest.raises(InputError, match=message) as caught:
        write_forensic_page(folder)
    assert str(folder / "run.json") in str(caught.value)


@pytest.mark.parametrize("name", ["run.json", "trials.parquet"])
@pytest.mark.parametrize("content", [None, b"{\xff"])
def test_missing_and_damaged_files_are_named(tmp_path, name, content):
    folder = small(tmp_path / "run")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(folder / name))):
        write_forensic_page(folder)


def test_a_feature_that_training_removes_is_told_as_such():
    audit = [
        {"feature": feature, "flagged": flagged, "stage": stage}
        for feature, stage, flagged in (
            ("level", "raw", True),
            ("level", "as trained", False),
            ("duration", "raw", True),
            ("duration", "as trained", True),
            ("bandwidth", "raw", True),
        )
    ]
    assert shortcuts(audit) == {
        "told": ["loudness", "duration", "bandwidth"],
        "removed": ["loudness"],
        "single": {},
    }


def test_a_shortcut_of_one_generator_is_told_of_it_alone(tmp_path):
    audit = [
        {"feature": "level", "flagged": False, "stage": "raw", "attack": ""},
        {"feature": "level", "flagged": True, "stage": "raw", "attack": "autovc"},
        {"feature": "duration", "flagged": True, "stage": "raw"},
        {"feature": "duration", "flagged": False, "stage": "as trained"},
    ]
    found = render(small(tmp_path / "run", audit=audit))
    assert "Duration alone separates the classes; in what the detectors were given" in found.text
    assert "duration no longer does." in found.text
    assert "Also so for single generators: autovc by loudness." in found.text
    assert "No feature is flagged" not in found.text
    assert len(found.table("Area above 0.5")) == 4


def test_unseen_styles_are_told_apart(tmp_path):
    def style(rows):
        for row in rows:
            row["style"] = "read" if row["id"].endswith(("0", "1")) else "spoken"
            row["style_seen"] = row["style"] == "read"

    run = read_detection_run(small(tmp_path / "run", style))
    tables = protocol_tables(run, "speaker-agnostic", detector_rows(run), draws=DRAWS)
    rows = {row["styles"]: row["cells"][0] for row in seen_table(tables, draws=DRAWS)}
    table = tables.slices["", BEST].table
    for state, styles in (("seen", "read"), ("unseen", "spoken")):
        part = as_trials(table[table["style"] == styles], "score")
        expected = evaluate(part, score_kind="raw", by=(), intervals=()).pooled
        assert rows[state].figures["eer_asvspoof"].value == expected.figures["eer_asvspoof"].value
        assert (rows[state].bonafide, rows[state].spoof) == (expected.bonafide, expected.spoof)


def test_a_finding_that_the_run_holds_is_told_once(folder):
    run = read_detection_run(folder)
    tables = protocol_tables(run, "speaker-agnostic", detector_rows(run), draws=DRAWS)
    found = findings([], [tables])
    assert found
    told = {"severity": "warning", "where": "here", "message": found[-1]["message"]}
    assert findings([told], [tables]) == [told, *found[:-1]]


@pytest.mark.parametrize("rate", np.linspace(0, 0.6, 61))
def test_text_on_every_shade_can_be_read(rate):
    ground, text = re.fullmatch(r"background:#(\w{6});color:#(\w{3})", shade(float(rate))).groups()

    def luminance(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    dark, light = sorted([luminance(ground), luminance(text * 2)])
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_record_without_titles_takes_those_of_the_registry(folder):
    run = read_detection_run(folder)
    rows = detector_rows(type(run)(run.folder, {**run.record, "detectors": {}}, run.trials))
    assert [(row.name, row.trivial) for row in rows] == [
        (BEST, False),
        ("lfcc-gmm", False),
        ("loudness-only", True),
    ]
    assert all(row.title for row in rows)


def test_the_page_breaks_no_rule_of_accessibility(folder, page):
    sys.path.insert(0, str(Path(__file__).parents[1] / "listening"))
    try:
        from browser import chromium
    finally:
        sys.path.pop(0)
    checks = pytest.importorskip("axe_playwright_python.sync_playwright")
    for browser in chromium():
        opened = browser.new_page()
        opened.goto((folder / "forensics.html").as_uri())
        found = checks.Axe().run(opened).response["violations"]
        assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] == []


def test_previews_of_an_earlier_page_are_removed_and_other_files_are_not(tmp_path):
    earlier, other = (tmp_path / "forensics" / name for name in (f"{'0' * 16}.flac", "notes.txt"))
    write_recordings(tmp_path, [{"path": "elsewhere/a.flac"}])
    earlier.parent.mkdir()
    for path in (earlier, other):
        path.write_bytes(b"")
    players = Players(tmp_path)
    clip = {"path": "elsewhere/a.flac", "start": 0.05, "end": 0.15}
    made = tmp_path / players.player(clip)["src"]
    players.remove_others()
    assert not earlier.exists()
    assert other.exists()
    # A clip is a span of its recording, and its preview outlives the recording.
    assert read_audio(made).seconds == pytest.approx(0.1)
    (tmp_path / "elsewhere" / "a.flac").unlink()
    assert tmp_path / Players(tmp_path).player(clip)["src"] == made
