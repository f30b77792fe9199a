"""Small studies with generated sounds, so that pages and server have something to play."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from doppelbench.corpora.media import Audio, Video, sha256_of, write_audio, write_preview
from doppelbench.listening.study import (
    MEDIA,
    RATERS,
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

SYSTEMS = ("exemplar", "autovc")
WORDS = ("Bad", "Poor", "Fair", "Good", "Excellent")
SCALE = tuple(Answer(str(value), word) for value, word in enumerate(WORDS, 1))
NATURALNESS = Question("naturalness", "How natural does it sound?", SCALE)
SIMILARITY = Question("similarity", "How alike are the two voices?", SCALE)
PREFERENCE = Question(
    "preference",
    "Which recording sounds better?",
    (Answer("first", "Recording A"), Answer("second", "Recording B")),
)


def write_scales(
    folder: Path,
    *,
    blocks: int = 2,
    items: int = 2,
    raters: int = 2,
    training: int = 0,
    seconds: float = 0.3,
    questions: Sequence[Question] = (NATURALNESS, SIMILARITY),
    instructions: Sequence[str] = ("Rate each recording.",),
    title: str = "Voices & pictures",
) -> Study:
    """A study with blocks of their own items, each an output and the voice that it should have."""
    names = [f"i{block}{place}" for block in range(blocks) for place in range(items)]
    practice = [f"p{place}" for place in range(training)]
    made = [
        Item(
            name,
            (Stimulus("output", f"{name}a.wav", seconds), Stimulus("target", f"{name}b.wav", seconds)),
            tuple(question.name for question in questions),
        )
        for name in names + practice
    ]
    parts = tuple(
        Block(f"b{block}", tuple(names[block * items : (block + 1) * items])) for block in range(blocks)
    )
    return _write(folder, made, parts, questions, practice, instructions, raters, title=title)


def write_pairs(folder: Path, *, items: int = 2, seconds: float = 0.3) -> Study:
    """One block of pairs."""
    made = [
        Item(
            f"q{place}",
            (Stimulus("first", f"q{place}a.wav", seconds), Stimulus("second", f"q{place}b.wav", seconds)),
            ("preference",),
        )
        for place in range(items)
    ]
    block = Block("b0", tuple(item.id for item in made))
    return _write(folder, made, (block,), (PREFERENCE,), (), ("Compare.",), 2)


def write_videos(folder: Path) -> Study:
    """One block with one video."""
    item = Item("v0", (Stimulus("output", "v0.mp4", 0.6),), ("naturalness",))
    return _write(
        folder, [item], (Block("b0", ("v0",)),), (NATURALNESS,), (), ("Watch.",), 2, modality="video"
    )


def _write(
    folder: Path,
    items: Sequence[Item],
    blocks: tuple[Block, ...],
    questions: Sequence[Question],
    training: Sequence[str],
    instructions: Sequence[str],
    raters: int,
    modality: str = "audio",
    title: str = "Voices & pictures",
) -> Study:
    media = folder / RATERS / MEDIA
    media.mkdir(parents=True)
    for item in items:
        for number, stimulus in enumerate(item.stimuli):
            _sound(media / stimulus.file, stimulus.seconds, 220.0 * (number + 1))
    study = Study(
        id="5a",
        title=title,
        plan="small",
        modality=modality,  # type: ignore[arg-type]
        instructions=tuple(instructions),
        consent="I am of age and take part of my own will.",
        contact="owner@example.org",
        questions=tuple(questions),
        items=tuple(items),
        training=tuple(training),
        blocks=blocks,
        rules=Rules(),
        recruitment=Recruitment(raters_per_item=raters, reward=0.5, minutes=30),
        media={path.name: sha256_of(path) for path in sorted(media.iterdir())},
    )
    entries = {item.id: KeyEntry("system", SYSTEMS[:1], f"t{item.id}", "ada", "edith") for item in items}
    key = Key(study="5a", design_sha256="", salt="a1", seed=0, run="talkers", entries=entries, sources={})
    return write_study(folder, study, key)


def _sound(path: Path, seconds: float, pitch: float) -> None:
    rate = 16000
    samples = 0.1 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    audio = Audio(samples.astype(np.float32), rate)
    if path.suffix == ".mp4":
        frames = np.zeros((round(25 * seconds), 64, 64, 3), np.uint8)
        frames[:, 16:48, 16:48] = np.linspace(0, 255, len(frames)).astype(np.uint8)[:, None, None, None]
        write_preview(path, Video(frames, 25.0, audio))
    else:
        write_audio(path, audio)
