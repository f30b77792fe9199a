"""Tables of a detection run: every figure comes from :func:`doppelbench.detectors.evaluation.evaluate`.

Fakes of control generators, where no voice was converted, are in no pooled figure; they have rows of their
own. Of a protocol with several folds, tables that cannot show all of them show its principal fold: the one
trained on everything, else the first that left something out, else the first.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from doppelbench.benchmark.detection_folder import PLAIN
from doppelbench.benchmark.forensic_trials import DetectionRun
from doppelbench.detectors.evaluation import CALIBRATION, RANKING, evaluate
from doppelbench.detectors.evaluation_rows import DetectionFigure, Evaluation, EvaluationRow, Finding
from doppelbench.detectors.trials import Trials
from doppelbench.metrics.detection_accuracy import Accuracy, accuracy_at, transferred_accuracy
from doppelbench.metrics.detection_curves import ScoreCurve, UndefinedError, equal_error_rate, score_curve
from doppelbench.metrics.detection_intervals import DRAWS, curve_intervals

if TYPE_CHECKING:
    import pandas as pd

# Figures that need likelihood ratios, and the one that they are compared with.
OF_RATIOS = (*CALIBRATION, "min_cllr")
MOST_SPEAKERS = 40
# Folds whose curves and whole tables are shown.
SHOWN_FOLDS = 3
# Findings that the tables say by themselves.
SAID = frozenset({"not_ratios", "kind_undeclared", "reading"})
NO_RATIOS = "no development trials to calibrate on, so there are no likelihood ratios"
NO_SCORES = "no trial has a score"


@dataclass(frozen=True, slots=True)
class DetectorRow:
    """What is known of a detector.

    Attributes:
        name: as the trials say it.
        title: one line for people; empty when it is not known here.
        paper: citation.
        preset: its size.
        trivial: whether it hears one thing that should tell nothing.
    """

    name: str
    title: str = ""
    paper: str = ""
    preset: str = ""
    trivial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """A detector of one fold on the test trials of one variant, judged.

    Attributes:
        protocol: its protocol.
        fold: its fold.
        detector: which detector.
        variant: ``plain`` or the degradation.
        table: test trials that have a score, without those of control generators.
        controls: those of control generators that have a score.
        expected: test trials with and without a score, controls included.
        pooled: figures of all trials of the table.
        attacks: rows by attack, control generators included.
        speakers: rows by speaker.
        transferred: accuracy at the equal error threshold of the development trials; None without them.
        bayes: accuracy where likelihood ratios are cut at 1; None without them.
        findings: what a reader must know of the pooled figures.
    """

    protocol: str
    fold: str
    detector: str
    variant: str
    table: "pd.DataFrame"
    controls: "pd.DataFrame"
    expected: int
    pooled: EvaluationRow
    attacks: Mapping[str, EvaluationRow]
    speakers: Mapping[str, EvaluationRow]
    transferred: Accuracy | None
    bayes: Accuracy | None
    findings: tuple[Finding, ...]

    @property
    def scored(self) -> int:
        """Test trials that have a score."""
        return len(self.table) + len(self.controls)

    @property
    def eer(self) -> float | None:
        """Pooled equal error rate by the rule of ASVspoof."""
        return self.pooled.figures["eer_asvspoof"].value

    def has_ratios(self) -> bool:
        """Whether every trial that has a score has a likelihood ratio too."""
        return has_ratios(self.table)

    def sides(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Bona fide and spoofed numbers of a column."""
        return sides(self.table, column)


def has_ratios(table: "pd.DataFrame") -> bool:
    """Whether there are trials, and all have a likelihood ratio."""
    return len(table) > 0 and bool(table["llr"].notna().all())


def sides(table: "pd.DataFrame", column: str) -> tuple[np.ndarray, np.ndarray]:
    """Bona fide and spoofed numbers of a column of trials."""
    numbers, bonafide = table[column].to_numpy(float), table["bonafide"].to_numpy(bool)
    return numbers[bonafide], numbers[~bonafide]


