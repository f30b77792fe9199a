"""What metrics of pictures share: checked clips, failures as statuses, regions, the mean as the figure.

Pictures are compared one by one, so both clips have one frame rate and one size; nothing is resized or
converted on the way, for the filter would be part of the value. A clip may be one frame longer than the
other, and the last frame is cut then. The cost in a spec is that of a second of 25 pictures of 256 x 256.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio, Video
from doppelbench.metrics.audio_metric import failed_score, scored_items
from doppelbench.metrics.metric import Figure, ItemScore, Metric
from doppelbench.metrics.mouth_box import Box, mouth_box, mouth_rule
from doppelbench.metrics.statistics import bootstrap_mean

# The rate in the spec of a metric of pictures: they are scored at their own.
OWN_RATE = 0
# Containers round frame rates: 30000/1001 is stored in nanoseconds or in milliseconds per frame.
RATE_TOLERANCE = 1e-4
LENGTH_TOLERANCE_FRAMES = 1
FRAME_RULE = f"rgb8-own-fps-cut{LENGTH_TOLERANCE_FRAMES}frame"
Region = Literal["frame", "mouth"]


@dataclass(frozen=True, slots=True)
class PicturePair:
    """Frames of output and reference, uint8 of one shape (t, height, width, 3), at ``fps`` per second.

    ``whole_ref`` holds the reference before it was cut to the length of the output: where the mouth is must
    not depend on the output at all.
    """

    out: np.ndarray
    ref: np.ndarray
    whole_ref: np.ndarray
    fps: float

    def within(self, box: Box) -> "PicturePair":
        """The same pictures cut down to a box."""
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        out, ref, whole = (clip[:, rows, columns] for clip in (self.out, self.ref, self.whole_ref))
        return PicturePair(out, ref, whole, self.fps)

    def check_size(self, least: int, name: str) -> None:
        """Refuse pictures that are too small for a metric.

        Raises:
            MediaError: ``too_short`` when height or width is less than ``least`` pixels.
        """
        height, width = self.ref.shape[1:3]
        if min(height, width) < least:
            raise MediaError(
                "too_short",
                f"the pictures are {width} x {height} pixels; {name} needs {least} x {least} at least",
            )

    def check_frames(self, least: int, name: str) -> None:
        """Refuse clips that are too short for a metric.

        Raises:
            MediaError: ``too_short`` with fewer than ``least`` frames.
        """
        if len(self.ref) < least:
            frames = "one frame" if len(self.ref) == 1 else f"{len(self.ref)} frames"
            raise MediaError("too_short", f"the clips have {frames}; {name} needs {least} at least")


def checked_frames(signal: Audio | Video | None, *, role: str) -> Video:
    """Return a video whose pictures can be scored.

    Args:
        signal: the video.
        role: ``output`` or ``reference``; only for the messages.

    Raises:
        MediaError: ``missing`` without pictures; ``unreadable`` when they are not uint8 RGB or have no
            frame rate; ``too_short`` without a frame.
    """
    if not isinstance(signal, Video):
        raise MediaError("missing", f"there is no {role} with pictures")
    frames = np.asarray(signal.frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape[1:3]:
        raise MediaError(
            "unreadable",
            f"the {role} has frames of type {frames.dtype} and shape {frames.shape}; uint8 RGB of shape "
            "(frames, height, width, 3) is needed",
        )
    if not len(frames):
        raise MediaError("too_short", f"the {role} has no frames")
    if not (np.isfinite(signal.fps) and signal.fps > 0):
        raise MediaError("unreadable", f"the {role} has {signal.fps} frames per second")
    return signal


def same_pictures(*, out: Video, ref: Video) -> PicturePair:
    """Cut the longer of two checked videos by the one frame that it may have more.

    Systems round the last frame up or down; more is another timing, and a measure that compares picture by
    picture has no meaning then.

    Raises:
        MediaError: ``rate_mismatch`` when the frame rates differ by more than 0.01 %; ``length_mismatch``
            when the pictures differ in size, or the clips by more than one frame.
    """
    if abs(out.fps - ref.fps) > RATE_TOLERANCE * ref.fps:
        raise MediaError(
            "rate_mismatch",
            f"the output has {out.fps:g} frames per second and the reference {ref.fps:g}; convert one of "
            "them first, for pictures are compared one by one",
        )
    if out.frames.shape[1:3] != ref.frames.shape[1:3]:
        sizes = [f"{video.frames.shape[2]} x {video.frames.shape[1]}" for video in (out, ref)]
        raise MediaError(
            "length_mismatch",
            f"the pictures of the output are {sizes[0]} pixels and those of the reference {sizes[1]}; "
            "bring them to one size and crop first",
        )
    if abs(len(out.frames) - len(ref.frames)) > LENGTH_TOLERANCE_FRAMES:
        raise MediaError(
            "length_mismatch",
            f"the output has {len(out.frames)} frames and the reference {len(ref.frames)}; at most "
            f"{LENGTH_TOLERANCE_FRAMES} of difference is allowed, for pictures are compared one by one",
        )
    shorter = min(len(out.frames), len(ref.frames))
    return PicturePair(out.frames[:shorter], ref.frames[:shorter], ref.frames, ref.fps)


class VideoMetric(Metric):
    """Compares the pictures of an output with those of a natural clip; subclasses write :meth:`score`.

    ``clip.video`` names the file of the reference, beside which the talkers keep the truth about the mouth;
    ``clip.start`` is its first second in that file.
    """

    @abstractmethod
    def score(self, pictures: PicturePair, clip: Clip | None) -> ItemScore:
        """Score checked pictures.

        Raises:
            MediaError: what cannot be scored; its status becomes the status of the item.
        """

    def item(
        self, *, out: Audio | Video, ref: Audio | Video | None = None, clip: Clip | None = None
    ) -> ItemScore:
        """Check the inputs and score them; what cannot be scored has a status and no value."""
        try:
            checked_out = checked_frames(out, role="output")
            checked_ref = checked_frames(ref, role="reference")
            return self.score(same_pictures(out=checked_out, ref=checked_ref), clip)
        except MediaError as error:
            return failed_score(error)

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean of the scored items with a bootstrap interval."""
        scored, groups = scored_items(items, clusters)
        interval = bootstrap_mean([item.value for item in scored if item.value is not None], clusters=groups)
        return Figure(interval.value, interval.low, interval.high, len(scored), len(items))


