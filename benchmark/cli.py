"""The command line: ``doppelbench <verb>``.

Data goes to standard output, progress to standard error. An error is one sentence with its own exit code: 1
usage or configuration, 2 invalid input, 3 gate failed, 4 items failed, 5 missing dependency, 130
interrupted. Imports that cost time stay inside the verbs, because ``--help`` is asked for more often than
anything else.
"""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from doppelbench.benchmark.cli_board import board_app
from doppelbench.benchmark.cli_detect import detect_app
from doppelbench.benchmark.cli_listen import listen_app
from doppelbench.benchmark.cli_output import (
    EXIT_ITEMS_FAILED,
    Format,
    MinCoverage,
    OutputFormat,
    check_coverage,
    print_rows,
    split_names,
)
from doppelbench.benchmark.cli_reproduce import reproduce_verb
from doppelbench.benchmark.cli_submit import submit_app

app = typer.Typer(
    name="doppelbench",
    help="Train, score and unmask systems that copy a person's voice and face.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(listen_app, name="listen")
app.add_typer(detect_app, name="detect")
app.add_typer(board_app, name="board")
app.add_typer(submit_app, name="submit")

EXIT_INVALID_INPUT = 2
EXIT_GATE_FAILED = 3
EXIT_INTERRUPTED = 130


class Listing(StrEnum):
    """What ``ls`` lists."""

    systems = "systems"
    metrics = "metrics"
    detectors = "detectors"
    corpora = "corpora"
    tracks = "tracks"
    recipes = "recipes"


class ResamplingUnit(StrEnum):
    """What ``compare`` resamples and swaps as one."""

    item = "item"
    source = "source"
    target = "target"


class EngineChoice(StrEnum):
    """Where outputs are made and scored."""

    local = "local"
    ray = "ray"


class Stage(StrEnum):
    """Where a run may stop."""

    train = "train"
    synthesize = "synthesize"
    score = "score"
    report = "report"


Overrides = Annotated[list[str] | None, typer.Argument(help="key=value overrides of the recipe")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes.")]
Engines = Annotated[
    EngineChoice | None,
    typer.Option("--engine", help="Processes of this machine, or a Ray cluster that sees the same files."),
]
Address = Annotated[
    str | None,
    typer.Option(help="Of the Ray cluster: host:port, or auto; this machine alone by default."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("doppelbench"))
        raise typer.Exit()


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            min=1,
            help="Compute threads a process; one by default.",
            envvar="DOPPELBENCH_THREADS",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Forbid the network to every process.", envvar="DOPPELBENCH_OFFLINE"),
    ] = False,
) -> None:
    """Options of every verb."""
    from doppelbench.engine.threads import limit_threads

    if offline:
        from doppelbench.engine.offline import go_offline

        go_offline()

    if threads is not None:
        os.environ["DOPPELBENCH_THREADS"] = str(threads)
    limit_threads(threads)


@app.command("run")
def run_verb(
    recipe: Annotated[str, typer.Argument(help="A recipe by name (see: ls recipes) or a YAML file.")],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/<recipe> by default.")
    ] = None,
    until: Annotated[Stage, typer.Option(help="Stop after this stage.")] = Stage.report,
    jobs: Jobs = None,
    engine: Engines = None,
    address: Address = None,
    force: Annotated[
        bool, typer.Option(help="Delete a run of another configuration in this folder.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be done and stop.")] = False,
    min_coverage: MinCoverage = 1.0,
    output: Format = OutputFormat.table,
) -> None:
    """Train, synthesise, score and report; the same command resumes a run that was interrupted."""
    from doppelbench.benchmark.config import load_recipe
    from doppelbench.benchmark.run import describe_plan, execute
    from doppelbench.benchmark.tables import figures_table

    given = {"jobs": jobs, "engine": engine and engine.value, "address": address}
    extra = [f"{name}={value}" for name, value in given.items() if value is not None]
    loaded = load_recipe(recipe, [*(overrides or []), *extra])
    if dry_run:
        print_rows(describe_plan(loaded), output)
        return
    folder = out or Path("runs") / loaded.name
    if loaded.experiment == "reprojection":
        from doppelbench.benchmark.experiments.reprojection import run_reprojection

        print_rows(run_reprojection(loaded, folder, force=force), output)
        typer.echo(f"report: {folder / 'experiment.md'}", err=True)
        return
    figures = execute(loaded, folder, until=until.value, force=force)
    if until in {Stage.score, Stage.report}:
        print_rows(figures_table(figures), output)
        if output in {OutputFormat.table, OutputFormat.md}:
            _print_budget(folder, output)
        if until is Stage.report:
            typer.echo(f"report: {folder / 'report.html'}", err=True)
        check_coverage(figures, min_coverage)


