"""Peak signal-to-noise ratio of each frame, averaged over the frames of a clip.

10 log10(255^2 / MSE) of each uint8 RGB frame, then the mean in dB. This is how Table 7 of the exemplar paper
(Deng et al., ICLR 2021) and most papers on talking heads count: its ratios are higher than those of its mean
errors, as Jensen's inequality has it. :mod:`doppelbench.metrics.psnr` takes one logarithm for the whole clip.

A frame that is copied exactly has no finite ratio and would make the mean infinite. Each frame is held at
100 dB, and the statistics count such frames; many of them mean that pictures were copied, not made.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.picture_kernel import CAP_DB, frame_mse, psnr
from doppelbench.metrics.video_metric import OWN_RATE, PicturePair, RegionMetric


class FramePeakSignalToNoiseRatio(RegionMetric):
    """Mean PSNR over frames; ``capped_frames`` in the statistics counts those that were held at 100 dB."""

    spec = MetricSpec(
        name="psnr_frames",
        title="Peak signal-to-noise ratio, mean over frames",
        version=1,
        unit="dB",
        direction="higher",
        range=(0.0, CAP_DB),
        needs=frozenset({"ref"}),
        cost=2.5,
        rate=OWN_RATE,
        same_timing=True,
        citation="Wang and Bovik, IEEE Signal Processing Magazine 26(1), 2009",
        media="video",
    )
    recipe = f"rgb-peak255|mean-of-frames|cap{CAP_DB:g}dB"

    def compare(self, pictures: PicturePair) -> tuple[float, dict[str, int]]:
        """Mean ratio of one output."""
        values = psnr(frame_mse(pictures.out, pictures.ref))
        return float(values.mean()), {"capped_frames": int((values >= CAP_DB).sum())}
