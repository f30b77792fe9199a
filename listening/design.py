"""Make a listening test: which rater hears what, in which order, under which name.

Blocks come from Latin lists (:mod:`doppelbench.listening.balance`); gold and traps are put in at random
places, so that a place of the balance counts rated items. In pairs each system comes first equally often,
for each target and overall (where a number is odd they differ by one), and the order stands in the key.

Names and order are drawn from the seed and from the content of the sounds: who has this program and guesses
the seed still needs the original outputs to redo the draw.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import HEADROOM, Video, sha256_of
from doppelbench.listening.balance import shuffled
from doppelbench.listening.leak_check import names_in
from doppelbench.listening.plans import CONSENT, INSTRUCTIONS, TITLE, Plan
from doppelbench.listening.rows import (
    Rows,
    Sound,
    choose_trials,
    list_compared,
    list_rows,
    modality_of,
)
from doppelbench.listening.screens import Screen, ScreenMaker
from doppelbench.listening.stimuli import (
    FILE_TIME,
    RATE,
    Rendering,
    fill_up,
    instruction_text,
    is_video,
    peak_of,
    render,
    speak_instructions,
    trap_seconds,
    write_film,
    write_sound,
)
from doppelbench.listening.study import (
    MEDIA,
    RATERS,
    STUDY,
    Block,
    Item,
    Key,
    KeyEntry,
    Stimulus,
    Study,
    write_study,
)

# This share of the trials is at least as long as a trap, so that length does not tell one.
AS_LONG_AS_TRAPS = 0.25
# No trap asks for these: the undecided select the middle, and "five" may be heard as "four".
UNASKED = frozenset({"3", "5", "same"})
LOWEST_RATE = 8000
# A peak that costs more than 6 dB for all is worth a note.
QUIETER = 0.5


@dataclass(frozen=True, slots=True)
class MadeStudy:
    """A study that was written.

    Attributes:
        study: sealed.
        notes: what of the plan could not be kept, and which trials were left out and why; they name systems
            and are not for raters.
    """

    study: Study
    notes: tuple[str, ...]


def make_study(
    folder: Path,
    sounds: Iterable[Sound],
    plan: Plan,
    *,
    seed: int,
    run: str,
    pairs: Sequence[tuple[str, str]] | None = None,
    title: str = TITLE,
    instructions: tuple[str, ...] = INSTRUCTIONS,
    consent: str = CONSENT,
    contact: str = "",
    rate: int = RATE,
) -> MadeStudy:
    """Write a study and its key.

    Args:
        folder: new or empty; gets ``raters/media``, ``raters/study.json`` and ``key.json``.
        sounds: of all rows and trials; the plan's trials are spread evenly over the targets among them. Their
            order does not matter.
        plan: sizes and questions.
        seed: of order and names.
        run: name of the run; it stands in the key.
        pairs: of systems that are compared; every pair of systems under test when None.
        title: shown to raters.
        instructions: paragraphs shown to raters.
        consent: that raters agree to.
        contact: of the owner.
        rate: samples per second of all sounds.

    Returns:
        The study, and notes on what differs from the plan.

    Raises:
        InputError: a folder with content, a text that names a system, a sound given twice, no trial that all
            rows answered, or a recording that is to be rated beside itself.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files already, and a key must fit its study; name a new folder")
    if rate < LOWEST_RATE:
        raise InputError(f"{folder}: a rate of {rate} is less than {LOWEST_RATE} samples per second")
    notes: list[str] = []
    rows = list_rows(folder, sounds, plan, pairs, notes)
    systems = {name for name, of_trial in rows.items() if next(iter(of_trial.values())).kind == "system"}
    shown = [title, *instructions, consent, contact, plan.alias]
    for question in plan.questions:
        shown += [question.text, *(answer.word for answer in question.answers)]
    for text in shown:
        for name in names_in(text, sorted(systems)):
            raise InputError(f"{folder}: the text {text!r} names the system {name}")
    modality = modality_of(folder, rows)
    trials, spare, seconds = choose_trials(folder, rows, plan, rate, notes)
    generator = _generator(seed, rows, trials)
    spoken = _instructions(plan, rate)
    least = trap_seconds(spoken, rate) if spoken else 0.0
    _lengthen(seconds, trials, least)
    maker = ScreenMaker(
        plan, rows, list_compared(rows, plan, pairs), trials, spare, seconds, generator, notes
    )
    blocks, training = maker.blocks(sorted(spoken), least), maker.training()

    everything = [screen for block in [*blocks, training] for screen in block]
    renderings = sorted({how for screen in everything for _, how in screen.stimuli}, key=str)
    count = len(everything) + len(blocks) + len(renderings) + 1
    names = _names(generator, count)
    files = {how: f"{names.pop()}.{'mp4' if is_video(how.path) else 'wav'}" for how in renderings}
    # A study that was interrupted is not there.
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    media = partial / RATERS / MEDIA
    durations = _write_media(media, files, rate, spoken, notes)
    named = [[(names.pop(), screen) for screen in block] for block in blocks]
    shown_first = [(names.pop(), screen) for screen in training]
    screens = dict(entry for block in [*named, shown_first] for entry in block)
    study = Study(
        id=names.pop(),
        title=title,
        plan=plan.alias,
        modality=modality,
        instructions=instructions,
        consent=consent,
        contact=contact,
        questions=plan.questions,
        items=tuple(
            Item(
                name,
                tuple(Stimulus(role, files[how], durations[how]) for role, how in screen.stimuli),
                screen.questions,
            )
            for name, screen in sorted(screens.items(), key=lambda entry: entry[0])
        ),
        training=tuple(name for name, _ in shown_first),
        blocks=tuple(
            Block(names.pop(), tuple(name for name, _ in block)) for block in shuffled(generator, named)
        ),
        rules=plan.rules,
        recruitment=plan.recruitment,
        media={name: sha256_of(media / name) for name in sorted(files.values())},
    )
    key = Key(
        study=study.id,
        design_sha256="",
        salt=generator.bytes(16).hex(),
        seed=seed,
        run=run,
        entries={name: _entry(screen) for name, screen in screens.items()},
        sources={name: _origin(how) for how, name in files.items()},
    )
    sealed = write_study(partial, study, key)
    os.utime(partial / RATERS / STUDY, (FILE_TIME, FILE_TIME))
    os.replace(partial, folder)
    return MadeStudy(sealed, tuple(notes))


