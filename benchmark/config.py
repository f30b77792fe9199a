"""Recipes of the ``run`` verb: validated YAML with ``key=value`` overrides; an unknown key is an error."""

import difflib
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.engine.engines import Engine

RECIPES = "doppelbench.benchmark.recipes"


class ConfigError(DoppelbenchError):
    """A recipe, an override or an option is wrong; the message names the key and the cure."""

    exit_code = 1


class Section(BaseModel):
    """Base of every part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusConfig(Section):
    """A corpus: ``talkers``, or a reader with its root folder and options."""

    reader: str = "talkers"
    root: Path | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    where: dict[str, Any] = Field(
        default_factory=dict, description="keep clips whose fields have these values"
    )
    condition: Literal["studio", "room", "telephone", "street"] | None = Field(
        default=None, description="simulated recording condition that all clips are heard in, their style"
    )

    @property
    def place(self) -> Path | None:
        """The root with ``~`` and environment variables replaced.

        Raises:
            ConfigError: a variable in it is not set.
        """
        if self.root is None:
            return None
        expanded = os.path.expanduser(os.path.expandvars(str(self.root)))
        if "$" in expanded:
            raise ConfigError(f"root {self.root} of corpus {self.reader}: set the environment variable in it")
        return Path(expanded)

    @property
    def label(self) -> str:
        """Short name in tables."""
        where = "" if self.condition is None else f" in {self.condition}"
        if self.root is None or self.reader == "talkers":
            return self.reader + where
        return f"{self.reader}:{self.root.name}{where}"


class VocoderConfig(Section):
    """A vocoder that is put in the place of a system's own; a name alone will do. ``settings`` replaces
    single hyperparameters of the preset."""

    name: str
    preset: Literal["tiny", "small", "paper"] = "small"
    settings: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """Folder of the trained vocoder among the systems of a run."""
        chosen = [f"{name}-{value}" for name, value in sorted(self.settings.items())]
        return "-".join(["vocoder", self.name, self.preset, *chosen])


class VideoConfig(Section):
    """How the films of a corpus are cut, once, for training, reference and scores alike."""

    size: int = Field(default=64, description="height and width in pixels, a multiple of 16")
    fps: float = 20.0
    crop: Literal["whole", "face"] = Field(
        default="whole", description="the largest square in the middle, or one around the face"
    )


class SystemConfig(Section):
    """One competing system; ``settings`` replaces single hyperparameters of the preset."""

    name: str
    preset: Literal["tiny", "small", "paper"] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    label: str | None = Field(
        default=None, description="name in the run folder; the system's own when missing"
    )
    vocoder: VocoderConfig | None = Field(
        default=None, description="instead of the system's own; trained once for all systems that name it"
    )
    train_on: Literal["trials", "others", "target"] | None = Field(
        default=None,
        description="for a system with one model: the people of the trials, those in no trial (zero-shot), "
        "or one model for each target from that person alone (exemplar training); what the system was "
        "published for when missing",
    )
    hear: list[str] = Field(
        default_factory=list,
        description="for a system with one model for each target: speakers that are also heard as the target",
    )
    conditions: int = Field(
        default=1,
        ge=1,
        le=4,
        description="for a system with one model for each target: simulated recording conditions that its "
        "clips are spread over",
    )
    seeds: int = Field(
        default=1,
        ge=1,
        le=20,
        description="trainings that differ in nothing but the seed, each a row of its own; contrasts take "
        "them together",
    )

    @field_validator("vocoder", mode="before")
    @classmethod
    def _name_is_a_vocoder(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def key(self) -> str:
        """Name of this entry in the run folder and in tables."""
        return self.label or self.name

    def seed_key(self, number: int) -> str:
        """Name of the training with the seed of that number; the first has the name of the entry."""
        return self.key if number == 0 else f"{self.key}-seed-{number}"


class TrialsConfig(Section):
    """Which trials are made."""

    targets: list[str] | None = Field(default=None, description="speakers to convert into")
    sources: Literal["unseen", "all", "own"] | list[str] = Field(
        default="unseen",
        description="nobody's targets, every other speaker, or these speakers; in audio-to-video the target "
        "too, and own means nobody else",
    )
    per_target: int | None = Field(default=None, ge=1)


class TrainingConfig(Section):
    """How systems are trained."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = Field(default=1, ge=1, description="devices of one node")
    nodes: int = Field(default=1, ge=1)
    strategy: str = Field(default="auto", description="a strategy of Lightning, such as ddp or fsdp")
    precision: str = Field(
        default="auto", description="a precision of Lightning; auto is bf16-mixed on a GPU"
    )
    max_steps: int | None = Field(default=None, ge=1, description="instead of the preset's")
    max_seconds: float | None = Field(
        default=None, gt=0, description="stops earlier; such a run is not reproducible"
    )
    gradient_clip: float | None = Field(default=None, gt=0)
    checkpoint_every: int = Field(default=500, ge=1)


