"""Trials of video-to-speech, a film without its sound and the recording beside it; and a run of them."""

import base64
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from sync_examples import FPS, talking_film

from doppelbench.benchmark.config import load_recipe
from doppelbench.benchmark.film_examples import silent_film
from doppelbench.benchmark.run import execute
from doppelbench.benchmark.tracks.video_to_speech import make_trials
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Video, read_video, write_audio, write_video


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


# --- a run


LENGTHS = {"ada_2": 74, "ada_3": 75}


def write_corpus(folder):
    """Four films of one person in their lossless form, of which the trials have 74 and 75 pictures."""
    rows = []
    for number, split in enumerate(("train", "train", "test", "test")):
        name = f"ada_{number}"
        shown, truth = talking_film(seed=number, seconds=LENGTHS.get(name, 50) / FPS, name="ada")
        path = folder / f"{name}.mkv"
        write_video(path, shown)
        write_audio(path.with_suffix(".flac"), shown.audio)
        path.with_suffix(".face.json").write_text(json.dumps({"fps": shown.fps, **truth}))
        rows.append((name, "ada", f"{name}.flac", path.name, "set white", split))
    with (folder / "films.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "speaker", "audio", "video", "text", "split"), *rows])
    return folder / "films.csv"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOPPELBENCH_CACHE", str(folder / "cache"))
        recipe = {
            "name": "speech",
            "track": "video-to-speech",
            "corpus": {"reader": "csv", "root": str(write_corpus(folder))},
            "systems": [],
            "metrics": ["lag"],
            "jobs": 1,
        }
        path = folder / "speech.yaml"
        path.write_text(yaml.safe_dump(recipe))
        yield folder / "run", execute(load_recipe(str(path)), folder / "run")


def test_the_recording_is_in_time_with_itself(finished):
    lags = {figure["system"]: figure["value"] for figure in finished[1]}
    assert lags["natural-speech"] == pytest.approx(0.0, abs=1e-6)


def test_the_report_shows_the_silent_film_beside_the_sound_of_every_row(finished, tmp_path):
    page = (finished[0] / "report.html").read_text()
    sections = re.findall(r"<section.*?</section>", page, re.DOTALL)
    assert len(sections) == len(LENGTHS)
    pictures = set()
    for section in sections:
        titles = re.findall(r"<figcaption>(.*?)</figcaption>", section)
        assert titles[:3] == ["silent film", "target: ada", "vocoder-speech"]
        assert len(re.findall("<audio ", section)) == len(titles) - 1
        (film,) = re.findall(r'<video muted .*?src="data:video/mp4;base64,(.*?)"', section)
        path = tmp_path / "film.mp4"
        path.write_bytes(base64.b64decode(film))
        shown = read_video(path)
        assert shown.audio is None
        pictures.add(len(shown.frames))
        assert np.ptp(shown.frames.astype(int)) > 100
    assert pictures == set(LENGTHS.values())
    assert "Watch and listen" in page


def test_the_film_runs_along_with_the_player_that_was_started_last(finished, monkeypatch):
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "listening"))
        from browser import chromium

    state = """() => { const film = section.querySelector("video");
        return [film.paused, ...[...section.querySelectorAll("audio")].map(player => player.paused),
                film.currentTime, section.querySelectorAll("audio")[1].currentTime]; }"""
    for browser in chromium():
        page = browser.new_page()
        page.goto((finished[0] / "report.html").as_uri())
        page.evaluate("() => { window.section = document.querySelector('section.spoken'); }")
        page.evaluate("() => section.querySelectorAll('audio')[0].play()")
        page.wait_for_function("() => section.querySelector('video').currentTime > 0.2")
        page.evaluate("() => section.querySelectorAll('audio')[1].play()")
        page.wait_for_function("() => section.querySelectorAll('audio')[1].currentTime > 0.3")
        film_rests, first_rests, second_rests, *_ = page.evaluate(state)
        assert (film_rests, first_rests, second_rests) == (False, True, False)
        page.evaluate("() => section.querySelectorAll('audio')[1].pause()")
        page.wait_for_function("() => section.querySelector('video').paused")
        page.wait_for_timeout(200)
        shown, heard = page.evaluate(state)[-2:]
        assert shown == pytest.approx(heard, abs=0.05)


def test_no_film_is_shown_where_none_can_be_read(tmp_path):
    gone = {"video": str(tmp_path / "gone.mkv"), "start": None, "end": None}
    assert silent_film(gone, 12.0) is None
    assert silent_film(gone | {"video": None}, 12.0) is None


def test_a_part_of_a_large_film_is_shown_small_and_no_longer_than_asked(tmp_path):
    path = tmp_path / "large.mkv"
    pictures = np.repeat(np.arange(0, 250, 10, dtype=np.uint8), 720 * 480 * 3)
    write_video(path, Video(pictures.reshape(25, 480, 720, 3), 25.0))
    found = silent_film({"video": str(path), "start": 0.2, "end": 0.8}, 0.4)
    shown = tmp_path / "shown.mp4"
    shown.write_bytes(base64.b64decode(found.partition(",")[2]))
    frames = read_video(shown).frames
    assert frames.shape == (10, 240, 360, 3)
    # Picture n has the shade 10 n; the part begins with picture 5.
    assert frames.mean(axis=(1, 2, 3)) == pytest.approx(10.0 * np.arange(5, 15), abs=3)
