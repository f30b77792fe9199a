"""What several systems share: a person's speech as one memory-mapped recording, and saving without pickle."""

import contextlib
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from torch import nn

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError, LeftOutWarning, MediaError
from doppelbench.corpora.features import MelSettings, log_mel
from doppelbench.corpora.level import TARGET_DB, normalize_level
from doppelbench.corpora.media import read_audio
from doppelbench.engine.cache import ArrayCache, CacheItem, build_cache
from doppelbench.engine.errors import CacheError
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import write_trained
from doppelbench.engine.trainer import TrainerSettings

# Under half a minute there is nothing to learn a voice from; the paper uses three minutes and more.
MINIMUM_SECONDS = 30.0


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
    """Write the weights of a network and its ``config.json``; each file appears whole or not at all."""
    write_trained(directory, network.state_dict(), config)


def check_sizes(settings: Any, *, zero: Collection[str] = (), other: Collection[str] = ()) -> None:
    """Refuse numbers among the settings of a network that no network can have.

    Args:
        settings: a dataclass; only its numbers are looked at.
        zero: names of those that may be 0.
        other: names of those that are judged elsewhere.

    Raises:
        DoppelbenchError: a number is not above 0.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and item.name not in other and not (value >= 0 if item.name in zero else value > 0):
            raise DoppelbenchError(f"{item.name} is {value}; it must be above 0")


@contextlib.contextmanager
def reading_saved(directory: Path, what: str) -> Iterator[None]:
    """Turn whatever is wrong with a saved network into one sentence that names its folder.

    Args:
        directory: what :func:`save_network` wrote.
        what: is read, such as ``trained exemplar``.

    Raises:
        InputError: a file is missing, damaged, or of another network.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{directory}: no {what} that can be read ({reason})") from None


