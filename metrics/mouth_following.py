"""Does the drawn mouth follow the voice that drives it? Correlation with the truth about the speaker's mouth.

For talkers the height of the gap between the lips of whoever speaks is known at each frame. The opening of
the drawn mouth is read by a readout of the target's face (:mod:`doppelbench.metrics.mouth_readout`), and
Pearson's correlation of the two is the value. Unlike ``mouth_opening`` it needs no natural film of the target
saying this, so it also scores a target that is driven by somebody else's voice.

A mouth that does not move has the value 0 by rule, and ``still`` in the statistics says so.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio, Video
from doppelbench.metrics.audio_metric import failed_score, scored_items
from doppelbench.metrics.metric import Figure, ItemScore, Metric, MetricSpec
from doppelbench.metrics.mouth_box import mouth_truth
from doppelbench.metrics.mouth_opening import (
    MIN_DEVIATION,
    MIN_FRAMES,
    MIN_TRUTH_DEVIATION,
    correlation,
)
from doppelbench.metrics.mouth_readout import MouthReadout
from doppelbench.metrics.statistics import bootstrap_mean
from doppelbench.metrics.video_metric import OWN_RATE, checked_frames

# Frames by which an output may be longer or shorter than the film of its source.
LENGTH_TOLERANCE_FRAMES = 2


class MouthFollowing(Metric):
    """Correlation of the drawn opening with that of the person who speaks."""

    spec = MetricSpec(
        name="mouth_following",
        title="Correlation of the drawn mouth's opening with that of the person who speaks (talkers)",
        version=1,
        unit="",
        direction="higher",
        range=(-1.0, 1.0),
        needs=frozenset({"source", "target"}),
        cost=5.0,
        rate=OWN_RATE,
        citation="Hoerl and Kennard, Technometrics 12(1), 1970",
        media="video",
    )

    def __init__(self, readout: str | Path | MouthReadout | None = None) -> None:
        """Take the readouts of the targets.

        Args:
            readout: readouts, or the folder that they were saved in.

        Raises:
            InputError: without readouts that can be read.
        """
        if readout is None:
            raise InputError(
                "mouth_following needs readouts learned from natural films: mouth_following:readout=FOLDER "
                "(doppelbench.metrics.mouth_readout.train_readout makes them)"
            )
        self.readout = readout if isinstance(readout, MouthReadout) else MouthReadout.load(readout)

    @property
    def signature(self) -> str:
        """Readouts and rule for frames."""
        return (
            f"{self.spec.name}|pearson|readout-{self.readout.digest}|rgb8-own-fps-cut{LENGTH_TOLERANCE_FRAMES}frames"
            f"|v{self.spec.version}"
        )

    def item(
        self, *, out: Audio | Video, ref: Audio | Video | None = None, clip: Clip | None = None
    ) -> ItemScore:
        """Correlation of one output.

        Args:
            out: the drawn film.
            ref: film of the person who speaks; only its length and frame rate count.
            clip: ``speaker`` is who is drawn, ``video`` the film of the person who speaks, beside which the
                truth lies.
        """
        try:
            return self._score(checked_frames(out, role="output"), checked_frames(ref, role="source"), clip)
        except MediaError as error:
            return failed_score(error)

    def _score(self, out: Video, source: Video, clip: Clip | None) -> ItemScore:
        assert clip is not None
        person = self.readout.people.get(clip.speaker)
        if person is None:
            raise MediaError("missing", f"there is no readout of the mouth of {clip.speaker}")
        if out.frames.shape[1:3] != person.size:
            height, width = out.frames.shape[1:3]
            raise MediaError(
                "length_mismatch",
                f"the pictures are {width} x {height} pixels and the readout was learned from "
                f"{person.size[1]} x {person.size[0]}",
            )
        if len(out.frames) < MIN_FRAMES:
            raise MediaError(
                "too_short", f"the output has {len(out.frames)} frames; {MIN_FRAMES} are needed at least"
            )
        expected = len(source.frames) / source.fps * out.fps
        if abs(len(out.frames) - expected) > LENGTH_TOLERANCE_FRAMES:
            raise MediaError(
                "length_mismatch",
                f"the output has {len(out.frames)} frames where the source lasts {expected:.1f} of them",
            )
        count = min(len(out.frames), int(expected))
        truth = mouth_truth(out.frames[:count], out.fps, clip)
        if truth is None:
            raise MediaError("missing", "there is no truth about the mouth of the person who speaks")
        if truth.opening.std() < MIN_TRUTH_DEVIATION:
            raise MediaError("silent", "the mouth of the source does not move, so nothing can correlate")
        read = person.read(out.frames[:count])
        still = bool(read.std() < MIN_DEVIATION * truth.opening.std())
        return ItemScore(
            0.0 if still else correlation(read, truth.opening), stats={"still": still, "frames": count}
        )

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean of the scored items with a bootstrap interval."""
        scored, groups = scored_items(items, clusters)
        interval = bootstrap_mean(
            np.array([item.value for item in scored if item.value is not None]), clusters=groups
        )
        return Figure(interval.value, interval.low, interval.high, len(scored), len(items))
