"""What the workers of the cache's tests compute."""

import os

import numpy as np


def features(seed: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "mel": random.normal(size=(length, 80)).astype(np.float16),
        "voiced": random.random(length) > 0.5,
        "video": random.integers(0, 256, (length, 4, 4, 3)).astype(np.uint8),
    }


def sometimes(seed: int, how: str = "") -> dict[str, np.ndarray]:
    if how == "crash":
        os.abort()
    if how == "raise":
        raise ValueError("cannot be read")
    if how == "nan":
        return {"mel": np.full(3, np.nan, np.float32)}
    if how == "object":
        return {"mel": np.array([object()])}
    return {"mel": np.full(3, seed, np.float32)}


def inconsistent(dtype: str, name: str = "mel") -> dict[str, np.ndarray]:
    return {name: np.zeros(2, dtype)}
