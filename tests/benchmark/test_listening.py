"""From a finished run to a listening test, simulated votes and their analysis, by the verb ``listen``."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from doppelbench.benchmark.cli import app
from doppelbench.benchmark.config import ConfigError, ListeningConfig, load_recipe
from doppelbench.benchmark.listening_studies import (
    coverage_rows,
    make_listening_test,
    objective_rows,
    planted_effects,
    run_sounds,
    write_listening_tests,
)
from doppelbench.corpora.errors import InputError
from doppelbench.listening.study import KEY, read_key, read_study

RUNNER = CliRunner()


def invoke(*words: object) -> str:
    result = RUNNER.invoke(app, ["listen", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def study(finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listening") / "study"
    invoke("make", finished.folder, "--plan", "small", "--out", folder, "--contact", "owner@example.org")
    return folder


def test_sounds_are_the_outputs_with_what_they_are_compared_with(finished) -> None:
    sounds = run_sounds(finished.folder)
    kinds = {sound.system: sound.kind for sound in sounds}
    assert kinds == {
        "exemplar": "system",
        "natural": "reference",
        "source": "anchor",
        "copy-synthesis": "anchor",
    }
    for sound in sounds:
        assert sound.source_sample is not None
        if sound.target_sample is not None:
            # The sample of the voice is of the target and says other words.
            assert sound.target_sample.parent.name == sound.target
            assert sound.target_sample != Path(str(sound.path))
    assert any(sound.target_sample for sound in sounds)


def test_an_unknown_system_is_named(finished) -> None:
    with pytest.raises(InputError, match="no system nobody; there are exemplar"):
        run_sounds(finished.folder, ["nobody"])


def test_a_study_is_sealed_and_says_nothing_of_the_systems(study: Path) -> None:
    read_key(study)
    text = (study / "raters" / "study.json").read_text()
    assert "exemplar" not in text
    assert "owner@example.org" in text
    assert "0 leaks" in RUNNER.invoke(app, ["listen", "check", str(study)]).output


def test_simulated_votes_are_analysed_and_named_so(study: Path, finished, tmp_path: Path) -> None:
    results = tmp_path / "votes.csv"
    invoke("simulate", study, "--out", results, "--raters", 12)
    page = invoke("analyse", study, results, "--out", tmp_path / "analysis", "--run", finished.folder)
    html = Path(page.strip().splitlines()[-1]).read_text()
    assert "imulated" in html
    with (tmp_path / "analysis" / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["votes_of"] == "screened"]
    means = {(row["system"], row["question"]): float(row["mean"]) for row in rows}
    assert means["natural", "naturalness"] > means["exemplar", "naturalness"] > 2.5
    record = json.loads((tmp_path / "analysis" / "analysis.json").read_text())
    assert record["simulated"] is True


def test_planted_opinions_are_one_for_each_row_and_question(study: Path) -> None:
    effects = planted_effects(study)
    assert effects["natural"]["naturalness"] > effects["exemplar"]["naturalness"]
    assert {tuple(sorted(by_question)) for by_question in effects.values()} == {
        ("consistency", "naturalness", "similarity")
    }


def test_sheets_are_written_for_platforms(study: Path, tmp_path: Path) -> None:
    out = invoke("sheets", study, "--media-url", "https://example.org/m", "--out", tmp_path)
    names = {Path(line).name for line in out.split()}
    assert {"template.html", "input.csv", "task.json", "qualifications.json", "preview.html"} <= names
    assert len((tmp_path / "input.csv").read_text().splitlines()) == 1 + len(read_study(study).blocks)


def test_a_changed_rule_is_refused_by_the_analysis(study: Path, tmp_path: Path) -> None:
    import shutil

    results = tmp_path / "votes.csv"
    invoke("simulate", study, "--out", results, "--raters", 6)
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    path = copy / "raters" / "study.json"
    content = json.loads(path.read_text())
    content["rules"]["gold_errors"] = 9
    path.write_text(json.dumps(content))
    result = RUNNER.invoke(app, ["listen", "analyse", str(copy), str(results), "--out", str(tmp_path / "a")])
    assert isinstance(result.exception, InputError)
    assert "were changed after the study was sealed" in str(result.exception)


def test_a_plan_says_what_it_costs() -> None:
    rows = json.loads(invoke("plan", "exemplar-2021", "--systems", 4, "--format", "json"))
    values = {row["field"]: row["value"] for row in rows}
    # 4 systems x 50 trials x 3 scales; 10 people an item; 45 % of fees for Masters and ten raters.
    assert (values["items"], values["votes"]) == (600, 6000)
    assert values["total"] == pytest.approx(1.45 * values["rewards"])


def test_pairs_are_written_with_a_colon(finished, tmp_path: Path) -> None:
    result = RUNNER.invoke(
        app, ["listen", "make", str(finished.folder), "--out", str(tmp_path / "s"), "--pairs", "exemplar"]
    )
    assert isinstance(result.exception, ConfigError)
    assert "expected first:second" in str(result.exception)


def test_a_recipe_makes_its_listening_tests_once(finished, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    tests = [ListeningConfig(plan="small", simulate=True), ListeningConfig(plan="exemplar-2021-ab")]
    small, pairs = write_listening_tests(run, tests, seed=0)
    assert (run / small["analysis"]).is_file()
    assert (run / small["preview"]).is_file()
    assert {row["system"] for row in small["scores"]} >= {"exemplar", "natural"}
    # One system cannot be compared with another.
    assert "needs two systems" in pairs["reason"]
    key = run / small["folder"] / KEY
    before = key.read_bytes()
    write_listening_tests(run, tests[:1], seed=1)
    assert key.read_bytes() == before


def test_objective_rows_are_the_scores_of_the_run(finished) -> None:
    rows = list(objective_rows(finished.folder))
    assert {row["metric"] for row in rows} >= {"wer", "mcd"}
    assert all(row["value"] is not None for row in rows)


def test_a_plan_that_there_is_not_is_named(finished, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no plan 'huge'"):
        make_listening_test(finished.folder, tmp_path / "s", "huge")


def test_the_recipe_key_is_checked() -> None:
    recipe = load_recipe("quickstart", ["listening=[{plan: small, trials: 4}]"])
    assert recipe.listening == [ListeningConfig(plan="small", trials=4)]
    with pytest.raises(ConfigError, match="unknown key"):
        load_recipe("quickstart", ["listening=[{plans: small}]"])


def test_a_printed_share_that_no_count_gives_is_said() -> None:
    possible = RUNNER.invoke(app, ["listen", "audit", "66.7", "--n", "15", "--format", "json"])
    assert json.loads(possible.stdout) == [{"printed": "66.7", "n": 15, "count": 10}]
    impossible = RUNNER.invoke(app, ["listen", "audit", "66.7", "--n", "50"])
    assert impossible.exit_code == 2
    assert "66.7 cannot come from 50" in impossible.output


def test_coverage_is_a_row_for_each_interval() -> None:
    rows = json.loads(invoke("coverage", "--studies", 4, "--trials", 10, "--format", "json"))
    assert len(rows) == 8
    assert {row["figure"] for row in rows} == {"mean", "difference"}


def test_coverage_refuses_fewer_people_than_rate_an_item() -> None:
    with pytest.raises(InputError, match="8 people in the pool, but 10 rate each item"):
        coverage_rows(studies=2, raters=8, trials=4, seed=0)
