"""A stranger's outputs go from an empty folder to a table in which they stand beside the reference rows."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from conftest import write_recipe

from doppelbench.benchmark import cli
from doppelbench.benchmark.config import ConfigError, Recipe, load_recipe
from doppelbench.benchmark.submissions import (
    check_against,
    init_submission,
    recipe_of,
    recipe_without_systems,
    score_submission,
    submission_plan,
)
from doppelbench.corpora.errors import InputError
from doppelbench.engine.run import Run

# What a stranger without the package writes; the instructions hold a script like it.
SCRIPT = """
import csv
import soundfile

for trial in csv.DictReader(open("trials.csv", encoding="utf-8")):
    samples, rate = soundfile.read(trial["input"])
    soundfile.write(trial["output"], samples[::-1] * 0.5, rate)
"""
FILLED: dict[str, Any] = {
    "system": {"name": "backwards", "description": "Says everything backwards."},
    "authors": ["A. Author"],
    "contact": "author@example.org",
    "licence": "CC0-1.0",
    "training": {"data": "Nothing was trained.", "zero_shot": True, "extra_data": False},
    "parameters": 12_345,
    "compute": "none",
    "consent": {"voices_and_faces": True, "labelled_synthetic": True, "statement": ""},
}


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    values = yaml.safe_load(write_recipe(folder, manifest).read_text())
    values |= {"trials": {"targets": ["ana", "ben"], "per_target": 2}, "metrics": ["mcd_mel", "stoi"]}
    path = folder / "synthetic.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def recipe(recipe_file: Path) -> Recipe:
    return load_recipe(str(recipe_file))


@pytest.fixture(scope="module")
def submission(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a stranger filled with a script of a few lines."""
    folder = tmp_path_factory.mktemp("stranger") / "mine"
    init_submission(recipe, folder, inputs=True)
    command = [sys.executable, "-I", "-c", SCRIPT]
    subprocess.run(command, cwd=folder, check=True)
    fill(folder)
    return folder


def fill(folder: Path, **changes: Any) -> None:
    path = folder / "submission.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **FILLED, **changes}))


