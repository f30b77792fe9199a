"""Text normalisers; the same one is applied to what should be said and to what was recognised.

Each normaliser first brings Unicode to its composed compatibility form (NFKC) and runs of white space to
    one space: a
decomposed accent is no error, nor is a tab.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from doppelbench.corpora.errors import DependencyError, InputError

NAMES = ("whisper-english", "basic", "none")


@dataclass(frozen=True, slots=True)
class Normalizer:
    """A text normaliser with the name and version that go into signatures."""

    signature: str
    function: Callable[[str], str]

    def __call__(self, text: str) -> str:
        """Return the normalised text, words apart by one space."""
        return composed(self.function(composed(text)))


def composed(text: str) -> str:
    """NFKC, with runs of white space as one space and none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def normalizer(name: str) -> Normalizer:
    """Return a normaliser by name.

    Args:
        name: ``whisper-english`` (contractions, numbers, British spelling, fillers; Radford et al. 2022),
            ``basic`` (lower case, no punctuation; any language) or ``none``. The first makes one word of the
            letter "o" and of "zero", so spelt commands such as those of GRID take ``basic``.

    Raises:
        InputError: for an unknown name.
    """
    if name == "none":
        return Normalizer("none", str)
    if name not in NAMES:
        raise InputError(f"there is no normaliser '{name}'; known are {', '.join(NAMES)}")
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise DependencyError(
            f"the normaliser {name} needs whisper_normalizer ({error}); pip install whisper_normalizer"
        ) from None
    function = EnglishTextNormalizer() if name == "whisper-english" else BasicTextNormalizer()
    return Normalizer(f"{name}-{metadata.version('whisper_normalizer')}", function)
