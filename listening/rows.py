"""Which sounds are rated: rows of the table, and trials that all of them answered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from pathlib import Path
from typing import Literal

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.listening.balance import spread_over_targets
from doppelbench.listening.plans import PAIR_QUESTIONS, Plan
from doppelbench.listening.stimuli import Treatment, is_video, natural_seconds
from doppelbench.listening.study import QuestionName

# How natural recordings and the row made here are called in the key.
NATURAL, LOW_PASS = "natural", "low-pass-3.5k"
Rows = Mapping[str, Mapping[str, "Sound"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What one row of the table has for one trial.

    Attributes:
        system: key of the system, or name of the reference row.
        kind: ``reference`` is the target's natural recording of the words, ``anchor`` another row that pins
            the scale (the unconverted source, a vocoder's copy).
        trial: id.
        target: whose voice was asked for.
        source: who spoke.
        path: of the sound or video; a file that is not there is no answer.
        target_sample: natural recording of the target, of other words, to compare the voice with.
        source_sample: natural recording of the words that it should say.
        treatment: what is done to it.
    """

    system: str
    kind: Literal["system", "reference", "anchor"]
    trial: str
    target: str
    source: str
    path: Path
    target_sample: Path | None = None
    source_sample: Path | None = None
    treatment: Treatment = "none"


def list_rows(
    folder: Path,
    sounds: Iterable[Sound],
    plan: Plan,
    pairs: Sequence[tuple[str, str]] | None,
    notes: list[str],
) -> dict[str, dict[str, Sound]]:
    """Sounds by row and trial: systems, then references and anchors as far as the plan wants them.

    Args:
        folder: of the study, for messages.
        sounds: in any order.
        plan: says which rows are rated.
        pairs: those that are compared, or None.
        notes: get what the plan wants and is not there.

    Raises:
        InputError: a sound given twice, a trial of two targets, or too few systems.
    """
    rows: dict[str, dict[str, Sound]] = {}
    trials: dict[str, Sound] = {}
    for sound in sorted(sounds, key=lambda sound: (sound.system, sound.trial)):
        own = rows.setdefault(sound.system, {})
        if sound.trial in own:
            raise InputError(
                f"{folder}: the sound of {sound.system} for the trial {sound.trial} is given twice"
            )
        known = trials.setdefault(sound.trial, sound)
        if (known.target, known.source) != (sound.target, sound.source):
            raise InputError(f"{folder}: the trial {sound.trial} has two targets or two sources")
        own[sound.trial] = sound
    if not rows:
        raise InputError(f"{folder}: there is no trial and no sound to be rated")
    if pairs is not None:
        named = {name for pair in pairs for name in pair}
        unknown = sorted(named - set(rows))
        if unknown or any(first == second for first, second in pairs) or not pairs:
            raise InputError(
                f"{folder}: pairs name {', '.join(unknown) or 'no two systems'}; there are {', '.join(rows)}"
            )
        return {name: rows[name] for name in sorted(named)}
    kinds = {name: next(iter(own.values())).kind for name, own in rows.items()}
    found = {name: own for name, own in rows.items() if kinds[name] == "system"}
    if not found:
        raise InputError(f"{folder}: there is no system to be rated")
    if plan.of_pairs:
        if len(found) < 2:
            raise InputError(
                f"{folder}: a question about pairs needs two systems, there is {next(iter(found))}"
            )
        return found
    natural = {name: own for name, own in rows.items() if kinds[name] == "reference"}
    if plan.references:
        found |= natural
        if not natural:
            notes.append("there is no natural recording to be rated as a hidden reference")
    if plan.anchors:
        found |= {name: own for name, own in rows.items() if kinds[name] == "anchor"}
        if natural:
            found[LOW_PASS] = {
                trial: replace(sound, system=LOW_PASS, kind="anchor", treatment="low-pass")
                for trial, sound in natural[natural_row(natural) or NATURAL].items()
            }
        else:
            notes.append("there is no natural recording to make the low-passed anchor of")
    return found


def natural_row(rows: Rows) -> str | None:
    """The row of natural recordings: ``natural``, or the first of the references; None without one."""
    found = [name for name, own in rows.items() if next(iter(own.values())).kind == "reference"]
    return NATURAL if NATURAL in found else next(iter(found), None)


def modality_of(folder: Path, rows: Rows) -> Literal["audio", "video"]:
    """Say by the names of the files whether sounds or videos are rated.

    Raises:
        InputError: some are sounds and some are videos.
    """
    kinds = {is_video(sound.path) for own in rows.values() for sound in own.values()}
    if len(kinds) > 1:
        raise InputError(f"{folder}: some outputs are sounds and some are videos; name those of one kind")
    return "video" if kinds == {True} else "audio"


