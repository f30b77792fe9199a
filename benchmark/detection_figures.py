"""Figures of a detection run, computed from its table of trials.

Every figure belongs to a protocol, fold, detector, variant and group of test trials:

* ``pooled``: all bona fide clips and all fakes of generators;
* ``attack``: all bona fide clips and the fakes of one generator or control;
* ``speaker``: clips of one voice; ``style``: clips of one style;
* ``seen`` and ``unseen``, by name ``attack``, ``speaker`` or ``style``: what training had, and had not.

Controls count in their own rows alone. Figures of ranking come from the scores, figures of calibration from
the likelihood ratios of the development part. ``accuracy`` (mean of both classes) is at the score 0, where a
two-class softmax is undecided, as in Table 4 of the exemplar paper; ``accuracy_transferred`` at the threshold
of the equal error rate of the development part.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from doppelbench.benchmark.detection_folder import finding
from doppelbench.detectors.evaluation import CALIBRATION, RANKING, RATIO_KINDS, evaluate
from doppelbench.detectors.evaluation_rows import DetectionFigure, EvaluationRow
from doppelbench.detectors.trials import Trials

PLACE = ("protocol", "fold", "detector", "variant")
Row = Mapping[str, Any]
# Groups too many and too small for intervals.
WITHOUT_INTERVALS = frozenset({"speaker"})


def compute_figures(
    rows: Sequence[Row], score_kinds: Mapping[str, str], *, draws: int = 1000, seed: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Figures of every group, and what a reader of them must know.

    Args:
        rows: of the table of trials.
        score_kinds: by detector, see :class:`doppelbench.detectors.detector.DetectorSpec`.
        draws: resamples of an interval.
        seed: of the resamples.

    Returns:
        Rows of ``figures.csv``, and findings with ``severity``, ``where`` and ``message``.
    """
    figures: list[dict[str, Any]] = []
    findings: list[dict[str, str]] = []
    ordered = sorted(rows, key=_place)
    development = {
        place[:3]: [row for row in found if row["part"] == "development"]
        for place, found in _by_place(ordered)
        if place[3] == "plain"
    }
    for place, found in _by_place(ordered):
        test = [row for row in found if row["part"] == "test"]
        where = " ".join(part for part in place if part)
        missing = [row for row in test if row["score"] is None]
        if missing:
            message = f"{len(missing)} of {len(test)} clips have no score, such as {missing[0]['id']}: "
            findings.append(finding("warning", where, message + missing[0]["reason"]))
        scored = [row for row in test if row["score"] is not None]
        for group, name, chosen in _groups(scored):
            row, said = _evaluated(
                chosen,
                development.get(place[:3], []),
                score_kinds[place[2]],
                draws=0 if group in WITHOUT_INTERVALS else draws,
                seed=seed,
            )
            head = dict(zip(PLACE, place, strict=True)) | {"group": group, "name": name}
            figures += [{**head, **figure} for figure in row]
            if group == "pooled":
                findings += [finding(severity, where, message) for severity, message in said]
    return figures, findings


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in PLACE)


