"""A run's folder loses nothing at a kill, has the same bytes however it came about, and is not mixed up."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from doppelbench.engine.errors import ConfigError, RunError
from doppelbench.engine.run import FigureRow, ItemRow, Run, safe_name, signature_id

CONFIG = {"track": "voice-conversion", "metrics": [{"name": "pesq", "band": "wb"}], "seed": 1}


def rows(count=6):
    scored = [
        ItemRow(
            system=f"system{n % 2}",
            trial=f"trial {n}",
            metric="pesq",
            key=f"key{n}",
            value=1.0 + n / 3,
            statistics={"frames": n, "b": [0.1, n / 7], "a": "ä"},
            signature_id="abc",
            milliseconds=10.0 * n,
        )
        for n in range(count)
    ]
    failed = ItemRow("system0", "trial 9", "pesq", "key9", None, "silent", "all samples are 0", {}, "abc")
    return [*scored, failed]


def digest(run, name="items.parquet"):
    return hashlib.sha256((run.directory / name).read_bytes()).hexdigest()


@pytest.fixture
def finished(tmp_path):
    with Run.resume(tmp_path / "finished", CONFIG) as run:
        run.append_items(rows())
        run.finish_items()
    return run


def test_items_come_back_equal_and_sorted(finished):
    run = Run.open(finished.directory)
    assert run.item_rows() == sorted(rows(), key=lambda row: row.place)
    table = run.items()
    assert list(table.columns) == [
        "system", "trial", "metric", "key", "value", "status", "reason", "statistics", "signature_id",
    ]  # fmt: skip
    assert table["value"].isna().sum() == 1
    assert json.loads(table["statistics"][1]) == {"a": "ä", "b": [0.1, 2 / 7], "frames": 2}
    assert not (run.directory / "items.journal.jsonl").exists()


def test_items_have_the_same_bytes_in_any_order_sessions_and_speed(tmp_path, finished):
    shuffled = rows()
    random.Random(3).shuffle(shuffled)
    directory = tmp_path / "other"
    for number in range(0, len(shuffled), 2):
        with Run.resume(directory, CONFIG) as run:
            for row in shuffled[number : number + 2]:
                run.append_items([ItemRow(**{**as_dict(row), "milliseconds": 1000.0 + number})])
            if number == 2:
                run.finish_items()
    with Run.resume(directory) as run:
        run.finish_items()
    assert digest(run) == digest(finished)
    assert digest(run, "timings.parquet") != digest(finished, "timings.parquet")


def as_dict(row):
    return {name: getattr(row, name) for name in ItemRow.__slots__}


def test_newer_score_replaces_and_unexpected_ones_are_dropped(tmp_path):
    with Run.resume(tmp_path / "a", CONFIG) as run:
        run.append_items([ItemRow("s", "t", "pesq", "old", 1.0), ItemRow("s", "t", "stoi", "k", 0.5)])
        run.finish_items()
        run.append_items([ItemRow("s", "t", "pesq", "new", 2.0)])
        assert run.scored_keys() == {("s", "t", "pesq"): "new", ("s", "t", "stoi"): "k"}
        run.finish_items(expected=[("s", "t", "pesq")])
    assert [(row.key, row.value) for row in Run.open(run.directory).item_rows()] == [("new", 2.0)]


def test_statuses_to_retry_count_as_not_scored(finished):
    assert ("system0", "trial 9", "pesq") in finished.scored_keys()
    assert ("system0", "trial 9", "pesq") not in finished.scored_keys(retry=("silent",))


@pytest.mark.parametrize(
    ("value", "status"), [(1.0, "silent"), (None, "ok"), (float("nan"), "ok"), (float("inf"), "crashed")]
)
def test_failed_item_is_never_a_number(value, status):
    with pytest.raises(ValueError, match="s/t/pesq"):
        ItemRow("s", "t", "pesq", "k", value, status)


def test_statistics_take_numpy_numbers_and_refuse_what_is_not_finite(tmp_path):
    with Run.resume(tmp_path / "a", CONFIG) as run:
        run.append_items(
            [ItemRow("s", "t", "m", "k", 1.0, statistics={"n": np.int64(3), "x": np.float32(0.5)})]
        )
        assert run.item_rows()[0].statistics == {"n": 3, "x": 0.5}
        with pytest.raises(ValueError, match="not JSON compliant"):
            run.append_items([ItemRow("s", "u", "m", "k", 1.0, statistics={"x": float("nan")})])


SCRIPT = """
import sys, pathlib
from doppelbench.engine.run import ItemRow, Run
run = Run.resume(pathlib.Path(sys.argv[1]), {"a": 1})
for n in range(10**6):
    run.append_items([ItemRow("s", f"t{n:06d}", "m", "k" * 200, float(n))])
    print(n, flush=True)
