"""Evaluation of scored trials: figures pooled and by attack, speaker and codec, and what a reader must be
told.

``evaluate(read_trials(protocol, scores))`` is a whole evaluation. Figures that the data do not define are
None with the reason, never a number. What looks wrong - reversed scores, decisions instead of scores, a group
with one class - is said as a finding and never put right in silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.detectors.evaluation_rows import DetectionFigure, Evaluation, EvaluationRow, Finding
from doppelbench.detectors.trials import GROUPS, Trials
from doppelbench.metrics.calibration_figures import cllr, min_cllr
from doppelbench.metrics.detection_accuracy import accuracy_at, transferred_accuracy
from doppelbench.metrics.detection_costs import DcfCosts, actual_dcf, min_dcf
from doppelbench.metrics.detection_curves import (
    ScoreCurve,
    UndefinedError,
    area_under_roc,
    equal_error_rate,
    reversal_z,
    roc_points,
    score_curve,
)
from doppelbench.metrics.detection_intervals import DRAWS, POINTS, curve_intervals
from doppelbench.metrics.statistics import LEVEL, Interval
from doppelbench.metrics.tandem_costs import AsvRates, TandemCosts, min_tdcf

ScoreKind = Literal["llr", "logit-difference", "log-softmax", "posterior", "raw"]
# Kinds that the Bayes threshold and Cllr may be applied to: natural-log likelihood ratios, as they claim.
RATIO_KINDS = frozenset({"llr", "logit-difference"})
RANKING = ("eer_asvspoof", "eer_rocch", "auc", "min_dcf", "min_cllr")
CALIBRATION = ("actual_dcf", "cllr", "calibration_loss")
TANDEM = ("tdcf_legacy", "tdcf_revised")
# Both rules for the equal error rate agree to within this unless ties or a dented curve part them.
RULE_GAP = 0.001
# Fewer different scores than these are decisions.
FEWEST_SCORES = 3
# Operating points that the intervals of large groups know; there are many groups.
GROUP_POINTS = 400
# One-sided 2.5 % of the normal distribution.
REVERSED_Z = -1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    costs: DcfCosts
    calibrated: bool
    reason: str
    thresholds: tuple[float, ...]
    development: ScoreCurve | None
    intervals: frozenset[str]
    draws: int
    seed: int
    level: float


def evaluate(
    trials: Trials,
    *,
    score_kind: ScoreKind | None = None,
    costs: DcfCosts | None = None,
    by: Sequence[str] = GROUPS,
    thresholds: Sequence[float] = (),
    development: Trials | None = None,
    asv: AsvRates | None = None,
    asv_by_attack: Mapping[str, AsvRates] | None = None,
    tandem_costs: TandemCosts | None = None,
    intervals: Sequence[str] = ("pooled", "attack", "codec"),
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    points: int = 0,
) -> Evaluation:
    """Evaluate scored trials, pooled and by group.

    An attack is compared with all bona fide trials, a speaker or a codec with the bona fide trials of the
    same.

    Args:
        trials: from :func:`doppelbench.detectors.trial_files.read_trials` or made from a detector.
        score_kind: what the scores are; figures of calibration are given for ``llr`` and
            ``logit-difference``. When None they are given too, with a note, unless all scores lie between 0
            and 1.
        costs: costs of the DCF; those of ASVspoof 5 when None.
        by: groups to break the figures down by, where the trials tell them.
        thresholds: fixed thresholds at which accuracy is given.
        development: other trials, whose equal error threshold is applied to these.
        asv: rates of a speaker verification on the same data, for the pooled t-DCF.
        asv_by_attack: its rates with the fakes of one attack, for the t-DCF of that attack.
        tandem_costs: costs of the t-DCF; those of ASVspoof when None.
        intervals: groups that get intervals, ``pooled`` or names of ``by``; none when empty.
        draws: number of resamples.
        seed: of the resamples.
        level: share of the draws between the bounds.
        points: about how many points of the pooled ROC curve to keep; 0 for none.

    Raises:
        InputError: a group, kind or threshold is not known or not finite, or the t-DCF is not defined.
    """
    _check_choices(score_kind, by, intervals, thresholds)
    calibrated, reason, findings = _calibration(trials, score_kind)
    settings = _Settings(
        costs=costs or DcfCosts(),
        calibrated=calibrated,
        reason=reason,
        thresholds=tuple(float(threshold) for threshold in thresholds),
        development=None if development is None else _development_curve(development),
        intervals=frozenset(intervals),
        draws=draws,
        seed=seed,
        level=level,
    )
    codes = {name: _coded(trials.groups[name]) for name in GROUPS if name in trials.groups}
    speakers = codes["speaker"][1] if "speaker" in codes else None
    everything = np.ones(len(trials.scores), dtype=bool)
    whole, curve = _row("pooled", "", trials, everything, speakers, settings)
    rows = [_with_tandem(whole, curve, trials, asv, tandem_costs)]
    findings += [Finding("reading", "note", note) for note in trials.notes]
    findings += _findings(rows[0], curve)
    for group in by:
        if group not in codes:
            continue
        names, places = codes[group]
        for place in np.argsort(names):
            chosen = places == place
            if group == "attack":
                if not names[place]:
                    continue
                chosen = (chosen & ~trials.bonafide) | trials.bonafide
            row, part = _row(group, names[place], trials, chosen, speakers, settings)
            if group == "attack" and asv_by_attack is not None:
                row = _with_tandem_of_attack(row, part, trials, asv_by_attack, tandem_costs)
            rows.append(row)
            findings += _findings(row, part)
    roc: tuple[tuple[float, float], ...] = ()
    if points and curve.bonafide_total and curve.spoof_total:
        roc = tuple((float(alarm), float(hit)) for alarm, hit in zip(*roc_points(curve, points), strict=True))
    return Evaluation(
        rows=tuple(rows),
        findings=tuple(findings),
        summary=_summary(rows),
        roc=roc,
        settings={
            "source": trials.source,
            "direction": "higher scores are more likely bona fide",
            "score_kind": score_kind,
            "costs": asdict(settings.costs),
            "asv": None if asv is None else asdict(asv),
            "asv_by_attack": {name: asdict(rates) for name, rates in sorted((asv_by_attack or {}).items())},
            "tandem_costs": None if asv is None else asdict(tandem_costs or TandemCosts()),
            "thresholds": list(settings.thresholds),
            "development": None if development is None else development.source,
            "draws": draws,
            "seed": seed,
            "level": level,
        },
    )


def _check_choices(
    kind: str | None, by: Sequence[str], intervals: Sequence[str], thresholds: Sequence[float]
) -> None:
    if kind is not None and kind not in get_args(ScoreKind):
        raise InputError(f"no kind of score is called {kind!r}; there are {', '.join(get_args(ScoreKind))}")
    for group in (*by, *(name for name in intervals if name != "pooled")):
        if group not in GROUPS:
            raise InputError(f"no group is called {group!r}; there are {', '.join(GROUPS)}")
    if not np.isfinite(np.asarray(thresholds, dtype=np.float64)).all():
        raise InputError("thresholds must be finite numbers")


def _calibration(trials: Trials, kind: ScoreKind | None) -> tuple[bool, str, list[Finding]]:
    """Whether figures of calibration mean something, why not, and what to say of it."""
    if kind in RATIO_KINDS:
        return True, "", []
    cure = "calibrate them on a development set first"
    if kind is not None:
        reason = f"scores of the kind {kind} are no likelihood ratios; {cure}"
        return (
            False,
            reason,
            [Finding("not_ratios", "note", f"Figures of calibration are left out: {reason}.")],
        )
    if trials.scores.min() >= 0 and trials.scores.max() <= 1:
        reason = f"all scores lie between 0 and 1 and their kind is not declared; declare it, or {cure}"
        return (
            False,
            reason,
            [Finding("kind_undeclared", "warning", f"Figures of calibration are left out: {reason}.")],
        )
    said = "The kind of the scores is not declared; figures of calibration take them for natural-log "
    return True, "", [Finding("kind_undeclared", "note", f"{said}likelihood ratios.")]


def _development_curve(development: Trials) -> ScoreCurve:
    curve = _curve(development.scores, development.bonafide)
    if not curve.bonafide_total or not curve.spoof_total:
        raise InputError(
            f"{development.source}: a threshold needs bona fide and spoofed trials of the development set"
        )
    return curve


def _curve(scores: np.ndarray, bonafide: np.ndarray) -> ScoreCurve:
    return score_curve(scores[bonafide], scores[~bonafide])


def _coded(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Different names in their order, and the place of each trial's name among them."""
    order = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array(list(order), dtype=object), np.array([order[name] for name in names], dtype=np.int64)


