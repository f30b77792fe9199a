"""Judge a run against a baseline by rules: tolerance and significance, coverage, absolute bounds.

The baseline is a run, and trials are compared one by one, or a stored result, of which figures alone are
left: they are held against tolerances, also where the recordings are not the same bytes.

A rule is chosen for every system and metric, the last one that matches; each gives one check. A check fails
with a sentence, and also when the run lacks what the baseline has or when the two cannot be compared: what
cannot be judged has not passed.
"""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from doppelbench.benchmark.compare import (
    Comparison,
    Pair,
    RunScores,
    Series,
    Unit,
    compare_pairs,
    format_p,
    load_scores,
    signature_difference,
    without_trained_parts,
)
from doppelbench.benchmark.config import ConfigError, Section, check_metrics
from doppelbench.benchmark.tables import format_value
from doppelbench.corpora.errors import InputError
from doppelbench.engine.files import write_bytes
from doppelbench.leaderboards.result import FigurePart, MetricPart, Result, read_result

WILDCARDS = "*?["
PER_CENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%")
# A difference of exactly the tolerance passes, whatever the last bits of its figures.
ROUNDING = 1e-9
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Outcome = Literal["pass", "warn", "fail"]
Basis = Literal["items", "figures"]


class Rule(Section):
    """What a figure must hold; ``metric`` and ``system`` are names or patterns such as ``pesq_*``."""

    metric: str = "*"
    system: str = "*"
    tolerance: float | str = Field(
        default=0.0, description="how much worse it may be: in the metric's unit, or as 2% of the baseline"
    )
    significance: float | None = Field(
        default=0.05, gt=0, lt=1, description="null: worse by more than the tolerance fails in any case"
    )
    either_way: bool = Field(
        default=False, description="better than the baseline by more than the tolerance fails too"
    )
    min_coverage: float = Field(default=1.0, ge=0, le=1)
    min: float | None = Field(default=None, allow_inf_nan=False, description="least figure")
    max: float | None = Field(default=None, allow_inf_nan=False, description="largest figure")

    @field_validator("tolerance", mode="before")
    @classmethod
    def _is_a_tolerance(cls, value: Any) -> Any:
        if isinstance(value, str):
            if not PER_CENT.fullmatch(value.strip()):
                raise ValueError("expected a number, or per cent of the baseline such as 2%")
        elif type(value) not in {int, float} or not math.isfinite(value) or value < 0:
            raise ValueError("expected a number that is not negative")
        return value

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> "Rule":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    def allowed(self, base: float) -> float:
        """How much worse than ``base`` a figure may be, in its unit."""
        if isinstance(self.tolerance, str):
            match = PER_CENT.fullmatch(self.tolerance.strip())
            assert match is not None
            return abs(base) * float(match[1]) / 100
        return self.tolerance

    def matches(self, system: str, metric: str) -> bool:
        """Whether the rule speaks of this figure."""
        return fnmatchcase(system, self.system) and fnmatchcase(metric, self.metric)

    @property
    def bounded(self) -> bool:
        """Whether it can judge a figure that has no baseline."""
        return self.min is not None or self.max is not None


class Rules(Section):
    """The file of rules; a later rule takes precedence over an earlier one."""

    rules: list[Rule] = Field(default_factory=lambda: [Rule()], min_length=1)


@dataclass(frozen=True, slots=True)
class Check:
    """One rule applied to one figure.

    Attributes:
        rule: number of the rule in the file, from 1.
        system: whose figure.
        metric: of which metric.
        verdict: ``warn`` is a pass that is worse than the baseline.
        reasons: sentences, one for each thing that is wrong or worth knowing.
        comparison: with the baseline; None for a figure that has none.
        basis: whether items were compared one by one, or figures alone, without a test.
    """

    rule: int
    system: str
    metric: str
    verdict: Outcome
    reasons: tuple[str, ...]
    comparison: Comparison | None = None
    basis: Basis = "items"