class RegionMetric(VideoMetric):
    """A metric of whole pictures or, with ``region=mouth``, of the mouth; subclasses write :meth:`compare`.

    A third of the pixels of a talking head hardly move and may even be copied from the input; the mouth is
    what a system has to make. Its box comes from the reference alone, so that no system can move it; the
    statistics hold the ``box`` (left, top, right, bottom in pixels) and where it is from.
    """

    recipe: ClassVar[str]
    """Part of the signature that says how a value is computed, apart from frames and region."""

    def __init__(self, region: Region = "frame") -> None:
        """Choose between whole pictures (``frame``) and the mouth (``mouth``)."""
        if region not in ("frame", "mouth"):
            raise InputError(f"{self.spec.name}: region is frame or mouth, not '{region}'")
        self.region = region

    @property
    def signature(self) -> str:
        """Recipe, rule for frames, and region."""
        region = "region-frame" if self.region == "frame" else f"region-{mouth_rule()}"
        return f"{self.spec.name}|{self.recipe}|{FRAME_RULE}|{region}|v{self.spec.version}"

    @abstractmethod
    def compare(self, pictures: PicturePair) -> tuple[float, Mapping[str, Any]]:
        """Return value and statistics of the pictures of the region.

        Raises:
            MediaError: what cannot be scored.
        """

    def score(self, pictures: PicturePair, clip: Clip | None) -> ItemScore:
        """Cut out the region and compare."""
        where: dict[str, Any] = {"frames": len(pictures.ref)}
        if self.region == "mouth":
            box = mouth_box(pictures.whole_ref, pictures.fps, clip)
            pictures = pictures.within(box)
            where |= {"box": [box.left, box.top, box.right, box.bottom], "box_from": box.source}
        value, statistics = self.compare(pictures)
        return ItemScore(value, stats={**statistics, **where})
