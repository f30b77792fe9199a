"""Talking films of one person as training material: sound and pictures in step, read once, memory-mapped.

Sound is a spectrogram whose frame a belongs to the moment a / rate; picture f is shown from f / fps to
(f + 1) / fps. A crop begins with a picture. Where its beginning falls between two frames of the spectrogram,
as it mostly does at 25 pictures a second, the crop begins with the nearest one and says where in it the codes
of the pictures lie, so that nothing is ever out of step.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from doppelbench.baselines.common import LongRecording, log_mel_arrays, target_recordings
from doppelbench.baselines.exemplar_video_decoder import STRIDE, code_positions
from doppelbench.baselines.vocoders.neural import sound_arrays
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.features import MelSettings
from doppelbench.corpora.media import read_video
from doppelbench.engine.hashing import content_key
from doppelbench.engine.trainer import TrainerSettings

# Sound and pictures of one recording end about together; else they are not of one recording, or one is cut.
LARGEST_DIFFERENCE_SECONDS = 0.5


def film_arrays(
    clip: Mapping[str, Any], mel: Mapping[str, Any], emphasis: float | None
) -> dict[str, np.ndarray]:
    """Compute what is kept of one film; arguments are the fields of a clip and of the mel settings.

    Args:
        clip: with sound and pictures.
        mel: how the spectrogram is taken.
        emphasis: pre-emphasis of the samples, which are kept beside the spectrogram; None leaves them out.

    Returns:
        ``mel`` float32 (frames, bands), ``pictures`` uint8 (t, height, width, 3), ``fps`` float64 (1,) and,
        if asked for, ``sound`` float32 (frames, hop). Pictures after the end of the sound are cut off.

    Raises:
        MediaError: there is no film or sound, one cannot be read, the film is one picture, or sound and
            pictures differ in length by more than half a second.
    """
    made = Clip(**clip)
    if made.video is None:
        raise MediaError("missing", f"clip {made.id} has no film")
    film = read_video(made.video, audio=False, start=made.start, end=made.end)
    if len(film.frames) < 2:
        raise MediaError("too_short", f"{made.video}: a film of one frame is a picture")
    arrays = log_mel_arrays(clip, mel) if emphasis is None else sound_arrays(clip, mel, emphasis)
    heard = len(arrays["mel"]) / MelSettings(**mel).frame_rate
    seen = len(film.frames) / film.fps
    if abs(heard - seen) > LARGEST_DIFFERENCE_SECONDS:
        raise MediaError(
            "length_mismatch",
            f"{made.video}: {seen:.2f} s of pictures and {heard:.2f} s of sound are not of one recording",
        )
    pictures = film.frames[: max(2, math.ceil(round(heard * film.fps, 6)))]
    return {**arrays, "pictures": pictures, "fps": np.array([film.fps])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A part of one film.

    Attributes:
        mel: float32, shape (frames, bands).
        pictures: uint8, shape (pictures, size, size, 3).
        positions: where in the spectrogram the samples of the codes lie, four for each picture, in frames.
        sound: float32, shape (frames, hop), or None.
    """

    mel: np.ndarray
    pictures: np.ndarray
    positions: np.ndarray
    sound: np.ndarray | None


