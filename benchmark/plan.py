"""What a recipe amounts to: the clips, the trials, and the systems with their targets."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from doppelbench.benchmark.config import (
    ConfigError,
    CorpusConfig,
    Recipe,
    SystemConfig,
    VocoderConfig,
    check_metrics,
)
from doppelbench.benchmark.films import cut_films
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.benchmark.tracks.track import Track
from doppelbench.benchmark.work import GRIFFIN_LIM, build_system, build_vocoder
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.conditions import record_in_condition
from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.talkers.build import cache_directory

# Folder of the speaker classifier beside those of the systems.
CLASSIFIER = "classifier"
# The same for what reads the opening of the targets' mouths.
READOUT = "mouth-readout"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: a system with its preset and what it needs.

    ``replicate_of`` names the row that this one differs from in its seed alone, ``shares`` one that differs
    in its vocoder alone and whose models answer here too.
    """

    key: str
    name: str
    preset: str | None
    settings: dict[str, Any]
    needs: frozenset[str]
    reference_row: bool
    vocoder: VocoderConfig | None = None
    hear: tuple[str, ...] = ()
    conditions: int = 1
    seed: int = 0
    replicate_of: str | None = None
    shares: str | None = None

    @property
    def trained_as(self) -> str:
        """Key of the entry whose models these are."""
        return self.shares or self.key

    def training_of(self, target: str) -> str | None:
        """Key of the model that answers trials of a target; None for a row that is not trained."""
        if "target" in self.needs:
            return f"{self.trained_as}/{target}"
        return self.trained_as if self.needs & {"speakers", "other-speakers"} else None


