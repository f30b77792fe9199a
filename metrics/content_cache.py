"""A cache for what is costly to compute from a signal, by the content of the signal.

A board compares many outputs with one recording, and several metrics ask the same of one output.
"""

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import numpy as np

Value = TypeVar("Value")


def cached_by_content(
    size: int,
) -> Callable[[Callable[[np.ndarray], Value]], Callable[[np.ndarray], Value]]:
    """Keep the last ``size`` results of a pure function of one array; of the arrays only their hash is kept.

    The results are handed out again and must not be changed. What raises is not kept.
    """

    def decorate(function: Callable[[np.ndarray], Value]) -> Callable[[np.ndarray], Value]:
        kept: dict[bytes, Value] = {}

        @wraps(function)
        def cached(samples: np.ndarray) -> Value:
            described = f"{samples.dtype.str}{samples.shape}".encode()
            key = hashlib.sha256(described + np.ascontiguousarray(samples).tobytes()).digest()
            value = kept.pop(key) if key in kept else function(samples)
            kept[key] = value
            if len(kept) > size:
                del kept[next(iter(kept))]
            return value

        return cached

    return decorate
