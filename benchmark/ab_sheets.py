"""Listening tests of two systems from the outputs of a run, where a recipe asks people and not a metric."""

from dataclasses import replace
from pathlib import Path

from doppelbench.benchmark.plan import Plan
from doppelbench.benchmark.progress import say
from doppelbench.corpora.clip import Trial
from doppelbench.corpora.errors import InputError
from doppelbench.engine.run import Run
from doppelbench.listening.design import make_study
from doppelbench.listening.plans import EXEMPLAR_2021_AB, preference
from doppelbench.listening.rows import Sound
from doppelbench.listening.study import KEY


def write_ab_sheets(run: Run, plan: Plan) -> list[Path]:
    """Write ``listening/<number>`` for every AB test of the recipe; a study that is there is kept.

    A trial that one of the two systems did not answer is in no pair. Folders bear numbers, because the names
    of the systems belong into the key alone.

    Returns:
        Folders of the studies.
    """
    folders = []
    for number, test in enumerate(plan.recipe.ab_tests, 1):
        folder = run.directory / "listening" / str(number)
        if not (folder / KEY).is_file():
            media = plan.track.media
            sounds = [_sound(run, system, trial, media) for system in test.systems for trial in plan.trials]
            pairs = replace(
                EXEMPLAR_2021_AB,
                questions=(preference(test.question),),
                targets=max(1, len({trial.target for trial in plan.trials})),
                trials=test.trials,
            )
            what = f"AB test of {' and '.join(test.systems)}"
            try:
                made = make_study(
                    folder,
                    sounds,
                    pairs,
                    seed=plan.recipe.seed + number,
                    run=run.directory.name,
                    pairs=[test.systems],
                )
            except InputError as error:
                say(f"{what} is left out: {error}")
                continue
            for note in made.notes:
                say(f"{what}: {note}")
        folders.append(folder)
    return folders


def _sound(run: Run, system: str, trial: Trial, media: str) -> Sound:
    clip = trial.reference
    natural = None if clip is None else clip.audio if media == "audio" else clip.video
    # A part of a recording is no file that can be named.
    sample = None if clip is None or clip.start is not None or natural is None else Path(natural)
    return Sound(
        system=system,
        kind="system",
        trial=trial.id,
        target=trial.target,
        source=trial.source.speaker,
        path=run.output_path(system, trial.id, ".flac" if media == "audio" else ".mkv"),
        target_sample=sample,
    )
