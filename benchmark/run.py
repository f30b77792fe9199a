"""The main job: read the corpora, train, synthesise, score, reduce, report.

Each stage reads what the one before left in the run folder, so a killed run goes on where it was when the
same command is given again. Everything heavy happens in worker processes with one compute thread each; this
process plans and records.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doppelbench.benchmark.ab_sheets import write_ab_sheets
from doppelbench.benchmark.budget import budget_rows
from doppelbench.benchmark.config import ConfigError, Recipe, VocoderConfig
from doppelbench.benchmark.contrasts import Contrast, asked_contrasts, contrast_rows
from doppelbench.benchmark.experiment_tables import write_experiment
from doppelbench.benchmark.figures import compute_figures
from doppelbench.benchmark.listening_studies import write_listening_tests
from doppelbench.benchmark.plan import CLASSIFIER, READOUT, Entry, Plan, Training, make_plan
from doppelbench.benchmark.progress import TaskProgress, TrainingWatch, say
from doppelbench.benchmark.scoring import TRANSCRIPT_METRICS
from doppelbench.benchmark.tasks import CRASHED, failed_status, score_task
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.benchmark.work import GRIFFIN_LIM, IDENTITY, build_system, build_vocoder, trial_to_dict
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.media import sha256_of
from doppelbench.engine.engines import Engine
from doppelbench.engine.environment import environment_record
from doppelbench.engine.hashing import content_key
from doppelbench.engine.pool import Result, Task, run_pool
from doppelbench.engine.run import FigureRow, ItemRow, Run, signature_id
from doppelbench.metrics.registry import metric, metric_options

if TYPE_CHECKING:
    from doppelbench.metrics.sca import SpeakerClassifier

# Options that change how fast a run is, or what is made of its items, and not what it finds.
NOT_RESULTS = {"jobs", "item_timeout", "engine", "address", "contrasts"}
LISTENING_METRICS = (*TRANSCRIPT_METRICS, "wer_heard")
STAGES = ("train", "synthesize", "score", "report")


class StageError(DoppelbenchError):
    """A stage could not go on; what was done is kept."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """A metric of the run with its options and its signature.

    ``name`` is the one it was asked for by, such as ``ssim`` or ``ssim:region=mouth``.
    """

    name: str
    options: Mapping[str, Any]
    signature: str
    needs: frozenset[str]
    same_timing: bool
    cost: float
    accelerated: bool
    media: str


def execute(
    recipe: Recipe, folder: Path, *, until: str = "report", force: bool = False, plan: Plan | None = None
) -> list[dict[str, Any]]:
    """Run a recipe, or finish a run of it.

    Args:
        recipe: what to do.
        folder: the run folder.
        until: last stage: ``train``, ``synthesize``, ``score`` or ``report``.
        force: delete a run of another configuration that is in the folder.
        plan: of the recipe, where it was made already.

    Returns:
        Figures of :func:`doppelbench.benchmark.figures.compute_figures`; empty before scoring.

    Raises:
        DoppelbenchError: a configuration, an input or a stage that cannot work; the message says what to do.
    """
    if plan is None:
        say(f"reading corpus {recipe.corpus.label}")
        plan = make_plan(recipe)
    last = STAGES.index(until)
    with open_run(plan, folder, force=force) as run:
        with run.stage("train"):
            train_systems(run, plan)
            run.info.plan["budget"] = budget_rows(plan, run.info.plan.get("trainings", {}))
            run.save()
        if last == 0:
            return []
        with run.stage("synthesize"):
            synthesize_outputs(run, plan)
        if last == 1:
            return []
        with run.stage("score"):
            metrics = choose_metrics(run, plan)
            score_outputs(
                run, plan.entries, plan.trials, metrics, engine=recipe.where, timeout=recipe.item_timeout
            )
            figures = write_figures(run)
        if last == 2:
            return figures
        with run.stage("report"):
            write_ab_sheets(run, plan)
            run.info.plan["listening"] = write_listening_tests(
                run.directory, recipe.listening, seed=recipe.seed
            )
            write_contrasts(run, asked_contrasts(plan))
            write_run_report(run, figures)
        return figures


def open_run(
    plan: Plan, folder: Path, *, force: bool = False, further: Mapping[str, Any] | None = None
) -> Run:
    """Begin or resume the run of a plan and note the plan in its record; use it as a context manager.

    Args:
        plan: what is to be done.
        folder: the run folder.
        force: delete a run of another configuration that is in the folder.
        further: what else decides its results, such as a submission.

    Raises:
        DoppelbenchError: the folder holds something else, or a run of another configuration.
    """
    recipe = plan.recipe
    config = {key: value for key, value in recipe.model_dump(mode="json").items() if key not in NOT_RESULTS}
    # Outputs that are there are kept, so a run goes on only with the recordings that it began with.
    config["corpus_hash"] = plan.corpus_hash
    config |= further or {}
    run = Run.resume(
        folder,
        config,
        command=["doppelbench", *sys.argv[1:]],
        environment=environment_record(gpu=recipe.training.device != "cpu", seeds={"all": recipe.seed}),
        force=force,
    )
    run.info.seeds = {"all": recipe.seed}
    run.info.corpus = {"label": recipe.corpus.label, "hash": plan.corpus_hash, "clips": len(plan.clips)}
    run.info.inputs = {clip.id: clip.sha256 or "" for clip in (*plan.clips, *plan.source_clips)}
    run.info.plan = {
        **run.info.plan,
        "track": plan.track.name,
        "targets": list(plan.targets),
        "systems": [_system_record(entry) for entry in plan.entries],
        "trials": [trial_to_dict(trial) for trial in plan.trials],
    }
    if plan.track.media == "video":
        run.info.plan |= {"faces": plan.faces(), "left_out": plan.left_out}
    run.save()
    return run


def describe_plan(recipe: Recipe) -> list[dict[str, Any]]:
    """Say what a run would do: for every system how many trainings and outputs."""
    plan = make_plan(recipe)
    trainings = plan.trainings()
    return [
        {
            "system": entry.key,
            "preset": entry.preset,
            "trainings": sum(training.of is entry for training in trainings),
            "outputs": len(plan.trials_of(entry)),
            "parallel": sum(trial.reference is not None for trial in plan.trials_of(entry)),
        }
        for entry in plan.entries
    ]


def train_systems(run: Run, plan: Plan) -> None:
    """Train every model in worker processes; a training that fails costs only its own trials."""
    recipe = plan.recipe
    failed = dict(run.info.plan.get("failed_trainings", {}))
    trainings = dict(run.info.plan.get("trainings", {}))
    tasks = []
    logs: dict[str, Path] = {}
    steps: dict[str, int] = {}
    for training in plan.trainings():
        key = training.key
        directory = run.system_directory(training.folder, training.target)
        if key in trainings and (directory / IDENTITY).is_file():
            continue
        # The same clips are refused again; what crashed may have been the machine.
        if failed.get(key, {}).get("status", CRASHED) != CRASHED:
            continue
        trainer = {
            **recipe.training.model_dump(),
            "directory": str(directory),
            "features": str(run.directory / "features"),
            "seed": training.of.seed if isinstance(training.of, Entry) else recipe.seed,
            "progress": False,
        }
        clips = [asdict(clip) for clip in training.given_clips()]
        tasks.append(_training_task(training, clips, trainer))
        logs[key] = directory / "log.csv"
        steps[key] = recipe.training.max_steps or _preset_steps(training)
    if tasks:
        say(f"training {len(tasks)} model(s)")
    with TrainingWatch(logs, steps):
        for result in run_pool(tasks, jobs=_training_jobs(recipe)):
            value = result.value or {}
            if result.status != "ok" or "failed" in value:
                reason = value.get("reason", result.reason)
                failed[result.key] = {"status": value.get("failed", CRASHED), "reason": reason}
                say(f"training of {result.key} failed: {reason}")
            else:
                failed.pop(result.key, None)
                trainings[result.key] = value
                for message in value["left_out"]:
                    say(message)
                say(f"trained {result.key}: {value['steps']} steps in {value['seconds']:.0f} s")
            run.info.plan |= {"failed_trainings": failed, "trainings": trainings}
            run.save()
    if failed and not trainings:
        raise StageError(f"no system could be trained: {next(iter(failed.values()))['reason']}")


def _training_task(training: Training, clips: list[dict[str, Any]], trainer: dict[str, Any]) -> Task:
    of = training.of
    arguments = {
        "name": of.name,
        "preset": of.preset,
        "settings": of.settings,
        "clips": clips,
        "trainer": trainer,
    }
    if isinstance(of, Entry):
        more = {"target": training.target, "conditions": of.conditions}
        return Task(training.key, "doppelbench.benchmark.work:train_system", arguments | more)
    return Task(training.key, "doppelbench.benchmark.work:train_vocoder", arguments)


def _preset_steps(training: Training) -> int:
    of = training.of
    if isinstance(of, Entry):
        return int(build_system(of.name, of.preset, of.settings, training.target).settings.max_steps)
    return int(build_vocoder(of.name, of.preset, of.settings).settings.max_steps)


def _training_jobs(recipe: Recipe) -> int:
    """One training at a time where they would share an accelerator, else as many as there are jobs."""
    if recipe.training.device == "cpu":
        return recipe.jobs
    import torch

    return 1 if torch.cuda.is_available() else recipe.jobs


def synthesize_outputs(run: Run, plan: Plan) -> None:
    """Answer every trial with every system; outputs that are there already are kept."""
    failed = run.info.plan.get("failed_trainings", {})
    run.info.plan["failed_outputs"] = failed_outputs = {}
    tasks = []
    for entry in plan.entries:
        given = {
            target: json.dumps([asdict(clip) for clip in plan.clips_for(entry, target)])
            for target in plan.targets
        }
        for trial in plan.trials_of(entry):
            output = run.output_path(entry.key, trial.id, "")
            if Path(f"{output}{plan.track.suffix}").is_file() or Path(f"{output}.failed.json").is_file():
                continue
            training = entry.training_of(trial.target)
            vocoder = _vocoder_directory(run, entry)
            if training in failed or (entry.vocoder is not None and entry.vocoder.key in failed):
                continue
            target = trial.target if "target" in entry.needs else None
            directory = run.system_directory(entry.trained_as, target)
            arguments = {
                "name": entry.name,
                "directory": None if training is None else str(directory),
                "clips": given[trial.target],
                "trial": trial_to_dict(trial),
                "output": str(output),
                "suffix": plan.track.suffix,
                "vocoder": vocoder,
            }
            tasks.append(
                Task(f"{entry.key}/{trial.id}", "doppelbench.benchmark.work:synthesize_trial", arguments)
            )

    def record(result: Result) -> None:
        if result.status != "ok":
            failed_outputs[result.key] = {"status": failed_status(result), "reason": result.reason}

    _work(tasks, plan.recipe.where, plan.recipe.item_timeout, "synthesising", record)


def _vocoder_directory(run: Run, entry: Entry) -> str | None:
    if entry.vocoder is None:
        return None
    if entry.vocoder.name == GRIFFIN_LIM:
        return GRIFFIN_LIM
    return str(run.system_directory(entry.vocoder.key))


def choose_metrics(run: Run, plan: Plan) -> list[MetricEntry]:
    """Fix the options of the run's metrics: the classifier is trained here, once, on natural speech."""
    recipe = plan.recipe
    names = recipe.metrics or list(plan.track.metrics)
    entries = []
    for name in names:
        options: dict[str, Any] = {}
        if name == "sca":
            options = {"classifier": str(_classifier(run, plan))}
        elif name == "mouth_following":
            options = {"readout": str(_mouth_readout(run, plan))}
        else:
            options = stated_options(recipe, name)
        entries.append(_metric_entry(name, options))
    run.info.plan["metrics"] = [
        {"name": entry.name, "options": dict(entry.options), "signature": entry.signature}
        for entry in entries
    ]
    run.save()
    return entries


