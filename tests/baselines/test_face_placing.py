"""Faces are found, cut out and put back without a seam; films that cannot be used are named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from head_films import FPS, head, of, pictures, training, voice, write_clip, write_corpus

from doppelbench.baselines.face_clips import (
    enrol_film,
    face_clips,
    frames_away,
    in_parts,
    read_film,
    to_bytes,
    to_unit,
)
from doppelbench.baselines.face_placing import (
    FaceBox,
    cut_face,
    feather,
    paste_face,
    place_face,
    whole_picture,
)
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, LeftOutWarning, MediaError, WholePictureWarning
from doppelbench.corpora.media import Video, write_audio, write_video
from doppelbench.corpora.talkers.face import Pose
from doppelbench.engine.trainer import TrainerSettings


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    return write_corpus(tmp_path_factory.mktemp("films"))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [64, 128])
def test_the_square_holds_the_open_mouth_in_its_lower_half(size):
    box = place_face(pictures("ada", 9, size=size))
    _, truth = head("ada", size).draw(Pose(opening=1.0))
    assert box.found
    assert box.left < truth["mouth_x"] - truth["mouth_width"] / 2
    assert truth["mouth_x"] + truth["mouth_width"] / 2 < box.left + box.side
    assert box.top + box.side / 2 < truth["mouth_y"] - truth["mouth_opening"] / 2
    assert truth["mouth_y"] + truth["mouth_opening"] / 2 < box.top + 0.95 * box.side
    assert box.side < 0.8 * size


def test_of_two_faces_the_largest_is_taken():
    small, large = pictures("ada", 3, size=96), pictures("ada", 3, size=160)
    both = np.full((3, 160, 256, 3), 128, np.uint8)
    both[:, :96, :96] = small
    both[:, :, 96:] = large
    alone = place_face(large)
    box = place_face(both)
    assert box.found
    assert abs(box.left - 96 - alone.left) <= 8
    assert abs(box.side - alone.side) <= 8


@pytest.mark.parametrize(("height", "width"), [(64, 64), (63, 81), (97, 65), (8, 9)])
def test_without_a_face_the_whole_picture_is_taken(height, width):
    box = place_face(np.full((3, height, width, 3), 90, np.uint8))
    assert not box.found
    assert box.side == min(height, width)
    assert 0 <= box.left <= width - box.side
    assert 0 <= box.top <= height - box.side


def test_the_square_stays_inside_of_the_picture_when_the_face_is_at_its_edge():
    cut = pictures("ada", 5, size=128)[:, 16:97, 24:105]
    box = place_face(np.ascontiguousarray(cut))
    assert box.found
    assert min(box.left, box.top) >= 0
    assert max(box.left, box.top) + box.side <= 81


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((3, 64, 64, 4), np.uint8),
        np.zeros((3, 64, 64), np.uint8),
        np.zeros((3, 64, 64, 3), np.float32),
        np.zeros((0, 64, 64, 3), np.uint8),
    ],
)
def test_what_is_no_film_is_refused(frames):
    for call in (place_face, whole_picture):
        with pytest.raises(InputError, match="uint8 of shape"):
            call(frames)
    with pytest.raises(InputError, match="uint8 of shape"):
        paste_face(frames, noise(3, 8, 8, 3), FaceBox(0, 0, 8))


@pytest.mark.parametrize("box", [FaceBox(5, 7, 33), FaceBox(0, 0, 63), FaceBox(18, 30, 33)])
def test_a_face_that_is_put_back_as_it_was_changes_nothing(box):
    film = noise(4, 63, 81, 3)
    np.testing.assert_array_equal(paste_face(film, cut_face(film, box, box.side), box), film)


def test_resizing_there_and_back_costs_little():
    film = pictures("ada", 3, size=96)
    box = place_face(film)
    there_and_back = paste_face(film, cut_face(film, box, 2 * box.side), box).astype(float)
    assert np.abs(there_and_back - film).mean() < 2


def test_no_seam_is_seen_at_the_edge():
    box = FaceBox(10, 12, 40)
    pasted = paste_face(np.zeros((1, 64, 64, 3), np.uint8), np.full((2, 20, 20, 3), 255, np.uint8), box)
    assert pasted.shape == (2, 64, 64, 3)
    assert pasted[:, 12 + 4 : 12 + 36, 10 + 4 : 10 + 36].min() == 255
    outside = np.ones((64, 64), bool)
    outside[13 : 12 + 39, 11 : 10 + 39] = False
    assert pasted[:, outside].max() == 0
    steps = [np.abs(np.diff(pasted.astype(int), axis=axis)).max() for axis in (1, 2)]
    # Over four pixels the white comes in four equal steps.
    assert max(steps) <= 64


def test_the_edge_does_not_fade_where_the_picture_ends():
    share = feather(FaceBox(0, 0, 40), 64, 40)
    assert share[:, 0].tolist()[:36] == [1.0] * 36
    assert share[0, 20] == share[20, 39] == 1
    assert share[39, 20] == 0
    assert feather(FaceBox(0, 0, 64), 64, 64).min() == 1


def test_faces_and_pictures_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="3 faces do not go into 2 pictures"):
        paste_face(noise(2, 16, 16, 3), noise(3, 8, 8, 3), FaceBox(0, 0, 8))


def test_pictures_survive_the_way_to_the_network_and_back():
    film = noise(40, 6, 6, 3)
    unit = to_unit(film)
    assert unit.shape == (40, 3, 6, 6)
    np.testing.assert_array_equal(in_parts(lambda part: unit[part], 40), film)
    beyond = to_bytes((unit[:1] * 3 - 1).round())
    assert set(np.unique(beyond)) <= {0, 255}


def test_pictures_are_rounded_not_cut_off():
    assert to_bytes(to_unit(np.full((1, 1, 1, 3), 7, np.uint8)) + 0.6 / 255).max() == 8


@pytest.mark.parametrize(("fps", "away"), [(25.0, 6), (20.0, 5), (50.0, 12), (2.0, 1), (29.97, 8)])
def test_stills_are_a_quarter_of_a_second_away(fps, away):
    assert frames_away(fps) == away


def test_films_are_kept_in_mapped_files_with_the_sound_around_each_picture(clips, tmp_path):
    with pytest.warns(WholePictureWarning, match=r"in 2 of 4 films.*bruno/bruno0"):
        films = face_clips(training(clips), 32, True, TrainerSettings(tmp_path))
    assert [len(person) for person in films.people] == [2, 2]
    for clip in films.people[0]:
        assert clip.pictures.shape == (40, 32, 32, 3)
        assert clip.sound.shape == (40, 12, 35)
        assert not clip.pictures.flags.owndata
        assert not clip.pictures.flags.writeable
    generator = np.random.default_rng(0)
    drawn = [films.draw(generator) for _ in range(200)]
    bruno = sum(any(clip is other for other in films.people[1]) for clip, _ in drawn)
    assert 70 < bruno < 130
    for clip, frame in drawn[:20]:
        stills = clip.still(frame, 5, generator)
        assert np.abs(stills - frame).min() >= 5
        assert len(set(stills.tolist())) == 5


def test_the_whole_picture_can_be_wanted(clips, tmp_path, recwarn):
    films = face_clips(training(clips), 64, False, TrainerSettings(tmp_path))
    assert not [item for item in recwarn if issubclass(item.category, WholePictureWarning)]
    wanted = read_film(of(clips, "ada")[0]).frames
    np.testing.assert_array_equal(films.people[0][0].pictures, wanted)


def test_films_that_cannot_be_used_are_left_out_and_named(clips, tmp_path):
    good = of(clips, "ada")[0]
    silent = replace(good, id="no-sound", audio=None)
    still, short, broken = (tmp_path / f"{name}.mkv" for name in ("still", "short", "broken"))
    write_video(still, Video(pictures("ada", 1), FPS))
    write_video(short, Video(pictures("ada", 9), FPS))
    broken.write_bytes(b"no film at all")
    bad = [silent, *(replace(good, id=path.stem, video=str(path)) for path in (still, short, broken))]
    with pytest.warns(LeftOutWarning) as caught:
        films = face_clips([good, *bad], 32, True, TrainerSettings(tmp_path))
    said = " ".join(str(item.message) for item in caught)
    for words in ("ada/no-sound", "has no sound", "still.mkv: a film of one frame", "short.mkv: 9 frames"):
        assert words in said
    assert "broken.mkv" in said
    assert sum(len(person) for person in films.people) == 1


def test_a_film_whose_container_has_no_sound_is_left_out(clips, tmp_path):
    good = of(clips, "ada")[0]
    mute = replace(good, id="mute", audio=good.video)
    with pytest.warns(LeftOutWarning, match="ada/mute is left out"):
        face_clips([good, mute], 32, True, TrainerSettings(tmp_path))


def test_clips_without_a_film_are_passed_over(clips, tmp_path):
    sound = tmp_path / "alone.flac"
    write_audio(sound, voice("ada", 40))
    alone = Clip("alone", "ada", audio=str(sound))
    films = face_clips([alone, of(clips, "ada")[0]], 32, True, TrainerSettings(tmp_path))
    assert len(films.people) == 1
    with pytest.raises(InputError, match="none of the clips has one"):
        face_clips([alone], 32, True, TrainerSettings(tmp_path))


def test_no_film_at_all_that_can_be_used_is_refused(clips, tmp_path):
    gone = replace(of(clips, "ada")[0], video=str(tmp_path / "gone.mkv"))
    with pytest.raises(InputError, match=r"no film can be used.*gone\.mkv"):
        face_clips([gone], 32, True, TrainerSettings(tmp_path))


def test_other_films_are_not_found_in_the_cache_of_these(clips, tmp_path):
    keys = {
        face_clips(chosen, size, False, TrainerSettings(tmp_path)).key
        for chosen, size in ((of(clips, "ada"), 32), (of(clips, "ada"), 48), (of(clips, "bruno"), 32))
    }
    assert len(keys) == 3


def test_a_target_is_enrolled_from_the_first_film_with_a_face(clips, tmp_path: Path):
    faceless, good = replace(of(clips, "bruno")[0], speaker="ada"), of(clips, "ada")[1]
    film = enrol_film("ada", [faceless, good], 32, True)
    assert film.box.found
    np.testing.assert_array_equal(film.frames, read_film(good).frames)
    assert film.faces.shape == (40, 32, 32, 3)


def test_a_target_without_a_face_is_enrolled_with_the_whole_picture_and_said(clips):
    with pytest.warns(WholePictureWarning, match="target bruno"):
        film = enrol_film("bruno", of(clips, "bruno"), 32, True)
    assert film.box == FaceBox(0, 0, 64, found=False)


def test_a_film_without_sound_is_good_enough_to_enrol(clips):
    mute = replace(of(clips, "ada")[0], audio=None)
    assert enrol_film("ada", [mute], 32, True).fps == FPS


def test_a_target_that_cannot_be_enrolled_is_refused_with_the_reasons(clips, tmp_path):
    still = tmp_path / "still.mkv"
    write_video(still, Video(pictures("ada", 1), FPS))
    bad = [
        replace(of(clips, "ada")[0], video=None),
        replace(of(clips, "ada")[0], video=str(still)),
        replace(of(clips, "ada")[0], video=str(tmp_path / "gone.mkv")),
    ]
    with pytest.raises(InputError, match=r"target ada.*has no film.*one frame.*gone\.mkv"):
        enrol_film("ada", bad, 32, True)
    with pytest.raises(InputError, match="there is none"):
        enrol_film("ada", [], 32, True)


def test_of_a_long_film_only_the_beginning_is_kept(clips, monkeypatch):
    monkeypatch.setattr("doppelbench.baselines.face_clips.ENROLMENT_SECONDS", 1.0)
    assert len(enrol_film("ada", of(clips, "ada"), 32, True).frames) == 20


def test_a_part_of_a_file_is_a_film_too(clips):
    part = replace(of(clips, "ada")[0], start=0.5, end=1.5)
    whole = read_film(of(clips, "ada")[0]).frames
    np.testing.assert_array_equal(read_film(part).frames, whole[10:30])
    np.testing.assert_array_equal(read_film(part, longest=0.5).frames, whole[10:20])


def test_one_frame_is_no_film(tmp_path):
    clip = write_clip(tmp_path, "ada", 0, count=1)
    with pytest.raises(MediaError, match="one frame") as caught:
        read_film(clip)
    assert caught.value.status == "too_short"