def detector_rows(run: DetectionRun) -> list[DetectorRow]:
    """What is known of the detectors of a run, trivial ones last: from the record, else from the registry."""
    from doppelbench.corpora.errors import DoppelbenchError
    from doppelbench.detectors.registry import find_detector

    rows = []
    for name in dict.fromkeys(run.trials["detector"]):
        held = run.record["detectors"].get(name)
        if held is None:
            try:
                spec = find_detector(name.partition(":")[0]).spec
            except DoppelbenchError:
                rows.append(DetectorRow(name))
                continue
            held = {"title": spec.title, "paper": spec.paper, "trivial": spec.trivial}
        title, paper, preset = (str(held.get(key) or "") for key in ("title", "paper", "preset"))
        rows.append(DetectorRow(name, title, paper, preset, trivial=bool(held.get("trivial"))))
    return sorted(rows, key=lambda row: row.trivial)


def ordered_folds(run: DetectionRun, protocol: str) -> list[str]:
    """Folds of a protocol, the principal one first: all, then what leaves something out, then the others."""
    present = set(run.trials.loc[run.trials["protocol"] == protocol, "fold"])
    told = [str(name) for name in run.record["protocols"].get(protocol, {}).get("folds", [])]
    names = [name for name in dict.fromkeys([*told, *sorted(present)]) if name in present]
    return sorted(names, key=lambda name: FOLD_KINDS.index(fold_kind(name)))


FOLD_KINDS = ("everything", "leave one out", "one alone")


def fold_kind(fold: str) -> str:
    """One of ``FOLD_KINDS``."""
    if fold in ("", "all"):
        return FOLD_KINDS[0]
    return FOLD_KINDS[1] if fold.startswith("without ") else FOLD_KINDS[2]


def trials_of(table: "pd.DataFrame", column: str, source: str) -> Trials:
    """Rows as trials of the evaluation."""
    return Trials(
        ids=table["id"].tolist(),
        scores=table[column].to_numpy(float),
        bonafide=table["bonafide"].to_numpy(bool),
        groups={"attack": table["attack"].tolist(), "speaker": table["speaker"].tolist()},
        source=source,
    )


def judge(
    rows: "pd.DataFrame",
    names: Mapping[str, str],
    *,
    groups: Sequence[str] = ("attack", "speaker"),
    pooling: bool = True,
    draws: int = DRAWS,
) -> Slice:
    """Judge the trials of one protocol, fold, detector and variant.

    Args:
        rows: test trials of the variant, and development trials where there are some.
        names: ``protocol``, ``fold``, ``detector`` and ``variant``.
        groups: groups that are judged on their own too.
        pooling: whether figures on the convex hull get intervals, which take most of the time.
        draws: resamples of the intervals.
    """
    test = rows[rows["part"] == "test"]
    scored = test[test["status"] == "ok"]
    controls, table = scored[scored["control"]], scored[~scored["control"]]
    source = ", ".join(value for value in names.values() if value)
    findings: tuple[Finding, ...] = ()
    attacks: dict[str, EvaluationRow] = {}
    speakers: dict[str, EvaluationRow] = {}
    bayes = None
    if table.empty:
        pooled = _undefined(NO_SCORES)
    else:
        found = _evaluated(table, source, groups, pooling=pooling, draws=draws)
        pooled = found.pooled
        attacks = {row.name: row for row in found.rows if row.group == "attack"}
        speakers = {row.name: row for row in found.rows if row.group == "speaker"}
        findings = tuple(one for one in found.findings if one.group == "pooled" and one.code not in SAID)
        if has_ratios(table):
            bayes = accuracy_at(curve_of(table, "llr"), 0.0)
    if "attack" in groups and not controls.empty:
        attacks |= _control_rows(table, controls, source, draws)
    return Slice(
        **names,
        table=table,
        controls=controls,
        expected=len(test),
        pooled=pooled,
        attacks=attacks,
        speakers=speakers,
        transferred=_transferred(rows, table),
        bayes=bayes,
        findings=findings,
    )