def _row(
    group: str,
    name: str,
    trials: Trials,
    chosen: np.ndarray,
    speakers: np.ndarray | None,
    settings: _Settings,
) -> tuple[EvaluationRow, ScoreCurve]:
    scores, bonafide = trials.scores[chosen], trials.bonafide[chosen]
    real, fake = scores[bonafide], scores[~bonafide]
    curve = score_curve(real, fake)
    figures = _figures(curve, real, fake, settings)
    owners = None if speakers is None else speakers[chosen]
    if group in settings.intervals and real.size and fake.size:
        clusters = None if owners is None or group == "speaker" else (owners[bonafide], owners[~bonafide])
        figures = _with_intervals(figures, real, fake, clusters, settings, pooling=group == "pooled")
    accuracies = [accuracy_at(curve, threshold, level=settings.level) for threshold in settings.thresholds]
    if settings.development is not None:
        accuracies.append(transferred_accuracy(settings.development, curve, level=settings.level))
    row = EvaluationRow(
        group=group,
        name=str(name),
        bonafide=int(real.size),
        spoof=int(fake.size),
        speakers=None if owners is None else len(np.unique(owners)),
        figures=figures,
        accuracies=tuple(accuracies),
    )
    return row, curve


def _figures(
    curve: ScoreCurve, real: np.ndarray, fake: np.ndarray, settings: _Settings
) -> dict[str, DetectionFigure]:
    try:
        values = {
            "eer_asvspoof": equal_error_rate(curve, "asvspoof").rate,
            "eer_rocch": equal_error_rate(curve, "rocch").rate,
            "auc": area_under_roc(curve),
            "min_dcf": min_dcf(curve, settings.costs).value,
            "min_cllr": min_cllr(curve),
        }
    except UndefinedError as error:
        return {name: DetectionFigure(None, reason=str(error)) for name in (*RANKING, *CALIBRATION)}
    if not settings.calibrated:
        absent = {name: DetectionFigure(None, reason=settings.reason) for name in CALIBRATION}
        return {name: DetectionFigure(value) for name, value in values.items()} | absent
    values["actual_dcf"] = actual_dcf(curve, settings.costs)
    values["cllr"] = cllr(real, fake)
    values["calibration_loss"] = values["cllr"] - values["min_cllr"]
    return {name: DetectionFigure(value) for name, value in values.items()}


