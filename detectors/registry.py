"""Detectors by name, loaded when first asked for; a package adds its own through the group
``doppelbench.detectors``."""

import difflib
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

from doppelbench.corpora.errors import DoppelbenchError

if TYPE_CHECKING:
    from doppelbench.detectors.detector import Detector

    DetectorClass = TypeVar("DetectorClass", bound=type[Detector])

GROUP = "doppelbench.detectors"
BUILT_IN = {
    "serra-statistics": "doppelbench.detectors.serra_statistics",
    "lfcc-gmm": "doppelbench.detectors.lfcc_gmm",
    "lfcc-lcnn": "doppelbench.detectors.lfcc_lcnn",
    "rawnet2": "doppelbench.detectors.rawnet2",
    "aasist": "doppelbench.detectors.aasist",
    "aasist-l": "doppelbench.detectors.aasist",
    "self-supervised": "doppelbench.detectors.self_supervised",
    "random": "doppelbench.detectors.trivial",
    "loudness-only": "doppelbench.detectors.trivial",
    "duration-only": "doppelbench.detectors.trivial",
    "leading-silence-only": "doppelbench.detectors.trivial",
    "bandwidth-only": "doppelbench.detectors.trivial",
    "meso-4": "doppelbench.detectors.mesonet",
    "mesoinception-4": "doppelbench.detectors.mesonet",
    "random-film": "doppelbench.detectors.trivial_film",
    "sharpness-only": "doppelbench.detectors.trivial_film",
    "motion-only": "doppelbench.detectors.trivial_film",
    "frozen-only": "doppelbench.detectors.trivial_film",
}
_registered: "dict[str, type[Detector]]" = {}


def register(detector: "DetectorClass") -> "DetectorClass":
    """Class decorator that makes a detector known by the name in its spec."""
    name = detector.spec.name
    known = _registered.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (
        detector.__module__,
        detector.__qualname__,
    ):
        raise DoppelbenchError(
            f"two detectors are called {name!r}: {known.__module__} and {detector.__module__}"
        )
    _registered[name] = detector
    return detector


def detector_names() -> list[str]:
    """Names of the built-in detectors and of those that installed packages add."""
    return [*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN)]


def find_detector(name: str) -> "type[Detector]":
    """Return the class of a detector.

    Raises:
        DoppelbenchError: no detector has this name; the message suggests the nearest.
    """
    if name not in _registered and name in BUILT_IN:
        import_module(BUILT_IN[name])
    if name not in _registered:
        for entry in entry_points(group=GROUP, name=name):
            _registered[name] = entry.load()
    if name not in _registered:
        near = difflib.get_close_matches(name, [*detector_names(), *_registered], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(detector_names())}"
        raise DoppelbenchError(f"there is no detector {name!r}{hint}")
    return _registered[name]
