"""Plots of a detection run: error trade-off, scores, and how far likelihood ratios can be believed.

A detector keeps its colour and line through all of them; trivial detectors are thin and grey. Plots are SVG
images whose bytes follow from the figures alone.
"""

import base64
import io
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from doppelbench.benchmark.forensic_tables import DetectorRow, Slice, curve_of
from doppelbench.metrics.calibration_figures import bayes_error_rate, reliability_curve
from doppelbench.metrics.detection_costs import DcfCosts
from doppelbench.metrics.detection_curves import UndefinedError, det_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours that stand out from white, which people with colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000")
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
TRIVIAL_LINES = (":", "--", "-.", "-", (0, (1, 4)))
GREY = "#767676"
BONAFIDE, SPOOF, CONTROL = "#0072B2", "#D55E00", "#555555"
POINTS = 200
# Settings of matplotlib that a user's own file must not change.
REPRODUCED = ("axes.", "font.", "figure.", "xtick.", "ytick.", "legend.", "svg.", "lines.")
# Rates in per cent that are marked on axes of normal deviates.
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80)
LOWEST_RATE, HIGHEST_RATE = 0.0008, 0.8
# Log prior odds of the Bayes error rate.
ODDS = np.linspace(-5, 5, 41)
LONGEST_NAME = 26
# Panels of histograms, and detectors that calibration shows.
MOST_PANELS, MOST_CALIBRATED = 12, 6
FEWEST_BINS, MOST_BINS = 12, 40
TAIL = 0.005


@dataclass(frozen=True, slots=True)
class Style:
    """How a detector is drawn."""

    colour: str
    line: Any
    width: float

    @property
    def drawn(self) -> dict[str, Any]:
        """Arguments of matplotlib's ``plot``."""
        return {"color": self.colour, "ls": self.line, "lw": self.width}


