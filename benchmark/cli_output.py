"""How every verb prints data."""

import math
from enum import StrEnum
from typing import Annotated, Any

import typer


class OutputFormat(StrEnum):
    """How data is printed."""

    table = "table"
    md = "md"
    json = "json"
    csv = "csv"


EXIT_ITEMS_FAILED = 4
Format = Annotated[OutputFormat, typer.Option("--format", help="How data is printed.")]
MinCoverage = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Exit with 4 when fewer of the expected items were scored.")
]


def print_rows(rows: list[dict[str, Any]], output: OutputFormat) -> None:
    """Write rows to standard output."""
    from doppelbench.benchmark.tables import render

    typer.echo(render(rows, output.value))


def split_names(text: str | None) -> list[str] | None:
    """Names between commas; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def check_coverage(figures: list[dict[str, Any]], least: float) -> None:
    """Exit with 4, and say why, when a figure rests on too few of its items."""
    short = [figure for figure in figures if figure["coverage"] < least]
    if short:
        worst = min(short, key=lambda figure: figure["coverage"])
        typer.echo(
            f"doppelbench: {len(short)} of {len(figures)} figures rest on fewer items than expected, the "
            f"worst {worst['metric']} of {worst['system']} on {worst['n']} of {worst['expected']}; the "
            f"reasons are in the report and with score --items. Allow it with --min-coverage "
            f"{math.floor(100 * worst['coverage']) / 100:.2f}.",
            err=True,
        )
        raise typer.Exit(EXIT_ITEMS_FAILED)
