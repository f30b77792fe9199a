"""Skill over a still picture: 1 - MSE of the output / MSE of the first natural frame held still.

A skill score after Murphy (Monthly Weather Review 116, 1988) with the still first frame as the forecast to be
beaten. Most of a talking head does not move, so a still picture has a high PSNR, and at small sizes a higher
one than a good film after a lossy codec. Here nature has 1, the still frame 0, and what is worse than a
still frame is negative.
"""

from doppelbench.corpora.errors import MediaError
from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.picture_kernel import frame_mse
from doppelbench.metrics.video_metric import OWN_RATE, PicturePair, RegionMetric


class StillFrameSkill(RegionMetric):
    """Skill over the still first frame; both errors are in the statistics."""

    spec = MetricSpec(
        name="still_frame_skill",
        title="Skill over the first natural frame held still",
        version=1,
        unit="",
        direction="higher",
        range=(None, 1.0),
        needs=frozenset({"ref"}),
        cost=5.0,
        rate=OWN_RATE,
        same_timing=True,
        citation="Murphy, Monthly Weather Review 116(12), 1988",
        media="video",
    )
    recipe = "1-mse/mse-of-still-first-ref-frame"

    def compare(self, pictures: PicturePair) -> tuple[float, dict[str, float]]:
        """Skill of one output.

        Raises:
            MediaError: ``too_short`` with one frame; ``silent`` when nothing moves in the reference.
        """
        pictures.check_frames(2, self.spec.name)
        still = float(frame_mse(pictures.ref, pictures.ref[:1]).mean())
        if still == 0.0:
            raise MediaError("silent", "nothing moves in the reference, so a still picture has no error")
        mse = float(frame_mse(pictures.out, pictures.ref).mean())
        return 1 - mse / still, {"mse": mse, "still_mse": still}