def stated_options(recipe: Recipe, name: str) -> dict[str, Any]:
    """Options that a recipe gives to a metric, where nothing has to be trained for them."""
    if metric_options(name)[0] not in LISTENING_METRICS:
        return {}
    options = {"recognizer": recipe.recognizer, "normalizer": recipe.normalizer}
    if recipe.recognizer_device != "cpu":
        options["device"] = recipe.recognizer_device
    return options


def _metric_entry(name: str, options: Mapping[str, Any]) -> MetricEntry:
    base, asked = metric_options(name)
    chosen = {**options, **asked}
    scorer = metric(base, **chosen)
    spec = scorer.spec
    return MetricEntry(
        name,
        chosen,
        scorer.signature,
        spec.needs,
        spec.same_timing,
        spec.cost,
        spec.accelerated,
        spec.media,
    )


def _classifier(run: Run, plan: Plan) -> Path:
    from doppelbench.metrics.sca import SpeakerClassifier

    directory = run.directory / "systems" / CLASSIFIER
    if not directory.is_dir():
        partial = directory.with_name(f".{CLASSIFIER}.partial")
        _train_classifier(plan).save(partial)
        partial.rename(directory)
    classifier = SpeakerClassifier.load(directory)
    record = dict(classifier.training)
    run.info.plan[CLASSIFIER] = {
        "speakers": list(classifier.speakers),
        "training": record,
        "summary": (
            f"Closed set of {len(classifier.speakers)} speakers ({', '.join(classifier.speakers)}), trained "
            f"on {record['utterances']} natural utterances none of whose sentences is in a trial; "
            f"{record['validation_accuracy']:.1%} of {record['validation_utterances']} held-out ones are "
            "right. Its ceilings are the rows natural, copy-synthesis and random-target; its floor is the "
            "row source."
        ),
    }
    return directory