def _control_rows(
    table: "pd.DataFrame", controls: "pd.DataFrame", source: str, draws: int
) -> dict[str, EvaluationRow]:
    import pandas as pd

    trials = trials_of(pd.concat([table[table["bonafide"]], controls]), "score", source)
    found = evaluate(trials, score_kind="raw", by=("attack",), intervals=("attack",), draws=draws)
    return {row.name: row for row in found.rows if row.group == "attack"}


def _evaluated(
    table: "pd.DataFrame", source: str, by: Sequence[str], *, pooling: bool, draws: int
) -> Evaluation:
    """Evaluate trials by their scores, and figures of calibration by their likelihood ratios."""
    if not has_ratios(table):
        found = _of_column(table, "score", source, by, pooling=pooling, draws=draws)
        absent = int(table["llr"].isna().sum())
        part = f"{absent} of {len(table)} scored trials have no likelihood ratio"
        none = DetectionFigure(None, reason=NO_RATIOS if absent == len(table) else part)
        return _with_pooled(found, dict.fromkeys(CALIBRATION, none))
    same = table["score"].rank().equals(table["llr"].rank())
    ratios = _of_column(table, "llr", source, by if same else (), pooling=pooling, draws=draws)
    if same:
        return ratios
    # Bounded or reversed ratios rank the trials in another way than the scores do.
    scores = _of_column(table, "score", source, by, pooling=pooling, draws=draws)
    return _with_pooled(scores, {name: ratios.pooled.figures[name] for name in OF_RATIOS})


def _of_column(
    table: "pd.DataFrame", column: str, source: str, by: Sequence[str], *, pooling: bool, draws: int
) -> Evaluation:
    few = table["speaker"].nunique() <= MOST_SPEAKERS
    with_intervals = [name for name in by if name != "speaker" or few]
    found = evaluate(
        trials_of(table, column, source),
        score_kind="llr" if column == "llr" else "raw",
        by=by,
        intervals=["pooled", *with_intervals] if pooling else with_intervals,
        draws=draws,
    )
    if pooling or not found.pooled.bonafide or not found.pooled.spoof:
        return found
    return _with_pooled(found, _light_intervals(found.pooled, table, column, draws))


def _light_intervals(
    row: EvaluationRow, table: "pd.DataFrame", column: str, draws: int
) -> dict[str, DetectionFigure]:
    """Figures with the intervals that need no pooling of violators in every draw."""
    speakers, bonafide = table["speaker"].to_numpy(), table["bonafide"].to_numpy(bool)
    by_trial, by_speaker = (
        curve_intervals(
            *sides(table, column),
            clusters=clusters,
            calibrated=column == "llr",
            pooling=False,
            draws=draws,
        )
        for clusters in (None, (speakers[bonafide], speakers[~bonafide]))
    )
    return {
        name: replace(
            row.figures[name],
            low=found.low,
            high=found.high,
            speaker_low=by_speaker[name].low,
            speaker_high=by_speaker[name].high,
        )
        for name, found in by_trial.items()
    }


def _with_pooled(found: Evaluation, figures: Mapping[str, DetectionFigure]) -> Evaluation:
    first = replace(found.pooled, figures={**found.pooled.figures, **figures})
    return replace(found, rows=(first, *found.rows[1:]))


def _transferred(rows: "pd.DataFrame", table: "pd.DataFrame") -> Accuracy | None:
    development = rows[(rows["part"] == "development") & (rows["status"] == "ok") & ~rows["control"]]
    if table.empty or development["bonafide"].nunique() < 2:
        return None
    return transferred_accuracy(curve_of(development), curve_of(table))


def curve_of(table: "pd.DataFrame", column: str = "score") -> ScoreCurve:
    """Operating points of trials."""
    return score_curve(*sides(table, column))


