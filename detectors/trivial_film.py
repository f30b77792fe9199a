"""Detectors that see one thing of a film which should tell nothing, and one that sees nothing.

They pin the scale as those of :mod:`doppelbench.detectors.trivial` do for sound: blurred drawings, a still
picture or a background that stands still give a generator away without a look at the face. Each is a logistic
regression on one feature of :mod:`doppelbench.detectors.video_shortcuts`, taken of the whole picture as it
came: neither cut nor resized.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Video
from doppelbench.detectors.detector import DetectorSpec
from doppelbench.detectors.registry import register
from doppelbench.detectors.training_arrays import CLASSES, check_classes, usable_values
from doppelbench.detectors.trivial import Logistic, RandomScores, trivial_spec
from doppelbench.detectors.video_detector import VideoDetector, check_film, read_film
from doppelbench.detectors.video_shortcuts import measure_film
from doppelbench.engine.trainer import TrainerSettings

PAPER = "as for sound in Müller et al.: Speech is Silver, Silence is Golden, ASVspoof workshop 2021"


class OneFilmFeature(VideoDetector, Logistic):
    """Sees one of the shortcut features."""

    feature: ClassVar[str]

    def number(self, film: Video) -> float:
        """Return the feature of a film.

        Raises:
            MediaError: as :func:`check_film`; ``too_short`` when the pictures are too small for the feature.
        """
        check_film(film)
        value = measure_film(film)[self.feature]
        if value is None:
            raise MediaError("too_short", f"the pictures are too small to have a {self.feature}")
        return value

    def clip_number(self, clip: Clip) -> float:
        """Return the feature of a clip's film."""
        return self.number(read_film(clip))

    def score_film(self, film: Video) -> float:
        """The logit; see :meth:`VideoDetector.score_film`."""
        self.fitted()
        return self.logit(self.number(film))


def _spec(name: str, title: str, **more: Any) -> DetectorSpec:
    return trivial_spec(name, title, paper=PAPER, media="video", **more)


@register
class SharpnessOnly(OneFilmFeature):
    """Sees how sharp the pictures are."""

    spec: ClassVar[DetectorSpec] = _spec("sharpness-only", "Sharpness alone")
    feature = "sharpness"


@register
class MotionOnly(OneFilmFeature):
    """Sees how much changes from frame to frame."""

    spec: ClassVar[DetectorSpec] = _spec("motion-only", "Motion alone")
    feature = "motion"


@register
class FrozenOnly(OneFilmFeature):
    """Sees how much of the picture never changes."""

    spec: ClassVar[DetectorSpec] = _spec("frozen-only", "Share of pixels that stand still alone")
    feature = "frozen"


@register
class RandomFilmScores(VideoDetector, RandomScores):
    """Gives every film a number that follows from its pictures and a seed alone."""

    spec: ClassVar[DetectorSpec] = _spec("random-film", "Random scores for films", score_kind="raw")

    def fit(self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Take the seed; films are read all the same, so that bad ones are refused as everywhere."""
        check_classes(bonafide, spoof, "video")
        for what, clips in zip(CLASSES, (bonafide, spoof), strict=True):
            usable_values(clips, what, lambda clip: read_film(clip).fps)
        self.seed = trainer.seed

    def score_film(self, film: Video) -> float:
        """A draw from a standard normal distribution."""
        self.fitted()
        check_film(film)
        return self.draw(film.frames)
