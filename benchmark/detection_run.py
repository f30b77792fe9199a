"""A detection run: generators against detectors, from collecting the clips to the figures.

Every clip is brought into one form first (:mod:`doppelbench.benchmark.detection_material`). Then each
detector is trained on each fold of each protocol, calibrated on the development part, and scores the test
part as it is and degraded.

The same command goes on where it was stopped: prepared clips, trained detectors and scores are kept under the
content of what they were made from. Heavy work happens in worker processes of one compute thread.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.benchmark.config import ConfigError
from doppelbench.benchmark.detection_casework import write_calibration
from doppelbench.benchmark.detection_data import (
    Collected,
    Media,
    chosen,
    from_folders,
    from_run,
    from_table,
    join,
)
from doppelbench.benchmark.detection_figures import compute_figures
from doppelbench.benchmark.detection_folder import DetectionFolder
from doppelbench.benchmark.detection_material import (
    PLAIN,
    WORK,
    Prepared,
    audit_findings,
    audit_stages,
    degrade_clips,
    failed_clips,
    finding,
    media_path,
    prepare,
)
from doppelbench.benchmark.detection_recipe import DetectionRecipe, DetectorChoice
from doppelbench.benchmark.detection_work import IDENTITY, build_detector
from doppelbench.benchmark.forensic_page import write_forensic_page
from doppelbench.benchmark.progress import TaskProgress, say
from doppelbench.benchmark.tasks import failed_status
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.detectors.protocols import PROTOCOLS, Fold, Sample, make_folds
from doppelbench.engine.environment import environment_record
from doppelbench.engine.files import write_json
from doppelbench.engine.hashing import content_key
from doppelbench.engine.pool import Task, run_pool

# Raised whenever the same training would give another detector.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Training:
    """One detector on one fold.

    Attributes:
        detector: which.
        fold: what it is trained on.
        directory: where it is kept.
        key: content of everything that decides it.
    """

    detector: DetectorChoice
    fold: Fold
    directory: Path
    key: str

    @property
    def name(self) -> str:
        """For people, and for its task."""
        return " / ".join(part for part in (self.detector.name, self.fold.protocol, self.fold.name) if part)


def execute(recipe: DetectionRecipe, folder: Path) -> list[dict[str, Any]]:
    """Do a detection run, or finish one.

    Returns:
        The rows of ``figures.csv``.

    Raises:
        ConfigError: a detector, preset, hyperparameter or protocol that does not exist, detectors of sound
            and of pictures together.
        InputError: a source, a degradation, or too few clips for a protocol.
        RunError: the folder holds something else.
    """
    kinds, media = check_detectors(recipe.detectors)
    check_choices(recipe, media)
    collected = collect(recipe, media)
    with DetectionFolder.open(folder) as run:
        findings: list[dict[str, str]] = []

        def tell(found: Sequence[dict[str, str]]) -> None:
            findings.extend(found)
            for item in found:
                if item["severity"] == "warning":
                    say(f"warning ({item['where']}): {item['message']}")

        tell([finding("note", where, message) for where, message in collected.notes])
        run.record |= {
            "command": ["doppelbench", *sys.argv[1:]],
            "config": recipe.config(),
            "seeds": {"all": recipe.choices.seed},
            "environment": environment_record(gpu=recipe.device != "cpu"),
            "corpus": _corpus(collected),
            "sources": list(collected.sources),
            "detectors": kinds,
            "protocols": {},
            "audit": [],
            "findings": findings,
        }
        folds = [
            fold
            for protocol in recipe.protocols
            for fold in make_folds(protocol, collected.samples, recipe.choices)
        ]
        run.record["protocols"] = _protocol_records(folds)
        with run.stage("prepare"):
            prepared = prepare(run, recipe, collected, media)
            tell(failed_clips(prepared))
        with run.stage("audit"):
            run.record["audit"] = audit_stages(prepared, media)
            tell(audit_findings(run.record["audit"]))
        files = {sample.id: sample.clip for sample in prepared.samples}
        with run.stage("train"):
            trained, failed = train_all(run, recipe, folds, prepared)
            tell([finding("warning", name, message) for name, message in failed.items()])
        with run.stage("score"):
            rows, calibrations = score_all(run, recipe, trained, failed, files, prepared)
            run.write_trials(rows)
            run.record["calibrations"] = calibrations
        with run.stage("evaluate"):
            score_kinds = {name: record["score_kind"] for name, record in kinds.items()}
            figures, said = compute_figures(rows, score_kinds, draws=recipe.draws, seed=recipe.choices.seed)
            run.write_figures(figures)
            tell(said)
        with run.stage("report"):
            write_forensic_page(folder, draws=recipe.draws)
    return figures


def check_detectors(detectors: Sequence[DetectorChoice]) -> tuple[dict[str, dict[str, Any]], Media]:
    """Make every detector once, before any time is spent; returns what is known of them, and their medium.

    Raises:
        ConfigError: none, one twice, or detectors of sound and of pictures together.
        DoppelbenchError: a detector, preset or hyperparameter that does not exist.
    """
    known: dict[str, dict[str, Any]] = {}
    media = set()
    for choice in detectors:
        if choice.name in known:
            raise ConfigError(f"the detector {choice.name} is named twice")
        detector = build_detector(choice.name, choice.preset, choice.settings)
        spec = detector.spec
        media.add(spec.media)
        known[choice.name] = {
            "title": spec.title,
            "paper": spec.paper,
            "preset": choice.preset,
            "settings": asdict(detector.settings),
            "score_kind": spec.score_kind,
            "trivial": spec.trivial,
            "media": spec.media,
        }
    if not known:
        raise ConfigError("a detection run needs a detector; see doppelbench ls detectors")
    if len(media) > 1:
        raise ConfigError("a run holds detectors of sound or of pictures, not both; make two runs")
    return known, media.pop()


def check_choices(recipe: DetectionRecipe, media: Media) -> None:
    """Refuse protocols and degradations that cannot be done, before any time is spent.

    Raises:
        ConfigError: no protocol, an unknown one, or degradations of sound for detectors of pictures.
        InputError: a degradation that is not known.
    """
    from doppelbench.detectors.degradations import parse

    for protocol in recipe.protocols:
        if protocol not in PROTOCOLS:
            raise ConfigError(f"there is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    if not recipe.protocols or len(set(recipe.protocols)) < len(recipe.protocols):
        raise ConfigError("name one protocol or more, each once")
    if recipe.degradations and media == "video":
        raise ConfigError("degradations are of sound; leave them out for detectors of pictures")
    for spec in recipe.degradations:
        parse(spec)


def collect(recipe: DetectionRecipe, media: Media) -> Collected:
    """Collect the clips of all sources of a recipe.

    Raises:
        InputError: a source cannot be used, or has none of the generators that are named.
    """
    parts = [
        from_run(folder, media=media, natural=recipe.natural, jobs=recipe.jobs) for folder in recipe.runs
    ]
    parts += [from_table(path, media=media) for path in recipe.tables]
    if recipe.bonafide is not None or recipe.spoof:
        parts.append(from_folders(recipe.bonafide, recipe.spoof, media=media))
    collected = join(parts)
    return collected if recipe.generators is None else chosen(collected, recipe.generators)


def _corpus(collected: Collected) -> dict[str, Any]:
    labels = {source["corpus"] for source in collected.sources if source.get("corpus")}
    described = sorted((sample.id, sample.attack, sample.speaker) for sample in collected.samples)
    return {
        "label": ", ".join(sorted(labels)) or ", ".join(source["run"] for source in collected.sources),
        "hash": content_key(described),
        "clips": len(collected.samples),
    }


def _protocol_records(folds: Sequence[Fold]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for fold in folds:
        record = found.setdefault(fold.protocol, {"folds": [], "counts": [], "notes": []})
        record["folds"].append(fold.name)
        record["counts"] += fold.counts()
        record["notes"] += [{"fold": fold.name, "note": note} for note in fold.notes]
    return found


def train_all(
    run: DetectionFolder, recipe: DetectionRecipe, folds: Sequence[Fold], prepared: Prepared
) -> tuple[list[Training], dict[str, str]]:
    """Train every detector on every fold; those that are there are kept.

    Returns:
        All trainings, and by the name of each that failed the reason.

    Raises:
        InputError: every training failed.
    """
    files = {sample.id: sample.clip for sample in prepared.samples}
    trainings, tasks = [], []
    for choice in recipe.detectors:
        for fold in folds:
            used = [s for s in fold.training if prepared.record[s.id]["status"] == "ok"]
            content = [(s.id, s.bonafide, prepared.record[s.id]["sha256"]) for s in used]
            key = content_key(
                VERSION, asdict(choice), recipe.choices.seed, recipe.max_steps, recipe.device, content
            )
            directory = run.system(choice.name, fold.protocol, fold.name)
            training = Training(choice, fold, directory, key)
            trainings.append(training)
            if _kept_key(directory) == key:
                continue
            if (directory / "key.txt").is_file() and (directory / "key.txt").read_text() != key:
                shutil.rmtree(directory)
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "key.txt").write_text(key)
            arguments = {
                "name": choice.name,
                "preset": choice.preset,
                "settings": dict(choice.settings),
                "bonafide": [asdict(files[s.id]) for s in used if s.bonafide],
                "spoof": [asdict(files[s.id]) for s in used if not s.bonafide],
                "trainer": {
                    "directory": str(directory),
                    "device": recipe.device,
                    "max_steps": recipe.max_steps,
                    "seed": recipe.choices.seed,
                    "progress": False,
                },
                "key": key,
            }
            tasks.append(Task(training.name, f"{WORK}:train_detector", arguments))
    failed: dict[str, str] = {}
    if tasks:
        with TaskProgress("training detectors", len(tasks)) as progress:
            for result in run_pool(tasks, jobs=_training_jobs(recipe)):
                value = result.value or {}
                if result.status != "ok" or "failed" in value:
                    failed[result.key] = f"the training failed: {value.get('failed', result.reason)}"
                progress.advance()
    if len(failed) == len(trainings):
        raise InputError(f"no detector could be trained: {next(iter(failed.values()))}")
    return trainings, failed


def _kept_key(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / IDENTITY).read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _training_jobs(recipe: DetectionRecipe) -> int:
    """One training at a time where they would share an accelerator, else as many as there are jobs."""
    if recipe.device == "cpu":
        return recipe.jobs
    import torch

    return 1 if torch.cuda.is_available() else recipe.jobs


def score_all(
    run: DetectionFolder,
    recipe: DetectionRecipe,
    trainings: Sequence[Training],
    failed: Mapping[str, str],
    files: Mapping[str, Clip],
    prepared: Prepared,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Score development and test parts with every detector, and calibrate.

    Returns:
        Rows of the table of trials, and one record for each calibration or why there is none.
    """
    variants = {PLAIN: {name: dict(found) for name, found in prepared.record.items()}}
    tested = {sample.id for training in trainings for sample in training.fold.test}
    for spec in recipe.degradations:
        variants[spec] = degrade_clips(run, recipe, spec, tested, variants[PLAIN])
    scores = _scores(run, recipe, [one for one in trainings if one.name not in failed], variants, files)
    rows: list[dict[str, Any]] = []
    calibrations = []
    for training in trainings:
        found = {variant: scores.get((training.name, variant), {}) for variant in variants}
        calibration, record = _calibrated(training, found[PLAIN])
        calibrations.append(record)
        reason = failed.get(training.name)
        for variant, clips in variants.items():
            parts = {"development": training.fold.development, "test": training.fold.test}
            for part, samples in parts.items() if variant == PLAIN else [("test", training.fold.test)]:
                for sample in samples:
                    status = clips[sample.id]
                    row = {"score": None, "status": status["status"], "reason": status["reason"]}
                    if reason is not None:
                        row = {"score": None, "status": "missing", "reason": reason}
                    elif sample.id in found[variant]:
                        row = found[variant][sample.id]
                    path = Path(media_path(run, files, sample.id, variant))
                    rows.append(_trial_row(run, training, sample, variant, part, row, path, calibration))
    return rows, calibrations


