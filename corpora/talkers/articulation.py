"""From phoneme timing to the motion of the mouth: visemes with coarticulation.

Every phoneme has a target for each articulator and a dominance that rises and falls around it; the position
at a moment is the mean of all targets weighted by their dominance (M. Cohen and D. Massaro, "Modeling
coarticulation in synthetic visual speech", 1993). So a consonant that does not care for the lips takes their
shape from its neighbours, while p, b, m, f and v close the mouth whatever stands beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Dominance falls to 1/e at this distance from the middle of a phoneme: a share of its duration and a
# constant.
SPREAD_SHARE, SPREAD_SECONDS = 0.3, 0.03
CORE_SHARE = 0.2
# The lips are together in the first part of these; the rest is the release.
RELEASED, CLOSED_SHARE = ("p", "b"), 0.65
STRESSED, UNSTRESSED = 1.08, 0.85


@dataclass(frozen=True, slots=True)
class Viseme:
    """Targets of the articulators, and how strongly they are sought.

    ``opening`` 0 (closed) to 1; ``width`` -1 (rounded) to 1 (spread); ``teeth`` and ``tongue`` 0 (hidden) to
    1 (teeth bared, tongue tip at the upper teeth); ``bite`` 0 to 1 (lower lip at the upper teeth). ``hold``
    is the dominance for opening and bite, ``shape`` that for width.
    """

    opening: float
    width: float
    teeth: float = 0.3
    tongue: float = 0.1
    bite: float = 0.0
    hold: float = 1.0
    shape: float = 1.0


VISEMES: dict[str, Viseme] = {
    "rest": Viseme(0.02, 0.0, teeth=0.0, tongue=0.0, hold=1.5, shape=0.6),
    # Below zero, so that lips between open vowels meet in full.
    "closed": Viseme(-0.05, 0.0, teeth=0.0, tongue=0.0, hold=30.0, shape=0.3),
    "bite": Viseme(0.1, 0.1, teeth=1.0, tongue=0.0, bite=1.0, hold=6.0, shape=0.5),
    "dental": Viseme(0.24, 0.1, teeth=0.5, tongue=1.0, hold=1.5, shape=0.4),
    "alveolar": Viseme(0.24, 0.15, teeth=0.5, tongue=0.7, hold=1.0, shape=0.3),
    "sibilant": Viseme(0.13, 0.4, teeth=1.0, tongue=0.1, hold=2.0, shape=0.8),
    "postalveolar": Viseme(0.22, -0.6, teeth=0.9, tongue=0.0, hold=2.0, shape=2.0),
    "velar": Viseme(0.3, 0.1, hold=0.6, shape=0.2),
    "breath": Viseme(0.35, 0.0, hold=0.3, shape=0.1),
    "r": Viseme(0.25, -0.4, tongue=0.2, hold=1.2, shape=1.2),
    "w": Viseme(0.12, -1.0, teeth=0.0, hold=2.5, shape=3.0),
    "y": Viseme(0.22, 0.5, teeth=0.6, hold=1.0, shape=0.8),
    "ee": Viseme(0.28, 0.9, teeth=0.8, tongue=0.3, shape=1.3),
    "ih": Viseme(0.36, 0.45, teeth=0.6, tongue=0.3),
    "eh": Viseme(0.56, 0.4, teeth=0.5, tongue=0.2, hold=1.2),
    "ae": Viseme(0.8, 0.45, teeth=0.5, tongue=0.1, hold=1.5),
    "ah": Viseme(1.0, 0.0, tongue=0.0, hold=1.6),
    "uh": Viseme(0.55, 0.0),
    "schwa": Viseme(0.36, 0.0, hold=0.5, shape=0.4),
    "er": Viseme(0.36, -0.35, tongue=0.2, shape=1.2),
    "aw": Viseme(0.75, -0.5, teeth=0.1, hold=1.4, shape=1.6),
    "oo": Viseme(0.2, -0.95, teeth=0.0, hold=1.4, shape=2.0),
    "oh": Viseme(0.5, -0.75, teeth=0.0, hold=1.3, shape=1.8),
}

# espeak-ng's English phonemes without stress marks; a diphthong is two visemes.
PHONEMES: dict[str, tuple[str, ...]] = {
    "_": ("rest",),
    **dict.fromkeys(("p", "b", "m", "m-"), ("closed",)),
    **dict.fromkeys(("f", "v"), ("bite",)),
    **dict.fromkeys(("T", "D"), ("dental",)),
    **dict.fromkeys(("t", "d", "n", "l", "t#", "t2", "d#", "n-", "l-", "L", "l#", "t-"), ("alveolar",)),
    **dict.fromkeys(("s", "z", "z#"), ("sibilant",)),
    **dict.fromkeys(("S", "Z", "tS", "dZ"), ("postalveolar",)),
    **dict.fromkeys(("k", "g", "N", "x", "C"), ("velar",)),
    **dict.fromkeys(("h", "?"), ("breath",)),
    **dict.fromkeys(("r", "r-", "R", "*"), ("r",)),
    "w": ("w",),
    "j": ("y",),
    **dict.fromkeys(("i:", "i", "i2"), ("ee",)),
    **dict.fromkeys(("I", "I2", "I#"), ("ih",)),
    **dict.fromkeys(("E", "E2", "E#", "e"), ("eh",)),
    **dict.fromkeys(("a", "aa", "a2"), ("ae",)),
    **dict.fromkeys(("A:", "A", "A#", "0", "0#", "02"), ("ah",)),
    **dict.fromkeys(("V", "a#"), ("uh",)),
    **dict.fromkeys(("@", "@2", "@5", "@-"), ("schwa",)),
    **dict.fromkeys(("3", "3:", "@r"), ("er",)),
    **dict.fromkeys(("O:", "O", "O2"), ("aw",)),
    **dict.fromkeys(("u:", "u"), ("oo",)),
    "U": ("oh",),
    "@L": ("schwa", "alveolar"),
    "aI": ("ah", "ih"),
    "aI@": ("ah", "schwa"),
    "aI3": ("ah", "er"),
    "aU": ("ah", "oo"),
    "aU@": ("ah", "er"),
    "eI": ("eh", "ee"),
    "OI": ("aw", "ih"),
    "oU": ("oh", "oo"),
    "A@": ("ah", "er"),
    "O@": ("aw", "er"),
    "o@": ("aw", "er"),
    "e@": ("eh", "er"),
    "i@": ("ee", "schwa"),
    "i@3": ("ee", "er"),
    "U@": ("oh", "er"),
    "IR": ("er",),
    "VR": ("er",),
}
STRESS_MARKS = "',%=|"


def visemes_of(phoneme: str) -> tuple[str, ...]:
    """Return the visemes of one of espeak-ng's mnemonics; an unknown one falls back on its first letters."""
    bare = phoneme.lstrip(STRESS_MARKS)
    while bare:
        if bare in PHONEMES:
            return PHONEMES[bare]
        bare = bare[:-1]
    return ("schwa",)