def _by_place(rows: Sequence[Row]) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    for place, found in groupby(rows, key=_place):
        yield place, list(found)


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Group, name and trials of every group that says more than the pooled one."""
    real = [row for row in rows if row["bonafide"]]
    fakes = [row for row in rows if not row["bonafide"] and not row["control"]]
    pooled = [*real, *fakes]
    if not pooled:
        return
    yield "pooled", "", pooled
    for attack in _values(row for row in rows if not row["bonafide"]):
        yield "attack", attack, [*real, *(row for row in rows if row["attack"] == attack)]
    for name in ("speaker", "style"):
        found = sorted({row[name] for row in pooled if row[name] is not None})
        for value in found if len(found) > 1 else ():
            yield name, value, [row for row in pooled if row[name] == value]
    if len({row["attack_seen"] for row in fakes}) > 1:
        for group, seen in (("seen", True), ("unseen", False)):
            yield group, "attack", [*real, *(row for row in fakes if row["attack_seen"] is seen)]
    for name in ("speaker", "style"):
        if {row[f"{name}_seen"] for row in pooled} == {True, False}:
            for group, seen in (("seen", True), ("unseen", False)):
                yield group, name, [row for row in pooled if row[f"{name}_seen"] is seen]


def _values(rows: Iterable[Row]) -> list[str]:
    return sorted({row["attack"] for row in rows})


def _trials(rows: Sequence[Row], column: str) -> Trials:
    return Trials(
        ids=[row["id"] for row in rows],
        scores=np.array([row[column] for row in rows], np.float64),
        bonafide=np.array([row["bonafide"] for row in rows], bool),
        groups={"speaker": [row["speaker"] for row in rows]},
    )


def _evaluated(
    rows: Sequence[Row], development: Sequence[Row], kind: str, *, draws: int, seed: int
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Figures of one group, and findings with their severity."""
    intervals = ("pooled",) if draws else ()
    options: dict[str, Any] = {"by": (), "intervals": intervals, "draws": max(1, draws), "seed": seed}
    held = [row for row in development if row["score"] is not None]
    both = len({row["bonafide"] for row in held}) == 2
    ranked = evaluate(
        _trials(rows, "score"),
        score_kind="raw",
        thresholds=(0.0,) if kind in RATIO_KINDS else (),
        development=_trials(held, "score") if both else None,
        **options,
    )
    figures = {name: ranked.pooled.figures[name] for name in RANKING}
    if all(row["llr"] is not None for row in rows):
        calibrated = evaluate(_trials(rows, "llr"), score_kind="llr", **options).pooled.figures
        figures |= {name: calibrated[name] for name in ("min_cllr", *CALIBRATION)}
    else:
        none = DetectionFigure(None, reason="not calibrated: no development part that can be fitted on")
        figures |= dict.fromkeys(CALIBRATION, none)
    figures |= _accuracies(ranked.pooled)
    said = [(str(item.severity), item.message) for item in ranked.findings if item.code != "not_ratios"]
    return [
        {
            "metric": name,
            **{key: getattr(figure, key) for key in ("value", "low", "high", "speaker_low", "speaker_high")},
            "bonafide": ranked.pooled.bonafide,
            "spoof": ranked.pooled.spoof,
            "reason": figure.reason or "",
        }
        for name, figure in figures.items()
    ], said


def _accuracies(row: EvaluationRow) -> dict[str, DetectionFigure]:
    found = {}
    for accuracy in row.accuracies:
        name = "accuracy" if accuracy.origin == "fixed" else "accuracy_transferred"
        reason = None if accuracy.balanced is not None else "a class has no trials"
        found[name] = DetectionFigure(accuracy.balanced, reason=reason)
        for side, interval in (("bonafide", accuracy.bonafide), ("spoof", accuracy.spoof)):
            found[f"{name}_{side}"] = DetectionFigure(
                interval.value,
                interval.low,
                interval.high,
                reason=None if interval.value is not None else "there are no trials of this class",
            )
    return found


def matrix_table(figures: Sequence[Mapping[str, Any]], metric: str = "eer_asvspoof") -> list[dict[str, Any]]:
    """One row for each detector, fold and variant, one column for each group, for people.

    Args:
        figures: rows of ``figures.csv``.
        metric: the figure, in per cent.
    """
    columns: dict[str, None] = {}
    table: dict[tuple[str, ...], dict[str, Any]] = {}
    for figure in figures:
        if figure["metric"] != metric or figure["group"] == "speaker":
            continue
        column = " ".join(part for part in (figure["group"], figure["name"]) if part)
        column = column.removeprefix("attack ")
        columns[column] = None
        row = table.setdefault(tuple(figure[name] for name in PLACE), {})
        row[column] = None if figure["value"] is None else round(100 * figure["value"], 1)
    return [
        dict(zip(PLACE, place, strict=True)) | {column: row.get(column) for column in columns}
        for place, row in table.items()
    ]
