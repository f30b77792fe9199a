"""Reference rows of audio-to-video: rows that need no training and pin the scale of every table.

Most of a talking head does not move, so a film that does nothing has a good PSNR, and at small sizes a better
one than nature after a lossy codec. Without these rows a figure says little:

* ``natural-video``: the target's own film, the ceiling of every metric;
* ``codec-video``: the same through H.264 as players show it, what a codec costs;
* ``shifted-video``: the same with pictures 200 ms late, what lips out of time cost;
* ``shuffled-video``: the same pictures in a random order: right on average, wrong at every moment;
* ``still-frame``: the first natural frame held still, the zero of ``still_frame_skill``;
* ``mean-frame``: the mean of the target's training films held still, the best guess without listening. It is
  the one row that can answer a trial that somebody else drives.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from doppelbench.baselines.reference_rows import ClipsRow, ReferenceRow, read_clip, reference_of
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, SystemSpec
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Video, read_video, write_preview
from doppelbench.engine.hashing import content_key

TRACK = "audio-to-video"
SHIFT_SECONDS = 0.2


def natural_film(trial: Trial) -> Video:
    """The target's own film of a trial, without sound.

    Raises:
        MediaError: there is none, or it cannot be read.
    """
    clip = reference_of(trial)
    if clip.video is None:
        raise MediaError("missing", f"clip {clip.id} has no film")
    return read_video(clip.video, audio=False, start=clip.start, end=clip.end)


class NaturalFilmRow(ReferenceRow):
    """A row made of the target's own film; subclasses say what is done to its pictures."""

    def pictures(self, film: Video, trial: Trial) -> Video:
        raise NotImplementedError

    def convert(self, trial: Trial) -> Output:
        return Output(read_clip(trial.source), self.pictures(natural_film(trial), trial))


def _spec(name: str, title: str) -> SystemSpec:
    return SystemSpec(name, title, TRACK, needs=frozenset({"reference"}), reference_row=True)


@register
class NaturalVideo(NaturalFilmRow):
    """The target's own film."""

    spec: ClassVar[SystemSpec] = _spec("natural-video", "Natural film of the target")

    def pictures(self, film: Video, trial: Trial) -> Video:
        return film


@register
class CodecVideo(NaturalFilmRow):
    """The target's own film after H.264."""

    spec: ClassVar[SystemSpec] = _spec("codec-video", "Natural film after H.264 (4:2:0, CRF 18)")

    def pictures(self, film: Video, trial: Trial) -> Video:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            write_preview(path, film)
            decoded = read_video(path, audio=False)
        # The codec wants even sizes and repeats an edge.
        height, width = film.frames.shape[1:3]
        return Video(decoded.frames[: len(film.frames), :height, :width], film.fps)


@register
class ShiftedVideo(NaturalFilmRow):
    """The target's own film, late by a fifth of a second."""

    spec: ClassVar[SystemSpec] = _spec("shifted-video", "Natural film, pictures 200 ms late")

    def pictures(self, film: Video, trial: Trial) -> Video:
        late = round(SHIFT_SECONDS * film.fps)
        shown = np.maximum(np.arange(len(film.frames)) - late, 0)
        return Video(film.frames[shown], film.fps)


@register
class ShuffledVideo(NaturalFilmRow):
    """The target's own pictures in a random order that follows from the trial's id."""

    spec: ClassVar[SystemSpec] = _spec("shuffled-video", "Natural film, pictures in random order")

    def pictures(self, film: Video, trial: Trial) -> Video:
        generator = np.random.default_rng(int(content_key(trial.id)[:8], 16))
        return Video(film.frames[generator.permutation(len(film.frames))], film.fps)


@register
class StillFrame(NaturalFilmRow):
    """The first natural picture, held."""

    spec: ClassVar[SystemSpec] = _spec("still-frame", "First natural frame held still")

    def pictures(self, film: Video, trial: Trial) -> Video:
        return Video(np.repeat(film.frames[:1], len(film.frames), axis=0), film.fps)


@register
class MeanFrame(ClipsRow):
    """The mean of all pictures of the target's training films, held as long as the sound lasts."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        "mean-frame",
        "Mean frame of the target's training films held still",
        TRACK,
        needs=frozenset({"training-clips"}),
        reference_row=True,
    )

    def __init__(self) -> None:
        super().__init__()
        self.means: dict[str, tuple[np.ndarray, float]] = {}

    def convert(self, trial: Trial) -> Output:
        if trial.target not in self.means:
            self.means[trial.target] = mean_frame(self.clips.get(trial.target, []), trial.target)
        frame, fps = self.means[trial.target]
        sound = read_clip(trial.source)
        count = film_length(trial, sound.seconds, fps)
        return Output(sound, Video(np.repeat(frame[None], count, axis=0), fps))


def film_length(trial: Trial, seconds: float, fps: float) -> int:
    """Pictures that the answer to a trial has: as many as the natural film, else as the sound lasts."""
    if trial.reference is not None and trial.reference.video is not None:
        return len(natural_film(trial).frames)
    return max(1, int(np.ceil(round(seconds * fps, 6))))


def mean_frame(clips: Sequence[Clip], target: str) -> tuple[np.ndarray, float]:
    """Mean picture of films, rounded, and their frame rate.

    Returns:
        uint8 of shape (height, width, 3), and frames per second.

    Raises:
        MediaError: there is no film that can be read, or they differ in size.
    """
    total, count, fps = None, 0, 0.0
    for clip in clips:
        if clip.video is None:
            continue
        film = read_video(clip.video, audio=False, start=clip.start, end=clip.end)
        summed = film.frames.sum(axis=0, dtype=np.int64)
        if total is not None and total.shape != summed.shape:
            raise MediaError("length_mismatch", f"{clip.video}: the films of {target} differ in size")
        total = summed if total is None else total + summed
        count, fps = count + len(film.frames), film.fps
    if total is None:
        raise MediaError("missing", f"there is no training film of {target}")
    return np.rint(total / count).astype(np.uint8), fps
