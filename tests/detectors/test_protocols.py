"""Protocols: what holds for every fold of any collection of clips, and the counts of Table 4 by hand."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.detectors.protocols import PROTOCOLS, Choices, Fold, Sample, make_folds


def real(speaker: str, number: int, *, text: str | None = None, style: str | None = None) -> Sample:
    name = f"{speaker} {style or ''}{number}"
    return Sample(
        clip=Clip(f"real:{name}", speaker, audio=f"{name}.flac", style=style),
        bonafide=True,
        recording=name,
        sentence=f"{speaker} says {number}" if text is None else text,
    )


def fake(
    source: Sample, target: str, attack: str = "a", *, control: bool = False, style: str | None = None
) -> Sample:
    name = f"{attack}:{source.recording} to {target}"
    return Sample(
        clip=Clip(name, target, audio=f"{name}.flac", style=style or source.clip.style),
        bonafide=False,
        attack=attack,
        control=control,
        source_speaker=source.speaker,
        recording=source.recording,
        sentence=source.sentence,
    )


def collection(
    voices: int, sources: int, sentences: int, attacks: Sequence[str], *, parallel: bool = True
) -> list[Sample]:
    """Everybody says all sentences; every source's are turned into every voice by every generator."""
    people = [f"v{n}" for n in range(voices)] + [f"s{n}" for n in range(sources)]
    said = {
        person: [real(person, n, text=f"sentence {n}" if parallel else None) for n in range(sentences)]
        for person in people
    }
    found = [sample for person in people for sample in said[person]]
    driving = people[voices:] or people
    for attack in attacks:
        found += [
            fake(sample, voice, attack, control=attack.startswith("copy"))
            for voice in people[:voices]
            for source in driving
            if source != voice
            for sample in said[source]
        ]
    return found


def parts(fold: Fold) -> dict[str, tuple[Sample, ...]]:
    return {"training": fold.training, "development": fold.development, "test": fold.test}


def check_invariants(fold: Fold) -> None:
    ids = {part: {sample.id for sample in samples} for part, samples in parts(fold).items()}
    assert not ids["training"] & ids["development"]
    assert not ids["training"] & ids["test"]
    assert not ids["development"] & ids["test"]
    tested = {sample.sentence for sample in fold.test}
    learned = {sample.sentence for sample in (*fold.training, *fold.development)}
    assert not tested & learned
    assert not any(sample.control for sample in (*fold.training, *fold.development))
    assert sum(sample.bonafide for sample in fold.training) * 2 == len(fold.training)
    claimed = {sample.speaker for sample in fold.test if not sample.bonafide}
    assert {sample.speaker for sample in fold.test if sample.bonafide} <= claimed


