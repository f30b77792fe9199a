"""Contrasts take the seeds of a system together, and a run trains and reports them."""

from pathlib import Path

import numpy as np
import pytest
from stored_runs import write_run

from doppelbench.benchmark.compare import compare_runs, load_scores
from doppelbench.benchmark.config import ConfigError, validate
from doppelbench.benchmark.contrasts import Contrast, compare_groups, contrast_table
from doppelbench.benchmark.run import execute, rescore_run
from doppelbench.corpora.media import sha256_of
from doppelbench.engine.engines import Engine
from doppelbench.engine.run import Run


@pytest.fixture
def scores(tmp_path):
    rng = np.random.default_rng(0)
    trial = rng.normal(size=40)
    rows = {
        ("a", "stoi"): trial,
        ("b", "stoi"): trial + 0.5 + 0.1 * rng.normal(size=40),
        ("b-seed-1", "stoi"): trial + 0.3 + 0.1 * rng.normal(size=40),
    }
    return load_scores(write_run(tmp_path / "run", rows))


def test_without_seeds_a_contrast_is_the_comparison_of_two_systems(scores):
    (row,) = compare_groups(scores, {"a": ["a"], "b": ["b"]}, [Contrast("a", "b", "stoi")])
    (plain,) = compare_runs([_folder(scores)], systems=["a", "b"])
    assert (row["difference"], row["low"], row["high"], row["p"]) == (
        plain.difference,
        plain.low,
        plain.high,
        plain.p,
    )
    assert row["seeds"] == [1, 1]
    assert row["by_seed"] == [plain.difference]


def test_the_difference_of_two_seeds_is_the_mean_of_their_differences(scores):
    groups = {"a": ["a"], "b": ["b", "b-seed-1"]}
    (row,) = compare_groups(scores, groups, [Contrast("a", "b", "stoi")])
    single = [compare_runs([_folder(scores)], systems=["a", key])[0].difference for key in ("b", "b-seed-1")]
    assert row["difference"] == pytest.approx(np.mean(single))
    assert row["low"] < row["difference"] < row["high"]
    assert row["seeds"] == [1, 2]


def test_each_pair_of_seeds_has_its_difference(scores):
    groups = {"a": ["a", "a"], "b": ["b", "b-seed-1"]}
    (row,) = compare_groups(scores, groups, [Contrast("a", "b", "stoi")])
    assert row["by_seed"] == pytest.approx([0.5, 0.3], abs=0.06)
    (shown,) = contrast_table([row])
    assert shown["by seed"].count("+0.") == 2
    assert shown["verdict"] == "better"


def test_a_trial_that_one_training_failed_is_left_out(tmp_path):
    rows = {
        ("a", "stoi"): [1.0, 2.0, 3.0, 4.0],
        ("b", "stoi"): [2.0, 3.0, 4.0, "crashed"],
        ("b-seed-1", "stoi"): ["crashed", 3.0, 4.0, 5.0],
    }
    scores = load_scores(write_run(tmp_path / "run", rows))
    (row,) = compare_groups(scores, {"a": ["a"], "b": ["b", "b-seed-1"]}, [Contrast("a", "b", "stoi")])
    assert row["n"] == 2
    assert row["difference"] == 1.0
    assert row["coverage"] == 0.75


def test_a_metric_that_was_not_scored_says_so(scores):
    (row,) = compare_groups(scores, {"a": ["a"], "b": ["b"]}, [Contrast("a", "b", "mcd")])
    assert row["verdict"] == "not comparable"
    assert "has no mcd of a" in row["reason"]


def test_p_values_are_corrected_over_all_contrasts(scores):
    groups = {"a": ["a"], "b": ["b"], "c": ["b-seed-1"]}
    rows = compare_groups(scores, groups, [Contrast("a", "b", "stoi"), Contrast("a", "c", "stoi")])
    assert [row["adjusted_p"] for row in rows] == pytest.approx([2 * rows[0]["p"], 2 * rows[1]["p"]])


@pytest.mark.parametrize(
    ("contrast", "reason"),
    [
        ({"base": "exemplar", "systems": ["nobody"]}, "no system nobody"),
        ({"base": "exemplar", "systems": ["exemplar"]}, "compared with itself"),
        ({"base": "exemplar", "systems": []}, "systems"),
    ],
)
def test_a_contrast_that_cannot_be_made_is_refused(contrast, reason):
    with pytest.raises(ConfigError, match=reason):
        validate({"systems": ["exemplar"], "contrasts": [contrast]}, "test")


def test_a_label_that_a_seed_has_taken_is_refused():
    systems = [{"name": "exemplar", "seeds": 2}, {"name": "exemplar", "label": "exemplar-seed-1"}]
    with pytest.raises(ConfigError, match="exemplar-seed-1"):
        validate({"systems": systems}, "test")


@pytest.mark.slow
def test_a_run_trains_every_seed_and_contrasts_them(manifest, tmp_path):
    recipe = {
        "corpus": {"reader": "csv", "root": str(manifest)},
        "trials": {"targets": ["ana"], "sources": ["cleo"]},
        "systems": [{"name": "exemplar", "seeds": 2}],
        "preset": "tiny",
        "training": {"device": "cpu", "max_steps": 2},
        "metrics": ["mel_l1"],
        "contrasts": [{"base": "copy-synthesis", "systems": ["exemplar"], "metrics": ["mel_l1"]}],
        "jobs": 1,
    }
    execute(validate(recipe, "test"), tmp_path / "run")
    weights = {sha256_of(path) for path in tmp_path.glob("run/systems/*/ana/weights.safetensors")}
    assert len(weights) == 2
    assert "## Contrasts" in (tmp_path / "run/experiment.md").read_text()
    (row,) = Run.open(tmp_path / "run").info.plan["contrasts"]
    assert row["seeds"] == [1, 2]
    # What was compared is compared anew when outputs are scored again.
    with Run.resume(tmp_path / "run") as run:
        run.info.plan["contrasts"][0]["difference"] = 99.0
        run.save()
    rescore_run(tmp_path / "run", metrics=None, engine=Engine(jobs=1))
    assert Run.open(tmp_path / "run").info.plan["contrasts"] == [row]


def _folder(scores):
    return Path(scores.name)
