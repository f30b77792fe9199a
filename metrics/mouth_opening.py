"""Does the mouth open when it should? Correlation of the opening seen in the output with the truth.

For clips of the talkers, whose films come with the height of the gap between the lips at each frame. The
opening is measured in the pictures by one linear readout of the mouth's box: ridge regression (Hoerl and
Kennard 1970) from the smoothed pixels of the reference's own box to the truth, with a penalty of a hundredth
of the largest variance, and then applied to the output's box. Pearson's correlation of what it reads with
the truth is the value. A readout that is linear makes the value blind to a change of brightness or contrast;
it is made anew for each clip, because lips, beards and skins differ.

Darkness or redness of the mouth alone would not do: with teeth and tongue they go up and down with the
opening by turns (correlations of -0.5 to 0.9 on 32 natural films of eight talkers). On the same films the
value is 0.98 to 1.00 for nature itself, 0.82 to 0.92 one frame late, and -0.25 to 0.70, with a mean of 0.21,
for another sentence of the same face; what is read from that sentence correlates by 0.71 to 1.00, with a
mean of 0.96, with its own truth. The smoothing, by a tenth of the mouth's width, keeps an output that is
blurred, or a pixel off, from being taken for a closed mouth.

A mouth that does not move has the value 0 by rule, and ``still`` in the statistics says so.
"""

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.mouth_box import mouth_box, mouth_rule, mouth_truth
from doppelbench.metrics.video_metric import FRAME_RULE, OWN_RATE, PicturePair, VideoMetric

RIDGE = 0.01
# Standard deviation of the Gaussian that smooths the pictures, in the greatest width of the mouth.
SMOOTHING = 0.1
MIN_FRAMES = 10
# In pixels; a gap that varies less is a closed mouth.
MIN_TRUTH_DEVIATION = 0.1
# Relative to that of the reference; what varies less is rounding.
MIN_DEVIATION = 1e-6


def smoothed(mouth: np.ndarray, deviation: float) -> np.ndarray:
    """Pictures smoothed by a Gaussian of a standard deviation in pixels, a row of numbers for each frame.

    Args:
        mouth: uint8, shape (t, height, width, 3).
        deviation: of the Gaussian in both directions.

    Returns:
        Shape (t, height * width * 3), float64.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(mouth.astype(np.float64), (0.0, deviation, deviation, 0.0))
    return np.asarray(smooth).reshape(len(mouth), -1)


def opening_readout(*, out: np.ndarray, ref: np.ndarray, opening: np.ndarray) -> np.ndarray:
    """Read the opening of the mouth from pictures, by a linear readout made from natural ones.

    Args:
        out: mouth of the output, shape (t, pixels), float64.
        ref: mouth of the reference, of the same shape.
        opening: truth about the reference, shape (t,).

    Returns:
        Opening in the output in the unit of the truth, shape (t,), float64.
    """
    mean, weights = ridge_weights(ref, opening)
    return (out - mean) @ weights + opening.mean()


def ridge_weights(pixels: np.ndarray, opening: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression from the pixels of a mouth to its opening.

    Args:
        pixels: shape (t, pixels), float64.
        opening: shape (t,).

    Returns:
        Mean of the pixels and weight of each, of shape (pixels,).
    """
    mean = pixels.mean(axis=0)
    centred, wanted = pixels - mean, opening - opening.mean()
    # In the space of the pixels or of the frames, whichever is smaller; both give the same weights.
    if len(centred) < centred.shape[1]:
        variances, directions = np.linalg.eigh(centred @ centred.T)
        weights = centred.T @ (directions @ (directions.T @ wanted / (variances + RIDGE * variances[-1])))
    else:
        variances, directions = np.linalg.eigh(centred.T @ centred)
        weights = directions @ (directions.T @ (centred.T @ wanted) / (variances + RIDGE * variances[-1]))
    return mean, weights


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of two series of shape (t,) that both vary."""
    first, second = first - first.mean(), second - second.mean()
    return float(np.clip(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)), -1.0, 1.0))


class MouthOpeningCorrelation(VideoMetric):
    """Correlation of the mouth's opening; ``natural`` in the statistics is that of the reference itself."""

    spec = MetricSpec(
        name="mouth_opening",
        title="Correlation of the opening of the mouth with the truth of the talkers",
        version=1,
        unit="",
        direction="higher",
        range=(-1.0, 1.0),
        needs=frozenset({"ref"}),
        cost=5.0,
        rate=OWN_RATE,
        same_timing=True,
        citation="Hoerl and Kennard, Technometrics 12(1), 1970",
        media="video",
    )

    @property
    def signature(self) -> str:
        """Readout, frames and box."""
        return (
            f"{self.spec.name}|pearson-of-ridge{RIDGE:g}-smooth{SMOOTHING:g}w-readout-from-ref|{FRAME_RULE}|{mouth_rule()}"
            f"|v{self.spec.version}"
        )

    def score(self, pictures: PicturePair, clip: Clip | None) -> ItemScore:
        """Correlation of one output.

        Raises:
            MediaError: ``missing`` without a truth; ``too_short`` with fewer than ten frames; ``silent`` when
                the mouth of the reference stays closed or its pictures do not change.
        """
        truth = mouth_truth(pictures.whole_ref, pictures.fps, clip)
        if truth is None:
            raise MediaError("missing", "there is no truth about the opening of the mouth for this clip")
        pictures.check_frames(MIN_FRAMES, self.spec.name)
        box = mouth_box(pictures.whole_ref, pictures.fps, clip)
        mouth = pictures.within(box)
        opening = truth.opening[: len(mouth.ref)]
        if opening.std() < MIN_TRUTH_DEVIATION or (mouth.ref == mouth.ref[0]).all():
            raise MediaError("silent", "the mouth of the reference does not move, so nothing can correlate")
        deviation = SMOOTHING * float(truth.width.max())
        out, ref = smoothed(mouth.out, deviation), smoothed(mouth.ref, deviation)
        read = opening_readout(out=out, ref=ref, opening=opening)
        natural = opening_readout(out=ref, ref=ref, opening=opening)
        still = bool(read.std() < MIN_DEVIATION * opening.std())
        return ItemScore(
            0.0 if still else correlation(read, opening),
            stats={
                "natural": correlation(natural, opening),
                "still": still,
                "frames": len(pictures.ref),
                "box": [box.left, box.top, box.right, box.bottom],
            },
        )
