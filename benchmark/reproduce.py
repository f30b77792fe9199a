"""From a result back to its numbers: what decided them, what of it differs here, and the figures made again.

What can differ is named before anything is trained: recordings, trials, recipe, seeds, signatures of the
metrics, versions, machine. Then the stored recipe runs, and each of its figures is held against the stored
one.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import doppelbench.leaderboards
from doppelbench.benchmark.boards import made_on, made_versions, result_from_run, trial_content
from doppelbench.benchmark.compare import signature_difference
from doppelbench.benchmark.config import ConfigError, CorpusConfig, Recipe, apply_override, validate
from doppelbench.benchmark.detection_folder import TRACK as DETECTION
from doppelbench.benchmark.gate import ROUNDING, Rule
from doppelbench.benchmark.plan import Plan, make_plan
from doppelbench.benchmark.run import execute, stated_options
from doppelbench.benchmark.tables import format_value
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.benchmark.work import trial_to_dict
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.engine.environment import environment_record
from doppelbench.engine.run import RECORD
from doppelbench.leaderboards.result import Result, find_results, read_result, trials_hash
from doppelbench.metrics.registry import metric, metric_options

Part = Literal["corpus", "trials", "recipe", "seed", "metric", "version", "machine", "code"]
Match = Literal["exact", "as printed", "within tolerance", "differs", "missing"]

# What the run itself trains stands in the signatures of these, so they are known only after it.
TRAINED_METRICS = {"sca", "mouth_following"}
# A result is stored by a later commit than made it, so this explains and decides nothing.
UNCOUNTED: set[Part] = {"code"}
ABSENT = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Everything that figures come from, as text by name.

    Attributes:
        corpus: label, hash and number of clips.
        trials: number and hash.
        recipe: dotted keys of the recipe with their values as JSON.
        seeds: by purpose.
        signatures: by metric, as far as they are known.
        versions: of Python and packages.
        machine: processor, accelerators and platform.
        code: the commit.
    """

    corpus: Mapping[str, str] = field(default_factory=dict)
    trials: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, str] = field(default_factory=dict)
    signatures: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not what it was when the result was made."""

    part: Part
    name: str
    stored: str
    now: str

    @property
    def counts(self) -> bool:
        """Whether a check fails for it."""
        return self.part not in UNCOUNTED

    @property
    def sentence(self) -> str:
        """The difference in words."""
        if self.part == "metric":
            return f"metric {self.name}: {signature_difference(self.stored, self.now)}"
        return f"{self.part} {self.name}: {self.stored} in the result, {self.now} here"


@dataclass(frozen=True, slots=True)
class FigureMatch:
    """A stored figure and the one made again.

    Attributes:
        system: whose.
        metric: of which metric.
        unit: of both figures.
        stored: in the result; None where nothing could be scored.
        new: made again.
        difference: new minus stored.
        in_interval: whether the new one lies in the stored 95 % interval; None without one.
        match: ``exact`` to the last bit, ``as printed``, ``within tolerance``, or why it is not equal.
        reason: what else is not equal.
    """

    system: str
    metric: str
    unit: str
    stored: float | None
    new: float | None
    difference: float | None
    in_interval: bool | None
    match: Match
    reason: str = ""

    @property
    def equal(self) -> bool:
        """Whether the figure was reproduced."""
        return self.match not in {"differs", "missing"}


def results_folder() -> Path:
    """Where the results lie that come with the suite."""
    return Path(str(doppelbench.leaderboards.__file__)).parent / "results"


def find_result(name: str) -> Result:
    """Read a result by its file, its id or name among those that come with the suite, or of a run folder.

    Raises:
        InputError: there is none, several, or one that cannot be read.
    """
    path = Path(name)
    if (path / RECORD).is_file():
        _refuse_detection(json.loads((path / RECORD).read_text(encoding="utf-8")).get("track"), name)
        return result_from_run(path)
    if path.suffix == ".json" or path.is_file():
        return read_result(path, items=False).result
    shipped = {path.stem: path for path in find_results(results_folder())}
    if name in shipped:
        return read_result(shipped[name], items=False).result
    found = [read_result(path, items=False) for path in shipped.values()]
    named = [stored for stored in found if stored.result.name == name]
    if len(named) == 1:
        return named[0].result
    if named:
        raise InputError(f"several results are called {name}: {', '.join(stored.id for stored in named)}")
    raise InputError(
        f"{name} is no file of a result, no run folder, and no result of the suite; those are "
        f"{', '.join(shipped)}"
    )


def stored_recipe(result: Result, overrides: Sequence[str] = (), *, jobs: int | None = None) -> Recipe:
    """The recipe that made a result, with overrides such as ``corpus.root=...``.

    Metrics that the recipe left to the track are those of the result, whatever the track measures today.

    Raises:
        InputError: nothing was trained here for the result, or it was stored without its recipe.
        ConfigError: this version does not know a key of the recipe, or an override is wrong.
    """
    _refuse_detection(result.track, result.name)
    if result.config is None:
        raise InputError(
            f"{result.name} was stored without its recipe; store it again from its run with: "
            "doppelbench board add RUN"
        )
    if "submission" in result.config:
        raise InputError(
            f"{result.name} is a submission: its outputs were made elsewhere. Score the submission again "
            "with: doppelbench submit score"
        )
    values = json.loads(json.dumps(result.config))
    if values.get("metrics") is None:
        measured = [entry.name for entry in result.metrics]
        usual = TRACKS[result.track][0].metrics if result.track in TRACKS else ()
        # The order of the track first, so that a recipe that did not change stays what it was.
        values["metrics"] = sorted(
            measured, key=lambda name: usual.index(name) if name in usual else len(usual)
        )
    for override in overrides:
        apply_override(values, override)
    if jobs is not None:
        values["jobs"] = jobs
    return validate(values, f"the recipe of {result.name}")


def plan_again(result: Result, recipe: Recipe) -> Plan:
    """Read the corpora of a result as they are here.

    Raises:
        InputError: recordings are not here; the message says what to set.
    """
    try:
        return make_plan(recipe)
    except DoppelbenchError as error:
        sources = [corpus for corpus in (recipe.corpus, recipe.sources) if corpus is not None]
        if all(corpus.reader == "talkers" for corpus in sources):
            raise
        raise InputError(
            f"the recordings of {result.name} cannot be read here: {error} (They were looked for at "
            f"{', '.join(_sought(corpus) for corpus in sources)}; name another place with corpus.root=FOLDER "
            "or sources.root=FOLDER.)"
        ) from None


def result_origin(result: Result) -> Origin:
    """What the figures of a result came from."""
    return Origin(
        corpus=_texts(result.corpus.model_dump()),
        trials=_texts(result.trials.model_dump(include={"count", "hash"})),
        recipe={} if result.config is None else _flat_recipe(stored_recipe(result)),
        seeds=_texts(result.seeds),
        signatures={entry.name: entry.signature for entry in result.metrics},
        versions=result.versions,
        machine=result.machine,
        code={"commit": result.commit} if result.commit else {},
    )


def present_origin(plan: Plan) -> Origin:
    """What figures of a plan would come from here and now; loads no model."""
    recipe = plan.recipe
    environment = json.loads(json.dumps(environment_record(gpu=recipe.training.device != "cpu")))
    git = environment.get("git") or {}
    return Origin(
        corpus=_texts(
            {"label": recipe.corpus.label, "hash": plan.corpus_hash, "clips": len(plan.clips)},
        ),
        trials=_texts(
            {
                "count": len(plan.trials),
                "hash": trials_hash(
                    trial_content(json.loads(json.dumps(trial_to_dict(trial)))) for trial in plan.trials
                ),
            }
        ),
        recipe=_flat_recipe(recipe),
        seeds=_texts({"all": recipe.seed}),
        signatures=dict(_signatures(recipe, recipe.metrics or plan.track.metrics)),
        versions=made_versions(environment),
        machine=made_on(environment),
        code={} if not git else {"commit": git["commit"] + (" with changes" if git.get("dirty") else "")},
    )


def differences(stored: Origin, now: Origin) -> list[Difference]:
    """Name what differs, the most telling first; what one side does not know is no difference.

    A package that the result was made with and that is not here counts, one that it did not have does not.
    """
    found: list[Difference] = []
    parts: tuple[tuple[Part, Mapping[str, str], Mapping[str, str]], ...] = (
        ("corpus", stored.corpus, now.corpus),
        ("trials", stored.trials, now.trials),
        ("recipe", stored.recipe, now.recipe),
        ("seed", stored.seeds, now.seeds),
        ("metric", stored.signatures, now.signatures),
        ("version", stored.versions, now.versions),
        ("machine", stored.machine, now.machine),
        ("code", stored.code, now.code),
    )
    for part, before, after in parts:
        kept = part in {"recipe", "version"} and after
        for name, value in before.items():
            if name not in after and not kept:
                continue
            if after.get(name, ABSENT) != value:
                found.append(Difference(part, name, value, after.get(name, ABSENT)))
        if part == "recipe" and before:
            found += [Difference(part, name, ABSENT, after[name]) for name in after if name not in before]
    return found


def match_figures(stored: Result, new: Result, tolerance: str | float | None = None) -> list[FigureMatch]:
    """Hold every figure of a result against the one made again.

    Args:
        stored: the result.
        new: of the run that was made again.
        tolerance: how far a figure may be off: in its unit, or as ``2%`` of the stored one; None asks for the
            digits that tables print.

    Raises:
        ConfigError: the tolerance is neither.
    """
    rule = None if tolerance is None else _tolerance(tolerance)
    units = {entry.name: entry.unit for entry in stored.metrics}
    again = {(system.key, figure.metric): figure for system in new.systems for figure in system.figures}
    matches = []
    for system in stored.systems:
        for old in system.figures:
            unit, made = units[old.metric], again.get((system.key, old.metric))
            if made is None:
                matches.append(
                    FigureMatch(system.key, old.metric, unit, old.value, None, None, None, "missing")
                )
                continue
            reason = ""
            if (made.n, made.expected) != (old.n, old.expected):
                reason = f"{made.n} of {made.expected} items instead of {old.n} of {old.expected}"
            match = "differs" if reason else _match(old.value, made.value, unit, rule)
            both = old.value is not None and made.value is not None
            inside = None
            if old.low is not None and old.high is not None and made.value is not None:
                inside = old.low <= made.value <= old.high
            matches.append(
                FigureMatch(
                    system.key,
                    old.metric,
                    unit,
                    old.value,
                    made.value,
                    (made.value or 0.0) - (old.value or 0.0) if both else None,
                    inside,
                    match,
                    reason,
                )
            )
    return matches


def reproduce(plan: Plan, folder: Path, *, force: bool = False) -> Result:
    """Run the plan of a result and return the result of the new run.

    Raises:
        DoppelbenchError: whatever a run raises.
    """
    execute(plan.recipe, folder, until="score", force=force, plan=plan)
    return result_from_run(folder)


def cautions(recipe: Recipe) -> list[str]:
    """Why a recipe need not come out the same even where nothing differs."""
    if recipe.training.max_seconds is None:
        return []
    return [
        f"training stops after {recipe.training.max_seconds:g} s by the clock, so that no two runs of this "
        "recipe have to be equal"
    ]


def difference_table(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """Differences as rows for tables."""
    return [
        {"part": each.part, "name": each.name, "in the result": each.stored, "here": each.now}
        for each in found
    ]


def match_table(matches: Sequence[FigureMatch], *, people: bool) -> list[dict[str, Any]]:
    """Figures as rows for tables: every digit for programs, those that are printed for people."""

    def shown(value: float | None, unit: str) -> Any:
        return format_value(value, unit) if people else value

    return [
        {
            "system": each.system,
            "metric": each.metric,
            "stored": shown(each.stored, each.unit),
            "new": shown(each.new, each.unit),
            "unit": each.unit,
            "difference": ("–" if each.difference is None else f"{each.difference:+.3g}")
            if people
            else each.difference,
            "in stored interval": {None: "–", True: "yes", False: "no"}[each.in_interval]
            if people
            else each.in_interval,
            "match": f"{each.match}: {each.reason}" if each.reason else each.match,
        }
        for each in matches
    ]


def _refuse_detection(track: str | None, name: str) -> None:
    if track == DETECTION:
        raise InputError(
            f"{name} is a detection result; it is made again by the detect command that its run.json keeps "
            "under command, on the runs that the command names"
        )


def _match(old: float | None, new: float | None, unit: str, rule: Rule | None) -> Match:
    if old == new:
        return "exact"
    if old is None or new is None:
        return "differs"
    if rule is None:
        return "as printed" if format_value(old, unit) == format_value(new, unit) else "differs"
    slack = ROUNDING * (abs(old) + abs(new))
    return "within tolerance" if math.fabs(new - old) <= rule.allowed(old) + slack else "differs"


def _tolerance(given: str | float) -> Rule:
    with contextlib.suppress(ValueError):
        given = float(given)
    try:
        return Rule(tolerance=given)
    except ValueError:
        raise ConfigError(
            f"the tolerance {given} is neither a number that is not negative nor per cent of the stored "
            "figure such as 2%"
        ) from None


def _signatures(recipe: Recipe, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        base, asked = metric_options(name)
        if base in TRAINED_METRICS:
            continue
        try:
            yield name, metric(base, **{**stated_options(recipe, name), **asked}).signature
        except DoppelbenchError as error:
            yield name, f"cannot be measured here: {error}"


def _flat_recipe(recipe: Recipe) -> dict[str, str]:
    """Dotted keys of what can change a result."""
    from doppelbench.benchmark.run import NOT_RESULTS

    values = recipe.model_dump(mode="json")
    return dict(_flat({name: value for name, value in values.items() if name not in NOT_RESULTS | {"seed"}}))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, f"{name}.{number}")
    else:
        yield name, json.dumps(value, ensure_ascii=False)


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _sought(corpus: CorpusConfig) -> str:
    return corpus.reader if corpus.root is None else str(corpus.root)
