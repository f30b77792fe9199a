"""The trials of voice conversion: who says whose sentences, and against which recording."""

import string
from collections import Counter

import pytest

from doppelbench.benchmark.tracks.voice_conversion import TRACK, make_trials
from doppelbench.corpora.clip import Clip
from doppelbench.engine.run import safe_name
from doppelbench.metrics.registry import list_metrics

SPEAKERS = ("ana", "ben", "cleo", "dora", "zoë m")


def clips_of(speakers=SPEAKERS, sentences=6):
    return [
        Clip(
            f"{speaker} {n}", speaker, audio=f"{speaker}/{n}.wav", text=f"Sentence number {n}.", split="test"
        )
        for speaker in speakers
        for n in range(sentences)
    ]


def test_unseen_sources_are_speakers_that_are_nobodys_target():
    trials = make_trials(clips_of(), ["ana", "ben"])
    assert len(trials) == 2 * 3 * 6
    assert {trial.source.speaker for trial in trials} == {"cleo", "dora", "zoë m"}


def test_all_sources_are_everybody_but_the_target():
    trials = make_trials(clips_of(), ["ana", "ben"], sources="all")
    assert len(trials) == 2 * 4 * 6
    assert all(trial.source.speaker != trial.target for trial in trials)
    assert "ben" in {trial.source.speaker for trial in trials if trial.target == "ana"}


def test_ids_are_unique_and_name_distinct_files():
    trials = make_trials(clips_of(), ["ana", "ben"], sources="all")
    ids = [trial.id for trial in trials]
    assert len(set(ids)) == len(ids)
    names = {safe_name(name) for name in ids}
    assert len(names) == len(ids)
    assert all(set(name) <= {*string.ascii_letters, *string.digits, *"-_~@+=,.%"} for name in names)


def test_the_reference_is_the_targets_own_recording_of_the_sentence_in_any_spelling():
    clips = clips_of()
    spelled = [
        Clip(c.id, c.speaker, c.audio, text=f"  SENTENCE, number {c.id[-1]}!", split="test")
        if c.speaker == "ana"
        else c
        for c in clips
    ]
    for trial in make_trials(spelled, ["ana"]):
        assert trial.reference.speaker == "ana"
        assert trial.reference.id[-1] == trial.source.id[-1]


def test_a_sentence_the_target_never_said_has_no_reference():
    clips = [clip for clip in clips_of() if not (clip.speaker == "ana" and clip.id.endswith(("2", "3")))]
    without = {trial.source.id[-1] for trial in make_trials(clips, ["ana"]) if trial.reference is None}
    assert without == {"2", "3"}


def test_clips_without_text_are_converted_and_never_parallel():
    clips = [Clip(f"{s}{n}", s, audio="x.wav", split="test") for s in ("ana", "cleo") for n in range(3)]
    trials = make_trials(clips, ["ana"])
    assert [trial.reference for trial in trials] == [None] * 3


def test_clips_without_sound_are_not_converted():
    silent = Clip("silent", "cleo", video="v.mp4", split="test")
    assert make_trials([*clips_of(["ana"]), silent], ["ana"]) == []


@pytest.mark.parametrize("limit", [3, 6, 7, 9, 15])
def test_a_limited_number_is_spread_over_speakers_and_sentences(limit):
    trials = make_trials(clips_of(), ["ana"], sources="all", per_target=limit)
    assert len(trials) == limit
    speakers = Counter(trial.source.speaker for trial in trials)
    sentences = Counter(trial.source.id[-1] for trial in trials)
    assert max(speakers.values()) - min(speakers.get(s, 0) for s in SPEAKERS[1:]) <= 1
    assert len(sentences) >= min(limit, 4)


def test_a_limit_above_what_there_is_takes_everything_once():
    trials = make_trials(clips_of(), ["ana"], per_target=1000)
    assert len(trials) == len({trial.id for trial in trials}) == 4 * 6


def test_speakers_with_few_sentences_do_not_shorten_a_limited_list():
    clips = [*clips_of(["cleo"], 1), *clips_of(["dora"], 20), *clips_of(["ana"], 1)]
    trials = make_trials(clips, ["ana"], per_target=10)
    assert Counter(trial.source.speaker for trial in trials) == {"cleo": 1, "dora": 9}


def test_sources_may_come_from_another_corpus():
    others = clips_of(["visitor"], 2)
    trials = make_trials(clips_of(["ana", "ben"]), ["ana"], source_clips=others)
    assert {trial.source.speaker for trial in trials} == {"visitor"}
    assert all(trial.reference.speaker == "ana" for trial in trials)


def test_the_list_does_not_depend_on_the_order_of_the_clips():
    clips = clips_of()
    forth = make_trials(clips, ["ana"], per_target=7)
    back = make_trials(clips[::-1], ["ana"], per_target=7)
    assert [trial.id for trial in forth] == [trial.id for trial in back]


def test_metrics_and_rows_of_the_track_exist():
    from doppelbench.baselines.registry import system_names

    assert set(TRACK.metrics) <= set(list_metrics())
    assert set(TRACK.ranking) <= set(TRACK.metrics)
    assert set(TRACK.reference_rows) <= set(system_names())


def test_named_sources_are_the_only_ones():
    clips = [
        Clip(f"{speaker}_{number}", speaker, audio=f"{speaker}{number}.flac", text=str(number), split="test")
        for speaker in ("ann", "bob", "cleo", "dan")
        for number in range(2)
    ]
    trials = make_trials(clips, ["ann"], sources=["cleo", "ann"])
    assert {trial.source.speaker for trial in trials} == {"cleo"}
