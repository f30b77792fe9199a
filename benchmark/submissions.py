"""Submissions from elsewhere: the empty folder for a recipe, the check against it, and a run that scores one.

A submitted system is an entry that needs no training: its outputs go into the run's folder, and from there on
nothing tells it from a system that the run has trained.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from doppelbench.benchmark.budget import COLUMNS, budget_rows, clip_seconds
from doppelbench.benchmark.config import ConfigError, Recipe, load_recipe, recipe_names
from doppelbench.benchmark.plan import CLASSIFIER, READOUT, Entry, Plan, make_plan
from doppelbench.benchmark.progress import TaskProgress, say
from doppelbench.benchmark.run import (
    choose_metrics,
    open_run,
    score_outputs,
    synthesize_outputs,
    train_systems,
    write_figures,
    write_run_report,
)
from doppelbench.benchmark.submission_checking import check_with_progress
from doppelbench.benchmark.submission_readme import instructions
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import read_audio, read_video, write_audio, write_video
from doppelbench.engine.files import write_bytes, write_json
from doppelbench.engine.run import Run, safe_name
from doppelbench.leaderboards.submission_check import CheckReport, Expectation, Known
from doppelbench.leaderboards.submission_files import INPUTS, open_submission
from doppelbench.leaderboards.submission_json import LARGEST
from doppelbench.leaderboards.submission_manifest import MANIFEST, Manifest, read_manifest, template
from doppelbench.leaderboards.submission_trials import (
    OUTPUTS,
    TRIALS,
    TrialRow,
    TrialSheet,
    read_sheet,
    write_sheet,
)

README = "README.md"
# Name of a submitted system in the record of a run, where others have the one of their class.
SUBMITTED = "submission"


def recipe_without_systems(recipe: Recipe) -> Recipe:
    """The recipe as a submission meets it: same corpus, trials, metrics and reference rows, nobody else.

    Raises:
        ConfigError: the recipe is an experiment that asks for no outputs.
    """
    if recipe.experiment is not None:
        raise ConfigError(
            f"the recipe {recipe.name} is the experiment {recipe.experiment}, which asks for no outputs of "
            "trials; submissions are made for the others"
        )
    return recipe.model_copy(update={"systems": [], "ab_tests": [], "listening": []})


def submission_plan(recipe: Recipe) -> Plan:
    """Read the corpora of a recipe and list what a submission is to hold."""
    say(f"reading corpus {recipe.corpus.label}")
    return make_plan(recipe_without_systems(recipe))


def trial_sheet(plan: Plan, *, inputs: bool = False) -> TrialSheet:
    """List the trials of a plan as a submission sees them.

    Args:
        plan: of the recipe.
        inputs: whether the sources lie in the folder as files, which the list then names.

    Raises:
        InputError: a source that cannot be read, or trials that no submission can hold.
    """
    film = plan.track.media == "video"
    rows = []
    for trial in plan.trials:
        seconds = clip_seconds(replace(trial.source, audio=trial.source.audio or trial.source.video))
        if not seconds:
            raise InputError(f"trial {trial.id}: its source {trial.source.id} cannot be read")
        rows.append(
            TrialRow(
                trial=trial.id,
                source=trial.source.id,
                target=trial.target,
                output=f"{OUTPUTS}/{safe_name(trial.id)}{plan.track.suffix}",
                seconds=round(seconds, 3),
                fps=plan.recipe.video.fps if film else None,
                size=plan.recipe.video.size if film else None,
                input=source_file(trial.source) if inputs else "",
            )
        )
    # What is written is held against the same rules as what comes back.
    return read_sheet(write_sheet(TrialSheet(tuple(rows))), f"trials of {plan.recipe.name}")


def source_file(clip: Clip) -> str:
    """Where the sound of a source, or its silent film, lies in the folder of a submission."""
    return f"{INPUTS}/sources/{safe_name(clip.id)}{'.mkv' if clip.audio is None else '.flac'}"


def init_submission(recipe: Recipe, out: Path, *, inputs: bool = False) -> TrialSheet:
    """Write an empty submission: manifest, trial list, instructions, and, if asked for, all media to hear.

    Args:
        recipe: whose trials are to be answered.
        out: a new or empty folder.
        inputs: also write sources and enrolment recordings as plain files.

    Returns:
        The trial list.

    Raises:
        InputError: the folder holds files, or a recording cannot be read.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; name a new folder")
    plan = submission_plan(recipe)
    sheet = trial_sheet(plan, inputs=inputs)
    (out / OUTPUTS).mkdir(parents=True, exist_ok=True)
    if inputs:
        write_inputs(plan, out)
    manifest = template(
        recipe=recipe.name,
        track=plan.track.name,
        corpus=recipe.corpus.label,
        corpus_hash=plan.corpus_hash,
        trials_hash=sheet.hash,
    )
    write_bytes(out / TRIALS, write_sheet(sheet))
    write_bytes(out / README, instructions(sheet, recipe.name, plan.track.title, inputs=inputs).encode())
    write_bytes(out / MANIFEST, manifest)
    return sheet


