"""Structural similarity of Wang, Bovik, Sheikh and Simoncelli (2004); see
:mod:`doppelbench.metrics.picture_kernel`.

Equal to scikit-image's ``structural_similarity`` with ``gaussian_weights=True, sigma=1.5,
use_sample_covariance=False, data_range=255``; its default, a flat window of 7 x 7, has other values. Channels
and frames are averaged.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.picture_kernel import SSIM_K1, SSIM_K2, SSIM_SIGMA, SSIM_TAPS, frame_ssim
from doppelbench.metrics.video_metric import OWN_RATE, PicturePair, RegionMetric


class StructuralSimilarity(RegionMetric):
    """SSIM, mean over frames."""

    spec = MetricSpec(
        name="ssim",
        title="Structural similarity, mean over frames and colour channels",
        version=1,
        unit="",
        direction="higher",
        range=(-1.0, 1.0),
        needs=frozenset({"ref"}),
        cost=50.0,
        rate=OWN_RATE,
        same_timing=True,
        citation="Wang et al., IEEE Transactions on Image Processing 13(4), 2004",
        media="video",
    )
    recipe = f"rgb-peak255|gauss{SSIM_TAPS}-sigma{SSIM_SIGMA:g}-k{SSIM_K1:g}-{SSIM_K2:g}|no-shrinking"

    def compare(self, pictures: PicturePair) -> tuple[float, dict[str, float]]:
        """Similarity of one output, and that of its worst frame.

        Raises:
            MediaError: ``too_short`` for pictures that are smaller than the window.
        """
        pictures.check_size(SSIM_TAPS, self.spec.name)
        values = frame_ssim(pictures.out, pictures.ref)
        return float(values.mean()), {"worst": float(values.min())}
