"""What several systems share: a person's speech as one memory-mapped recording, and saving without pickle."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
from safetensors.torch import save
from torch import nn

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.features import MelSettings, log_mel
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import read_audio
from doppelbench.engine.trainer import TrainerSettings

Settings = TypeVar("Settings")


def clip_log_mel(clip: Clip, mel: MelSettings) -> np.ndarray:
    """Log-mel spectrogram of a clip at the house's level; shape (frames, bands), float32, range 0 to 1.

    Raises:
        MediaError: the clip has no audio, or it cannot be read, is silent, or holds less than one frame.
    """
    if clip.audio is None:
        raise MediaError("missing", f"clip {clip.id} has no audio")
    audio = read_audio(clip.audio, rate=mel.rate, start=clip.start, end=clip.end)
    if audio.samples.size < mel.window:
        raise MediaError("too_short", f"{clip.audio}: {audio.seconds:.3f} s is less than one analysis window")
    return log_mel(normalize_level(audio.samples, audio.rate), mel)


def save_network(directory: Path, network: nn.Module, config: dict[str, Any]) -> None:
    """Write ``weights.safetensors`` and ``config.json`` so that a crash leaves either the old or the new files."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    for name, content in (
        ("weights.safetensors", save(weights)),
        ("config.json", json.dumps(config, indent=2, sort_keys=True).encode()),
    ):
        partial = directory / f".{name}.partial"
        partial.write_bytes(content)
        os.replace(partial, directory / name)


def settings_from_dict(kind: type[Settings], values: dict[str, Any]) -> Settings:
    """Rebuild a (nested) settings dataclass from :func:`dataclasses.asdict`; unknown keys are an error."""
    hints = get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"{kind.__name__} has no setting {', '.join(unknown)}")
    arguments = {
        name: settings_from_dict(hints[name], value) if is_dataclass(hints[name]) else value
        for name, value in values.items()
    }
    return kind(**arguments)


def long_recording(clips: Sequence[Clip], target: str, mel: MelSettings, trainer: TrainerSettings) -> np.ndarray:
    raise NotImplementedError
