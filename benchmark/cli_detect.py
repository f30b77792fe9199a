"""The verb ``detect``: is it real? Evaluation of detectors and audits of what they are trained on."""

import json
from pathlib import Path
from typing import Annotated

import typer

from doppelbench.benchmark.cli_output import Format, OutputFormat, print_rows, split_names

detect_app = typer.Typer(
    help="Evaluate real-vs-fake detectors and audit their data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@detect_app.command("evaluate")
def evaluate_verb(
    protocol: Annotated[
        Path,
        typer.Option(
            help="ASVspoof 2019, 2021 or 5 protocol, or a table id,label[,score,attack,speaker,codec]."
        ),
    ],
    scores: Annotated[
        Path | None, typer.Option(help="Lines '<id> <score>'; not needed where the protocol holds them.")
    ] = None,
    lower_is_bonafide: Annotated[
        bool, typer.Option("--lower-is-bonafide", help="Scores rise with fakeness; by default they fall.")
    ] = False,
    score_kind: Annotated[
        str | None, typer.Option(help="llr, logit-difference, posterior, raw or log-softmax.")
    ] = None,
    phase: Annotated[str | None, typer.Option(help="Of ASVspoof 2021: progress, eval or hidden.")] = None,
    development: Annotated[
        Path | None, typer.Option(help="Protocol of a development set, whose threshold is carried over.")
    ] = None,
    development_scores: Annotated[Path | None, typer.Option(help="Scores of the development set.")] = None,
    asv_scores: Annotated[
        Path | None, typer.Option(help="Scores of the speaker verification of ASVspoof 2019, for the t-DCF.")
    ] = None,
    intervals: Annotated[
        str, typer.Option(help="Groups with intervals: pooled, attack, speaker, codec; or none.")
    ] = "pooled,attack,codec",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Trials without a score are left out and counted.")
    ] = False,
    save: Annotated[Path | None, typer.Option("--save", "-o", help="Write everything as JSON.")] = None,
    output: Format = OutputFormat.table,
) -> None:
    """Evaluate scores: EER by two rules, DCF, t-DCF, Cllr, AUC; pooled, by attack, speaker and codec."""
    from doppelbench.benchmark.detection import evaluate_files

    evaluation = evaluate_files(
        protocol,
        scores,
        higher_is_bonafide=not lower_is_bonafide,
        score_kind=score_kind,
        phase=phase,
        development=development,
        development_scores=development_scores,
        asv_scores=asv_scores,
        intervals=[name for name in split_names(intervals) or () if name != "none"],
        allow_missing=allow_missing,
    )
    if save is not None:
        save.write_text(json.dumps(evaluation.as_json(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if output is OutputFormat.json:
        typer.echo(json.dumps(evaluation.as_json(), sort_keys=True))
    else:
        print_rows(evaluation.as_rows(), output)
    for finding in evaluation.findings:
        typer.echo(f"{finding.severity} ({finding.group}): {finding.message}", err=True)


@detect_app.command("audit")
def audit_verb(
    bonafide: Annotated[Path, typer.Option(help="Folder of real recordings.")],
    spoof: Annotated[Path, typer.Option(help="Folder of fakes.")],
    output: Format = OutputFormat.table,
) -> None:
    """Say whether loudness, duration, silence, bandwidth or clipping alone tells real from fake."""
    from doppelbench.benchmark.detection import audit_folders, audit_rows

    results = audit_folders(bonafide, spoof)
    print_rows(audit_rows(results), output)
    flagged = [result.feature for result in results if result.flagged]
    if flagged:
        typer.echo(
            f"warning: {', '.join(flagged)} alone tells real from fake; a detector may have learned no more",
            err=True,
        )
