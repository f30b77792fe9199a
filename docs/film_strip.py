"""Write a strip of pictures from a run of films: one line a system, six moments of one trial, mouths beneath.

    python docs/film_strip.py runs/grid docs/grid-strip.png natural-video exemplar-av lipgan speech2vid

The trial is the first one that the target drives itself; ``--trial`` names another.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from doppelbench.benchmark.film_examples import strip_png
from doppelbench.corpora.media import read_video
from doppelbench.engine.run import Run

HEADING = 16


def line(run: Run, system: str, trial: str, face: str | None) -> np.ndarray:
    """The pictures of one system under its name."""
    film = read_video(run.output_path(system, trial, ".mkv"), audio=False)
    pictures = np.asarray(Image.open(io.BytesIO(strip_png(film.frames, film.fps, face))))
    heading = Image.new("RGB", (pictures.shape[1], HEADING), "white")
    ImageDraw.Draw(heading).text((2, 2), system, fill="black")
    return np.concatenate([np.asarray(heading), pictures])


def main() -> None:
    """Write the strip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--trial")
    options = parser.parse_args()
    run = Run.open(options.run)
    trials = {trial["id"]: trial for trial in run.info.plan["trials"]}
    own = (name for name, trial in trials.items() if trial["source"]["speaker"] == trial["target"])
    trial = options.trial or next(own)
    face = run.info.plan["faces"].get(trials[trial]["target"])
    lines = [line(run, system, trial, face) for system in options.systems]
    strip = Image.fromarray(np.concatenate(lines))
    strip.quantize(256, dither=Image.Dither.NONE).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