def list_compared(rows: Rows, plan: Plan, pairs: Sequence[tuple[str, str]] | None) -> list[tuple[str, ...]]:
    """What one item is about: a row, or two."""
    if not plan.of_pairs:
        return [(name,) for name in rows]
    return list(pairs) if pairs is not None else list(combinations(rows, 2))


def choose_trials(
    folder: Path, rows: Rows, plan: Plan, rate: int, notes: list[str]
) -> tuple[list[Sound], list[Sound], dict[str, float]]:
    """Choose trials that every row answered, spread over targets.

    Args:
        folder: of the study, for messages.
        rows: sounds by row and trial.
        plan: how many targets and trials.
        rate: samples per second.
        notes: get what was left out or is lacking.

    Returns:
        Chosen trials, each told by one of its sounds with the samples that all rows of it are shown with;
        complete trials that are left over, as many as training needs; and durations of the chosen, by trial.

    Raises:
        InputError: no trial is complete, or a recording would be compared with itself.
    """
    asked = {question.name for question in plan.questions}
    left_out: dict[str, list[str]] = {}
    complete: list[Sound] = []
    for trial in sorted({trial for own in rows.values() for trial in own}):
        sound, reason = _complete(trial, rows, asked)
        if sound is None:
            left_out.setdefault(reason, []).append(trial)
        else:
            complete.append(sound)
    targets = sorted({sound.target for sound in complete})
    # Evenly over the sorted names, so that it does not depend on the outputs.
    kept = min(len(targets), plan.targets)
    targets = [targets[place * len(targets) // kept] for place in range(kept)]
    pool = [sound for sound in complete if sound.target in targets]
    seconds: dict[str, float] = {}
    broken: set[str] = set()
    while True:
        pool = [sound for sound in pool if sound.trial not in broken]
        chosen = [pool[place] for place in spread_over_targets([sound.target for sound in pool], plan.trials)]
        unknown = [sound.trial for sound in chosen if sound.trial not in seconds]
        if not unknown:
            break
        for trial in unknown:
            try:
                seconds[trial] = max(natural_seconds(own[trial].path, rate) for own in rows.values())
            except MediaError as error:
                left_out.setdefault(str(error), []).append(trial)
                broken.add(trial)
    for reason, trials in left_out.items():
        more = f" and {len(trials) - 1} more are" if len(trials) > 1 else " is"
        notes.append(f"the trial {trials[0]}{more} left out: {reason}")
    if not chosen:
        *others, last = rows
        names = f"{', '.join(others)} and {last}" if others else last
        raise InputError(
            f"{folder}: there is no trial that {'both ' if len(rows) == 2 else ''}{names} answered"
        )
    for name, wanted, found in (
        ("targets", plan.targets, len(targets)),
        ("trials", plan.trials, len(chosen)),
    ):
        if found < wanted:
            notes.append(f"the plan {plan.name} asks for {wanted} {name}, there are {found}")
    if asked & {"similarity", *PAIR_QUESTIONS}:
        _refuse_itself(folder, rows, chosen)
    taken = broken | {sound.trial for sound in chosen}
    left = (sound for sound in complete if sound.trial not in taken)
    sound_ones = (one for one in left if _is_heard(one.trial, rows, rate))
    return chosen, list(islice(sound_ones, plan.training)), seconds


def _complete(trial: str, rows: Rows, asked: set[QuestionName]) -> tuple[Sound | None, str]:
    """A trial that can be rated, or the reason why it cannot."""
    lacking = [name for name, own in rows.items() if trial not in own or not own[trial].path.is_file()]
    if lacking:
        return None, f"no output of {', '.join(lacking)}"
    sounds = [own[trial] for own in rows.values()]
    target = next((one.target_sample for one in sounds if one.target_sample), None)
    source = next((one.source_sample for one in sounds if one.source_sample), None)
    needs: dict[QuestionName, Path | None] = {"similarity": target, "abx": target, "consistency": source}
    missing = [name for name, sample in needs.items() if name in asked and sample is None]
    if missing:
        return None, f"no natural recording to judge {' and '.join(missing)} by"
    return replace(sounds[0], target_sample=target, source_sample=source), ""


def _is_heard(trial: str, rows: Rows, rate: int) -> bool:
    try:
        return all(natural_seconds(own[trial].path, rate) > 0 for own in rows.values())
    except MediaError:
        return False


def _refuse_itself(folder: Path, rows: Rows, chosen: Sequence[Sound]) -> None:
    for sound in chosen:
        for name, own in rows.items():
            if own[sound.trial].path == sound.target_sample:
                raise InputError(
                    f"{folder}: {sound.target_sample} of {name} would be compared with itself; name a "
                    "recording of other words as the sample of the target"
                )