def _mouth_readout(run: Run, plan: Plan) -> Path:
    from doppelbench.metrics.mouth_readout import train_readout

    directory = run.directory / "systems" / READOUT
    if not directory.is_dir():
        say("learning to read the mouths of the targets from their natural films")
        partial = directory.with_name(f".{READOUT}.partial")
        train_readout([clip for clip in plan.training_clips() if clip.speaker in plan.targets]).save(partial)
        partial.rename(directory)
    return directory


def _train_classifier(plan: Plan) -> "SpeakerClassifier":
    """Train on the natural clips that can be read; the others are named and left out."""
    from doppelbench.metrics.sca import train_classifier

    def tell(clip: Clip, reason: str) -> None:
        say(f"clip {clip.id} is left out of the training of the speaker classifier: {reason}")

    clips = plan.classifier_clips()
    say(f"training the speaker classifier on {len(clips)} natural clips")
    return train_classifier(clips, seed=plan.recipe.seed, left_out=tell)


def score_outputs(
    run: Run,
    entries: Sequence[Entry],
    trials: Sequence[Trial],
    metrics: Sequence[MetricEntry],
    *,
    engine: Engine,
    timeout: float,
) -> None:
    """Score every output with every metric that applies; scores with the same inputs and signature are
    kept."""
    known = run.scored_keys(retry=("timeout", CRASHED))
    hashes: dict[str, str] = {}
    expected, tasks, planned = set(), [], {}
    for entry in entries:
        for trial in trials:
            if "reference" in entry.needs and trial.reference is None:
                continue
            for scorer in metrics:
                if not _applies(scorer, entry, trial):
                    continue
                place = (entry.key, trial.id, scorer.name)
                expected.add(place)
                row = _plan_item(run, entry, trial, scorer, hashes)
                if known.get(place) == row.key:
                    continue
                if row.status != "ok":
                    run.append_items([row])
                    continue
                key = "/".join(place)
                planned[key] = row
                tasks.append(_score_task(run, key, entry, trial, scorer))

    def record(result: Result) -> None:
        row = planned[result.key]
        run.append_items([_scored_row(row, result)])

    _work(tasks, engine, timeout, "scoring", record)
    run.finish_items(expected)
    for entry_of_metric in metrics:
        run.add_signature(entry_of_metric.signature)
    run.save()