@dataclass(frozen=True, slots=True)
class Training:
    """One model that a run trains.

    Attributes:
        key: names it in the record of the run.
        folder: of the run's folder ``systems`` in which it is kept.
        of: the system, or the vocoder.
        target: None for a model of all voices.
        clips: natural speech that it may hear; they name who is heard.
    """

    key: str
    folder: str
    of: Entry | VocoderConfig
    target: str | None
    clips: tuple[Clip, ...]

    def given_clips(self) -> list[Clip]:
        """The clips as the system is given them: a model of one voice takes everybody for its target."""
        if self.target is None:
            return list(self.clips)
        return [
            clip
            if clip.speaker == self.target
            else replace(clip, speaker=self.target, id=f"{clip.speaker} {clip.id}")
            for clip in self.clips
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe with its corpora read; everything after this is work on files."""

    recipe: Recipe
    track: Track
    clips: tuple[Clip, ...]
    source_clips: tuple[Clip, ...]
    targets: tuple[str, ...]
    trials: tuple[Trial, ...]
    entries: tuple[Entry, ...]
    corpus_hash: str
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)

    def faces(self) -> dict[str, str]:
        """A natural film of each target, where systems that draw it put its face."""
        films: dict[str, str] = {}
        for clip in self.clips:
            if clip.video is not None and clip.speaker in self.targets:
                films.setdefault(clip.speaker, clip.video)
        return films

    def trials_of(self, entry: Entry) -> list[Trial]:
        """Trials that a system is expected to answer: a row made of parallel recordings skips the others."""
        return [
            trial for trial in self.trials if "reference" not in entry.needs or trial.reference is not None
        ]

    def trial_speakers(self) -> set[str]:
        """Everybody who speaks or is spoken as in a trial."""
        return {*self.targets, *(trial.source.speaker for trial in self.trials)}

    def training_clips(self) -> list[Clip]:
        """Natural clips of split train, of everybody."""
        pool = [clip for clip in (*self.clips, *self.source_clips) if clip.split == "train"]
        return list({(clip.speaker, clip.id, clip.audio): clip for clip in pool}.values())

    def trainings(self) -> list[Training]:
        """List the models to be trained, each with the clips it may hear; no sentence of a trial is in
        them."""
        pool, in_trials = self.training_clips(), self.trial_speakers()
        found = []
        for entry in self.entries:
            if entry.shares is not None:
                continue
            if "target" in entry.needs:
                for target in self.targets:
                    own = tuple(
                        clip
                        for clip in self.clips
                        if clip.speaker in {target, *entry.hear} and clip.split == "train"
                    )
                    found.append(Training(f"{entry.key}/{target}", entry.key, entry, target, own))
            elif "speakers" in entry.needs:
                heard = tuple(clip for clip in pool if clip.speaker in in_trials)
                heard += self.extra_audio(entry)
                found.append(Training(entry.key, entry.key, entry, None, heard))
            elif "other-speakers" in entry.needs:
                heard = tuple(clip for clip in pool if clip.speaker not in in_trials)
                # Whoever was never filmed is in both.
                heard = tuple(dict.fromkeys((*heard, *self.extra_audio(entry))))
                found.append(Training(entry.key, entry.key, entry, None, heard))
        return [*self.vocoder_trainings(), *found]

    def extra_audio(self, entry: Entry) -> tuple[Clip, ...]:
        """Natural speech of people who are in no trial, without their pictures, for a system that is
        pre-trained on sound."""
        if "extra-audio" not in entry.needs:
            return ()
        in_trials = self.trial_speakers()
        return tuple(
            replace(clip, video=None)
            for clip in self.training_clips()
            if clip.audio is not None and clip.speaker not in in_trials
        )

    def vocoder_trainings(self) -> list[Training]:
        """List the vocoders to be trained: each once, on the targets, for all systems that name it."""
        wanted = {entry.vocoder.key: entry.vocoder for entry in self.entries if entry.vocoder is not None}
        own = tuple(clip for clip in self.training_clips() if clip.speaker in self.targets)
        return [
            Training(key, key, vocoder, None, own)
            for key, vocoder in wanted.items()
            if vocoder.name != GRIFFIN_LIM
        ]

    def clips_for(self, entry: Entry, target: str) -> list[Clip]:
        """Natural clips of a target that a system is given when it answers a trial: what it enrols the voice
        from, or what a row made of recordings chooses from."""
        if entry.needs & {"enrolment", "training-clips"}:
            return [clip for clip in self.clips if clip.speaker == target and clip.split == "train"]
        if "target-clips" in entry.needs:
            return [clip for clip in self.held_out_clips() if clip.speaker == target]
        return []

    def classifier_clips(self) -> list[Clip]:
        """Natural clips that the speaker classifier learns from; none of their sentences is in a trial."""
        chosen = self.recipe.classifier.speakers
        if chosen == "all":
            return self.training_clips()
        speakers = set(self.targets) if chosen == "targets" else self.trial_speakers()
        return [clip for clip in self.training_clips() if clip.speaker in speakers]

    def held_out_clips(self) -> list[Clip]:
        """Clips of the targets that no system was trained on; their training clips where there are none."""
        chosen = []
        for target in self.targets:
            own = [clip for clip in self.clips if clip.speaker == target]
            chosen.extend([clip for clip in own if clip.split == "test"] or own)
        return chosen


def open_corpus(reader: str, root: Path | None, options: dict[str, Any], *, jobs: int) -> Corpus:
    """Read a data set by its reader, or make the built-in corpus.

    Raises:
        InputError: unknown reader or option, or data that cannot be read.
    """
    if reader == "talkers":
        from doppelbench.corpora.talkers import talkers

        known = list(inspect.signature(talkers).parameters)
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise InputError(f"corpus talkers has no option {', '.join(unknown)}; it has {', '.join(known)}")
        return Corpus.from_clips("talkers", talkers(root, **{"jobs": jobs, **options}))
    from doppelbench.corpora.readers import read_corpus

    return read_corpus(reader, root, **options)


def read_clips(config: CorpusConfig, *, jobs: int) -> tuple[list[Clip], str]:
    """Read a corpus of a recipe; returns its clips with content hashes, and the hash of the whole.

    Raises:
        InputError: no clip is left after the filters.
    """
    corpus = open_corpus(config.reader, config.place, config.options, jobs=jobs).with_hashes(jobs=jobs)
    clips = corpus.clips(**config.where)
    if not clips:
        raise InputError(f"corpus {config.label}: no clip is left after the filters {config.where}")
    if config.condition is None:
        return clips, corpus.corpus_hash
    from doppelbench.engine.hashing import content_key

    recorded = record_in_condition(clips, config.condition, cache_directory() / "conditions")
    return recorded, content_key(corpus.corpus_hash, config.condition)


def choose_targets(recipe: Recipe, clips: Sequence[Clip]) -> tuple[str, ...]:
    """Return the targets a recipe names, or the only speaker, or the targets of the built-in corpus."""
    speakers = sorted({clip.speaker for clip in clips})
    if recipe.trials.targets is None:
        if recipe.corpus.reader == "talkers":
            from doppelbench.corpora.talkers.voices import VOICES

            default = [voice.name for voice in VOICES if voice.role == "target" and voice.name in speakers]
            if default:
                return tuple(default)
        if len(speakers) == 1:
            return (speakers[0],)
        raise ConfigError(f"trials.targets is missing; speakers of the corpus: {', '.join(speakers)}")
    unknown = [name for name in recipe.trials.targets if name not in speakers]
    if unknown:
        raise ConfigError(
            f"trials.targets: no speaker {', '.join(unknown)} in the corpus; it has {', '.join(speakers)}"
        )
    return tuple(dict.fromkeys(recipe.trials.targets))


def check_sources(recipe: Recipe, clips: Sequence[Clip]) -> None:
    """Refuse source speakers that the corpus does not have.

    Raises:
        ConfigError: a speaker of ``trials.sources`` is not in the corpus.
    """
    if isinstance(recipe.trials.sources, str):
        return
    speakers = sorted({clip.speaker for clip in clips})
    unknown = [name for name in recipe.trials.sources if name not in speakers]
    if unknown:
        raise ConfigError(
            f"trials.sources: no speaker {', '.join(unknown)} in the corpus; it has {', '.join(speakers)}"
        )


def check_heard(entries: Sequence[Entry], clips: Sequence[Clip]) -> None:
    """Refuse people who are to be heard and have no training speech.

    Raises:
        ConfigError: a speaker of ``hear`` is not in the corpus.
    """
    speakers = {clip.speaker for clip in clips if clip.split == "train"}
    for entry in entries:
        unknown = [name for name in entry.hear if name not in speakers]
        if unknown:
            raise ConfigError(
                f"hear of system {entry.key}: no training speech of {', '.join(unknown)} in the corpus; it "
                f"has that of {', '.join(sorted(speakers))}"
            )


def check_published(key: str) -> None:
    """Refuse a published table that there is not.

    Raises:
        ConfigError: the message suggests the nearest.
    """
    from doppelbench.leaderboards.published_figures import find_published

    try:
        find_published(key)
    except InputError as error:
        raise ConfigError(f"published: {error}") from None


def list_entries(recipe: Recipe, track: Track) -> tuple[Entry, ...]:
    """List the rows of the table: the competing systems, then the reference rows of the track."""
    from doppelbench.baselines.registry import find_system

    entries = []
    for config in recipe.systems:
        spec = find_system(config.name).spec
        preset = (config.preset or recipe.preset) if spec.presets else None
        system = build_system(config.name, preset, config.settings, "check")
        if spec.track != track.name:
            raise ConfigError(f"system {config.name} is of the track {spec.track}, not of {track.name}")
        check_vocoder(config, system)
        if config.label in (CLASSIFIER, READOUT) or (
            config.label in track.reference_rows and config.label != config.name
        ):
            raise ConfigError(f"a system cannot be labelled {config.label!r}; the name is taken in every run")
        needs = training_needs(config, system.needs)
        if (config.hear or config.conditions > 1) and "target" not in needs:
            raise ConfigError(
                f"system {config.key} has no model for each target; leave out hear and conditions"
            )
        if config.seeds > 1 and not needs & {"target", "speakers", "other-speakers"}:
            raise ConfigError(f"system {config.key} is not trained; leave out seeds")
        entries += [
            Entry(
                config.seed_key(number),
                config.name,
                preset,
                config.settings,
                needs,
                spec.reference_row,
                config.vocoder,
                tuple(config.hear),
                config.conditions,
                recipe.seed + number,
                config.key if number else None,
            )
            for number in range(config.seeds)
        ]
    entries = _share_models(entries)
    if recipe.reference_rows:
        taken = {entry.key for entry in entries}
        for name in track.reference_rows:
            if name not in taken:
                entries.append(Entry(name, name, None, {}, find_system(name).spec.needs, True))
    return tuple(entries)


def _share_models(entries: list[Entry]) -> list[Entry]:
    """Let entries that differ in nothing but the vocoder answer with the models of the first of them."""
    trained = [replace(entry, key="", vocoder=None, replicate_of=None) for entry in entries]
    first = [entries[trained.index(model)] for model in trained]
    return [
        entry if entry is other else replace(entry, shares=other.key)
        for entry, other in zip(entries, first, strict=True)
    ]


def check_vocoder(config: SystemConfig, system: Any) -> None:
    """Refuse a vocoder that cannot be put into a system.

    Raises:
        ConfigError: no such vocoder, or the system makes its waveform itself or from other features.
    """
    if config.vocoder is None:
        return
    own = getattr(system, "vocoder", None)
    if own is None:
        raise ConfigError(f"system {config.name} makes its waveform itself; leave out vocoder")
    if config.vocoder.name == GRIFFIN_LIM:
        if config.vocoder.settings:
            raise ConfigError(f"{GRIFFIN_LIM} is set by the system's own setting griffin_lim")
        return
    try:
        wanted = build_vocoder(config.vocoder.name, config.vocoder.preset, config.vocoder.settings)
    except DoppelbenchError as error:
        raise ConfigError(str(error)) from None
    if wanted.mel != own.mel:
        raise ConfigError(
            f"system {config.name} makes features that the vocoder {config.vocoder.name} does not understand"
        )


def training_needs(config: SystemConfig, needs: frozenset[str]) -> frozenset[str]:
    """Apply the recipe's choice of whose speech a system with one model hears.

    Raises:
        ConfigError: the system has no such choice.
    """
    if config.train_on is None:
        return needs
    if not needs & {"speakers", "other-speakers"}:
        raise ConfigError(f"system {config.name} is not trained on several people; leave out train_on")
    if config.train_on != "trials" and "enrolment" not in needs:
        raise ConfigError(
            f"system {config.name} knows only the voices it was trained on, so it must hear those of the "
            "trials; leave out train_on"
        )
    chosen = {"trials": "speakers", "others": "other-speakers", "target": "target"}[config.train_on]
    return (needs - {"speakers", "other-speakers"}) | {chosen}


def make_plan(recipe: Recipe) -> Plan:
    """Read the corpora of a recipe and list its trials and systems.

    Raises:
        ConfigError: a target, system or preset that does not exist.
        InputError: a corpus that cannot be read, or no trial.
    """
    from doppelbench.engine.hashing import content_key

    check_metrics(recipe.metrics or ())
    if recipe.published is not None:
        check_published(recipe.published)
    track, make_trials = TRACKS[recipe.track]
    entries = list_entries(recipe, track)
    clips, corpus_hash = read_clips(recipe.corpus, jobs=recipe.jobs)
    if recipe.sources is None:
        source_clips: list[Clip] = []
    else:
        source_clips, source_hash = read_clips(recipe.sources, jobs=recipe.jobs)
        corpus_hash = content_key(corpus_hash, source_hash)
    left_out: dict[str, dict[str, str]] = {}
    if track.media == "video":
        clips, left_out = cut_films(clips, recipe.video, jobs=recipe.jobs)
        corpus_hash = content_key(corpus_hash, recipe.video.model_dump())
    targets = choose_targets(recipe, clips)
    check_sources(recipe, source_clips or clips)
    check_heard(entries, clips)
    trials = make_trials(
        [clip for clip in clips if clip.split == "test"],
        targets,
        sources=recipe.trials.sources,
        per_target=recipe.trials.per_target,
        source_clips=[clip for clip in source_clips if clip.split == "test"] if source_clips else None,
    )
    if not trials:
        raise InputError(
            "there is no trial: no utterance of split test by a speaker that is not a target. "
            "Check trials.sources, trials.targets and the splits of the corpus."
        )
    return Plan(
        recipe,
        track,
        tuple(clips),
        tuple(source_clips),
        targets,
        tuple(trials),
        entries,
        corpus_hash,
        left_out,
    )
