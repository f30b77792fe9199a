"""Systems by name, loaded when first asked for; a package adds its own through the group
``doppelbench.systems``."""

from typing import TYPE_CHECKING, TypeVar

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.engine.registry import Registry

if TYPE_CHECKING:
    from doppelbench.baselines.system import System

    SystemClass = TypeVar("SystemClass", bound=type[System])

BUILT_IN = {
    "natural": "doppelbench.baselines.reference_rows",
    "source": "doppelbench.baselines.reference_rows",
    "copy-synthesis": "doppelbench.baselines.reference_rows",
    "source-copy-synthesis": "doppelbench.baselines.reference_rows",
    "random-target": "doppelbench.baselines.reference_rows",
    "natural-video": "doppelbench.baselines.video_reference_rows",
    "codec-video": "doppelbench.baselines.video_reference_rows",
    "shifted-video": "doppelbench.baselines.video_reference_rows",
    "shuffled-video": "doppelbench.baselines.video_reference_rows",
    "still-frame": "doppelbench.baselines.video_reference_rows",
    "mean-frame": "doppelbench.baselines.video_reference_rows",
    "natural-speech": "doppelbench.baselines.speech_reference_rows",
    "vocoder-speech": "doppelbench.baselines.speech_reference_rows",
    "shuffled-speech": "doppelbench.baselines.speech_reference_rows",
    "energy-speech": "doppelbench.baselines.speech_reference_rows",
    "exemplar": "doppelbench.baselines.exemplar",
    "exemplar-av": "doppelbench.baselines.exemplar_av",
    "chou-2018": "doppelbench.baselines.chou_2018",
    "chou-2019": "doppelbench.baselines.chou_2019",
    "autovc": "doppelbench.baselines.autovc",
    "blow": "doppelbench.baselines.blow",
    "pca-projection": "doppelbench.baselines.pca_projection",
    "stargan-vc": "doppelbench.baselines.stargan_vc",
    "stargan-vc2": "doppelbench.baselines.stargan_vc2",
    "vq-vae": "doppelbench.baselines.vq_vae",
    "speech2vid": "doppelbench.baselines.speech2vid",
    "lipgan": "doppelbench.baselines.lipgan",
    "v2a-melspec": "doppelbench.baselines.video_to_speech.v2a_melspec",
    "v2a-wavegan": "doppelbench.baselines.video_to_speech.v2a_wavegan",
}
SYSTEMS: "Registry[type[System]]" = Registry("system", "doppelbench.systems", BUILT_IN, DoppelbenchError)


def register(system: "SystemClass") -> "SystemClass":
    """Class decorator that makes a system known by the name in its spec."""
    SYSTEMS.register(system)
    return system


def system_names() -> list[str]:
    """Names of the built-in systems and of those that installed packages add."""
    return SYSTEMS.names()


def find_system(name: str) -> "type[System]":
    """Return the class of a system.

    Raises:
        DoppelbenchError: no system has this name; the message suggests the nearest.
    """
    return SYSTEMS.find(name)