def _compared_with(scorer: MetricEntry, trial: Trial) -> Clip | None:
    """The natural recording that a metric compares an output with."""
    if "source" in scorer.needs:
        return trial.source
    return trial.reference if "ref" in scorer.needs else None


def _suffix(run: Run) -> str:
    return TRACKS[run.info.plan["track"]][0].suffix


def _face_of(run: Run, scorer: MetricEntry, trial: Trial) -> str | None:
    """The film beside which the truth about the mouth lies that a metric of pictures needs.

    For a metric that compares with the source it is the source's; else that of the person who is drawn.
    """
    if scorer.media == "audio":
        return None
    if "source" in scorer.needs:
        return trial.source.video
    if trial.reference is not None:
        return trial.reference.video
    return run.info.plan.get("faces", {}).get(trial.target)


def _applies(scorer: MetricEntry, entry: Entry, trial: Trial) -> bool:
    """Whether a metric says anything of a system's answer to a trial.

    A conversion keeps the timing of its source, so a metric that compares sample by sample applies to rows
    that are made from the reference, where it tells what the vocoder costs, and to trials in which the target
    drives itself.
    """
    if "ref" in scorer.needs and trial.reference is None:
        return False
    own = trial.reference is not None and trial.reference.id == trial.source.id
    if scorer.same_timing and "reference" not in entry.needs and not own:
        return False
    if "source" in scorer.needs and scorer.media != "audio" and trial.source.video is None:
        return False
    return not ("text" in scorer.needs and not trial.source.text)