def log_mel_arrays(clip: Mapping[str, Any], mel: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute the cached features of one clip; arguments are the fields of a clip and of the mel settings."""
    return {"mel": clip_log_mel(Clip(**clip), MelSettings(**mel))}


class LongRecording:
    """A person's clips as one recording, read through the memory map of a feature cache.

    The paper trains on one long file per person; short clips are joined, and a crop may run over a seam.
    """

    def __init__(self, cache: ArrayCache, ids: Sequence[str], field: str = "mel") -> None:
        self.ids = list(ids)
        self.parts = [cache[name][field] for name in ids]
        self.ends = np.cumsum([len(part) for part in self.parts])
        self.key = f"{cache.key}|{content_key(list(ids))}|{field}"

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.parts else 0

    def crop(self, start: int, frames: int) -> np.ndarray:
        """Copy ``frames`` frames from ``start`` on."""
        pieces, index = [], int(np.searchsorted(self.ends, start, side="right"))
        begin = start - (int(self.ends[index - 1]) if index else 0)
        while frames > 0:
            piece = self.parts[index][begin : begin + frames]
            pieces.append(piece)
            frames -= len(piece)
            index, begin = index + 1, 0
        return np.concatenate(pieces)


def long_recording(
    clips: Sequence[Clip], target: str, mel: MelSettings, trainer: TrainerSettings
) -> LongRecording:
    """Compute (or find) the log-mel spectrograms of a target's clips and join them.

    Raises:
        InputError: less than half a minute of the target can be used; the message says why.
    """
    settings = {"mel": asdict(mel)}
    (recording,) = target_recordings(clips, target, log_mel_arrays, settings, trainer, mel, fields=("mel",))
    return recording


def target_recordings(
    clips: Sequence[Clip],
    target: str,
    compute: Callable[..., dict[str, np.ndarray]],
    settings: Mapping[str, Any],
    trainer: TrainerSettings,
    mel: MelSettings,
    *,
    fields: Sequence[str],
) -> tuple[LongRecording, ...]:
    """Compute (or find) arrays of a target's clips and join them; one recording for each field.

    A clip that cannot be read is left out and named in a warning, so that one bad file does not cost the
    training.

    Args:
        clips: those of other people are passed over.
        target: whose.
        compute: as in :func:`speaker_recordings`, as are ``settings``.
        settings: further arguments of ``compute``.
        trainer: its directory holds the cache.
        mel: its frame rate is that of the arrays.
        fields: which of the arrays.

    Raises:
        InputError: less than half a minute of the target can be used; the message says why.
    """
    own = [clip for clip in clips if clip.speaker == target]
    features = clip_features(own, compute, settings, trainer, f"of {target}")
    ids = [clip.full_id for clip in own if clip.full_id in features]
    recordings = tuple(LongRecording(features, ids, field) for field in fields)
    seconds = len(recordings[0]) / mel.frame_rate
    if seconds < MINIMUM_SECONDS:
        left_out = "; ".join(features.failed.values())
        raise InputError(
            f"target {target} has {seconds:.1f} s of usable speech in {len(own)} clip(s); at least "
            f"{MINIMUM_SECONDS:.0f} s are needed, and three minutes are what the paper uses"
            + (f" (left out: {left_out})" if left_out else "")
        )
    return recordings


def speaker_recordings(
    clips: Sequence[Clip],
    compute: Callable[..., dict[str, np.ndarray]],
    settings: Mapping[str, Any],
    trainer: TrainerSettings,
    *,
    field: str,
    shortest: int,
    fewest: int = 2,
) -> dict[str, LongRecording]:
    """Compute (or find) the features of everybody's clips; one recording a speaker, in alphabetical order.

    Args:
        clips: of all speakers.
        compute: a function of a module, ``compute(clip=<fields of the clip>, **settings)``, that returns
            arrays by name, the time axis first.
        settings: further arguments, JSON-able; they decide, with the clips, what is found again.
        trainer: its directory holds the cache.
        field: which of the arrays.
        shortest: frames that a speaker must have for one crop.
        fewest: speakers that the system needs; 1 for one that can also be trained on a single target.

    Raises:
        InputError: fewer than ``fewest`` speakers have that many frames.
    """
    features = clip_features(clips, compute, settings, trainer, "of all voices")
    usable = [clip for clip in clips if clip.full_id in features]
    recordings = {
        speaker: LongRecording(features, [clip.full_id for clip in usable if clip.speaker == speaker], field)
        for speaker in sorted({clip.speaker for clip in usable})
    }
    long_enough = {name: found for name, found in recordings.items() if len(found) >= shortest}
    for name in recordings.keys() - long_enough.keys():
        warnings.warn(f"speaker {name} is left out: too little speech", LeftOutWarning, stacklevel=2)
    if len(long_enough) < fewest:
        needed = {1: "one speaker", 2: "two speakers"}.get(fewest, f"{fewest} speakers")
        raise InputError(
            f"a system of several voices needs at least {needed}; {len(long_enough)} of "
            f"{len({clip.speaker for clip in clips})} can be used"
        )
    return long_enough


def clip_features(
    clips: Sequence[Clip],
    compute: Callable[..., dict[str, np.ndarray]],
    settings: Mapping[str, Any],
    trainer: TrainerSettings,
    whose: str,
) -> ArrayCache:
    """Compute features of clips once and keep them in the training's cache; warns of what is left out.

    Raises:
        InputError: no clip can be used.
    """
    items = [
        CacheItem(clip.full_id, {"clip": asdict(clip), **settings})
        for clip in clips
        if clip.audio is not None
    ]
    described = [(clip.full_id, clip.sha256 or clip.audio, clip.start, clip.end) for clip in clips]
    key = content_key(f"{compute.__module__}.{compute.__qualname__}", described, settings, TARGET_DB)[:16]
    try:
        cache = build_cache(trainer.feature_folder, key, items, compute)
    except CacheError as error:
        raise InputError(f"no clip {whose} can be used for training: {error}") from None
    for name, reason in cache.failed.items():
        message = f"clip {name} is left out of the training {whose}: {reason}"
        warnings.warn(message, LeftOutWarning, stacklevel=2)
    return cache