class TargetFilms:
    """The films of one person, all of one size and frame rate.

    Attributes:
        size: height and width in pixels.
        fps: pictures a second.
        rate: spectrogram frames a second.
        key: names the content.
    """

    def __init__(
        self,
        target: str,
        recordings: Sequence[LongRecording],
        rate: float,
    ) -> None:
        """Take recordings of ``mel``, ``pictures``, ``fps`` and, if it is needed, ``sound``.

        Raises:
            InputError: a film is not square, or the films differ in size or frame rate; the clip is named.
        """
        mel, pictures, fps, *sound = recordings
        self.rate = rate
        self.key = content_key([recording.key for recording in recordings])
        self._mel, self._pictures = mel.parts, pictures.parts
        self._sound = sound[0].parts if sound else None
        self.fps = float(fps.parts[0][0])
        self.size = int(pictures.parts[0].shape[1])
        for name, part, own in zip(pictures.ids, pictures.parts, fps.parts, strict=True):
            height, width = part.shape[1:3]
            if (height, width) != (self.size, self.size):
                raise InputError(
                    f"clip {name}: pictures of {width}x{height}; all films of {target} must be squares of "
                    f"one size, and the first has a height of {self.size}"
                )
            if not math.isclose(float(own[0]), self.fps):
                raise InputError(
                    f"clip {name}: {float(own[0]):g} pictures a second; the first film of {target} has "
                    f"{self.fps:g}, and all must have the same"
                )

    def mean(self) -> np.ndarray:
        """The mean of all pictures, float64 of shape (size, size, 3), range 0 to 255."""
        total = sum(part.sum(axis=0, dtype=np.int64) for part in self._pictures)
        return total / sum(len(part) for part in self._pictures)

    def pictures_in(self, frames: int) -> int:
        """How many pictures are shown within so many spectrogram frames."""
        return max(1, math.floor(round(frames / self.rate * self.fps, 6)))

    def starts(self, frames: int) -> np.ndarray:
        """Number of crops of so many spectrogram frames in each film, at least one."""
        pictures = self.pictures_in(frames)
        return np.array([max(1, len(part) - pictures + 1) for part in self._pictures])

    def crop(self, film: int, first: int, frames: int) -> Crop:
        """Copy a part of one film that begins with a picture.

        A crop never runs over the end of a film into another one: after a film's end its last picture stands
        and the sound is digital silence.

        Args:
            film: which.
            first: index of the first picture.
            frames: spectrogram frames.
        """
        pictures = self.pictures_in(frames)
        exact = first / self.fps * self.rate
        start = round(exact)
        shown = self._pictures[film][first : first + pictures]
        shown = np.pad(shown, ((0, pictures - len(shown)), (0, 0), (0, 0), (0, 0)), mode="edge")
        positions = code_positions(first + pictures, self.fps, self.rate)[STRIDE * first :] - start
        sound = None if self._sound is None else _padded(self._sound[film], start, frames)
        return Crop(
            mel=_padded(self._mel[film], start, frames), pictures=shown, positions=positions, sound=sound
        )


def _padded(part: np.ndarray, start: int, frames: int) -> np.ndarray:
    cut = np.array(part[start : start + frames])
    return np.pad(cut, ((0, frames - len(cut)), (0, 0)))


def with_sound(clips: Sequence[Clip]) -> list[Clip]:
    """Let films speak for themselves where no recording is named."""
    return [replace(clip, audio=clip.audio or clip.video) for clip in clips]


def target_films(
    clips: Sequence[Clip],
    target: str,
    mel: MelSettings,
    trainer: TrainerSettings,
    *,
    emphasis: float | None = None,
) -> TargetFilms:
    """Read (or find) the films of a target; those that cannot be used are left out and named in a warning.

    Args:
        clips: those of other people are passed over.
        target: whose.
        mel: how the spectrogram is taken.
        trainer: its directory holds what was read.
        emphasis: as in :func:`film_arrays`.

    Raises:
        InputError: less than half a minute of the target can be used, or the films differ in size.
    """
    # A film is known by its own path too: the hash of a clip can be that of its sound.
    known = [
        replace(clip, sha256=content_key(clip.sha256, clip.audio, clip.video)) for clip in with_sound(clips)
    ]
    fields = ("mel", "pictures", "fps", *(() if emphasis is None else ("sound",)))
    settings = {"mel": asdict(mel), "emphasis": emphasis}
    recordings = target_recordings(known, target, film_arrays, settings, trainer, mel, fields=fields)
    return TargetFilms(target, recordings, mel.frame_rate)
