"""Where a score came from, as a JSON file and a picture beside each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.media import Audio
from doppelbench.detectors.detector import Explanation
from doppelbench.engine.files import replacing, write_json

DIGITS = 6


def write_explanation(place: Path, audio: Audio, found: Explanation, row: Mapping[str, Any]) -> None:
    """Write ``<place>.json`` and ``<place>.png``.

    Args:
        place: of the files; the suffix of the recording stays in their names.
        audio: the recording.
        found: what its score came from.
        row: file, score, likelihood ratio and words, for the heading.
    """
    # Relevance that is not finite would be no JSON, and is no explanation.
    relevance = np.nan_to_num(found.relevance)
    write_json(
        place.with_name(f"{place.name}.json"),
        {
            "schema": 1,
            **{name: row[name] for name in ("file", "score", "llr", "words")},
            "method": found.method,
            "times": np.round(found.times, DIGITS).tolist(),
            "frequencies": None if found.frequencies is None else np.round(found.frequencies, 2).tolist(),
            "relevance": np.round(relevance, DIGITS).tolist(),
        },
    )
    with replacing(place.with_name(f"{place.name}.png")) as part:
        _draw(part, audio, found, relevance, row)


def _draw(
    path: Path, audio: Audio, found: Explanation, relevance: np.ndarray, row: Mapping[str, Any]
) -> None:
    """The waveform above its relevance; blue speaks for real, red for fake."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    wave, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    seconds = np.arange(audio.samples.size) / audio.rate
    step = max(1, audio.samples.size // 4000)
    wave.plot(seconds[::step], audio.samples[::step], color="0.35", linewidth=0.6)
    wave.set(ylabel="amplitude", yticks=[])
    wave.set_title(f"{row['file']}: score {row['score']:.3g}; {row['words']}", fontsize=9, wrap=True)
    bound = float(np.abs(relevance).max(initial=0.0)) or 1.0
    if found.frequencies is None:
        width = float(np.median(np.diff(found.times))) if found.times.size > 1 else audio.seconds
        colours = np.where(relevance > 0, "tab:blue", "tab:red")
        below.bar(found.times, relevance, width=width, color=colours.tolist())
        below.axhline(0, color="0.5", linewidth=0.5)
        below.set(ylabel="relevance", ylim=(-1.05 * bound, 1.05 * bound))
    else:
        mesh = below.pcolormesh(
            found.times,
            found.frequencies / 1000,
            relevance.T,
            cmap="RdBu",
            vmin=-bound,
            vmax=bound,
            shading="nearest",
        )
        below.set(ylabel="frequency in kHz")
        figure.colorbar(mesh, ax=below, label="speaks for fake (red) or real (blue)")
    below.set(xlabel="time in s", xlim=(0, max(audio.seconds, 1e-3)))
    figure.savefig(path, format="png", dpi=110)
