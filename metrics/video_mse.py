"""Mean squared error of pictures, in the convention of Table 7 of the exemplar paper.

Deng, Bansal and Ramanan, "Unsupervised Audiovisual Synthesis via Exemplar Autoencoders" (ICLR 2021), state
the mean squared error of talking heads and no unit. Their values (76 to 78, beside 29.3 dB) fit the scale 0
to 255 alone: squared differences of uint8 RGB, mean over channels, pixels and frames, then over clips.
Whether frames or clips are the unit makes no difference to this mean, for the frames of a clip have one
size.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.picture_kernel import PEAK, frame_mse
from doppelbench.metrics.video_metric import OWN_RATE, PicturePair, RegionMetric


class VideoMeanSquaredError(RegionMetric):
    """Mean squared error of pictures on the scale 0 to 255."""

    spec = MetricSpec(
        name="video_mse",
        title="Mean squared error of pictures, scale 0 to 255",
        version=1,
        unit="",
        direction="lower",
        range=(0.0, PEAK**2),
        needs=frozenset({"ref"}),
        cost=2.5,
        rate=OWN_RATE,
        same_timing=True,
        citation="Deng et al., ICLR 2021",
        media="video",
    )
    recipe = "mse255|frames-pixels-channels"

    def compare(self, pictures: PicturePair) -> tuple[float, dict[str, float]]:
        """Error of one output."""
        return float(frame_mse(pictures.out, pictures.ref).mean()), {}
