"""The clips of a detection run as detectors are given them, and what alone tells real from fake in them.

Every clip, real or fake, goes through the same chain (decoded, one rate, trimmed, levelled, 16-bit FLAC),
because otherwise a detector learns the file and not the fake. The audit of shortcuts says what loudness,
duration, silence and bandwidth alone would tell, of the files as they came and as detectors are given them.
Prepared clips are kept under the content of what they were made from.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from doppelbench.benchmark.detection import audit_rows
from doppelbench.benchmark.detection_data import Collected, Media
from doppelbench.benchmark.detection_folder import PLAIN, DetectionFolder, finding
from doppelbench.benchmark.detection_recipe import DetectionRecipe
from doppelbench.benchmark.progress import TaskProgress
from doppelbench.benchmark.tasks import failed_status
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import sha256_of
from doppelbench.detectors.protocols import Sample
from doppelbench.engine.files import write_json
from doppelbench.engine.hashing import content_key
from doppelbench.engine.pool import Result, Task, run_pool

WORK = "doppelbench.benchmark.detection_work"
INDEX = "index.json"
# Raised whenever the same clip would become another file.
VERSION = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """Collected clips with the files that detectors are given.

    Attributes:
        samples: with ``clip.audio`` at the prepared file.
        record: by id of the clip: status, reason, ``sha256`` of the file, and measured features.
    """

    samples: tuple[Sample, ...]
    record: Mapping[str, Mapping[str, Any]]


def prepare(run: DetectionFolder, recipe: DetectionRecipe, collected: Collected, media: Media) -> Prepared:
    """Bring every clip into the common form; those that are there are kept.

    Films stay as they are, because a run cuts the natural ones and the fakes alike; they are only measured.
    """
    index = _read_index(run)
    form = asdict(recipe.material)
    files = {
        sample.id: run.material(sample.id) if media == "audio" else Path(str(sample.clip.video))
        for sample in collected.samples
    }
    tasks, keys, digests, record = [], {}, {}, {}
    for sample in collected.samples:
        clip = sample.clip
        try:
            digests[sample.id] = digest = sha256_of(str(clip.video if media == "video" else clip.audio))
        except OSError as error:
            record[sample.id] = {"status": "missing", "reason": str(error), "sha256": ""}
            continue
        keys[sample.id] = key = content_key(VERSION, digest, clip.start, clip.end, form, media)
        known, file = index.get(sample.id, {}), files[sample.id]
        if known.get("key") == key and (known["status"] != "ok" or file.is_file()):
            record[sample.id] = known
        elif media == "video":
            tasks.append(Task(sample.id, f"{WORK}:measure_clip", {"path": str(clip.video)}))
        else:
            arguments = {"clip": asdict(clip), "output": str(file), **form}
            tasks.append(Task(sample.id, f"{WORK}:prepare_clip", arguments))

    def keep(result: Result) -> None:
        found = _outcome(result)
        if found["status"] == "ok":
            # A film is the file that it was.
            found["sha256"] = sha256_of(files[result.key]) if media == "audio" else digests[result.key]
        index[result.key] = record[result.key] = {"sha256": "", **found, "key": keys[result.key]}

    _work(
        tasks,
        recipe,
        "preparing clips" if media == "audio" else "measuring films",
        keep,
        lambda: _write_index(run, index),
    )
    samples = collected.samples
    if media == "audio":
        samples = tuple(
            replace(
                sample,
                clip=replace(
                    sample.clip, audio=str(run.material(sample.id)), video=None, start=None, end=None
                ),
            )
            for sample in samples
        )
    return Prepared(samples, record)


def degrade_clips(
    run: DetectionFolder,
    recipe: DetectionRecipe,
    spec: str,
    clips: set[str],
    plain: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Degrade the prepared clips of all tests and verify each; those that are there are kept.

    Returns:
        Status, reason and ``sha256`` by id of the clip; a clip that could not be prepared keeps its status.
    """
    index = _read_index(run)
    record, tasks, keys = {}, [], {}
    for name in sorted(clips):
        before = plain[name]
        if before["status"] != "ok":
            record[name] = dict(before)
            continue
        place = f"{spec} {name}"
        keys[name] = key = content_key(VERSION, before["sha256"], spec, recipe.choices.seed)
        output = run.material(name, spec)
        known = index.get(place, {})
        if known.get("key") == key and (known["status"] != "ok" or output.is_file()):
            record[name] = known
            continue
        # Each clip has a noise and a room of its own.
        seed = int(content_key(recipe.choices.seed, name)[:8], 16)
        arguments = {"path": str(run.material(name)), "output": str(output), "spec": spec, "seed": seed}
        tasks.append(Task(name, f"{WORK}:degrade_clip", arguments))

    def keep(result: Result) -> None:
        found = _outcome(result)
        found["sha256"] = sha256_of(run.material(result.key, spec)) if found["status"] == "ok" else ""
        index[f"{spec} {result.key}"] = record[result.key] = {**found, "key": keys[result.key]}

    _work(tasks, recipe, f"degrading by {spec}", keep, lambda: _write_index(run, index))
    return record


