"""From run folders of every track to results, and the verb ``board``."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_runs import MCD, WER
from typer.testing import CliRunner

from doppelbench.benchmark.boards import add_results, load_results, result_from_run, results_from_run
from doppelbench.benchmark.cli import app
from doppelbench.corpora.errors import InputError
from doppelbench.engine.run import FigureRow, ItemRow, Run, output_path
from doppelbench.leaderboards.board import build_boards
from doppelbench.leaderboards.result import read_result

TRIALS = 12


def write_run(folder: Path, errors: dict[str, list[int]], *, corpus: str = "a" * 64) -> Path:
    """A scored run of the track ``voice-conversion``: word errors among five words, and one MCD a system."""
    with Run.resume(folder, {"name": "made", "preset": "small"}, environment={"python": "3.12"}) as run:
        wer, mcd = run.add_signature(WER), run.add_signature(MCD)
        figures = []
        for system, own in errors.items():
            for number, count in enumerate(own):
                counts = {"substitutions": count, "deletions": 0, "insertions": 0, "reference_tokens": 5}
                place = system, f"t{number:02d}"
                run.append_items(
                    [ItemRow(*place, "wer", "k", count / 5, statistics=counts, signature_id=wer)]
                )
            run.append_items([ItemRow(system, "t00", "mcd", "k", 7.5, signature_id=mcd)])
            value = 100 * sum(own) / (5 * len(own))
            n = len(own)
            figures.append(FigureRow(system, "wer", value, value - 5, value + 5, n, n, wer))
            figures.append(FigureRow(system, "mcd", 7.5, None, None, 1, 1, mcd))
        run.info.corpus = {"label": "talkers", "hash": corpus, "clips": 40}
        run.info.seeds = {"all": 0}
        run.info.plan = {
            "track": "voice-conversion",
            "trials": [
                {
                    "id": f"t{number:02d}",
                    "target": f"target{number % 2}",
                    "source": {"sha256": f"{number}", "text": "a", "audio": str(folder)},
                    "reference": None,
                }
                for number in range(TRIALS)
            ],
            "systems": [
                {
                    "key": key,
                    "name": "exemplar",
                    "title": "One",
                    "preset": "small",
                    "reference_row": key == "row",
                }
                for key in errors
            ],
            "trainings": {
                f"{key}/{target}": {"seconds": 30.0, "parameters": 5, "peak_memory": 9}
                for key in errors
                for target in ("target0", "target1")
            },
        }
        run.finish_items()
        run.write_figures(figures)
    return folder


GOOD, BAD = [0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], [3, 4, 2, 3, 4, 3, 5, 3, 2, 3, 4, 3]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", {"good": GOOD, "bad": BAD, "row": [0] * TRIALS})


def test_a_run_gives_its_figures_costs_and_items(run: Path, tmp_path: Path) -> None:
    [path] = add_results(run, tmp_path / "results")
    stored = read_result(path)
    result = stored.result
    head = result.headline
    assert head is not None
    assert (head.name, head.direction, head.unit, head.signature) == ("wer", "lower", "%", WER)
    assert (result.recipe, result.preset, result.seeds) == ("made", "small", {"all": 0})
    good = result.systems[0]
    assert good.cost.training_seconds == 60.0
    assert good.cost.parameters == 5
    assert next(one.value for one in good.figures if one.metric == "wer") == pytest.approx(5.0)
    assert stored.items["good@small"].numerators.tolist() == [100.0 * count for count in GOOD]
    assert stored.items["good@small"].denominators.tolist() == [5.0] * TRIALS
    assert result_from_run(run).metrics == result.metrics
    assert path.stat().st_size < 10_000


def test_the_board_of_a_run_tests_its_systems(run: Path) -> None:
    [board] = build_boards(load_results([run]))
    assert [(row.system.key, row.rank, row.tie) for row in board.rows] == [
        ("good", 1, ""),
        ("bad", 2, "difference shown"),
        ("row", None, ""),
    ]


def test_where_the_files_of_a_corpus_lie_does_not_matter(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "elsewhere", {"new": GOOD})
    [board] = build_boards(load_results([run, other]))
    assert {row.system.key for row in board.rows} == {"good", "bad", "row", "new"}


def test_a_record_without_items_says_so(run: Path) -> None:
    (run / "items.parquet").unlink()
    [board] = build_boards(load_results([run]))
    assert board.ties == "overlapping intervals"
    assert "items were not kept" in board.notes[0]


def test_figures_that_are_not_those_of_the_items_are_refused(run: Path) -> None:
    text = (run / "figures.csv").read_text()
    (run / "figures.csv").write_text(text.replace("good,wer,5.0", "good,wer,4.0"))
    with pytest.raises(InputError, match="says 4 for wer of good, the items say 5"):
        results_from_run(run)
    (run / "figures.csv").write_text(text.replace(",12,12,", ",11,12,"))
    with pytest.raises(InputError, match="says that 11 of 12 items"):
        results_from_run(run)


def test_damaged_items_are_refused(run: Path) -> None:
    (run / "items.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"items\.parquet: no table of items"):
        results_from_run(run)


def test_what_is_no_run_or_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a run folder, a result file"):
        load_results([tmp_path])
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        load_results([tmp_path])


def test_examples_are_small_outputs_of_the_same_trials(run: Path) -> None:
    for key in ("good", "bad"):
        for trial in ("t00", "t01"):
            path = output_path(run, key, trial, ".flac")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"fLaC")
    output_path(run, "bad", "t01", ".flac").write_bytes(bytes(2 << 20))
    [stored] = load_results([run], examples=True)
    assert {key: [trial for trial, _ in own] for key, own in stored.examples.items()} == {
        "good": ["t00", "t01"],
        "bad": ["t00"],
    }


def write_detection_run(folder: Path) -> Path:
    """Two detectors and a trivial one on two protocols, as ``detect matrix`` leaves them."""
    folder.mkdir()
    record = {
        "schema": 1,
        "track": "detection",
        "name": "forensics",
        "created": "2026-01-01T00:00:00+00:00",
        "seeds": {"all": 0},
        "corpus": {"label": "talkers", "hash": "a" * 64, "clips": 200},
    }
    (folder / "run.json").write_text(json.dumps(record))
    generator = np.random.default_rng(0)
    trials, figures = [], []
    for protocol in ("speaker-agnostic", "speaker-specific"):
        for detector, shift in (("lfcc-gmm", 3.0), ("rawnet2", 0.8), ("random", 0.0)):
            for number in range(220):
                # The last twenty were converted by nobody and count in no pooled figure.
                control = number >= 200
                real = number % 2 == 0 and not control
                trials.append(
                    {
                        "protocol": protocol, "fold": "", "detector": detector, "variant": "plain",
                        "id": f"clip{number}", "part": "test", "bonafide": real,
                        "attack": "" if real else "copy-synthesis" if control else "autovc",
                        "control": control, "score": 9.0 if control else generator.normal(shift * real, 1),
                        "status": "ok",
                    }
                )  # fmt: skip
            rate = {"lfcc-gmm": 0.07, "rawnet2": 0.34, "random": 0.5}[detector]
            for variant, worse in (("plain", 0.0), ("mp3:bitrate=32k", 0.05)):
                figures.append(
                    {
                        "protocol": protocol, "fold": "", "detector": detector, "variant": variant,
                        "group": "pooled", "name": "", "metric": "eer_asvspoof", "value": rate + worse,
                        "low": rate + worse - 0.04, "high": rate + worse + 0.04, "bonafide": 100,
                        "spoof": 100, "reason": "",
                    }
                )  # fmt: skip
    pd.DataFrame(trials).to_parquet(folder / "trials.parquet")
    with (folder / "figures.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(figures[0]))
        writer.writeheader()
        writer.writerows(figures)
    return folder


def test_a_detection_run_gives_a_board_for_each_protocol(tmp_path: Path) -> None:
    run = write_detection_run(tmp_path / "forensics")
    with pytest.raises(InputError, match="has 2 results"):
        result_from_run(run)
    boards = build_boards(load_results(add_results(run, tmp_path / "results")))
    assert [board.trials.task for board in boards] == ["speaker-agnostic", "speaker-specific"]
    for board in boards:
        assert board.trials.count == 200
        assert [column.id for column in board.columns] == [
            "eer_asvspoof",
            "eer_asvspoof after mp3:bitrate=32k",
        ]
        assert [(row.system.key, row.rank, row.tie, row.section) for row in board.rows] == [
            ("lfcc-gmm", 1, "", "ranked"),
            ("rawnet2", 2, "difference shown", "ranked"),
            ("random", None, "", "reference"),
        ]


def test_a_board_shows_a_detection_run_without_examples(tmp_path: Path) -> None:
    run = write_detection_run(tmp_path / "forensics")
    assert [stored.examples for stored in load_results([run], examples=True)] == [{}, {}]


def test_the_verb_adds_builds_and_compares(run: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    results, site = tmp_path / "results", tmp_path / "site"

    def call(*words: object) -> tuple[int, str]:
        done = runner.invoke(app, ["board", *(str(word) for word in words)])
        return done.exit_code, done.output

    assert call("add", run, "--to", results)[0] == 0
    code, text = call("build", results, "--out", site, "--format", "json")
    assert code == 0
    assert "paired test" in text
    assert (site / "index.html").is_file()
    old = site / "boards.json"
    assert call("diff", old, old)[0] == 0
    write_run(tmp_path / "newer", {"good": BAD, "bad": BAD})
    assert call("build", tmp_path / "newer", "--out", tmp_path / "second")[0] == 0
    code, text = call("diff", old, tmp_path / "second" / "boards.json", "--format", "csv")
    assert code == 3
    assert ",dropped,row@small," in text
