"""Films of many people as a training of talking heads sees them, and the film that a target is enrolled from.

Faces are cut out, resized and kept with the windows of cepstra around each picture in one file a field, which
is mapped into memory, so that many clips need little of it.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from doppelbench.baselines.face_placing import FaceBox, cut_face, place_face, whole_picture
from doppelbench.baselines.reference_rows import read_clip
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import (
    InputError,
    LeftOutWarning,
    MediaError,
    WholePictureWarning,
    warn_whole_pictures,
)
from doppelbench.corpora.media import Video, read_video
from doppelbench.corpora.mfcc import mfcc_windows
from doppelbench.engine.cache import CacheItem, build_cache
from doppelbench.engine.errors import CacheError
from doppelbench.engine.hashing import content_key
from doppelbench.engine.trainer import TrainerSettings

# Raised whenever the same clip would become other arrays.
VERSION = 1
# A still shown with a picture to be drawn is at least this far from it: LipGAN's 6 frames at 25 per second.
AWAY_SECONDS = 0.24
# Of a target's film so much is kept for stills and background.
ENROLMENT_SECONDS = 20.0
FRAMES_AT_ONCE = 32


def frames_away(fps: float) -> int:
    """Frames that lie at least a quarter of a second (0.24 s) apart."""
    return max(1, int(np.ceil(round(AWAY_SECONDS * fps, 6))))


def read_film(clip: Clip, *, longest: float | None = None) -> Video:
    """Read the pictures of a clip.

    Args:
        clip: with a video.
        longest: seconds from the beginning at most.

    Raises:
        MediaError: there is no film, it cannot be read, or it has one frame.
    """
    if clip.video is None:
        raise MediaError("missing", f"clip {clip.id} has no film")
    end = clip.end
    if longest is not None:
        limit = (clip.start or 0.0) + longest
        end = limit if end is None else min(end, limit)
    film = read_video(clip.video, audio=False, start=clip.start, end=end)
    if len(film.frames) < 2:
        raise MediaError("too_short", f"{clip.video}: a film of one frame is a picture")
    return film


def face_arrays(clip: Mapping[str, Any], picture: int, find_faces: bool) -> dict[str, np.ndarray]:
    """Compute the cached arrays of one clip: ``pictures`` (t, picture, picture, 3), ``sound`` (t, 12, 35),
    ``fps`` (1,) and ``found`` (1,)."""
    given = Clip(**clip)
    if given.audio is None:
        raise MediaError("missing", f"{given.video}: the film has no sound")
    film = read_film(given)
    away = frames_away(film.fps)
    if len(film.frames) < 2 * away:
        raise MediaError(
            "too_short", f"{given.video}: {len(film.frames)} frames, at least {2 * away} are needed"
        )
    box = place_face(film.frames) if find_faces else whole_picture(film.frames)
    return {
        "pictures": np.ascontiguousarray(cut_face(film.frames, box, picture)),
        "sound": mfcc_windows(read_clip(given).samples, len(film.frames), film.fps),
        "fps": np.array([film.fps]),
        "found": np.array([box.found or not find_faces]),
    }


@dataclass(frozen=True, slots=True)
class FaceClip:
    """One clip: ``pictures`` uint8 (t, picture, picture, 3), ``sound`` (t, 12, 35), and how many frames
    a still must be away from the picture that is drawn."""

    pictures: np.ndarray
    sound: np.ndarray
    away: int

    def still(self, frame: int, count: int, generator: np.random.Generator) -> np.ndarray:
        """Draw frames that are far enough from ``frame``, different ones where there are as many."""
        frames = np.arange(len(self.pictures))
        far = frames[np.abs(frames - frame) >= self.away]
        return generator.choice(far, count, replace=len(far) < count)


class FaceClips:
    """Clips of several people; each person is as likely as any other, and within a person each frame."""

    def __init__(self, people: Mapping[str, Sequence[FaceClip]], key: str) -> None:
        self.people = [people[name] for name in sorted(people)]
        self.shares = []
        for clips in self.people:
            frames = np.array([len(clip.pictures) for clip in clips], dtype=np.float64)
            self.shares.append(frames / frames.sum())
        self.key = key

    def draw(self, generator: np.random.Generator) -> tuple[FaceClip, int]:
        """Draw a clip and one of its frames."""
        person = int(generator.integers(len(self.people)))
        clips = self.people[person]
        clip = clips[int(generator.choice(len(clips), p=self.shares[person]))]
        return clip, int(generator.integers(len(clip.pictures)))


def face_clips(clips: Sequence[Clip], picture: int, find_faces: bool, trainer: TrainerSettings) -> FaceClips:
    """Cut the faces out of everybody's films, once, and keep them in the training's cache.

    Clips without a film are passed over. A film that cannot be used (unreadable, without sound, shorter than
    half a second) is left out and named in a warning, and so are those in which no face was found.

    Args:
        clips: of all people.
        picture: height and width of the faces.
        find_faces: look for faces; else the whole picture is taken for one.
        trainer: says where the cache is.

    Raises:
        InputError: no film can be used.
    """
    films = [clip for clip in clips if clip.video is not None]
    if not films:
        raise InputError("talking heads are trained on films; none of the clips has one")
    settings = {"picture": picture, "find_faces": find_faces}
    items = [CacheItem(clip.full_id, {"clip": asdict(clip), **settings}) for clip in films]
    described = [(clip.full_id, clip.sha256, clip.audio, clip.video, clip.start, clip.end) for clip in films]
    key = content_key("face_arrays", VERSION, described, settings)[:16]
    try:
        cache = build_cache(trainer.feature_folder, key, items, face_arrays)
    except CacheError as error:
        raise InputError(f"no film can be used for training: {error}") from None
    for name, reason in cache.failed.items():
        warnings.warn(f"clip {name} is left out of the training: {reason}", LeftOutWarning, stacklevel=2)
    without = [name for name in cache if not cache[name]["found"][0]]
    warn_whole_pictures(without, len(cache), "films, whose whole pictures are taken", stacklevel=2)
    people: dict[str, list[FaceClip]] = {}
    for clip in films:
        if clip.full_id in cache:
            arrays = cache[clip.full_id]
            people.setdefault(clip.speaker, []).append(
                FaceClip(arrays["pictures"], arrays["sound"], frames_away(float(arrays["fps"][0])))
            )
    return FaceClips(people, cache.key)


@dataclass(frozen=True, slots=True)
class EnrolledFilm:
    """A film of a target: ``frames`` uint8 (t, height, width, 3), where the face is, and the ``faces`` cut
    out, uint8 (t, picture, picture, 3)."""

    frames: np.ndarray
    fps: float
    box: FaceBox
    faces: np.ndarray


def enrolled_film(video: Video, picture: int, find_faces: bool) -> EnrolledFilm:
    """Cut the face out of a film."""
    box = place_face(video.frames) if find_faces else whole_picture(video.frames)
    return EnrolledFilm(video.frames, video.fps, box, cut_face(video.frames, box, picture))


def enrol_film(target: str, clips: Sequence[Clip], picture: int, find_faces: bool) -> EnrolledFilm:
    """Take the first film of a target in which a face is found; the first that can be read where there is
    none, which a warning says. Of a long film the first 20 s are used; sound is not needed.

    Raises:
        InputError: no film can be used; the message says why.
    """
    reasons, without_face = [], None
    for clip in clips:
        try:
            film = enrolled_film(read_film(clip, longest=ENROLMENT_SECONDS), picture, find_faces)
        except MediaError as error:
            reasons.append(str(error))
            continue
        if film.box.found or not find_faces:
            return film
        without_face = without_face or film
    if without_face is None:
        raise InputError(
            f"no film of target {target} can be used to enrol it: {'; '.join(reasons) or 'there is none'}"
        )
    warnings.warn(
        f"no face was found in the films of target {target}; the whole picture is taken",
        WholePictureWarning,
        stacklevel=2,
    )
    return without_face


def to_unit(pictures: np.ndarray | Tensor) -> Tensor:
    """Turn uint8 pictures (..., height, width, 3) into float32 (..., 3, height, width), range 0 to 1."""
    tensor = pictures if isinstance(pictures, Tensor) else torch.from_numpy(np.ascontiguousarray(pictures))
    return tensor.movedim(-1, -3).float() / 255


def to_bytes(pictures: Tensor) -> np.ndarray:
    """Turn pictures (t, 3, height, width) into uint8 (t, height, width, 3): clipped, then rounded."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1).cpu().numpy()


def in_parts(draw: Callable[[slice], Tensor], count: int) -> np.ndarray:
    """Draw pictures a few at a time; returns uint8 (count, height, width, 3)."""
    return np.concatenate([to_bytes(draw(part)) for part in _parts(count)])


def _parts(count: int) -> Iterator[slice]:
    for begin in range(0, count, FRAMES_AT_ONCE):
        yield slice(begin, min(begin + FRAMES_AT_ONCE, count))
