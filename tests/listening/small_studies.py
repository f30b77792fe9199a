"""Small studies with keys, written sealed, for tests of votes and analysis."""

import csv
from collections.abc import Sequence
from pathlib import Path

from doppelbench.listening.study import (
    Answer,
    Block,
    Item,
    Key,
    KeyEntry,
    Question,
    Recruitment,
    Rules,
    Stimulus,
    Study,
    write_study,
)

SCALE = tuple(
    Answer(str(value), word) for value, word in enumerate(("Bad", "Poor", "Fair", "Good", "Excellent"), 1)
)
PAIR = (Answer("first", "Recording A"), Answer("same", "No difference"), Answer("second", "Recording B"))
NAMES = ("naturalness", "similarity", "consistency")
KINDS = {"natural": "reference", "low": "anchor"}


def study_of(
    questions: Sequence[Question],
    entries: dict[str, KeyEntry],
    blocks: Sequence[Sequence[str]],
    *,
    raters_per_item: int = 10,
    rules: Rules | None = None,
) -> tuple[Study, Key]:
    asked = {question.name for question in questions}

    def stimuli(name: str) -> tuple[Stimulus, ...]:
        if len(entries[name].systems) == 2:
            return tuple(Stimulus(role, f"{role[0]}{name}.wav", 2.0) for role in ("first", "second"))
        return (Stimulus("output", f"{name}.wav", 2.0),)

    items = tuple(
        Item(name, stimuli(name), tuple(question.name for question in questions if question.name in asked))
        for name in sorted(entries)
    )
    study = Study(
        id="5a",
        title="Voices",
        plan="small",
        modality="audio",
        instructions=("Use headphones.", "Listen to the end."),
        consent="I agree.",
        contact="owner@example.org",
        questions=tuple(questions),
        items=items,
        training=(),
        blocks=tuple(Block(f"b{number}", tuple(block)) for number, block in enumerate(blocks)),
        rules=rules or Rules(),
        recruitment=Recruitment(raters_per_item=raters_per_item, minimum_approval=98, countries=("US",)),
        media={},
    )
    key = Key(study="5a", design_sha256="", salt="a1", seed=0, run="talkers", entries=entries, sources={})
    return study, key


def scale_study(
    systems: Sequence[str],
    trials: int = 12,
    *,
    questions: Sequence[str] = NAMES,
    group: int = 6,
    controls: bool = False,
    raters_per_item: int = 10,
    rules: Rules | None = None,
) -> tuple[Study, Key]:
    """Every system answers every trial; systems stand in a Latin square over groups of trials."""
    asked = [Question(name, f"How is the {name}?", SCALE) for name in questions]
    names = [(system, trial) for trial in range(trials) for system in range(len(systems))]
    entries = {
        f"i{number:03d}": KeyEntry(
            KINDS.get(systems[system], "system"), (systems[system],), f"t{trial:02d}", f"v{trial % 3}", "ada"
        )
        for number, (system, trial) in enumerate(names)
    }
    ids = {place: f"i{number:03d}" for number, place in enumerate(names)}
    blocks = []
    for start in range(0, trials, group):
        for shift in range(len(systems)):
            block = [
                ids[(trial + shift) % len(systems), trial]
                for trial in range(start, min(start + group, trials))
            ]
            if controls:
                extra = (f"x{len(blocks)}", f"y{len(blocks)}")
                entries[extra[0]] = KeyEntry("trap", ("trap",), "", "", "", dict.fromkeys(questions, "2"))
                entries[extra[1]] = KeyEntry("gold", ("gold",), "g", "", "", dict.fromkeys(questions, "1"))
                block += extra
            blocks.append(block)
    return study_of(asked, entries, blocks, raters_per_item=raters_per_item, rules=rules)


def pair_study(
    pairs: Sequence[tuple[str, str]], trials: int = 12, *, group: int = 12, raters_per_item: int = 10
) -> tuple[Study, Key]:
    """Every pair on every trial, sides alternating."""
    entries: dict[str, KeyEntry] = {}
    blocks: list[list[str]] = []
    for pair in pairs:
        for trial in range(trials):
            name = f"p{len(entries):03d}"
            order = pair if trial % 2 else pair[::-1]
            entries[name] = KeyEntry("system", order, f"t{trial:02d}", "v0", "ada")
            if trial % group == 0:
                blocks.append([])
            blocks[-1].append(name)
    question = Question("preference", "Which do you prefer?", PAIR)
    return study_of([question], entries, blocks, raters_per_item=raters_per_item)


def sealed(folder: Path, study: Study, key: Key) -> Study:
    return write_study(folder, study, key)


def write_rows(path: Path, rows: Sequence[dict[str, str]], *, delimiter: str = ",") -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return path
