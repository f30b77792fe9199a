"""A score file of the size of ASVspoof 2021 DF is read and evaluated in seconds, within two gibibytes."""

import json
import subprocess
import sys

import numpy as np
import pytest

TRIALS = 600_000
BONAFIDE_SHARE = 0.05
ATTACKS = 13
SPEAKERS = 100
LIMIT_SECONDS = 10.0
LIMIT_BYTES = 2 << 30

PROGRAM = """
import json, pathlib, resource, sys, time
from doppelbench.detectors.evaluation import evaluate
from doppelbench.detectors.trial_files import read_trials

start = time.process_time()
trials = read_trials(sys.argv[1], sys.argv[2])
read = time.process_time() - start
start = time.process_time()
found = evaluate(trials, by=("attack",), intervals=(), points=500)
figures = time.process_time() - start
start = time.process_time()
evaluate(trials, by=("attack",), intervals=("pooled", "attack"))
intervals = time.process_time() - start
status = pathlib.Path("/proc/self/status")
if status.exists():
    # The peak that getrusage knows is also that of the process which started this one.
    peak = 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
else:
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = len(found.rows)
print(json.dumps({"read": read, "figures": figures, "intervals": intervals, "peak": peak, "rows": rows}))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    generator = np.random.default_rng(0)
    real = generator.random(TRIALS) < BONAFIDE_SHARE
    attacks = generator.integers(0, ATTACKS, TRIALS)
    speakers = generator.integers(0, SPEAKERS, TRIALS)
    scores = generator.normal(np.where(real, 2.0, -0.2 * attacks), 1.0)
    with (folder / "key.txt").open("w") as key:
        for n in range(TRIALS):
            attack, label = ("-", "bonafide") if real[n] else (f"A{attacks[n] + 7:02d}", "spoof")
            key.write(
                f"LA_{speakers[n]:04d} DF_E_{2000000 + n} mp3m4a asvspoof {attack} {label} notrim eval "
                "traditional_vocoder - - - -\n"
            )
    with (folder / "scores.txt").open("w") as file:
        for n in generator.permutation(TRIALS):
            file.write(f"DF_E_{2000000 + n} {float(scores[n])!r}\n")
    return folder / "key.txt", folder / "scores.txt"


@pytest.mark.benchmark(group="detection")
def test_evaluating_six_hundred_thousand_trials(benchmark, files) -> None:
    def evaluated():
        command = [sys.executable, "-c", PROGRAM, *map(str, files)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    found = benchmark.pedantic(evaluated, rounds=1)
    benchmark.extra_info |= {
        name: round(value / 2**20) if name == "peak" else round(value, 2) for name, value in found.items()
    }
    assert found["rows"] == 1 + ATTACKS
    # CPU time, which a busy machine does not stretch.
    assert found["figures"] < LIMIT_SECONDS
    assert found["intervals"] < LIMIT_SECONDS
    assert found["read"] < LIMIT_SECONDS
    assert found["peak"] < LIMIT_BYTES