def _undefined(reason: str) -> EvaluationRow:
    figures = {name: DetectionFigure(None, reason=reason) for name in (*RANKING, *CALIBRATION)}
    return EvaluationRow(group="pooled", name="", bonafide=0, spoof=0, speakers=None, figures=figures)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProtocolTables:
    """All that the page shows of one protocol.

    Attributes:
        name: of the protocol.
        folds: the principal one first.
        detectors: that have trials in it, trivial ones last.
        slices: plain slices by fold and detector.
        best: the detector with the lowest equal error rate over the folds of the principal kind, trivial ones
            left out; None where there is none.
    """

    name: str
    folds: Sequence[str]
    detectors: Sequence[DetectorRow]
    slices: Mapping[tuple[str, str], Slice]
    best: str | None

    @property
    def principal(self) -> str:
        """The principal fold."""
        return self.folds[0]

    def of_fold(self, fold: str) -> list[tuple[DetectorRow, Slice]]:
        """Detectors that were tested in a fold, with their slices."""
        return [
            (row, self.slices[fold, row.name]) for row in self.detectors if (fold, row.name) in self.slices
        ]


def protocol_tables(
    run: DetectionRun, name: str, detectors: Sequence[DetectorRow], *, draws: int = DRAWS
) -> ProtocolTables:
    """Judge every detector on the plain trials of every fold of a protocol."""
    rows = run.trials[(run.trials["protocol"] == name) & (run.trials["variant"] == PLAIN)]
    rows_of = {
        (str(fold), str(detector)): own
        for (fold, detector), own in rows.groupby(["fold", "detector"], sort=False)
        if (own["part"] == "test").any()
    }
    tested = {detector for _, detector in rows_of}
    folds = [fold for fold in ordered_folds(run, name) if any(fold == place[0] for place in rows_of)]
    slices = {
        (fold, detector): judge(
            own,
            {"protocol": name, "fold": fold, "detector": detector, "variant": PLAIN},
            groups=("attack", "speaker") if fold == folds[0] else ("attack",),
            pooling=fold in folds[:SHOWN_FOLDS],
            draws=draws,
        )
        for (fold, detector), own in rows_of.items()
    }
    shown = [row for row in detectors if row.name in tested]
    return ProtocolTables(
        name=name, folds=folds, detectors=shown, slices=slices, best=_best(folds, shown, slices)
    )


def _best(
    folds: Sequence[str], detectors: Sequence[DetectorRow], slices: Mapping[tuple[str, str], Slice]
) -> str | None:
    of_kind = [fold for fold in folds if fold_kind(fold) == fold_kind(folds[0])]
    means = []
    for row in detectors:
        rates = [slices[fold, row.name].eer for fold in of_kind if (fold, row.name) in slices]
        held = [rate for rate in rates if rate is not None]
        if held and not row.trivial:
            means.append((float(np.mean(held)), row.name))
    return min(means)[1] if means else None


def fold_means(tables: ProtocolTables) -> list[dict[str, Any]]:
    """Mean, lowest and highest equal error rate of each detector over all folds of a kind, where a kind has
    several."""
    found = []
    for kind in FOLD_KINDS:
        folds = [fold for fold in tables.folds if fold_kind(fold) == kind]
        if len(folds) < 2:
            continue
        for row in tables.detectors:
            rates = {
                fold: tables.slices[fold, row.name].eer for fold in folds if (fold, row.name) in tables.slices
            }
            held = {fold: rate for fold, rate in rates.items() if rate is not None}
            if held:
                worst = max(held, key=lambda fold: held[fold])
                found.append(
                    {
                        "kind": kind,
                        "detector": row,
                        "mean": float(np.mean(list(held.values()))),
                        "low": min(held.values()),
                        "high": held[worst],
                        "worst": worst,
                        "folds": len(held),
                        "of": len(folds),
                    }
                )
    return found