def run_cli(*words: object) -> int:
    """The command line in this process; returns the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["doppelbench", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
    return int(caught.value.code or 0)


def test_an_empty_folder_says_everything_that_is_to_be_known(submission: Path) -> None:
    text = (submission / "README.md").read_text()
    for name in ("trials.csv", "submission.json", "consent.voices_and_faces", "soundfile.write(", "16 bits"):
        assert name in text
    with (submission / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["target"] for row in rows] == ["ana", "ana", "ben", "ben"]
    for row in rows:
        samples, rate = soundfile.read(submission / row["input"])
        assert len(samples) / rate == pytest.approx(float(row["seconds"]), abs=1e-3)
        assert row["text_allowed"] == "no"
    assert len(list((submission / "inputs/enrolment/ana").iterdir())) == 5


def test_the_script_of_the_instructions_runs_as_it_stands(submission: Path, tmp_path: Path) -> None:
    script = (submission / "README.md").read_text().split("```python\n")[1].split("```")[0]
    for name in ("trials.csv", "inputs"):
        (tmp_path / name).symlink_to(submission / name)
    (tmp_path / "outputs").mkdir()
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True)
    assert len(list((tmp_path / "outputs").iterdir())) == 4


def test_nothing_that_a_trial_asks_for_lies_among_the_inputs(submission: Path, recipe: Recipe) -> None:
    given = {path.stem for path in (submission / "inputs").rglob("*.flac")}
    references = {trial.reference.id for trial in submission_plan(recipe).trials if trial.reference}
    assert references
    assert not given & references


def test_a_folder_with_files_is_not_written_over(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(InputError, match="is not empty; name a new folder"):
        init_submission(recipe, tmp_path)


def test_a_recipe_that_asks_for_no_outputs_has_no_submissions() -> None:
    with pytest.raises(ConfigError, match="the experiment reprojection, which asks for no outputs"):
        recipe_without_systems(load_recipe("reprojection"))


def test_a_file_that_a_stranger_names_as_recipe_is_not_read(submission: Path) -> None:
    with pytest.raises(InputError, match="does not come with the package; name the file with --recipe"):
        recipe_of(submission, None, [])


def test_the_check_finds_copies_of_the_corpus(submission: Path, recipe: Recipe, tmp_path: Path) -> None:
    report = check_against(submission, recipe)
    assert report.errors == []
    # The script of the stranger does not look at the target.
    assert [finding.code for finding in report.findings if finding.severity == "warning"] == ["duplicate"] * 2
    folder = tmp_path / "copied"
    init_submission(recipe, folder, inputs=True)
    fill(folder)
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            (folder / row["output"]).write_bytes((folder / row["input"]).read_bytes())
    report = check_against(folder, recipe)
    assert report.coverage == 0.0
    assert {finding.code for finding in report.errors} == {"copy"}


@pytest.fixture(scope="module")
def scored(submission: Path, recipe: Recipe, tmp_path_factory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("scored") / "run"
    figures, _ = score_submission(submission, recipe, folder)
    return folder, figures


class TestScoring:
    def test_a_submission_stands_beside_the_reference_rows(self, scored) -> None:
        folder, figures = scored
        by_place = {(figure["system"], figure["metric"]): figure for figure in figures}
        own = by_place["backwards", "mcd_mel"]
        assert own["coverage"] == 1.0
        assert own["n"] == own["expected"] == 4
        assert own["signature"] == by_place["natural", "mcd_mel"]["signature"]
        assert own["value"] > by_place["natural", "mcd_mel"]["value"]
        # What compares instants applies to it as little as to any other conversion.
        assert ("backwards", "stoi") not in by_place
        assert figures[0]["system"] == "backwards"
        plan = Run.open(folder).info.plan
        assert plan["systems"][0]["submission"]["consent"]["labelled_synthetic"] is True
        assert plan["budget"][0]["parameters"] == 12_345
        page = (folder / "report.html").read_text()
        assert "as submitted: Nothing was trained." in page
        assert "12,345" in page

    def test_what_is_scored_are_the_samples_that_were_submitted(self, scored, submission: Path) -> None:
        paths = sorted((scored[0] / "outputs/backwards").glob("*.flac"))
        assert len(paths) == 4
        for path in paths:
            np.testing.assert_array_equal(
                soundfile.read(path, dtype="int16")[0],
                soundfile.read(submission / "outputs" / path.name, dtype="int16")[0],
            )

    def test_the_archive_is_the_same_run_and_another_submission_is_not(
        self, scored, submission: Path, recipe: Recipe, tmp_path: Path
    ) -> None:
        folder, _ = scored
        items = (folder / "items.parquet").read_bytes()
        assert run_cli("submit", "pack", submission, "--out", tmp_path / "a.zip") == 0
        score_submission(tmp_path / "a.zip", recipe, folder)
        assert (folder / "items.parquet").read_bytes() == items
        other = Path(shutil.copytree(submission, tmp_path / "other"))
        fill(other, compute="another")
        with pytest.raises(Exception, match=r"submission.content is .* there"):
            score_submission(other, recipe, folder)

    def test_missing_outputs_count(self, submission: Path, recipe: Recipe, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(submission, tmp_path / "few"))
        outputs = sorted((folder / "outputs").iterdir())
        outputs[0].unlink()
        soundfile.write(outputs[1], np.zeros(19_200), 16_000)
        with pytest.raises(InputError, match=r"the check found .* and 1 more; .*--allow-incomplete"):
            score_submission(folder, recipe, tmp_path / "run")
        assert not (tmp_path / "run").exists()
        alone = recipe.model_copy(update={"reference_rows": False})
        figures, report = score_submission(folder, alone, tmp_path / "run", allow_incomplete=True)
        own = next(figure for figure in figures if figure["system"] == "backwards")
        assert (own["n"], own["expected"], report.coverage) == (2, 4, 0.5)
        items = Run.open(tmp_path / "run").items()
        statuses = items[items["system"] == "backwards"].set_index("trial")["status"]
        assert sorted(statuses) == ["missing", "ok", "ok", "silent"]
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".submission-")]

    def test_no_allowance_helps_without_consent(self, submission: Path, recipe: Recipe, tmp_path) -> None:
        folder = Path(shutil.copytree(submission, tmp_path / "mine"))
        fill(folder, consent={"voices_and_faces": True, "labelled_synthetic": False})
        with pytest.raises(InputError, match=r"consent\.labelled_synthetic is false"):
            score_submission(folder, recipe, tmp_path / "run", allow_incomplete=True)

    def test_a_system_cannot_take_the_name_of_a_row(self, submission: Path, recipe: Recipe, tmp_path) -> None:
        folder = Path(shutil.copytree(submission, tmp_path / "mine"))
        fill(folder, system={"name": "Natural", "description": "Is it really?"})
        with pytest.raises(InputError, match=r"system\.name is Natural, which every run has already"):
            score_submission(folder, recipe, tmp_path / "run")


class TestCommandLine:
    def test_check_prints_findings_and_coverage(self, submission: Path, capsys) -> None:
        assert run_cli("submit", "check", submission, "--format", "json") == 0
        printed = capsys.readouterr()
        assert {row["code"] for row in json.loads(printed.out)} == {"coverage", "own-list", "duplicate"}
        assert "0 errors, 2 warnings; 4 of 4 outputs can be scored (100.0%)" in printed.err

    @pytest.mark.parametrize("form", ["table", "md", "csv"])
    def test_check_exits_with_two_on_errors(
        self, submission: Path, tmp_path: Path, capsys, form: str
    ) -> None:
        folder = Path(shutil.copytree(submission, tmp_path / "mine"))
        (folder / "submission.json").write_text("{}")
        assert run_cli("submit", "check", folder, "--format", form) == 2
        assert "recipe is missing" in " ".join(capsys.readouterr().out.split())

    def test_pack_and_verify(self, submission: Path, tmp_path: Path, capsys) -> None:
        path = tmp_path / "mine.zip"
        assert run_cli("submit", "pack", submission, "-o", path) == 0
        digest = capsys.readouterr().out.split()[0]
        assert len(digest) == 64
        assert run_cli("submit", "verify", path) == 0
        content = bytearray(path.read_bytes())
        content[content.index(b"CC0-1.0")] ^= 1
        path.write_bytes(content)
        assert run_cli("submit", "verify", path) == 2
        assert "submission.json" in capsys.readouterr().out

    def test_many_findings_of_a_kind_are_counted_for_people(self, capsys) -> None:
        from doppelbench.benchmark.cli_output import OutputFormat
        from doppelbench.benchmark.cli_submit import _print_findings
        from doppelbench.leaderboards.submission_findings import Finding

        findings = [Finding("error", f"t{number}", "missing", "not there", "make it") for number in range(50)]
        _print_findings(findings, OutputFormat.md)
        assert "30 more; --format csv lists all" in capsys.readouterr().out
        _print_findings(findings, OutputFormat.csv)
        assert capsys.readouterr().out.count("not there") == 50