def write_inputs(plan: Plan, out: Path) -> None:
    """Write every source and the training recordings of every target as plain files.

    A source is a sound, or a silent film where that is what is answered. Natural recordings of what the
    trials ask for are not among them.
    """
    sources = {trial.source.id: trial.source for trial in plan.trials}
    enrolment = [clip for clip in plan.clips if clip.split == "train" and clip.speaker in plan.targets]
    films = plan.track.media == "video" or any(clip.audio is None for clip in sources.values())
    with TaskProgress("copying inputs", len(sources) + len(enrolment)) as progress:
        for clip in sources.values():
            _write_source(clip, out / source_file(clip))
            progress.advance()
        for clip in enrolment:
            place = out / INPUTS / "enrolment" / safe_name(clip.speaker) / safe_name(clip.id)
            if films and clip.video is not None:
                film = read_video(clip.video, start=clip.start, end=clip.end)
                write_video(Path(f"{place}.mkv"), film)
            elif clip.audio is not None:
                _write_sound(clip, Path(f"{place}.flac"))
            progress.advance()


def _write_source(clip: Clip, path: Path) -> None:
    if clip.audio is None and clip.video is not None:
        write_video(path, read_video(clip.video, audio=False, start=clip.start, end=clip.end))
    else:
        _write_sound(clip, path)


def _write_sound(clip: Clip, path: Path) -> None:
    if clip.audio is None:
        raise InputError(f"clip {clip.id} has no sound")
    write_audio(path, read_audio(clip.audio, start=clip.start, end=clip.end))


def expectation_of(plan: Plan) -> Expectation:
    """What a plan asks of a submission, with the recordings that outputs must not be copies of."""
    recordings = {
        clip.sha256: clip.id for clip in (*plan.clips, *plan.source_clips) if clip.sha256 is not None
    }
    return Expectation(
        recipe=plan.recipe.name,
        track=plan.track.name,
        corpus_hash=plan.corpus_hash,
        sheet=trial_sheet(plan),
        known={trial.id: _known(trial, plan.track.media) for trial in plan.trials},
        recordings=recordings,
    )


def _known(trial: Trial, media: str) -> list[Known]:
    found = []
    for role, clip in (("reference", trial.reference), ("source", trial.source)):
        path = None if clip is None else clip.video if media == "video" else clip.audio
        if clip is not None and path is not None:
            found.append(Known(role, path, clip.start, clip.end))
    # In a trial that the target drives itself, both are one recording.
    return found[:1] if trial.reference == trial.source else found


def check_against(path: Path, recipe: Recipe) -> CheckReport:
    """Check a folder or an archive against a recipe."""
    return check_with_progress(path, expectation_of(submission_plan(recipe)))


def recipe_of(path: Path, recipe: str | None, overrides: list[str]) -> Recipe:
    """The recipe that a submission is scored with: the one that is named, or its own, if it is one of ours.

    Raises:
        InputError: the submission names a recipe that does not come with the package; a file that a stranger
            names is never read.
    """
    if recipe is not None:
        return load_recipe(recipe, overrides)
    with open_submission(path) as files:
        name = read_manifest(files.read(MANIFEST, LARGEST), f"{path}: {MANIFEST}").recipe
    if name not in recipe_names():
        raise InputError(f"{path}: its recipe does not come with the package; name the file with --recipe")
    return load_recipe(name, overrides)


