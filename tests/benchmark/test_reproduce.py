"""From a result back to its numbers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from in_process import in_this_process
from typer.testing import CliRunner

from doppelbench.benchmark.boards import add_results, result_from_run
from doppelbench.benchmark.cli import app
from doppelbench.benchmark.config import ConfigError, load_recipe
from doppelbench.benchmark.reproduce import (
    Difference,
    Origin,
    cautions,
    differences,
    find_result,
    match_figures,
    match_table,
    plan_again,
    result_origin,
    results_folder,
    stored_recipe,
)
from doppelbench.benchmark.run import execute
from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.result import Result, find_results, parse_result, read_result

ORIGIN = Origin(
    corpus={"label": "talkers", "hash": "a" * 12},
    recipe={"preset": '"tiny"', "training.max_steps": "40"},
    seeds={"all": "0"},
    signatures={"wer": "wer|listener-1|v1", "sca": "sca|classifier-a|v1"},
    versions={"numpy": "2.4.6", "ray": "2.60.0"},
    machine={"processor": "one"},
    code={"commit": "abc"},
)


def result_of(
    values: dict[str, float | None], *, half: float | None = 1.0, n: int = 4, **more: object
) -> Result:
    """A result with one system and the unit dB."""
    figures = [
        {
            "metric": name,
            "value": value,
            "low": None if value is None or half is None else value - half,
            "high": None if value is None or half is None else value + half,
            "n": n,
            "expected": 4,
        }
        for name, value in values.items()
    ]
    content = {
        "schema": 1,
        "name": "made",
        "created": "2026-01-01T00:00:00+00:00",
        "track": "voice-conversion",
        "corpus": {"label": "talkers", "hash": "a" * 16},
        "trials": {"count": 4, "hash": "b" * 16},
        "ranking": ["mcd"],
        "metrics": [
            {"name": name, "signature": f"{name}|v1", "direction": "lower", "unit": "dB"} for name in values
        ],
        "systems": [{"key": "exemplar", "figures": figures}],
        **more,
    }
    return parse_result(json.dumps(content), "made.json")


def test_equal_origins_do_not_differ():
    assert differences(ORIGIN, ORIGIN) == []


def test_each_difference_is_named_with_both_sides():
    now = Origin(
        corpus={"label": "talkers", "hash": "b" * 12},
        recipe={"preset": '"small"', "sources": "null"},
        seeds={"all": "1"},
        signatures={"wer": "wer|listener-2|v1"},
        versions={"numpy": "2.5.0", "torch": "3"},
        machine={"processor": "other"},
        code={"commit": "def"},
    )
    found = differences(ORIGIN, now)
    assert found == [
        Difference("corpus", "hash", "a" * 12, "b" * 12),
        Difference("recipe", "preset", '"tiny"', '"small"'),
        Difference("recipe", "training.max_steps", "40", "–"),
        Difference("recipe", "sources", "–", "null"),
        Difference("seed", "all", "0", "1"),
        Difference("metric", "wer", "wer|listener-1|v1", "wer|listener-2|v1"),
        Difference("version", "numpy", "2.4.6", "2.5.0"),
        Difference("version", "ray", "2.60.0", "–"),
        Difference("machine", "processor", "one", "other"),
        Difference("code", "commit", "abc", "def"),
    ]
    assert found[5].sentence == "metric wer: listener-1 against listener-2"
    assert found[4].sentence == "seed all: 0 in the result, 1 here"
    assert [each.name for each in found if not each.counts] == ["commit"]


def test_what_a_result_does_not_know_is_no_difference():
    assert differences(replace(ORIGIN, versions={}, machine={}, recipe={}, code={}), ORIGIN) == []


@pytest.mark.parametrize(
    ("new", "tolerance", "match"),
    [
        (8.0, None, "exact"),
        (8.001, None, "as printed"),
        (8.01, None, "differs"),
        (8.001, "0", "differs"),
        (8.1, "0.1", "within tolerance"),
        (7.92, "1%", "within tolerance"),
        (7.91, "1%", "differs"),
        (None, "5", "differs"),
    ],
)
def test_figures_are_equal_as_printed_or_within_the_tolerance(new, tolerance, match):
    # A figure without a ranking one beside it would be no result.
    stored, made = result_of({"mcd": 8.0, "lsd": 1.0}), result_of({"mcd": new, "lsd": 1.0})
    [first, second] = match_figures(stored, made, tolerance)
    assert (first.match, first.equal) == (match, match != "differs")
    assert second.match == "exact"


def test_a_figure_that_is_not_made_again_is_missing_and_an_interval_is_told():
    [mcd, lsd] = match_figures(result_of({"mcd": 8.0, "lsd": 1.0}), result_of({"mcd": 9.5}))
    assert (mcd.in_interval, mcd.difference, mcd.match) == (False, 1.5, "differs")
    assert (lsd.match, lsd.equal, lsd.in_interval) == ("missing", False, None)
    [row, _] = match_table([mcd, lsd], people=True)
    assert (row["stored"], row["new"], row["difference"], row["in stored interval"]) == (
        "8.00",
        "9.50",
        "+1.5",
        "no",
    )


def test_an_equal_figure_of_fewer_items_is_not_equal():
    [match] = match_figures(result_of({"mcd": 8.0}), result_of({"mcd": 8.0}, n=3))
    assert (match.match, match.reason) == ("differs", "3 of 4 items instead of 4 of 4")


@pytest.mark.parametrize("tolerance", ["-1", "x", "1 per cent", "nan"])
def test_what_is_no_tolerance_is_refused(tolerance):
    with pytest.raises(ConfigError, match="neither a number"):
        match_figures(result_of({"mcd": 8.0}), result_of({"mcd": 8.0}), tolerance)


def test_results_that_cannot_be_made_again_say_why():
    with pytest.raises(InputError, match="stored without its recipe"):
        stored_recipe(result_of({"mcd": 8.0}))
    with pytest.raises(InputError, match="is a detection result"):
        stored_recipe(result_of({"mcd": 8.0}, track="detection"))
    with pytest.raises(InputError, match="its outputs were made elsewhere"):
        stored_recipe(result_of({"mcd": 8.0}, config={"submission": "x"}))
    with pytest.raises(ConfigError, match="the recipe of made: unknown key 'presett'"):
        stored_recipe(result_of({"mcd": 8.0}, config={"presett": "tiny"}))


def test_the_recipe_measures_what_the_result_measured():
    recipe = stored_recipe(result_of({"mcd": 8.0, "wer": 1.0}, config={"metrics": None}), ["seed=3"], jobs=1)
    assert (recipe.metrics, recipe.seed, recipe.jobs) == (["wer", "mcd"], 3, 1)


def test_a_training_that_stops_by_the_clock_is_told():
    recipe = stored_recipe(result_of({"mcd": 8.0}, config={"training": {"max_seconds": 5}}))
    assert "no two runs" in cautions(recipe)[0]
    assert cautions(stored_recipe(result_of({"mcd": 8.0}, config={}))) == []


def test_the_suites_own_results_have_a_recipe_that_can_be_read():
    read = 0
    for path in find_results(results_folder()):
        stored = read_result(path, items=False)
        assert find_result(path.stem) == stored.result
        if stored.result.track == "detection":
            with pytest.raises(InputError, match="detection result"):
                stored_recipe(stored.result)
            continue
        recipe = stored_recipe(stored.result)
        assert recipe.seed == stored.result.seeds["all"]
        assert set(recipe.metrics) >= {entry.name for entry in stored.result.metrics}
        assert result_origin(stored.result).versions["torch"]
        read += 1
    assert read


def test_recordings_that_are_not_here_are_named(monkeypatch):
    monkeypatch.delenv("DOPPELBENCH_REALDATA", raising=False)
    result = find_result("real")
    with pytest.raises(
        InputError, match=r"\$DOPPELBENCH_REALDATA/b_long.*set the environment variable"
    ) as said:
        plan_again(result, stored_recipe(result))
    assert "corpus.root=FOLDER" in str(said.value)


def test_what_is_no_result_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(InputError, match=r"no result of the suite; those are .*talkers"):
        find_result("nothing")
    with pytest.raises(InputError, match="there is no such result"):
        find_result(str(tmp_path / "none.json"))


@pytest.fixture(scope="module")
def told(tmp_path_factory, manifest):
    """A run of seconds, its recipe and its result."""
    folder = tmp_path_factory.mktemp("told")
    recipe = {
        "name": "told",
        "corpus": {"reader": "csv", "root": str(manifest)},
        "trials": {"targets": ["ana"], "per_target": 2},
        "preset": "tiny",
        "training": {"device": "cpu", "max_steps": 5},
        "metrics": ["sca", "mcd"],
        "jobs": 1,
    }
    (folder / "told.yaml").write_text(yaml.safe_dump(recipe))
    with in_this_process():
        execute(load_recipe(str(folder / "told.yaml")), folder / "run", until="score")
    [result] = add_results(folder / "run", folder / "results")
    return folder, result


def invoke(*words: object):
    with in_this_process():
        return CliRunner().invoke(app, ["reproduce", *(str(word) for word in words)])


def test_a_result_is_reproduced_to_the_last_bit(told):
    folder, result = told
    again = folder / "again"
    said = invoke(result, "--out", again, "--format", "json")
    assert said.exit_code == 0, said.stderr
    assert "nothing differs" in said.stderr or "commit" in said.stderr
    matches = json.loads(said.stdout)
    assert {row["match"] for row in matches} == {"exact"}
    assert {row["metric"] for row in matches} == {"sca", "mcd"}
    assert (again / "items.parquet").read_bytes() == (folder / "run" / "items.parquet").read_bytes()
    assert result_from_run(again).trials == result_from_run(folder / "run").trials


def test_a_check_trains_nothing_and_says_whether_something_differs(told):
    folder, result = told
    assert invoke(folder / "run", "--check", "--out", folder / "none").exit_code == 0
    said = invoke(result, "seed=1", "training.max_steps=6", "--check", "--format", "json")
    assert said.exit_code == 3
    rows = {
        (row["part"], row["name"]): (row["in the result"], row["here"]) for row in json.loads(said.stdout)
    }
    assert rows["seed", "all"] == ("0", "1")
    assert rows["recipe", "training.max_steps"] == ("5", "6")
    assert not (folder / "none").exists()


def test_other_seeds_and_recordings_are_told_before_and_after(told, manifest):
    folder, result = told
    other = Path(shutil.copytree(manifest.parent, folder / "other")) / manifest.name
    *kept, _ = other.read_text(encoding="utf-8").splitlines()
    other.write_text("\n".join(kept) + "\n", encoding="utf-8")
    said = invoke(result, f"corpus.root={other}", "seed=1", "--out", folder / "off", "--format", "json")
    assert said.exit_code == 3, said.stderr
    matches = {(row["system"], row["metric"]): row["match"] for row in json.loads(said.stdout)}
    assert matches["exemplar", "mcd"] == "differs"
    assert matches["natural", "mcd"] == "exact"
    before, _, after = said.stderr.partition("may explain")
    assert "differs: seed all: 0 in the result, 1 here" in before
    assert "seed all: 0 in the result, 1 here" in after
    assert "corpus hash" in before
    assert "corpus hash" in after
    assert "recipe corpus.root" in after


def test_a_run_is_not_reproduced_into_itself(told):
    folder, _ = told
    said = invoke(folder / "run", "--out", folder / "run")
    assert isinstance(said.exception, InputError)
    assert "is the run itself" in str(said.exception)
