"""What the check of a submission finds, and how text of strangers is shown."""

import unicodedata
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
SHOWN = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know of a submission.

    Attributes:
        severity: an ``error`` keeps an item, or the whole submission, from being scored; a ``warning`` costs
            points or trust; a ``note`` should be known.
        item: a trial, a file, or a field of the manifest; ``submission`` for the whole.
        code: what kind it is of, one word for programs.
        what: is wrong, in a sentence.
        fix: what to do about it.
    """

    severity: Severity
    item: str
    code: str
    what: str
    fix: str = ""


def sorted_findings(findings: list[Finding]) -> list[Finding]:
    """Errors first; equal findings once."""
    return sorted(set(findings), key=lambda one: (SEVERITIES.index(one.severity), one.item, one.code))


def printable(text: str, limit: int = SHOWN) -> str:
    """Text of a stranger on one line, without anything that a terminal would obey, cut to ``limit``."""
    cut = text[:limit] + ("…" if len(text) > limit else "")
    return "".join(character if is_plain(character) else f"\\u{ord(character):04x}" for character in cut)


def is_plain(character: str) -> bool:
    """Whether a character is neither a control, a surrogate, nor one that turns the direction of text."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return False
    return unicodedata.bidirectional(character) not in (
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
    )  # fmt: skip