def styles(detectors: Sequence[DetectorRow]) -> dict[str, Style]:
    """A style for each detector: first every colour, then every colour with another line."""
    found = {}
    real = itertools.count()
    grey = itertools.count()
    for row in detectors:
        if row.trivial:
            found[row.name] = Style(GREY, TRIVIAL_LINES[next(grey) % len(TRIVIAL_LINES)], 0.9)
            continue
        number = next(real)
        # The line changes with the colour, so that a print without colours can be read.
        line = LINES[(number + number // len(COLOURS)) % len(LINES)]
        found[row.name] = Style(COLOURS[number % len(COLOURS)], line, 1.8)
    return found


@contextmanager
def plotting() -> Iterator[None]:
    """Settings under which plots are repeatable and names are taken as they are."""
    from matplotlib import rc_context, rcParamsDefault

    settings = {name: rcParamsDefault[name] for name in rcParamsDefault if name.startswith(REPRODUCED)}
    settings |= {
        "svg.hashsalt": "doppelbench",
        "text.parse_math": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 9.0,
    }
    with rc_context(settings), warnings.catch_warnings():
        # Names in scripts that the font of the plots lacks.
        warnings.filterwarnings("ignore", message=r".*[Gg]lyph", category=UserWarning)
        yield


def det_plot(
    panels: Sequence[tuple[str, Sequence[tuple[DetectorRow, Slice]]]], looks: Mapping[str, Style]
) -> str | None:
    """Detection error trade-off on axes of normal deviates, with the points of equal error, a panel a fold.

    Args:
        panels: title, and detectors with their slices.
        looks: style of each detector.

    Returns:
        The image as a data URI; None when no detector has both classes.
    """
    from scipy.special import ndtri

    shown = [
        (title, kept)
        for title, held in panels
        if (kept := [(row, one) for row, one in held if one.eer is not None])
    ]
    if not shown:
        return None
    figure, grid = _grid(len(shown), len(shown), 4.1, 4.1)
    handles: dict[str, Any] = {}
    for axes, (title, held) in zip(grid, shown, strict=True):
        axes.plot([-5, 5], [-5, 5], color="#d0d0d0", lw=0.7, zorder=0)
        lowest = [0.02]
        for row, one in sorted(held, key=lambda pair: not pair[0].trivial):
            curve = curve_of(one.table)
            alarm, miss = det_points(curve, POINTS)
            look = looks[row.name]
            (handles[row.name],) = axes.plot(alarm, miss, **look.drawn, zorder=2 if row.trivial else 3)
            rate = one.eer
            if rate is not None and 0 < rate < 1:
                place = ndtri(rate)
                axes.plot(
                    [place],
                    [place],
                    "o",
                    ms=3.5 if row.trivial else 6,
                    mfc="white",
                    mec=look.colour,
                    mew=1.0 if row.trivial else 1.6,
                    zorder=4,
                )
                lowest.append(rate / 2)
            lowest += [0.8 / count for count in (curve.bonafide_total, curve.spoof_total) if alarm.size]
        low = ndtri(min(max(min(lowest), LOWEST_RATE), 0.02))
        rates = [tick for tick in TICKS if low <= ndtri(tick / 100) <= ndtri(HIGHEST_RATE)]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ndtri(np.array(rates) / 100), [f"{rate:g}" for rate in rates], fontsize=8)
        limits = (low, ndtri(HIGHEST_RATE))
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.grid(alpha=0.3, lw=0.5)
        axes.set_xlabel("false alarm rate, % (fakes accepted)")
        axes.set_ylabel("miss rate, % (bona fide rejected)")
        axes.set_title(_short(title), fontsize=9.5)
    names = [name for name in looks if name in handles]
    grid[-1].legend(
        [handles[name] for name in names],
        [_short(name) for name in names],
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
        fontsize=8.5,
        handlelength=3.2,
    )
    return _uri(figure)


def score_plot(held: Sequence[tuple[DetectorRow, Slice]]) -> str | None:
    """Densities of bona fide and spoofed trials, a panel a detector: of likelihood ratios with the Bayes
    threshold where they are calibrated, else of scores."""
    shown = [(row, one) for row, one in held if one.scored][:MOST_PANELS]
    if not shown:
        return None
    columns = min(3, len(shown))
    figure, grid = _grid(len(shown), columns, 3.4, 2.1)
    threshold = DcfCosts().bayes_threshold
    marks: dict[str, Any] = {}
    for axes, (row, one) in zip(grid, shown, strict=False):
        calibrated = one.has_ratios()
        column = "llr" if calibrated else "score"
        real, fake = one.sides(column)
        controls = one.controls[column].dropna().to_numpy(float)
        together = np.concatenate([real, fake, controls])
        low, high = np.quantile(together, [TAIL, 1 - TAIL])
        if low == high:
            low, high = low - 0.5, high + 0.5
        bins = int(np.clip(np.sqrt(together.size), FEWEST_BINS, MOST_BINS))
        edges = np.linspace(low, high, bins + 1)
        for name, side, colour, line in (
            ("bona fide", real, BONAFIDE, "-"),
            ("spoofed", fake, SPOOF, "--"),
            ("control generators", controls, CONTROL, ":"),
        ):
            if not side.size:
                continue
            heights, _ = np.histogram(np.clip(side, low, high), edges)
            shares = 100 * heights / side.size
            if line != ":":
                axes.stairs(shares, edges, fill=True, color=colour, alpha=0.18, lw=0)
            marks[name] = axes.stairs(shares, edges, color=colour, ls=line, lw=1.4)
        if calibrated:
            marks["Bayes threshold"] = axes.axvline(threshold, color="black", lw=0.9, ls=(0, (4, 2)))
        axes.set_title(_short(row.name) + (" (trivial)" if row.trivial else ""), fontsize=9)
        axes.set_xlabel("log likelihood ratio" if calibrated else "score, not calibrated", fontsize=8)
        axes.set_ylabel("% of class", fontsize=8)
        axes.tick_params(labelsize=7.5)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.legend(
        list(marks.values()),
        list(marks),
        loc="lower center",
        bbox_to_anchor=(0.5, 0.98),
        ncols=len(marks),
        frameon=False,
        fontsize=9,
    )
    figure.subplots_adjust(top=1 - 0.4 / figure.get_figheight(), wspace=0.28, hspace=0.7)
    return _uri(figure)


def calibration_plot(held: Sequence[tuple[DetectorRow, Slice]], looks: Mapping[str, Style]) -> str | None:
    """Reliability of posteriors, Bayes error rates over prior odds, and shares of likelihood ratios
    (Tippett), for the detectors that have likelihood ratios of both classes; trivial ones are left out."""
    shown = []
    for row, one in held:
        if row.trivial or not one.has_ratios():
            continue
        real, fake = one.sides("llr")
        try:
            shown.append((row, reliability_curve(real, fake), curve_of(one.table, "llr")))
        except UndefinedError:
            continue
    shown = shown[:MOST_CALIBRATED]
    if not shown:
        return None
    figure, (reliability, errors, tippett) = _grid(3, 3, 3.9, 3.7)
    reliability.plot([0, 1], [0, 1], color="#b0b0b0", lw=0.8)
    errors.plot(ODDS, 100 / (1 + np.exp(np.abs(ODDS))), color="#b0b0b0", lw=0.8)
    tippett.axvline(0, color="#b0b0b0", lw=0.8)
    handles = []
    for row, bins, curve in shown:
        look = looks[row.name]
        reliability.plot(bins.claimed, bins.observed, **look.drawn)
        sizes = 8 + 160 * bins.weight
        reliability.scatter(bins.claimed, bins.observed, s=sizes, color=look.colour, alpha=0.55, lw=0)
        rates = [bayes_error_rate(curve, prior=float(1 / (1 + np.exp(-odds)))) for odds in ODDS]
        (line,) = errors.plot(ODDS, [100 * actual for actual, _ in rates], **look.drawn)
        errors.plot(ODDS, [100 * least for _, least in rates], color=look.colour, ls=":", lw=1.0)
        handles.append(line)
        miss, alarm = curve.rates()
        kept = np.unique(np.linspace(0, len(curve.scores) - 1, POINTS).round().astype(int))
        for shares in (1 - miss, alarm):
            tippett.plot(curve.scores[kept], 100 * shares[kept], **look.drawn)
    reliability.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    reliability.set_xlabel("claimed probability of bona fide")
    reliability.set_ylabel("observed share of bona fide")
    reliability.set_title("Reliability, prior 0.5", fontsize=9.5)
    errors.set_xlabel("log prior odds of bona fide")
    errors.set_ylabel("error rate, %")
    errors.set_ylim(bottom=0)
    errors.set_title("Bayes error rate (dotted: best threshold)", fontsize=9.5)
    ratios = np.concatenate([one.table["llr"].to_numpy(float) for row, one in held if one.has_ratios()])
    low, high = np.quantile(ratios, [TAIL, 1 - TAIL])
    tippett.set_xlim(min(low, -1.0), max(high, 1.0))
    tippett.set_xlabel("log likelihood ratio x")
    tippett.set_ylabel("% of class with a ratio of at least x")
    tippett.set_title("Tippett (upper: bona fide, lower: spoofed)", fontsize=9.5)
    for axes in (reliability, errors, tippett):
        axes.grid(alpha=0.3, lw=0.5)
        axes.tick_params(labelsize=8)
    figure.legend(
        handles,
        [_short(row.name) for row, _, _ in shown],
        loc="lower center",
        bbox_to_anchor=(0.5, 0.98),
        ncols=len(shown),
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )
    figure.subplots_adjust(top=1 - 0.4 / figure.get_figheight(), wspace=0.28)
    return _uri(figure)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _grid(panels: int, columns: int, width: float, height: float) -> tuple["Figure", list[Any]]:
    from matplotlib.figure import Figure

    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows))
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _uri(figure: "Figure") -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
