"""The verb ``listen``: listening tests from a run's outputs to a table of what people heard."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from doppelbench.benchmark.cli_output import Format, OutputFormat, print_rows, split_names

listen_app = typer.Typer(
    help="Make listening tests, serve them, and analyse the votes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

StudyFolder = Annotated[Path, typer.Argument(help="Folder of the study.")]


@listen_app.command("plan")
def plan_verb(
    plan: Annotated[str, typer.Argument(help="exemplar-2021, exemplar-2021-ab, p808, p800 or small.")],
    systems: Annotated[int, typer.Option(min=1, help="Systems that compete.")] = 4,
    blocks_per_rater: Annotated[int, typer.Option(min=1, help="Sittings of one person, of each kind.")] = 1,
    output: Format = OutputFormat.table,
) -> None:
    """Say how many votes a plan takes, how precise it is, how long a sitting is, and what it costs."""
    from doppelbench.benchmark.listening_studies import budget_of

    found = budget_of(plan, systems, blocks_per_rater=blocks_per_rater)
    values = {**asdict(found), "total": found.total}
    print_rows(
        [
            {"field": name, "value": round(value, 2) if isinstance(value, float) else value}
            for name, value in values.items()
        ],
        output,
    )


@listen_app.command("make")
def make_verb(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the study.")],
    plan: Annotated[str, typer.Option(help="See: listen plan.")] = "exemplar-2021",
    systems: Annotated[
        str | None, typer.Option(help="Comma-separated; all that are no reference row by default.")
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help="For AB plans: first:second, comma-separated; all by default.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Instead of the plan's.")] = None,
    raters: Annotated[int | None, typer.Option(min=1, help="People an item, instead of the plan's.")] = None,
    contact: Annotated[str, typer.Option(help="Of the owner, shown to raters.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of order and names.")] = 0,
    output: Format = OutputFormat.table,
) -> None:
    """Make a study: opaque sounds, balanced blocks, a sealed key; refused when anything leaks the system."""
    from doppelbench.benchmark.listening_studies import make_listening_test, study_summary

    made = make_listening_test(
        run,
        out,
        plan,
        systems=split_names(systems),
        pairs=_pairs(pairs),
        seed=seed,
        contact=contact,
        raters_per_item=raters,
        trials=trials,
    )
    print_rows(study_summary(out), output)
    for note in made.notes:
        typer.echo(f"note: {note}", err=True)


@listen_app.command("check")
def check_verb(study: StudyFolder, output: Format = OutputFormat.table) -> None:
    """Look for anything that tells a rater which system is which; exit with 2 when there is."""
    from doppelbench.listening.leak_check import find_leaks

    findings = find_leaks(study)
    print_rows([asdict(finding) for finding in findings], output)
    leaks = sum(finding.severity == "leak" for finding in findings)
    typer.echo(f"{leaks} leaks, {len(findings) - leaks} notes", err=True)
    if leaks:
        raise typer.Exit(2)


@listen_app.command("sheets")
def sheets_verb(
    study: StudyFolder,
    media_url: Annotated[str, typer.Option(help="https address of the folder with the media.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for template, sheet and questions.")],
    sandbox: Annotated[bool, typer.Option("--sandbox", help="For the platform's sandbox.")] = False,
) -> None:
    """Write template, input CSV, HTMLQuestion XML, qualifications and a preview for platforms."""
    from doppelbench.listening.pages import write_sheets
    from doppelbench.listening.study import KEY, read_key, read_study

    names: list[str] = []
    if (study / KEY).is_file():
        entries = read_key(study).entries.values()
        names = sorted({name for entry in entries if entry.kind == "system" for name in entry.systems})
    for path in write_sheets(read_study(study), out, media_url=media_url, names=names, sandbox=sandbox):
        typer.echo(str(path))


@listen_app.command("serve")
def serve_verb(
    study: StudyFolder,
    host: Annotated[str, typer.Option(help="Other machines are shut out unless it says so.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    tokens: Annotated[int, typer.Option(min=0, help="Links for raters that there shall be at least.")] = 0,
    blocks_per_rater: Annotated[int, typer.Option(min=1, help="Sittings of one person.")] = 1,
    anyone: Annotated[
        bool, typer.Option("--anyone", help="Whoever opens the bare address may rate.")
    ] = False,
    prolific: Annotated[
        bool, typer.Option("--prolific", help="People with Prolific's ids in the address may rate.")
    ] = False,
    database: Annotated[Path | None, typer.Option(help="Of the votes; beside the study by default.")] = None,
    public_url: Annotated[str, typer.Option(help="Address under which raters reach the server.")] = "",
) -> None:
    """Serve a study to raters; votes are kept in SQLite and survive a kill."""
    from doppelbench.listening.server import ListeningServer, Settings, serve

    def started(server: ListeningServer) -> None:
        typer.echo(f"raters:  {server.url}/")
        for token in server.ballots.tokens():
            typer.echo(f"rater:   {server.rater_url(token)}")
        typer.echo(f"owner:   {server.owner_url()}")

    serve(
        study,
        host=host,
        port=port,
        database=database,
        tokens=tokens,
        settings=Settings(
            blocks_per_rater=blocks_per_rater, anyone=anyone, prolific=prolific, public_url=public_url
        ),
        started=started,
    )


@listen_app.command("export")
def export_verb(
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Results as CSV.")],
    database: Annotated[Path | None, typer.Option(help="Of the votes; beside the study by default.")] = None,
) -> None:
    """Write the votes of the own server in the format of a platform's results; also while it runs."""
    from doppelbench.listening.export import export_results
    from doppelbench.listening.server import DATABASE
    from doppelbench.listening.study import read_study

    count = export_results(database or study / DATABASE, read_study(study), out)
    typer.echo(f"{count} sittings: {out}", err=True)


