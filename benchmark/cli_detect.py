"""The verb ``detect``: is it real? Detectors: training, scores, evaluation, and what they were trained on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from doppelbench.benchmark.cli_output import Format, OutputFormat, print_rows, split_names

if TYPE_CHECKING:
    from doppelbench.detectors.shortcut_features import ShortcutResult

EXIT_ITEMS_FAILED = 4

detect_app = typer.Typer(
    help="Train, calibrate and evaluate real-vs-fake detectors, and audit their data.",
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
    _warn_of_shortcuts(results)


@detect_app.command("matrix")
def matrix_verb(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the detection run.")],
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Finished runs whose outputs are the fakes.")
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(help="CSV with the columns path,label[,attack,speaker,source_speaker,style,text]."),
    ] = None,
    bonafide: Annotated[Path | None, typer.Option(help="Folder of real recordings.")] = None,
    spoof: Annotated[
        list[str] | None, typer.Option(help="<generator>=<folder>, or a folder of fakes; repeatable.")
    ] = None,
    detectors: Annotated[
        str, typer.Option(help="Comma-separated (see: ls detectors), or name:setting=value,...")
    ] = "serra-statistics,lfcc-gmm,random",
    preset: Annotated[str, typer.Option(help="tiny, small or paper.")] = "small",
    protocol: Annotated[
        str,
        typer.Option(help="matrix, leave-one-out, speaker-agnostic, speaker-specific; comma-separated."),
    ] = "matrix",
    degradations: Annotated[
        str | None, typer.Option(help="Of the test, such as mp3:bitrate=32k,noise:snr=10,colour=pink.")
    ] = None,
    generators: Annotated[
        str | None, typer.Option(help="Systems whose fakes are used, and controls; all by default.")
    ] = None,
    natural: Annotated[
        str, typer.Option(help="Natural clips from the corpus of a run, or from its trials alone.")
    ] = "corpus",
    seen: Annotated[str | None, typer.Option(help="speaker-agnostic: people to train on.")] = None,
    unseen: Annotated[
        str, typer.Option(help="speaker-agnostic: people who are only tested, or how many.")
    ] = "2",
    speaker: Annotated[str | None, typer.Option(help="speaker-specific: the person.")] = None,
    styles: Annotated[
        str | None, typer.Option(help="speaker-specific: styles to train on; each in turn by default.")
    ] = None,
    clips: Annotated[
        str | None,
        typer.Option(help="Clips a person (or style) and class: training,development,test; as in the paper."),
    ] = None,
    roles: Annotated[
        str, typer.Option(help="apart: sources of the training are nobody's voice in the test; or any.")
    ] = "apart",
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Train on every clip there is instead of balanced classes.")
    ] = False,
    no_level: Annotated[bool, typer.Option("--no-level", help="Leave the loudness of clips.")] = False,
    no_trim: Annotated[bool, typer.Option("--no-trim", help="Leave the silence at their ends.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.2, help="Keep so much of the beginning of each clip.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_steps: Annotated[int | None, typer.Option(min=1, help="Instead of the preset's.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Resamples of an interval.")] = 1000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Worker processes.")] = 2,
    output: Format = OutputFormat.table,
) -> None:
    """Train detectors on fakes and test them on seen and unseen ones; the same command resumes."""
    from doppelbench.benchmark.detection_figures import matrix_table
    from doppelbench.benchmark.detection_options import (
        one_of,
        read_clips,
        read_detectors,
        read_folders,
        read_unseen,
        split_specs,
    )
    from doppelbench.benchmark.detection_recipe import DetectionRecipe, MaterialChoice
    from doppelbench.benchmark.detection_run import execute
    from doppelbench.benchmark.forensic_page import PAGE
    from doppelbench.detectors.protocols import Choices

    sources: Any = one_of("--natural", natural, ("corpus", "trials"))
    chosen_roles: Any = one_of("--roles", roles, ("apart", "any"))
    people = split_names(seen)
    wanted = split_names(styles)
    recipe = DetectionRecipe(
        detectors=read_detectors(detectors, preset),
        runs=tuple(runs or ()),
        tables=tuple(table or ()),
        bonafide=bonafide,
        spoof=read_folders(spoof or []),
        generators=None if generators is None else tuple(split_names(generators) or ()),
        natural=sources,
        protocols=tuple(split_names(protocol) or ()),
        choices=Choices(
            seed=seed,
            roles=chosen_roles,
            balance=not as_is,
            seen=None if people is None else tuple(people),
            unseen=read_unseen(unseen),
            speaker=speaker,
            styles=None if wanted is None else tuple(wanted),
            clips=read_clips(clips),
        ),
        degradations=split_specs(degradations),
        material=MaterialChoice(level=not no_level, trim=not no_trim, seconds=seconds),
        device=device,
        max_steps=max_steps,
        draws=draws,
        jobs=jobs,
    )
    figures = execute(recipe, out)
    people_read = output in {OutputFormat.table, OutputFormat.md}
    print_rows(matrix_table(figures) if people_read else figures, output)
    if people_read:
        typer.echo("Equal error rates in per cent; in a control no voice was converted.", err=True)
    typer.echo(f"all figures: {out / 'figures.csv'}; page: {out / PAGE}", err=True)


@detect_app.command("report")
def report_verb(
    run: Annotated[Path, typer.Argument(help="Folder of a detection run.")],
    draws: Annotated[int, typer.Option(min=1, help="Resamples of an interval.")] = 1000,
) -> None:
    """Write the forensic page of a detection run anew from its record and its trials."""
    from doppelbench.benchmark.forensic_page import write_forensic_page

    typer.echo(str(write_forensic_page(run, draws=draws)))


@detect_app.command("train")
def train_verb(
    bonafide: Annotated[Path, typer.Option(help="Folder of real recordings, or of a folder a speaker.")],
    spoof: Annotated[list[str], typer.Option(help="<generator>=<folder>, or a folder of fakes; repeatable.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the trained detector.")],
    detector: Annotated[str, typer.Option(help="A detector (see: ls detectors).")] = "lfcc-gmm",
    preset: Annotated[str, typer.Option(help="tiny, small or paper.")] = "small",
    development_bonafide: Annotated[
        Path | None, typer.Option(help="Real recordings to calibrate on; some are held out by default.")
    ] = None,
    development_spoof: Annotated[Path | None, typer.Option(help="Fakes to calibrate on.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_steps: Annotated[int | None, typer.Option(min=1, help="Instead of the preset's.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Format = OutputFormat.table,
) -> None:
    """Train one detector on folders, and calibrate it on clips that it was not trained on."""
    from doppelbench.benchmark.detection import audit_folders
    from doppelbench.benchmark.detection_casework import train_on_folders
    from doppelbench.benchmark.detection_options import read_detectors, read_folders

    choice = read_detectors(detector, preset)[0]
    fakes = read_folders(spoof)
    for name, folder in fakes.items():
        _warn_of_shortcuts(audit_folders(bonafide, folder), f" in {name}" if len(fakes) > 1 else "")
    record = train_on_folders(
        choice.name,
        bonafide,
        fakes,
        out,
        preset=choice.preset,
        settings=choice.settings,
        development_bonafide=development_bonafide,
        development_spoof=development_spoof,
        device=device,
        max_steps=max_steps,
        seed=seed,
    )
    counted = {name: value for name, value in record.items() if name not in {"training", "calibration"}}
    print_rows([{**counted, "calibrated": record["calibration"] is not None}], output)


@detect_app.command("score")
def score_verb(
    detector: Annotated[Path, typer.Argument(help="Folder of a trained detector.")],
    media: Annotated[Path, typer.Argument(help="A recording, or a folder of recordings.")],
    explain: Annotated[
        Path | None,
        typer.Option(help="Folder for what each score came from: a JSON file and a picture a recording."),
    ] = None,
    output: Format = OutputFormat.table,
) -> None:
    """Score recordings: score, calibrated likelihood ratio (natural logarithm), and what it says."""
    from doppelbench.benchmark.detection_casework import read_calibration, score_folder

    rows = list(score_folder(detector, media, explain=explain))
    print_rows(rows, output)
    if read_calibration(detector) is None:
        typer.echo("the detector is not calibrated, so there are no likelihood ratios", err=True)
    failed = sum(row["status"] != "ok" for row in rows)
    if failed:
        typer.echo(f"doppelbench: {failed} of {len(rows)} files have no score; the rows say why", err=True)
        raise typer.Exit(EXIT_ITEMS_FAILED)


def _warn_of_shortcuts(results: "list[ShortcutResult]", where: str = "") -> None:
    flagged = [result.feature for result in results if result.flagged]
    if flagged:
        typer.echo(
            f"warning: {', '.join(flagged)} alone tells real from fake{where}; a detector may have learned "
            "no more",
            err=True,
        )
