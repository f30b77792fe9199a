"""The comparisons that an experiment is made for: systems of one run, trial by trial.

A system that was trained with several seeds answers a trial several times. Its score of the trial is the mean
of those, so that the interval and the p-value are those of the trials with these trainings given; how far
single trainings differ from one another is said beside it, by the difference of each pair of seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from doppelbench.benchmark.compare import (
    Comparison,
    Pair,
    RunScores,
    Series,
    compare_pairs,
    format_bounds,
    format_p,
    format_signed,
    format_verdict,
    load_scores,
)
from doppelbench.benchmark.plan import Plan
from doppelbench.benchmark.tables import format_value


@dataclass(frozen=True, slots=True)
class Contrast:
    """A system against a base by one metric, both named by their label."""

    base: str
    system: str
    metric: str


def asked_contrasts(plan: Plan) -> list[Contrast]:
    """The contrasts of a recipe, by those metrics that rank its track where it names none."""
    return [
        Contrast(contrast.base, system, metric)
        for contrast in plan.recipe.contrasts
        for system in contrast.systems
        for metric in (contrast.metrics or plan.track.ranking)
    ]


def contrast_rows(
    folder: Path, systems: Sequence[Mapping[str, Any]], asked: Sequence[Contrast]
) -> list[dict[str, Any]]:
    """Compute the contrasts of a scored run.

    Args:
        folder: the run folder.
        systems: those of its plan, with ``key`` and ``replicate_of``.
        asked: what to compare.

    Returns:
        The fields of :class:`doppelbench.benchmark.compare.Comparison` for each contrast and metric, in their
        order, with ``seeds`` (trainings of the base and of the system) and ``by_seed`` (the difference of the
        first training of each, of the second, and so on).
    """
    if not asked:
        return []
    groups: dict[str, list[str]] = {}
    for system in systems:
        groups.setdefault(system.get("replicate_of") or system["key"], []).append(system["key"])
    return compare_groups(load_scores(folder), groups, asked)


def compare_groups(
    scores: RunScores, groups: Mapping[str, Sequence[str]], contrasts: Sequence[Contrast]
) -> list[dict[str, Any]]:
    """Compare systems of a run, each the mean of its trainings.

    Args:
        scores: of the run.
        groups: trainings of each label, in the order of their seeds.
        contrasts: what to compare; the p-values are corrected over all of them.

    Returns:
        Rows as :func:`contrast_rows` has them.
    """
    pooled = replace(
        scores,
        series={
            (label, metric): mean_series([scores.series[key, metric] for key in keys])
            for label, keys in groups.items()
            for metric in {contrast.metric for contrast in contrasts}
            if all((key, metric) in scores.series for key in keys)
        },
    )
    rows = compare_pairs([Pair(pooled, c.base, pooled, c.system, c.metric) for c in contrasts])
    return [
        asdict(row)
        | {
            "seeds": [len(groups[contrast.base]), len(groups[contrast.system])],
            "by_seed": _by_seed(scores, groups, contrast),
        }
        for contrast, row in zip(contrasts, rows, strict=True)
    ]


def mean_series(series: Sequence[Series]) -> Series:
    """Average the scores of several trainings, trial by trial, over the trials that all of them answered."""
    common = set.intersection(*(set(one.terms) for one in series))
    return Series(
        tuple(sorted({signature for one in series for signature in one.signatures})),
        {
            trial: (
                sum(one.terms[trial][0] for one in series) / len(series),
                sum(one.terms[trial][1] for one in series) / len(series),
            )
            for trial in sorted(common)
        },
        frozenset.union(*(one.trials for one in series)),
        min(one.scored for one in series),
    )


def contrast_table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Contrasts as rows for people."""
    return [
        {
            "system": row["system"],
            "against": row["base_system"],
            "metric": row["metric"],
            "trials": str(row["n"]),
            "base": format_value(row["base"], row["unit"]),
            "value": format_value(row["value"], row["unit"]),
            "difference": format_signed(row["difference"], row["unit"]),
            "95 % interval": format_bounds(row["low"], row["high"], row["unit"]),
            "adjusted p": format_p(row["adjusted_p"]),
            "by seed": ", ".join(format_signed(value, row["unit"]) for value in row["by_seed"]),
            "verdict": format_verdict(row["verdict"], row["reason"]),
        }
        for row in rows
    ]


def _by_seed(
    scores: RunScores, groups: Mapping[str, Sequence[str]], contrast: Contrast
) -> list[float | None]:
    pairs = zip(groups[contrast.base], groups[contrast.system], strict=False)
    rows: list[Comparison] = [
        compare_pairs([Pair(scores, base, scores, system, contrast.metric)])[0] for base, system in pairs
    ]
    return [row.difference for row in rows]