"""


def test_killed_program_keeps_every_item_that_it_reported_and_its_run_is_free(tmp_path):
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True
    )
    for line in program.stdout:
        if int(line) == 30:
            break
    with pytest.raises(RunError, match=f"process {program.pid}"):
        Run.resume(tmp_path / "a", {"a": 1})
    program.send_signal(signal.SIGKILL)
    rest = program.stdout.read().split()
    program.wait()
    last = int(rest[-1]) if rest else 30
    with Run.resume(tmp_path / "a", {"a": 1}) as run:
        values = [row.value for row in run.item_rows()]
        assert values[: last + 1] == [float(n) for n in range(last + 1)]
        assert len(values) <= last + 2


def test_torn_last_line_is_dropped_and_a_damaged_one_before_it_is_an_error(tmp_path):
    with Run.resume(tmp_path / "a", CONFIG) as run:
        run.append_items(rows(3)[:3])
    journal = run.directory / "items.journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-25])
    with Run.resume(run.directory, CONFIG) as run:
        assert len(run.item_rows()) == 2
        run.append_items(rows(4)[3:4])
        assert [row.trial for row in run.item_rows()] == ["trial 0", "trial 1", "trial 3"]
    journal.write_bytes(b"{torn\n" + whole)
    with pytest.raises(RunError, match="line 1 is damaged"):
        Run.open(run.directory).item_rows()


def test_kill_between_parquet_and_journal_changes_nothing(tmp_path, finished):
    with Run.resume(tmp_path / "a", CONFIG) as run:
        run.append_items(rows())
        journal = (run.directory / "items.journal.jsonl").read_bytes()
        run.finish_items()
        (run.directory / "items.journal.jsonl").write_bytes(journal)
    with Run.resume(run.directory, CONFIG) as run:
        run.finish_items()
    assert digest(run) == digest(finished)


def test_other_configuration_is_refused_naming_what_differs_unless_forced(finished):
    other = {**CONFIG, "seed": 2, "metrics": [{"name": "stoi"}]}
    with pytest.raises(ConfigError, match=r"seed is 1 there and 2 now.*another name, or --force") as caught:
        Run.resume(finished.directory, other)
    assert "metrics" in str(caught.value)
    assert caught.value.exit_code == 1
    (finished.directory / "mine.txt").write_text("kept")
    with Run.resume(finished.directory, other, force=True) as run:
        assert run.item_rows() == []
    assert (finished.directory / "mine.txt").exists()
    assert Run.open(finished.directory).info.config["seed"] == 2


def test_equal_configuration_in_other_order_resumes_and_force_keeps_it(finished):
    turned = dict(reversed(list(CONFIG.items())))
    with Run.resume(finished.directory, turned, force=True) as run:
        assert len(run.item_rows()) == len(rows())
    assert len(Run.open(finished.directory).info.sessions) == 2


def test_newer_damaged_missing_and_foreign_folders_are_refused(tmp_path, finished):
    record = finished.directory / "run.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "schema": 99}))
    with pytest.raises(RunError, match=r"schema 99.*update"):
        Run.resume(finished.directory, CONFIG)
    record.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        Run.open(finished.directory)
    with pytest.raises(RunError, match="no run"):
        Run.open(tmp_path / "nothing")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(RunError, match="no run"):
        Run.resume(tmp_path / "photos", CONFIG, force=True)
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_one_process_writes_at_a_time(tmp_path):
    with Run.resume(tmp_path / "a", CONFIG) as run:
        with pytest.raises(RunError, match=f"process {os.getpid()}"):
            Run.resume(tmp_path / "a", CONFIG)
        assert Run.open(run.directory).info.config == CONFIG
    Run.resume(tmp_path / "a", CONFIG).close()


def test_run_open_for_reading_cannot_be_written(finished):
    run = Run.open(finished.directory)
    for write in (run.save, run.finish_items, lambda: run.append_items([]), lambda: run.write_figures([])):
        with pytest.raises(RunError, match="reading"):
            write()


def test_stages_add_up_over_sessions_and_interruptions_are_told(tmp_path):
    def interrupted():
        with Run.resume(tmp_path / "a", CONFIG) as run, run.stage("score"):
            time.sleep(0.05)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    info = Run.open(tmp_path / "a").info
    assert info.sessions[0].status == "interrupted"
    assert not info.stages["score"].finished
    with Run.resume(tmp_path / "a", CONFIG, command=["doppelbench", "run"]) as run, run.stage("score"):
        time.sleep(0.05)
    info = Run.open(tmp_path / "a").info
    assert [session.status for session in info.sessions] == ["interrupted", "complete"]
    assert info.sessions[1].command == ["doppelbench", "run"]
    assert info.stages["score"].finished
    assert 0.1 <= info.stages["score"].seconds < 2
    assert info.stages["score"].peak_memory > 10_000_000


def test_figures_come_back_exactly_with_coverage_in_the_file(tmp_path):
    figures = [
        FigureRow("b", "pesq", 0.1 + 0.2, 1 / 3, 2.0, 9, 10, "abc"),
        FigureRow("a, with comma", "pesq", None, None, None, 0, 10, "abc"),
    ]
    with Run.resume(tmp_path / "a", CONFIG) as run:
        assert run.figures() == []
        run.write_figures(figures)
    assert Run.open(run.directory).figures() == [figures[1], figures[0]]
    lines = (run.directory / "figures.csv").read_text().splitlines()
    assert lines[0] == "system,metric,value,low,high,n,expected,signature_id,coverage"
    assert lines[2].endswith(",0.9")


def test_signatures_are_kept_under_short_ids(tmp_path):
    with Run.resume(tmp_path / "a", CONFIG) as run:
        identifier = run.add_signature("pesq_wb|pesq-0.0.4|sr16000|v1")
    assert identifier == signature_id("pesq_wb|pesq-0.0.4|sr16000|v1")
    assert Run.open(run.directory).info.signatures == {identifier: "pesq_wb|pesq-0.0.4|sr16000|v1"}


@pytest.mark.parametrize("text", ["..", "", "a/b", "a\\b", ".hidden", "nul\0", "ü" * 300, "x" * 1000, "%2E."])
def test_any_id_is_one_file_name(tmp_path, text):
    name = safe_name(text)
    (tmp_path / name).write_text("")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert name not in {safe_name(other) for other in ("a", "a%2Fb", ".", "x" * 1001, "%2E%2E", "%")}


def test_outputs_stay_in_the_folder(finished):
    path = finished.output_path("../system", "../../trial/1", ".flac")
    assert path.resolve().is_relative_to(finished.directory.resolve() / "outputs")
    assert path.suffix == ".flac"
    assert finished.system_directory("a", "b").parent == finished.system_directory("a")
