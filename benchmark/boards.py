"""Results from run folders of every track, and boards from results and runs.

``run.json`` and the items are the truth; ``figures.csv`` is read for its figures and intervals, and refused
where the items do not agree with it. A record that was kept without its items still gives a result, whose
notes say that there is no paired test.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from doppelbench.benchmark.detection_folder import PLAIN, TRACK, TRIALS
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.engine.run import FIGURES, RECORD
from doppelbench.leaderboards.result import (
    StoredResult,
    SystemItems,
    find_results,
    parse_result,
    read_result,
    system_id,
    trials_hash,
    with_items,
    write_result,
)

if TYPE_CHECKING:
    import pandas as pd

    from doppelbench.engine.run import FigureRow, RunInfo
    from doppelbench.leaderboards.result import Result

NO_ITEMS = (
    "{name}: the items were not kept, so that its systems are told apart by overlapping intervals, without a "
    "paired test"
)
# Its systems are the detectors; higher scores mean bona fide, errors are shares.
DETECTION_TITLE = "Detection: is it real?"
DETECTION_RANKING = ("eer_asvspoof",)
DETECTION_METRICS = {
    "eer_asvspoof": ("lower", "Equal error rate, as ASVspoof computes it"),
    "eer_rocch": ("lower", "Equal error rate on the convex hull of the ROC"),
    "auc": ("higher", "Area under the ROC curve"),
    "min_dcf": ("lower", "Least detection cost of all thresholds"),
    "actual_dcf": ("lower", "Detection cost at the threshold of the priors"),
    "cllr": ("lower", "Cost of the likelihood ratios"),
    "min_cllr": ("lower", "Cost of the likelihood ratios at their best calibration"),
    "accuracy": ("higher", "Accuracy"),
}
DETECTION_VERSION = "v1"
EXAMPLE_TRIALS = 3
LARGEST_EXAMPLE = 1 << 20
PREVIEWS = (".mp4", ".flac")

Items = dict[str, SystemItems]


def results_from_run(folder: Path) -> "list[tuple[Result, Items | None, bool]]":
    """Make the results of a run: one, or, of a detection run, one for each protocol and fold.

    Returns:
        For each the result without a note of its items, the items, and whether they sum up to the figure.

    Raises:
        RunError: the folder is no run.
        InputError: it was not scored, or its figures are not those of its items.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is neither a run nor a result: it has no {RECORD}") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if isinstance(record, dict) and record.get("track") == TRACK:
        return _detection_results(folder, record)
    return [_synthesis_result(folder)]


def result_from_run(folder: Path) -> "Result":
    """The only result of a run that has one.

    Raises:
        InputError: it has several, or what :func:`results_from_run` refuses.
    """
    found = results_from_run(folder)
    if len(found) != 1:
        raise InputError(f"{folder} has {len(found)} results, one for each protocol and fold")
    return found[0][0]


def add_results(folder: Path, to: Path) -> list[Path]:
    """Write the results of a run into a folder and return their files."""
    return [
        to / f"{write_result(result, to, items, exact=exact).id}.json"
        for result, items, exact in results_from_run(folder)
    ]


def load_results(places: Sequence[Path], *, examples: bool = False) -> list[StoredResult]:
    """Read what a board is made of.

    Args:
        places: run folders, result files, or folders of result files.
        examples: whether to name outputs of runs that can be heard or seen.

    Raises:
        InputError: a place that is none of these, or cannot be read.
    """
    found: list[StoredResult] = []
    for place in places:
        if place.is_file():
            found.append(read_result(place))
        elif (place / RECORD).is_file():
            media = example_outputs(place) if examples else {}
            for result, items, exact in results_from_run(place):
                stored = with_items(result, items, exact=exact).stored
                found.append(replace(stored, examples=media))
        elif place.is_dir() and find_results(place):
            found += [read_result(path) for path in find_results(place)]
        else:
            raise InputError(f"{place}: neither a run folder, a result file, nor a folder of results")
    return found


def example_outputs(folder: Path, count: int = EXAMPLE_TRIALS) -> dict[str, list[tuple[str, Path]]]:
    """Small outputs of the same few trials for every system of a run, as far as they are there.

    Returns:
        By key of the system, pairs of the trial and its file: an mp4 preview or a FLAC of at most 1 MiB.
    """
    from doppelbench.engine.errors import RunError
    from doppelbench.engine.run import Run, output_path

    try:
        plan = Run.open(folder).info.plan
    except RunError:
        # A detection run has no outputs.
        return {}
    keys = [system["key"] for system in plan.get("systems", ())]
    found: dict[str, list[tuple[str, Path]]] = {}
    for trial in _spread(plan.get("trials", ()), count):
        for key in keys:
            for suffix in PREVIEWS:
                path = output_path(folder, key, trial, suffix)
                if path.is_file() and path.stat().st_size <= LARGEST_EXAMPLE:
                    found.setdefault(key, []).append((trial, path))
                    break
    return found


