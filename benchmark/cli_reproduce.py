"""The verb ``reproduce``: from a row of a board back to its numbers."""

from pathlib import Path
from typing import Annotated

import typer

from doppelbench.benchmark.cli_output import Format, OutputFormat, print_rows

EXIT_DIFFERS = 3


def reproduce_verb(
    result: Annotated[
        str, typer.Argument(help="A file of a result, the id or name of one of the suite, or a run folder.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value overrides of the stored recipe, such as corpus.root=FOLDER"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what differs here and stop; exit with 3 when something does.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/reproduce-<name> by default.")
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            help="How far a figure may be off, in its unit or as 2% of it; the printed digits by default."
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes.")] = None,
    force: Annotated[
        bool, typer.Option(help="Delete a run of another configuration in this folder.")
    ] = False,
    output: Format = OutputFormat.table,
) -> None:
    """Make the figures of a result again; exit with 3 when one differs, and say what may explain it."""
    from doppelbench.benchmark.reproduce import (
        cautions,
        difference_table,
        differences,
        find_result,
        match_figures,
        match_table,
        plan_again,
        present_origin,
        reproduce,
        result_origin,
        stored_recipe,
    )
    from doppelbench.corpora.errors import InputError
    from doppelbench.leaderboards.result import slug

    stored = find_result(result)
    folder = out or Path("runs") / f"reproduce-{slug(stored.name)}"
    if folder.resolve() == Path(result).resolve():
        raise InputError(f"{folder} is the run itself; name another folder with --out")
    recipe = stored_recipe(stored, overrides or [], jobs=jobs)
    if tolerance is not None:
        match_figures(stored, stored, tolerance)
    plan = plan_again(stored, recipe)
    before = differences(result_origin(stored), present_origin(plan))
    for sentence in cautions(recipe):
        typer.echo(f"note: {sentence}", err=True)
    if check:
        print_rows(difference_table(before), output)
        counted = sum(each.counts for each in before)
        typer.echo(f"{counted} differences that count; the commit is told and not counted", err=True)
        if counted:
            raise typer.Exit(EXIT_DIFFERS)
        return
    for each in before:
        typer.echo(f"differs: {each.sentence}", err=True)
    if not before:
        typer.echo("nothing differs from what the result was made with", err=True)
    made = reproduce(plan, folder, force=force)
    matches = match_figures(stored, made, tolerance)
    print_rows(match_table(matches, people=output in {OutputFormat.table, OutputFormat.md}), output)
    equal = sum(each.equal for each in matches)
    exact = sum(each.match == "exact" for each in matches)
    typer.echo(
        f"{equal} of {len(matches)} figures are equal, {exact} of them to the last bit; run: {folder}",
        err=True,
    )
    if equal < len(matches):
        for each in differences(result_origin(stored), result_origin(made)):
            typer.echo(f"may explain: {each.sentence}", err=True)
        raise typer.Exit(EXIT_DIFFERS)
