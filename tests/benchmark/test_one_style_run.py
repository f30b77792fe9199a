"""A run in which exemplars hear further people or other recording conditions, and listeners get sheets."""

import json

import pytest

from doppelbench.benchmark.config import validate
from doppelbench.benchmark.run import execute
from doppelbench.corpora.media import sha256_of
from doppelbench.engine.run import Run
from doppelbench.listening.study import read_key

# Three trainings, each in a process of its own.
pytestmark = pytest.mark.slow
SYSTEMS = [
    "exemplar",
    {"name": "exemplar", "label": "two-people", "hear": ["ben"]},
    {"name": "exemplar", "label": "four-conditions", "conditions": 4},
]


@pytest.fixture(scope="module")
def run_folder(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_style") / "run"
    recipe = {
        "name": "one-style",
        "published": "exemplar-2021/section-d.3",
        "corpus": {"reader": "csv", "root": str(manifest)},
        "trials": {"targets": ["ana"], "sources": ["cleo"]},
        "systems": SYSTEMS,
        "preset": "tiny",
        "reference_rows": False,
        "training": {"device": "cpu", "max_steps": 2},
        "metrics": ["mel_l1"],
        "ab_tests": [{"systems": ["exemplar", "two-people"]}, {"systems": ["exemplar", "four-conditions"]}],
        "jobs": 1,
    }
    execute(validate(recipe, "test"), folder)
    return folder


def test_every_exemplar_learned_something_else(run_folder):
    weights = {sha256_of(path) for path in run_folder.glob("systems/*/ana/weights.safetensors")}
    assert len(weights) == 3


def test_the_conditions_were_recorded_beside_the_model(run_folder):
    # Five clips in turn: studio, room, telephone, street, studio; what the studio gives is not copied.
    assert len(list(run_folder.glob("systems/four-conditions/ana/recordings/*.flac"))) == 3
    assert not list(run_folder.glob("systems/exemplar/ana/recordings"))


def test_the_record_says_who_was_heard(run_folder):
    rows = {row["system"]: row for row in Run.open(run_folder).info.plan["budget"]}
    assert {
        name: (row["trained_on"], row["speakers"], row["speech_seconds"]) for name, row in rows.items()
    } == {
        "exemplar": ("target only", 1, 40.0),
        "two-people": ("target and ben", 2, 80.0),
        "four-conditions": ("target only, 4 simulated recording conditions", 1, 40.0),
    }


def test_listeners_get_a_sheet_for_each_pair(run_folder):
    for number, other in ((1, "two-people"), (2, "four-conditions")):
        entries = read_key(run_folder / "listening" / str(number)).entries.values()
        pairs = [entry for entry in entries if entry.kind == "system"]
        assert len(pairs) == 2
        assert sorted(entry.systems[0] for entry in pairs) == sorted(["exemplar", other])
    given = (run_folder / "listening" / "1" / "raters").rglob("*")
    assert not any(b"exemplar" in path.read_bytes() for path in given if path.is_file())


def test_the_pages_show_the_papers_preferences_apart(run_folder):
    text = (run_folder / "experiment.md").read_text(encoding="utf-8")
    measured, _, printed = text.partition("## What the paper prints")
    assert "90.6" in printed
    assert "90.6" not in measured
    assert "90.6" in (run_folder / "report.html").read_text(encoding="utf-8")


def test_the_choices_are_part_of_the_configuration(run_folder):
    systems = json.loads((run_folder / "run.json").read_text())["config"]["systems"]
    assert [(one["hear"], one["conditions"]) for one in systems] == [([], 1), (["ben"], 1), ([], 4)]
