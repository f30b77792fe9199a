"""``analysis.html``: one page that opens from disk without a network, with tables and plots of a listening
test."""

import base64
import io
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from doppelbench.listening.methods_text import methods_paragraph, rater_datasheet
from doppelbench.listening.opinion_scores import OpinionScore
from doppelbench.listening.screening import RULE_TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from doppelbench.listening.analysis import Analysis, Result

# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = {"system": "o", "reference": "s", "anchor": "^"}
QUESTION_TITLES = {
    "naturalness": "Naturalness",
    "similarity": "Voice similarity (VS)",
    "consistency": "Content consistency (CC)",
    "preference": "Preference",
    "abx": "Closer to the reference",
}
TEMPLATE = "analysis.html.j2"


def render_page(analysis: "Analysis") -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined
    from matplotlib import rc_context

    scales = [question for question in QUESTION_TITLES if _has_scores(analysis, question)]
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template.filters |= {"number": number, "percent": percent, "p_value": p_value}
    # Without a fixed salt the ids inside a plot differ from one writing to the next.
    with rc_context({"svg.hashsalt": "doppelbench"}):
        plots = {
            "plane": plane_plot(analysis),
            "histograms": [
                (QUESTION_TITLES[question], plot)
                for question in scales
                if (plot := histogram_plot(analysis.screened, question))
            ],
        }
    return template.from_string(
        resources.files("doppelbench.listening").joinpath(TEMPLATE).read_text(encoding="utf-8")
    ).render(
        analysis=analysis,
        selections=_selections(analysis),
        titles=QUESTION_TITLES,
        rules=RULE_TITLES,
        scales=scales,
        plots=plots,
        methods=methods_paragraph(analysis),
        datasheet=rater_datasheet(analysis),
    )


def number(value: float | None, digits: int = 2) -> str:
    """A figure with fixed digits, a dash for none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A proportion as a percentage, a dash for none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def p_value(value: float | None) -> str:
    """A probability to three digits, a dash for none."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _has_scores(analysis: "Analysis", question: str) -> bool:
    return any(score.question == question for score in analysis.everyone.scores.scores)


def _selections(analysis: "Analysis") -> list[dict[str, Any]]:
    """Both selections as rows of a table, one a system."""
    chosen = [("Sittings that pass the rules", analysis.screened)]
    if analysis.excluded:
        chosen.append(("All sittings", analysis.everyone))
    return [
        {"title": title, "result": result, "rows": table_rows(analysis, result)} for title, result in chosen
    ]


def table_rows(analysis: "Analysis", result: "Result") -> list[dict[str, Any]]:
    """Rows laid out as the paper's Table 3: scores with intervals, best shares, the geometric mean."""
    shares = {(share.system, share.question): share for share in result.scores.best}
    joint = {entry.system: entry for entry in result.scores.joint}
    scores = {(score.system, score.question): score for score in result.scores.scores}
    order = {"system": 0, "anchor": 1, "reference": 2}
    names = sorted({system for system, _ in scores}, key=lambda name: (order[analysis.kinds[name]], name))
    return [
        {
            "system": name,
            "kind": analysis.kinds[name],
            "scores": {
                question: scores[name, question] for question in QUESTION_TITLES if (name, question) in scores
            },
            "shares": {
                question: shares[name, question] for question in QUESTION_TITLES if (name, question) in shares
            },
            "joint": joint.get(name),
        }
        for name in names
    ]


def plane_plot(analysis: "Analysis") -> str | None:
    """Voice similarity against content consistency with intervals and lines of equal geometric mean."""
    points = []
    for name, kind in sorted(analysis.kinds.items()):
        pair = [analysis.screened.scores.score(name, question) for question in ("similarity", "consistency")]
        if pair[0] is not None and pair[1] is not None:
            points.append((name, kind, pair[0], pair[1]))
    if not points:
        return None
    figure, axes = _axes(6.0, 5.0)
    grid = np.linspace(1, 5, 200)
    for level in (1.5, 2, 2.5, 3, 3.5, 4, 4.5):
        axes.plot(grid, level**2 / grid, color="#cccccc", lw=0.8, zorder=0)
    for index, (name, kind, similarity, consistency) in enumerate(points):
        axes.errorbar(
            consistency.mean,
            similarity.mean,
            xerr=_half_widths(consistency),
            yerr=_half_widths(similarity),
            fmt=MARKERS[kind],
            mfc=None if kind == "system" else "white",
            color=COLOURS[index % len(COLOURS)],
            capsize=2,
            label=name if kind == "system" else f"{name} ({kind})",
        )
    axes.set(xlim=(0.9, 5.1), ylim=(0.9, 5.1))
    axes.set_xlabel("content consistency (CC)")
    axes.set_ylabel("voice similarity (VS)")
    axes.set_title("Grey lines: equal geometric mean", fontsize=10)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return _plot_uri(figure)


def histogram_plot(result: "Result", question: str) -> str | None:
    """Share of votes by answer, one row a system."""
    scores = [score for score in result.scores.scores if score.question == question]
    if not scores:
        return None
    figure, axes = _axes(5.6, 0.9 + 0.36 * len(scores))
    answers = sorted({answer for score in scores for answer in score.histogram}, key=float)
    shades = [str(shade) for shade in np.linspace(0.88, 0.2, len(answers))]
    left = np.zeros(len(scores))
    for answer, shade in zip(answers, shades, strict=True):
        widths = np.array([100 * score.histogram.get(answer, 0) / score.n for score in scores])
        axes.barh(range(len(scores)), widths, left=left, color=shade, edgecolor="white", lw=0.5, label=answer)
        left += widths
    axes.set_yticks(range(len(scores)), [score.system for score in scores], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("share of votes, %", fontsize=8)
    axes.legend(
        title="answer",
        fontsize=7,
        title_fontsize=7,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        frameon=False,
    )
    return _plot_uri(figure)


def _half_widths(score: OpinionScore) -> list[list[float]]:
    low = score.mean if score.low is None else score.low
    high = score.mean if score.high is None else score.high
    return [[max(0.0, score.mean - low)], [max(0.0, high - score.mean)]]


def _axes(width: float, height: float) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def _plot_uri(figure: "Figure") -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
