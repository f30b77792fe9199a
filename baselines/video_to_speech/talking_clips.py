"""Speech cut to the times of pictures, and films as training material with their mouths cut out.

Row f of every array is the time from f / fps to (f + 1) / fps: one picture, the spectrogram frames that begin
in it, and its samples. Sound that ends before the pictures, as GRID's does by 22 ms, is followed by digital
silence; what goes on after them is cut off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from doppelbench.baselines.common import clip_features
from doppelbench.baselines.target_films import LARGEST_DIFFERENCE_SECONDS, with_sound
from doppelbench.baselines.video_to_speech.settings import VideoToSpeechSettings
from doppelbench.corpora import mouths
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError, warn_whole_pictures
from doppelbench.corpora.features import MelSettings, log_mel
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import read_audio
from doppelbench.corpora.mouths import mouth_film
from doppelbench.engine.cache import ArrayCache
from doppelbench.engine.hashing import content_key
from doppelbench.engine.trainer import TrainerSettings


class SpeechBatch(NamedTuple):
    """Crops to train on; an audio encoder sees ``mel``, a video encoder ``pictures``.

    Attributes:
        pictures: grey, uint8 (batch, pictures, side, side); empty where there are none.
        identity: float32 (batch, numbers); of no numbers where none is told.
        mel: float32 (batch, pictures * frames, bands), range 0 to 1.
        sound: float32 (batch, pictures * samples) at the house's level.
        start: first picture of the part that a waveform is made of.
        step: number of the batch.
    """

    pictures: Tensor
    identity: Tensor
    mel: Tensor
    sound: Tensor
    start: int
    step: int


class Speech(NamedTuple):
    """Sound by pictures: ``mel`` (pictures, frames, bands) and ``sound`` (pictures, samples), float32."""

    mel: np.ndarray
    sound: np.ndarray


def speech_by_pictures(samples: np.ndarray, pictures: int, fps: float, mel: MelSettings) -> Speech:
    """Cut sound to the times of pictures.

    Args:
        samples: mono signal at the rate of ``mel`` that begins with the first picture, any level.
        pictures: how many there are.
        fps: pictures a second; each lasts a whole number of spectrogram frames.
        mel: how the spectrogram is taken.

    Raises:
        MediaError: ``silent`` or ``not_finite``.
    """
    frames = round(mel.frame_rate / fps)
    count = pictures * frames * mel.hop
    level = normalize_level(samples, mel.rate)[:count]
    sound = np.pad(level, (0, count - level.size))
    # Centred frames are one more than there are hops; the last belongs to the picture that is not there.
    spectrogram = log_mel(sound, mel)[: pictures * frames]
    return Speech(spectrogram.reshape(pictures, frames, -1), sound.reshape(pictures, -1))


def film_arrays(
    clip: Mapping[str, Any], mel: Mapping[str, Any], fps: float, mouth: int
) -> dict[str, np.ndarray]:
    """Compute what is kept of one film; arguments are the fields of a clip and of the mel settings.

    Returns:
        ``mouths`` uint8 (t, mouth, mouth), ``mel`` and ``sound`` as in :class:`Speech`, ``found`` bool (1,).

    Raises:
        MediaError: there is no film or sound, one cannot be read, or they differ in length by more than half
            a second.
    """
    given, settings = Clip(**clip), MelSettings(**mel)
    if given.audio is None:
        raise MediaError("missing", f"clip {given.id} has no sound")
    film = mouth_film(given, mouth, fps)
    heard = read_audio(given.audio, rate=settings.rate, start=given.start, end=given.end)
    seen = len(film.pictures) / fps
    if abs(heard.seconds - seen) > LARGEST_DIFFERENCE_SECONDS:
        raise MediaError(
            "length_mismatch",
            f"{given.video}: {seen:.2f} s of pictures and {heard.seconds:.2f} s of sound are not of one "
            "recording",
        )
    speech = speech_by_pictures(heard.samples, len(film.pictures), fps, settings)
    found = np.array([film.place.source != "picture"])
    return {"mouths": film.pictures, "mel": speech.mel, "sound": speech.sound, "found": found}


@dataclass(frozen=True, slots=True)
class TalkingClip:
    """One film: ``mouths`` uint8 (t, side, side), its speech, and the identity vectors of the same person's
    other clips, float32 (n, numbers)."""

    mouths: np.ndarray
    speech: Speech
    identities: np.ndarray


class TalkingClips:
    """Batches of crops of films, a pure function of seed and step.

    Every person is as likely as any other, and within a person each picture to begin with. A film that is
    shorter than a crop is continued by its last picture and silence.
    """

    def __init__(
        self,
        people: Mapping[str, Sequence[TalkingClip]],
        settings: VideoToSpeechSettings,
        seed: int,
        key: str,
    ) -> None:
        self.people = [people[name] for name in sorted(people)]
        self.settings = settings
        self.seed = seed
        self.key = key
        self._shares = []
        for clips in self.people:
            starts = np.array([self._starts(clip) for clip in clips], dtype=np.float64)
            self._shares.append(starts / starts.sum())

    def _starts(self, clip: TalkingClip) -> int:
        return max(1, len(clip.mouths) - self.settings.crop_pictures + 1)

    def batch(self, step: int, rank: int, world: int) -> SpeechBatch:
        settings = self.settings
        generator = np.random.default_rng([self.seed, step, rank])
        pictures, identities, speeches = [], [], []
        for _ in range(settings.batch_size):
            person = int(generator.integers(len(self.people)))
            clips = self.people[person]
            clip = clips[int(generator.choice(len(clips), p=self._shares[person]))]
            first = int(generator.integers(self._starts(clip)))
            shown = clip.mouths[first : first + settings.crop_pictures]
            shown = np.pad(shown, ((0, settings.crop_pictures - len(shown)), (0, 0), (0, 0)), mode="edge")
            pictures.append(augmented(shown, settings, generator))
            identities.append(clip.identities[generator.integers(len(clip.identities))])
            speeches.append(cut_speech(clip.speech, first, settings.crop_pictures))
        return joined(np.stack(pictures), np.stack(identities), speeches, settings.window, step, generator)


def joined(
    pictures: np.ndarray,
    identities: np.ndarray,
    speeches: Sequence[Speech],
    window: int,
    step: int,
    generator: np.random.Generator,
) -> SpeechBatch:
    """Make a batch; the part that a waveform is made of begins where ``window`` pictures are left."""
    mel = np.stack([speech.mel for speech in speeches])
    sound = np.stack([speech.sound for speech in speeches])
    latest = mel.shape[1] - window if window else 0
    return SpeechBatch(
        torch.from_numpy(pictures),
        torch.from_numpy(identities),
        torch.from_numpy(mel).flatten(1, 2),
        torch.from_numpy(sound).flatten(1, 2),
        int(generator.integers(max(0, latest) + 1)),
        step,
    )


def cut_speech(speech: Speech, first: int, pictures: int) -> Speech:
    """Copy the speech of some pictures, digital silence after its end."""
    mel, sound = speech.mel[first : first + pictures], speech.sound[first : first + pictures]
    missing = pictures - len(mel)
    return Speech(np.pad(mel, ((0, missing), (0, 0), (0, 0))), np.pad(sound, ((0, missing), (0, 0))))


def augmented(
    pictures: np.ndarray, settings: VideoToSpeechSettings, generator: np.random.Generator
) -> np.ndarray:
    """A part of mouth crops (t, mouth, mouth) as training shows it: (t, crop, crop).

    Anywhere in them, mirrored half of the time, and with a part of each second replaced by the mean.
    """
    size, free = settings.crop, settings.mouth - settings.crop
    top, left = generator.integers(0, free + 1, 2)
    part = pictures[:, top : top + size, left : left + size]
    if settings.flip and generator.integers(2):
        part = part[:, :, ::-1]
    part = np.array(part)
    longest = round(settings.mask_seconds * settings.fps)
    if longest:
        mean = round(float(part.mean()))
        for second in range(0, len(part), max(1, round(settings.fps))):
            length = int(generator.integers(longest + 1))
            begin = second + int(generator.integers(max(1, round(settings.fps) - length + 1)))
            part[begin : begin + length] = mean
    return part


def middle(pictures: np.ndarray, crop: int) -> np.ndarray:
    """The middle of mouth crops (t, side, side), shape (t, crop, crop)."""
    edge = (pictures.shape[1] - crop) // 2
    return np.ascontiguousarray(pictures[:, edge : edge + crop, edge : edge + crop])


def film_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Clips with pictures and sound, each known by the hash of both; films speak for themselves where no
    recording is named."""
    return [
        replace(clip, sha256=content_key(mouths.VERSION, clip.sha256, clip.audio, clip.video))
        for clip in with_sound([clip for clip in clips if clip.video is not None])
    ]


