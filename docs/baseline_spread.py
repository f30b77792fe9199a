"""How far other seeds are from the stored baseline, and whether the gate stays green on them.

    PYTHONPATH=tests:tests/baseline:$PYTHONPATH python docs/baseline_spread.py runs/spread 10-29

The tolerances rest on the seeds 1-9; the seeds 10-29 are others. Runs the recipe of the baseline once for
each seed and prints, for every figure that a seed moves, the stored value, range and standard deviation over
the seeds, the largest difference and the tolerance; then which seeds the gate would refuse.
Reference rows do not
depend on the seed, so only the systems are made again.
"""

import statistics
import sys
from pathlib import Path

from small_run import make_run
from stored_baseline import FIGURES, HERE, RULES

from doppelbench.benchmark.compare import load_scores
from doppelbench.benchmark.gate import gate_figures, load_rules
from doppelbench.benchmark.tables import format_value, render
from doppelbench.leaderboards.result import read_result


def main(folder: Path, seeds: range) -> None:
    """Print the table and the verdicts."""
    stored = read_result(HERE / FIGURES, items=False).result
    trained = tuple(system for system in stored.systems if not system.reference_row)
    base = stored.model_copy(update={"systems": trained})
    rules = load_rules(HERE / RULES)
    units = {metric.name: metric.unit for metric in base.metrics}
    values: dict[tuple[str, str], list[float]] = {}
    tolerances: dict[tuple[str, str], float] = {}
    refused: dict[int, list[str]] = {}
    for seed in seeds:
        run = make_run(folder / f"seed-{seed}", [f"seed={seed}", "reference_rows=false"])
        scores = load_scores(run)
        for place, series in scores.series.items():
            if series.figure is not None:
                values.setdefault(place, []).append(series.figure)
        for check in gate_figures(scores, base, rules, name=FIGURES):
            row = check.comparison
            if row is None or row.base is None:
                # Rules of the reference rows, which are not made here.
                continue
            tolerances[check.system, check.metric] = rules.rules[check.rule - 1].allowed(row.base)
            if check.verdict == "fail":
                refused.setdefault(seed, []).append(f"{check.metric} of {check.system}: {check.reasons[0]}")
    rows = []
    for system in base.systems:
        for figure in system.figures:
            own, unit = values[system.key, figure.metric], units[figure.metric]
            assert figure.value is not None
            shown = {
                "stored": figure.value,
                "least": min(own),
                "most": max(own),
                "standard deviation": statistics.pstdev(own),
                "largest difference": max(abs(value - figure.value) for value in own),
                "tolerance": tolerances[system.key, figure.metric],
            }
            named = {name: format_value(value, unit) for name, value in shown.items()}
            rows.append({"system": system.key, "metric": figure.metric, **named})
    sys.stdout.write(render(rows, "md") + "\n")
    sys.stdout.write(f"{len(seeds) - len(refused)} of {len(seeds)} seeds pass\n")
    for seed, reasons in refused.items():
        sys.stdout.write(f"seed {seed}: {'; '.join(reasons)}\n")


if __name__ == "__main__":
    first, _, last = sys.argv[2].partition("-")
    main(Path(sys.argv[1]), range(int(first), int(last or first) + 1))