def matrix_tables(tables: ProtocolTables, *, most: int = 4) -> list[dict[str, Any]]:
    """Equal error rates by generator: of each of the best detectors by fold where there are several folds,
    else of all detectors.

    Returns:
        Tables with ``detector`` (None when the rows are detectors), ``rows`` of ``name``, ``trivial`` and
        ``cells``, ``attacks`` and ``controls``. A cell has ``row`` (an :class:`EvaluationRow` or None), and
        ``seen``: whether the detector was trained on the generator, None where that is not known.
    """
    names = {
        control: sorted({attack for one in tables.slices.values() for attack in set(_of(one, control))})
        for control in (False, True)
    }
    if not names[False] and not names[True]:
        return []
    columns = [*names[False], *(name for name in names[True] if name not in names[False])]
    shape = {"attacks": names[False], "controls": [name for name in columns if name not in names[False]]}
    if len(tables.folds) == 1:
        rows = [
            _matrix_row(row.name, one, columns, trivial=row.trivial)
            for row, one in tables.of_fold(tables.principal)
        ]
        return [{"detector": None, "rows": rows, **shape}]
    ranked = sorted(
        (row for row in tables.detectors if not row.trivial),
        key=lambda row: (row.name != tables.best, _mean_eer(tables, row.name)),
    )
    return [
        {
            "detector": row.name,
            "rows": [
                _matrix_row(fold or "all", tables.slices[fold, row.name], columns)
                for fold in tables.folds
                if (fold, row.name) in tables.slices
            ],
            **shape,
        }
        for row in ranked[:most]
    ]


def _mean_eer(tables: ProtocolTables, detector: str) -> float:
    rates = [one.eer for (_, name), one in tables.slices.items() if name == detector and one.eer is not None]
    return float(np.mean(rates)) if rates else 1.0


def _of(one: Slice, control: bool) -> list[str]:
    table = one.controls if control else one.table
    return [name for name in table["attack"].unique() if name]


def _matrix_row(name: str, one: Slice, columns: Sequence[str], *, trivial: bool = False) -> dict[str, Any]:
    import pandas as pd

    seen = pd.concat([one.table, one.controls]).groupby("attack")["attack_seen"].agg(list)
    cells = []
    for attack in columns:
        marks = [mark for mark in seen.get(attack, []) if mark is not None]
        cells.append({"row": one.attacks.get(attack), "seen": any(marks) if marks else None})
    return {"name": name, "trivial": trivial, "cells": cells, "pooled": one.pooled}


def speaker_table(tables: ProtocolTables) -> dict[str, Any]:
    """Equal error rates by speaker in the principal fold: seen speakers together, unseen ones together, each.

    Returns:
        ``detectors``; ``groups`` and ``rows`` of ``name``, ``seen`` (``seen``, ``unseen`` or ``partly``),
        ``bonafide``, ``spoof`` and ``cells`` (a row or None by detector); ``left_out``: speakers that are not
        among the rows because the best detector does better on them.
    """
    import pandas as pd

    held = tables.of_fold(tables.principal)
    everything = pd.concat([one.table for _, one in held])
    marks = {str(name): own for name, own in everything.groupby("speaker")["speaker_seen"]}
    states = {
        name: "seen" if own.all() else "partly" if own.any() else "unseen" for name, own in marks.items()
    }
    rows: list[dict[str, Any]] = []
    for name in sorted(states):
        cells = [one.speakers.get(name) for _, one in held]
        shown = next((cell for cell in cells if cell is not None), None)
        rows.append(
            {
                "name": name,
                "seen": states[name],
                "bonafide": shown.bonafide if shown else 0,
                "spoof": shown.spoof if shown else 0,
                "cells": cells,
            }
        )
    place = next((place for place, (row, _) in enumerate(held) if row.name == tables.best), 0)
    kept = sorted(rows, key=lambda row: -_rate(row["cells"][place]))[:MOST_SPEAKERS]
    kept.sort(key=lambda row: (row["seen"] == "seen", -_rate(row["cells"][place]), row["name"]))
    return {"detectors": [row for row, _ in held], "rows": kept, "left_out": len(rows) - len(kept)}


def _rate(row: EvaluationRow | None) -> float:
    value = None if row is None else row.figures["eer_asvspoof"].value
    return -1.0 if value is None else value


