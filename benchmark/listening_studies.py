"""From a run to a listening test, and from its votes to figures beside those of the metrics."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from doppelbench.benchmark.config import ListeningConfig
from doppelbench.benchmark.progress import say
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.benchmark.work import trial_from_dict
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import InputError
from doppelbench.engine.run import Run
from doppelbench.listening.plans import find_plan
from doppelbench.listening.rows import Sound
from doppelbench.listening.study import KEY, RATERS, read_key, read_study

if TYPE_CHECKING:
    from doppelbench.listening.design import MadeStudy
    from doppelbench.listening.planner import Budget
    from doppelbench.listening.simulated_raters import Crowd

# Reference rows that are a person's own recording; other reference rows pin the scale as anchors.
NATURAL_ROWS = ("natural", "natural-video")
ANCHOR_ROWS = ("source", "copy-synthesis", "codec-video", "still-frame")
SIMULATED = "simulated"
# What a simulated crowd hears: the best system, the worst one, nature, and every anchor.
PLANTED_BEST, PLANTED_WORST, PLANTED_NATURAL, PLANTED_ANCHOR = 3.8, 2.2, 4.7, 2.0


def run_sounds(run: Path, systems: Sequence[str] | None = None) -> list[Sound]:
    """What a listening test may be made of: outputs of a run with what they are compared with.

    Args:
        run: the run folder.
        systems: that compete; all that are no reference row when None.

    Raises:
        InputError: no run, or a system that it does not have.
    """
    opened = Run.open(run)
    plan = opened.info.plan
    rows = {row["key"]: row for row in plan.get("systems", ())}
    unknown = sorted(set(systems or ()) - set(rows))
    if unknown:
        raise InputError(f"{run}: there is no system {unknown[0]}; there are {', '.join(rows)}")
    trials = [trial_from_dict(trial) for trial in plan.get("trials", ())]
    track, _ = TRACKS[plan["track"]]
    samples = _target_samples(trials, track.media)
    sounds = []
    for key, row in rows.items():
        kind = _kind(key, row, systems)
        if kind is None:
            continue
        for trial in trials:
            sounds.append(
                Sound(
                    system=key,
                    kind=kind,
                    trial=trial.id,
                    target=trial.target,
                    source=trial.source.speaker,
                    path=opened.output_path(key, trial.id, track.suffix),
                    target_sample=samples.get(trial.id),
                    source_sample=_whole_file(trial.source, track.media),
                )
            )
    return sounds


def _kind(
    key: str, row: Mapping[str, Any], systems: Sequence[str] | None
) -> Literal["system", "reference", "anchor"] | None:
    if systems is not None and key in systems:
        return "system"
    if row["name"] in NATURAL_ROWS:
        return "reference"
    if row["name"] in ANCHOR_ROWS:
        return "anchor"
    return "system" if systems is None and not row["reference_row"] else None


def _whole_file(clip: Clip | None, media: str) -> Path | None:
    """A clip that is all of its file; a part of a recording is no file that can be named."""
    if clip is None or clip.start is not None or clip.end is not None:
        return None
    place = clip.audio if media == "audio" else clip.video
    return None if place is None else Path(place)


def _target_samples(trials: Sequence[Trial], media: str) -> dict[str, Path]:
    """For each trial a natural recording of its target that says something else."""
    natural: dict[str, dict[Path, str | None]] = {}
    for trial in trials:
        path = _whole_file(trial.reference, media)
        if path is not None and trial.reference is not None:
            natural.setdefault(trial.target, {})[path] = trial.reference.text
    samples = {}
    for trial in trials:
        own = sorted(natural.get(trial.target, {}))
        place = _whole_file(trial.reference, media)
        start = own.index(place) if place in own else 0
        for path in own[start + 1 :] + own[:start]:
            if natural[trial.target][path] != trial.source.text:
                samples[trial.id] = path
                break
    return samples


def make_listening_test(
    run: Path,
    out: Path,
    plan: str,
    *,
    systems: Sequence[str] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
    contact: str = "",
    raters_per_item: int | None = None,
    trials: int | None = None,
) -> "MadeStudy":
    """Make the study of a plan from a run, and make sure that nothing in it tells the systems apart.

    Args:
        run: the run folder.
        out: new folder for the study.
        plan: name of the plan.
        systems: that compete; all that are no reference row when None.
        pairs: that are compared, where the plan asks about pairs.
        seed: of order and names.
        contact: of the owner, shown to raters.
        raters_per_item: instead of the plan's.
        trials: instead of the plan's.

    Raises:
        InputError: no such run, plan or system, nothing to rate, or a leak.
    """
    from doppelbench.listening.design import make_study
    from doppelbench.listening.leak_check import check_no_leaks

    chosen = find_plan(plan)
    if raters_per_item is not None:
        chosen = replace(chosen, recruitment=replace(chosen.recruitment, raters_per_item=raters_per_item))
    if trials is not None:
        chosen = replace(chosen, trials=trials)
    made = make_study(
        out,
        run_sounds(run, systems),
        chosen,
        seed=seed,
        run=run.resolve().name,
        pairs=pairs,
        contact=contact,
    )
    check_no_leaks(out)
    return made


def planted_effects(folder: Path) -> dict[str, dict[str, float]]:
    """What a simulated crowd hears in each row of a study: invented, evenly spread, and known.

    Systems are spread from 3.8 to 2.2 in the order of their names, the natural recordings are at 4.7 and
    anchors at 2.0, for every question alike.
    """
    key, study = read_key(folder), read_study(folder)
    kinds = {name: entry.kind for entry in key.entries.values() for name in entry.systems}
    systems = sorted(name for name, kind in kinds.items() if kind == "system")
    step = (PLANTED_BEST - PLANTED_WORST) / max(1, len(systems) - 1)
    level = {name: PLANTED_BEST - step * place for place, name in enumerate(systems)}
    fixed = {"reference": PLANTED_NATURAL, "anchor": PLANTED_ANCHOR}
    return {
        name: {
            question.name: level.get(name, fixed.get(kind, PLANTED_ANCHOR)) for question in study.questions
        }
        for name, kind in kinds.items()
    }


def crowd_of(folder: Path, *, raters: int, shares: Mapping[str, float] | None = None) -> "Crowd":
    """A simulated crowd for a study, with the planted effects.

    Raises:
        InputError: no study or key, or shares that are none.
    """
    from doppelbench.listening.simulated_raters import Crowd

    chosen: Any = dict(shares or {"honest": 1.0})
    crowd = Crowd(effects=planted_effects(folder), raters=raters, shares=chosen)
    crowd.behaviours()
    return crowd


def objective_rows(run: Path) -> Iterator[dict[str, Any]]:
    """Item scores of a run, to be held against votes on the same trials."""
    for row in Run.open(run).item_rows():
        if row.status == "ok" and row.value is not None:
            yield {"system": row.system, "trial": row.trial, "metric": row.metric, "value": row.value}


def analyse_listening_test(
    folder: Path, results: Sequence[Path], out: Path, *, run: Path | None = None, opaque_raters: bool = True
) -> Path:
    """Analyse votes and write the tables and the page.

    Args:
        folder: of the study, with its key.
        results: results files.
        out: folder for the analysis.
        run: whose item scores are correlated with the votes; none when None.
        opaque_raters: replace the platform's names of raters.

    Returns:
        Path of the page.

    Raises:
        InputError: a broken seal, a results file that cannot be read, or no vote that counts.
    """
    from doppelbench.listening.analysis import analyse, write_analysis

    rows = None if run is None else objective_rows(run)
    return write_analysis(analyse(folder, results, objective=rows, opaque_raters=opaque_raters), out)


def budget_of(plan: str, systems: int, *, blocks_per_rater: int = 1) -> "Budget":
    """Cost, time and precision of a plan with so many systems.

    Raises:
        InputError: no such plan, or too few systems.
    """
    from doppelbench.listening.planner import budget

    return budget(find_plan(plan), systems, blocks_per_rater=blocks_per_rater)


def write_listening_tests(run: Path, tests: Sequence[ListeningConfig], *, seed: int) -> list[dict[str, Any]]:
    """Make the listening tests of a recipe, with their sheets, and let a simulated crowd vote where asked.

    A study that is there is kept, with its votes.

    Args:
        run: the run folder; studies go to ``listening/<plan>``.
        tests: of the recipe.
        seed: of the run.

    Returns:
        For the report, one row a test: ``plan``, ``folder``, ``items``, ``blocks``, ``raters``, ``preview``
        and, with a simulated crowd, ``analysis`` and ``scores``. A test that cannot be made has a ``reason``.
    """
    from doppelbench.listening.pages import PREVIEW, write_sheets

    rows: list[dict[str, Any]] = []
    for test in tests:
        folder = run / "listening" / find_plan(test.plan).alias
        try:
            if not (folder / KEY).is_file():
                made = make_listening_test(
                    run,
                    folder,
                    test.plan,
                    systems=test.systems,
                    seed=seed,
                    raters_per_item=test.raters,
                    trials=test.trials,
                )
                for note in made.notes:
                    say(f"listening test {test.plan}: {note}")
            study = read_study(folder)
            write_sheets(study, folder / "sheets", media_url=test.media_url, preview_media="../raters/media")
        except InputError as error:
            say(f"listening test {test.plan} is left out: {error}")
            rows.append({"plan": test.plan, "reason": str(error)})
            continue
        row: dict[str, Any] = {
            "plan": test.plan,
            "folder": folder.relative_to(run).as_posix(),
            "items": len(study.items),
            "blocks": len(study.blocks),
            "raters": study.recruitment.raters_per_item,
            "preview": (folder / "sheets" / PREVIEW).relative_to(run).as_posix(),
        }
        if test.simulate:
            row |= _simulated(run, folder, seed)
        rows.append(row)
    return rows


def _simulated(run: Path, folder: Path, seed: int) -> dict[str, Any]:
    from doppelbench.listening.analysis import SCORES
    from doppelbench.listening.simulated_raters import write_simulated_results

    study, key, out = read_study(folder), read_key(folder), folder / SIMULATED
    out.mkdir(exist_ok=True)
    crowd = crowd_of(folder, raters=4 * study.recruitment.raters_per_item)
    results = write_simulated_results(out / "results.csv", study, key, crowd, seed=seed)
    page = analyse_listening_test(folder, [results], out, run=run)
    with (out / SCORES).open(encoding="utf-8", newline="") as file:
        scores = [row for row in csv.DictReader(file) if row["votes_of"] == "screened"]
    return {"analysis": page.relative_to(run).as_posix(), "scores": scores}


def coverage_rows(*, studies: int, raters: int, trials: int, seed: int) -> list[dict[str, Any]]:
    """How often each interval holds the truth of simulated studies of four systems, one row each.

    Raises:
        InputError: fewer people in the pool than rate an item.
    """
    from doppelbench.listening.coverage import METHOD_TITLES, Layout, interval_coverage
    from doppelbench.listening.simulated_raters import Crowd

    layout = Layout(trials=trials)
    if raters < layout.raters_per_item:
        raise InputError(f"{raters} people in the pool, but {layout.raters_per_item} rate each item")
    effects = {f"system {place}": {"naturalness": mean} for place, mean in enumerate((2.0, 2.6, 3.2, 4.0))}
    found = interval_coverage(Crowd(effects=effects, raters=raters), layout, studies=studies, seed=seed)
    return [
        {
            "figure": entry.figure,
            "interval": METHOD_TITLES[entry.method],
            "covered_percent": round(100 * entry.covered, 1),
            "half_width": round(entry.half_width, 3),
            "intervals": entry.intervals,
        }
        for entry in found
    ]


def study_summary(folder: Path) -> list[dict[str, Any]]:
    """What is in a study, one row a fact, without a word of who made what."""
    study = read_study(folder)
    rules = ", ".join(f"{name} {value:g}" for name, value in asdict(study.rules).items())
    return [
        {"field": "plan", "value": study.plan},
        {"field": "questions", "value": ", ".join(question.name for question in study.questions)},
        {"field": "items", "value": len(study.items)},
        {"field": "blocks", "value": len(study.blocks)},
        {"field": "raters an item", "value": study.recruitment.raters_per_item},
        {"field": "media files", "value": len(study.media)},
        {"field": "rules of exclusion", "value": rules},
        {"field": "raters get", "value": str(folder / RATERS)},
        {"field": "stays with you", "value": str(folder / KEY)},
    ]