def _scores(
    run: DetectionFolder,
    recipe: DetectionRecipe,
    trainings: Sequence[Training],
    variants: Mapping[str, Mapping[str, Mapping[str, Any]]],
    files: Mapping[str, Clip],
) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """Scores by training and variant, then by clip; a task is one training with one variant."""
    scores: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    tasks, pending = [], {}
    for training in trainings:
        for variant, clips in variants.items():
            fold = training.fold
            samples = [*fold.development, *fold.test] if variant == PLAIN else list(fold.test)
            usable = [sample.id for sample in samples if clips[sample.id]["status"] == "ok"]
            key = content_key(VERSION, training.key, [(name, clips[name]["sha256"]) for name in usable])
            path = run.scores(training.detector.name, fold.protocol, fold.name, variant)
            kept = _kept_scores(path, key)
            if kept is not None:
                scores[training.name, variant] = kept
                continue
            given = [
                replace(files[name], audio=media_path(run, files, name, variant))
                if variant != PLAIN
                else files[name]
                for name in usable
            ]
            arguments = {
                "name": training.detector.name,
                "directory": str(training.directory),
                "clips": [asdict(clip) for clip in given],
            }
            task = Task(f"{training.name} / {variant}", f"{WORK}:score_clips", arguments, len(given))
            tasks.append(task)
            pending[task.key] = ((training.name, variant), path, key, usable)
    if not tasks:
        return scores
    with TaskProgress("scoring", len(tasks)) as progress:
        for result in run_pool(tasks, jobs=recipe.jobs):
            place, path, key, usable = pending[result.key]
            if result.status == "ok":
                found = {item["id"]: item for item in result.value}
                write_json(path, {"key": key, "scores": list(found.values())})
            else:
                lost = {"score": None, "status": failed_status(result), "reason": result.reason}
                found = {name: {"id": name, **lost} for name in usable}
            scores[place] = found
            progress.advance()
    return scores


