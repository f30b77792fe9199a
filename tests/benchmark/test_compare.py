"""Two runs are compared trial by trial, what is not alike is refused, and neither audio nor torch is used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import cli, complaint
from stored_runs import MCD, STOI, WER, write_run

from doppelbench.benchmark.compare import compare_runs, comparison_table, load_scores, signature_difference
from doppelbench.corpora.errors import InputError
from doppelbench.metrics.sca import train_on_features
from doppelbench.metrics.statistics import paired_difference

N = 48


@pytest.fixture(scope="module")
def values():
    """Scores of a baseline; the same with noise; the same with noise and a loss; by two metrics."""
    generator = np.random.default_rng(0)
    stoi = generator.uniform(0.5, 0.9, N)
    words = generator.integers(4, 12, N)
    errors = generator.binomial(words, 0.2)
    noise = generator.normal(0, 0.01, N)
    return {
        "base": {("a", "stoi"): stoi, ("a", "wer"): list(zip(errors, words, strict=True))},
        "noise": {
            ("a", "stoi"): stoi + noise,
            ("a", "wer"): list(zip(generator.binomial(words, 0.2), words, strict=True)),
        },
        "worse": {
            ("a", "stoi"): stoi + noise - 0.05,
            ("a", "wer"): list(zip(generator.binomial(words, 0.6), words, strict=True)),
        },
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("runs")
    return {name: write_run(folder / name, scores) for name, scores in values.items()}


def by_metric(rows):
    return {row.metric: row for row in rows}


def test_a_real_loss_is_called_worse_by_both_directions(runs):
    rows = by_metric(compare_runs([runs["base"], runs["worse"]]))
    assert {row.verdict for row in rows.values()} == {"worse"}
    assert rows["stoi"].high < 0 < rows["wer"].low
    assert rows["stoi"].difference == pytest.approx(-0.05, abs=0.005)
    assert rows["stoi"].worse_by > 0
    assert rows["wer"].worse_by > 0


def test_the_same_loss_seen_from_the_other_side_is_a_gain(runs):
    rows = compare_runs([runs["worse"], runs["base"]])
    assert {row.verdict for row in rows} == {"better"}


def test_noise_is_called_no_difference(runs):
    rows = compare_runs([runs["base"], runs["noise"]])
    assert {row.verdict for row in rows} == {"no difference shown"}
    assert all(row.low < 0 < row.high and row.p > 0.05 for row in rows)


def test_rows_hold_the_statistics_of_the_pairs(runs, values):
    rows = by_metric(compare_runs([runs["base"], runs["worse"]]))
    counts = [np.array(values[name]["a", "wer"]) * [100, 1] for name in ("base", "worse")]
    found = paired_difference(*counts)
    row = rows["wer"]
    assert (row.n, row.base, row.value) == (N, pytest.approx(found.first), pytest.approx(found.second))
    assert (row.low, row.high) == pytest.approx((found.low, found.high))
    assert (row.effect, row.detectable) == pytest.approx((found.effect, found.detectable))
    assert row.unit == "%"
    # Two rows, so the smaller of the p-values counts twice.
    assert row.adjusted_p >= row.p
    smallest = min(rows.values(), key=lambda row: row.p)
    assert smallest.adjusted_p == pytest.approx(2 * smallest.p)


def test_only_trials_that_both_scored_are_paired(tmp_path, values):
    stoi = values["base"]["a", "stoi"]
    base = write_run(tmp_path / "base", {("a", "stoi"): ["silent", *stoi[1:]]})
    other = write_run(tmp_path / "other", {("a", "stoi"): [*stoi[:-2], "crashed"]})
    (row,) = compare_runs([base, other])
    assert row.n == N - 3
    assert row.difference == 0.0
    assert (row.base_coverage, row.coverage) == ((N - 1) / N, (N - 2) / (N - 1))


def test_trials_are_paired_by_name_not_by_place(tmp_path):
    base = write_run(tmp_path / "base", {("a", "stoi"): [0.1, 0.2, 0.3, 0.4]})
    other = write_run(tmp_path / "other", {("a", "stoi"): [0.3, 0.4, 0.5]}, first_trial=2)
    (row,) = compare_runs([base, other])
    assert (row.n, row.difference) == (2, pytest.approx(0.0))


def test_other_signatures_are_refused_with_the_part_that_differs(tmp_path, values):
    scores = values["base"]
    base = write_run(tmp_path / "base", scores)
    other = write_run(tmp_path / "other", scores, signatures={"wer": WER.replace("basic", "whisper")})
    rows = by_metric(compare_runs([base, other]))
    assert rows["wer"].verdict == "not comparable"
    assert rows["wer"].reason == "basic against whisper"
    assert rows["wer"].difference is None
    assert rows["stoi"].verdict == "no difference shown"
    # What was refused is no part of the family.
    assert rows["stoi"].adjusted_p == rows["stoi"].p


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("mcd|o24|v1", "mcd|o24|v2", "v1 against v2"),
        ("mcd|c0|o24|v1", "mcd|o24|v1", "c0 against nothing"),
        ("a|b|c|d", "a|x|c|y", "b against x, d against y"),
    ],
)
def test_signature_differences_name_parts(first, second, said):
    assert signature_difference(first, second) == said


def test_other_recordings_under_the_same_names_are_refused(tmp_path, values):
    base = write_run(tmp_path / "base", values["base"])
    other = write_run(tmp_path / "other", values["base"], recordings="other")
    rows = compare_runs([base, other])
    assert {row.verdict for row in rows} == {"not comparable"}
    assert rows[0].reason == f"{N} of {N} common trials have another source recording, such as t000"


def test_a_metric_of_one_run_alone_and_no_common_trials_are_said(tmp_path):
    base = write_run(tmp_path / "base", {("a", "stoi"): [0.1, 0.2], ("a", "mcd"): [5.0, 6.0]})
    other = write_run(tmp_path / "other", {("a", "stoi"): [0.1, 0.2]}, first_trial=7)
    rows = by_metric(compare_runs([base, other]))
    assert rows["mcd"].reason == f"{other} has no mcd of a"
    assert rows["stoi"].reason == "no trial was scored in both"


def test_items_scored_in_two_ways_are_refused(tmp_path):
    folder = write_run(tmp_path / "run", {("a", "stoi"): [0.1], ("b", "stoi"): [0.1, 0.2]})
    from doppelbench.engine.run import ItemRow, Run

    with Run.resume(folder) as run:
        other = run.add_signature(STOI.replace("v1", "v2"))
        run.append_items([ItemRow("a", "t001", "stoi", "key", 0.2, signature_id=other)])
    (row,) = compare_runs([folder], systems=["b", "a"])
    assert row.verdict == "not comparable"
    assert "v1 against v2" in row.reason
    assert "score it again" in row.reason


def test_a_metric_that_is_not_installed_is_refused(tmp_path):
    folders = [
        write_run(tmp_path / name, {("a", "nosuch"): [1.0, 2.0]}, signatures={"nosuch": "nosuch|v1"})
        for name in ("one", "two")
    ]
    (row,) = compare_runs(folders)
    assert row.reason == "the metric nosuch is not installed here"


def test_systems_of_one_run_are_compared_with_the_first_named(tmp_path):
    values = np.random.default_rng(1).uniform(4, 8, 30)
    folder = write_run(
        tmp_path / "run", {("a", "mcd"): values, ("b", "mcd"): values + 1, ("c", "mcd"): values - 1}
    )
    rows = compare_runs([folder], systems=["b", "c", "a"])
    assert [(row.base_system, row.system, row.verdict) for row in rows] == [
        ("b", "c", "better"),
        ("b", "a", "better"),
    ]
    assert [row.difference for row in rows] == pytest.approx([-2, -1])


def test_several_runs_are_compared_with_the_first(runs):
    rows = compare_runs([runs["base"], runs["noise"], runs["worse"]], metrics=["stoi"])
    assert [(Path(row.run).name, row.verdict) for row in rows] == [
        ("noise", "no difference shown"),
        ("worse", "worse"),
    ]
    assert "run" in comparison_table(rows, people=True)[0]


def test_clusters_widen_the_interval(tmp_path):
    # All trials of a source speaker moved together, as those of one voice do.
    moved = np.array([-0.10, 0.05, 0.10, 0.20])[np.arange(40) % 4]
    base = np.random.default_rng(2).uniform(0.4, 0.6, 40)
    folders = [
        write_run(tmp_path / "base", {("a", "stoi"): base}),
        write_run(tmp_path / "other", {("a", "stoi"): base + moved}),
    ]
    (by_item,) = compare_runs(folders)
    (by_source,) = compare_runs(folders, unit="source")
    assert by_item.verdict == "better"
    assert by_source.verdict == "no difference shown"
    assert by_source.p == 8 / 16


def test_unknown_names_are_suggested(runs):
    with pytest.raises(InputError, match="did you mean 'stoi'"):
        compare_runs([runs["base"], runs["noise"]], metrics=["stio"])
    with pytest.raises(InputError, match="system 'nobody'"):
        compare_runs([runs["base"], runs["noise"]], systems=["nobody"])
    with pytest.raises(InputError, match="--systems"):
        compare_runs([runs["base"]])


def test_a_large_family_can_still_find_something(tmp_path):
    # With 10,000 swaps the smallest p-value times 60 rows would be above 0.005.
    values = np.random.default_rng(3).normal(size=20)
    systems = {(f"s{number:03d}", "mcd"): values + 5 for number in range(60)}
    folder = write_run(tmp_path / "run", {("base", "mcd"): values, **systems})
    rows = compare_runs([folder], systems=["base", *(system for system, _ in systems)], alpha=0.005)
    assert {row.verdict for row in rows} == {"worse"}


def test_a_classifier_of_the_same_speech_and_seed_has_the_same_hash():
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(shift, 1, size=(12, 242)) for shift in (0, 1)])
    names = ["a"] * 12 + ["b"] * 12
    first, second, third = (train_on_features(rows, names, seed=seed) for seed in (0, 0, 1))
    assert first.digest == second.digest
    assert first.digest != third.digest


def test_scores_are_read_without_torch_audio_or_the_classifier(tmp_path):
    scores = {("a", metric): [0.5, 1.0, 0.0] for metric in ("sca", "stoi", "mcd", "pesq_wb")}
    signatures = {"sca": "sca|classifier-1|v1", "pesq_wb": "pesq_wb|v1"}
    scores[("a", "wer")] = [(1, 2), (0, 3), (1, 4)]
    folders = [write_run(tmp_path / name, scores, signatures=signatures) for name in ("one", "two")]
    code = (
        "import sys; from pathlib import Path; from doppelbench.benchmark.compare import compare_runs;"
        "rows = compare_runs([Path(name) for name in sys.argv[1:]]);"
        "print(len(rows), {row.verdict for row in rows});"
        "print(sorted({'torch', 'soundfile', 'av', 'pandas', 'lightning', 'whisper'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == ["5 {'no difference shown'}", "[]"]


def test_the_verb_prints_rows_and_its_exit_codes(runs, tmp_path):
    result = cli("compare", runs["base"], runs["worse"], "--format", "json")
    assert result.returncode == 0
    rows = json.loads(result.stdout)
    assert {row["verdict"] for row in rows} == {"worse"}
    assert {"difference", "low", "high", "p", "adjusted_p", "effect", "coverage"} <= set(rows[0])

    table = cli("compare", runs["base"], runs["noise"], "-m", "stoi", "--format", "md").stdout
    assert "no difference shown" in table
    assert "100% / 100%" in table

    other = write_run(tmp_path / "other", {("a", "mcd"): [1.0]}, signatures={"mcd": MCD + "0"})
    base = write_run(tmp_path / "base", {("a", "mcd"): [1.0]})
    result = cli("compare", base, other, "--format", "csv")
    assert result.returncode == 2
    assert "nothing is comparable" in complaint(result)
    assert "v1 against v10" in result.stdout

    result = cli("compare", base, tmp_path / "nowhere")
    assert result.returncode == 2
    assert "no run" in complaint(result)


@pytest.mark.slow
@pytest.mark.skipif("DOPPELBENCH_STORED_RUN" not in os.environ, reason="DOPPELBENCH_STORED_RUN names no run")
def test_splits_of_one_system_of_a_stored_run_differ_as_often_as_the_level_says():
    stored = load_scores(Path(os.environ["DOPPELBENCH_STORED_RUN"]))
    generator = np.random.default_rng(0)
    for metric in ("mcd", "wer"):
        terms = np.array(list(stored.series["exemplar", metric].terms.values()))
        found = 0
        for split in range(200):
            order = generator.permutation(len(terms))[: len(terms) // 2 * 2].reshape(2, -1)
            found += paired_difference(terms[order[0]], terms[order[1]], seed=split).p < 0.05
        assert 0.02 <= found / 200 <= 0.08, metric
