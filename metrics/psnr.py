"""Peak signal-to-noise ratio of a clip, from its mean squared error over all frames.

10 log10(255^2 / MSE) of uint8 RGB; not of luma, which has other values by several dB. The error is averaged
before the logarithm is taken, as torchmetrics does by default; :mod:`doppelbench.metrics.psnr_frames` takes
the logarithm frame by frame and averages then, which is never less. On frames of unequal error the two
differ by dBs, so they have two names.

An exact copy has no finite ratio. Values are held at 100 dB, and the statistics say so.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.picture_kernel import CAP_DB, frame_mse, psnr
from doppelbench.metrics.video_metric import OWN_RATE, PicturePair, RegionMetric


class PeakSignalToNoiseRatio(RegionMetric):
    """PSNR of the clip's mean squared error; ``capped`` in the statistics says that it was held at 100 dB."""

    spec = MetricSpec(
        name="psnr",
        title="Peak signal-to-noise ratio of the mean squared error of a clip",
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
    recipe = f"rgb-peak255|log-of-clip-mse|cap{CAP_DB:g}dB"

    def compare(self, pictures: PicturePair) -> tuple[float, dict[str, float | bool]]:
        """Ratio of one output, with the error that it is of."""
        mse = float(frame_mse(pictures.out, pictures.ref).mean())
        value = float(psnr(mse))
        return value, {"mse": mse, "capped": value >= CAP_DB}
