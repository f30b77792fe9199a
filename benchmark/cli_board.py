"""The verb ``board``: from runs and results to ranked tables and a site."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from doppelbench.benchmark.cli_output import Format, OutputFormat, print_rows

board_app = typer.Typer(
    help="Rank results on boards, write them as a site, and compare two versions.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RESULTS = Path("leaderboards/results")
EXIT_CHANGED = 3


@board_app.command("add")
def add_verb(
    run: Annotated[Path, typer.Argument(help="A scored run of any track.")],
    to: Annotated[Path, typer.Option(help="Folder of results.")] = RESULTS,
) -> None:
    """Write the result of a run: figures, costs, signatures, and items of the metric that ranks."""
    from doppelbench.benchmark.boards import add_results

    for path in add_results(run, to):
        typer.echo(str(path))


@board_app.command("build")
def build_verb(
    places: Annotated[list[Path], typer.Argument(help="Run folders, result files, or folders of results.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the site; an older one is replaced.")],
    output: Format = OutputFormat.table,
) -> None:
    """Build all boards of the results given: JSON, CSV, Markdown and a static site."""
    from doppelbench.benchmark.boards import load_results
    from doppelbench.leaderboards.board import build_boards
    from doppelbench.leaderboards.site import write_site

    results = load_results(places, examples=True)
    boards = build_boards(results)
    write_site(boards, out, results=results)
    rows = [
        {
            "board": board.id,
            "ranked by": board.headline,
            "systems": sum(row.section != "reference" for row in board.rows),
            "results": len(board.results),
            "told apart by": board.ties,
            "superseded by": board.superseded_by or "",
        }
        for board in boards
    ]
    print_rows(rows, output)
    typer.echo(f"site: {out / 'index.html'}", err=True)


@board_app.command("diff")
def diff_verb(
    old: Annotated[Path, typer.Argument(help="JSON of a board, or boards.json of a site.")],
    new: Annotated[Path, typer.Argument(help="The newer one.")],
    output: Format = OutputFormat.table,
) -> None:
    """Say which ranks, figures and systems changed; exit with 3 unless there are only additions."""
    from doppelbench.leaderboards.board import read_boards
    from doppelbench.leaderboards.board_diff import diff_boards

    changes = diff_boards(read_boards(old), read_boards(new))
    print_rows([asdict(change) for change in changes], output)
    grave = sum(change.grave for change in changes)
    typer.echo(f"{len(changes)} changes, {grave} of them to ranks, figures or what is there", err=True)
    if grave:
        raise typer.Exit(EXIT_CHANGED)


@board_app.command("serve")
def serve_verb(
    site: Annotated[Path, typer.Argument(help="Folder of a site.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8766,
) -> None:
    """Serve a site on this machine, to nobody else."""
    from doppelbench.leaderboards.site_server import serve_site

    serve_site(site, port=port, started=lambda address: typer.echo(address))