def _spread(trials: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Trials of different targets first."""
    by_target: dict[str, list[str]] = {}
    for trial in trials:
        by_target.setdefault(str(trial["target"]), []).append(str(trial["id"]))
    turns = [
        own[turn]
        for turn in range(max((len(own) for own in by_target.values()), default=0))
        for own in by_target.values()
        if turn < len(own)
    ]
    return turns[:count]


def _synthesis_result(folder: Path) -> "tuple[Result, Items | None, bool]":
    from doppelbench.benchmark.tracks.registry import TRACKS
    from doppelbench.engine.run import ITEMS, Run

    run = Run.open(folder)
    info = run.info
    figures = run.figures()
    plan = info.plan
    track = TRACKS.get(plan.get("track", ""))
    if track is None:
        raise InputError(f"{folder}: its track {plan.get('track')!r} is not known here")
    if not figures:
        raise InputError(f"{folder} has no figures, so no result; finish it with the command that began it")
    named = {figure.signature_id for figure in figures}
    unknown = sorted(named - set(info.signatures))
    if unknown:
        raise InputError(
            f"{folder}: {RECORD} does not say what the signature {unknown[0]} is; score it again"
        )
    has_items = (folder / ITEMS).is_file()
    notes = [] if has_items else [NO_ITEMS.format(name=folder.name)]
    content = {
        "schema": 1,
        "name": folder.resolve().name,
        "created": info.created,
        "track": track[0].name,
        "track_title": track[0].title,
        "corpus": {name: info.corpus.get(name) for name in ("label", "hash", "clips")},
        "trials": {
            "count": len(plan["trials"]),
            "hash": trials_hash(trial_content(trial) for trial in plan["trials"]),
        },
        "ranking": list(track[0].ranking),
        "recipe": str(info.config.get("name") or ""),
        "preset": info.config.get("preset"),
        "seeds": {name: seed for name, seed in info.seeds.items() if isinstance(seed, int)},
        **_made_with(info.sessions[-1].environment if info.sessions else {}),
        # The hash of the corpus stands in a field of its own.
        "config": {name: value for name, value in info.config.items() if name != "corpus_hash"},
        "published": str(info.config.get("published") or ""),
        "metrics": _metric_parts(figures, info.signatures),
        "systems": [
            _system_part(info, system, figures)
            for system in plan["systems"]
            if any(figure.system == system["key"] for figure in figures)
        ],
        "notes": notes,
    }
    result = parse_result(json.dumps(content), str(folder))
    items = None
    if has_items:
        items = _run_items(folder, result, figures)
    return result, items, True


def trial_content(trial: Mapping[str, Any]) -> list[Any]:
    """What a trial is made of, wherever its files lie."""

    def clip(name: str) -> list[Any] | None:
        found = trial.get(name)
        return None if found is None else [found.get(key) for key in ("sha256", "start", "end", "text")]

    return [trial["id"], trial["target"], clip("source"), clip("reference")]


def _made_with(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The environment in one line and by its parts, and the commit."""
    machine, gpu = environment.get("machine") or {}, environment.get("gpu") or {}
    git = environment.get("git") or {}
    versions = made_versions(environment)
    parts = [
        str(machine.get("processor") or "unknown processor"),
        f"{machine.get('cores', '?')} cores",
        *(str(name) for name in gpu.get("names") or ()),
        *(f"Python {versions['python']}" for _ in [0] if versions.get("python")),
        *(f"{name} {versions[name]}" for name in ("doppelbench", "torch", "numpy") if versions.get(name)),
    ]
    commit = str(git.get("commit") or "")
    return {
        "environment": ", ".join(parts),
        "commit": f"{commit} with changes" if commit and git.get("dirty") else commit,
        "versions": versions,
        "machine": made_on(environment),
    }


def made_versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Versions of Python and of the packages in a record of an environment."""
    python = {"python": str(environment["python"])} if environment.get("python") else {}
    return python | {name: str(version) for name, version in (environment.get("packages") or {}).items()}


def made_on(environment: Mapping[str, Any]) -> dict[str, str]:
    """Processor, accelerators and platform in a record of an environment, as far as it names them."""
    gpu = environment.get("gpu") or {}
    said = {
        "processor": (environment.get("machine") or {}).get("processor"),
        "accelerators": ", ".join(gpu.get("names") or ()) or ("none" if environment else None),
        "platform": environment.get("platform"),
    }
    return {name: str(value) for name, value in said.items() if value}


def _metric_parts(figures: "Sequence[FigureRow]", signatures: Mapping[str, str]) -> list[dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {}
    for figure in figures:
        signature = signatures[figure.signature_id]
        known = parts.setdefault(figure.metric, {"signature": signature})
        if known["signature"] != signature:
            raise InputError(f"{figure.metric} was measured under two signatures in one run; score it again")
    return [{"name": name, **part, **_metric_words(name)} for name, part in parts.items()]


@cache
def _metric_words(name: str) -> dict[str, str]:
    from doppelbench.metrics.registry import metric_class, metric_options

    spec = metric_class(metric_options(name)[0]).spec
    return {"unit": spec.unit, "direction": spec.direction, "title": spec.title}


def _system_part(
    info: "RunInfo", system: Mapping[str, Any], figures: "Iterable[FigureRow]"
) -> dict[str, Any]:
    key = system["key"]
    trainings = [
        training
        for name, training in (info.plan.get("trainings") or {}).items()
        if name == key or name.startswith(f"{key}/")
    ]
    budget: Mapping[str, Any] = next(
        (row for row in info.plan.get("budget") or () if row["system"] == key), {}
    )
    seconds = budget.get("seconds")
    if seconds is None and trainings:
        seconds = round(sum(training["seconds"] for training in trainings), 1)
    return {
        "key": key,
        "name": system["name"],
        "title": system.get("title") or "",
        "description": _description(system, budget),
        "paper": system["paper"] if "paper" in system else _paper(system["name"]),
        "preset": system.get("preset"),
        "reference_row": bool(system.get("reference_row")),
        "zero_shot": budget.get("zero_shot"),
        "extra_data": budget.get("extra_data"),
        "trained_on": budget.get("trained_on"),
        "settings": system.get("settings") or {},
        "cost": {
            "training_seconds": seconds,
            "synthesis_seconds": _synthesis_seconds(info),
            "peak_memory": max((training.get("peak_memory") or 0 for training in trainings), default=0)
            or None,
            "parameters": max((training.get("parameters") or 0 for training in trainings), default=0) or None,
        },
        "figures": [
            {
                "metric": figure.metric,
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "n": figure.n,
                "expected": figure.expected,
            }
            for figure in figures
            if figure.system == key
        ],
    }


def _synthesis_seconds(info: "RunInfo") -> float | None:
    """Seconds of synthesis where a single system made all outputs; the stage is not kept by system."""
    stage = info.stages.get("synthesize")
    return stage.seconds if stage is not None and len(info.plan["systems"]) == 1 else None


def _description(system: Mapping[str, Any], budget: Mapping[str, Any]) -> str:
    said = []
    if system.get("vocoder"):
        said.append(f"vocoder {system['vocoder']['name']}")
    elif budget.get("vocoder") not in {None, "none", "waveform"}:
        said.append(f"vocoder {budget['vocoder']}")
    if system.get("hear"):
        said.append(f"also hears {', '.join(system['hear'])}")
    if (system.get("conditions") or 1) > 1:
        said.append(f"{system['conditions']} simulated recording conditions")
    if budget.get("steps"):
        said.append(f"{budget['models']} model(s) of {budget['steps']} steps")
    if budget.get("speech_seconds"):
        said.append(f"{budget['speech_seconds']:g} s of speech a model")
    return "; ".join(said)


def _paper(name: str) -> str:
    """Of a system in a record that does not say; loads the system, which takes its time."""
    from doppelbench.baselines.registry import find_system

    try:
        return str(find_system(name).spec.paper)
    except DoppelbenchError:
        return ""


def _run_items(folder: Path, result: "Result", figures: "Sequence[FigureRow]") -> Items:
    """Terms of the headline metric by system; refused where figures and items disagree."""
    from doppelbench.benchmark.figures import score_from_row
    from doppelbench.metrics.registry import metric_class, metric_options

    head = result.headline
    assert head is not None
    table = _read_items(folder)
    places = list(zip(table["system"], table["metric"], strict=True))
    expected = Counter(places)
    scored = Counter(place for place, status in zip(places, table["status"], strict=True) if status == "ok")
    for figure in figures:
        place = (figure.system, figure.metric)
        if (scored[place], expected[place]) != (figure.n, figure.expected):
            raise InputError(
                f"{folder}: figures.csv says that {figure.n} of {figure.expected} items of {figure.metric} "
                f"of {figure.system} were scored, the items say {scored[place]} of {expected[place]}; write "
                f"it again with: doppelbench score {folder}"
            )
    kind = metric_class(metric_options(head.name)[0])
    names = {system.key: system_id(system.key, system.preset) for system in result.systems}
    terms: dict[str, list[tuple[str, float, float]]] = {}
    for row in table[table["metric"] == head.name].to_dict("records"):
        item = {str(name): value for name, value in row.items()}
        adds = kind.paired_terms(score_from_row(item))
        if adds is not None and item["system"] in names:
            terms.setdefault(names[item["system"]], []).append((item["trial"], *adds))
    items = {}
    for name, own in terms.items():
        trials, numerators, denominators = zip(*own, strict=True)
        items[name] = SystemItems(
            np.array(trials, dtype=object), np.array(numerators, float), np.array(denominators, float)
        )
    _agree(folder, result, items)
    return items


def _read_items(folder: Path) -> "pd.DataFrame":
    import pandas as pd

    path = folder / "items.parquet"
    columns = ["system", "trial", "metric", "value", "status", "reason", "statistics"]
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: no table of items: {error}") from None


def _agree(folder: Path, result: "Result", items: Items) -> None:
    head = result.headline
    assert head is not None
    for system in result.systems:
        own = items.get(system_id(system.key, system.preset))
        figure = next((one for one in system.figures if one.metric == head.name), None)
        if own is None or figure is None or figure.value is None or own.denominators.sum() <= 0:
            continue
        value = own.numerators.sum() / own.denominators.sum()
        if not np.isclose(value, figure.value, rtol=1e-6, atol=1e-6):
            raise InputError(
                f"{folder}: figures.csv says {figure.value:.6g} for {head.name} of {system.key}, the items "
                f"say {value:.6g}; write it again with: doppelbench score {folder}"
            )


def _detection_results(folder: Path, record: Mapping[str, Any]) -> "list[tuple[Result, Items | None, bool]]":
    rows = _detection_figures(folder / FIGURES)
    trials = None
    if (folder / TRIALS).is_file():
        import pandas as pd

        columns = ["protocol", "fold", "detector", "variant", "id", "part", "bonafide", "attack", "control"]
        try:
            trials = pd.read_parquet(folder / TRIALS, columns=[*columns, "score", "status"])
        except (OSError, ValueError) as error:
            raise InputError(f"{folder / TRIALS}: no table of trials: {error}") from None
        # Controls are in no pooled figure.
        tested = (trials["part"] == "test") & (trials["variant"] == PLAIN) & ~trials["control"].astype(bool)
        trials = trials[tested]
    tasks = list(dict.fromkeys((row["protocol"], row["fold"]) for row in rows))
    return [
        _detection_result(
            folder,
            record,
            task,
            [row for row in rows if (row["protocol"], row["fold"]) == task],
            None
            if trials is None
            else trials[(trials["protocol"] == task[0]) & (trials["fold"].fillna("") == task[1])],
        )
        for task in tasks
    ]


def _detection_figures(path: Path) -> list[dict[str, str]]:
    """Pooled figures of the metrics of a board."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file, so no result; finish the run") from None
    needed = {"protocol", "fold", "detector", "variant", "group", "metric", "value", "low", "high"}
    if rows and not needed <= set(rows[0]):
        raise InputError(f"{path}: lacks the column {sorted(needed - set(rows[0]))[0]}")
    kept = [row for row in rows if row["group"] == "pooled" and row["metric"] in DETECTION_METRICS]
    if not any(row["metric"] in DETECTION_RANKING for row in kept):
        raise InputError(f"{path}: has no pooled {DETECTION_RANKING[0]}, by which detectors are ranked")
    return kept


