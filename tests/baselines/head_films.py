"""Films of drawn talking heads with a voice that follows the mouth, made from a seed in no time."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.media import Audio, Video, write_audio, write_video
from doppelbench.corpora.talkers.face import Head, Pose, face_of

RATE = 16000
FPS = 20.0
# In ada's face the detector finds one, in bruno's it does not.
PEOPLE = {"ada": ("female", 0, 210.0), "bruno": ("male", 1, 110.0)}


def head(name: str, size: int = 64) -> Head:
    gender, index, _ = PEOPLE[name]
    return Head(face_of(name, gender, index), size)


def openings(count: int, seed: int) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(np.arange(count) * 0.9 + seed)


def pictures(name: str, count: int, seed: int = 0, size: int = 64) -> np.ndarray:
    """A head whose mouth opens and closes; uint8, shape (count, size, size, 3)."""
    drawn = head(name, size)
    return np.stack([drawn.draw(Pose(opening=float(value)))[0] for value in openings(count, seed)])


def voice(name: str, count: int, seed: int = 0, fps: float = FPS) -> Audio:
    """Harmonics that are louder and brighter as the mouth opens."""
    time = np.arange(round(count / fps * RATE)) / RATE
    opening = np.interp(time * fps - 0.5, np.arange(count), openings(count, seed))
    phase = 2 * np.pi * PEOPLE[name][2] * time
    signal = sum(np.sin(n * phase) * (0.2 + opening) ** (n / 4) / n for n in range(1, 30))
    noise = np.random.default_rng(seed).standard_normal(time.size)
    return Audio((0.1 * (0.1 + opening) * signal + 1e-3 * noise).astype(np.float32), RATE)


def write_clip(
    folder: Path, name: str, seed: int, *, count: int = 40, fps: float = FPS, split: str = "train"
) -> Clip:
    """Write a film and its sound beside it."""
    film, sound = folder / f"{name}{seed}.mkv", folder / f"{name}{seed}.flac"
    write_video(film, Video(pictures(name, count, seed), fps))
    write_audio(sound, voice(name, count, seed, fps))
    return Clip(f"{name}{seed}", name, audio=str(sound), video=str(film), split=split)


def write_corpus(folder: Path) -> list[Clip]:
    """For each of two people two films to train on and one for trials, of 2 s."""
    return [
        write_clip(folder, name, seed, split="test" if seed == 2 else "train")
        for name in PEOPLE
        for seed in range(3)
    ]


def of(clips: list[Clip], name: str, split: str = "train") -> list[Clip]:
    return [clip for clip in clips if clip.speaker == name and clip.split == split]


def training(clips: list[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.split == "train"]


def own_trial(clips: list[Clip], name: str = "ada") -> Trial:
    (clip,) = of(clips, name, "test")
    return Trial(f"{clip.id}_to_{name}", clip, name, clip)


def driven_trial(clips: list[Clip]) -> Trial:
    (clip,) = of(clips, "bruno", "test")
    return Trial(f"{clip.id}_to_ada", clip, "ada", None)


def with_other_film(trial: Trial, folder: Path) -> Trial:
    """The same trial with another natural film of the same length, in reference and source."""
    assert trial.reference is not None
    path = folder / "other.mkv"
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    write_video(path, Video(noise, FPS))
    other = str(path)
    return replace(
        trial,
        source=replace(trial.source, video=other),
        reference=replace(trial.reference, video=other),
    )


def following(frames: np.ndarray, natural: np.ndarray, late: int = 0) -> float:
    """Correlation over time of how dark ada's mouth is in a film and in nature ``late`` frames before."""
    _, truth = head("ada", frames.shape[1]).draw(Pose(opening=1.0))
    x, y = round(truth["mouth_x"]), round(truth["mouth_y"])
    drawn, wanted = (film[:, y - 5 : y + 6, x - 6 : x + 7].mean(axis=(1, 2, 3)) for film in (frames, natural))
    return float(np.corrcoef(np.roll(drawn, -late)[4:-4], wanted[4:-4])[0, 1])
