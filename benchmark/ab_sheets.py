"""Sheets for listeners from the outputs of a run, where a recipe asks people and not a metric."""

from collections.abc import Sequence
from pathlib import Path

from doppelbench.benchmark.plan import Plan
from doppelbench.benchmark.progress import say
from doppelbench.corpora.clip import Trial
from doppelbench.corpora.errors import InputError
from doppelbench.engine.run import Run
from doppelbench.listening.ab_sheet import KEY, AbPair, make_ab_sheet


def write_ab_sheets(run: Run, plan: Plan) -> list[Path]:
    """Write ``listening/<number>`` for every AB test of the recipe; a sheet that is there is kept.

    A trial that one of the two systems did not answer is in no pair. Folders bear numbers, because the names
    of the systems belong into the key alone.

    Returns:
        Folders of the sheets.
    """
    folders = []
    for number, test in enumerate(plan.recipe.ab_tests, 1):
        folder = run.directory / "listening" / str(number)
        if not (folder / KEY).is_file():
            pairs = [_pair(run, test.systems, trial) for trial in plan.trials]
            chosen = spread_over_targets([pair for pair in pairs if pair is not None], test.trials)
            try:
                make_ab_sheet(
                    folder, test.systems, chosen, question=test.question, seed=plan.recipe.seed + number
                )
            except InputError as error:
                say(f"AB sheet of {' and '.join(test.systems)} is left out: {error}")
                continue
        folders.append(folder)
    return folders


def spread_over_targets(pairs: Sequence[AbPair], count: int) -> list[AbPair]:
    """Take at most ``count`` pairs, from the targets in turn, evenly over each target's list."""
    by_target: dict[str, list[AbPair]] = {}
    for pair in pairs:
        by_target.setdefault(pair.target, []).append(pair)
    share = -(-count // max(1, len(by_target)))
    columns = [
        [own[position * len(own) // min(share, len(own))] for position in range(min(share, len(own)))]
        for own in by_target.values()
    ]
    rounds = [column[place] for place in range(share) for column in columns if place < len(column)]
    return rounds[:count]


def _pair(run: Run, systems: tuple[str, str], trial: Trial) -> AbPair | None:
    first, second = (run.output_path(system, trial.id, ".flac") for system in systems)
    if not (first.is_file() and second.is_file()):
        return None
    reference = trial.reference
    whole = reference is not None and reference.audio is not None and reference.start is None
    return AbPair(
        trial.id,
        trial.target,
        (first, second),
        Path(reference.audio) if whole and reference is not None and reference.audio is not None else None,
    )