@settings(max_examples=25, deadline=None)
@given(
    voices=st.integers(2, 6),
    sentences=st.integers(8, 20),
    attacks=st.integers(1, 3),
    parallel=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_no_clip_and_no_sentence_is_learned_and_tested(
    voices: int, sentences: int, attacks: int, parallel: bool, seed: int
) -> None:
    samples = collection(voices, 2, sentences, ["copy", *"abc"[:attacks]], parallel=parallel)
    for protocol in ("matrix", "speaker-agnostic"):
        choices = Choices(seed=seed, unseen=1, clips=(6, 2, 4))
        for fold in make_folds(protocol, samples, choices):
            check_invariants(fold)
            sources = {sample.source_speaker for sample in fold.training if not sample.bonafide}
            assert not sources & {sample.speaker for sample in fold.test if not sample.bonafide}


def test_the_same_clips_are_taken_in_whatever_order_they_come() -> None:
    samples = collection(3, 2, 9, ["a", "b", "c"])
    assert make_folds("matrix", samples) == make_folds("matrix", samples[::-1])
    assert make_folds("matrix", samples) != make_folds("matrix", samples, Choices(seed=1))


def test_the_matrix_trains_on_each_on_all_and_on_all_but_one() -> None:
    folds = {fold.name: fold for fold in make_folds("matrix", collection(3, 2, 12, ["a", "b", "c", "copy"]))}
    assert list(folds) == ["a", "b", "c", "all", "without a", "without b", "without c"]
    assert folds["a"].attacks == {"a"}
    assert folds["without a"].attacks == {"b", "c"}
    # Every fold is tested on the same clips, all generators and the control among them.
    assert len({fold.test for fold in folds.values()}) == 1
    assert {sample.attack for sample in folds["a"].test} == {"", "a", "b", "c", "copy"}


def test_one_generator_is_no_leave_one_out() -> None:
    with pytest.raises(InputError, match="two generators"):
        make_folds("leave-one-out", collection(3, 2, 9, ["a"]))


def test_four_voices_leave_one_to_the_development_part() -> None:
    fold = make_folds("matrix", collection(4, 2, 12, ["a"]))[0]
    voices = {part: {sample.speaker for sample in samples} for part, samples in parts(fold).items()}
    assert len(voices["development"]) == 1
    assert voices["development"].isdisjoint(voices["test"] | voices["training"])
    assert any("voices of its own" in note for note in fold.notes)
    few = make_folds("matrix", collection(3, 2, 12, ["a"]))[0]
    assert any("has the voices of the test" in note for note in few.notes)


def test_sources_that_are_claimed_in_the_test_are_refused_unless_asked_for() -> None:
    samples = collection(3, 0, 12, ["a"])
    with pytest.raises(InputError, match="--roles any"):
        make_folds("matrix", samples)
    (fold,) = make_folds("matrix", samples, Choices(roles="any"))
    check_invariants(fold)


def test_nobody_is_known_to_be_real_by_the_voice() -> None:
    for fold in make_folds("matrix", collection(2, 3, 12, ["a"])):
        assert {sample.speaker for sample in fold.training if sample.bonafide} == {"v0", "v1"}


def test_two_sentences_are_dealt_by_recording_and_the_counts_say_so() -> None:
    samples = collection(3, 3, 2, ["a"])
    (fold,) = make_folds("matrix", samples)
    test = next(row for row in fold.counts() if row["part"] == "test")
    assert test["sentences_in_training"] > 0
    assert any("too few sentences" in note for note in fold.notes)


def test_table_4a_counts_as_in_the_paper() -> None:
    """Six people with 200 + 200 sentences; 100 + 100 of each of them and of two others."""
    people = [f"p{n}" for n in range(8)]
    said = {person: [real(person, n) for n in range(320)] for person in people}
    samples = [sample for found in said.values() for sample in found]
    # Sentence n of person i is turned into the (n mod 5 + 1)th other person of the same group.
    for group in (people[:6], people[6:]):
        for place, person in enumerate(group):
            for n, sample in enumerate(said[person]):
                target = group[(place + 1 + n % (len(group) - 1)) % len(group)]
                samples.append(fake(sample, target))
    (fold,) = make_folds("speaker-agnostic", samples, Choices(unseen=("p6", "p7")))
    counts = {row["part"]: row for row in fold.counts()}
    assert counts["training"]["bonafide"] == 1200
    assert counts["training"]["spoof"] == 1200
    assert counts["training"]["speakers"] == 6
    assert counts["test"]["bonafide"] == 800
    # A person is claimed by a fifth of five other people's sentences, 100 give or take a few.
    assert 760 <= counts["test"]["spoof"] <= 800
    assert (counts["test"]["speakers"], counts["test"]["unseen_speakers"]) == (8, 2)
    assert counts["test"]["sentences_in_training"] == 0
    for person in ("p6", "p7"):
        heard = [s for s in fold.training if person in (s.speaker, s.source_speaker)]
        assert not heard
        tested = [s for s in fold.test if s.speaker == person]
        assert (sum(s.bonafide for s in tested), sum(not s.bonafide for s in tested)) == (100, 100)


def test_table_4b_counts_as_in_the_paper() -> None:
    """600 + 600 sentences of one style; 150 + 150 of each of four."""
    samples = []
    for style in ("press", "speech", "home", "radio"):
        own = [real("obama", n, text=f"{style} {n}", style=style) for n in range(810)]
        other = [real("other", n, text=f"{style} other {n}", style="x") for n in range(810)]
        samples += own
        samples += [fake(sample, "obama", f"exemplar {style}", style=style) for sample in other]
    folds = make_folds("speaker-specific", samples, Choices(styles=("press",)))
    (fold,) = folds
    counts = {row["part"]: row for row in fold.counts()}
    assert (counts["training"]["bonafide"], counts["training"]["spoof"]) == (600, 600)
    assert fold.styles == {"press"}
    for style in ("press", "speech", "home", "radio"):
        tested = [sample for sample in fold.test if sample.clip.style == style]
        assert (sum(s.bonafide for s in tested), sum(not s.bonafide for s in tested)) == (150, 150)
    assert counts["test"]["sentences_in_training"] == 0
    assert [fold.name for fold in make_folds("speaker-specific", samples)] == [
        "home",
        "press",
        "radio",
        "speech",
    ]


def test_everybody_counts_alike_where_everybody_is_turned_into_everybody() -> None:
    folds = make_folds(
        "speaker-agnostic",
        collection(8, 0, 40, ["a"], parallel=False),
        Choices(unseen=2, clips=(20, 4, 10)),
    )
    for part, size in (("training", 20), ("test", 10)):
        for person in {sample.speaker for sample in parts(folds[0])[part]}:
            own = [sample.bonafide for sample in parts(folds[0])[part] if sample.speaker == person]
            assert (sum(own), len(own)) == (size, 2 * size)


def test_too_few_clips_for_the_paper_are_said() -> None:
    (fold,) = make_folds("speaker-agnostic", collection(3, 2, 12, ["a"]), Choices(unseen=1))
    assert any("fewer clips for training than wanted" in note for note in fold.notes)


@pytest.mark.parametrize(
    ("samples", "protocol", "choices", "complaint"),
    [
        ([], "matrix", Choices(), "no bona fide clips"),
        ([real("a", 1)], "matrix", Choices(), "there are no fakes"),
        ([real("a", 1), fake(real("b", 1), "c")], "matrix", Choices(), "no speaker has bona fide"),
        ([real("a", 1), real("a", 1)], "matrix", Choices(), "two clips have the id"),
        (collection(3, 2, 9, ["a"]), "table-4", Choices(), "no protocol 'table-4'"),
        (collection(2, 2, 9, ["a"]), "speaker-agnostic", Choices(unseen=2), "people to train on"),
        (collection(2, 2, 9, ["a"]), "speaker-agnostic", Choices(unseen=("nobody",)), "nobody"),
        (collection(2, 2, 9, ["a"]), "speaker-agnostic", Choices(seen=("v0",), unseen=("v0",)), "cannot be"),
        (collection(2, 2, 9, ["a"]), "speaker-specific", Choices(), "style"),
        (collection(2, 2, 9, ["a"]), "speaker-specific", Choices(speaker="nobody"), "nobody"),
        (collection(2, 1, 1, ["a"]), "matrix", Choices(), "more clips are needed"),
    ],
)  # fmt: skip
def test_what_cannot_be_dealt_is_said(
    samples: list[Sample], protocol: str, choices: Choices, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        make_folds(protocol, samples, choices)


def test_every_protocol_is_made() -> None:
    samples = [real("v0", n, style=style) for style in "xy" for n in range(12)]
    samples += [real("v1", n, style="x") for n in range(12)]
    samples += [
        fake(real(source, n, style=style), voice, attack)
        for source in ("s0", "s1")
        for n in range(12)
        for voice, style in (("v0", "x"), ("v0", "y"), ("v1", "x"))
        for attack in "ab"
    ]
    unique = list({sample.id: sample for sample in samples}.values())
    for protocol in PROTOCOLS:
        assert make_folds(protocol, unique, Choices(unseen=1, clips=(4, 2, 4)))
