"""``submission.json``: who made the outputs, with what, for which trials, and with whose consent."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.submission_findings import printable
from doppelbench.leaderboards.submission_json import read_strict_json

MANIFEST = "submission.json"
SCHEMA_VERSION = 1

Line = Annotated[
    str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True, pattern=r"^[^\n]*$")
]
Text = Annotated[str, StringConstraints(min_length=10, max_length=4000, strip_whitespace=True)]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, StringConstraints(max_length=300, pattern=r"^https?://[^\s<>\"'`\\]+$")]
Contact = Annotated[
    str,
    StringConstraints(
        max_length=300, pattern=r"^([^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+|https?://[^\s<>\"'`\\]+)$"
    ),
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,59}$")]


def _given(value: bool) -> bool:
    if not value:
        raise PydanticCustomError("consent", "without it nothing is scored or shown")
    return value


Given = Annotated[bool, AfterValidator(_given)]


class Part(BaseModel):
    """Base of every part of the manifest: no unknown key, no converted type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SystemPart(Part):
    """What made the outputs."""

    name: Name
    description: Text


class TrainingPart(Part):
    """What the system had heard and seen.

    ``zero_shot``: nobody who speaks in the trials; ``extra_data``: somebody else than the target.
    """

    data: Text
    zero_shot: bool
    extra_data: bool


class ConsentPart(Part):
    """The policy of the exemplar paper on people and their copies."""

    voices_and_faces: Given
    labelled_synthetic: Given
    statement: Annotated[str, StringConstraints(max_length=4000)] = ""


class Manifest(Part):
    """A filled manifest."""

    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    recipe: Line
    track: Line
    corpus: Line
    corpus_hash: Hash
    trials_hash: Hash
    system: SystemPart
    authors: Annotated[list[Line], Field(min_length=1, max_length=100)]
    contact: Contact
    licence: Line
    training: TrainingPart
    parameters: Annotated[int, Field(ge=0, le=10**15)]
    compute: Line
    code: Address | None = None
    paper: Address | None = None
    consent: ConsentPart


# How each field is filled; shown beside what is wrong with it, and in the instructions of an empty folder.
FIELD_HELP: Mapping[str, str] = {
    "schema_version": f"leave it at {SCHEMA_VERSION}",
    "recipe": "leave it as submit init wrote it",
    "track": "leave it as submit init wrote it",
    "corpus": "leave it as submit init wrote it",
    "corpus_hash": "leave it as submit init wrote it",
    "trials_hash": "leave it as submit init wrote it",
    "system": "an object with name and description",
    "system.name": "a short name for tables: letters, digits and ._+-, at most 60",
    "system.description": "what the system is and does, in one to three sentences",
    "authors": 'a list of names, such as ["A. Author", "B. Author"]',
    "contact": "an e-mail address or a web page",
    "licence": "under which the outputs may be used and heard, such as CC-BY-4.0",
    "training": "an object with data, zero_shot and extra_data",
    "training.data": "the data sets and how much of each; say so if checkpoints of others are inside",
    "training.zero_shot": "true when nobody who speaks in the trials was heard in training, else false",
    "training.extra_data": "true when somebody else than the target was heard in training, else false",
    "parameters": "number of trained parameters, all parts together, as an integer",
    "compute": "hardware and hours, such as 1 GPU of 24 GB, 6 hours",
    "code": "address of the code, or null",
    "paper": "address of the paper, or null",
    "consent": "an object with voices_and_faces, labelled_synthetic and statement",
    "consent.voices_and_faces": "true, when every voice and face was used with the person's consent",
    "consent.labelled_synthetic": "true, when the outputs are labelled as synthetic wherever they are shown",
    "consent.statement": "how consent was given and how outputs are labelled; may stay empty",
}
# What submit init leaves open, so that nothing is said for its owner.
OPEN: Mapping[str, Any] = {
    "system": {"name": "", "description": ""},
    "authors": [],
    "contact": "",
    "licence": "",
    "training": {"data": "", "zero_shot": None, "extra_data": None},
    "parameters": None,
    "compute": "",
    "code": None,
    "paper": None,
    "consent": {"voices_and_faces": False, "labelled_synthetic": False, "statement": ""},
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that is wrong."""

    field: str
    what: str

    @property
    def fix(self) -> str:
        """How the field is filled."""
        parts = self.field.split(".")
        known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        return next((FIELD_HELP[name] for name in known if name in FIELD_HELP), "remove it")


class ManifestError(InputError):
    """A manifest that cannot be used, with everything that is wrong with its fields."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


def template(*, recipe: str, track: str, corpus: str, corpus_hash: str, trials_hash: str) -> bytes:
    """Return the manifest of an empty submission, with what is known filled in."""
    known = {
        "schema_version": SCHEMA_VERSION,
        "recipe": recipe,
        "track": track,
        "corpus": corpus,
        "corpus_hash": corpus_hash,
        "trials_hash": trials_hash,
    }
    return (json.dumps({**known, **OPEN}, indent=2, ensure_ascii=False) + "\n").encode()


def read_manifest(content: bytes, name: str = MANIFEST) -> Manifest:
    """Parse and check a manifest.

    Raises:
        InputError: not JSON of a harmless kind; a :class:`ManifestError` when fields are wrong.
    """
    values = read_strict_json(content, name)
    if not isinstance(values, dict):
        raise InputError(f"{name}: expected an object with fields such as system and authors")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        problems = tuple(_problem(entry) for entry in error.errors(include_url=False, include_context=False))
    first = problems[0]
    more = f" (and {len(problems) - 1} further fields)" if len(problems) > 1 else ""
    raise ManifestError(f"{name}: {first.field} {first.what}; {first.fix}{more}", problems)


def _problem(entry: Any) -> Problem:
    field = ".".join(printable(str(part), 40) for part in entry["loc"])
    if entry["type"] == "missing":
        return Problem(field, "is missing")
    if entry["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, FIELD_HELP, n=1)
        return Problem(field, "is no field of a manifest" + (f"; did you mean {near[0]}?" if near else ""))
    value = entry["input"]
    if value is None or value in ("", []):
        return Problem(field, "is not filled in")
    shown = printable(json.dumps(value, ensure_ascii=False))
    return Problem(field, f"is {shown}: {entry['msg'][0].lower()}{entry['msg'][1:]}")
