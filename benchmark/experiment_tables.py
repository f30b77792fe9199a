"""``experiment.csv`` and ``experiment.md``: what a run measured, what each system was given for it, and, in a
table of its own, what a paper prints."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doppelbench.benchmark.budget import COLUMNS, budget_table
from doppelbench.benchmark.contrasts import contrast_table
from doppelbench.benchmark.tables import format_value, render
from doppelbench.engine.files import write_bytes
from doppelbench.leaderboards.published_figures import PublishedTable

FAIRNESS = (
    "Zero-shot: nobody who speaks in the trials was heard in training. Extra data: somebody else than the "
    "target was heard in training."
)

CONTRASTS = (
    "Trial by trial, the mean of a system's trainings where it has several seeds; intervals and p-values are "
    "those of the trials with these trainings given. By seed: the difference of the first trainings, of the "
    "second, and so on. The p-values are corrected over the rows of this table by Holm's method."
)


def differing_corpora(tables: Sequence[PublishedTable], corpus: str) -> str:
    """The sentence that stands between measured and published figures."""
    printed = ", ".join(sorted({name for table in tables for name in table.corpora}))
    return (
        f"The corpora differ: the paper's figures were measured on {printed}, those of this run on {corpus}. "
        "Compare the order of the systems, never a figure with a figure."
    )


def measured_rows(
    systems: Sequence[Mapping[str, Any]],
    metrics: Sequence[str],
    figures: Sequence[Mapping[str, Any]],
    budget: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """One row a system: every metric with interval and coverage, then what the system was given."""
    by_place = {(figure["system"], figure["metric"]): figure for figure in figures}
    given = {row["system"]: row for row in budget}
    rows = []
    for system in systems:
        row = {"system": system["key"], "preset": system["preset"]}
        for name in metrics:
            figure = by_place.get((system["key"], name), {})
            for part, title in (("value", name), ("low", f"{name}_low"), ("high", f"{name}_high")):
                row[title] = figure.get(part)
            row |= {f"{name}_n": figure.get("n"), f"{name}_expected": figure.get("expected")}
        own = given.get(system["key"], {})
        rows.append(row | {name: own.get(name) for name in COLUMNS if name != "system"})
    return rows


def write_experiment(
    folder: Path, record: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]
) -> tuple[Path, Path]:
    """Write ``experiment.csv`` and ``experiment.md`` into a run folder.

    Args:
        folder: the run folder.
        record: name, corpus, systems, metrics, ``contrasts``, ``budget`` and ``published`` of the run.
        figures: rows of :func:`doppelbench.benchmark.figures.compute_figures`.

    Returns:
        Paths of the two files.
    """
    metrics = [entry["name"] for entry in record["metrics"]]
    rows = measured_rows(record["systems"], metrics, figures, record["budget"])
    units = {figure["metric"]: figure["unit"] for figure in figures}
    shown = [
        {
            "system": row["system"],
            **{name: _interval(row, name, units.get(name, "")) for name in metrics},
        }
        for row in rows
    ]
    write_bytes(folder / "experiment.csv", csv_of(rows).encode())
    parts = [
        f"# {record['name']}",
        f"Measured on corpus {record['corpus']['label']}: value [95 % interval], scored of expected items.",
        render(shown, "md"),
        *contrasts_part(record["contrasts"]),
        *budget_part(record["budget"]),
        *published_part(record["published"], record["corpus"]["label"]),
    ]
    write_bytes(folder / "experiment.md", ("\n\n".join(parts) + "\n").encode())
    return folder / "experiment.csv", folder / "experiment.md"


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows that share their keys as CSV; None is an empty field."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def contrasts_part(contrasts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The comparisons that the experiment is made for, as Markdown."""
    return ["## Contrasts", render(contrast_table(contrasts), "md"), CONTRASTS] if contrasts else []


def budget_part(budget: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the systems were given, as Markdown."""
    rows = budget_table([dict(row) for row in budget])
    return ["## What each system was given", render(rows, "md"), FAIRNESS] if rows else []


def published_part(tables: Sequence[PublishedTable], corpus: str) -> list[str]:
    """Published tables as Markdown, each on its own."""
    if not tables:
        return []
    parts = ["## What the paper prints", differing_corpora(tables, corpus)]
    for table in tables:
        rows = [
            {"row": name, **{column: cell or "–" for column, cell in zip(table.metrics, cells, strict=True)}}
            for name, cells in table.rows
        ]
        parts += [
            f"{table.key}, {table.place}:",
            render(rows, "md"),
            "\n".join(f"- {note}" for note in table.notes),
        ]
    return [part for part in parts if part]


def _interval(row: Mapping[str, Any], name: str, unit: str) -> str:
    if row[f"{name}_expected"] is None:
        return "–"
    value, low, high = (format_value(row[key], unit) for key in (name, f"{name}_low", f"{name}_high"))
    interval = "" if row[f"{name}_low"] is None else f" [{low}, {high}]"
    return f"{value}{interval}, {row[f'{name}_n']} of {row[f'{name}_expected']}"