def talking_cache(
    films: Sequence[Clip], settings: VideoToSpeechSettings, trainer: TrainerSettings
) -> ArrayCache:
    """Cut mouths and speech out of films, once, and keep them under the training's directory.

    A film that cannot be used is left out and named in a warning; so are those in which no face was found.

    Raises:
        InputError: no film can be used.
    """
    chosen = {"mel": asdict(settings.mel), "fps": settings.fps, "mouth": settings.mouth}
    cache = clip_features(films, film_arrays, chosen, trainer, "with pictures")
    without = [name for name in cache if not cache[name]["found"][0]]
    taken = "films, which are taken for pictures of heads"
    warn_whole_pictures(without, len(cache), taken, stacklevel=2)
    return cache


def talking_clips(
    films: Sequence[Clip],
    identities: Mapping[str, Mapping[str, np.ndarray]],
    settings: VideoToSpeechSettings,
    trainer: TrainerSettings,
) -> TalkingClips:
    """Films to train on, with the voices of their people.

    Args:
        films: of :func:`film_clips`.
        identities: vectors of each person's clips, by person and id.
        settings: of the system.
        trainer: its directory holds the cache.

    Raises:
        InputError: no film can be used.
    """
    cache = talking_cache(films, settings, trainer)
    people: dict[str, list[TalkingClip]] = {}
    for clip in films:
        known = identities.get(clip.speaker)
        if clip.full_id not in cache or not known:
            continue
        others = [vector for other, vector in known.items() if other != clip.id] or list(known.values())
        arrays = cache[clip.full_id]
        people.setdefault(clip.speaker, []).append(
            TalkingClip(arrays["mouths"], Speech(arrays["mel"], arrays["sound"]), np.stack(others))
        )
    if not people:
        raise InputError("no film can be used for training: nobody in them has an identity vector")
    described = {name: [value.tobytes() for value in own.values()] for name, own in identities.items()}
    return TalkingClips(people, settings, trainer.seed, f"{cache.key}|{content_key(described)}")