def _with_intervals(
    figures: Mapping[str, DetectionFigure],
    real: np.ndarray,
    fake: np.ndarray,
    clusters: tuple[np.ndarray, np.ndarray] | None,
    settings: _Settings,
    *,
    pooling: bool,
) -> dict[str, DetectionFigure]:
    def intervals(groups: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Interval]:
        return curve_intervals(
            real,
            fake,
            clusters=groups,
            costs=settings.costs,
            calibrated=settings.calibrated,
            pooling=pooling,
            draws=settings.draws,
            seed=settings.seed,
            level=settings.level,
            points=POINTS if pooling else GROUP_POINTS,
        )

    by_trial = intervals(None)
    by_speaker = {} if clusters is None else intervals(clusters)
    none = Interval(None, None, None)
    return {
        name: DetectionFigure(
            figure.value,
            by_trial.get(name, none).low,
            by_trial.get(name, none).high,
            by_speaker.get(name, none).low,
            by_speaker.get(name, none).high,
            figure.reason,
        )
        for name, figure in figures.items()
    }


def _with_tandem(
    row: EvaluationRow,
    curve: ScoreCurve,
    trials: Trials,
    asv: AsvRates | None,
    costs: TandemCosts | None,
) -> EvaluationRow:
    if asv is None:
        return row
    try:
        tandem = {
            f"tdcf_{version}": DetectionFigure(min_tdcf(curve, asv, costs, version=version).value)
            for version in ("legacy", "revised")
        }
    except UndefinedError as error:
        tandem = {name: DetectionFigure(None, reason=str(error)) for name in TANDEM}
    except ValueError as error:
        raise InputError(f"{trials.source}: {error}") from None
    return replace(row, figures={**row.figures, **tandem})


