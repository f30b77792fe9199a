"""Who is trained on and who is tested: the protocols of a detection experiment, as pure functions.

A protocol deals labelled clips into folds, each with a training, a development and a test part. In every fold

1. no clip is in two parts, and no sentence of the training or the development part is in the test. A sentence
   is dealt with every clip that says it; a conversion says what its source said. Where a text is not known,
   the recording that was converted stands for it. A corpus of fewer than three sentences is dealt by
   recording instead, and the fold says so;
2. the development part, for calibration, has other voices than the test where there are four or more, else
   other sentences; the fold says which;
3. whose voice a fake claims to be counts as its speaker. In the first two protocols nobody is a source in
   training and claimed in the test, unless ``roles`` is ``any``; in ``speaker-agnostic`` that holds for the
   unseen people, because the paper turns those it trains on into each other;
4. controls, which no generator made, are tested and never trained on;
5. training is balanced: as many fakes as bona fide clips, in turn from every generator and voice;
6. bona fide clips are of voices that fakes claim to be, so that nobody is known to be real by the voice.

Which clips are taken follows from their ids and a seed, not from the order in which they come.

====================== ==================================================================================
``matrix``             trained on one generator, on all, and on all but one; tested on every generator
``leave-one-out``      trained on all generators, and on all but one
``speaker-agnostic``   trained on some people, tested on them and on others
``speaker-specific``   one person, trained on one style, tested on every style
====================== ==================================================================================

The last two are those of K. Deng, A. Bansal and D. Ramanan, "Unsupervised audiovisual synthesis via exemplar
autoencoders", ICLR 2021, appendix B and Table 4, whose numbers are the defaults: six people with 200 real and
200 fake sentences each, tested on 100 and 100 of each of them and of two others; 600 and 600 sentences of one
style, tested on 150 and 150 of each of four styles. The paper has no development part; here it is taken on
top.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError

PROTOCOLS = ("matrix", "leave-one-out", "speaker-agnostic", "speaker-specific")
Roles = Literal["apart", "any"]
# Shares of the sentences for training, development and test of the protocols about generators.
SHARES = (0.5, 0.2, 0.3)
# Fewer sentences than parts cannot be dealt.
FEWEST_SENTENCES = 3
# So many voices are enough to keep a quarter of them for the development part.
VOICES_TO_HOLD_OUT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A clip and what it truly is.

    Attributes:
        clip: the media; its id is unique, its speaker is whose voice it is, or claims to be.
        bonafide: whether it is real.
        attack: the generator of a fake; empty for a bona fide clip.
        control: a fake that no generator made: no voice was converted.
        source_speaker: who was converted, where it is known.
        recording: names the recording that was converted; of a bona fide clip the clip itself.
        sentence: what is said, normalised, or empty when unknown.
    """

    clip: Clip
    bonafide: bool
    attack: str = ""
    control: bool = False
    source_speaker: str | None = None
    recording: str = ""
    sentence: str = ""

    @property
    def id(self) -> str:
        """Of the clip."""
        return self.clip.id

    @property
    def speaker(self) -> str:
        """Whose voice it is or claims to be."""
        return self.clip.speaker

    @property
    def words(self) -> str:
        """What stands for the sentence: the sentence, or the recording where it is not known."""
        return self.sentence or f"recording {self.recording or self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One training with its tests.

    Attributes:
        protocol: of ``PROTOCOLS``.
        name: what is trained on or left out; empty where a protocol has one fold.
        training: bona fide clips and fakes to learn from.
        development: to calibrate on.
        test: with the controls.
        notes: what a reader of the counts must know.
    """

    protocol: str
    name: str
    training: tuple[Sample, ...]
    development: tuple[Sample, ...]
    test: tuple[Sample, ...]
    notes: tuple[str, ...] = ()

    @property
    def attacks(self) -> frozenset[str]:
        """Generators trained on."""
        return frozenset(sample.attack for sample in self.training if not sample.bonafide)

    @property
    def speakers(self) -> frozenset[str]:
        """Voices trained on, real or claimed."""
        return frozenset(sample.speaker for sample in self.training)

    @property
    def styles(self) -> frozenset[str | None]:
        """Styles trained on."""
        return frozenset(sample.clip.style for sample in self.training)

    def counts(self) -> list[dict[str, Any]]:
        """One row a part: clips, voices, sentences, and how many of these are in the training part too."""
        known = {sample.words for sample in self.training}
        parts = {"training": self.training, "development": self.development, "test": self.test}
        return [
            {
                "fold": self.name,
                "part": part,
                "bonafide": sum(sample.bonafide for sample in samples),
                "spoof": len(_fakes(samples)),
                "controls": sum(sample.control for sample in samples),
                "speakers": len({sample.speaker for sample in samples}),
                "unseen_speakers": len({sample.speaker for sample in samples} - self.speakers),
                "sentences": len({sample.words for sample in samples}),
                "sentences_in_training": len({sample.words for sample in samples} & known),
            }
            for part, samples in parts.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What may be chosen of a protocol.

    Attributes:
        seed: of every choice of clips.
        roles: ``apart`` keeps those who are claimed in the test out of the sources of the training.
        balance: whether training has as many fakes as bona fide clips; else it takes what there is.
        seen: people to train on in ``speaker-agnostic``; all but the unseen ones when None.
        unseen: people who are only tested, or how many.
        speaker: the person of ``speaker-specific``; the one with most clips when None.
        styles: styles to train on, one a fold; every style when None.
        clips: clips of a person (or style) and class for training, development and test of the last two
            protocols; those of the paper when None.
    """

    seed: int = 0
    roles: Roles = "apart"
    balance: bool = True
    seen: tuple[str, ...] | None = None
    unseen: tuple[str, ...] | int = 2
    speaker: str | None = None
    styles: tuple[str, ...] | None = None
    clips: tuple[int, int, int] | None = None


