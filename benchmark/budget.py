"""What each system was given: training, speech of whom, and the vocoder; without it a table is not fair."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from doppelbench.benchmark.plan import Entry, Plan, Training
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError

COLUMNS = {
    "system": "system",
    "models": "models",
    "steps": "steps a model",
    "seconds": "training seconds",
    "parameters": "parameters",
    "trained_on": "trained on",
    "speakers": "speakers",
    "speech_seconds": "seconds of speech a model",
    "zero_shot": "zero-shot",
    "extra_data": "extra data",
    "vocoder": "vocoder",
}


def budget_rows(plan: Plan, trainings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say for every row of the table what it was given.

    Args:
        plan: of the run.
        trainings: training records by key, as the run's record holds them; those that failed are not there.

    Returns:
        For each entry: ``models`` that were trained, the most ``steps`` and ``parameters`` of one,
        ``seconds`` of all trainings, ``trained_on`` in words, the most ``speakers`` one model hears, the mean
        ``speech_seconds`` of a model's clips, ``zero_shot`` (nobody who speaks in the trials was heard),
        ``extra_data`` (somebody else than the target was heard) and the ``vocoder``. All but the vocoder are
        None for what is not trained. A vocoder that is trained for the run has a row of its own; rows that
        differ in nothing but the vocoder state the same models.
    """
    sources = {trial.source.speaker for trial in plan.trials}
    planned = plan.trainings()
    # A model of all voices is one of the target where there is one target.
    alone = plan.targets[0] if len(plan.targets) == 1 else None
    rows = []
    for entry in plan.entries:
        own = [training for training in planned if training.folder == entry.trained_as]
        rows.append(
            {"system": entry.key, **_given(own, trainings, sources, alone), **_entry_part(entry, own)}
        )
    for training in plan.vocoder_trainings():
        made = {"trained_on": "all targets", "vocoder": training.of.name}
        rows.append({"system": training.key, **_given([training], trainings, sources, alone), **made})
    return rows


def _entry_part(entry: Entry, own: list[Training]) -> dict[str, Any]:
    return {"trained_on": trained_on(entry) if own else None, "vocoder": vocoder_of(entry)}


def _given(
    own: list[Training],
    trainings: Mapping[str, Mapping[str, Any]],
    sources: set[str],
    alone: str | None,
) -> dict[str, Any]:
    if not own:
        return dict.fromkeys(list(COLUMNS)[1:])
    records = [trainings[training.key] for training in own if training.key in trainings]
    people = [{clip.speaker for clip in training.clips} for training in own]
    speech = [sum(clip_seconds(clip) for clip in training.clips) for training in own]
    return {
        "models": len(records),
        "steps": max((record["steps"] for record in records), default=None),
        "seconds": round(sum(record["seconds"] for record in records), 1),
        "parameters": max((record["parameters"] for record in records), default=None),
        "trained_on": None,
        "speakers": max(len(names) for names in people),
        "speech_seconds": round(sum(speech) / len(speech), 1),
        "zero_shot": not any(names & sources for names in people),
        "extra_data": any(
            names - {training.target or alone} for names, training in zip(people, own, strict=True)
        ),
        "vocoder": None,
    }


def trained_on(entry: Entry) -> str:
    """Whose speech a system hears in training, in words."""
    if "target" not in entry.needs:
        who = "people of the trials" if "speakers" in entry.needs else "other people"
    elif entry.hear:
        who = f"target and {', '.join(entry.hear)}"
    else:
        who = "target only"
    if entry.conditions > 1:
        who += f", {entry.conditions} simulated recording conditions"
    return f"{who}, after a checkpoint" if entry.settings.get("checkpoint") else who


def vocoder_of(entry: Entry) -> str:
    """Name of what makes sound of a system's features; ``waveform`` where the system makes it itself, and
    ``none`` for a recording."""
    from doppelbench.benchmark.work import build_system

    if entry.vocoder is not None:
        return entry.vocoder.name
    system = build_system(entry.name, entry.preset, entry.settings, "check")
    vocoder = getattr(system, "vocoder", None)
    if vocoder is None:
        return "none" if entry.reference_row else "waveform"
    name = getattr(vocoder, "name", None)
    return str(name) if name else re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(vocoder).__name__).lower()


def clip_seconds(clip: Clip) -> float:
    """Duration of a clip as the header of its file states it; 0 where the file cannot be read."""
    if clip.start is not None and clip.end is not None:
        return clip.end - clip.start
    try:
        whole = 0.0 if clip.audio is None else _file_seconds(clip.audio)
    except MediaError:
        return 0.0
    return max(0.0, (whole if clip.end is None else clip.end) - (clip.start or 0.0))


@lru_cache(maxsize=100_000)
def _file_seconds(path: str) -> float:
    from doppelbench.corpora.media import probe

    return probe(path).seconds


def budget_table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for people: only what was trained, here or elsewhere, yes and no in words, columns by their
    titles."""
    return [
        {title: _cell(row[name]) for name, title in COLUMNS.items()}
        for row in rows
        if row["models"] is not None or row["parameters"] is not None
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
