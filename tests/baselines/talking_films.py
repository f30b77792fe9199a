"""Films of a mouth that opens on a plain head, with the truth beside them and a voice that follows it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.films import TRUTH_SUFFIX
from doppelbench.corpora.media import Audio, Video, write_audio, write_video

RATE = 16000
FPS = 25.0
SIZE = 48
# Where the mouth is and how wide, in pixels; 1.7 times the width is cut out.
MOUTH_X, MOUTH_Y, MOUTH_WIDTH = 24.0, 32.0, 18.0
PEOPLE = {"ada": (210.0, 200), "bruno": (110.0, 120)}
PICTURES = 30


def openings(count: int, seed: int) -> np.ndarray:
    """How far the mouth is open, 0 to 1; shut at the beginning and the end."""
    wave = 0.5 - 0.5 * np.cos(np.arange(count) * (0.5 + 0.07 * seed))
    return np.where((np.arange(count) < 2) | (np.arange(count) >= count - 2), 0.0, wave)


def pictures(name: str, opening: np.ndarray) -> np.ndarray:
    """uint8, shape (t, 48, 48, 3)."""
    frames = np.full((len(opening), SIZE, SIZE, 3), PEOPLE[name][1], np.uint8)
    frames[:, :6] = 40
    for frame, value in zip(frames, opening, strict=True):
        height = round(1 + 7 * value)
        frame[int(MOUTH_Y) - height : int(MOUTH_Y) + height, 16:33] = 10
    return frames


def voice(name: str, opening: np.ndarray, seconds: float, seed: int = 0) -> np.ndarray:
    """Harmonics that are as loud as the mouth is open; shape (n,)."""
    time = np.arange(round(seconds * RATE)) / RATE
    loud = np.interp(time * FPS - 0.5, np.arange(len(opening)), opening)
    phase = 2 * np.pi * PEOPLE[name][0] * time
    signal = sum(np.sin(n * phase) / n for n in range(1, 20))
    noise = np.random.default_rng(seed).standard_normal(time.size)
    return (0.1 * loud * signal + 1e-4 * noise).astype(np.float32)


def write_truth(film: Path, count: int, fps: float = FPS) -> None:
    truth = {"fps": fps, "mouth_x": [MOUTH_X] * count, "mouth_y": [MOUTH_Y] * count}
    content = {**truth, "mouth_width": [MOUTH_WIDTH] * count, "mouth_opening": [3.0] * count}
    film.with_suffix(TRUTH_SUFFIX).write_text(json.dumps(content))


def write_clip(folder: Path, name: str, seed: int, *, count: int = PICTURES, split: str = "train") -> Clip:
    """Write a silent film with its truth, and the sound beside it, 22 ms shorter as GRID's is."""
    opening = openings(count, seed)
    film, sound = folder / f"{name}{seed}.mkv", folder / f"{name}{seed}.flac"
    write_video(film, Video(pictures(name, opening), FPS))
    write_truth(film, count)
    write_audio(sound, Audio(voice(name, opening, count / FPS - 0.022, seed), RATE))
    return Clip(f"{name}{seed}", name, audio=str(sound), video=str(film), split=split)


def write_speech(folder: Path, seed: int, seconds: float = 2.0) -> Clip:
    """Write the sound of somebody who was never filmed."""
    opening = openings(round(seconds * FPS), seed)
    path = folder / f"heard{seed}.flac"
    write_audio(path, Audio(voice("ada", opening, seconds, seed), RATE))
    return Clip(f"heard{seed}", f"somebody{seed}", audio=str(path))


def write_corpus(folder: Path) -> list[Clip]:
    """Two films of each of two people to train on, one of each for trials, and three recordings of others."""
    films = [
        write_clip(folder, name, seed, split="test" if seed == 2 else "train")
        for name in PEOPLE
        for seed in range(3)
    ]
    return films + [write_speech(folder, seed) for seed in range(3)]


def training(clips: list[Clip]) -> list[Clip]:
    return [clip for clip in clips if clip.split == "train"]


def enrolment(clips: list[Clip], name: str = "ada") -> list[Clip]:
    return [clip for clip in training(clips) if clip.speaker == name]


def trial(clips: list[Clip], name: str = "ada") -> Trial:
    """The film alone: what is given to a system has a recording that is not its own."""
    (clip,) = (clip for clip in clips if clip.speaker == name and clip.split == "test")
    return Trial(f"{clip.id}_to_{name}", replace(clip, audio=None), name, clip)
