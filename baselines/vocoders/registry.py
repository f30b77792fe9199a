"""Vocoders by name, trained and loaded through one call each."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from doppelbench.baselines.vocoders.vocoder import Vocoder
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord

VOCODERS = {
    "griffin-lim": "doppelbench.baselines.vocoders.griffin_lim:GriffinLim",
    "wavenet": "doppelbench.baselines.vocoders.wavenet:WaveNetVocoder",
    "wavernn": "doppelbench.baselines.vocoders.wavernn:WaveRNNVocoder",
}


def find_vocoder(name: str) -> type[Vocoder]:
    """Return the class of a vocoder.

    Raises:
        DoppelbenchError: no vocoder has this name; the message suggests the nearest.
    """
    if name not in VOCODERS:
        near = difflib.get_close_matches(name, VOCODERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(VOCODERS)}"
        raise DoppelbenchError(f"there is no vocoder {name!r}; {hint}")
    module, _, kind = VOCODERS[name].partition(":")
    found: type[Vocoder] = getattr(import_module(module), kind)
    return found


def make_vocoder(name: str, preset: str = "small") -> Vocoder:
    """Make an untrained vocoder of a preset.

    Raises:
        DoppelbenchError: no such vocoder or preset.
    """
    kind = find_vocoder(name)
    if preset not in kind.presets:
        raise DoppelbenchError(
            f"vocoder {name} has no preset {preset!r}; known: {', '.join(kind.presets) or 'none'}"
        )
    vocoder: Vocoder = kind(settings=kind.presets[preset])  # type: ignore[call-arg]
    return vocoder


def train_vocoder(vocoder: Vocoder, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord | None:
    """Train a vocoder on clips, save it in the training's directory and return the record.

    Args:
        vocoder: as :func:`make_vocoder` makes it.
        clips: natural speech; whose voice it is decides what the vocoder can say.
        trainer: the vocoder's steps are taken when it names neither steps nor seconds.

    Raises:
        DoppelbenchError: clips that cannot train it.
    """
    if trainer.max_steps is None and trainer.max_seconds is None:
        trainer = replace(trainer, max_steps=getattr(vocoder.settings, "max_steps", None))
    record = vocoder.fit(clips, trainer)
    vocoder.save(trainer.directory)
    return record


def load_vocoder(directory: Path) -> Vocoder:
    """Read a saved vocoder, whichever it is.

    Raises:
        InputError: the folder holds no vocoder that can be read.
    """
    try:
        name = json.loads((directory / "config.json").read_text())["vocoder"]
        kind = find_vocoder(name)
    except (OSError, ValueError, KeyError, TypeError, DoppelbenchError) as error:
        raise InputError(f"{directory}: no vocoder that can be read ({error})") from None
    return kind.load(directory)
