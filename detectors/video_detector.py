"""What detectors that judge pictures share: a clip's film is read and checked, its sound is not heard."""

from abc import abstractmethod
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import Audio, Video, read_video
from doppelbench.detectors.detector import Detector, Explanation
from doppelbench.metrics.video_metric import checked_frames

# A picture whose values lie closer together is of one colour but for the noise of a codec.
LEAST_RANGE = 8


def check_film(film: Video) -> None:
    """Refuse films in which there is nothing to judge.

    Raises:
        MediaError: ``unreadable`` when the frames are not uint8 RGB or have no rate, ``too_short`` with fewer
            than two of them, ``silent`` when every picture is of one colour, as a black one is.
    """
    frames = checked_frames(film, role="film").frames
    if len(frames) < 2:
        raise MediaError("too_short", "a film of one frame is a picture")
    if not any(np.ptp(frame.reshape(-1, 3), axis=0).max() >= LEAST_RANGE for frame in frames):
        raise MediaError("silent", "every picture is of one colour, such as black: there is nothing to see")


def read_film(clip: Clip) -> Video:
    """Read and check the pictures of a clip, without its sound.

    Raises:
        MediaError: ``missing`` without a film or its file, ``unreadable`` when it is broken, else as
            :func:`check_film`; the message names clip or file.
    """
    if clip.video is None:
        raise MediaError("missing", f"clip {clip.id!r} has no pictures to judge")
    film = read_video(clip.video, audio=False, start=clip.start, end=clip.end)
    try:
        check_film(film)
    except MediaError as error:
        raise MediaError(error.status, f"{clip.video}: {error.reason}") from None
    return film


class VideoDetector(Detector):
    """A detector of pictures; subclasses say how a film is scored."""

    @abstractmethod
    def score_film(self, film: Video) -> float:
        """Score a film by its pictures alone; a higher score says more likely bona fide.

        Raises:
            MediaError: as :func:`check_film`.
            InputError: the detector is not fitted.
        """

    def score_clip(self, clip: Clip) -> float:
        """Score the film of a clip.

        Raises:
            MediaError: as :func:`read_film`.
            InputError: the detector is not fitted.
        """
        return self.score_film(read_film(clip))

    def explain_film(self, film: Video) -> Explanation:
        """Say which parts of a film its score came from; by leaving them out where a detector knows no
        better.

        Raises:
            MediaError: as :func:`check_film`.
            InputError: the detector is not fitted.
        """
        from doppelbench.detectors.film_occlusion import leave_out

        return leave_out(self.score_film, film)

    def explain_clip(self, clip: Clip) -> Explanation:
        """Say which parts of a clip's film its score came from.

        Raises:
            MediaError: as :func:`read_film`.
            InputError: the detector is not fitted.
        """
        return self.explain_film(read_film(clip))

    def score(self, audio: Audio) -> float:
        """Refuse sound.

        Raises:
            InputError: always.
        """
        raise self._deaf()

    def explain(self, audio: Audio) -> Explanation:
        """Refuse sound.

        Raises:
            InputError: always.
        """
        raise self._deaf()

    def _deaf(self) -> InputError:
        name: Any = self.spec.name
        return InputError(
            f"the detector {name} judges pictures and hears no sound; give it a clip that has a film"
        )