@dataclass(slots=True)
class _Parts:
    """Parts of a fold while it is made."""

    training: list[Sample] = field(default_factory=list)
    development: list[Sample] = field(default_factory=list)
    test: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_folds(protocol: str, samples: Sequence[Sample], choices: Choices | None = None) -> list[Fold]:
    """Deal samples by a protocol.

    Raises:
        InputError: no such protocol, an id twice, or too few voices, generators, styles or clips for it.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"there is no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    ids = [sample.id for sample in samples]
    if len(set(ids)) < len(ids):
        raise InputError(f"two clips have the id {next(name for name in ids if ids.count(name) > 1)!r}")
    if not any(sample.bonafide for sample in samples) or not _fakes(samples):
        missing = "fakes" if any(sample.bonafide for sample in samples) else "bona fide clips"
        raise InputError(f"a detection experiment needs bona fide clips and fakes; there are no {missing}")
    ordered = sorted(of_claimed_voices(samples), key=lambda sample: sample.id)
    make: Callable[[Sequence[Sample], Choices], list[Fold]] = {
        "matrix": generator_matrix,
        "leave-one-out": leave_one_out,
        "speaker-agnostic": speaker_agnostic,
        "speaker-specific": speaker_specific,
    }[protocol]
    folds = make(ordered, choices or Choices())
    for fold in folds:
        _check(fold)
    return folds


def of_claimed_voices(samples: Sequence[Sample]) -> list[Sample]:
    """Leave out bona fide clips of people whom no fake claims to be, and fakes of nobody's real voice.

    Raises:
        InputError: no voice has both.
    """
    voices = {sample.speaker for sample in samples if sample.bonafide}
    claimed = {sample.speaker for sample in _fakes(samples)} & voices
    if not claimed:
        raise InputError(
            f"no speaker has bona fide clips and fakes: real are {_some(voices)}, fakes claim to be "
            f"{_some({sample.speaker for sample in _fakes(samples)})}"
        )
    return [sample for sample in samples if sample.speaker in claimed]


def generator_matrix(samples: Sequence[Sample], choices: Choices) -> list[Fold]:
    """Train on each generator alone, on all, and on all but one; test each time on every generator."""
    attacks = _attacks(samples)
    trained: dict[str, list[str]] = {attack: [attack] for attack in attacks}
    if len(attacks) > 1:
        trained["all"] = attacks
    if len(attacks) > 2:
        trained |= {f"without {left}": [one for one in attacks if one != left] for left in attacks}
    return _generator_folds("matrix", samples, trained, choices)


def leave_one_out(samples: Sequence[Sample], choices: Choices) -> list[Fold]:
    """Train on all generators, and on all but one; test each time on every generator.

    Raises:
        InputError: there is one generator.
    """
    attacks = _attacks(samples)
    if len(attacks) < 2:
        raise InputError(f"leave-one-out needs two generators or more; there is {_some(attacks)}")
    without = {f"without {left}": [one for one in attacks if one != left] for left in attacks}
    return _generator_folds("leave-one-out", samples, {"all": attacks, **without}, choices)


def _generator_folds(
    protocol: str, samples: Sequence[Sample], trained: Mapping[str, Sequence[str]], choices: Choices
) -> list[Fold]:
    """Deal once, so that all folds have the same test; what differs is which fakes are trained on."""
    held_out = _development_voices(samples, choices.seed)
    parts = _deal(samples, SHARES, choices.seed)
    if held_out:
        # Nobody of the development part is in the two others, as a voice or as a source.
        own = [sample for sample in (*parts.training, *parts.development) if sample.speaker in held_out]
        parts.training = [*parts.training, *parts.development]
        parts.training = [sample for sample in parts.training if not _involves(sample, held_out)]
        parts.test = [sample for sample in parts.test if not _involves(sample, held_out)]
        parts.development = own
        parts.notes.append(f"The development part has voices of its own: {_some(held_out)}.")
    else:
        parts.notes.append("The development part has the voices of the test, and other sentences.")
    if choices.roles == "apart":
        claimed = {sample.speaker for sample in _fakes(parts.test)}
        parts.training = [sample for sample in parts.training if sample.source_speaker not in claimed]
        if not _fakes(parts.training):
            raise InputError(
                "every fake to train on was converted from somebody whom a fake of the test claims to be; "
                "allow that with --roles any"
            )
    folds = []
    for name, attacks in trained.items():
        learned = _balanced([s for s in parts.training if s.bonafide or s.attack in attacks], choices)
        development = [s for s in parts.development if s.bonafide or s.attack in attacks]
        folds.append(_fold(protocol, name, parts, learned, development, parts.test))
    return folds


def _development_voices(samples: Sequence[Sample], seed: int) -> frozenset[str]:
    voices = _shuffled({sample.speaker for sample in samples}, seed)
    return frozenset(voices[: len(voices) // 4] if len(voices) >= VOICES_TO_HOLD_OUT else ())


def speaker_agnostic(samples: Sequence[Sample], choices: Choices) -> list[Fold]:
    """Train on the fakes of some people; test on other clips of them, and on people never trained on.

    Somebody unseen has no part in training in either role, as the voice or as the source of a fake.

    Raises:
        InputError: a person who is named has no clips of both classes, or nobody is left to train on.
    """
    seen, unseen = _people(samples, choices)
    sizes = choices.clips or (200, 20, 100)
    inside = [s for s in samples if s.speaker in seen and s.source_speaker not in unseen]
    parts = _deal(inside, sizes, choices.seed)
    known = {sample.words for sample in (*parts.training, *parts.development)}
    # A control has no generator; it is tested on everybody.
    parts.test += [s for s in samples if s.speaker in unseen and s.words not in known]
    parts.notes.append(f"Trained on {_some(seen)}; only tested: {_some(unseen)}.")
    return [_sized_fold("speaker-agnostic", "", parts, sizes, lambda s: s.speaker, choices)]


def speaker_specific(samples: Sequence[Sample], choices: Choices) -> list[Fold]:
    """Train on one style of one person; test on every style. One fold for each style trained on.

    Raises:
        InputError: the person is not there or has one style, or a style that is named is not there.
    """
    if choices.speaker is not None and choices.speaker not in {sample.speaker for sample in samples}:
        raise InputError(f"nobody called {choices.speaker!r} has bona fide clips and fakes")
    speaker = choices.speaker or _most_clips(samples)
    own = [s for s in samples if s.speaker == speaker and s.clip.style is not None]
    styles = sorted({str(s.clip.style) for s in own if s.bonafide} & {str(s.clip.style) for s in _fakes(own)})
    if len(styles) < 2:
        raise InputError(
            f"speaker-specific needs bona fide clips and fakes of two styles or more of {speaker}; there is "
            f"{_some(styles)}"
        )
    for style in choices.styles or ():
        if style not in styles:
            raise InputError(f"{speaker} has no style {style!r} with both classes; there is {_some(styles)}")
    sizes = choices.clips or (600, 60, 150)
    folds = []
    for style in choices.styles or styles:
        parts = _deal([s for s in own if s.clip.style == style], sizes, choices.seed)
        known = {sample.words for sample in (*parts.training, *parts.development)}
        parts.test += [s for s in own if s.clip.style in {*styles} - {style} and s.words not in known]
        parts.notes.append(f"Styles of {speaker}; trained on {style}, tested on {_some(styles)}.")
        folds.append(_sized_fold("speaker-specific", style, parts, sizes, lambda s: s.clip.style, choices))
    return folds


def _people(samples: Sequence[Sample], choices: Choices) -> tuple[list[str], list[str]]:
    voices = _shuffled({sample.speaker for sample in samples}, choices.seed)
    if isinstance(choices.unseen, int):
        free = [voice for voice in voices if voice not in (choices.seen or ())]
        unseen = free[: choices.unseen]
    else:
        unseen = list(choices.unseen)
    seen = list(choices.seen) if choices.seen is not None else [one for one in voices if one not in unseen]
    for name in (*seen, *unseen):
        if name not in voices:
            raise InputError(f"{name!r} has no bona fide clips and fakes; those are {_some(voices)}")
    if set(seen) & set(unseen):
        raise InputError(f"{_some(set(seen) & set(unseen))} cannot be seen and unseen")
    if not seen or not unseen:
        raise InputError(
            f"speaker-agnostic needs people to train on and others to test; there are {_some(voices)}, of "
            f"whom {len(unseen)} are unseen"
        )
    return sorted(seen), sorted(unseen)


def _sized_fold(
    protocol: str,
    name: str,
    parts: _Parts,
    sizes: tuple[int, int, int],
    group: Callable[[Sample], Hashable],
    choices: Choices,
) -> Fold:
    """Take so many clips of each person (or style) and class from every part, and all controls.

    Fakes to train on are counted together: where every sentence was converted once, as in the paper, nobody
    is claimed by as many of them as anybody else.
    """
    taken: list[list[Sample]] = []
    every = {"training": parts.training, "development": parts.development, "test": parts.test}
    for (part, samples), size in zip(every.items(), sizes, strict=True):
        strata: dict[Hashable, list[Sample]] = {}
        for sample in samples:
            if not sample.control:
                together = part == "training" and not sample.bonafide
                strata.setdefault((sample.bonafide, together or group(sample)), []).append(sample)
        groups = len({group(sample) for sample in samples})
        wanted = {one: size * groups if one == (False, True) else size for one in strata}
        taken.append(
            [s for one, stratum in strata.items() for s in _draw(stratum, wanted[one], choices.seed)]
        )
        short = [
            f"{len(strata[one])} of {limit}" for one, limit in wanted.items() if len(strata[one]) < limit
        ]
        if short:
            parts.notes.append(f"There are fewer clips for {part} than wanted: {_some(short)}.")
    controls = [sample for sample in parts.test if sample.control]
    return _fold(protocol, name, parts, _balanced(taken[0], choices), taken[1], [*taken[2], *controls])


def _deal(samples: Sequence[Sample], shares: Sequence[float], seed: int) -> _Parts:
    """Deal sentences, each with all its clips, into three parts in proportion to ``shares``.

    Sentences that the same people say in bona fide clips are dealt one after another, so that the proportion
    holds for every person.
    """
    parts = _Parts()
    unit: Callable[[Sample], str] = lambda sample: sample.words  # noqa: E731
    if len({sample.words for sample in samples}) < FEWEST_SENTENCES:
        unit = lambda sample: sample.recording or sample.id  # noqa: E731
        parts.notes.append("There are too few sentences: clips of the test say what the training says.")
    clips: dict[str, list[Sample]] = {}
    for sample in samples:
        clips.setdefault(unit(sample), []).append(sample)
    people = {name: sorted({s.speaker for s in said if s.bonafide}) for name, said in clips.items()}
    ordered = sorted(clips, key=lambda name: (people[name], _hash(seed, name)))
    wanted = [share / sum(shares) for share in shares]
    due = [0.0, 0.0, 0.0]
    for name in ordered:
        due = [have + more for have, more in zip(due, wanted, strict=True)]
        # Training and test go before development where they are owed as much.
        place = max((0, 2, 1), key=lambda part: round(due[part], 9))
        due[place] -= 1
        (parts.training, parts.development, parts.test)[place].extend(clips[name])
    return parts


def _draw(samples: Sequence[Sample], limit: int, seed: int) -> list[Sample]:
    """Take at most ``limit`` samples, in turn from every generator, voice and source."""
    strata: dict[Hashable, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: _hash(seed, sample.id)):
        strata.setdefault((sample.attack, sample.speaker, sample.source_speaker), []).append(sample)
    turns = [one for turn in zip_longest(*strata.values()) for one in turn if one is not None]
    return turns[:limit]


def _balanced(samples: Sequence[Sample], choices: Choices) -> list[Sample]:
    """As many fakes as bona fide clips; controls are left out."""
    real = [sample for sample in samples if sample.bonafide]
    fake = _fakes(samples)
    size = min(len(real), len(fake)) if choices.balance else len(samples)
    return [*_draw(real, size, choices.seed), *_draw(fake, size, choices.seed)]


def _fold(
    protocol: str,
    name: str,
    parts: _Parts,
    training: Iterable[Sample],
    development: Iterable[Sample],
    test: Iterable[Sample],
) -> Fold:
    def ordered(samples: Iterable[Sample]) -> tuple[Sample, ...]:
        return tuple(sorted(samples, key=lambda sample: sample.id))

    return Fold(
        protocol=protocol,
        name=name,
        training=ordered(training),
        development=ordered(sample for sample in development if not sample.control),
        test=ordered(test),
        notes=tuple(parts.notes),
    )


def _check(fold: Fold) -> None:
    where = f"{fold.protocol} {fold.name}".strip()
    for part, samples in (("training", fold.training), ("test", fold.test)):
        for what, found in (
            ("bona fide clips", [s for s in samples if s.bonafide]),
            ("fakes", _fakes(samples)),
        ):
            if not found:
                raise InputError(f"{where}: the {part} part has no {what}; more clips are needed")


def _fakes(samples: Iterable[Sample]) -> list[Sample]:
    return [sample for sample in samples if not sample.bonafide and not sample.control]


def _attacks(samples: Iterable[Sample]) -> list[str]:
    return sorted({sample.attack for sample in _fakes(samples)})


def _involves(sample: Sample, people: frozenset[str]) -> bool:
    return sample.speaker in people or sample.source_speaker in people


def _most_clips(samples: Sequence[Sample]) -> str:
    voices = [sample.speaker for sample in samples if sample.clip.style is not None]
    if not voices:
        raise InputError("speaker-specific needs the style of clips; none is known")
    return min(set(voices), key=lambda voice: (-voices.count(voice), voice))


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    return sorted(set(names), key=lambda name: _hash(seed, name))


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "") or "none"
