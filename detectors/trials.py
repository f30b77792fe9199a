"""Trials of a real-vs-fake test: what was scored, what it truly is, and the groups it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from doppelbench.corpora.errors import InputError

GROUPS = ("attack", "speaker", "codec")
# Words of public protocols, in lower case. Numbers are no labels: 1 is bona fide in some projects, fake in
# others.
BONAFIDE_WORDS = frozenset({"bonafide", "bona-fide", "bona_fide", "genuine", "human", "real"})
SPOOF_WORDS = frozenset({"spoof", "spoofed", "fake", "deepfake"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Scored trials in the order of their protocol.

    Attributes:
        ids: name of each trial, length n.
        scores: higher is more likely bona fide, shape (n,), finite.
        bonafide: whether each trial is bona fide, shape (n,).
        groups: names of each trial's ``attack``, ``speaker`` or ``codec``, each of length n, where they are
            known; an attack is empty for bona fide trials.
        source: file or files the trials came from, for messages.
        notes: what was found on reading that a reader of the figures should know.

    Raises:
        InputError: lengths differ, there are no trials, or a score is NaN or infinite.
    """

    ids: Sequence[str]
    scores: np.ndarray
    bonafide: np.ndarray
    groups: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "the trials"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.scores), len(self.bonafide), *map(len, self.groups.values())}
        if len(lengths) != 1:
            raise InputError(f"{self.source}: ids, scores, labels and groups have lengths {lengths}")
        if not len(self.ids):
            raise InputError(f"{self.source}: there are no trials")
        unknown = set(self.groups) - set(GROUPS)
        if unknown:
            raise InputError(f"{self.source}: group {min(unknown)!r} is not one of {', '.join(GROUPS)}")
        finite = np.isfinite(self.scores)
        if not finite.all():
            place = int(np.argmin(finite))
            raise InputError(
                f"{self.source}: the score of trial {self.ids[place]!r} is {self.scores[place]}; scores "
                "must be finite numbers"
            )


def is_bonafide(label: str, labels: Mapping[str, str] | None = None) -> bool | None:
    """Whether a label means bona fide; None when it is not known, so that nothing falls through to "spoof".

    Args:
        label: as it stands in a file; case does not matter.
        labels: further labels and what they mean, ``bonafide`` or ``spoof``, such as ``{"1": "bonafide"}``.

    Raises:
        InputError: a meaning in ``labels`` is neither of the two.
    """
    word = label.strip()
    if labels and word in labels:
        word = labels[word]
        if word.lower() not in BONAFIDE_WORDS | SPOOF_WORDS:
            raise InputError(f"label {label!r} is said to mean {word!r}; it must be bonafide or spoof")
    word = word.lower()
    if word in BONAFIDE_WORDS:
        return True
    return False if word in SPOOF_WORDS else None
