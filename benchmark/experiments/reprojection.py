"""Is a word that an exemplar autoencoder has never heard projected onto the nearest speech of its target?

Deng et al. (ICLR 2021), appendix D.2 and Table 5: an autoencoder trained on A's speech alone hears single
words of B. If it projects, the projection is (1) closer to the input than any word that A said, the nearest
of A's words is the same word, and (2) a speaker classifier of A and B takes the projection for A.

Choices, because the paper leaves them open:

* a word is cut from the recording where the corpus, or a forced alignment, says that it stands, and the word
  alone is projected;
* a distance is the Euclidean distance between frames of log-mel spectrograms (values 0 to 1, 80 frames a
  second), summed along the path of dynamic time warping; it is large for long words, as in the paper, and not
  comparable with the paper's;
* "the words of A" are at most ``per_word`` utterances of every word of the experiment in A's training speech,
  the set that the autoencoder has learned;
* the classifier is that of Serrà et al., trained on whole utterances of A and B; those that a word of B is
  cut from are left out. On single words it is outside its training condition, so its likelihood of the word
  before projection stands beside;
* B's word is the first utterance of it in split test, or else dev, or else train.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.benchmark.budget import budget_rows
from doppelbench.benchmark.config import ConfigError, Recipe
from doppelbench.benchmark.experiment_tables import budget_part, csv_of, published_part
from doppelbench.benchmark.experiments.word_times import Word, word_times
from doppelbench.benchmark.plan import Entry, Plan, list_entries, make_plan
from doppelbench.benchmark.progress import say
from doppelbench.benchmark.tables import render
from doppelbench.benchmark.tracks.voice_conversion import TRACK
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.engine.run import Run

NORMAL, TONGUE_TWISTER = "normal", "tongue-twister"
SPLITS = ("test", "dev", "train")
MEASURES = ("to_projection", "minimum", "mean", "nearest_is_same_word", "likelihood", "likelihood_before")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One utterance of a word: the clip it stands in, and its log-mel spectrogram (frames, bands)."""

    text: str
    clip: Clip
    mel: np.ndarray