@listen_app.command("simulate")
def simulate_verb(
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Results as CSV; raters are named simulated-.")],
    raters: Annotated[int, typer.Option(min=1, help="People in the pool.")] = 40,
    shares: Annotated[
        str, typer.Option(help="honest, lazy, side, four, speeder and bot, as name=share.")
    ] = "honest=1",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Let a simulated crowd with planted opinions vote, to try design and analysis before money is spent."""
    from doppelbench.benchmark.config import parse_options
    from doppelbench.benchmark.listening_studies import crowd_of
    from doppelbench.listening.simulated_raters import write_simulated_results
    from doppelbench.listening.study import read_key, read_study

    crowd = crowd_of(study, raters=raters, shares=parse_options(split_names(shares) or ()))
    typer.echo(str(write_simulated_results(out, read_study(study), read_key(study), crowd, seed=seed)))


@listen_app.command("analyse")
def analyse_verb(
    study: StudyFolder,
    results: Annotated[list[Path], typer.Argument(help="Results files of any platform.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and page.")],
    run: Annotated[
        Path | None, typer.Option(help="Run whose item scores are correlated with the votes.")
    ] = None,
    keep_names: Annotated[
        bool, typer.Option("--keep-names", help="Keep the platform's names of raters.")
    ] = False,
) -> None:
    """Turn votes into opinion scores, preferences, exclusions and a methods paragraph."""
    from doppelbench.benchmark.listening_studies import analyse_listening_test

    page = analyse_listening_test(study, results, out, run=run, opaque_raters=not keep_names)
    typer.echo(str(page))


@listen_app.command("coverage")
def coverage_verb(
    studies: Annotated[int, typer.Option(min=2, help="Studies that are simulated.")] = 200,
    raters: Annotated[int, typer.Option(min=2, help="People in the pool.")] = 40,
    trials: Annotated[int, typer.Option(min=2, help="Of each system.")] = 50,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Format = OutputFormat.table,
) -> None:
    """Simulate studies whose truth is known and say how often each 95 % interval holds it."""
    from doppelbench.benchmark.listening_studies import coverage_rows

    print_rows(coverage_rows(studies=studies, raters=raters, trials=trials, seed=seed), output)


@listen_app.command("audit")
def audit_verb(
    printed: Annotated[str, typer.Argument(help="A percentage or a mean as it is printed, such as 66.7.")],
    n: Annotated[int, typer.Option(min=1, help="Votes or items that it is said to rest on.")],
    mean: Annotated[bool, typer.Option("--mean", help="It is a mean of scores from 1 to 5.")] = False,
    output: Format = OutputFormat.table,
) -> None:
    """Say which counts a printed figure can stand for; exit with 2 when there is none."""
    from doppelbench.benchmark.config import ConfigError
    from doppelbench.listening.table_audit import counts_for_percentage, sums_for_mean

    try:
        counts = sums_for_mean(printed, n) if mean else counts_for_percentage(printed, n)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    print_rows([{"printed": printed, "n": n, "sum" if mean else "count": count} for count in counts], output)
    if not counts:
        typer.echo(f"{printed} cannot come from {n} {'scores' if mean else 'votes or items'}", err=True)
        raise typer.Exit(2)


def _pairs(text: str | None) -> list[tuple[str, str]] | None:
    from doppelbench.benchmark.config import ConfigError

    pairs = []
    for entry in split_names(text) or ():
        first, colon, second = entry.partition(":")
        if not colon or not first or not second:
            raise ConfigError(f"--pairs {entry!r}: expected first:second")
        pairs.append((first, second))
    return pairs or None
