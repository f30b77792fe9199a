"""A board of 500 systems on 10,000 items each is built, with its site, in a minute and two gibibytes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from doppelbench.leaderboards.result import SystemItems, parse_result, write_result

SYSTEMS = 500
ITEMS = 10_000
LIMIT_SECONDS = 60.0
LIMIT_BYTES = 2 << 30

PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from doppelbench.benchmark.boards import load_results
from doppelbench.leaderboards.board import build_boards
from doppelbench.leaderboards.site import write_site

start = time.process_time()
results = load_results([Path(sys.argv[1])])
read = time.process_time() - start
boards = build_boards(results)
ranked = time.process_time() - start - read
write_site(boards, Path(sys.argv[2]), results=results)
total = time.process_time() - start
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = boards[0].rows
print(json.dumps({
    "read": read, "ranked": ranked, "total": total, "peak": peak, "boards": len(boards), "rows": len(rows),
    "groups": len({row.rank for row in rows}),
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scores", "counts", "shares"])
def test_a_large_board_is_built_in_a_minute(tmp_path, kind):
    """Scores with noise; errors over words; right or wrong near the ceiling, where few items differ."""
    generator = np.random.default_rng(0)
    trials = np.array([f"speaker{number % 97}_{number:05d}_to_target{number % 4}" for number in range(ITEMS)])
    hard, words = generator.normal(0, 5, ITEMS), generator.integers(4, 20, ITEMS).astype(float)
    for number in range(SYSTEMS):
        skill = number / SYSTEMS
        numerators, denominators = 50 + 10 * skill + hard + generator.normal(0, 5, ITEMS), np.ones(ITEMS)
        if kind == "counts":
            numerators, denominators = 100.0 * generator.binomial(words.astype(int), 0.3 - 0.2 * skill), words
        elif kind == "shares":
            numerators = 100.0 * (hard / 5 + 2 + 0.5 * skill > generator.normal(0, 0.1, ITEMS))
        value = float(numerators.sum() / denominators.sum())
        result = {
            "schema": 1,
            "name": f"system-{number}",
            "created": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}+00:00",
            "track": "voice-conversion",
            "corpus": {"label": "made", "hash": "a" * 16, "clips": ITEMS},
            "trials": {"count": ITEMS, "hash": "b" * 16},
            "ranking": ["score"],
            "metrics": [{"name": "score", "signature": "score|v1", "direction": "higher"}],
            "systems": [
                {
                    "key": f"system-{number}",
                    "cost": {"training_seconds": 60.0 + number},
                    "figures": [
                        {
                            "metric": "score",
                            "value": value,
                            "low": value - 0.1,
                            "high": value + 0.1,
                            "n": ITEMS,
                            "expected": ITEMS,
                        }
                    ],
                }
            ],
        }
        items = {f"system-{number}": SystemItems(trials, numerators, denominators)}
        write_result(parse_result(json.dumps(result), "made"), tmp_path / "results", items)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "results"), str(tmp_path / "site")]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(kind, found)
    assert (found["boards"], found["rows"]) == (1, SYSTEMS)
    assert found["groups"] > 5
    assert found["total"] < LIMIT_SECONDS
    assert found["peak"] < LIMIT_BYTES