def _kept_scores(path: Path, key: str) -> dict[str, dict[str, Any]] | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {item["id"]: item for item in stored["scores"]} if stored["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _calibrated(training: Training, scores: Mapping[str, Mapping[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """The calibration of one training, or None, and its record."""
    from doppelbench.detectors.calibration import fit_bounded

    sides: tuple[list[float], list[float]] = ([], [])
    for sample in training.fold.development:
        score = scores.get(sample.id, {}).get("score")
        if score is not None:
            sides[0 if sample.bonafide else 1].append(score)
    record: dict[str, Any] = {
        "detector": training.detector.name,
        "protocol": training.fold.protocol,
        "fold": training.fold.name,
        "map": None,
    }
    try:
        calibration, said = fit_bounded(*sides)
    except InputError as error:
        return None, {**record, "note": str(error)}
    write_calibration(training.directory, calibration, said)
    return calibration, {**record, "map": calibration.as_json(), "note": said}


def _trial_row(
    run: DetectionFolder,
    training: Training,
    sample: Sample,
    variant: str,
    part: str,
    found: Mapping[str, Any],
    path: Path,
    calibration: Any,
) -> dict[str, Any]:
    fold = training.fold
    score = found["score"]
    inside = path.is_relative_to(run.directory)
    return {
        "protocol": fold.protocol,
        "fold": fold.name,
        "detector": training.detector.name,
        "variant": variant,
        "id": sample.id,
        "part": part,
        "bonafide": sample.bonafide,
        "attack": sample.attack,
        "control": sample.control,
        "attack_seen": None if sample.bonafide else sample.attack in fold.attacks,
        "speaker": sample.speaker,
        "speaker_seen": sample.speaker in fold.speakers,
        "source_speaker": sample.source_speaker,
        "style": sample.clip.style,
        "style_seen": None if sample.clip.style is None else sample.clip.style in fold.styles,
        "path": str(path.relative_to(run.directory) if inside else path),
        "score": score,
        "llr": None if score is None or calibration is None else float(calibration(np.array([score]))[0]),
        "status": found["status"],
        "reason": found["reason"],
    }
