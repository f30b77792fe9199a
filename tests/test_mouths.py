"""Mouths are cut out frame by frame, by one rule a clip, and from silent films too."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from doppelbench.corpora import mouths
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.faces import FaceSearch
from doppelbench.corpora.films import TRUTH_SUFFIX, Square
from doppelbench.corpora.media import Audio, Video, write_video
from doppelbench.corpora.mouths import cut_mouth, mouth_film, mouth_of_face, place_mouth

HEIGHT, WIDTH = 72, 90


def numbered(count: int, fps: float = 25.0) -> Video:
    """Every picture has a grey of its own, and a white dot at row 50, column 40."""
    frames = np.zeros((count, HEIGHT, WIDTH, 3), np.uint8)
    frames[:] = (2 * np.arange(count)[:, None, None, None]).astype(np.uint8)
    frames[:, 50, 40] = 255
    return Video(frames, fps)


def written(folder: Path, film: Video) -> Clip:
    path = folder / "film.mkv"
    write_video(path, film)
    return Clip("film", "ada", video=str(path))


def tell(clip: Clip, **truth) -> None:
    content = {"fps": 25.0, "mouth_x": [40.5] * 80, "mouth_y": [50.5] * 80, "mouth_width": [10.0] * 80}
    Path(clip.video).with_suffix(TRUTH_SUFFIX).write_text(json.dumps({**content, **truth}))


@pytest.fixture(autouse=True)
def blind(monkeypatch):
    """No face is found, which costs nothing; tests of the detector's rule say what it finds."""
    monkeypatch.setattr(mouths, "find_face", lambda frames, padding: FaceSearch(None, 0, 9))


@pytest.mark.parametrize("count", [74, 75])
def test_every_picture_of_a_film_gives_one_crop_in_its_place(tmp_path, count):
    film = mouth_film(written(tmp_path, numbered(count)), 16)
    assert film.pictures.shape == (count, 16, 16)
    assert film.pictures.dtype == np.uint8
    np.testing.assert_array_equal(film.pictures[:, 0, 0], 2 * np.arange(count))


def test_a_part_of_a_film_begins_with_its_own_picture(tmp_path):
    clip = replace(written(tmp_path, numbered(75)), start=1.0, end=2.0)
    film = mouth_film(clip, 16)
    np.testing.assert_array_equal(film.pictures[:, 0, 0], 2 * np.arange(25, 50))


def test_another_frame_rate_shows_what_is_seen_in_the_middle_of_each_period(tmp_path):
    film = mouth_film(written(tmp_path, numbered(20, 20.0)), 16, 25.0)
    assert film.fps == 25.0
    assert len(film.pictures) == 25
    assert film.pictures[:6, 0, 0].tolist() == [0, 2, 4, 4, 6, 8]


def test_the_truth_about_the_mouth_puts_it_into_the_middle(tmp_path):
    clip = written(tmp_path, numbered(10))
    tell(clip)
    film = mouth_film(clip, 17)
    assert film.place.source == "truth"
    assert film.place.square == Square(40.5, 50.5, 17.0)
    assert np.unravel_index(film.pictures[0].argmax(), (17, 17)) == (8, 8)


def test_only_the_part_of_the_truth_that_is_shown_counts(tmp_path):
    clip = replace(written(tmp_path, numbered(75)), start=1.0, end=2.0)
    tell(clip, mouth_x=[0.0] * 25 + [30.0] * 25 + [0.0] * 30)
    assert mouth_film(clip, 16).place.square.x == 30.0


def test_where_the_mouth_opens_does_not_move_the_square(tmp_path):
    """One square a clip: a square that followed the lips would say what they do."""
    clip = written(tmp_path, numbered(75))
    tell(clip, mouth_y=[49.5, 51.5] * 40)
    pictures = mouth_film(clip, 17).pictures
    assert {np.unravel_index(picture.argmax(), (17, 17)) for picture in pictures[:60]} == {(8, 8)}


