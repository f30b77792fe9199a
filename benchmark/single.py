"""The verbs on files instead of a recipe: train on a recording, convert recordings."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from doppelbench.benchmark.config import parse_options
from doppelbench.benchmark.progress import say
from doppelbench.benchmark.work import IDENTITY, synthesize_trial, train_system, trial_to_dict
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import InputError


def train_single(
    system: str,
    audio: Path,
    out: Path,
    *,
    target: str | None,
    preset: str,
    settings: Sequence[str],
    device: str,
    max_steps: int | None,
    max_seconds: float | None,
    seed: int,
) -> dict[str, Any]:
    """Train one system on the recordings of one person and save it under ``out``.

    Returns:
        The training record.

    Raises:
        InputError: the recordings cannot be used.
        ConfigError: a hyperparameter is not ``key=value``.
    """
    from doppelbench.corpora.readers.folder import read_folder

    chosen = parse_options(settings)
    person = target or audio.stem
    corpus = read_folder(audio, speaker=person).with_hashes()
    record = train_system(
        name=system,
        preset=preset,
        settings=chosen,
        target=person,
        clips=[asdict(replace(clip, speaker=person)) for clip in corpus.clips()],
        trainer={
            "directory": str(out),
            "device": device,
            "max_steps": max_steps,
            "max_seconds": max_seconds,
            "seed": seed,
        },
    )
    if "failed" in record:
        raise InputError(record["reason"])
    for message in record["left_out"]:
        say(message)
    return record


def synthesize_single(
    directory: Path, sources: Sequence[Path], out: Path
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Convert recordings with a trained system; yields each source with status and reason.

    Raises:
        InputError: the folder holds no trained system, or two sources share a name.
    """
    identity = directory / IDENTITY
    if not identity.is_file():
        raise InputError(
            f"{directory}: there is no {IDENTITY}, so no trained system; make one with doppelbench train"
        )
    try:
        known = json.loads(identity.read_text())
        name, target = known["system"], known["target"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{identity}: damaged; train the system again") from None
    stems = [source.stem for source in sources]
    doubled = sorted({stem for stem in stems if stems.count(stem) > 1})
    if doubled:
        raise InputError(
            f"two sources are called {', '.join(doubled)}; their outputs would overwrite each other"
        )
    for source in sources:
        trial = Trial(source.stem, Clip(source.stem, "source", audio=str(source), split="test"), target)
        yield (
            source,
            synthesize_trial(
                name=name,
                directory=str(directory),
                clips="[]",
                trial=trial_to_dict(trial),
                output=str(out / source.stem),
            ),
        )