def load_rules(path: Path | None) -> Rules:
    """Read and check a file of rules; the default rule for everything when None.

    Raises:
        ConfigError: no such file, not YAML, an unknown key (with a suggestion), a value of the wrong kind, or
            a metric that does not exist.
    """
    if path is None:
        return Rules()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file of rules") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a UTF-8 text file, so no rules") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or "rules" not in values:
        raise ConfigError(f"{path}: expected the key rules with a list, such as rules: [{{metric: wer}}]")
    try:
        rules = Rules.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(_sentence(entry) for entry in error.errors())}") from None
    for rule in rules.rules:
        if not set(WILDCARDS) & set(rule.metric):
            check_metrics([rule.metric])
    return rules


def gate(run: Path, against: Path, rules: Rules, *, unit: Unit = "item", seed: int = 0) -> list[Check]:
    """Apply the rules to every figure of the baseline, and to those that a rule bounds or names.

    Args:
        run: folder of the run to judge.
        against: folder of the baseline, or the file of a result (:func:`gate_figures`).
        rules: what must hold.
        unit: what is resampled and swapped as one.
        seed: of resamples and random swaps.

    Returns:
        One check for each figure that a rule matches, by system and metric.

    Raises:
        InputError: a run cannot be read, or no rule matches anything.
        ConfigError: a rule asks for a test and the baseline has no items.
    """
    if against.is_file():
        result = read_result(against, items=False).result
        return gate_figures(load_scores(run), result, rules, name=str(against))
    new, base = load_scores(run), load_scores(against)
    chosen: dict[tuple[str, str], int] = {}
    for number, rule in enumerate(rules.rules):
        known = set(base.series) | (set(new.series) if rule.bounded else set())
        chosen.update({place: number for place in known if rule.matches(*place)})
    compared = [place for place in sorted(chosen) if place in base.series and place in new.series]
    pairs = [Pair(base, system, new, system, metric) for system, metric in compared]
    tested = [rules.rules[chosen[place]].significance is not None for place in compared]
    levels = [rules.rules[chosen[place]].significance or 1.0 for place in compared]
    comparisons: dict[tuple[str, str], Comparison] = {}
    if pairs:
        found = compare_pairs(pairs, unit=unit, alpha=min(levels), seed=seed, family=tested)
        comparisons = dict(zip(compared, found, strict=True))
    checks = [
        _check(
            number,
            rules.rules[number],
            place,
            new,
            base.name,
            comparisons.get(place),
            _absent_reasons(rules.rules[number], new.series.get(place), base.series.get(place)),
        )
        for place, number in sorted(chosen.items())
    ]
    checks += _rules_without_a_figure(rules, new, base)
    if not checks:
        raise InputError(f"no rule matches a figure of {against}; it has {', '.join(_names(base))}")
    return checks


def gate_figures(new: RunScores, base: Result, rules: Rules, *, name: str) -> list[Check]:
    """Hold the figures of a run against stored ones.

    The recordings need not be the same bytes, so nothing is paired and nothing tested: what is left is a
    tolerance. Signatures must agree, except for the models that a run trains itself.

    Args:
        new: scores of the run to judge.
        base: the stored result.
        rules: what must hold; each one that is used says ``significance: null``.
        name: of the stored result in messages.

    Raises:
        ConfigError: a rule that is used asks for a test.
        InputError: no rule matches anything.
    """
    figures = {(system.key, figure.metric): figure for system in base.systems for figure in system.figures}
    signatures = {metric.name: metric for metric in base.metrics}
    chosen: dict[tuple[str, str], int] = {}
    for number, rule in enumerate(rules.rules):
        known = set(figures) | (set(new.series) if rule.bounded else set())
        chosen.update({place: number for place in known if rule.matches(*place)})
    if not chosen:
        raise InputError(f"no rule matches a figure of {name}; it has {', '.join(sorted(signatures))}")
    for number in sorted(set(chosen.values())):
        if rules.rules[number].significance is not None:
            raise ConfigError(
                f"rule {number + 1} tests for significance, but {name} keeps figures and no items, so that "
                "only tolerances can be judged; give the rule a tolerance and significance: null"
            )
    checks = []
    for place, number in sorted(chosen.items()):
        rule, figure, own = rules.rules[number], figures.get(place), new.series.get(place)
        comparison = None
        if figure is not None and own is not None:
            comparison = _compare_figure(name, figure, signatures[place[1]], new, place)
        short = (
            [f"{own.expected} items were expected, {figure.expected} are in the baseline"]
            if figure is not None and own is not None and own.expected < figure.expected * rule.min_coverage
            else []
        )
        checks.append(_check(number, rule, place, new, name, comparison, short, "figures"))
    for number, rule in enumerate(rules.rules, start=1):
        if not any(rule.matches(*place) for place in {*figures, *(new.series if rule.bounded else ())}):
            said = f"{name} has no figure that rule {number} matches"
            checks.append(Check(number, rule.system, rule.metric, "fail", (said,), basis="figures"))
    return checks


