"""What distances along a warping path share: their statistics, and the mean over all frames beside the mean
of items."""

from collections.abc import Sequence

from doppelbench.metrics.audio_metric import AudioMetric, scored_items
from doppelbench.metrics.metric import Figure, ItemScore


def path_score(
    total: float, length: int, frames_ref: int, frames_out: int, *, divisor: int | None = None
) -> ItemScore:
    """Mean over the path, with what is needed to pool it and to see how much was warped.

    Args:
        total: distance summed over the path.
        length: steps of the path.
        frames_ref: frames of the reference.
        frames_out: frames of the output.
        divisor: frames to divide by instead of the path's, such as those of the reference.

    Returns:
        A score whose statistics are ``sum``, ``path``, ``frames_ref``, ``frames_out`` and ``ratio``, the
        path length
        over the frames of the longer signal: 1 when nothing was warped against the diagonal. A ``divisor``
        other than the path is among them.
    """
    stats = {
        "sum": total,
        "path": length,
        "frames_ref": frames_ref,
        "frames_out": frames_out,
        "ratio": length / max(frames_ref, frames_out),
    }
    if divisor is not None and divisor != length:
        stats["divisor"] = divisor
    return ItemScore(total / (divisor or length), stats=stats)


class WarpedMetric(AudioMetric):
    """A metric whose items come from :func:`path_score`."""

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean over items; details: ``pooled`` over all frames of all paths, and the mean ``ratio``."""
        figure = super().reduce(items, clusters)
        scored, _ = scored_items(items, clusters)
        if not scored:
            return figure
        frames = sum(item.stats.get("divisor", item.stats["path"]) for item in scored)
        details = {
            "pooled": sum(sorted(item.stats["sum"] for item in scored)) / frames,
            "ratio": sum(sorted(item.stats["ratio"] for item in scored)) / len(scored),
        }
        return Figure(figure.value, figure.low, figure.high, figure.n, figure.expected, details)
