"""``report.html``: one file that opens from disk without a network, with tables, plots, and the audio to
hear.

Everything in it is made from ``run.json``, ``items.parquet`` and the outputs of a run folder, and can be
made again.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from doppelbench.benchmark.budget import budget_table
from doppelbench.benchmark.contrasts import contrast_table
from doppelbench.benchmark.experiment_tables import CONTRASTS, FAIRNESS, differing_corpora
from doppelbench.benchmark.film_examples import film_example, silent_film
from doppelbench.benchmark.tables import format_value
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.run import output_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 4
EXAMPLE_SECONDS = 12.0
# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes as a URI that a page can hold."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def plot_uri(figure: "Figure") -> str:
    """Return a matplotlib figure as an SVG image in a URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")


def player_uri(audio: Audio) -> str:
    """Return a signal as a FLAC file in a URI."""
    import soundfile

    buffer = io.BytesIO()
    peak = max(1.0, float(np.abs(audio.samples).max(initial=0.0)))
    soundfile.write(buffer, audio.samples / peak, audio.rate, format="FLAC", subtype="PCM_16")
    return data_uri(buffer.getvalue(), "audio/flac")


def spectrogram_uri(audio: Audio) -> str:
    """Return the log-mel spectrogram of a signal as a PNG image in a URI."""
    from matplotlib import colormaps
    from PIL import Image

    from doppelbench.corpora.features import log_mel
    from doppelbench.corpora.level import normalize_level
    from doppelbench.corpora.media import resample

    audio = resample(audio, 16000)
    mel = log_mel(normalize_level(audio.samples, audio.rate))[:, ::-1].T
    shades = np.clip((mel - 0.4) / 0.55, 0, 1)
    pixels = (colormaps["magma"](shades)[:, :, :3] * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((360, 110)).save(buffer, format="PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")


def table_rows(
    figures: Sequence[Mapping[str, Any]], systems: Sequence[Mapping[str, Any]], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Arrange figures as one row a system, and mark the best competing system of every metric."""
    by_place = {(figure["system"], figure["metric"]): figure for figure in figures}
    competing = [system["key"] for system in systems if not system["reference_row"]]
    best: dict[str, float] = {}
    for name in metrics:
        cells = [by_place.get((key, name)) for key in competing]
        values = [cell["value"] for cell in cells if cell is not None and cell["value"] is not None]
        direction = next((figure["direction"] for figure in figures if figure["metric"] == name), "higher")
        if len(values) > 1:
            best[name] = max(values) if direction == "higher" else min(values)
    rows = []
    for system in systems:
        row_cells = []
        for name in metrics:
            figure = by_place.get((system["key"], name))
            is_best = (
                figure is not None
                and system["key"] in competing
                and name in best
                and figure["value"] == best[name]
            )
            row_cells.append({"figure": figure, "best": is_best})
        rows.append({"system": system, "cells": row_cells})
    return rows


def trade_off_plot(figures: Sequence[Mapping[str, Any]], systems: Sequence[Mapping[str, Any]]) -> str | None:
    """Plot speaker against content, one point a system with both intervals; the label tells MCD where it is
    known."""
    by_place = {(figure["system"], figure["metric"]): figure for figure in figures}
    points = []
    for system in systems:
        speaker, content = by_place.get((system["key"], "sca")), by_place.get((system["key"], "wer"))
        if speaker and content and speaker["value"] is not None and content["value"] is not None:
            points.append((system, speaker, content, by_place.get((system["key"], "mcd"))))
    if not points:
        return None
    figure, axes = _axes(6.4, 4.4)
    for index, (system, speaker, content, distortion) in enumerate(points):
        label = system["key"]
        if distortion and distortion["value"] is not None:
            label += f" ({distortion['value']:.1f} dB)"
        axes.errorbar(
            content["value"],
            speaker["value"],
            xerr=_half_widths(content),
            yerr=_half_widths(speaker),
            fmt="s" if system["reference_row"] else "o",
            mfc="white" if system["reference_row"] else None,
            color=COLOURS[index % len(COLOURS)],
            capsize=2,
            label=label,
        )
    axes.set_xlabel("word error rate, % (lower is better)")
    axes.set_ylabel("speaker-classification accuracy, %")
    axes.set_title("Voice against words (mel-cepstral distortion in brackets)", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return plot_uri(figure)


def interval_plot(
    name: str, figures: Sequence[Mapping[str, Any]], systems: Sequence[Mapping[str, Any]]
) -> str | None:
    """Plot one metric for all systems, with intervals."""
    own = {figure["system"]: figure for figure in figures if figure["metric"] == name}
    shown = [s for s in systems if own.get(s["key"], {}).get("value") is not None]
    if not shown:
        return None
    figure, axes = _axes(5.2, 0.5 + 0.32 * len(shown))
    for row, system in enumerate(reversed(shown)):
        cell = own[system["key"]]
        colour = "#888888" if system["reference_row"] else COLOURS[0]
        axes.errorbar(cell["value"], row, xerr=_half_widths(cell), fmt="o", color=colour, capsize=3)
    axes.set_yticks(range(len(shown)), [system["key"] for system in reversed(shown)], fontsize=8)
    example = own[shown[0]["key"]]
    unit = f", {example['unit']}" if example["unit"] else ""
    axes.set_xlabel(f"{name}{unit} ({example['direction']} is better)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    return plot_uri(figure)


def confusion_plot(figure_row: Mapping[str, Any]) -> str | None:
    """Plot the confusion matrix of the speaker classifier for one system."""
    confusion = {
        (target, predicted): n for target, predicted, n in figure_row["details"].get("confusion", [])
    }
    if not confusion:
        return None
    targets = sorted({target for target, _ in confusion})
    classes = sorted({predicted for _, predicted in confusion} | set(targets))
    counts = np.array([[confusion.get((t, c), 0) for c in classes] for t in targets], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes(1.2 + 0.42 * len(classes), 0.9 + 0.32 * len(targets))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(len(targets)):
        for column in range(len(classes)):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=colour,
                )
    axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(targets)), targets, fontsize=7)
    axes.set_xlabel("classified as", fontsize=8)
    axes.set_ylabel("target", fontsize=8)
    axes.set_title(figure_row["system"], fontsize=9)
    return plot_uri(figure)


def training_plot(run: Path) -> str | None:
    """Plot the training loss of every system and target that kept a log."""
    import pandas as pd

    logs = sorted((run / "systems").glob("**/log.csv"))
    figure, axes = _axes(6.4, 3.0)
    for log in logs:
        if not log.stat().st_size:
            continue
        table = pd.read_csv(log)
        losses = table[table["metric"] == "loss"]
        if not losses.empty:
            label = log.parent.relative_to(run / "systems").as_posix()
            axes.plot(losses["step"], losses["value"], lw=1, label=label)
    if not axes.lines:
        return None
    axes.set_yscale("log")
    axes.set_title("Training loss", fontsize=10)
    axes.set_xlabel("step", fontsize=8)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, frameon=False)
    return plot_uri(figure)


def choose_examples(trials: Sequence[Mapping[str, Any]], count: int = EXAMPLES) -> list[Mapping[str, Any]]:
    """Pick trials to hear: targets in turn, each with another source speaker where there is one."""
    by_target: dict[str, list[Mapping[str, Any]]] = {}
    for trial in trials:
        by_target.setdefault(trial["target"], []).append(trial)
    chosen: list[Mapping[str, Any]] = []
    heard: set[str] = set()
    while len(chosen) < count and any(by_target.values()):
        for target in sorted(by_target):
            if not by_target[target] or len(chosen) >= count:
                continue
            fresh = [trial for trial in by_target[target] if trial["source"]["speaker"] not in heard]
            trial = (fresh or by_target[target])[0]
            by_target[target].remove(trial)
            heard.add(trial["source"]["speaker"])
            chosen.append(trial)
    return chosen


def example_players(
    run: Path,
    trial: Mapping[str, Any],
    systems: Sequence[Mapping[str, Any]],
    scores: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    """Players and spectrograms of one trial: source, target, then every system that answered it; and the film
    where it is silent."""
    columns = []
    places: list[tuple[str, str, Mapping[str, Any]]] = []
    if trial["source"]["audio"] is not None:
        places.append(("source", f"source: {trial['source']['speaker']}", trial["source"]))
    if trial["reference"] is not None:
        places.append(("natural", f"target: {trial['target']}", trial["reference"]))
    for system in systems:
        if system["key"] in {"source", "natural", "natural-speech"}:
            continue
        file = output_path(run, system["key"], trial["id"], ".flac")
        places.append((system["key"], system["key"], {"audio": str(file), "start": None, "end": None}))
    for key, title, place in places:
        end = place["end"] if place["end"] is not None else None
        start = place["start"]
        try:
            audio = read_audio(place["audio"], start=start, end=end)
        except MediaError:
            continue
        shortened = Audio(audio.samples[: round(EXAMPLE_SECONDS * audio.rate)], audio.rate)
        try:
            image = spectrogram_uri(shortened)
        except MediaError:
            continue
        score = scores.get((key, trial["id"]), {})
        columns.append({"title": title, "audio": player_uri(shortened), "image": image, "score": score})
    silent = trial["source"]["audio"] is None
    film = silent_film(trial["source"], EXAMPLE_SECONDS) if silent else None
    return {"trial": trial, "columns": columns, "film": film}


def _half_widths(figure: Mapping[str, Any]) -> list[list[float]]:
    low = figure["value"] if figure["low"] is None else figure["low"]
    high = figure["value"] if figure["high"] is None else figure["high"]
    return [[max(0.0, figure["value"] - low)], [max(0.0, high - figure["value"])]]


def _axes(width: float, height: float) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def write_report(run: Path, record: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``report.html`` into a run folder.

    Args:
        run: the run folder.
        record: content of ``run.json``.
        figures: rows of :func:`doppelbench.benchmark.figures.compute_figures`.

    Returns:
        Path of the report.
    """
    import pandas as pd
    from jinja2 import Environment, StrictUndefined

    from doppelbench.engine.files import write_bytes

    items = pd.read_parquet(run / "items.parquet")
    systems, trials = record["systems"], record["trials"]
    metrics = [entry["name"] for entry in record["metrics"]]
    failed = items[items["status"] != "ok"]
    scores: dict[tuple[str, str], dict[str, Any]] = {}
    heard = items[(items["metric"] == "wer") & (items["status"] == "ok")]
    for row in heard.to_dict("records"):
        statistics = json.loads(row["statistics"])
        scores[(row["system"], row["trial"])] = {"heard": statistics["hypothesis"]}
    with_films = TRACKS[record["track"]][0].media == "video"
    examples = choose_examples(trials)
    players = [] if with_films else [example_players(run, trial, systems, scores) for trial in examples]
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = template.from_string(
        resources.files("doppelbench.benchmark").joinpath("report.html.j2").read_text()
    ).render(
        format_value=format_value,
        record=record,
        metrics=metrics,
        specs={figure["metric"]: figure for figure in figures},
        rows=table_rows(figures, systems, metrics),
        budget=budget_table(record["budget"]),
        fairness=FAIRNESS,
        contrasts=contrast_table(record["contrasts"]),
        about_contrasts=CONTRASTS,
        corpora_differ=differing_corpora(record["published"], record["corpus"]["label"]),
        trade_off=trade_off_plot(figures, systems),
        intervals=[plot for name in metrics if (plot := interval_plot(name, figures, systems))],
        confusions=[
            plot
            for figure in figures
            if figure["metric"] == "sca" and (plot := confusion_plot(figure)) is not None
        ],
        speakers=[figure for figure in figures if figure["metric"] == "sca"],
        training=training_plot(run),
        examples=players,
        silent_films=any(example["film"] for example in players),
        films=[
            film_example(run, trial, systems, record["faces"]) for trial in (examples if with_films else [])
        ],
        failures=failed.head(50).to_dict("records"),
        n_failures=len(failed),
    )
    write_bytes(run / "report.html", page.encode())
    return run / "report.html"