@dataclass(frozen=True, slots=True)
class Motion:
    """Positions of the articulators at each frame, arrays of shape (frames,); see :class:`Viseme`.

    ``jaw`` follows ``opening`` without the closures of the lips; ``stress`` is 1 in a stressed vowel.
    """

    opening: np.ndarray
    width: np.ndarray
    teeth: np.ndarray
    tongue: np.ndarray
    bite: np.ndarray
    jaw: np.ndarray
    stress: np.ndarray


def articulate(phonemes: Sequence[tuple[str, float, float]], times: np.ndarray) -> Motion:
    """Move the articulators.

    Args:
        phonemes: (mnemonic, first second, last second), in order.
        times: moments in seconds, shape (frames,).
    """
    visemes: list[Viseme] = []
    gains: list[float] = []
    spans: list[tuple[float, float]] = []
    stressed: list[float] = []
    for name, start, end in phonemes:
        parts = visemes_of(name)
        if name in RELEASED:
            end = start + CLOSED_SHARE * (end - start)
        step = (end - start) / len(parts)
        for index, part in enumerate(parts):
            visemes.append(VISEMES[part])
            gains.append(STRESSED if "'" in name else UNSTRESSED)
            stressed.append(float("'" in name))
            spans.append((start + index * step, start + (index + 1) * step))
    first, last = np.array(spans).T
    duration = last - first
    centre = (first + last) / 2
    is_rest = np.array([viseme is VISEMES["rest"] for viseme in visemes])
    core = np.where(is_rest, np.maximum(duration / 2 - SPREAD_SECONDS, 0), CORE_SHARE * duration)
    spread = SPREAD_SECONDS + SPREAD_SHARE * np.minimum(duration, 0.3)
    distance = np.maximum(np.abs(times[:, None] - centre) - core, 0)
    dominance = np.exp(-np.square(distance / spread)) + 1e-9

    def blend(targets: np.ndarray, strength: np.ndarray) -> np.ndarray:
        weights = dominance * strength
        return (weights * targets).sum(axis=1) / weights.sum(axis=1)

    def target(name: str) -> np.ndarray:
        return np.array([getattr(viseme, name) for viseme in visemes])

    hold, shape = target("hold"), target("shape")
    even = np.ones_like(hold)
    wanted = target("opening") * np.array(gains)
    lips = hold > VISEMES["w"].hold
    jaw = np.where(lips, 0.15, wanted)
    return Motion(
        opening=np.clip(blend(wanted, hold), 0, 1),
        width=blend(target("width"), shape),
        teeth=blend(target("teeth"), even),
        tongue=blend(target("tongue"), even),
        bite=blend(target("bite"), hold),
        jaw=np.clip(blend(jaw, np.minimum(hold, VISEMES["ah"].hold)), 0, 1),
        stress=blend(np.array(stressed), even),
    )
