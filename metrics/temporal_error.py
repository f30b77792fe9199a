"""Error of motion: mean squared difference between the frame-to-frame changes of output and reference.

The square of dtSSD of Erofeev et al., "Perceptually Motivated Benchmark for Video Matting" (BMVC 2015), as a
mean over pixels, on the scale 0 to 255. A picture that is wrong in the same way in every frame has no error
here; flicker, which an error of single frames hardly shows, has the greatest. A still picture has the
reference's own mean squared change, which the statistics hold beside the value. Motion at the wrong moment
is wrong twice, so a natural film that is one frame late can be worse than the still picture; read it beside
:mod:`doppelbench.metrics.still_frame_skill`.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.picture_kernel import PEAK, motion_mse
from doppelbench.metrics.video_metric import OWN_RATE, PicturePair, RegionMetric


class TemporalError(RegionMetric):
    """Mean squared error of frame differences; ``still`` in the statistics is that of a still picture."""

    spec = MetricSpec(
        name="temporal_error",
        title="Mean squared error of the differences between frames, scale 0 to 255",
        version=1,
        unit="",
        direction="lower",
        range=(0.0, (2 * PEAK) ** 2),
        needs=frozenset({"ref"}),
        cost=5.0,
        rate=OWN_RATE,
        same_timing=True,
        citation="Erofeev et al., BMVC 2015",
        media="video",
    )
    recipe = "mse255-of-frame-differences"

    def compare(self, pictures: PicturePair) -> tuple[float, dict[str, float]]:
        """Error of one output.

        Raises:
            MediaError: ``too_short`` with one frame.
        """
        pictures.check_frames(2, self.spec.name)
        value = float(motion_mse(pictures.out, pictures.ref).mean())
        return value, {"still": float(motion_mse(pictures.ref, pictures.ref[:1]).mean())}
