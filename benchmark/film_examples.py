"""Films of a run: those that systems made, side by side, and the silent one that systems made audible.

Of the first a player each, and beneath it pictures at equal times with the mouth close up, as figure 6 of the
exemplar paper shows systems: one row a system, one column a moment.
"""

import functools
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Video, read_video, write_preview
from doppelbench.engine.run import output_path
from doppelbench.metrics.mouth_box import mouth_box

MOMENTS = 6
SIDE = 96
# Longest side of a silent film in the report.
SILENT_SIDE = 360


def film_example(
    run: Path,
    trial: Mapping[str, Any],
    systems: Sequence[Mapping[str, Any]],
    faces: Mapping[str, str],
) -> dict[str, Any]:
    """Player and strip of every system that answered a trial.

    Args:
        run: the run folder.
        trial: fields of the trial.
        systems: in the order of the table.
        faces: a natural film of each target, which says where the mouth is.

    Returns:
        The ``trial``, and ``columns`` with ``title``, ``film`` (mp4 as a data URI) and ``strip`` (PNG as a
        data URI), one a system.
    """
    from doppelbench.benchmark.report import data_uri

    face = faces.get(trial["target"])
    columns = []
    for system in systems:
        file = output_path(run, system["key"], trial["id"], ".mkv")
        preview = output_path(run, system["key"], trial["id"], ".mp4")
        if not preview.is_file():
            continue
        try:
            film = read_video(file, audio=False)
        except MediaError:
            continue
        columns.append(
            {
                "title": system["key"],
                "film": data_uri(preview.read_bytes(), "video/mp4"),
                "strip": data_uri(strip_png(film.frames, film.fps, face), "image/png"),
            }
        )
    return {"trial": trial, "columns": columns}


def silent_film(clip: Mapping[str, Any], seconds: float) -> str | None:
    """A film without its sound, to be looked at while a system's answer plays.

    Args:
        clip: fields of a clip.
        seconds: at most so much of its beginning.

    Returns:
        An mp4 as a data URI; None when the clip has no film that can be read.
    """
    from PIL import Image

    from doppelbench.benchmark.report import data_uri

    if clip["video"] is None:
        return None
    start = clip["start"] or 0.0
    end = start + seconds if clip["end"] is None else min(clip["end"], start + seconds)
    try:
        film = read_video(clip["video"], audio=False, start=start, end=end)
    except MediaError:
        return None
    height, width = film.frames.shape[1:3]
    scale = min(1.0, SILENT_SIDE / max(height, width))
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    frames = np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in film.frames])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "silent.mp4"
        write_preview(path, Video(frames, film.fps))
        return data_uri(path.read_bytes(), "video/mp4")


def strip_png(frames: np.ndarray, fps: float, face: str | None) -> bytes:
    """Pictures at six equal steps of a film, and beneath each its mouth.

    Args:
        frames: uint8, shape (t, height, width, 3).
        fps: frames per second.
        face: a natural film of the same person, in which the mouth is looked for; the pictures alone when
            None or when no mouth is found.
    """
    from PIL import Image

    chosen = np.linspace(0, len(frames) - 1, MOMENTS + 2).round().astype(int)[1:-1]
    rows = [[frames[index] for index in chosen]]
    box = None if face is None else _mouth(face)
    if box is not None:
        top, bottom, left, right = box
        rows.append([frames[index][top:bottom, left:right] for index in chosen])
    lines = []
    for row in rows:
        height = round(SIDE * row[0].shape[0] / row[0].shape[1])
        pictures = [Image.fromarray(picture).resize((SIDE, height)) for picture in row]
        lines.append(np.concatenate([np.asarray(picture) for picture in pictures], axis=1))
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(lines)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


@functools.cache
def _mouth(face: str) -> tuple[int, int, int, int] | None:
    try:
        film = read_video(face, audio=False)
        box = mouth_box(film.frames, film.fps, Clip("face", "", video=face))
    except MediaError:
        return None
    return box.top, box.bottom, box.left, box.right
