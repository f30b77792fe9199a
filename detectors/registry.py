"""Detectors by name, loaded when first asked for; a package adds its own through the group
``doppelbench.detectors``."""

from typing import TYPE_CHECKING, TypeVar

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.engine.registry import Registry

if TYPE_CHECKING:
    from doppelbench.detectors.detector import Detector

    DetectorClass = TypeVar("DetectorClass", bound=type[Detector])

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
DETECTORS: "Registry[type[Detector]]" = Registry(
    "detector", "doppelbench.detectors", BUILT_IN, DoppelbenchError
)


def register(detector: "DetectorClass") -> "DetectorClass":
    """Class decorator that makes a detector known by the name in its spec."""
    DETECTORS.register(detector)
    return detector


def detector_names() -> list[str]:
    """Names of the built-in detectors and of those that installed packages add."""
    return DETECTORS.names()


def find_detector(name: str) -> "type[Detector]":
    """Return the class of a detector.

    Raises:
        DoppelbenchError: no detector has this name; the message suggests the nearest.
    """
    return DETECTORS.find(name)
