"""The verb ``submit``: outputs that were made elsewhere, from an empty folder to figures beside the reference
rows."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from doppelbench.benchmark.cli_output import Format, MinCoverage, OutputFormat, check_coverage, print_rows

if TYPE_CHECKING:
    from doppelbench.leaderboards.submission_check import CheckReport
    from doppelbench.leaderboards.submission_findings import Finding

EXIT_INVALID_INPUT = 2
# For people, so many findings of one kind are listed.
LISTED = 20

submit_app = typer.Typer(
    help="Make, check, pack, prove and score outputs of a system that runs elsewhere.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Submission = Annotated[
    Path, typer.Argument(help="A folder as init makes it, or an archive as pack makes it.")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value overrides of the recipe")]


@submit_app.command("init")
def init_verb(
    recipe: Annotated[str, typer.Argument(help="A recipe by name (see: ls recipes) or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder.")],
    overrides: Overrides = None,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="Also write sources and enrolment recordings as plain files.")
    ] = False,
) -> None:
    """Write an empty submission: manifest to fill in, list of trials, instructions."""
    from doppelbench.benchmark.config import load_recipe
    from doppelbench.benchmark.submissions import init_submission

    sheet = init_submission(load_recipe(recipe, overrides or []), out, inputs=inputs)
    typer.echo(f"{len(sheet.rows)} trials; how to answer them: {out / 'README.md'}", err=True)
    typer.echo(str(out))


@submit_app.command("check")
def check_verb(
    path: Submission,
    overrides: Overrides = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe it answers; without it, its own trial list and no recording of the corpus."
        ),
    ] = None,
    output: Format = OutputFormat.table,
) -> None:
    """Say everything that is wrong with a submission and how to cure it; exit with 2 on errors."""
    if recipe is None:
        from doppelbench.benchmark.submission_checking import check_with_progress

        report = check_with_progress(path)
    else:
        from doppelbench.benchmark.config import load_recipe
        from doppelbench.benchmark.submissions import check_against

        report = check_against(path, load_recipe(recipe, overrides or []))
    _print_findings(list(report.findings), output)
    _print_summary(report)
    if report.errors:
        raise typer.Exit(EXIT_INVALID_INPUT)


@submit_app.command("pack")
def pack_verb(
    folder: Annotated[Path, typer.Argument(help="A folder as init makes it, filled in.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The archive, a .zip file.")],
) -> None:
    """Pack a folder; the same folder gives the same bytes."""
    from doppelbench.leaderboards.submission_pack import pack_submission

    packed = pack_submission(folder, out)
    for name in packed.left_out:
        typer.echo(f"left out, because it is no part of a submission: {name}", err=True)
    if packed.missing:
        typer.echo(f"{len(packed.missing)} outputs are missing, the first {packed.missing[0]}", err=True)
    typer.echo(f"{packed.sha256}  {out}")


@submit_app.command("verify")
def verify_verb(
    path: Annotated[Path, typer.Argument(help="An archive as pack makes it.")],
    output: Format = OutputFormat.table,
) -> None:
    """Hold every file of an archive against its list of hashes; exit with 2 when one differs."""
    from doppelbench.leaderboards.submission_pack import verify_submission

    findings = verify_submission(path)
    if findings:
        _print_findings(findings, output)
        raise typer.Exit(EXIT_INVALID_INPUT)
    typer.echo(f"{path}: every file is what was packed", err=True)


@submit_app.command("score")
def score_verb(
    path: Submission,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")],
    overrides: Overrides = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe it answers; its own by default, if it comes with the package.")
    ] = None,
    allow_incomplete: Annotated[
        bool,
        typer.Option("--allow-incomplete", help="Outputs that are missing or refused count as missing."),
    ] = False,
    force: Annotated[
        bool, typer.Option(help="Delete a run of another configuration or submission in this folder.")
    ] = False,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes.")] = None,
    min_coverage: MinCoverage = 1.0,
    output: Format = OutputFormat.table,
) -> None:
    """Check a submission and score it, beside the reference rows, as if the run had made its outputs."""
    from doppelbench.benchmark.submissions import recipe_of, score_submission
    from doppelbench.benchmark.tables import figures_table

    extra = [] if jobs is None else [f"jobs={jobs}"]
    loaded = recipe_of(path, recipe, [*(overrides or []), *extra])
    figures, report = score_submission(path, loaded, out, allow_incomplete=allow_incomplete, force=force)
    print_rows(figures_table(figures), output)
    _print_summary(report)
    typer.echo(f"report: {out / 'report.html'}", err=True)
    check_coverage(figures, min(min_coverage, report.coverage) if allow_incomplete else min_coverage)


def _print_findings(findings: "list[Finding]", output: OutputFormat) -> None:
    rows: list[dict[str, Any]] = [asdict(finding) for finding in findings]
    if output in (OutputFormat.table, OutputFormat.md):
        rows = _shortened(rows)
    print_rows(rows, output)


def _shortened(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most so many rows of a kind, then one that counts the others."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["severity"], row["code"]), []).append(row)
    shown: list[dict[str, Any]] = []
    for of_kind in kinds.values():
        shown += of_kind[:LISTED]
        if len(of_kind) > LISTED:
            what = f"{len(of_kind) - LISTED} more; --format csv lists all"
            shown.append({**of_kind[0], "item": "…", "what": what, "fix": ""})
    return shown


def _print_summary(report: "CheckReport") -> None:
    warnings = sum(finding.severity == "warning" for finding in report.findings)
    typer.echo(
        f"{len(report.errors)} errors, {warnings} warnings; {report.usable} of {report.expected} outputs "
        f"can be scored ({report.coverage:.1%})",
        err=True,
    )
