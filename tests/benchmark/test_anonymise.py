"""Everybody into one voice: the recipe takes all other speakers, the script tells what is left of them."""

import importlib.util
import re
from pathlib import Path

import pytest
from synthetic_corpus import TALKERS

from doppelbench.benchmark.config import load_recipe
from doppelbench.benchmark.run import execute
from doppelbench.benchmark.tracks.voice_conversion import make_trials
from doppelbench.corpora.readers.csv import read_csv
from doppelbench.corpora.talkers.voices import VOICES

ROOT = Path(__file__).parents[2]


def test_the_one_voice_is_a_target_of_the_built_in_corpus_and_its_figures_are_asked_for():
    recipe = load_recipe("anonymise")
    assert recipe.corpus.reader == "talkers"
    assert recipe.trials.targets == [next(voice.name for voice in VOICES if voice.role == "target")]
    assert set(recipe.metrics) == {"secs_source", "secs", "sca", "wer"}


def test_every_other_speaker_is_a_source(manifest):
    recipe = load_recipe("anonymise")
    clips = [clip for clip in read_csv(manifest).clips() if clip.split == "test"]
    trials = make_trials(clips, ["ana"], sources=recipe.trials.sources, per_target=recipe.trials.per_target)
    others = {talker.name for talker in TALKERS} - {"ana"}
    assert {trial.source.speaker for trial in trials} == others
    assert len(trials) == len([clip for clip in clips if clip.speaker != "ana"])
    assert all(trial.reference is not None for trial in trials)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("anonymity", ROOT / "docs" / "anonymity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_leaves_open_what_a_run_did_not_measure(finished, script):
    rows = {row["system"]: row for row in script.anonymity(finished.folder)}
    assert set(rows) == {row["system"] for row in finished.figures}
    figures = {(row["system"], row["metric"]): row["value"] for row in finished.figures}
    for name, row in rows.items():
        assert row["secs"] is row["secs_source"] is row["eer_target_against_source"] is None
        assert row["sca"] == figures[name, "sca"]
        assert row["wer"] == figures[name, "wer"]


def test_the_documents_name_figures_that_exist(script):
    page = (ROOT / "docs" / "voice-conversion.md").read_text()
    section = page.partition("## Anonymising")[2].partition("\n## ")[0]
    assert "run anonymise" in section
    named = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
    assert named == {*script.METRICS, script.RATE}


@pytest.mark.slow
def test_a_small_run_tells_source_and_target_apart(manifest, tmp_path, script):
    pytest.importorskip("resemblyzer")
    recipe = load_recipe(
        "anonymise",
        [
            f"corpus={{reader: csv, root: {manifest}}}",
            "trials.targets=[ana]",
            "trials.per_target=8",
            "preset=tiny",
            "training={device: cpu, max_steps: 40}",
            "metrics=[secs_source, secs]",
            "jobs=1",
        ],
    )
    execute(recipe, tmp_path / "run")
    rows = {row["system"]: row for row in script.anonymity(tmp_path / "run")}
    # What was not converted is its source, and the target's own speech has nothing of it.
    assert rows["source"]["secs_source"] == pytest.approx(1, abs=1e-6)
    assert rows["natural"]["secs"] == pytest.approx(1, abs=1e-6)
    assert rows["source"]["eer_target_against_source"] == pytest.approx(100)
    assert rows["natural"]["eer_target_against_source"] == pytest.approx(0)
    assert rows["exemplar"]["secs_source"] < 1
