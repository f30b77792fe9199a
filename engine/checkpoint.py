"""Checkpoints as one safetensors file: tensors in the body, everything else as tagged JSON in the header.

Nothing is ever unpickled, so that a checkpoint from elsewhere can do no more than be wrong. The nested
dictionary that Lightning makes (loops, optimiser states with integer keys, schedulers, tuples, callbacks)
comes back equal, type by type; what has no safe form is refused when writing, with its place named.
"""

import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doppelbench.engine.errors import CheckpointError
from doppelbench.engine.files import replacing

if TYPE_CHECKING:
    import torch

FORMAT = "doppelbench-checkpoint"
VERSION = "1"
TAG = "$"


def write_checkpoint(path: Path, state: Mapping[str, Any], note: Mapping[str, str] | None = None) -> None:
    """Write a nested dictionary of tensors and plain values as one file that appears whole or not at all.

    Args:
        path: the file; an existing one is replaced.
        state: dictionaries (any plain keys), lists, tuples, sets, tensors, arrays, numbers, strings, None.
        note: small strings for the header, readable without loading the tensors.

    Raises:
        CheckpointError: a value has no safe form; the message names its place.
    """
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    structure = _encode(state, "", tensors)
    metadata = {
        **(note or {}),
        "format": FORMAT,
        "version": VERSION,
        "structure": json.dumps(structure, separators=(",", ":"), allow_nan=False),
    }
    with replacing(path) as part:
        save_file(tensors, part, metadata=metadata)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`write_checkpoint` wrote; every tensor is on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, or no checkpoint of ours.
    """
    from safetensors import safe_open

    metadata = read_note(path)
    with safe_open(path, framework="pt", device="cpu") as file:
        structure = json.loads(metadata["structure"])
        state: dict[str, Any] = _decode(structure, file.get_tensor)
        return state


def read_note(path: Path) -> dict[str, str]:
    """Read the header's strings alone.

    Raises:
        CheckpointError: the file is missing, damaged, or no checkpoint of ours.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file ({error}); checkpoints in other formats are not read, because "
            "loading them could run code"
        ) from error
    if metadata.get("format") != FORMAT or "structure" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file but no training checkpoint of doppelbench")
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{path} is a checkpoint of format {metadata.get('version')}, this version reads {VERSION}"
        )
    return metadata


def _encode(value: Any, place: str, tensors: dict[str, "torch.Tensor"]) -> Any:
    import numpy as np
    import torch

    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if isinstance(value, torch.Tensor):
        kind = "parameter" if isinstance(value, torch.nn.Parameter) else "tensor"
        return {TAG: kind, "at": _store(value, place, tensors)}
    if isinstance(value, np.ndarray):
        return {TAG: "array", "at": _store(torch.from_numpy(np.array(value)), place, tensors)}
    if isinstance(value, np.generic):
        return _encode(value.item(), place, tensors)
    if isinstance(value, float):
        return value if math.isfinite(value) else {TAG: "float", "of": repr(value)}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return _encode_mapping(value, place, tensors)
    if isinstance(value, list | tuple | set | frozenset):
        items = [_encode(item, f"{place}/{index}", tensors) for index, item in enumerate(value)]
        if isinstance(value, list):
            return items
        return {TAG: "tuple" if isinstance(value, tuple) else "set", "of": items}
    if isinstance(value, Path):
        return {TAG: "path", "of": str(value)}
    if isinstance(value, torch.dtype | torch.device):
        return {TAG: type(value).__name__, "of": str(value).removeprefix("torch.")}
    raise CheckpointError(
        f"a checkpoint cannot hold {type(value).__name__} at {place or '/'}; keep tensors, numbers, "
        "strings and plain containers of them"
    )


def _encode_mapping(value: Mapping[Any, Any], place: str, tensors: dict[str, "torch.Tensor"]) -> Any:
    plain = all(isinstance(key, str) for key in value) and TAG not in value
    ordered = isinstance(value, OrderedDict)
    if plain and not ordered:
        return {key: _encode(item, f"{place}/{key}", tensors) for key, item in value.items()}
    items = [
        [_encode(key, place, tensors), _encode(item, f"{place}/{key}", tensors)]
        for key, item in value.items()
    ]
    if not ordered:
        return {TAG: "dict", "of": items}
    # Modules (spectral normalisation is one) read versions of their own state from this attribute.
    versions = getattr(value, "_metadata", None)
    return {TAG: "ordered", "of": items, "metadata": _encode(versions, f"{place}._metadata", tensors)}


def _store(tensor: "torch.Tensor", place: str, tensors: dict[str, "torch.Tensor"]) -> str:
    import torch

    if tensor.layout != torch.strided:
        raise CheckpointError(f"a checkpoint cannot hold a sparse tensor at {place}")
    name = place.lstrip("/") or "value"
    while name in tensors:
        name += "'"
    # A clone, because tied weights share memory and safetensors refuses that.
    tensors[name] = tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
    return name


def _decode(value: Any, tensor: Any) -> Any:
    import torch

    if isinstance(value, list):
        return [_decode(item, tensor) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _decode(item, tensor) for key, item in value.items()}
    kind = value[TAG]
    if kind == "tensor":
        return tensor(value["at"])
    if kind == "parameter":
        return torch.nn.Parameter(tensor(value["at"]))
    if kind == "array":
        return tensor(value["at"]).numpy()
    if kind == "float":
        return float(value["of"])
    if kind == "path":
        return Path(value["of"])
    if kind == "device":
        return torch.device(value["of"])
    if kind == "dtype":
        return _dtype(value["of"])
    if kind in ("dict", "ordered"):
        pairs = ((_decode(key, tensor), _decode(item, tensor)) for key, item in value["of"])
        if kind == "dict":
            return dict(pairs)
        ordered = OrderedDict(pairs)
        versions = _decode(value["metadata"], tensor)
        if versions is not None:
            ordered._metadata = versions  # type: ignore[attr-defined]
        return ordered
    if kind in ("set", "tuple"):
        items = [_decode(item, tensor) for item in value["of"]]
        return set(items) if kind == "set" else tuple(items)
    raise CheckpointError(f"a checkpoint holds a value of the unknown kind {kind!r}")


def _dtype(name: str) -> "torch.dtype":
    import torch

    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise CheckpointError(f"a checkpoint names the unknown type {name}")
    return found
