"""Sharpness against nature: the ratio of the variances of the Laplacian, turned so that 1 is best.

The variance of the Laplacian of luma (Pech-Pacheco et al., ICPR 2000), mean over frames, of the output over
that of the reference. A blurred face has a ratio under 1, noise and artefacts one over 1, and both are
errors; were the ratio itself the value, a system would gain by adding noise. So the value is the smaller of
the ratio and its inverse. The statistics hold the ratio, and the figure's details its mean.
"""

from collections.abc import Sequence
from dataclasses import replace

from doppelbench.corpora.errors import MediaError
from doppelbench.metrics.audio_metric import scored_items
from doppelbench.metrics.metric import Figure, ItemScore, MetricSpec
from doppelbench.metrics.picture_kernel import laplacian_variance
from doppelbench.metrics.video_metric import OWN_RATE, PicturePair, RegionMetric


class SharpnessAgreement(RegionMetric):
    """How near the sharpness is to that of the reference; ``ratio`` in the statistics says on which side."""

    spec = MetricSpec(
        name="sharpness",
        title="Sharpness against the reference: ratio of variances of the Laplacian, 1 is natural",
        version=1,
        unit="",
        direction="higher",
        range=(0.0, 1.0),
        needs=frozenset({"ref"}),
        cost=24.0,
        rate=OWN_RATE,
        same_timing=True,
        citation="Pech-Pacheco et al., ICPR 2000",
        media="video",
    )
    recipe = "luma601-laplacian4-variance|clip-ratio|smaller-of-r-and-1/r"

    def compare(self, pictures: PicturePair) -> tuple[float, dict[str, float]]:
        """Agreement of one output, with the ratio.

        Raises:
            MediaError: ``silent`` when the reference has no detail; ``too_short`` for pictures that have no
                inside.
        """
        pictures.check_size(3, self.spec.name)
        natural = float(laplacian_variance(pictures.ref).mean())
        if natural == 0.0:
            raise MediaError(
                "silent", "the reference has no detail, so there is no sharpness to compare with"
            )
        ratio = float(laplacian_variance(pictures.out).mean()) / natural
        return min(ratio, 1 / ratio) if ratio else 0.0, {"ratio": ratio}

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean of the scored items with a bootstrap interval; ``mean_ratio`` in the details."""
        figure = super().reduce(items, clusters)
        ratios = sorted(item.stats["ratio"] for item in scored_items(items, None)[0])
        return replace(figure, details={"mean_ratio": sum(ratios) / len(ratios)} if ratios else {})
