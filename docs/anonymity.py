"""How well does a run hide who spoke? Prints one row for each system of a finished run.

    python docs/anonymity.py runs/anonymise

The columns: likeness of the outputs to the target and to the source (``secs``, ``secs_source``), the equal
error rate, in percent, of telling the two apart (``eer_target_against_source``: 0 when every output is nearer
to the target than any is to its source, 100 when the sources are still heard), how often the speaker
classifier hears the target (``sca``), and the words that were lost (``wer``).
"""

import sys
from pathlib import Path
from typing import Any

from doppelbench.benchmark.figures import compute_figures
from doppelbench.benchmark.tables import render
from doppelbench.engine.run import Run

METRICS = ("secs", "secs_source", "sca", "wer")
RATE = "eer_target_against_source"


def anonymity(folder: Path) -> list[dict[str, Any]]:
    """Rows of a finished run; what it did not measure is None."""
    run = Run.open(folder)
    plan = run.info.plan
    systems = [system["key"] for system in plan["systems"]]
    found: dict[str, dict[str, Any]] = {key: dict.fromkeys([*METRICS, RATE]) for key in systems}
    for figure in compute_figures(run.items(), plan["metrics"], systems):
        if figure["metric"] in METRICS:
            found[figure["system"]][figure["metric"]] = figure["value"]
        if figure["metric"] == "secs":
            found[figure["system"]][RATE] = figure["details"].get(RATE)
    return [{"system": key, **values} for key, values in found.items()]


if __name__ == "__main__":
    print(render(anonymity(Path(sys.argv[1])), "md"))
