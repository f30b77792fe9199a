"""Small results with planted figures."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from doppelbench.leaderboards.result import Result, StoredResult, SystemItems, parse_result, with_items


def figure(
    value: float | None, half: float | None = 1.0, *, n: int = 20, expected: int = 20
) -> dict[str, Any]:
    """Fields of a figure of the metric ``score``."""
    bounds = (None, None) if value is None or half is None else (value - half, value + half)
    return {
        "metric": "score",
        "value": value,
        "low": bounds[0],
        "high": bounds[1],
        "n": n,
        "expected": expected,
    }


def system(key: str, *figures: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Fields of a system."""
    return {"key": key, "figures": [dict(one) for one in figures], **more}


def content(systems: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Fields of a result."""
    return {
        "schema": 1,
        "name": "made",
        "created": "2026-01-01T00:00:00+00:00",
        "track": "voice-conversion",
        "corpus": {"label": "talkers", "hash": "a" * 16},
        "trials": {"count": 20, "hash": "b" * 16},
        "ranking": ["score", "other"],
        "recipe": "table",
        "metrics": [{"name": "score", "signature": "score|v1", "direction": "higher"}],
        "systems": list(systems),
        **more,
    }


def result(systems: Sequence[Mapping[str, Any]], **more: Any) -> Result:
    """A checked result."""
    return parse_result(json.dumps(content(systems, **more)), "made.json")


def stored(systems: Sequence[Mapping[str, Any]], **more: Any) -> StoredResult:
    """A result without items."""
    return with_items(result(systems, **more), None).stored


def measured(values: Mapping[str, Sequence[float | None]], **more: Any) -> StoredResult:
    """A result with items: for each system one value a trial, None where it failed."""
    systems, items = [], {}
    for key, own in values.items():
        scored = [(f"t{number:03d}", value) for number, value in enumerate(own) if value is not None]
        numbers = np.array([value for _, value in scored], float)
        systems.append(system(key, figure(float(numbers.mean()), n=len(scored), expected=len(own))))
        names = np.array([name for name, _ in scored], dtype=object)
        items[key] = SystemItems(names, numbers, np.ones(len(scored)))
    return with_items(result(systems, **more), items).stored
