"""Compare stored runs, or systems of one run, trial by trial; needs neither the audio nor a model.

What is read is ``run.json`` and the items. A pair is refused when its signatures differ or when trials of one
name are not of the same recordings, because then the difference says nothing about the systems. p-values are
adjusted by Holm's method over all rows of one call.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from doppelbench.benchmark.tables import format_value
from doppelbench.corpora.errors import InputError
from doppelbench.engine.run import ItemRow, Run
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.registry import metric_class, metric_options

Unit = Literal["item", "source", "target"]
Verdict = Literal["better", "worse", "no difference shown", "not comparable"]
Terms = tuple[float, float]

ALPHA = 0.05
SWAPS = 10_000
# The smallest p-value of random swaps is 1 / (1 + swaps); it must stay far below alpha / rows.
SWAPS_PER_THRESHOLD = 10
TRAINED_PART = re.compile(r"\|(classifier|readout)-[0-9a-f]+\|")


@dataclass(frozen=True, slots=True)
class Series:
    """Scores of one system by one metric.

    Attributes:
        signatures: of the metric, more than one when only a part was scored again.
        terms: numerator and denominator by trial, of the items that count in the figure.
        trials: all trials that should have a score.
        scored: items with the status ``ok``.
    """

    signatures: tuple[str, ...]
    terms: Mapping[str, Terms]
    trials: frozenset[str]
    scored: int

    @property
    def expected(self) -> int:
        """Items that should be there."""
        return len(self.trials)

    @property
    def coverage(self) -> float:
        """Scored items over expected items."""
        return self.scored / self.expected if self.expected else 0.0

    @property
    def figure(self) -> float | None:
        """Figure over all items that count; None when there is nothing to divide by."""
        total = math.fsum(denominator for _, denominator in self.terms.values())
        return math.fsum(numerator for numerator, _ in self.terms.values()) / total if total else None


@dataclass(frozen=True, slots=True)
class RunScores:
    """The scores of one run, by system and metric, and what its trials are made of."""

    name: str
    series: Mapping[tuple[str, str], Series]
    trials: Mapping[str, Mapping[str, Any]]

    @property
    def systems(self) -> list[str]:
        """Systems that have scores."""
        return sorted({system for system, _ in self.series})


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: two systems by one metric; they may be of one run."""

    base: RunScores
    base_system: str
    run: RunScores
    system: str
    metric: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row: the system against its baseline on the trials that both have.

    Attributes:
        base_run: run of the baseline.
        base_system: system of the baseline.
        run: run that is compared.
        system: system that is compared.
        metric: by which metric.
        unit: of the figures, the difference and its bounds.
        direction: which way is better.
        n: common trials.
        base: figure of the baseline on them.
        value: figure of the system on them.
        difference: value minus base.
        low: lower bound of the 95 % interval of the difference.
        high: upper bound.
        p: two-sided p-value of the paired permutation test.
        adjusted_p: after Holm's correction over all rows.
        effect: Cohen's dz.
        detectable: difference that a test of this size finds with a power of 0.8 at 0.05, uncorrected.
        base_coverage: scored over expected items of the baseline's run.
        coverage: the same of the system's run.
        verdict: by the metric's direction and the adjusted p-value.
        reason: why the pair cannot be compared.
    """

    base_run: str
    base_system: str
    run: str
    system: str
    metric: str
    unit: str = ""
    direction: str = ""
    n: int = 0
    base: float | None = None
    value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    effect: float | None = None
    detectable: float | None = None
    base_coverage: float | None = None
    coverage: float | None = None
    verdict: Verdict = "not comparable"
    reason: str = ""

    @property
    def worse_by(self) -> float | None:
        """How much worse than the baseline, negative when better; None when not comparable."""
        if self.difference is None:
            return None
        return -self.difference if self.direction == "higher" else self.difference


def load_scores(folder: Path) -> RunScores:
    """Read the scores of a run.

    Raises:
        RunError: the folder is no run, or damaged.
        InputError: nothing was scored yet.
    """
    run = Run.open(folder)
    rows = run.item_rows()
    if not rows:
        raise InputError(f"{folder} has no scores yet; finish it with the command that began it")
    grouped: dict[tuple[str, str], list[ItemRow]] = {}
    for row in rows:
        grouped.setdefault((row.system, row.metric), []).append(row)
    series = {key: _series(key[1], own, run.info.signatures) for key, own in grouped.items()}
    trials = {trial["id"]: trial for trial in run.info.plan.get("trials", ())}
    return RunScores(str(folder), series, trials)


def compare_runs(
    folders: Sequence[Path],
    *,
    systems: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    unit: Unit = "item",
    alpha: float = ALPHA,
    seed: int = 0,
) -> list[Comparison]:
    """Compare every run with the first one, or the systems of a single run with the first one named.

    Args:
        folders: run folders; the first is the baseline.
        systems: those to compare; of several runs all that both have when None; of one run the first is the
            baseline.
        metrics: those to compare; all when None. Naming few before looking keeps the correction small.
        unit: what is resampled and swapped as one: a trial, or all trials of a source speaker or a target.
        alpha: level at which a difference counts as shown.
        seed: of resamples and random swaps.

    Raises:
        InputError: an unknown system or metric, or nothing that could be compared at all.
    """
    runs = [load_scores(folder) for folder in folders]
    _check_names(runs, systems, metrics)
    base = runs[0]
    sides: list[tuple[str, RunScores, str]]
    if len(runs) == 1:
        if systems is None or len(systems) < 2:
            raise InputError(
                f"one run is compared with nothing; name a second run, or two of its systems with --systems "
                f"({', '.join(base.systems)})"
            )
        sides = [(systems[0], base, system) for system in systems[1:]]
    else:
        sides = [
            (system, run, system)
            for run in runs[1:]
            for system in base.systems
            if system in run.systems and (systems is None or system in systems)
        ]
    pairs = [
        Pair(base, base_system, run, system, metric)
        for base_system, run, system in sides
        for metric in sorted(name for owner, name in base.series if owner == base_system)
        if metrics is None or metric in metrics
    ]
    if not pairs:
        named = "; ".join(f"{run.name} has {', '.join(run.systems)}" for run in runs)
        raise InputError(
            f"the runs have no system in common that could be compared: {named}. Systems of one run are "
            "compared with: compare RUN --systems a,b"
        )
    return compare_pairs(pairs, unit=unit, alpha=alpha, seed=seed)


def compare_pairs(
    pairs: Sequence[Pair],
    *,
    unit: Unit = "item",
    alpha: float = ALPHA,
    seed: int = 0,
    family: Sequence[bool] | None = None,
) -> list[Comparison]:
    """Compare pairs, one row each in their order, with Holm's correction over the family.

    Args:
        pairs: what to compare.
        unit: what is resampled and swapped as one.
        alpha: level at which a difference counts as shown.
        seed: of resamples and random swaps; rows on the same trials share them.
        family: which pairs are tested and so count in the correction; all when None.
    """
    import numpy as np

    from doppelbench.metrics.statistics import holm, paired_differences

    rows = [_empty_row(pair) for pair in pairs]
    alike: dict[tuple[str, ...], list[int]] = {}
    for index, pair in enumerate(pairs):
        reason = _obstacle(pair)
        common = () if reason else _common_trials(pair)
        if reason or not common:
            rows[index] = replace(rows[index], reason=reason or "no trial was scored in both")
        else:
            alike.setdefault(common, []).append(index)
    swaps = max(SWAPS, math.ceil(SWAPS_PER_THRESHOLD * len(pairs) / alpha))
    for trials, indices in alike.items():
        first, second = (
            np.array([[side[trial] for side in sides] for trial in trials])
            for sides in (
                [
                    pairs[index].base.series[pairs[index].base_system, pairs[index].metric].terms
                    for index in indices
                ],
                [
                    pairs[index].run.series[pairs[index].system, pairs[index].metric].terms
                    for index in indices
                ],
            )
        )
        clusters = _clusters(pairs[indices[0]].base, trials, unit)
        found = paired_differences(first, second, clusters=clusters, swaps=swaps, seed=seed)
        for index, result in zip(indices, found, strict=True):
            if result.difference is None:
                rows[index] = replace(
                    rows[index], n=result.n, reason="the references of these trials are empty"
                )
                continue
            numbers = asdict(result)
            base, value = numbers.pop("first"), numbers.pop("second")
            rows[index] = replace(rows[index], base=base, value=value, **numbers)
    tested = [
        index for index, row in enumerate(rows) if row.p is not None and (family is None or family[index])
    ]
    for index, adjusted in zip(tested, holm([rows[i].p or 0.0 for i in tested]), strict=True):
        rows[index] = replace(rows[index], adjusted_p=adjusted)
    return [row if row.difference is None else replace(row, verdict=_verdict(row, alpha)) for row in rows]


def comparison_table(rows: Sequence[Comparison], *, people: bool) -> list[dict[str, Any]]:
    """Comparisons as rows for tables: everything for programs, rounded and folded for people."""
    if not people:
        return [asdict(row) for row in rows]
    several = len({row.run for row in rows}) > 1
    within = any(row.base_system != row.system for row in rows)
    return [
        {
            **({"run": row.run} if several else {}),
            "system": row.system,
            **({"against": row.base_system} if within else {}),
            "metric": row.metric,
            "n": row.n,
            "base": format_value(row.base, row.unit),
            "value": format_value(row.value, row.unit),
            "unit": row.unit,
            "difference": format_signed(row.difference, row.unit),
            "95 % interval": format_bounds(row.low, row.high, row.unit),
            "p": format_p(row.p),
            "adjusted p": format_p(row.adjusted_p),
            "dz": "–" if row.effect is None else f"{row.effect:+.2f}",
            "detectable": format_value(row.detectable, row.unit),
            "coverage": " / ".join(
                "–" if share is None else f"{math.floor(100 * share)}%"
                for share in (row.base_coverage, row.coverage)
            ),
            "verdict": format_verdict(row.verdict, row.reason),
        }
        for row in rows
    ]


def format_p(p: float | None) -> str:
    """Format a p-value with four decimals; a dash where there is none."""
    if p is None:
        return "–"
    return f"{p:.4f}" if p >= 0.00005 else "< 0.0001"


def format_signed(value: float | None, unit: str) -> str:
    """Format a difference with its sign."""
    text = format_value(value, unit)
    return f"+{text}" if value is not None and value > 0 else text


def format_bounds(low: float | None, high: float | None, unit: str) -> str:
    """Format the bounds of a difference; empty where there are none."""
    return "" if low is None else f"{format_signed(low, unit)} to {format_signed(high, unit)}"


def format_verdict(verdict: str, reason: str) -> str:
    """Format a verdict, with the reason where there is one."""
    return f"{verdict}: {reason}" if reason else verdict


def signature_difference(first: str, second: str) -> str:
    """Say which of the parts between ``|`` differ."""
    one, other = first.split("|"), second.split("|")
    said = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            said.append(f"{'|'.join(one[a:b]) or 'nothing'} against {'|'.join(other[c:d]) or 'nothing'}")
    return ", ".join(said)


def without_trained_parts(signature: str) -> str:
    """A signature without the hash of a model that the run itself trained.

    Such a model is another one wherever the last bits of its training are others, so a figure that is held
    against one of another machine cannot ask for it.
    """
    return TRAINED_PART.sub(r"|\1-of-the-run|", signature)


def _series(metric: str, rows: Iterable[ItemRow], signatures: Mapping[str, str]) -> Series:
    rows = list(rows)
    terms = {}
    kind = _kind(metric)
    if kind is not None:
        for row in rows:
            own = kind.paired_terms(ItemScore(row.value, row.status, row.reason, row.statistics))  # type: ignore[arg-type]
            if own is not None:
                terms[row.trial] = own
    named = sorted({signatures.get(row.signature_id, row.signature_id) for row in rows})
    trials = frozenset(row.trial for row in rows)
    return Series(tuple(named), terms, trials, sum(row.status == "ok" for row in rows))


def _kind(metric: str) -> Any:
    """The class of a metric, or None when the package that brings it is not installed."""
    try:
        return metric_class(metric_options(metric)[0])
    except InputError:
        return None


def _empty_row(pair: Pair) -> Comparison:
    kind = _kind(pair.metric)
    spec: MetricSpec | None = None if kind is None else kind.spec
    base = pair.base.series.get((pair.base_system, pair.metric))
    own = pair.run.series.get((pair.system, pair.metric))
    return Comparison(
        pair.base.name,
        pair.base_system,
        pair.run.name,
        pair.system,
        pair.metric,
        unit="" if spec is None else spec.unit,
        direction="" if spec is None else spec.direction,
        base_coverage=None if base is None else base.coverage,
        coverage=None if own is None else own.coverage,
    )


def _obstacle(pair: Pair) -> str:
    """Why a pair cannot be compared; empty when it can."""
    sides = [
        (run, system, run.series.get((system, pair.metric)))
        for run, system in ((pair.base, pair.base_system), (pair.run, pair.system))
    ]
    for run, system, series in sides:
        if series is None:
            return f"{run.name} has no {pair.metric} of {system}"
        if len(series.signatures) > 1:
            return (
                f"{run.name} scored {pair.metric} of {system} in two ways "
                f"({signature_difference(*series.signatures[:2])}); score it again"
            )
    if _kind(pair.metric) is None:
        return f"the metric {pair.metric} is not installed here"
    signatures = [series.signatures[0] for _, _, series in sides if series is not None]
    if signatures[0] != signatures[1]:
        return signature_difference(*signatures)
    return _other_inputs(pair)


def _other_inputs(pair: Pair) -> str:
    if pair.base is pair.run:
        return ""
    common = sorted(set(pair.base.trials) & set(pair.run.trials))
    for what, fields in (
        ("source recording", ("sha256", "start", "end", "text")),
        ("reference recording", ("sha256", "start", "end")),
    ):
        key = what.split()[0]
        changed = [
            trial
            for trial in common
            if _content(pair.base.trials[trial], key, fields) != _content(pair.run.trials[trial], key, fields)
        ]
        if changed:
            return f"{len(changed)} of {len(common)} common trials have another {what}, such as {changed[0]}"
    return ""


def _content(trial: Mapping[str, Any], key: str, fields: Sequence[str]) -> list[Any] | None:
    clip = trial.get(key)
    return None if clip is None else [clip.get(name) for name in fields]


def _common_trials(pair: Pair) -> tuple[str, ...]:
    base = pair.base.series[pair.base_system, pair.metric].terms
    own = pair.run.series[pair.system, pair.metric].terms
    return tuple(sorted(set(base) & set(own)))


def _clusters(run: RunScores, trials: Sequence[str], unit: Unit) -> list[str] | None:
    if unit == "item":
        return None
    unknown = [trial for trial in trials if trial not in run.trials]
    if unknown:
        raise InputError(f"{run.name} does not say what the trial {unknown[0]} is made of; resample by item")
    if unit == "target":
        return [str(run.trials[trial]["target"]) for trial in trials]
    return [str(run.trials[trial]["source"]["speaker"]) for trial in trials]


def _verdict(row: Comparison, alpha: float) -> Verdict:
    if row.adjusted_p is None or row.adjusted_p >= alpha:
        return "no difference shown"
    return "worse" if (row.worse_by or 0.0) > 0 else "better"


def _check_names(
    runs: Sequence[RunScores], systems: Sequence[str] | None, metrics: Sequence[str] | None
) -> None:
    for what, names, known in (
        ("system", systems, sorted({system for run in runs for system, _ in run.series})),
        ("metric", metrics, sorted({metric for run in runs for _, metric in run.series})),
    ):
        for name in names or ():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                raise InputError(f"no run has scores of the {what} {name!r}; {hint}")
