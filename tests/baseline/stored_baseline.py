"""The stored figures of the suite: judged against, and rewritten with a reason.

    make baseline REASON="Griffin-Lim takes 12 iterations"

makes the small run again, writes its figures, and adds a line to CHANGES.md with the date, the hash of
figures, rules and recipe, the reason, and the figures that changed. A test compares the hash, so that none of
the three files changes without a line.
"""

import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from small_run import make_run

from doppelbench.benchmark.boards import result_from_run
from doppelbench.benchmark.compare import load_scores, without_trained_parts
from doppelbench.benchmark.gate import Check, gate, load_rules
from doppelbench.benchmark.tables import format_value
from doppelbench.leaderboards.result import Result, read_result

HERE = Path(__file__).parent
FIGURES, RULES, RECIPE, CHANGES = "figures.json", "rules.yaml", "recipe.yaml", "CHANGES.md"
OWN = 'Where this is meant, own it with: make baseline REASON="why"'
SHORTEST_REASON = 10
NAMED_CHANGES = 12
HEAD = """# Changes of the baseline

Written by `make baseline REASON="..."`. The last hash is that of figures.json, rules.yaml and recipe.yaml as
they stand; a test compares them.

| date | hash | reason | changed figures |
|---|---|---|---|
"""

Place = tuple[str, str]


def judge(run: Path, folder: Path = HERE) -> tuple[list[Check], list[str]]:
    """Hold a run against the stored figures.

    Returns:
        The checks, and a sentence for each figure that is not as it was.
    """
    checks = gate(run, folder / FIGURES, load_rules(folder / RULES))
    failed = [check for check in checks if check.verdict == "fail"]
    said = [
        f"{check.metric} of {check.system}{_values(check)}: {'; '.join(check.reasons)}" for check in failed
    ]
    known = {(check.system, check.metric) for check in checks}
    fresh = sorted(set(load_scores(run).series) - known)
    return checks, said + [f"{metric} of {system} is new" for system, metric in fresh]


def digest(folder: Path = HERE) -> str:
    """Hash of the figures with their signatures, of the rules and of the recipe."""
    result = read_result(folder / FIGURES, items=False).result
    content = json.dumps(
        [
            [
                [system.key, figure.metric, figure.value, figure.n, figure.expected]
                for system in result.systems
                for figure in system.figures
            ],
            [[entry.name, without_trained_parts(entry.signature)] for entry in result.metrics],
            [(folder / name).read_text(encoding="utf-8") for name in (RULES, RECIPE)],
        ]
    )
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def named_digest(folder: Path = HERE) -> str:
    """Hash that the last line of the changes names; empty when there is none."""
    path = folder / CHANGES
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.findall(r"^\| \d{4}-\d\d-\d\d \| `([0-9a-f]{12})` \| .+ \| .+ \|$", text, re.MULTILINE)
    return str(found[-1]) if found else ""


def changed_figures(old: Result | None, new: Result) -> list[str]:
    """Figures that are printed with other digits, rest on other items, are new or are gone."""
    if old is None:
        return [f"all {sum(len(system.figures) for system in new.systems)} are new"]
    before, after = _shown(old), _shown(new)
    return [
        f"{system} {metric} {before.get((system, metric), 'new')} → {after.get((system, metric), 'gone')}"
        for system, metric in {**before, **after}
        if before.get((system, metric)) != after.get((system, metric))
    ]


def own_change(run: Path, reason: str, folder: Path = HERE) -> str:
    """Store the figures of a run with a reason and return the line that says so.

    Raises:
        ValueError: there is no reason, or nothing to own.
    """
    reason = " ".join(reason.split()).replace("|", "/")
    if len(reason) < SHORTEST_REASON:
        raise ValueError('say why the figures change: make baseline REASON="at least a few words"')
    path = folder / FIGURES
    old = read_result(path, items=False).result if path.is_file() else None
    if old is not None and digest(folder) == named_digest(folder) and not judge(run, folder)[1]:
        raise ValueError("every figure is within its tolerance of the stored one; there is nothing to own")
    new = result_from_run(run).model_copy(update={"name": "baseline"})
    path.write_text(new.as_json(), encoding="utf-8")
    changed = changed_figures(old, new)
    more = f"; and {len(changed) - NAMED_CHANGES} more" if len(changed) > NAMED_CHANGES else ""
    told = "; ".join(changed[:NAMED_CHANGES]) + more or "none as printed"
    line = f"| {datetime.now(UTC):%Y-%m-%d} | `{digest(folder)}` | {reason} | {told} |\n"
    changes = folder / CHANGES
    before = changes.read_text(encoding="utf-8") if changes.is_file() else HEAD
    changes.write_text(before + line, encoding="utf-8")
    return line


def _values(check: Check) -> str:
    row = check.comparison
    if row is None:
        return ""
    old, new = format_value(row.base, row.unit), format_value(row.value, row.unit)
    return f" was {old} and is {new} {row.unit}".rstrip()


def _shown(result: Result) -> Mapping[Place, str]:
    units = {entry.name: entry.unit for entry in result.metrics}
    return {
        (system.key, figure.metric): format_value(figure.value, units[figure.metric])
        + ("" if figure.n == figure.expected else f" on {figure.n} of {figure.expected}")
        for system in result.systems
        for figure in system.figures
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        try:
            sys.stdout.write(own_change(make_run(Path(place) / "baseline"), " ".join(sys.argv[1:])))
        except ValueError as error:
            sys.exit(str(error))