def _plan_item(run: Run, entry: Entry, trial: Trial, scorer: MetricEntry, hashes: dict[str, str]) -> ItemRow:
    """Return the row of an item that is to be scored, or, when there is no output, the finished row saying
    why."""
    output = run.output_path(entry.key, trial.id, _suffix(run))
    failure = run.output_path(entry.key, trial.id, ".failed.json")
    status, reason = "ok", ""
    if output.is_file():
        out_hash = hashes.setdefault(str(output), sha256_of(output))
    else:
        crash = run.info.plan.get("failed_outputs", {}).get(f"{entry.key}/{trial.id}")
        failed = run.info.plan.get("failed_trainings", {})
        training = failed.get(entry.training_of(trial.target))
        if training is None and entry.vocoder is not None:
            training = failed.get(entry.vocoder.key)
        if failure.is_file():
            said = json.loads(failure.read_text())
            status, reason = said["status"], said["reason"]
        elif training is not None:
            status, reason = "missing", f"the training failed: {training['reason']}"
        elif crash is not None:
            status, reason = crash["status"], f"the synthesis failed: {crash['reason']}"
        else:
            # Relative, because the items of a run do not depend on where its folder lies.
            status, reason = "missing", f"{output.relative_to(run.directory)} is not there"
        out_hash = content_key(status, reason)
    reference = _compared_with(scorer, trial)
    key = content_key(
        out_hash,
        None if reference is None else [reference.sha256, reference.start, reference.end],
        trial.source.text if "text" in scorer.needs else None,
        trial.target if "target" in scorer.needs else None,
        scorer.signature,
    )
    return ItemRow(
        entry.key,
        trial.id,
        scorer.name,
        key,
        None if status != "ok" else 0.0,
        status,
        reason,
        signature_id=signature_id(scorer.signature),
    )


def _score_task(run: Run, key: str, entry: Entry, trial: Trial, scorer: MetricEntry) -> Task:
    reference = _compared_with(scorer, trial)
    output = run.output_path(entry.key, trial.id, _suffix(run))
    options = dict(scorer.options)
    if scorer.name == "sca":
        options["sources"] = {trial.id: trial.source.speaker}
    clip = Clip(
        trial.id,
        trial.target,
        audio=str(output),
        video=_face_of(run, scorer, trial),
        text=trial.source.text,
        split="test",
    )
    return score_task(
        key,
        scorer.name,
        options,
        output,
        reference,
        clip,
        scorer.cost,
        media=scorer.media,
        accelerated=scorer.accelerated,
    )


def _scored_row(row: ItemRow, result: Result) -> ItemRow:
    milliseconds = round(1000 * result.seconds, 3)
    if result.status == "ok":
        return replace(row, **result.value, milliseconds=milliseconds)
    return replace(
        row, value=None, status=failed_status(result), reason=result.reason, milliseconds=milliseconds
    )


def _work(
    tasks: Sequence[Task], engine: Engine, timeout: float, title: str, done: Callable[[Result], None]
) -> None:
    if not tasks:
        return
    with TaskProgress(title, len(tasks)) as progress:
        for result in engine.run(tasks, timeout=timeout):
            done(result)
            if result.status != "ok":
                say(f"{title}: {result.key}: {result.status}: {result.reason}")
            progress.advance()


def write_figures(run: Run) -> list[dict[str, Any]]:
    """Reduce the items of a run and write ``figures.csv``."""
    plan = run.info.plan
    figures = compute_figures(run.items(), plan["metrics"], [system["key"] for system in plan["systems"]])
    run.write_figures(
        FigureRow(
            figure["system"],
            figure["metric"],
            figure["value"],
            figure["low"],
            figure["high"],
            figure["n"],
            figure["expected"],
            signature_id(figure["signature"]),
        )
        for figure in figures
    )
    run.info.coverage = _nested(figures, lambda figure: {"n": figure["n"], "expected": figure["expected"]})
    run.info.metrics = _ledger(run)
    run.save()
    return figures


def _nested(
    figures: Iterable[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], Any]
) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for figure in figures:
        nested.setdefault(figure["system"], {})[figure["metric"]] = value(figure)
    return nested


def _ledger(run: Run) -> dict[str, dict[str, float]]:
    """Items and seconds spent by metric."""
    costs: dict[str, dict[str, float]] = {}
    for row in run.item_rows():
        cost = costs.setdefault(row.metric, {"items": 0, "seconds": 0.0})
        cost["items"] += 1
        cost["seconds"] = round(cost["seconds"] + row.milliseconds / 1000, 3)
    return costs