def test_a_face_that_is_found_has_its_mouth_in_its_lower_third(monkeypatch):
    monkeypatch.setattr(mouths, "find_face", lambda frames, padding: FaceSearch((20.0, 10.0, 40.0), 9, 9))
    place = place_mouth(numbered(3), Clip("silent", "ada", video="nowhere.mkv"))
    assert place.source == "face"
    assert place.square == mouth_of_face(20.0, 10.0, 40.0)
    assert place.square.x == 40.0
    assert 10 + 0.6 * 40 < place.square.y < 10 + 0.9 * 40


def test_too_few_faces_are_a_pattern_in_the_background(monkeypatch):
    monkeypatch.setattr(mouths, "find_face", lambda frames, padding: FaceSearch((20.0, 10.0, 40.0), 4, 9))
    assert place_mouth(numbered(3), Clip("silent", "ada", video="nowhere.mkv")).source == "picture"


def test_without_a_face_the_picture_is_taken_for_a_head():
    place = place_mouth(numbered(3), Clip("silent", "ada", video="nowhere.mkv"))
    assert place.source == "picture"
    assert place.square.x == WIDTH / 2
    assert HEIGHT / 2 < place.square.y < HEIGHT
    assert place.square.side < HEIGHT / 2


def test_crops_are_grey_by_the_weights_of_bt_601():
    frames = np.zeros((3, 20, 20, 3), np.uint8)
    for frame, channel in enumerate(range(3)):
        frames[frame, ..., channel] = 200
    crops = cut_mouth(frames, Square(10, 10, 8), 8)
    assert [int(crop[4, 4]) for crop in crops] == [60, 117, 23]


def test_the_sound_of_a_film_changes_nothing(tmp_path):
    film = numbered(10)
    silent = mouth_film(written(tmp_path, film), 16)
    loud = Video(film.frames, film.fps, Audio(np.full(6400, 0.3, np.float32), 16000))
    np.testing.assert_array_equal(silent.pictures, mouth_film(written(tmp_path, loud), 16).pictures)


@pytest.mark.parametrize(
    ("truth", "status"),
    [
        ({"fps": 0.0}, "unreadable"),
        ({"mouth_x": "left"}, "unreadable"),
        ({"mouth_y": [1.0, 2.0]}, "unreadable"),
        ({"mouth_width": [0.0] * 80}, "unreadable"),
        ({"mouth_x": [float("nan")] * 80}, "unreadable"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused_by_name(tmp_path, truth, status):
    clip = written(tmp_path, numbered(10))
    tell(clip, **truth)
    with pytest.raises(MediaError, match=r"film\.face\.json") as caught:
        mouth_film(clip, 16)
    assert caught.value.status == status


def test_a_truth_that_ends_before_the_clip_is_refused(tmp_path):
    clip = replace(written(tmp_path, numbered(75)), start=2.0)
    tell(clip, mouth_x=[1.0] * 10, mouth_y=[1.0] * 10, mouth_width=[1.0] * 10)
    with pytest.raises(MediaError, match="ends before"):
        mouth_film(clip, 16)


def test_a_clip_without_pictures_and_a_film_of_one_are_refused(tmp_path):
    with pytest.raises(MediaError, match="no film") as caught:
        mouth_film(Clip("heard", "ada", audio="a.flac"), 16)
    assert caught.value.status == "missing"
    with pytest.raises(MediaError, match="one frame") as caught:
        mouth_film(written(tmp_path, numbered(1)), 16)
    assert caught.value.status == "too_short"


@pytest.mark.realdata
def test_the_lips_of_a_real_talker_are_in_the_crops(realdata, monkeypatch):
    """They move more than the rim of the crops does."""
    monkeypatch.undo()
    path = realdata / "c_talking_head/grid/s1/bbaf2n.mpg"
    film = mouth_film(Clip("bbaf2n", "s1", video=str(path)), 48)
    assert film.place.source == "face"
    assert len(film.pictures) == 75
    moving = film.pictures.astype(float).std(axis=0)
    assert moving[14:34, 10:38].mean() > 1.5 * moving[:8].mean()