def _detection_result(
    folder: Path,
    record: Mapping[str, Any],
    task: tuple[str, str],
    rows: Sequence[Mapping[str, str]],
    trials: "pd.DataFrame | None",
) -> "tuple[Result, Items | None, bool]":
    expected, hashed, count = {}, str(record.get("corpus", {}).get("hash")), 0
    items: Items = {}
    if trials is not None and len(trials):
        for detector, own in trials.groupby("detector", sort=True):
            scored = int((own["status"] == "ok").sum())
            expected[str(detector)] = (scored, len(own))
            own_items = _detection_items(own)
            if own_items is not None:
                items[str(detector)] = own_items
        distinct = trials.drop_duplicates("id")
        count = len(distinct)
        hashed = trials_hash(
            [str(name), bool(real), str(attack)]
            for name, real, attack in zip(
                distinct["id"], distinct["bonafide"], distinct["attack"], strict=True
            )
        )
    environment = record.get("environment") or {}
    detectors = list(dict.fromkeys(row["detector"] for row in rows))
    name = folder.resolve().name
    content = {
        "schema": 1,
        "name": " ".join(part for part in (name, *task) if part),
        "created": record.get("created") or environment.get("time"),
        "track": TRACK,
        "track_title": DETECTION_TITLE,
        "corpus": {
            "label": record.get("corpus", {}).get("label") or name,
            "hash": record.get("corpus", {}).get("hash") or trials_hash(record.get("sources") or [name]),
            "clips": record.get("corpus", {}).get("clips"),
        },
        "trials": {"count": count, "hash": hashed, "task": ", ".join(part for part in task if part)},
        "ranking": list(DETECTION_RANKING),
        "recipe": str(record.get("name") or name),
        "seeds": {key: seed for key, seed in (record.get("seeds") or {}).items() if isinstance(seed, int)},
        **_made_with(environment),
        "metrics": _detection_metrics(rows),
        "systems": [
            _detector_part(detector, [row for row in rows if row["detector"] == detector], expected)
            for detector in detectors
        ],
        "notes": [] if items else [NO_ITEMS.format(name=name)],
    }
    return parse_result(json.dumps(content), str(folder)), items or None, False