def write_contrasts(run: Run, asked: Sequence[Contrast]) -> None:
    """Keep the contrasts of the run's scores with its plan."""
    run.info.plan["contrasts"] = contrast_rows(run.directory, run.info.plan["systems"], asked)


def write_run_report(run: Run, figures: Sequence[Mapping[str, Any]]) -> Path:
    """Render ``report.html`` from the record, the items and the outputs of a run."""
    from doppelbench.benchmark.report import write_report
    from doppelbench.leaderboards.published_figures import find_published

    info, session = run.info, run.info.sessions[-1]
    record = {
        "name": info.name,
        "started": info.created,
        "command": " ".join(session.command),
        "config": info.config,
        "corpus": info.corpus,
        "machine": _machine(session.environment),
        "stages": {name: asdict(stage) for name, stage in info.stages.items()},
        **info.plan,
        CLASSIFIER: info.plan.get(CLASSIFIER, {"summary": ""}),
        "budget": info.plan.get("budget", []),
        "contrasts": info.plan.get("contrasts", []),
        "listening": info.plan.get("listening", []),
        "published": find_published(info.config["published"]) if info.config.get("published") else [],
    }
    write_experiment(run.directory, record, figures)
    return write_report(run.directory, record, figures)


def _machine(environment: Mapping[str, Any]) -> str:
    machine, gpu = environment.get("machine") or {}, environment.get("gpu") or {}
    processor, cores = machine.get("processor", "unknown processor"), machine.get("cores", "?")
    return ", ".join([f"{processor}, {cores} cores", *gpu.get("names", [])])


def _system_record(entry: Entry) -> dict[str, Any]:
    from doppelbench.baselines.registry import find_system

    spec = find_system(entry.name).spec
    return {
        "key": entry.key,
        "name": entry.name,
        "title": spec.title,
        "paper": spec.paper,
        "preset": entry.preset,
        "settings": entry.settings,
        "needs": sorted(entry.needs),
        "reference_row": entry.reference_row,
        "vocoder": None if entry.vocoder is None else entry.vocoder.model_dump(),
        "hear": list(entry.hear),
        "conditions": entry.conditions,
        "seed": entry.seed,
        "replicate_of": entry.replicate_of,
        "shares": entry.shares,
    }


def rescore_run(folder: Path, *, metrics: Sequence[str] | None, engine: Engine) -> list[dict[str, Any]]:
    """Score the outputs of a finished run again; only what changed is computed.

    Args:
        folder: the run folder.
        metrics: names among the run's metrics, or further ones that need no option; all of the run when None.
        engine: where the work runs.
    """
    from doppelbench.benchmark.work import trial_from_dict

    with Run.resume(folder, command=["doppelbench", *sys.argv[1:]], environment=environment_record()) as run:
        plan = run.info.plan
        if "metrics" not in plan:
            raise ConfigError(f"{folder} was never scored; finish it with the command that began it")
        stored = {entry["name"]: entry["options"] for entry in plan["metrics"]}
        # The folder may have been moved, or named from elsewhere, since it was scored.
        if "sca" in stored:
            stored["sca"] = {"classifier": str(folder / "systems" / CLASSIFIER)}
        if "mouth_following" in stored:
            stored["mouth_following"] = {"readout": str(folder / "systems" / READOUT)}
        wanted = list(metrics or stored)
        for name in wanted:
            stored.setdefault(name, {})
        chosen = []
        for name, options in stored.items():
            chosen.append(_metric_entry(name, options))
        plan["metrics"] = [
            {"name": entry.name, "options": dict(entry.options), "signature": entry.signature}
            for entry in chosen
        ]
        entries = [
            Entry(
                system["key"],
                system["name"],
                system["preset"],
                system["settings"],
                frozenset(system["needs"]),
                system["reference_row"],
                VocoderConfig(**system["vocoder"]) if system.get("vocoder") else None,
                shares=system.get("shares"),
            )
            for system in plan["systems"]
        ]
        trials = [trial_from_dict(trial) for trial in plan["trials"]]
        with run.stage("score"):
            score_outputs(run, entries, trials, chosen, engine=engine, timeout=300.0)
            figures = write_figures(run)
        with run.stage("report"):
            earlier = plan.get("contrasts", [])
            write_contrasts(run, [Contrast(r["base_system"], r["system"], r["metric"]) for r in earlier])
            write_run_report(run, figures)
        return [figure for figure in figures if figure["metric"] in wanted]