class AbTestConfig(Section):
    """A listening test of two systems of the run on the same trials."""

    systems: tuple[str, str]
    question: str = "Which of the two do you prefer?"
    trials: int = Field(default=24, ge=1, description="pairs at most, spread evenly over the targets")


class ContrastConfig(Section):
    """Systems of the run that are compared with one of them, trial by trial."""

    base: str = Field(description="the system, by its label, that the others are compared with")
    systems: list[str] = Field(min_length=1)
    metrics: list[str] | None = Field(
        default=None, description="by which; those that rank the track when missing"
    )


class ListeningConfig(Section):
    """A listening test that is made of the outputs of the run."""

    plan: str = Field(default="small", description="exemplar-2021, exemplar-2021-ab, p808, p800 or small")
    systems: list[str] | None = Field(
        default=None, description="that compete; all that are no reference row when missing"
    )
    trials: int | None = Field(default=None, ge=1, description="instead of the plan's")
    raters: int | None = Field(default=None, ge=1, description="people an item, instead of the plan's")
    media_url: str = Field(
        default="https://example.org/media", description="where the sheets for platforms find the media"
    )
    simulate: bool = Field(
        default=False,
        description="a simulated crowd with planted opinions votes, to show design and analysis at work",
    )


class ReprojectionConfig(Section):
    """Words of the experiment ``reprojection``; those that both people say are taken."""

    normal: list[str] = Field(default_factory=list)
    tongue_twisters: list[str] = Field(default_factory=list)
    per_word: int = Field(default=3, ge=1, description="utterances of a word by the target that are compared")


class ClassifierConfig(Section):
    """Closed set of the speaker classifier: the speakers of the corpus, those of the trials, or the targets
    alone."""

    speakers: Literal["all", "trials", "targets"] = "all"


class Recipe(Section):
    """Everything that decides a run."""

    name: str = "run"
    published: str | None = Field(
        default=None, description="published table that is shown beside, such as exemplar-2021/table-2"
    )
    experiment: Literal["reprojection"] | None = Field(
        default=None, description="what is measured instead of the outputs of the trials"
    )
    track: Literal["voice-conversion", "audio-to-video", "video-to-speech"] = "voice-conversion"
    corpus: CorpusConfig = Field(default_factory=CorpusConfig)
    sources: CorpusConfig | None = Field(
        default=None, description="corpus of the source clips; the same when missing"
    )
    trials: TrialsConfig = Field(default_factory=TrialsConfig)
    video: VideoConfig = Field(default_factory=VideoConfig, description="films of the track audio-to-video")
    preset: Literal["tiny", "small", "paper"] = "small"
    systems: list[SystemConfig] = Field(default_factory=lambda: [SystemConfig(name="exemplar")])
    reference_rows: bool = True
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    classifier: ClassifierConfig = Field(default_factory=ClassifierConfig)
    metrics: list[str] | None = Field(default=None, description="those of the track when missing")
    ab_tests: list[AbTestConfig] = Field(default_factory=list, description="sheets for listeners")
    contrasts: list[ContrastConfig] = Field(
        default_factory=list,
        description="comparisons that the experiment is made for; all are corrected together",
    )
    listening: list[ListeningConfig] = Field(default_factory=list, description="listening tests to make")
    reprojection: ReprojectionConfig = Field(default_factory=ReprojectionConfig)
    recognizer: str = "pocketsphinx"
    normalizer: str = "whisper-english"
    seed: int = 0
    recognizer_device: Literal["cpu", "cuda"] = "cpu"
    engine: Literal["local", "ray"] = Field(
        default="local", description="processes of this machine, or a Ray cluster that sees the same files"
    )
    address: str | None = Field(
        default=None, description="of the Ray cluster; this machine alone when missing"
    )
    jobs: int = Field(default=2, ge=1)
    item_timeout: float = Field(default=300.0, gt=0, description="seconds after which an item counts as hung")

    @property
    def where(self) -> Engine:
        """Where outputs are made and scored; trainings run on this machine."""
        jobs = self.jobs if self.engine == "local" or self.address is None else None
        return Engine(self.engine, jobs, self.address)

    @field_validator("systems", mode="before")
    @classmethod
    def _names_are_systems(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"name": entry} if isinstance(entry, str) else entry for entry in value]
        return value

    @field_validator("systems")
    @classmethod
    def _keys_are_unique(cls, value: list[SystemConfig]) -> list[SystemConfig]:
        keys = [entry.seed_key(number) for entry in value for number in range(entry.seeds)]
        doubled = sorted({key for key in keys if keys.count(key) > 1})
        if doubled:
            raise ValueError(f"two systems are called {', '.join(doubled)}; give them a label")
        return value

    @model_validator(mode="after")
    def _listeners_hear_systems_of_the_run(self) -> Self:
        known = {entry.key for entry in self.systems}
        for test in self.ab_tests:
            unknown = sorted(set(test.systems) - known)
            if unknown or test.systems[0] == test.systems[1]:
                raise ValueError(
                    f"ab_tests compares {' and '.join(test.systems)}; expected two systems among "
                    f"{', '.join(sorted(known))}"
                )
        return self

    @model_validator(mode="after")
    def _contrasts_are_of_the_run(self) -> Self:
        known = {entry.key for entry in self.systems}
        if self.reference_rows:
            from doppelbench.benchmark.tracks.registry import TRACKS

            known |= set(TRACKS[self.track][0].reference_rows)
        for contrast in self.contrasts:
            unknown = sorted({contrast.base, *contrast.systems} - known)
            if unknown:
                raise ValueError(
                    f"contrasts: no system {', '.join(unknown)}; there are {', '.join(sorted(known))}"
                )
            if contrast.base in contrast.systems:
                raise ValueError(f"contrasts: {contrast.base} is compared with itself")
        return self