def _column(row: Mapping[str, str]) -> str:
    return row["metric"] if row["variant"] in {"", PLAIN} else f"{row['metric']} after {row['variant']}"


def _detection_metrics(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Plain figures, and under each degradation the ranking metric alone."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if not _shown(row):
            continue
        direction, title = DETECTION_METRICS[row["metric"]]
        variant = "" if row["variant"] in {"", PLAIN} else f"|{row['variant']}"
        found.setdefault(
            _column(row),
            {
                "name": _column(row),
                "signature": f"{row['metric']}{variant}|pooled|{DETECTION_VERSION}",
                "unit": "",
                "direction": direction,
                "title": title,
            },
        )
    return list(found.values())


def _shown(row: Mapping[str, str]) -> bool:
    return row["variant"] in {"", PLAIN} or row["metric"] in DETECTION_RANKING


def _detector_part(
    detector: str, rows: Sequence[Mapping[str, str]], expected: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    from doppelbench.detectors.registry import find_detector

    title, paper, trivial = "", "", False
    try:
        spec = find_detector(detector).spec
        title, paper, trivial = spec.title, spec.paper, spec.trivial
    except DoppelbenchError:
        title = detector

    def number(row: Mapping[str, str], name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    figures = []
    for row in rows:
        if not _shown(row):
            continue
        judged = int(row.get("bonafide") or 0) + int(row.get("spoof") or 0)
        n, of = expected.get(detector, (judged, judged))
        if row["variant"] not in {"", PLAIN}:
            n = of = judged
        low, high = number(row, "low"), number(row, "high")
        value = number(row, "value")
        both = value is not None and low is not None and high is not None
        figures.append(
            {
                "metric": _column(row),
                "value": value,
                "low": low if both else None,
                "high": high if both else None,
                "n": 0 if value is None else n,
                "expected": of,
            }
        )
    return {
        "key": detector,
        "name": detector,
        "title": title,
        "paper": paper,
        "reference_row": trivial,
        "figures": figures,
    }


def _detection_items(own: "pd.DataFrame") -> SystemItems | None:
    """Errors of a detector at its own equal error threshold, both classes weighing the same.

    Their mean is the half total error rate there, which is the equal error rate but for ties of scores.
    """
    from doppelbench.metrics.detection_curves import UndefinedError, equal_error_rate, score_curve

    scored = own[own["status"] == "ok"]
    real = scored["bonafide"].to_numpy(bool)
    scores = scored["score"].to_numpy(float)
    try:
        threshold = equal_error_rate(score_curve(scores[real], scores[~real])).threshold
    except UndefinedError:
        return None
    # The threshold is the score of the last trial that is rejected where the rates are equal.
    wrong = np.where(real, scores <= threshold, scores > threshold)
    weights = np.where(real, len(real) / (2 * real.sum()), len(real) / (2 * (~real).sum()))
    return SystemItems(
        scored["id"].astype(str).to_numpy(object), wrong * weights, np.ones(len(real), np.float64)
    )
