"""Trials of video-to-speech: a film without its sound, and the recording beside it."""

import pytest

from doppelbench.benchmark.tracks.video_to_speech import make_trials
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError


def film(name, speaker, **changed):
    fields = {"audio": f"{name}.mkv", "video": f"{name}.mkv", "text": name, "split": "test"}
    return Clip(name, speaker, **fields | changed)


CLIPS = [
    film("a1", "ada"),
    film("a0", "ada"),
    film("a2", "ada", video=None),
    film("a3", "ada", audio=None),
    film("b0", "bruno"),
    film("c0", "cleo"),
]


def test_no_system_can_hear_the_film_it_is_to_speak():
    trials = make_trials(CLIPS, ["ada", "bruno"])
    assert [(trial.id, trial.target) for trial in trials] == [("a0", "ada"), ("a1", "ada"), ("b0", "bruno")]
    assert all(trial.source.audio is None and trial.source.video for trial in trials)
    assert [trial.reference.audio for trial in trials] == ["a0.mkv", "a1.mkv", "b0.mkv"]


def test_a_limit_holds_for_each_person():
    assert [trial.id for trial in make_trials(CLIPS, ["ada", "bruno"], per_target=1)] == ["a0", "b0"]


@pytest.mark.parametrize("wrong", [{"sources": "all"}, {"sources": ["bruno"]}])
def test_nobody_else_drives_a_film(wrong):
    with pytest.raises(InputError, match=r"trials\.sources"):
        make_trials(CLIPS, ["ada"], **wrong)


def test_a_second_corpus_gives_no_trials():
    assert make_trials(CLIPS, ["ada"], source_clips=[film("x0", "xaver")]) == make_trials(CLIPS, ["ada"])