def score_submission(
    path: Path, recipe: Recipe, folder: Path, *, allow_incomplete: bool = False, force: bool = False
) -> tuple[list[dict[str, Any]], CheckReport]:
    """Score a submission beside the reference rows of a recipe, in a run's folder.

    Args:
        path: of the submission.
        recipe: whose trials it answers.
        folder: of the run.
        allow_incomplete: score it although some outputs are missing or refused; those count as missing.
        force: delete a run of another configuration or submission that is in the folder.

    Returns:
        Figures, and the report of the check.

    Raises:
        InputError: the check found errors.
        DoppelbenchError: a configuration, an input or a stage that cannot work.
    """
    plan = submission_plan(recipe)
    expectation = expectation_of(plan)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".submission-", dir=folder.parent) as name:
        staged = Path(name)

        def place(row: TrialRow) -> Path:
            return staged / Path(row.output).name

        report = check_with_progress(path, expectation, place)
        entry = _entry(path, report, plan, allow_incomplete=allow_incomplete)
        manifest = report.manifest
        assert manifest is not None
        further = {"submission": {"content": report.content_hash, "system": entry.key}}
        with open_run(plan, folder, force=force, further=further) as run:
            _take_over(run, entry, plan, report, staged)
            with run.stage("train"):
                train_systems(run, plan)
                rows = budget_rows(plan, run.info.plan.get("trainings", {}))
                run.info.plan["systems"] = [_record(entry, manifest), *run.info.plan["systems"]]
                run.info.plan["budget"] = [_budget(entry, manifest), *rows]
                run.save()
            with run.stage("synthesize"):
                synthesize_outputs(run, plan)
            with run.stage("score"):
                entries = (entry, *plan.entries)
                score_outputs(
                    run,
                    entries,
                    plan.trials,
                    choose_metrics(run, plan),
                    engine=recipe.where,
                    timeout=recipe.item_timeout,
                )
                figures = write_figures(run)
            with run.stage("report"):
                write_run_report(run, figures)
    return figures, report


def _entry(path: Path, report: CheckReport, plan: Plan, *, allow_incomplete: bool) -> Entry:
    """The submitted system as a row of the table.

    Raises:
        InputError: the check found what keeps it from being one.
    """
    blocking = report.fatal if allow_incomplete else report.errors
    if blocking or report.manifest is None:
        first = blocking[0]
        more = f" and {len(blocking) - 1} more" if len(blocking) > 1 else ""
        hint = (
            "see doppelbench submit check"
            if first in report.fatal
            else "see doppelbench submit check, or let them count as missing with --allow-incomplete"
        )
        raise InputError(f"{path}: the check found {first.item}: {first.what}{more}; {hint}")
    key = report.manifest.system.name
    taken = {entry.key.lower() for entry in plan.entries} | {CLASSIFIER, READOUT}
    if key.lower() in taken:
        raise InputError(f"{path}: system.name is {key}, which every run has already; choose another name")
    return Entry(key, SUBMITTED, None, {}, frozenset(), False)


def _take_over(run: Run, entry: Entry, plan: Plan, report: CheckReport, staged: Path) -> None:
    """Put the decoded outputs where those of a system lie, and say of the others why they are not there."""
    shutil.rmtree(run.directory / OUTPUTS / safe_name(entry.key), ignore_errors=True)
    for trial in plan.trials:
        target = run.output_path(entry.key, trial.id, plan.track.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        if trial.id in report.failed:
            status, reason = report.failed[trial.id]
            write_json(
                run.output_path(entry.key, trial.id, ".failed.json"), {"status": status, "reason": reason}
            )
            continue
        for made in (staged / target.name, (staged / target.name).with_suffix(".mp4")):
            if made.is_file():
                shutil.move(made, target.with_suffix(made.suffix))


def _record(entry: Entry, manifest: Manifest) -> dict[str, Any]:
    return {
        "key": entry.key,
        "name": entry.name,
        "title": f"{manifest.system.name}, submitted by {', '.join(manifest.authors)}",
        "preset": None,
        "settings": {},
        "needs": [],
        "reference_row": False,
        "vocoder": None,
        "hear": [],
        "conditions": 1,
        "submission": manifest.model_dump(mode="json"),
    }


def _budget(entry: Entry, manifest: Manifest) -> dict[str, Any]:
    """What the system was given, as its owner says."""
    return {
        **dict.fromkeys(COLUMNS),
        "system": entry.key,
        "parameters": manifest.parameters,
        "trained_on": f"as submitted: {manifest.training.data}",
        "zero_shot": manifest.training.zero_shot,
        "extra_data": manifest.training.extra_data,
    }
