"""A run leaves what the design names, goes on after anything, and costs of a failure only its own trials."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import soundfile
from command_line import cli, complaint

from doppelbench.benchmark.config import ConfigError, load_recipe
from doppelbench.benchmark.plan import make_plan
from doppelbench.benchmark.run import choose_metrics, describe_plan, execute, rescore_run
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.engine.engines import Engine
from doppelbench.engine.errors import ConfigError as RunConfigError
from doppelbench.engine.errors import EngineError
from doppelbench.engine.run import Run, safe_name
from doppelbench.metrics.sca import SpeakerClassifier

SYSTEMS = {"exemplar", "natural", "copy-synthesis", "source", "source-copy-synthesis", "random-target"}
TARGETS = ("ana", "ben", "short")


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def changes(folder: Path, *patterns: str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for pattern in patterns for path in folder.glob(pattern)}


def assert_same_results(folder: Path, uninterrupted: Path) -> None:
    results = ("items.parquet", "figures.csv", "outputs/**/*.flac", "systems/**/weights.safetensors")
    assert digests(folder, *results) == digests(uninterrupted, *results)
    assert not (folder / "items.journal.jsonl").exists()


def start_and_kill(command: list[object], sign: callable) -> None:
    """Start the command line, wait for a sign, and kill it with all that it started."""
    arguments = [sys.executable, "-m", "doppelbench.benchmark", *(str(part) for part in command)]
    with subprocess.Popen(
        arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not sign():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:
            member.kill()
    psutil.wait_procs(family, timeout=10)


class TestAFinishedRun:
    def test_leaves_what_the_design_names(self, finished):
        names = {path.name for path in finished.folder.iterdir()}
        assert {"run.json", "items.parquet", "timings.parquet", "figures.csv", "report.html"} <= names
        assert {path.name for path in (finished.folder / "outputs").iterdir()} == SYSTEMS
        for target in ("ana", "ben"):
            folder = finished.folder / "systems" / "exemplar" / target
            assert {"weights.safetensors", "config.json", "log.csv", "tensorboard"} <= {
                p.name for p in folder.iterdir()
            }

    def test_outputs_of_a_system_call_themselves_synthetic_and_natural_speech_does_not(self, finished):
        for system, made in (("exemplar", True), ("natural", False)):
            path = next((finished.folder / "outputs" / system).glob("*.flac"))
            assert ("synthetic, made by the system exemplar" in soundfile.SoundFile(path).comment) == made

    def test_has_one_item_for_every_system_trial_and_metric_that_applies(self, finished):
        items = pd.read_parquet(finished.folder / "items.parquet")
        counts = items.groupby(["system", "metric"]).size().unstack(fill_value=0)
        trials = 2 * len(TARGETS)
        assert set(counts.index) == SYSTEMS
        assert (counts[["sca", "wer", "mcd"]] == trials).all(axis=None)
        # What compares instants says something of rows made from the reference alone.
        assert counts["stoi"].to_dict() == {s: trials * (s in ("natural", "copy-synthesis")) for s in SYSTEMS}

    def test_knows_what_it_was_made_of(self, finished):
        record = json.loads((finished.folder / "run.json").read_text())
        assert record["config"]["seed"] == 0
        assert len(record["inputs"]) == record["corpus"]["clips"] == 27
        assert all(len(digest) == 64 for digest in record["inputs"].values())
        assert {stage for stage, spent in record["stages"].items() if spent["finished"]} == {
            "train",
            "synthesize",
            "score",
            "report",
        }
        assert set(record["sessions"][-1]["environment"]) >= {"packages"}
        signatures = {entry["name"]: entry["signature"] for entry in record["plan"]["metrics"]}
        assert set(signatures) == {"sca", "wer", "mcd", "stoi"}
        assert set(signatures.values()) <= set(record["signatures"].values())

    def test_keeps_the_words_that_were_heard(self, finished):
        items = pd.read_parquet(finished.folder / "items.parquet")
        natural = items[(items["system"] == "natural") & (items["metric"] == "wer")]
        # The stored transcripts have one wrong word of six where the sentence has the word "one".
        texts = {
            trial["id"]: trial["source"]["text"] for trial in Run.open(finished.folder).info.plan["trials"]
        }
        assert len(natural) == len(texts)
        for row in natural.itertuples():
            statistics = json.loads(row.statistics)
            assert statistics["substitutions"] == texts[row.trial].split().count("one")
            assert statistics["reference_tokens"] == len(texts[row.trial].split())

    def test_reaches_the_ceiling_with_the_natural_row(self, finished):
        figures = {(figure["system"], figure["metric"]): figure for figure in finished.figures}
        assert figures["natural", "mcd"]["value"] < 0.5
        assert figures["natural", "stoi"]["value"] > 0.999
        assert figures["copy-synthesis", "mcd"]["value"] < figures["source", "mcd"]["value"]

    def test_costs_of_a_failed_training_only_its_own_trials(self, finished):
        items = pd.read_parquet(finished.folder / "items.parquet")
        own = items[items["system"] == "exemplar"]
        of_short = own["trial"].str.endswith("_to_short")
        assert set(own[of_short]["status"]) == {"missing"}
        assert own[of_short]["value"].isna().all()
        assert own[of_short]["reason"].str.contains("5.0 s of usable speech").all()
        assert set(own[~of_short]["status"]) == {"ok"}
        assert set(items[items["system"] != "exemplar"]["status"]) == {"ok"}
        coverage = {f["metric"]: f["coverage"] for f in finished.figures if f["system"] == "exemplar"}
        assert coverage == pytest.approx({"sca": 2 / 3, "wer": 2 / 3, "mcd": 2 / 3})


def test_a_second_call_does_nothing_again(copied):
    kept = ("outputs/**/*", "systems/**/*")
    before, items = changes(copied.folder, *kept), (copied.folder / "items.parquet").read_bytes()
    # The milliseconds differ from time to time, so that equal ones were not measured again.
    timings = (copied.folder / "timings.parquet").read_bytes()
    figures = execute(copied.recipe, copied.folder)
    assert changes(copied.folder, *kept) == before
    assert (copied.folder / "items.parquet").read_bytes() == items
    assert (copied.folder / "timings.parquet").read_bytes() == timings
    assert figures == copied.figures


def test_only_what_is_gone_is_made_again(copied):
    items = (copied.folder / "items.parquet").read_bytes()
    gone = sorted((copied.folder / "outputs" / "source").iterdir())[0]
    content = gone.read_bytes()
    gone.unlink()
    others = changes(copied.folder, "outputs/**/*.flac", "systems/**/*")
    execute(copied.recipe, copied.folder, until="score")
    assert gone.read_bytes() == content
    assert changes(copied.folder, "outputs/**/*.flac", "systems/**/*").items() >= others.items()
    assert (copied.folder / "items.parquet").read_bytes() == items


def test_outputs_that_were_changed_are_scored_again_and_a_damaged_one_is_named(copied):
    own = sorted((copied.folder / "outputs" / "source").iterdir())
    own[0].write_bytes(own[-1].read_bytes())
    own[1].write_bytes(b"")
    before = pd.read_parquet(copied.folder / "items.parquet")
    rescore_run(copied.folder, metrics=None, engine=Engine(jobs=1))
    after = pd.read_parquet(copied.folder / "items.parquet")
    assert len(after) == len(before)
    changed = after[before["key"] != after["key"]]
    assert set(changed["system"]) == {"source"}
    assert {safe_name(trial) for trial in changed["trial"]} == {own[0].stem, own[1].stem}
    # By its name alone: the items of a run are the same wherever its folder lies.
    damaged = changed[changed["status"] != "ok"]
    assert set(damaged["status"]) == {"unreadable"}
    assert set(damaged["reason"]) == {f"{own[1].name}: the file is empty (0 bytes)"}


def test_another_configuration_in_the_folder_is_refused_with_the_difference(finished):
    kept = ("*.json", "*.parquet", "*.csv", "outputs/**/*")
    before = digests(finished.folder, *kept)
    recipe = load_recipe(str(finished.recipe_file), ["training.max_steps=41"])
    with pytest.raises(
        RunConfigError, match=r"training\.max_steps is 40 there and 41 now.*--force"
    ) as caught:
        execute(recipe, finished.folder)
    assert caught.value.exit_code == 1
    assert digests(finished.folder, *kept) == before


def test_force_replaces_the_run_of_another_configuration(copied):
    recipe = load_recipe(str(copied.recipe_file), ["seed=1", "systems=[]"])
    execute(recipe, copied.folder, until="train", force=True)
    assert Run.open(copied.folder).info.config["seed"] == 1
    assert not list((copied.folder / "outputs").rglob("*.flac"))
    assert not (copied.folder / "items.parquet").exists()


def test_recordings_that_changed_are_no_longer_those_of_the_run(copied, manifest, tmp_path):
    other = manifest.with_name("shorter.csv")
    other.write_text("\n".join(manifest.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    moved = copied.recipe.model_copy(
        update={"corpus": copied.recipe.corpus.model_copy(update={"root": other})}
    )
    with pytest.raises(RunConfigError, match="corpus_hash"):
        execute(moved, copied.folder)


def test_jobs_and_time_limits_are_not_part_of_the_configuration(finished, copied):
    recipe = load_recipe(str(finished.recipe_file), ["jobs=2", "item_timeout=99"])
    assert execute(recipe, copied.folder, until="score") == finished.figures


def kill_in_training(finished, folder: Path) -> None:
    """Kill a run once the first target has a checkpoint; the second has not begun then."""
    checkpoints = folder / "systems" / "exemplar" / "ana" / "checkpoints"
    start_and_kill(["run", finished.recipe_file, "-o", folder], lambda: any(checkpoints.glob("step-*")))
    assert not (folder / "systems" / "exemplar" / "ben").exists()
    assert not (folder / "systems" / "exemplar" / "ana" / "weights.safetensors").exists()


def test_a_training_that_was_killed_ends_with_the_same_weights(finished, tmp_path):
    kill_in_training(finished, tmp_path / "killed")
    execute(finished.recipe, tmp_path / "killed", until="train")
    weights = ("systems/exemplar/**/weights.safetensors",)
    assert digests(tmp_path / "killed", *weights) == digests(finished.folder, *weights)


@pytest.mark.slow
def test_a_run_killed_in_training_and_finished_by_two_workers_ends_like_one_that_was_not(finished, tmp_path):
    kill_in_training(finished, tmp_path / "killed")
    result = cli("run", finished.recipe_file, "-o", tmp_path / "killed", "--jobs", 2)
    assert result.returncode == 4, result.stderr
    assert "Traceback" not in result.stderr
    assert_same_results(tmp_path / "killed", finished.folder)


def test_a_run_killed_in_scoring_ends_like_one_that_was_not(finished, copied):
    for name in ("items.parquet", "timings.parquet", "figures.csv", "report.html"):
        (copied.folder / name).unlink()
    journal = copied.folder / "items.journal.jsonl"

    def begun() -> bool:
        # Outputs that are not there are noted at once; an item with a value was computed.
        return journal.is_file() and journal.read_bytes().count(b'"status": "ok"') >= 2

    start_and_kill(["run", copied.recipe_file, "-o", copied.folder], begun)
    assert not (copied.folder / "items.parquet").exists()
    with journal.open("ab") as file:
        file.write(b'{"system": "torn')
    execute(copied.recipe, copied.folder)
    assert_same_results(copied.folder, finished.folder)
    assert (copied.folder / "report.html").is_file()


@pytest.mark.slow
def test_two_workers_give_the_same_bytes_as_one(finished, tmp_path):
    execute(load_recipe(str(finished.recipe_file), ["jobs=2"]), tmp_path / "run")
    assert_same_results(tmp_path / "run", finished.folder)


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_done_and_says_so(finished, copied):
    (copied.folder / "items.parquet").unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "doppelbench.benchmark", "run", finished.recipe_file, "-o", copied.folder],
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = copied.folder / "items.journal.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert journal.stat().st_size
    assert Run.open(copied.folder).info.sessions[-1].status == "interrupted"


def test_a_plan_says_what_would_be_trained_and_made(finished):
    rows = {row["system"]: row for row in describe_plan(finished.recipe)}
    assert rows["exemplar"] == {
        "system": "exemplar",
        "preset": "tiny",
        "trainings": 3,
        "outputs": 6,
        "parallel": 6,
    }
    assert {name: row["trainings"] for name, row in rows.items() if name != "exemplar"} == dict.fromkeys(
        SYSTEMS - {"exemplar"}, 0
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("metrics=[stio]", "did you mean stoi"),
        ("trials.targets=[nobody]", "nobody"),
        ("systems=[exemplr]", "'exemplar'"),
        ("systems.0.settings={chanels: 3}", "'channels'"),
        ("systems.0.settings={channels: wide}", "channels is of type int"),
        ("systems.0.label=natural", "'natural'"),
        ("systems.0.label=classifier", "'classifier'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_done(finished, tmp_path, override, said):
    with pytest.raises((DoppelbenchError, EngineError)) as caught:
        execute(
            load_recipe(str(finished.recipe_file), ["systems=[{name: exemplar}]", override]), tmp_path / "run"
        )
    assert caught.value.exit_code == 1
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_target_named_twice_is_one_target(finished):
    recipe = load_recipe(str(finished.recipe_file), ["trials.targets=[ana, ana]"])
    assert {row["outputs"] for row in describe_plan(recipe)} == {2}


class TestRescore:
    def test_adds_a_metric_and_keeps_the_other_items(self, copied):
        before = pd.read_parquet(copied.folder / "items.parquet")
        figures = rescore_run(copied.folder, metrics=["estoi"], engine=Engine(jobs=1))
        after = pd.read_parquet(copied.folder / "items.parquet")
        assert {figure["metric"] for figure in figures} == {"estoi"}
        pd.testing.assert_frame_equal(after[after["metric"] != "estoi"].reset_index(drop=True), before)
        assert (after["metric"] == "estoi").sum() == 12

    def test_works_where_the_folder_was_moved_to(self, copied, tmp_path, monkeypatch):
        copied.folder.rename(tmp_path / "moved")
        monkeypatch.chdir(tmp_path)
        figures = rescore_run(Path("moved"), metrics=["sca"], engine=Engine(jobs=1))
        assert figures == [figure for figure in copied.figures if figure["metric"] == "sca"]

    def test_of_a_run_that_was_never_scored_is_refused(self, copied):
        record = json.loads((copied.folder / "run.json").read_text())
        del record["plan"]["metrics"]
        (copied.folder / "run.json").write_text(json.dumps(record))
        with pytest.raises(ConfigError, match="never scored"):
            rescore_run(copied.folder, metrics=None, engine=Engine(jobs=1))


def test_a_synthesis_that_crashes_is_an_item_that_says_so(copied, monkeypatch):
    weights = copied.folder / "systems" / "exemplar" / "ana" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    for output in (copied.folder / "outputs" / "exemplar").glob("*_to_ana.flac"):
        output.unlink()
    execute(copied.recipe, copied.folder, until="score")
    items = pd.read_parquet(copied.folder / "items.parquet")
    own = items[(items["system"] == "exemplar") & items["trial"].str.endswith("_to_ana")]
    assert set(own["status"]) == {"crashed"}
    assert own["reason"].str.contains("no trained exemplar that can be read").all()


def test_an_unreadable_clip_costs_the_classifier_only_that_clip(finished, manifest, tmp_path, capsys):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    lines = manifest.read_text(encoding="utf-8").splitlines()
    listed = manifest.with_name("with_broken.csv")
    listed.write_text("\n".join([*lines, f"bad clip,cleo,{broken},words,train"]), encoding="utf-8")
    recipe = load_recipe(str(finished.recipe_file), ["metrics=[sca]", f"corpus.root={listed}"])
    with Run.resume(tmp_path / "run", {}) as run:
        choose_metrics(run, make_plan(recipe))
    assert "bad clip is left out" in capsys.readouterr().err
    kept = SpeakerClassifier.load(tmp_path / "run" / "systems" / "classifier")
    assert kept.training["utterances"] == 17
    assert kept.digest == SpeakerClassifier.load(finished.folder / "systems" / "classifier").digest


def test_two_processes_cannot_write_one_run(finished):
    with Run.resume(finished.folder):
        result = cli("score", finished.folder)
    assert result.returncode == 2
    assert f"process {os.getpid()}" in complaint(result)