def failed_clips(prepared: Prepared) -> list[dict[str, str]]:
    """A finding where clips cannot be used.

    Raises:
        InputError: no clip can be used.
    """
    failed = {name: found for name, found in prepared.record.items() if found["status"] != "ok"}
    if not failed:
        return []
    if len(failed) == len(prepared.record):
        raise InputError(f"no clip can be used: {next(iter(failed.values()))['reason']}")
    name, first = next(iter(sorted(failed.items())))
    message = f"{len(failed)} of {len(prepared.record)} clips cannot be used, such as {name}: "
    return [finding("warning", "clips", message + str(first["reason"]))]


def audit_stages(prepared: Prepared, media: Media) -> list[dict[str, Any]]:
    """Judge all clips, and the clips of each generator, by each feature alone, raw and as detectors get them.

    Films are given as they came, so there is one stage.

    Returns:
        Rows of :func:`doppelbench.benchmark.detection.audit_rows` with ``stage`` and ``attack``, which is
        empty for all generators together.
    """
    from doppelbench.detectors import video_shortcuts
    from doppelbench.detectors.shortcut_features import FEATURES, audit

    features = tuple(FEATURES if media == "audio" else video_shortcuts.FEATURES)
    stages = {"raw": "raw"} | ({"as trained": "as_trained"} if media == "audio" else {})
    usable = [sample for sample in prepared.samples if prepared.record[sample.id]["status"] == "ok"]
    voices = {sample.speaker for sample in usable if not sample.bonafide}
    real = [sample for sample in usable if sample.bonafide and sample.speaker in voices]
    fakes = [sample for sample in usable if not sample.bonafide]
    attacks = sorted({sample.attack for sample in fakes})
    rows = []
    for stage, column in stages.items():
        for attack in ["", *attacks] if len(attacks) > 1 else [""]:
            chosen = [s for s in fakes if (s.attack == attack if attack else not s.control)]
            if not real or not chosen:
                continue
            sides = [[prepared.record[s.id][column] for s in side] for side in (real, chosen)]
            found = audit_rows(audit(*sides, features=features, draws=200))
            rows += [{"stage": stage, "attack": attack, **row} for row in found]
    return rows


def audit_findings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Say which features alone tell real from fake, of the files as they came and as detectors get them."""
    meanings = {
        "raw": "a detector of the files as they came could learn no more",
        "as trained": "a detector may have learned no more",
    }
    found = []
    for stage, meaning in meanings.items():
        flagged = [
            row["feature"] for row in rows if row["stage"] == stage and row["flagged"] and not row["attack"]
        ]
        if flagged:
            message = f"{', '.join(flagged)} alone tells real from fake; {meaning}."
            found.append(finding("warning", f"audit, {stage}", message))
    return found


def _outcome(result: Result) -> dict[str, Any]:
    if result.status == "ok":
        return dict(result.value)
    return {"status": failed_status(result), "reason": result.reason}


def _read_index(run: DetectionFolder) -> dict[str, Any]:
    path = run.directory / "material" / INDEX
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        # What is lost is only time: every clip is prepared again.
        return {}


def _write_index(run: DetectionFolder, index: Mapping[str, Any]) -> None:
    write_json(run.directory / "material" / INDEX, index)


def _work(
    tasks: Sequence[Task],
    recipe: DetectionRecipe,
    title: str,
    keep: Callable[[Result], None],
    save: Callable[[], None],
) -> None:
    """Run tasks of seconds; what was done is saved also when the run is interrupted."""
    if not tasks:
        return
    try:
        with TaskProgress(title, len(tasks)) as progress:
            for result in run_pool(tasks, jobs=recipe.jobs, timeout=recipe.item_timeout):
                keep(result)
                progress.advance()
    finally:
        save()


def media_path(run: DetectionFolder, files: Mapping[str, Clip], name: str, variant: str) -> str:
    """The file that detectors are given of a clip."""
    clip = files[name]
    return str(run.material(name, variant)) if variant != PLAIN else str(clip.video or clip.audio)
