"""Films of drawn talking heads with the noise of a camera, and the same with the mouth blurred, as poor fakes
are."""

from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Video, write_video
from doppelbench.corpora.talkers.face import Head, Pose, face_of
from doppelbench.detectors.video_detector import VideoDetector

SIZE, FPS, COUNT, FILMS = 64, 20.0, 6, 6
NOISE = 6.0


@cache
def head() -> Head:
    """Of a person in whose face the search finds one."""
    return Head(face_of("ada", "female", 0), SIZE)


def natural(seed: int, count: int = COUNT) -> Video:
    """A head that speaks; each pixel of each frame has noise of its own."""
    generator = np.random.default_rng(seed)
    openings = 0.5 + 0.5 * np.sin(np.arange(count) * 0.9 + seed)
    drawn = np.stack([head().draw(Pose(opening=float(value)))[0] for value in openings])
    noisy = drawn + generator.normal(0, NOISE, drawn.shape)
    return Video(np.clip(noisy, 0, 255).round().astype(np.uint8), FPS)


def mouth() -> tuple[slice, slice]:
    """Rows and columns of a mouth that is open."""
    _, truth = head().draw(Pose(opening=1.0))
    x, y = round(truth["mouth_x"]), round(truth["mouth_y"])
    return slice(y - 7, y + 8), slice(x - 9, x + 10)


def blurred(film: Video) -> Video:
    """The same film without detail and noise at the mouth."""
    frames = film.frames.copy()
    rows, columns = mouth()
    frames[:, rows, columns] = uniform_filter(film.frames, (1, 5, 5, 1))[:, rows, columns]
    return Video(frames, film.fps)


def write_film(path: Path, film: Video, speaker: str = "ada") -> Clip:
    write_video(path, film)
    return Clip(path.stem, speaker, video=str(path))


def write_films(folder: Path) -> tuple[list[Clip], list[Clip]]:
    """Bona fide and spoofed clips."""
    folder.mkdir(exist_ok=True)
    real = [write_film(folder / f"real{seed}.mkv", natural(seed)) for seed in range(FILMS)]
    fake = [write_film(folder / f"fake{seed}.mkv", blurred(natural(100 + seed))) for seed in range(FILMS)]
    return real, fake


def separation(detector: VideoDetector) -> float:
    """Lowest score of a bona fide film less the highest of a spoofed one; none of them was in a training."""
    films = [natural(seed) for seed in range(200, 204)]
    return min(map(detector.score_film, films)) - max(detector.score_film(blurred(film)) for film in films)
