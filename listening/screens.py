"""What is on each screen of a listening test: rated sounds, gold, traps and training, block by block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from doppelbench.listening.balance import balanced_order, latin_blocks, shuffled
from doppelbench.listening.plans import PAIR_QUESTIONS, Plan
from doppelbench.listening.rows import NATURAL, Rows, Sound, natural_row
from doppelbench.listening.stimuli import Rendering, is_video
from doppelbench.listening.study import ItemKind, QuestionName, Role

# How what is made here is called in the key.
DEGRADED = "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """An item before it has a name."""

    kind: ItemKind
    systems: tuple[str, ...]
    sound: Sound
    stimuli: tuple[tuple[Role, Rendering], ...]
    questions: tuple[QuestionName, ...]
    expected: tuple[tuple[QuestionName, str], ...] = ()


class ScreenMaker:
    """Puts trials, rows and what checks the raters onto screens."""

    def __init__(
        self,
        plan: Plan,
        rows: Rows,
        compared: Sequence[tuple[str, ...]],
        trials: Sequence[Sound],
        spare: Sequence[Sound],
        seconds: Mapping[str, float],
        generator: np.random.Generator,
        notes: list[str],
    ) -> None:
        self.plan, self.rows, self.trials, self.spare = plan, rows, trials, spare
        self.compared = [compared[index] for index in generator.permutation(len(compared))]
        self.seconds, self.generator, self.notes = seconds, generator, notes
        self._gold_made = 0

    def blocks(self, trap_answers: Sequence[str], trap_seconds: float) -> list[list[Screen]]:
        """Every block of every kind, with gold and traps in it.

        Args:
            trap_answers: that instructions ask for.
            trap_seconds: shortest duration of a trap.
        """
        made = []
        for questions in self.plan.screens():
            orders = self._orders()
            for block in latin_blocks(
                len(self.compared), self.plan.portions(len(self.trials)), self.generator
            ):
                screens = [
                    self._rated(self.compared[row], self.trials[trial], questions, orders[row, trial])
                    for row, trial in block
                ]
                within = {screen.sound.trial for screen in screens}
                extra = [self._gold(questions, within) for _ in range(self.plan.gold)]
                extra += [
                    self._trap(questions, within, trap_answers, trap_seconds) for _ in range(self.plan.traps)
                ]
                for screen in extra:
                    if screen is not None:
                        screens.insert(int(self.generator.integers(len(screens) + 1)), screen)
                made.append(screens)
        return made

    def training(self) -> list[Screen]:
        """Screens that span worst to best, of trials that are not rated where there are such."""
        made = []
        pool = self._pick(self.spare or self.trials)
        for questions in self.plan.screens():
            screens = [
                self._shown_first(number, pool[number % len(pool)], questions)
                for number in range(self.plan.training)
            ]
            made += shuffled(self.generator, screens)
        return made

    def _shown_first(self, number: int, sound: Sound, questions: tuple[QuestionName, ...]) -> Screen:
        """The best, then the worst, then outputs of the rows in turn."""
        natural = self._natural(sound, questions)
        if not self.plan.of_pairs and number < 2 and natural is not None:
            name, treatment = ((NATURAL, "none"), (DEGRADED, "noise"))[number]
            shown = [Rendering(natural[0], treatment)]  # type: ignore[arg-type]
            return self._screen("training", (name,), sound, shown, questions)
        row = self.compared[number % len(self.compared)]
        own = [self.rows[name][sound.trial] for name in row]
        shown = [Rendering(one.path, one.treatment) for one in own]
        return self._screen("training", row, sound, shown, questions)

    def _orders(self) -> dict[tuple[int, int], bool]:
        """Whether a pair is swapped, by row and trial."""
        targets = [sound.target for sound in self.trials]
        return {
            (row, trial): swapped
            for row in range(len(self.compared))
            for trial, swapped in enumerate(balanced_order(targets, self.generator))
        }

    def _rated(
        self, row: tuple[str, ...], trial: Sound, questions: tuple[QuestionName, ...], swapped: bool
    ) -> Screen:
        if self.plan.of_pairs and swapped:
            row = row[::-1]
        own = [self.rows[name][trial.trial] for name in row]
        shown = [Rendering(sound.path, sound.treatment, self.seconds[trial.trial]) for sound in own]
        return self._screen("system" if self.plan.of_pairs else own[0].kind, row, trial, shown, questions)

    def _screen(
        self,
        kind: ItemKind,
        systems: tuple[str, ...],
        sound: Sound,
        shown: Sequence[Rendering],
        questions: tuple[QuestionName, ...],
        expected: Mapping[QuestionName, str] | None = None,
    ) -> Screen:
        roles: tuple[Role, ...] = ("first", "second") if self.plan.of_pairs else ("output",)
        stimuli = list(zip(roles, shown, strict=True))
        if sound.target_sample is not None and {"similarity", *PAIR_QUESTIONS} & set(questions):
            stimuli.append(("target", Rendering(sound.target_sample)))
        if sound.source_sample is not None and "consistency" in questions:
            stimuli.append(("source", Rendering(sound.source_sample)))
        return Screen(
            kind=kind,
            systems=systems,
            sound=sound,
            stimuli=tuple(stimuli),
            questions=questions,
            expected=tuple(sorted((expected or {}).items())),
        )

    def _gold(self, questions: tuple[QuestionName, ...], within: set[str]) -> Screen | None:
        """An item whose answer is plain; best and worst in turn."""
        outside = [sound for sound in self.trials if sound.trial not in within]
        for sound in self._pick(outside or self.trials):
            found = self._natural(sound, questions)
            if found is None:
                continue
            path, scales = found
            best = Rendering(path, "none", self.seconds[sound.trial])
            worst = replace(best, treatment="noise")
            high = self._gold_made % 2 == 0
            self._gold_made += 1
            if self.plan.of_pairs:
                shown, systems = ([best, worst], (NATURAL, DEGRADED))
                if not high:
                    shown, systems = shown[::-1], systems[::-1]
                expected = dict.fromkeys(questions, "first" if high else "second")
                return self._screen("gold", systems, sound, shown, questions, expected)
            expected = dict.fromkeys(scales, "5") if high else dict.fromkeys(questions, "1")
            name = NATURAL if high else DEGRADED
            return self._screen("gold", (name,), sound, [best if high else worst], questions, expected)
        note = "there is no natural recording to make gold items of"
        if note not in self.notes:
            self.notes.append(note)
        return None

    def _natural(
        self, sound: Sound, questions: tuple[QuestionName, ...]
    ) -> tuple[Path, tuple[QuestionName, ...]] | None:
        """A natural recording, and of which questions it deserves the best answer: as many as can be."""
        video = is_video(sound.path)
        row = natural_row(self.rows)
        reference = None if row is None else self.rows[row][sound.trial].path
        deserved: list[tuple[Path | None, set[str]]] = [
            (sound.source_sample, {"naturalness", "consistency", "preference"}),
            (sound.target_sample, {"naturalness", "similarity", "preference", "abx"}),
            (reference, {"naturalness", "similarity", "consistency", "preference", "abx"}),
        ]
        usable = [
            (path, tuple(name for name in questions if name in best))
            for path, best in deserved
            if path is not None and is_video(path) == video and best & set(questions)
        ]
        return max(usable, key=lambda one: len(one[1])) if usable else None

    def _trap(
        self, questions: tuple[QuestionName, ...], within: set[str], answers: Sequence[str], least: float
    ) -> Screen:
        """A sound of the study that breaks off for an instruction."""
        fitting = [sound for sound in self.trials if self.seconds[sound.trial] >= least]
        outside = [sound for sound in fitting if sound.trial not in within]
        sound = self._pick(outside or fitting)[0]
        row = self.compared[int(self.generator.integers(len(self.compared)))]
        answer = answers[int(self.generator.integers(len(answers)))]
        shown = [
            Rendering(self.rows[name][sound.trial].path, "instruction", self.seconds[sound.trial], answer)
            for name in row
        ]
        return self._screen("trap", (), sound, shown, questions, dict.fromkeys(questions, answer))

    def _pick(self, sounds: Sequence[Sound]) -> list[Sound]:
        return shuffled(self.generator, sounds)
