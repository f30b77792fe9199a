"""Metrics: one file per metric, with its spec, its signature and its statistics; imports no torch.

``metric_from_string("wer:recognizer=pocketsphinx-grid")`` or :func:`doppelbench.metrics.registry.metric`
make a metric; its ``item`` scores one output and its ``reduce`` makes one figure of many.
"""

from doppelbench.metrics.metric import STATUSES, Figure, ItemScore, Metric, MetricSpec
from doppelbench.metrics.registry import list_metrics, metric_class, metric_from_string

__all__ = [
    "STATUSES",
    "Figure",
    "ItemScore",
    "Metric",
    "MetricSpec",
    "list_metrics",
    "metric_class",
    "metric_from_string",
]
