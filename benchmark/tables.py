"""Rows of data as a table, Markdown, JSON or CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence, Set
from typing import Any


def format_value(value: float | None, unit: str = "") -> str:
    """Format a figure: one decimal for per cent, three for what lies between 0 and 1, two otherwise."""
    if value is None:
        return "–"
    digits = 1 if unit == "%" else 2 if unit else 3
    return f"{value:.{digits}f}"


def figures_table(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Figures as rows for people and programs: value, interval, coverage, signature."""
    return [
        {
            "system": figure["system"],
            "metric": figure["metric"],
            "value": figure["value"],
            "low": figure["low"],
            "high": figure["high"],
            "unit": figure["unit"],
            "n": figure["n"],
            "expected": figure["expected"],
            "coverage": figure["coverage"],
            "signature": figure["signature"],
        }
        for figure in figures
    ]


def items_table(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Items as rows: value or status and reason."""
    return [{name: item[name] for name in ("trial", "metric", "value", "status", "reason")} for item in items]


def render(rows: Sequence[Mapping[str, Any]], kind: str) -> str:
    """Render rows that share their keys.

    Args:
        rows: the data; the first row decides the columns.
        kind: ``table``, ``md``, ``json`` or ``csv``.
    """
    if kind == "json":
        return to_json(list(rows))
    columns = list(rows[0]) if rows else []
    if kind == "csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _joined(value) for key, value in row.items()} for row in rows)
        return buffer.getvalue().rstrip("\n")
    shown = [c for c in columns if c != "signature" or kind == "md"]
    cells = [[_cell(row, column) for column in shown] for row in rows]
    if kind == "md":
        lines = ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
        lines += ["| " + " | ".join(_markdown(cell) for cell in row) + " |" for row in cells]
        return "\n".join(lines)
    numeric = {c for c in shown if all(isinstance(row[c], int | float | None) for row in rows)}
    return _plain(shown, cells, numeric)


def to_json(value: Any) -> str:
    """Return indented JSON; a set becomes a sorted list, what JSON does not know its text."""

    def plain(other: Any) -> Any:
        return sorted(other) if isinstance(other, set | frozenset) else str(other)

    return json.dumps(value, indent=2, ensure_ascii=False, default=plain)


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if column in {"value", "low", "high"} and isinstance(value, float | None):
        return format_value(value, str(row.get("unit", "")))
    if column == "coverage" and isinstance(value, float):
        return f"{value:.0%}"
    return "" if value is None else str(_joined(value))


def _joined(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        value = sorted(value)
    return ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else value


def _markdown(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", "<br>")


def _plain(columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Set[str]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in cells:
        # Plain text, because a reason may hold what rich takes for markup.
        table.add_row(*(Text(cell) for cell in row))
    buffer = io.StringIO()
    console = Console(file=buffer, width=None if _is_terminal() else 160, highlight=False)
    console.print(table)
    return buffer.getvalue().rstrip("\n")


def _is_terminal() -> bool:
    import sys

    return sys.stdout.isatty()
