"""Trained networks on disk: tensors as safetensors, everything else as JSON, nothing pickled."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from doppelbench.engine.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "config.json"

Settings = TypeVar("Settings")


def write_trained(directory: Path, tensors: "Mapping[str, Tensor]", config: Mapping[str, Any]) -> None:
    """Write ``weights.safetensors`` and ``config.json``; each appears whole or not at all.

    Args:
        directory: is made when it is not there.
        tensors: weights by name, on any device.
        config: whatever JSON can hold.
    """
    from safetensors.torch import save

    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(directory / WEIGHTS_FILE, save(held))
    write_bytes(directory / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True).encode())


def settings_from_dict(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Rebuild a (nested) settings dataclass from JSON; lists become tuples.

    Raises:
        ValueError: there is a key that the dataclass does not have.
    """
    hints = get_type_hints(kind)
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{kind.__name__} has no setting {', '.join(unknown)}")
    arguments = {
        name: settings_from_dict(hints[name], value) if is_dataclass(hints[name]) else _tuples(value)
        for name, value in values.items()
    }
    return kind(**arguments)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
