"""Scores as tasks of the worker pool, the same for a run and for files that a user brings."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doppelbench.corpora.clip import Clip
from doppelbench.engine.hashing import canonical_json
from doppelbench.engine.pool import Result, Task

CRASHED = "crashed"


def score_task(
    key: str,
    metric: str,
    options: Mapping[str, Any],
    out: Path,
    reference: Clip | None,
    clip: Clip,
    cost: float,
    *,
    media: str = "audio",
    accelerated: bool = False,
) -> Task:
    """Return the task that scores one output with one metric.

    Args:
        key: names the task in its result.
        metric: name of the metric.
        options: its options.
        out: the output; one that is not there becomes a status.
        reference: natural recording to compare with, for a metric that needs one.
        clip: what should be heard.
        cost: milliseconds per second of audio, so that long work starts first.
        media: whether the metric reads sound or pictures, as :class:`~doppelbench.metrics.metric.MetricSpec`
            has it.
        accelerated: whether the metric runs a model that gains from a GPU.
    """
    ref = None
    if reference is not None:
        path = reference.audio if media == "audio" else reference.video
        ref = {"path": path, "start": reference.start, "end": reference.end}
    arguments = {
        "metric": metric,
        "options": canonical_json(options),
        "out": str(out),
        "ref": ref,
        "clip": asdict(clip),
    }
    size = out.stat().st_size if out.is_file() else 0
    return Task(key, "doppelbench.benchmark.work:score_item", arguments, cost * size, accelerated)


def failed_status(result: Result) -> str:
    """Return the item status of a task that did not end well."""
    return "timeout" if result.status == "timeout" else CRASHED
