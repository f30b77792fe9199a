"""How every verb prints data."""

from enum import StrEnum
from typing import Annotated, Any

import typer


class OutputFormat(StrEnum):
    """How data is printed."""

    table = "table"
    md = "md"
    json = "json"
    csv = "csv"


Format = Annotated[OutputFormat, typer.Option("--format", help="How data is printed.")]


def print_rows(rows: list[dict[str, Any]], output: OutputFormat) -> None:
    """Write rows to standard output."""
    from doppelbench.benchmark.tables import render

    typer.echo(render(rows, output.value))


def split_names(text: str | None) -> list[str] | None:
    """Names between commas; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
