"""The voices of the talkers: which espeak-ng voice each one has, and how fast and how high it speaks."""

from dataclasses import dataclass
from typing import Literal

from doppelbench.corpora.errors import InputError


@dataclass(frozen=True, slots=True)
class Voice:
    """One person's voice.

    Attributes:
        name: the speaker's name in the corpus.
        voice: espeak-ng's language and variant.
        gender: how the voice sounds, and how the face is drawn.
        role: ``target`` (much training speech), ``source`` (never converted to, little training speech) or
            ``extra`` (on request only, as much training speech as a target).
        rate: words per minute.
        pitch: base pitch, 0 to 99; 50 is the variant's own.
        range: range of pitch, 0 to 99; 0 is monotone.
    """

    name: str
    voice: str
    gender: Literal["female", "male"]
    role: Literal["target", "source", "extra"]
    rate: int = 140
    pitch: int = 50
    range: int = 50


VOICES: tuple[Voice, ...] = (
    Voice("ada", "en-us+f5", "female", "target"),
    Voice("bruno", "en-us+edward", "male", "target"),
    Voice("carla", "en-us+f3", "female", "target"),
    Voice("dimitri", "en-us+announcer", "male", "target"),
    Voice("edith", "en-us+f2", "female", "source"),
    Voice("felix", "en-us+adam", "male", "source"),
    Voice("greta", "en-us+klatt4", "female", "source"),
    Voice("hugo", "en-us+Henrique", "male", "source"),
)


def voice_of(name: str) -> Voice:
    """Return the voice of a speaker.

    Raises:
        InputError: there is no such speaker.
    """
    for voice in VOICES:
        if voice.name == name:
            return voice
    known = ", ".join(voice.name for voice in VOICES)
    raise InputError(f"talkers: there is no speaker {name!r}; choose from {known}")


def default_speakers() -> tuple[str, ...]:
    """Return the names of the targets and of the source-only speakers."""
    return tuple(voice.name for voice in VOICES if voice.role != "extra")
