"""What worker processes do: train one system, answer one trial, score one item.

Arguments and results are JSON-able, so that nothing but paths and numbers crosses the process boundary.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import MediaError


def trial_to_dict(trial: Trial) -> dict[str, Any]:
    """Turn a trial into what JSON can hold."""
    return asdict(trial)


def trial_from_dict(values: Mapping[str, Any]) -> Trial:
    """Inverse of :func:`trial_to_dict`."""
    reference = values["reference"]
    return Trial(
        values["id"],
        Clip(**values["source"]),
        values["target"],
        None if reference is None else Clip(**reference),
    )


def build_system(name: str, preset: str | None, settings: Mapping[str, Any], target: str | None) -> Any:
    """Make an untrained system: a preset with single hyperparameters replaced.

    Raises:
        DoppelbenchError: no such system, preset or hyperparameter.
    """
    from doppelbench.baselines.registry import find_system
    from doppelbench.corpora.errors import DoppelbenchError

    kind: Any = find_system(name)
    if not kind.spec.presets:
        return kind()
    if preset not in kind.spec.presets:
        raise DoppelbenchError(f"system {name} has no preset {preset!r}; known: {', '.join(kind.spec.presets)}")
    try:
        chosen = replace(kind.spec.presets[preset], **settings)
    except TypeError as error:
        raise DoppelbenchError(f"system {name}: {error}") from None
    return kind(chosen, target)


def train_system(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Train one system for one target and save it.

    Args:
        arguments: ``name``, ``preset``, ``settings``, ``target``, ``clips`` and ``trainer`` (fields of TrainerSettings).

    Returns:
        The training record, or ``failed`` with a status and a reason when the clips cannot be used.
    """
    from doppelbench.corpora.errors import InputError
    from doppelbench.engine.trainer import TrainerSettings

    trainer = dict(arguments["trainer"])
    directory = Path(trainer.pop("directory"))
    system = build_system(arguments["name"], arguments["preset"], arguments["settings"], arguments["target"])
    if trainer.get("max_steps") is None:
        trainer["max_steps"] = system.settings.max_steps
    try:
        record = system.fit(
            [Clip(**clip) for clip in arguments["clips"]], TrainerSettings(directory=directory, **trainer)
        )
    except InputError as error:
        return {"failed": getattr(error, "status", "missing"), "reason": str(error)}
    system.save(directory)
    return {} if record is None else asdict(record)


@lru_cache(maxsize=4)
def _trained(name: str, directory: str) -> Any:
    from doppelbench.baselines.registry import find_system

    return find_system(name).load(Path(directory))


@lru_cache(maxsize=4)
def _reference_row(name: str, clips: str) -> Any:
    from doppelbench.baselines.registry import find_system

    row: Any = find_system(name)()
    row.fit([Clip(**clip) for clip in json.loads(clips)], None)
    return row


def synthesize_trial(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one trial and write the output, or write why there is none.

    Args:
        arguments: ``name``, ``directory`` of the trained system or None, ``clips`` (JSON) for a reference row, ``trial``,
            and ``output``, the path without suffix.
    """
    from doppelbench.corpora.media import write_audio

    output = Path(arguments["output"])
    failure = output.with_suffix(".failed.json")
    if arguments["directory"] is None:
        system = _reference_row(arguments["name"], arguments["clips"])
    else:
        system = _trained(arguments["name"], arguments["directory"])
    try:
        produced = system.convert(trial_from_dict(arguments["trial"]))
        write_audio(output.with_suffix(".flac"), produced.audio)
    except MediaError as error:
        partial = output.with_name(f".{output.name}.failed.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({"status": error.status, "reason": error.reason}))
        os.replace(partial, failure)
        return {"status": error.status, "reason": error.reason}
    failure.unlink(missing_ok=True)
    return {"status": "ok", "reason": ""}


@lru_cache(maxsize=32)
def _metric(name: str, options: str) -> Any:
    from doppelbench.metrics.registry import metric

    return metric(name, **json.loads(options))


def score_item(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Score one output with one metric; a file that cannot be read becomes a status.

    Args:
        arguments: ``metric``, ``options`` (JSON), ``out`` and ``ref`` (path, start and end, or None), ``clip``.
    """
    from doppelbench.corpora.media import read_audio
    from doppelbench.metrics.metric import ItemScore

    scorer = _metric(arguments["metric"], arguments["options"])
    try:
        signals = {
            role: None if place is None else read_audio(place["path"], start=place["start"], end=place["end"])
            for role, place in (("out", arguments["out"]), ("ref", arguments["ref"]))
        }
    except MediaError as error:
        score = ItemScore.failed(error.status, error.reason)  # type: ignore[arg-type]
    else:
        score = scorer.item(out=signals["out"], ref=signals["ref"], clip=Clip(**arguments["clip"]))
    return {
        "value": score.value,
        "status": score.status,
        "reason": score.reason,
        "statistics": dict(score.stats),
    }
