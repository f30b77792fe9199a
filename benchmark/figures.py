"""From stored items to the figures of a table; needs neither the audio nor a model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from doppelbench.metrics.metric import Figure, ItemScore
from doppelbench.metrics.registry import metric, metric_options

if TYPE_CHECKING:
    import pandas as pd


def score_from_row(row: Mapping[str, Any]) -> ItemScore:
    """Rebuild an item score from a row of ``items.parquet``."""
    value = row["value"]
    failed = value is None or value != value
    return ItemScore(
        None if failed else float(value), row["status"], row["reason"], json.loads(row["statistics"])
    )


def compute_figures(
    items: "pd.DataFrame",
    metrics: Sequence[Mapping[str, Any]],
    systems: Sequence[str],
    clusters: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Reduce the items of a run to one row per system and metric.

    Args:
        items: rows of ``items.parquet``.
        metrics: for each metric ``name`` (with options where it was asked for with some) and all its
            ``options``, as the record of the run holds them.
        systems: systems in the order of the table.
        clusters: for each trial the group that intervals resample as one; items one by one when None.

    Returns:
        Rows with system, metric, value, low, high, n, expected, coverage, unit, direction, signature and
        details.
    """
    rows: list[dict[str, Any]] = []
    for entry in metrics:
        scorer = metric(metric_options(entry["name"])[0], **entry["options"])
        of_metric = items[items["metric"] == entry["name"]]
        for system in systems:
            own = of_metric[of_metric["system"] == system]
            if own.empty:
                continue
            records = own.to_dict("records")
            groups = None if clusters is None else [clusters[record["trial"]] for record in records]
            figure = scorer.reduce([score_from_row(record) for record in records], groups)
            rows.append(
                {
                    "system": system,
                    "metric": entry["name"],
                    **_without_details(figure),
                    "coverage": figure.coverage,
                    "unit": scorer.spec.unit,
                    "direction": scorer.spec.direction,
                    "signature": scorer.signature,
                    "details": dict(figure.details),
                }
            )
    for row in rows:
        if row["metric"] == "secs":
            row["details"] |= _leakage(items[items["system"] == row["system"]])
    return rows


def _leakage(own: "pd.DataFrame") -> dict[str, float]:
    """Equal error rate, in percent, of telling by SECS that outputs are the target's and not the source's."""
    from doppelbench.metrics.speaker_eer import speaker_eer

    target, source = (
        own.loc[(own["metric"] == name) & (own["status"] == "ok"), "value"].to_numpy(float)
        for name in ("secs", "secs_source")
    )
    if not len(target) or not len(source):
        return {}
    return {"eer_target_against_source": 100 * speaker_eer(target, source)}


def _without_details(figure: Figure) -> dict[str, Any]:
    return {name: value for name, value in asdict(figure).items() if name != "details"}
