"""Options of the verbs of detection, read and refused in one sentence."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from doppelbench.benchmark.config import ConfigError, parse_options, split_metrics
from doppelbench.benchmark.detection_recipe import DetectorChoice


def one_of(option: str, value: str, allowed: Sequence[str]) -> str:
    """Refuse a word that an option does not know."""
    if value not in allowed:
        raise ConfigError(f"{option} is one of {', '.join(allowed)}, not {value!r}")
    return value


def read_detectors(text: str, preset: str) -> tuple[DetectorChoice, ...]:
    """Read detectors between commas, each perhaps with settings: ``lfcc-gmm:components=4,iterations=2``."""
    chosen = []
    for part in split_metrics(text):
        name, _, settings = part.partition(":")
        values: dict[str, Any] = parse_options(settings.split(",")) if settings else {}
        own = str(values.pop("preset", preset))
        if name:
            chosen.append(DetectorChoice(name=name.strip(), preset=own, settings=values))
    if not chosen:
        raise ConfigError("name a detector; see doppelbench ls detectors")
    return tuple(chosen)


def read_folders(words: Iterable[str]) -> dict[str, Path]:
    """Read ``<generator>=<folder>`` words; a folder alone gives its own name.

    Raises:
        ConfigError: two of one name.
    """
    folders: dict[str, Path] = {}
    for word in words:
        name, equals, place = word.partition("=")
        folder = Path(place if equals else word)
        label = name if equals and name else folder.resolve().name
        if label in folders:
            raise ConfigError(f"two folders of fakes are called {label}; write <generator>=<folder>")
        folders[label] = folder
    return folders


def read_unseen(text: str) -> tuple[str, ...] | int:
    """Read how many people are unseen, or who they are."""
    if text.strip().isdigit():
        return int(text)
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_clips(text: str | None) -> tuple[int, int, int] | None:
    """Read ``training,development,test`` as numbers; None stays None."""
    if text is None:
        return None
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 3 or not all(part.isdigit() for part in numbers) or "0" in (numbers[0], numbers[2]):
        raise ConfigError(f"--clips {text!r}: expected training,development,test, such as 200,20,100")
    training, development, test = map(int, numbers)
    return training, development, test


def split_specs(text: str | None) -> tuple[str, ...]:
    """Degradations between commas, whose own parameters also have commas between them."""
    return () if text is None else tuple(dict.fromkeys(part for part in split_metrics(text) if part))