@dataclass(frozen=True, slots=True)
class ProjectedWord:
    """A row of the table: one word of B through the autoencoder of A.

    Attributes:
        system: which autoencoder.
        target: A.
        source: B.
        kind: ``normal`` or ``tongue-twister``.
        word: what is said.
        frames: of the word.
        to_projection: distance of B's word to its projection.
        minimum: distance of B's word to the nearest word of A.
        nearest: that word.
        nearest_is_same_word: whether it is the same word.
        mean: mean distance of B's word to the words of A.
        likelihood: of A in per cent, by the classifier of A and B, for the projection; None where it is too
            short or silent.
        likelihood_before: the same for B's word through the vocoder alone.
    """

    system: str
    target: str
    source: str
    kind: str
    word: str
    frames: int
    to_projection: float
    minimum: float
    nearest: str
    nearest_is_same_word: bool
    mean: float
    likelihood: float | None
    likelihood_before: float | None


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Sum of Euclidean distances between frames along the path of dynamic time warping.

    Args:
        first: log-mel spectrogram, shape (frames, bands), range 0 to 1.
        second: likewise, of another number of frames.
    """
    from doppelbench.metrics.dtw import warp

    return warp(first, second).cost


def compare_with_words(
    word: np.ndarray, projection: np.ndarray, others: Sequence[tuple[str, np.ndarray]]
) -> tuple[float, float, str, float]:
    """Compare a word with its projection and with the target's words.

    Args:
        word: log-mel spectrogram of the word, shape (frames, bands).
        projection: of its projection.
        others: text and spectrogram of the target's words.

    Returns:
        Distance to the projection, least distance to a word of the target, which word that is, and the mean
        distance to them.
    """
    distances = [distance(word, mel) for _, mel in others]
    nearest = int(np.argmin(distances))
    return distance(word, projection), distances[nearest], others[nearest][0], float(np.mean(distances))


def run_reprojection(recipe: Recipe, folder: Path, *, force: bool = False) -> list[dict[str, Any]]:
    """Train the autoencoders of a recipe and project words through them.

    Writes ``reprojection.csv`` (one row a word), ``reprojection_averages.csv`` and ``experiment.md`` into the
    run folder; a training that is there is not repeated.

    Args:
        recipe: its targets are A, its source speakers B, and ``reprojection`` names the words.
        folder: the run folder.
        force: delete a run of another configuration that is in the folder.

    Returns:
        Averages, one row for each system, target, source and kind of word.

    Raises:
        ConfigError: no word, a word of both kinds, or a system that is no autoencoder of one target.
        InputError: a target and a source that share no word.
    """
    from doppelbench.benchmark.run import open_run, train_systems

    kinds = word_kinds(recipe)
    recipe = recipe.model_copy(update={"reference_rows": False})
    for entry in list_entries(recipe, TRACK):
        _check_system(entry)
    plan = make_plan(recipe)
    with open_run(plan, folder, force=force) as run:
        with run.stage("train"):
            train_systems(run, plan)
            budget = budget_rows(plan, run.info.plan.get("trainings", {}))
            run.info.plan["budget"] = budget
        with run.stage("reproject"):
            words = project_words(run, plan, kinds)
        rows = averages(words)
        (folder / "reprojection.csv").write_text(csv_of([asdict(word) for word in words]))
        (folder / "reprojection_averages.csv").write_text(csv_of(rows))
        (folder / "experiment.md").write_text(page(plan, words, rows, budget), encoding="utf-8")
    return rows


def word_kinds(recipe: Recipe) -> dict[str, str]:
    """Return the kind of every word of a recipe.

    Raises:
        ConfigError: there is no word, or one stands in both lists.
    """
    chosen = recipe.reprojection
    both = sorted(set(chosen.normal) & set(chosen.tongue_twisters))
    if both:
        raise ConfigError(f"reprojection: {', '.join(both)} cannot be both normal and a tongue-twister")
    kinds = dict.fromkeys(chosen.normal, NORMAL) | dict.fromkeys(chosen.tongue_twisters, TONGUE_TWISTER)
    if not kinds:
        raise ConfigError(
            "reprojection: name words under reprojection.normal or reprojection.tongue_twisters"
        )
    return kinds


def _check_system(entry: Entry) -> None:
    from doppelbench.baselines.registry import find_system

    kind = find_system(entry.name)
    if "target" not in kind.spec.needs or not hasattr(kind, "convert_features"):
        raise ConfigError(
            f"experiment reprojection needs autoencoders of one target, and {entry.name} is none; take "
            "exemplar"
        )
    if entry.vocoder is not None:
        raise ConfigError(
            f"experiment reprojection hears {entry.key} through its own vocoder; leave out vocoder"
        )


def project_words(run: Run, plan: Plan, kinds: Mapping[str, str]) -> list[ProjectedWord]:
    """Project the words of every source through the autoencoder of every target."""
    from doppelbench.baselines.registry import find_system
    from doppelbench.metrics.sca import train_classifier

    sources = list(dict.fromkeys(trial.source.speaker for trial in plan.trials))
    everybody = {(clip.speaker, clip.id, clip.audio): clip for clip in (*plan.clips, *plan.source_clips)}
    spoken = {
        speaker: find_words([clip for clip in everybody.values() if clip.speaker == speaker], kinds)
        for speaker in dict.fromkeys((*plan.targets, *sources))
    }
    rows: list[ProjectedWord] = []
    for target in plan.targets:
        for source in sources:
            given, known = chosen_words(spoken, source, target, plan.recipe.reprojection.per_word)
            classified = {(word.clip.speaker, word.clip.id) for word in given}
            natural = [
                clip
                for clip in plan.training_clips()
                if clip.speaker in {source, target} and (clip.speaker, clip.id) not in classified
            ]
            classifier = train_classifier(
                natural, seed=plan.recipe.seed, left_out=lambda clip, why: say(f"{clip.id}: {why}")
            )
            for entry in plan.entries:
                directory = run.system_directory(entry.key, target)
                if entry.training_of(target) in run.info.plan.get("failed_trainings", {}):
                    say(f"{entry.key} of {target} could not be trained and is left out")
                    continue
                system: Any = find_system(entry.name).load(directory)
                for word in given:
                    rows.append(_projected(entry, system, classifier, word, known, target, kinds))
    return rows


def find_words(clips: Iterable[Clip], wanted: Iterable[str]) -> dict[str, list[SpokenWord]]:
    """Cut wanted words from clips, those of split test first, then dev, then train.

    A clip whose words cannot be found is left out and named on standard error.
    """
    from doppelbench.baselines.common import clip_log_mel
    from doppelbench.corpora.features import MelSettings

    settings, names = MelSettings(), set(wanted)
    found: dict[str, list[SpokenWord]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: (SPLITS.index(clip.split), clip.id)):
        if not clip.text or not names & set(clip.text.lower().split()):
            continue
        try:
            own = [word for word in word_times(clip) if word.text.lower() in names]
            mel = clip_log_mel(clip, settings) if own else np.empty((0, settings.n_mels))
        except MediaError as error:
            say(f"the words of clip {clip.id} are left out: {error.reason}")
            continue
        for word in own:
            cut = cut_word(mel, word, settings.frame_rate)
            if len(cut):
                found[word.text.lower()].append(SpokenWord(word.text.lower(), clip, cut))
    return found


def cut_word(mel: np.ndarray, word: Word, frame_rate: float) -> np.ndarray:
    """Frames of a word in the spectrogram of its clip."""
    return mel[round(word.start * frame_rate) : round(word.end * frame_rate)]


def chosen_words(
    spoken: Mapping[str, Mapping[str, Sequence[SpokenWord]]], source: str, target: str, per_word: int
) -> tuple[list[SpokenWord], list[SpokenWord]]:
    """Choose one utterance of each word by the source, and some by the target from its training speech.

    Raises:
        InputError: there is no word that both say.
    """
    known = {
        text: [word for word in words if word.clip.split == "train"][:per_word]
        for text, words in spoken[target].items()
    }
    given = [words[0] for text, words in sorted(spoken[source].items()) if known.get(text)]
    if not given:
        raise InputError(
            f"{source} and {target} share no word of the recipe in training speech of {target}; name others "
            "under reprojection.normal and reprojection.tongue_twisters"
        )
    return given, [word for text in sorted(known) for word in known[text]]


def _projected(
    entry: Entry,
    system: Any,
    classifier: Any,
    word: SpokenWord,
    known: Sequence[SpokenWord],
    target: str,
    kinds: Mapping[str, str],
) -> ProjectedWord:
    projection = system.convert_features(word.mel)
    to_projection, minimum, nearest, mean = compare_with_words(
        word.mel, projection, [(other.text, other.mel) for other in known]
    )
    return ProjectedWord(
        system=entry.key,
        target=target,
        source=word.clip.speaker,
        kind=kinds[word.text],
        word=word.text,
        frames=len(word.mel),
        to_projection=to_projection,
        minimum=minimum,
        nearest=nearest,
        nearest_is_same_word=nearest == word.text,
        mean=mean,
        likelihood=_likelihood(classifier, system, projection, target),
        likelihood_before=_likelihood(classifier, system, word.mel, target),
    )


def _likelihood(classifier: Any, system: Any, mel: np.ndarray, target: str) -> float | None:
    try:
        found = classifier.log_probabilities(system.vocoder(mel))
    except MediaError:
        return None
    return 100 * float(np.exp(found[classifier.speakers.index(target)]))


def averages(words: Sequence[ProjectedWord]) -> list[dict[str, Any]]:
    """Average the rows of each system, target, source and kind, and of each system and kind over all people.

    ``projection_is_nearest`` is the share in per cent of words for which the paper's inequality holds: the
    projection is as near as the nearest word of A, or nearer.
    """
    groups: dict[tuple[str, str, str, str], list[ProjectedWord]] = defaultdict(list)
    for word in words:
        groups[(word.system, word.target, word.source, word.kind)].append(word)
        groups[(word.system, "all", "all", word.kind)].append(word)
    rows = []
    for (system, target, source, kind), own in groups.items():
        row: dict[str, Any] = {"system": system, "target": target, "source": source, "kind": kind}
        row["words"] = len(own)
        for name in MEASURES:
            values = [value for value in (getattr(word, name) for word in own) if value is not None]
            scale = 100 if name == "nearest_is_same_word" else 1
            row[name] = round(scale * float(np.mean(values)), 3) if values else None
        holds = [word.to_projection <= word.minimum for word in own]
        row["projection_is_nearest"] = round(100 * float(np.mean(holds)), 3)
        rows.append(row)
    return rows


def page(
    plan: Plan,
    words: Sequence[ProjectedWord],
    rows: Sequence[dict[str, Any]],
    budget: Sequence[dict[str, Any]],
) -> str:
    """The experiment as Markdown: averages, words, what the systems were given, and the paper's table."""
    from doppelbench.leaderboards.published_figures import find_published

    corpus = plan.recipe.corpus.label
    shown = [
        {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(word).items()}
        for word in words
    ]
    tables = find_published(plan.recipe.published) if plan.recipe.published else []
    parts = [
        f"# {plan.recipe.name}",
        f"Measured on corpus {corpus}. Distances: Euclidean between frames of log-mels from 0 to 1, summed "
        "along the path of dynamic time warping. Likelihoods and shares in per cent.",
        render(list(rows), "md"),
        "## Words",
        render(shown, "md"),
        *budget_part(budget),
        *published_part(tables, corpus),
    ]
    return "\n\n".join(parts) + "\n"
