"""The metrics keep the ratios to the usual libraries that their table of comparisons promises."""

import json
import os
import statistics
import time
from dataclasses import asdict

import pytest

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio, write_audio
from doppelbench.engine.pool import Task, run_pool
from doppelbench.metrics.benchmarks.__main__ import main, table
from doppelbench.metrics.benchmarks.comparisons import BUNDLE, COMPARISONS
from doppelbench.metrics.benchmarks.speech import RATE, pair_of, talkers_pairs
from doppelbench.metrics.benchmarks.timing import Comparison, measure

# Two processes of equal work halve the time but for what they share; the caches of a processor, at least.
SPEEDUP_OF_TWO = 1.9
ATTEMPTS = 3
# Each process loads its compiled kernels once; more work than that is what is timed.
TURNS = 9
PROMISED = [comparison for comparison in COMPARISONS if comparison.goal is not None]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    return talkers_pairs(tmp_path_factory.mktemp("speech"))


def constant(value, seconds=0.0):
    def make(pair):
        def call():
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
            return value

        return call

    return make


def test_ratio_is_their_time_over_ours_and_the_difference_that_of_the_values(tmp_path):
    import numpy as np

    pair = pair_of(np.sin(np.arange(RATE) / 9), np.sin(np.arange(RATE) / 7), tmp_path, "tone")
    row = measure(Comparison("x", constant(1.0, 0.01), "lib", constant(1.5, 0.03)), [pair])
    assert row.ratio == pytest.approx(3.0, rel=0.3)
    assert row.ours_ms == pytest.approx(10.0, rel=0.3)
    assert row.difference == 0.5


def test_a_library_that_is_missing_is_named_with_its_cure(tmp_path):
    import numpy as np

    pair = pair_of(np.sin(np.arange(RATE) / 9), np.sin(np.arange(RATE) / 7), tmp_path, "tone")
    absent = Comparison(
        "x", constant(1.0, 0.001), "lib", constant(1.0), ("no_such_module",), ("no-such-package",), 2.0
    )
    row = measure(absent, [pair])
    assert (row.ratio, row.theirs_ms) == (None, None)
    assert "not installed: pip install no-such-package" in table([row])


def test_the_command_prints_a_table_and_writes_figures(pairs, tmp_path, capsys):
    path = tmp_path / "figures.json"
    first = pairs[0]
    files = ["--pair", str(first.ref_file), str(first.other_file)]
    assert main([*files, "--only", "stoi", "--json", str(path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("| metric")
    (figures,) = json.loads(path.read_text(encoding="utf-8"))
    assert figures["name"] == "stoi"
    assert figures["difference"] < 1e-9


def test_recordings_that_are_not_there_are_an_error(tmp_path, capsys):
    missing = str(tmp_path / "none.wav")
    assert main(["--pair", missing, missing, "--only", "stoi"]) == 2
    assert "none.wav" in capsys.readouterr().err


def test_speech_is_the_same_on_every_run_and_of_ordinary_length(pairs):
    assert all(3.0 <= pair.seconds <= 10.0 for pair in pairs)
    for pair in pairs:
        assert pair.noisy.shape == pair.ref.shape
        assert pair.other.shape != pair.ref.shape


@pytest.mark.slow
@pytest.mark.parametrize("comparison", PROMISED, ids=lambda comparison: comparison.name)
def test_promised_ratio_is_kept(comparison, pairs):
    row = measure(comparison, pairs)
    if row.ratio is None:
        pytest.skip(row.note)
    assert row.ratio >= row.goal, table([row])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stoi", "estoi"])
def test_values_are_those_of_pystoi_on_speech(name, pairs):
    (comparison,) = [line for line in COMPARISONS if line.name == name]
    assert measure(comparison, pairs).difference < 1e-9


def bundle_tasks(pairs, folder):
    """The four metrics on many outputs of one length, so that the work divides evenly."""
    tasks = []
    for number in range(8):
        samples = pairs[0].noisy * (1 - number / 100)
        path = folder / f"{number}.wav"
        write_audio(path, Audio(samples.astype("float32"), RATE))
        ref = {"path": str(pairs[0].ref_file), "start": None, "end": None}
        clip = asdict(Clip(id="c", speaker="s", audio=str(pairs[0].ref_file)))
        for name in BUNDLE:
            arguments = {"metric": name, "options": "{}", "out": str(path), "ref": ref, "clip": clip}
            for turn in range(TURNS):
                key = f"{name} {number} {turn}"
                tasks.append(Task(key, "doppelbench.benchmark.work:score_item", arguments))
    return tasks


def seconds_of(tasks, jobs):
    """Wall time from the first result to the last, which leaves the start of the workers out."""
    times = []
    for result in run_pool(tasks, jobs=jobs):
        assert result.status == "ok", result
        assert isinstance(result.value, float) or result.value["status"] == "ok", result
        times.append(time.perf_counter())
    return times[-1] - times[0]


@pytest.mark.slow
def test_two_processes_score_nearly_twice_as_fast_as_one(pairs, tmp_path):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    load = os.getloadavg()[0]
    if load > 0.5 * (os.cpu_count() or 1):
        pytest.skip(f"the machine is busy (load {load:.1f}), so that two processes do not get two cores")
    tasks = bundle_tasks(pairs, tmp_path)
    speedups = [seconds_of(tasks, 1) / seconds_of(tasks, 2) for _ in range(ATTEMPTS)]
    speedup = statistics.median(speedups)
    if speedup < SPEEDUP_OF_TWO:
        loop = {"stmt": "for i in range(1_000_000): pass", "number": 4}
        loops = [Task(str(number), "timeit:timeit", loop) for number in range(48)]
        ceiling = seconds_of(loops, 1) / seconds_of(loops, 2)
        if ceiling < SPEEDUP_OF_TWO:
            pytest.skip(
                f"two processes are {speedup:.2f} times as fast as one; plain loops reach {ceiling:.2f} here"
            )
    assert speedup >= SPEEDUP_OF_TWO, speedups
