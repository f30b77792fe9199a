"""Systems by name, loaded when first asked for; a package adds its own through the group
``doppelbench.systems``."""

import difflib
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

from doppelbench.corpora.errors import DoppelbenchError

if TYPE_CHECKING:
    from doppelbench.baselines.system import System

    SystemClass = TypeVar("SystemClass", bound=type[System])

GROUP = "doppelbench.systems"
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
_registered: "dict[str, type[System]]" = {}


def register(system: "SystemClass") -> "SystemClass":
    """Class decorator that makes a system known by the name in its spec."""
    name = system.spec.name
    known = _registered.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (
        system.__module__,
        system.__qualname__,
    ):
        raise DoppelbenchError(f"two systems are called {name!r}: {known.__module__} and {system.__module__}")
    _registered[name] = system
    return system


def system_names() -> list[str]:
    """Names of the built-in systems and of those that installed packages add."""
    return [*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN)]


def find_system(name: str) -> "type[System]":
    """Return the class of a system.

    Raises:
        DoppelbenchError: no system has this name; the message suggests the nearest.
    """
    if name not in _registered and name in BUILT_IN:
        import_module(BUILT_IN[name])
    if name not in _registered:
        for entry in entry_points(group=GROUP, name=name):
            _registered[name] = entry.load()
    if name not in _registered:
        near = difflib.get_close_matches(name, [*system_names(), *_registered], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(system_names())}"
        raise DoppelbenchError(f"there is no system {name!r}{hint}")
    return _registered[name]
