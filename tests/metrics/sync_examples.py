"""Talking films from a seed: the tests of synchronisation need neither speech synthesis nor a recording."""

import json
from pathlib import Path

import numpy as np
from metric_examples import FORMANTS

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio, Video, write_video
from doppelbench.corpora.talkers.face import Head, Pose, face_of

FPS = 25
RATE = 16000


def talking_film(
    *, seed: int = 0, seconds: float = 3.0, size: int = 64, name: str = "ada", early_frames: int = 0
) -> tuple[Video, dict[str, list[float]]]:
    """A drawn head that says open vowels, and the truth about its mouth.

    Args:
        seed: of the syllables.
        seconds: duration.
        size: height and width in pixels.
        name: whose face.
        early_frames: by how many frames the sound comes too early (too late where negative).
    """
    generator = np.random.default_rng(seed)
    margin = 20
    count = round(seconds * FPS) + 2 * margin
    times = (np.arange(count) + 0.5) / FPS
    moments = np.arange(count * RATE // FPS) / RATE
    opening, loudness = np.zeros(count), np.zeros(moments.size)
    start = 0.1
    while start < count / FPS - 0.5:
        length, height = generator.uniform(0.14, 0.32), generator.uniform(0.5, 1.0)
        for grid, curve in ((times, opening), (moments, loudness)):
            inside = (grid > start) & (grid < start + length)
            curve[inside] = height * np.sin(np.pi * (grid[inside] - start) / length)
        start += length + generator.uniform(0.04, 0.35)
    pitch = 2 * np.pi * np.cumsum(130 + 10 * np.sin(3 * moments)) / RATE
    voice = np.zeros(moments.size)
    for harmonic in range(1, 50):
        frequency = 130 * harmonic
        gain = sum(1 / (1 + ((frequency - formant) / 120) ** 2) for formant in FORMANTS[0][0])
        voice += gain * np.sin(harmonic * pitch)
    sound = 0.05 * voice * loudness + 1e-4 * generator.standard_normal(moments.size)
    head = Head(face_of(name, "female", 0), size)
    drawn = [head.draw(Pose(opening=float(value))) for value in opening[margin : count - margin]]
    frames = np.stack([frame for frame, _ in drawn])
    truth = {key: [measures[key] for _, measures in drawn] for key in drawn[0][1]}
    first = (margin + early_frames) * RATE // FPS
    samples = sound[first : first + len(frames) * RATE // FPS].astype(np.float32)
    return Video(frames, FPS, Audio(samples, RATE)), truth


def write_talking_film(folder: Path, **options: object) -> tuple[Video, Clip]:
    """A talking film, and its clip with the truth beside the file."""
    video, truth = talking_film(**options)  # type: ignore[arg-type]
    path = folder / "film.mkv"
    write_video(path, video)
    path.with_suffix(".face.json").write_text(json.dumps({"fps": FPS, **truth}), encoding="utf-8")
    return video, Clip(id="film", speaker="ada", video=str(path), text="")