def seen_table(tables: ProtocolTables, *, draws: int = DRAWS) -> list[dict[str, Any]]:
    """Equal error rates by whether speaker, generator and style were in training, in the shown folds.

    Returns:
        Rows of ``fold``; ``speakers``, ``generators`` and ``styles`` (``seen``, ``unseen`` or ``all``), and
        ``cells``: a row or None by detector of the protocol. Only what differs among the trials makes rows;
        styles are told apart for all speakers and generators together.
    """
    rows = []
    for fold in tables.folds[:SHOWN_FOLDS]:
        held = {row.name: one.table for row, one in tables.of_fold(fold)}
        speakers, generators, styles = (
            ("seen", "unseen") if any(table[name].nunique() > 1 for table in held.values()) else ()
            for name in ("speaker_seen", "attack_seen", "style_seen")
        )
        wanted = [(*pair, "all") for pair in itertools.product(speakers or ("all",), generators or ("all",))]
        wanted += [("all", "all", style) for style in styles]
        for choice in wanted:
            parts = {name: _chosen(table, *choice) for name, table in held.items()}
            if set(choice) == {"all"} or all(part["bonafide"].all() for part in parts.values()):
                continue
            cells = [
                _evaluated(part, f"{tables.name}, {row.name}", (), pooling=False, draws=draws).pooled
                if (part := parts.get(row.name)) is not None and not part.empty
                else None
                for row in tables.detectors
            ]
            places = dict(zip(("speakers", "generators", "styles"), choice, strict=True))
            rows.append({"fold": fold, **places, "cells": cells})
    return rows


def _chosen(table: "pd.DataFrame", speakers: str, generators: str, styles: str) -> "pd.DataFrame":
    if speakers != "all":
        table = table[table["speaker_seen"] == (speakers == "seen")]
    if styles != "all":
        table = table[table["style_seen"].map(lambda mark: mark == (styles == "seen"))]
    if generators != "all":
        wanted = generators == "seen"
        table = table[table["bonafide"] | table["attack_seen"].map(lambda mark: mark == wanted)]
    return table


def variant_table(run: DetectionRun, tables: ProtocolTables, *, draws: int = DRAWS) -> dict[str, Any]:
    """Figures of the principal fold by degradation, with the drop against the same trials as they were.

    Returns:
        ``detectors`` and ``rows`` of ``variant`` and ``cells`` by detector: None, or ``slice`` and ``drop``
        (equal error rate less the plain one on the trials that both have; None where either is not defined).
    """
    held = tables.of_fold(tables.principal)
    of_fold = run.trials[(run.trials["protocol"] == tables.name) & (run.trials["fold"] == tables.principal)]
    variants = [name for name in dict.fromkeys(of_fold["variant"]) if name != PLAIN]
    rows: list[dict[str, Any]] = []
    if not variants:
        return {"detectors": [], "rows": []}
    plain_cells = [{"slice": one, "drop": None} for _, one in held]
    rows.append({"variant": PLAIN, "cells": plain_cells})
    for variant in variants:
        cells: list[dict[str, Any] | None] = []
        for row, plain in held:
            own = of_fold[of_fold["detector"] == row.name]
            # The threshold stays the one of the plain development trials.
            both = own[
                ((own["part"] == "test") & (own["variant"] == variant))
                | ((own["part"] == "development") & (own["variant"] == PLAIN))
            ]
            if not (both["part"] == "test").any():
                cells.append(None)
                continue
            names = {"protocol": tables.name, "fold": tables.principal, "detector": row.name}
            one = judge(both, {**names, "variant": variant}, groups=(), pooling=False, draws=draws)
            cells.append({"slice": one, "drop": _drop(one, plain)})
        rows.append({"variant": variant, "cells": cells})
    return {"detectors": [row for row, _ in held], "rows": rows}


def _drop(one: Slice, plain: Slice) -> float | None:
    places = ["attack", "speaker", "id"]
    shared = one.table[places].merge(plain.table[places])
    try:
        rates = [
            equal_error_rate(curve_of(part.table.merge(shared, on=places))).rate for part in (one, plain)
        ]
    except UndefinedError:
        return None
    return rates[0] - rates[1]


def worst_trials(one: Slice, most: int) -> dict[str, list[dict[str, Any]]]:
    """The spoofed trials with the highest scores and the bona fide ones with the lowest, worst first."""
    found: dict[str, Any] = {}
    for kind, bonafide in (("spoof", False), ("bonafide", True)):
        part = one.table[one.table["bonafide"] == bonafide]
        part = part.sort_values(["score", "id", "attack", "speaker"], ascending=[bonafide, True, True, True])
        found[kind] = part.head(most).to_dict("records")
    return found