def _with_tandem_of_attack(
    row: EvaluationRow,
    curve: ScoreCurve,
    trials: Trials,
    asv: Mapping[str, AsvRates],
    costs: TandemCosts | None,
) -> EvaluationRow:
    """The t-DCF of one attack; where there is none, because the verification refuses it, the reason."""
    if row.name not in asv:
        reason = f"no scores of the speaker verification are of the attack {row.name}"
    else:
        try:
            return _with_tandem(row, curve, trials, asv[row.name], costs)
        except InputError as error:
            reason = str(error)
    absent = {name: DetectionFigure(None, reason=reason) for name in TANDEM}
    return replace(row, figures={**row.figures, **absent})


def _findings(row: EvaluationRow, curve: ScoreCurve) -> list[Finding]:
    group = row.group if row.group == "pooled" else f"{row.group} {row.name}"
    about = "all trials" if row.group == "pooled" else f"the trials of {group}"
    if not row.bonafide or not row.spoof:
        one = "spoofed" if not row.bonafide else "bona fide"
        return [
            Finding("one_class", "warning", f"Of {about} all {row.bonafide + row.spoof} are {one}.", group)
        ]
    found = []
    if curve.scores.size < FEWEST_SCORES:
        found.append(
            Finding(
                "hard_decisions",
                "warning",
                f"There are only {curve.scores.size} different scores among {about}: decisions, not scores, "
                "so figures other than the shares of errors mean little.",
                group,
            )
        )
    area = row.figures["auc"]
    bounds = [bound for bound in (area.high, area.speaker_high) if bound is not None]
    if reversal_z(curve) < REVERSED_Z and all(bound < 0.5 for bound in bounds):
        negated = equal_error_rate(
            ScoreCurve(-curve.scores[::-1], curve.bonafide[::-1], curve.spoof[::-1])
        ).rate
        found.append(
            Finding(
                "reversed",
                "warning",
                f"Scores look reversed: over {about} the area under the ROC curve is {area.value:.4f}; "
                f"negated scores would have an equal error rate of {100 * negated:.4f} %. None was negated.",
                group,
            )
        )
    rates = [row.figures[name].value for name in ("eer_asvspoof", "eer_rocch")]
    assert rates[0] is not None
    assert rates[1] is not None
    # In small groups one trial parts the rules; that is no finding.
    if row.group == "pooled" and abs(rates[0] - rates[1]) > RULE_GAP:
        found.append(
            Finding(
                "rules_differ",
                "note",
                f"Over {about} the equal error rate is {100 * rates[0]:.2f} % by the rule of ASVspoof and "
                f"{100 * rates[1]:.2f} % on the convex hull: few trials, ties, or a dented curve.",
                group,
            )
        )
    if area.value == 1.0:
        found.append(
            Finding(
                "no_errors",
                "note",
                f"Over {about} the classes are separated; {row.bonafide} bona fide and {row.spoof} spoofed "
                "trials bound the rates only so far.",
                group,
            )
        )
    return found


def _summary(rows: Sequence[EvaluationRow]) -> dict[str, float | str]:
    rates = [
        (row.figures["eer_asvspoof"].value, row.name)
        for row in rows
        if row.group == "attack" and row.figures["eer_asvspoof"].value is not None
    ]
    if not rates:
        return {}
    worst = max(rates, key=lambda pair: pair[0] or 0.0)
    return {
        "macro_eer": float(np.mean([rate for rate, _ in rates if rate is not None])),
        "worst_attack": worst[1],
        "worst_eer": float(worst[0] or 0.0),
    }
