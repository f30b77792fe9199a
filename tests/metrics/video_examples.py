"""Moving pictures and weights from a seed, so that the tests of metrics of pictures need no film."""

import json
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Video, write_video

GRID = 8
SKIN, INTERIOR, TEETH = (205, 160, 130), (50, 15, 20), (240, 238, 230)
# Of the convolutions of AlexNet: position in its list of layers, channels in and out, kernel.
LAYERS = ((0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3))


def moving_picture(
    *,
    seed: int = 0,
    frames: int = 5,
    height: int = 48,
    width: int = 64,
    fps: float = 25.0,
    lag: int = 0,
    noise: int = 0,
    percent: int = 100,
) -> Video:
    """A smooth texture that glides by two pixels a frame; whole numbers throughout, so equal everywhere.

    Args:
        seed: of the texture and the noise.
        frames: how many.
        height: in pixels.
        width: in pixels.
        fps: frames per second.
        lag: frames by which the film begins earlier.
        noise: largest error of a pixel.
        percent: brightness.
    """
    generator = np.random.default_rng(seed)
    columns = width + 2 * (frames + 8)
    coarse = generator.integers(0, 256, (height // GRID + 2, columns // GRID + 2, 3))
    y, x = np.arange(height)[:, None, None], np.arange(columns)[None, :, None]
    down, right = y % GRID, x % GRID
    top, left = (y // GRID)[:, 0, 0], (x // GRID)[0, :, 0]
    corners = [coarse[np.ix_(top + i, left + j)] for i in (0, 1) for j in (0, 1)]
    weights = [
        (GRID - down) * (GRID - right), (GRID - down) * right, down * (GRID - right), down * right
    ]  # fmt: skip
    texture = sum(corner * weight for corner, weight in zip(corners, weights, strict=True)) // GRID**2
    starts = 2 * (np.arange(frames) - lag + 8)
    film = np.stack([texture[:, start : start + width] for start in starts]) * percent // 100
    film = film + np.random.default_rng(seed + 1000).integers(-noise, noise + 1, film.shape)
    return Video(np.clip(film, 0, 255).astype(np.uint8), fps)


def talking_picture(
    *, seed: int = 0, frames: int = 30, size: int = 64, fps: float = 25.0, noise: int = 3, lag: int = 0
) -> tuple[Video, dict[str, list[float]]]:
    """A mouth with teeth on plain skin that opens and closes, and the truth about it.

    Args:
        seed: of the motion and the noise.
        frames: how many.
        size: height and width in pixels.
        fps: frames per second.
        noise: largest error of a pixel.
        lag: frames by which the mouth is late.
    """
    generator = np.random.default_rng(seed)
    steps = generator.uniform(-1, 1, frames + 16).cumsum()
    opening = 2 + (steps - steps.min()) / np.ptp(steps) * size / 5
    opening = opening[8 - lag : 8 - lag + frames]
    y, x = np.mgrid[:size, :size] + 0.5
    mouth_x, mouth_y, width = size / 2, 0.7 * size, size / 4
    film = np.empty((frames, size, size, 3), np.int64)
    for frame, gap in zip(film, opening, strict=True):
        inside = ((x - mouth_x) / (width / 2)) ** 2 + ((y - mouth_y) / (gap / 2)) ** 2 < 1
        frame[:] = SKIN
        frame[inside] = INTERIOR
        frame[inside & (y < mouth_y - gap / 4)] = TEETH
    film += np.random.default_rng(seed + 1000).integers(-noise, noise + 1, film.shape)
    truth = {
        "mouth_opening": opening.tolist(),
        "mouth_width": [width] * frames,
        "mouth_x": [mouth_x] * frames,
        "mouth_y": [mouth_y] * frames,
    }
    return Video(np.clip(film, 0, 255).astype(np.uint8), fps), truth


def write_talking_clip(folder: Path, **settings: float) -> tuple[Video, Clip]:
    """Write a talking picture with its truth as the talkers corpus does; returns film and clip."""
    video, truth = talking_picture(**settings)
    path = folder / "clip.mkv"
    write_video(path, video)
    content = json.dumps({"fps": video.fps, **truth})
    (folder / "clip.face.json").write_text(content, encoding="utf-8")
    return video, Clip("clip", "someone", video=str(path))


def lpips_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under the names and in the shapes of the published LPIPS with AlexNet."""
    generator = np.random.default_rng(seed)
    weights = {}
    for stage, (layer, before, after, kernel) in enumerate(LAYERS):
        name = f"net.slice{stage + 1}.{layer}"
        scale = (2 / (before * kernel**2)) ** 0.5
        shape = (after, before, kernel, kernel)
        weights[f"{name}.weight"] = (scale * generator.standard_normal(shape)).astype(np.float32)
        weights[f"{name}.bias"] = (0.1 * generator.standard_normal(after)).astype(np.float32)
        heads = generator.uniform(0, 1, (1, after, 1, 1)).astype(np.float32)
        weights[f"lin{stage}.model.1.weight"] = weights[f"lins.{stage}.model.1.weight"] = heads
    weights["scaling_layer.shift"] = np.array([-0.030, -0.088, -0.188], np.float32).reshape(1, 3, 1, 1)
    weights["scaling_layer.scale"] = np.array([0.458, 0.448, 0.450], np.float32).reshape(1, 3, 1, 1)
    return weights