def _generator(seed: int, rows: Rows, trials: Sequence[Sound]) -> np.random.Generator:
    digest = hashlib.sha256()
    for name in sorted(rows):
        for trial in sorted(sound.trial for sound in trials):
            digest.update(sha256_of(rows[name][trial].path).encode())
    return np.random.default_rng([seed, int(digest.hexdigest()[:32], 16)])


def _instructions(plan: Plan, rate: int) -> dict[str, np.ndarray]:
    """Spoken instructions of traps, by answer."""
    if not plan.traps:
        return {}
    answers = [answer for answer in plan.questions[0].answers if answer.value not in UNASKED]
    texts = {answer.value: instruction_text(answer.value, answer.word) for answer in answers}
    return speak_instructions(texts, rate)


def _lengthen(seconds: dict[str, float], trials: Sequence[Sound], least: float) -> None:
    """Make the longest trials as long as a trap."""
    own = sorted((sound.trial for sound in trials), key=lambda trial: (-seconds[trial], trial))
    for trial in own[: math.ceil(len(own) * AS_LONG_AS_TRAPS)]:
        seconds[trial] = max(seconds[trial], least)


def _names(generator: np.random.Generator, count: int) -> list[str]:
    """Different names of twelve hexadecimal digits."""
    names: dict[str, None] = {}
    while len(names) < count:
        names[generator.bytes(6).hex()] = None
    return list(names)


def _write_media(
    folder: Path,
    files: Mapping[Rendering, str],
    rate: int,
    spoken: Mapping[str, np.ndarray],
    notes: list[str],
) -> dict[Rendering, float]:
    """Write all files; returns their durations in seconds."""
    # One gain for all: a single loud peak must not make its own file quieter. Sounds are made twice instead
    # of being kept, because a study may hold hours.
    peaks = {how: peak_of(render(how, rate, spoken)) for how in files}
    loudest = max(files, key=lambda how: peaks[how])
    gain = min(1.0, HEADROOM / peaks[loudest]) if peaks[loudest] > 0.0 else 1.0
    if gain < QUIETER:
        notes.append(
            f"{loudest.path} peaks so high that all sounds are {-20 * math.log10(gain):.0f} dB quieter than "
            "usual"
        )
    durations = {}
    for how in sorted(files, key=lambda how: files[how]):
        made, path = render(how, rate, spoken), folder / files[how]
        if isinstance(made, Video):
            write_film(path, made, gain)
            durations[how] = round(len(made.frames) / made.fps, 3)
        else:
            write_sound(path, made, gain)
            durations[how] = made.seconds
    for seconds in {how.seconds for how in files} - {None}:
        films = [folder / files[how] for how in files if how.seconds == seconds and is_video(how.path)]
        if films:
            fill_up(films)
    return durations


def _origin(how: Rendering) -> str:
    return str(how.path) if how.treatment == "none" else f"{how.path} ({how.treatment})"


def _entry(screen: Screen) -> KeyEntry:
    if screen.kind == "trap":
        return KeyEntry("trap", (), "", "", "", dict(screen.expected))
    sound = screen.sound
    return KeyEntry(
        screen.kind, screen.systems, sound.trial, sound.target, sound.source, dict(screen.expected)
    )
