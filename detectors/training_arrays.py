"""Clips of both classes as arrays that a detector is trained on, computed once and mapped into memory."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, LeftOutWarning, MediaError
from doppelbench.engine.cache import ArrayCache, CacheItem, build_cache
from doppelbench.engine.errors import CacheError
from doppelbench.engine.hashing import content_key
from doppelbench.engine.trainer import TrainerSettings

CLASSES = ("bona fide", "spoofed")
Media = Literal["audio", "video"]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingArrays:
    """What a detector is given of the clips of both classes.

    Attributes:
        bonafide: one array a clip: float32 samples of shape (n,), or uint8 faces of shape (n, picture,
            picture, 3).
        spoof: likewise.
        key: names the content.
    """

    bonafide: Sequence[np.ndarray]
    spoof: Sequence[np.ndarray]
    key: str


def check_classes(bonafide: Sequence[Clip], spoof: Sequence[Clip], media: Media = "audio") -> None:
    """Refuse classes that cannot be told apart by their sound or by their pictures.

    Raises:
        InputError: a class is empty, or a recording is in both.
    """
    for what, clips in zip(CLASSES, (bonafide, spoof), strict=True):
        if not clips:
            raise InputError(f"a detector needs bona fide and spoofed clips; there is no {what} one")
    places = [{(getattr(clip, media), clip.start, clip.end) for clip in side} for side in (bonafide, spoof)]
    both = sorted(str(place[0]) for place in places[0] & places[1] if place[0] is not None)
    if both:
        raise InputError(f"{both[0]}: is given as bona fide and as spoof")


def usable_values(clips: Sequence[Clip], what: str, read: Callable[[Clip], float]) -> list[float]:
    """A number of every clip of a class that can be read; the others are left out with a warning.

    Raises:
        InputError: no clip is left.
    """
    found = []
    for clip in clips:
        try:
            found.append(read(clip))
        except MediaError as error:
            message = f"{what} clip {clip.full_id} is left out of the training: {error.reason}"
            warnings.warn(message, LeftOutWarning, stacklevel=3)
    if not found:
        raise InputError(f"a detector needs bona fide and spoofed clips; no {what} one can be used")
    return found


def training_arrays(
    bonafide: Sequence[Clip],
    spoof: Sequence[Clip],
    compute: Callable[..., dict[str, np.ndarray]],
    settings: Mapping[str, Any],
    trainer: TrainerSettings,
    *,
    field: str,
    media: Media,
    kind: Sequence[Any],
    rules: Sequence[Any] = (),
) -> tuple[TrainingArrays, dict[str, ArrayCache]]:
    """Compute (or find) arrays of the clips of both classes under the directory of a training.

    Args:
        bonafide: real clips.
        spoof: fakes; a clip of either class that cannot be used is left out with a warning.
        compute: a function of a module, ``compute(clip=<fields of the clip>, settings=settings)``, that
            returns arrays by name.
        settings: JSON-able; they decide, with the clips, what is found again.
        trainer: says where the cache is.
        field: which of the arrays is trained on.
        media: what of a clip is used.
        kind: names what is computed, and its version.
        rules: what else decides the arrays.

    Returns:
        The arrays, and everything that was computed by class.

    Raises:
        InputError: a class has no clip that can be used, or a recording is in both.
    """
    check_classes(bonafide, spoof, media)
    caches, sides = {}, []
    for what, clips in zip(CLASSES, (bonafide, spoof), strict=True):
        given = dict(settings)
        items = [CacheItem(clip.full_id, {"clip": asdict(clip), "settings": given}) for clip in clips]
        described = [
            (clip.speaker, clip.id, clip.sha256 or getattr(clip, media), clip.start, clip.end)
            for clip in clips
        ]
        key = content_key(*kind, what, described, settings, *rules)[:16]
        try:
            cache = build_cache(trainer.feature_folder, key, items, compute)
        except CacheError as error:
            raise InputError(f"no {what} clip can be used for training: {error}") from None
        for name, reason in cache.failed.items():
            message = f"{what} clip {name} is left out of the training: {reason}"
            warnings.warn(message, LeftOutWarning, stacklevel=3)
        caches[what] = cache
        sides.append([cache[clip.full_id][field] for clip in clips if clip.full_id in cache])
    return TrainingArrays(sides[0], sides[1], "|".join(cache.key for cache in caches.values())), caches