def split_metrics(text: str) -> list[str]:
    """Split metrics at commas, except at those between the options of one: ``wer:a=1,b=2,stoi``."""
    names: list[str] = []
    for part in text.split(","):
        belongs = names and ":" in names[-1] and "=" in part and ":" not in part.partition("=")[0]
        names[-1:] = [f"{names[-1]},{part}"] if belongs else [*names[-1:], part]
    return [name.strip() for name in names]


def check_metrics(names: Iterable[str]) -> None:
    """Refuse metrics that do not exist, before any time is spent.

    Raises:
        ConfigError: no such metric, with a suggestion, or one that is named twice.
    """
    from doppelbench.corpora.errors import InputError
    from doppelbench.metrics.registry import metric_class

    seen: set[str] = set()
    for name in names:
        try:
            metric_class(name.partition(":")[0].strip())
        except InputError as error:
            raise ConfigError(str(error)) from None
        if name in seen:
            raise ConfigError(f"the metric {name} is named twice")
        seen.add(name)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    files = resources.files(RECIPES).iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by name or path and apply overrides.

    Args:
        name: a name of :func:`recipe_names`, or the path of a YAML file.
        overrides: ``key=value`` with dotted keys (``training.max_steps=200``, ``systems.0.preset=tiny``);
            the value is YAML.

    Raises:
        ConfigError: no such recipe, not YAML, an unknown key (with a suggestion), a value of the wrong kind.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such recipe file")
        try:
            text, where = path.read_text(encoding="utf-8"), str(path)
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: not a UTF-8 text file, so no recipe") from None
    elif name in recipe_names():
        text, where = resources.files(RECIPES).joinpath(f"{name}.yaml").read_text(), f"recipe {name}"
    else:
        near = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(recipe_names())}"
        raise ConfigError(f"there is no recipe {name!r}; {hint} A path must end in .yaml.")
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: a recipe is a mapping of keys to values")
    for override in overrides:
        apply_override(values, override)
    return validate(values, where)


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one dotted key of a nested mapping, in place."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: expected key=value, such as training.max_steps=200")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override {override!r}: the value is not valid YAML") from None
    *parents, last = key.split(".")
    node: Any = values
    for depth, part in enumerate(parents):
        node = _child(node, part, ".".join(parents[: depth + 1]))
    if isinstance(node, list):
        index = _index(node, last, key)
        node[index] = value
    else:
        node[last] = value


def parse_options(options: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` words, the values as YAML.

    Raises:
        ConfigError: a word is not of this form.
    """
    values: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key:
            raise ConfigError(f"{option!r}: expected key=value, such as batch_size=4")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"{option!r}: the value is not valid YAML") from None
    return values


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list):
        index = _index(node, part, key)
        if isinstance(node[index], str):
            node[index] = {"name": node[index]}
        return node[index]
    if node.get(part) is None:
        node[part] = {}
    if not isinstance(node[part], dict | list):
        raise ConfigError(f"override of {key}: {part} is a single value and has no keys of its own")
    return node[part]


def _index(node: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise ConfigError(f"override {key}: expected a number under {len(node)} instead of {part!r}")
    return int(part)


def validate(values: Mapping[str, Any], where: str) -> Recipe:
    """Check a mapping against the schema of recipes."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {'; '.join(_sentence(entry) for entry in error.errors())}") from None


def _sentence(entry: Any) -> str:
    path = [str(part) for part in entry["loc"]]
    key = ".".join(path)
    if entry["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
        return f"unknown key {key!r}; {hint}"
    return f"{key}: {entry['msg']} (got {entry['input']!r})"


def _known_keys(parents: list[str]) -> list[str]:
    model: Any = Recipe
    for part in parents:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
