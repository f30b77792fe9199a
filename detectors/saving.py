"""How detectors are saved: tensors as safetensors, everything else as JSON, nothing pickled."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from doppelbench.corpora.errors import InputError
from doppelbench.engine.saving import CONFIG_FILE, WEIGHTS_FILE, write_trained


def save_detector(
    directory: Path, name: str, settings: Any, tensors: Mapping[str, Tensor], **more: Any
) -> None:
    """Write the files of a detector; each appears whole or not at all.

    Args:
        directory: is made when it is not there.
        name: of the detector's spec.
        settings: a dataclass.
        tensors: weights by name.
        more: whatever else JSON can hold.
    """
    write_trained(directory, tensors, {"detector": name, "settings": asdict(settings), **more})


@contextlib.contextmanager
def reading_saved(directory: Path, name: str) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Give configuration and tensors of a saved detector.

    Whatever is wrong with them, also in the block, becomes one sentence that names the folder.

    Raises:
        InputError: a file is missing, damaged, not finite, or of another detector.
    """
    try:
        config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        if config["detector"] != name:
            raise ValueError(f"it is a {config['detector']}")
        tensors = load_file(directory / WEIGHTS_FILE)
        for key, value in tensors.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise ValueError(f"{key} has values that are not finite")
        yield config, tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{directory}: no trained {name} that can be read ({reason})") from None