@app.command("train")
def train_verb(
    system: Annotated[str, typer.Argument(help="A system (see: ls systems).")],
    audio: Annotated[
        Path, typer.Option(help="One long recording of the person, or a folder of recordings.", exists=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the trained system.")],
    target: Annotated[str | None, typer.Option(help="Name of the person; the file's by default.")] = None,
    preset: Annotated[str, typer.Option(help="tiny, small or paper.")] = "small",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_steps: Annotated[int | None, typer.Option(min=1)] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0.001, help="Stop earlier.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    settings: Annotated[list[str] | None, typer.Argument(help="key=value hyperparameters")] = None,
) -> None:
    """Train one system on recordings of one person."""
    from doppelbench.benchmark.single import train_single

    record = train_single(
        system,
        audio,
        out,
        target=target,
        preset=preset,
        settings=settings or [],
        device=device,
        max_steps=max_steps,
        max_seconds=max_seconds,
        seed=seed,
    )
    typer.echo(json.dumps(record, sort_keys=True))


@app.command("synthesize")
def synthesize_verb(
    system: Annotated[Path, typer.Argument(help="Folder of a trained system.")],
    sources: Annotated[list[Path], typer.Argument(help="Recordings to convert.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the outputs (FLAC).")],
) -> None:
    """Say recordings in the voice of a trained system."""
    from doppelbench.benchmark.single import synthesize_single

    failures = 0
    for source, result in synthesize_single(system, sources, out):
        if result["status"] == "ok":
            typer.echo(str(out / f"{source.stem}.flac"))
        else:
            failures += 1
            typer.echo(f"{source}: {result['status']}: {result['reason']}", err=True)
    if failures:
        raise typer.Exit(EXIT_ITEMS_FAILED)


@app.command("score")
def score_verb(
    out: Annotated[
        Path,
        typer.Argument(
            help="A run folder, a folder of outputs, a manifest (.csv, .tsv or .jsonl with the columns "
            "id,out,ref,source,text,speaker), a Kaldi list (.scp), or one file; sound or video."
        ),
    ],
    ref: Annotated[
        Path | None, typer.Option(help="Folder of references with the same names, a list, or one file.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", "-m", help="Comma-separated (see: ls metrics).")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="CSV with columns id,text[,speaker], or a text file with '<id> <words>' lines."),
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", "-o", help="Folder for items and figures.")] = None,
    jobs: Jobs = None,
    engine: Engines = None,
    address: Address = None,
    per_item: Annotated[
        bool, typer.Option("--items", help="Print every item instead of the figures.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option(help="Say how many items and how much CPU time it would take, and stop.")
    ] = False,
    min_coverage: MinCoverage = 1.0,
    output: Format = OutputFormat.table,
) -> None:
    """Score a run again, two folders matched by file name, a manifest, two lists, or a single file."""
    from doppelbench.benchmark.config import check_metrics, split_metrics
    from doppelbench.benchmark.pairs import read_pairs
    from doppelbench.benchmark.run import rescore_run
    from doppelbench.benchmark.scoring import (
        choose_scorers,
        default_metrics,
        estimate_cost,
        run_metrics,
        run_pairs,
        score_files,
    )
    from doppelbench.benchmark.tables import figures_table, items_table
    from doppelbench.engine.engines import Engine

    chosen = None if metrics is None else split_metrics(metrics)
    check_metrics(chosen or ())
    is_run = (out / "run.json").is_file()
    if dry_run:
        pairs = run_pairs(out) if is_run else read_pairs(out, ref, text)
        named = chosen or (run_metrics(out) if is_run else default_metrics(pairs))
        print_rows(estimate_cost(pairs, choose_scorers(named, pairs), jobs or 2), output)
        return
    where = Engine("local" if engine is None else engine.value, None if address else jobs or 2, address)
    if is_run:
        figures = rescore_run(out, metrics=chosen, engine=where)
        rows = figures_table(figures)
    else:
        items, figures = score_files(out, ref=ref, metrics=chosen, text=text, engine=where, save=save)
        rows = items_table(items) if per_item else figures_table(figures)
    print_rows(rows, output)
    check_coverage(figures, min_coverage)


@app.command("rescore")
def rescore_verb(
    run: Annotated[Path, typer.Argument(help="A run folder whose items hold what a recogniser heard.")],
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", "-m", help="Among wer, cer and mer; those of the run by default."),
    ] = None,
    normalizer: Annotated[
        str | None, typer.Option(help="whisper-english, basic or none; that of the run by default.")
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", "-o", help="Folder for items and figures.")] = None,
    min_coverage: MinCoverage = 1.0,
    output: Format = OutputFormat.table,
) -> None:
    """Score the stored transcripts of a run again, without sound and without a recogniser."""
    from doppelbench.benchmark.scoring import rescore_transcripts
    from doppelbench.benchmark.tables import figures_table

    figures = rescore_transcripts(run, metrics=split_names(metrics), normalizer=normalizer, save=save)
    print_rows(figures_table(figures), output)
    check_coverage(figures, min_coverage)


@app.command("compare")
def compare_verb(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is the baseline.")],
    systems: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated; of one run the first is the baseline. All common ones by default."
        ),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", "-m", help="Comma-separated; all by default.")
    ] = None,
    by: Annotated[
        ResamplingUnit, typer.Option(help="What is resampled and swapped as one.")
    ] = ResamplingUnit.item,
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Level for adjusted p-values.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Format = OutputFormat.table,
) -> None:
    """Compare runs, or systems of one run, trial by trial, with intervals and adjusted p-values."""
    from doppelbench.benchmark.compare import compare_runs, comparison_table

    rows = compare_runs(
        runs,
        systems=split_names(systems),
        metrics=split_names(metrics),
        unit=by.value,
        alpha=alpha,
        seed=seed,
    )
    print_rows(comparison_table(rows, people=output in {OutputFormat.table, OutputFormat.md}), output)
    if all(row.verdict == "not comparable" for row in rows):
        typer.echo("doppelbench: nothing is comparable; the last column says why", err=True)
        raise typer.Exit(EXIT_INVALID_INPUT)


@app.command("gate")
def gate_verb(
    run: Annotated[Path, typer.Argument(help="The run folder to judge.")],
    against: Annotated[
        Path, typer.Option(help="The run folder of the baseline, or a stored result (figures alone).")
    ],
    rules: Annotated[
        Path | None,
        typer.Option(help="Rules in YAML; by default nothing may be worse, significantly, at full coverage."),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Write annotations for GitHub Actions to standard error.")
    ] = False,
    by: Annotated[
        ResamplingUnit, typer.Option(help="What is resampled and swapped as one.")
    ] = ResamplingUnit.item,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Format = OutputFormat.table,
) -> None:
    """Judge a run against a baseline; exit with 3 when a rule is broken."""
    from doppelbench.benchmark.gate import annotations, gate, gate_table, load_rules, write_junit

    checks = gate(run, against, load_rules(rules), unit=by.value, seed=seed)
    print_rows(gate_table(checks, people=output in {OutputFormat.table, OutputFormat.md}), output)
    if junit is not None:
        write_junit(junit, checks)
    for line in annotations(checks) if github else ():
        typer.echo(line, err=True)
    failed = sum(check.verdict == "fail" for check in checks)
    if failed:
        typer.echo(f"doppelbench: the gate failed: {failed} of {len(checks)} checks", err=True)
        raise typer.Exit(EXIT_GATE_FAILED)


app.command("reproduce")(reproduce_verb)


@app.command("ls")
def ls_verb(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    output: Format = OutputFormat.table,
) -> None:
    """List systems, metrics, detectors, corpora, tracks or recipes."""
    from doppelbench.benchmark.listing import listing

    print_rows(listing(what.value), output)


@app.command("describe")
def describe_verb(
    name: Annotated[str, typer.Argument(help="A system, metric, detector, corpus, track or recipe.")],
    output: Format = OutputFormat.table,
) -> None:
    """Say everything about one system, metric, detector, corpus, track or recipe."""
    from doppelbench.benchmark.listing import describe
    from doppelbench.benchmark.tables import to_json

    details = describe(name)
    if output is OutputFormat.json:
        typer.echo(to_json(details))
    else:
        print_rows([{"field": key, "value": value} for key, value in details.items()], output)


@app.command("data")
def data_verb(
    reader: Annotated[str, typer.Argument(help="A corpus (see: ls corpora), such as talkers.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", "-o", help="Write a Parquet manifest with content hashes.")
    ] = None,
    options: Annotated[list[str] | None, typer.Argument(help="key=value options of the reader")] = None,
    jobs: Jobs = None,
    output: Format = OutputFormat.table,
) -> None:
    """Read (or make) a corpus and say what is in it."""
    from doppelbench.benchmark.listing import corpus_summary

    print_rows(corpus_summary(reader, root, options or [], save=save, jobs=jobs or 2), output)


@app.command("doctor")
def doctor_verb(output: Format = OutputFormat.table) -> None:
    """Say what can run on this machine, and how to cure what cannot."""
    from doppelbench.benchmark.doctor import diagnose

    findings = diagnose()
    print_rows(findings, output)
    if any(finding["state"] == "broken" for finding in findings):
        raise typer.Exit(5)


@app.command("prefetch")
def prefetch_verb(
    names: Annotated[list[str], typer.Argument(help="What a recipe names, such as whisper:small.")],
) -> None:
    """Fetch weights and check their hashes, for a machine that will be offline."""
    from doppelbench.benchmark.prefetch import prefetch

    for name in names:
        typer.echo(str(prefetch(name)))


def _print_budget(folder: Path, output: OutputFormat) -> None:
    """What the systems of a run were given, under its figures, for people; programs read experiment.csv."""
    from doppelbench.benchmark.budget import budget_table
    from doppelbench.engine.run import Run

    rows = budget_table(Run.open(folder).info.plan.get("budget", []))
    if rows:
        typer.echo()
        print_rows(rows, output)


def main() -> None:
    """Entry point of the console script."""
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"doppelbench: {error}", err=True)
        sys.exit(getattr(error, "exit_code", EXIT_INVALID_INPUT))
    except Exception as error:
        exit_code = getattr(error, "exit_code", None)
        if "--debug" in sys.argv or exit_code is None:
            raise
        # An error of the command line itself formats its own message and has its own number.
        usage = getattr(error, "format_message", None)
        typer.echo(f"doppelbench: {usage() if usage else error}", err=True)
        sys.exit(1 if usage else exit_code)
    if code == EXIT_INTERRUPTED:
        # Depending on its version, the library of the command line has turned the interrupt into this code.
        typer.echo("doppelbench: interrupted; what was done is kept, the same command goes on", err=True)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
