"""A listening test as data: what raters get (the study) and what stays with its owner (the key).

The study names items by opaque ids and holds nothing that tells which system made a sound; the key says
so. Both are sealed: the study carries the hash of the key, the key that of the study's design, and either is
refused when it was changed after the other was written. Rules for excluding raters stand in the study, so
that they are fixed before the first vote.

A study's folder::

    raters/study.json     what the pages and the server read
    raters/media/         opaque names, one format, one level, one time
    key.json              stays with the owner
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from doppelbench.corpora.errors import InputError

SCHEMA = 1
RATERS, STUDY, MEDIA, KEY = "raters", "study.json", "media", "key.json"

QuestionName = Literal["naturalness", "similarity", "consistency", "preference", "abx"]
Role = Literal["output", "first", "second", "target", "source"]
ItemKind = Literal["system", "reference", "anchor", "gold", "trap", "training"]
# What is shown beside the rated sound is named by its role, never by a file.
ROLE_TITLES: Mapping[Role, str] = {
    "output": "Recording to rate",
    "first": "Recording A",
    "second": "Recording B",
    "target": "The voice it should have",
    "source": "The words it should say",
}

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a question.

    Attributes:
        value: what is stored: ``1`` to ``5`` on a scale, ``first``, ``second`` or ``same`` for a pair.
        word: what the rater reads beside it.
    """

    value: str
    word: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an item.

    Attributes:
        name: scale of the answers.
        text: put to the rater; it names no system.
        answers: from the lowest to the highest, or first, (same,) second.
    """

    name: QuestionName
    text: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A file that is played.

    Attributes:
        role: what it is to the rater.
        file: opaque name in ``media``.
        seconds: its duration.
    """

    role: Role
    file: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Item:
    """One screen: what is played, and the questions that are asked of it in their order.

    Attributes:
        id: opaque; the same for every rater of the item.
        stimuli: in the order in which they are shown.
        questions: names of the questions.
    """

    id: str
    stimuli: tuple[Stimulus, ...]
    questions: tuple[QuestionName, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """What one rater does in one sitting (a HIT): items in the order of presentation.

    Attributes:
        id: opaque.
        items: ids; no trial is in a block twice.
    """

    id: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who is excluded from the analysis, fixed before the votes; payment does not depend on it.

    Attributes:
        trap_errors: wrong answers to trapping items that a sitting may have.
        gold_tolerance: points by which an answer to a gold item may be off.
        gold_errors: gold items that may be off by more.
        minimum_deviation: standard deviation that the answers of a sitting must have, over its scale items.
        minimum_played: share of each sound that must have been heard, where the page could tell.
        minimum_items_share: share of the items of a sitting that must have been answered.
    """

    trap_errors: int = 0
    gold_tolerance: float = 1.0
    gold_errors: int = 0
    minimum_deviation: float = 0.1
    minimum_played: float = 0.95
    minimum_items_share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recruitment:
    """Whom a platform should send, and what they get.

    Attributes:
        raters_per_item: different people that rate every item.
        masters: platform's "Masters" only.
        minimum_approval: percent of approved work that must be exceeded, or None.
        minimum_tasks: tasks done before that must be exceeded, or None.
        countries: ISO codes; empty means everywhere.
        reward: of one block, in US dollars.
        minutes: allotted to one block.
    """

    raters_per_item: int = 10
    masters: bool = False
    minimum_approval: int | None = None
    minimum_tasks: int | None = None
    countries: tuple[str, ...] = ()
    reward: float = 0.5
    minutes: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything that a rater's page may know.

    Attributes:
        id: opaque.
        title: seen by raters; it names no system.
        plan: name of the plan it was made by.
        modality: sound alone, or pictures with sound.
        instructions: paragraphs before the first item.
        consent: paragraph that the rater agrees to.
        contact: of the owner, shown with the consent.
        questions: every question of the items.
        items: all of them, traps and training too; their order says nothing.
        training: ids of the items that are shown before the first block and are not counted.
        blocks: sittings.
        rules: of exclusion.
        recruitment: of raters.
        media: SHA-256 of every file.
        key_sha256: of the sealed key.
        schema: version of this layout.
    """

    id: str
    title: str
    plan: str
    modality: Literal["audio", "video"]
    instructions: tuple[str, ...]
    consent: str
    contact: str
    questions: tuple[Question, ...]
    items: tuple[Item, ...]
    training: tuple[str, ...]
    blocks: tuple[Block, ...]
    rules: Rules
    recruitment: Recruitment
    media: dict[str, str]
    key_sha256: str = ""
    schema: int = SCHEMA

    def item(self, name: str) -> Item:
        """The item of an id.

        Raises:
            KeyError: there is none.
        """
        return next(item for item in self.items if item.id == name)

    def question(self, name: str) -> Question:
        """The question of a name.

        Raises:
            KeyError: there is none.
        """
        return next(question for question in self.questions if question.name == name)

    def design_sha256(self) -> str:
        """Hash of everything but the seal, which is what the key seals in turn."""
        values = asdict(self)
        values.pop("key_sha256")
        return hashlib.sha256(_json(values).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What an item is.

    Attributes:
        kind: of a system under test, a hidden reference row, an anchor, gold, trap or training.
        systems: who made the rated sound; two for a pair, in the order in which they are shown.
        trial: id of the trial it answers; empty for traps.
        target: whose voice was asked for.
        source: who spoke.
        expected: the right answer of gold and traps by question; empty for others.
    """

    kind: ItemKind
    systems: tuple[str, ...]
    trial: str
    target: str
    source: str
    expected: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What must not reach a rater.

    Attributes:
        study: id of the study.
        design_sha256: of :meth:`Study.design_sha256`.
        salt: random; without it the hash of the key would confirm a guess.
        seed: the design was drawn with.
        run: name of the run the sounds come from.
        entries: by item id.
        sources: path or id of the original of every media file, by opaque name.
    """

    study: str
    design_sha256: str
    salt: str
    seed: int
    run: str
    entries: dict[str, KeyEntry]
    sources: dict[str, str]

    def sha256(self) -> str:
        """Hash that the study carries."""
        values = asdict(self)
        values.pop("design_sha256")
        return hashlib.sha256(_json(values).encode()).hexdigest()


def write_study(folder: Path, study: Study, key: Key) -> Study:
    """Seal the two with each other and write both.

    Args:
        folder: of the study; ``raters/media`` is written by whoever made the sounds.
        study: its ``key_sha256`` is set here.
        key: its ``design_sha256`` is set here.

    Returns:
        The sealed study.
    """
    sealed = replace(study, key_sha256=key.sha256())
    (folder / RATERS).mkdir(parents=True, exist_ok=True)
    (folder / RATERS / STUDY).write_text(_json(asdict(sealed)), encoding="utf-8")
    locked = replace(key, design_sha256=sealed.design_sha256())
    (folder / KEY).write_text(_json(asdict(locked)), encoding="utf-8")
    return sealed


def read_study(folder: Path) -> Study:
    """Read what the raters get.

    Args:
        folder: of the study, or its ``raters``.

    Raises:
        InputError: no study, damaged, or of another schema.
    """
    path = folder / STUDY if (folder / STUDY).is_file() else folder / RATERS / STUDY
    return _read(Study, path)


def read_key(folder: Path) -> Key:
    """Read the key of a study and check both seals.

    Raises:
        InputError: no key, damaged, or study or key was changed after they were sealed.
    """
    path = folder / KEY
    key, study = _read(Key, path), read_study(folder)
    if key.study != study.id:
        raise InputError(f"{path}: is the key of study {key.study}, not of {study.id}")
    if key.sha256() != study.key_sha256:
        raise InputError(f"{path}: was changed after the study was sealed, or belongs to another one")
    if key.design_sha256 != study.design_sha256():
        raise InputError(
            f"{folder / RATERS / STUDY}: questions, items or rules were changed after the study was sealed"
        )
    return key


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1, sort_keys=True)


def _read(kind: type[Kind], path: Path) -> Kind:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if kind is Study and values["schema"] != SCHEMA:
            raise InputError(f"{path}: schema {values['schema']} is not {SCHEMA}, the one this version reads")
        return _build(kind, values)  # type: ignore[no-any-return]
    except InputError:
        raise
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: no {kind.__name__.lower()} that can be read ({reason})") from None


def _build(kind: Any, value: Any) -> Any:
    """Rebuild nested dataclasses, tuples and dicts from JSON, checking names and types."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        if not isinstance(value, dict):
            raise ValueError(f"expected the fields of {kind.__name__}")  # type: ignore[union-attr]
        unknown = sorted(set(value) - {entry.name for entry in fields(kind)})
        if unknown:
            raise ValueError(f"unknown field {unknown[0]}")
        return kind(**{name: _build(hints[name], part) for name, part in value.items()})  # type: ignore[operator]
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"expected a list instead of {value!r}")
        return tuple(_build(arguments[0], part) for part in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping instead of {value!r}")
        return {name: _build(arguments[1], part) for name, part in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is none of {', '.join(map(str, arguments))}")
        return value
    if origin in (Union, UnionType):
        choice = next(part for part in arguments if part is not type(None))
        return None if value is None else _build(choice, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"expected {kind.__name__} instead of {value!r}")
    return value