def gate_table(checks: Sequence[Check], *, people: bool) -> list[dict[str, Any]]:
    """Checks as rows for tables: everything for programs, rounded for people."""
    if not people:
        return [asdict(check) for check in checks]
    by_figures = any(check.basis == "figures" for check in checks)
    return [
        {
            "verdict": check.verdict,
            "rule": check.rule,
            "system": check.system,
            "metric": check.metric,
            **_numbers(check.comparison),
            **({"judged by": check.basis} if by_figures else {}),
            "reason": "; ".join(check.reasons),
        }
        for check in checks
    ]


def write_junit(path: Path, checks: Sequence[Check]) -> None:
    """Write the checks as JUnit XML, one test case each."""
    failed = sum(check.verdict == "fail" for check in checks)
    counts = {"tests": str(len(checks)), "failures": str(failed), "errors": "0", "skipped": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "doppelbench gate", **counts, "time": "0"})
    for check in checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {
                "classname": _xml_text(check.system),
                "name": _xml_text(f"{check.metric} (rule {check.rule})"),
                "time": "0",
            },
        )
        text = _xml_text("; ".join(check.reasons))
        if check.verdict == "fail":
            ElementTree.SubElement(case, "failure", {"message": text, "type": "gate"}).text = text
        elif text:
            ElementTree.SubElement(case, "system-out").text = text
    ElementTree.indent(suites)
    write_bytes(path, ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n")


def annotations(checks: Sequence[Check]) -> list[str]:
    """Workflow commands of GitHub Actions: an error for a failed check, a warning for a warned one."""
    kinds = {"fail": "error", "warn": "warning"}
    return [
        f"::{kinds[check.verdict]} title={_property(f'{check.metric} of {check.system}')}"
        f"::{_escaped('; '.join(check.reasons))}"
        for check in checks
        if check.verdict in kinds
    ]


def _check(
    number: int,
    rule: Rule,
    place: tuple[str, str],
    new: RunScores,
    base: str,
    comparison: Comparison | None,
    absent: Sequence[str],
    basis: Basis = "items",
) -> Check:
    system, metric = place
    own = new.series.get(place)
    if own is None:
        what = f"{metric} of {system}" if system in new.systems else f"the system {system}"
        lacks = f"{new.name} lacks {what}, which {base} has"
        return Check(number + 1, system, metric, "fail", (lacks,), basis=basis)
    reasons = []
    if own.coverage < rule.min_coverage:
        reasons.append(
            f"{own.scored} of {own.expected} items were scored, a coverage of {own.coverage:.3f} under "
            f"{rule.min_coverage:g}"
        )
    reasons += absent
    reasons += _bound_reasons(rule, own.figure, metric)
    worse, is_broken = _worse_reason(rule, comparison)
    if is_broken:
        reasons.append(worse)
    if reasons:
        return Check(number + 1, system, metric, "fail", tuple(reasons), comparison, basis)
    notes = (worse,) if worse else ()
    return Check(number + 1, system, metric, "warn" if notes else "pass", notes, comparison, basis)


def _compare_figure(
    name: str, figure: FigurePart, stored: MetricPart, new: RunScores, place: tuple[str, str]
) -> Comparison:
    own = new.series[place]
    row = Comparison(
        name,
        place[0],
        new.name,
        *place,
        unit=stored.unit,
        direction=stored.direction,
        n=own.scored,
        base=figure.value,
        value=own.figure,
        base_coverage=figure.coverage,
        coverage=own.coverage,
    )
    before = without_trained_parts(stored.signature)
    for signature in own.signatures:
        after = without_trained_parts(signature)
        if after != before:
            return replace(row, reason=f"the signatures differ: {signature_difference(before, after)}")
    if figure.value is None or own.figure is None:
        reason = "" if figure.value == own.figure else "one of them has no figure"
        return replace(row, reason=reason or "neither has a figure")
    return replace(row, difference=own.figure - figure.value, verdict="no difference shown")


def _absent_reasons(rule: Rule, own: Series | None, base: Series | None) -> list[str]:
    """A run of fewer trials than the baseline could be complete in itself and leave out the hard ones."""
    absent = 0 if base is None or own is None else len(base.trials - own.trials)
    if base is None or 1 - absent / base.expected >= rule.min_coverage:
        return []
    return [f"{absent} of the {base.expected} trials of the baseline are not in the run"]


def _bound_reasons(rule: Rule, figure: float | None, metric: str) -> list[str]:
    if not rule.bounded:
        return []
    if figure is None:
        return [f"{metric} has no figure to hold against its bounds"]
    reasons = []
    if rule.min is not None and figure < rule.min:
        reasons.append(f"{metric} is {figure:.6g}, under the minimum {rule.min:g}")
    if rule.max is not None and figure > rule.max:
        reasons.append(f"{metric} is {figure:.6g}, above the maximum {rule.max:g}")
    return reasons


def _worse_reason(rule: Rule, comparison: Comparison | None) -> tuple[str, bool]:
    """A sentence when the figure is worse or cannot be compared, and whether that breaks the rule."""
    if comparison is None:
        return "", False
    if comparison.worse_by is None or comparison.base is None:
        return f"cannot be compared with the baseline: {comparison.reason}", True
    worse, allowed = comparison.worse_by, rule.allowed(comparison.base)
    slack = ROUNDING * (abs(comparison.base) + abs(comparison.value or 0.0))
    unit = f" {comparison.unit}" if comparison.unit else ""
    way = "worse"
    if rule.either_way and worse < -allowed - slack:
        way, worse = "better", -worse
    if worse <= slack:
        return "", False
    said = f"{way} by {worse:.4g}{unit} (tolerance {allowed:.4g}"
    if rule.significance is not None:
        said += f", adjusted p {format_p(comparison.adjusted_p)}"
    said += ")"
    shown = rule.significance is None or (comparison.adjusted_p or 0.0) < rule.significance
    return said, worse > allowed + slack and shown


def _rules_without_a_figure(rules: Rules, new: RunScores, base: RunScores) -> list[Check]:
    """A rule that names something which neither run has is a mistake in the rules or in both runs."""
    checks = []
    for number, rule in enumerate(rules.rules, start=1):
        if any(rule.matches(*place) for place in base.series):
            continue
        if rule.bounded and any(rule.matches(*place) for place in new.series):
            continue
        has = (
            "; it names no bounds, which are all that could be checked"
            if any(rule.matches(*place) for place in new.series)
            else ""
        )
        said = f"{base.name} has no figure that rule {number} matches{has}"
        checks.append(Check(number, rule.system, rule.metric, "fail", (said,)))
    return checks


def _numbers(comparison: Comparison | None) -> dict[str, str]:
    row = comparison or Comparison("", "", "", "", "")
    difference = format_value(row.difference, row.unit)
    return {
        "base": format_value(row.base, row.unit),
        "value": format_value(row.value, row.unit),
        "difference": f"+{difference}" if row.difference is not None and row.difference > 0 else difference,
        "adjusted p": format_p(row.adjusted_p),
    }


def _names(run: RunScores) -> list[str]:
    return sorted({metric for _, metric in run.series})


def _sentence(entry: Any) -> str:
    path = [str(part) for part in entry["loc"]]
    if entry["type"] == "extra_forbidden":
        known = list((Rule if len(path) > 1 else Rules).model_fields)
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
        return f"unknown key {'.'.join(path)!r}; {hint}"
    return f"{'.'.join(path)}: {entry['msg']} (got {entry['input']!r})"


def _xml_text(text: str) -> str:
    return NOT_IN_XML.sub("\ufffd", text)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
