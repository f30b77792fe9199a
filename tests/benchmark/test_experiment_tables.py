"""What a run measured, what each system was given, and what a paper prints: side by side, never mixed."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import cli

from doppelbench.benchmark.ab_sheets import write_ab_sheets
from doppelbench.benchmark.config import AbTestConfig
from doppelbench.benchmark.experiment_tables import measured_rows, published_part
from doppelbench.benchmark.run import write_run_report
from doppelbench.benchmark.tracks.voice_conversion import TRACK
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.engine.run import Run
from doppelbench.leaderboards.published_figures import find_published
from doppelbench.listening.leak_check import find_leaks
from doppelbench.listening.study import read_key, read_study


def table_of(folder):
    with (folder / "experiment.csv").open(encoding="utf-8", newline="") as file:
        return {row["system"]: row for row in csv.DictReader(file)}


def test_the_record_says_what_every_system_was_given(finished):
    plan = json.loads((finished.folder / "run.json").read_text())["plan"]
    rows = {row["system"]: row for row in plan["budget"]}
    assert set(rows) == {system["key"] for system in plan["systems"]}
    own = rows["exemplar"]
    assert own["models"] == len(plan["trainings"]) == 2
    assert own["steps"] == 40
    assert own["seconds"] == pytest.approx(sum(t["seconds"] for t in plan["trainings"].values()), abs=0.06)
    assert own["parameters"] == plan["trainings"]["exemplar/ana"]["parameters"] > 0
    assert (own["zero_shot"], own["extra_data"]) == (True, False)
    assert rows["natural"]["models"] is None


def test_the_table_of_the_experiment_holds_figures_and_budget_of_every_system(finished):
    table = table_of(finished.folder)
    figures = {(figure["system"], figure["metric"]): figure for figure in finished.figures}
    for system, row in table.items():
        for metric in ("sca", "wer", "mcd"):
            figure = figures[system, metric]
            assert float(row[metric]) == pytest.approx(figure["value"])
            assert (int(row[f"{metric}_n"]), int(row[f"{metric}_expected"])) == (
                figure["n"],
                figure["expected"],
            )
    # A metric that does not apply has no figure.
    assert table["exemplar"]["stoi"] == table["exemplar"]["stoi_n"] == ""
    own = table["exemplar"]
    assert (own["trained_on"], own["zero_shot"], own["extra_data"]) == ("target only", "True", "False")
    assert own["vocoder"] == "griffin-lim"
    assert table["source"]["trained_on"] == ""


def test_the_report_shows_the_budget_and_no_published_table_without_being_asked(finished):
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "What each system was given" in page
    assert "target only" in page
    assert "What the paper prints" not in page


@pytest.mark.parametrize(("kind", "shown"), [("md", True), ("json", False)])
def test_the_budget_stands_under_the_figures_for_people_alone(copied, kind, shown):
    result = cli("run", copied.recipe_file, "-o", copied.folder, "--until", "score", "--format", kind)
    assert "Traceback" not in result.stderr
    assert ("target only" in result.stdout) == shown
    if not shown:
        assert json.loads(result.stdout)


def test_a_published_table_stands_in_a_table_of_its_own_with_its_page_and_corpus(copied):
    with Run.resume(copied.folder) as run:
        run.info.config["published"] = "exemplar-2021/table-2"
        write_run_report(run, copied.figures)
    page = (copied.folder / "report.html").read_text(encoding="utf-8")
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    published = [table for table in tables if 'class="published"' in table]
    assert len(published) == 1
    assert "page 7, VCTK" in published[0]
    assert "663.4" in published[0]
    # No measured system stands in it, and no published figure stands among the measured ones.
    assert "copy-synthesis" not in published[0]
    assert all("663.4" not in table for table in tables if table not in published)
    assert "The corpora differ" in page
    text = (copied.folder / "experiment.md").read_text(encoding="utf-8")
    measured, _, printed = text.partition("## What the paper prints")
    assert "663.4" in printed
    assert "663.4" not in measured
    assert "copy-synthesis" not in printed
    assert "663.4" not in (copied.folder / "experiment.csv").read_text()


def test_a_record_without_a_budget_still_has_a_report(copied):
    with Run.resume(copied.folder) as run:
        del run.info.plan["budget"]
        del run.info.config["published"]
        write_run_report(run, copied.figures)
    assert "What each system was given" not in (copied.folder / "report.html").read_text()
    assert table_of(copied.folder)["exemplar"]["steps"] == ""


def test_a_system_without_a_figure_has_empty_cells():
    rows = measured_rows([{"key": "one", "preset": None}], ["mcd"], [], [])
    assert rows[0]["mcd"] is None
    assert rows[0]["vocoder"] is None


def test_notes_of_a_published_table_are_printed_under_it():
    text = "\n".join(published_part(find_published("exemplar-2021/table-6"), "talkers"))
    assert "VCTK" in text
    assert "on talkers" in text
    assert "computed from the network's spectrum" in text
    assert published_part([], "talkers") == []


def test_sheets_hold_what_both_systems_answered_and_are_kept_once_made(tmp_path, capsys):
    tone = np.sin(np.arange(4000) / 5).astype(np.float32)
    trials = []
    with Run.resume(tmp_path / "run", {}) as run:
        for number in range(5):
            source = Clip(f"s{number}", "cleo", "s.flac", text="words")
            natural = str(tmp_path / f"natural{number}.flac")
            write_audio(natural, Audio(0.1 * tone[::-1], 16000))
            reference = Clip(f"n{number}", "ana", natural) if number < 4 else None
            trials.append(Trial(f"s{number}_to_ana", source, "ana", reference))
            for system in ("alpha", "beta")[: 1 if number == 0 else 2]:
                path = run.output_path(system, trials[-1].id, ".flac")
                path.parent.mkdir(parents=True, exist_ok=True)
                write_audio(path, Audio(0.1 * (number + 1) * tone, 16000))
        recipe = SimpleNamespace(ab_tests=[AbTestConfig(systems=("alpha", "beta"))], seed=0)
        plan = SimpleNamespace(recipe=recipe, trials=trials, track=TRACK)
        (folder,) = write_ab_sheets(run, plan)
        study, entries = read_study(folder), read_key(folder).entries
        pairs = {name: entry for name, entry in entries.items() if entry.kind == "system"}
        assert {entry.trial for entry in pairs.values()} == {trial.id for trial in trials[1:]}
        assert sorted(entry.systems[0] for entry in pairs.values()) == ["alpha", "alpha", "beta", "beta"]
        assert study.question("preference").text == "Which of the two do you prefer?"
        # The natural recording is heard beside the pair where there is one.
        with_target = {
            entries[item.id].trial
            for item in study.items
            if item.id in pairs and "target" in {one.role for one in item.stimuli}
        }
        assert with_target == {trial.id for trial in trials[1:4]}
        assert find_leaks(folder) == []
        before = (folder / "key.json").stat().st_mtime_ns
        assert write_ab_sheets(run, plan) == [folder]
        assert (folder / "key.json").stat().st_mtime_ns == before
    assert "s0_to_ana is left out: no output of beta" in capsys.readouterr().err


def test_two_systems_without_a_common_answer_have_no_sheet(tmp_path, capsys):
    with Run.resume(tmp_path / "run", {}) as run:
        recipe = SimpleNamespace(ab_tests=[AbTestConfig(systems=("alpha", "beta"))], seed=0)
        assert write_ab_sheets(run, SimpleNamespace(recipe=recipe, trials=[], track=TRACK)) == []
        trial = Trial("s0", Clip("s0", "cleo", "s.flac"), "ana")
        assert write_ab_sheets(run, SimpleNamespace(recipe=recipe, trials=[trial], track=TRACK)) == []
    said = capsys.readouterr().err
    assert "no trial and no sound to be rated" in said
    assert "no trial that both alpha and beta answered" in said
