"""Simulated recording conditions change the sound as they say, always in the same way."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_corpus import RATE, TALKERS, speak

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.conditions import (
    CONDITIONS,
    in_condition,
    record_in_condition,
    spread_over_conditions,
)
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.level import active_level, normalize_level
from doppelbench.corpora.media import Audio, read_audio, sha256_of, write_audio


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return normalize_level(speak(TALKERS[1], "four words to say", 2.0), RATE)


def band_power(samples: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(samples.size, 1 / RATE)
    return float(10 * np.log10(power[(frequencies >= low) & (frequencies < high)].sum()))


@pytest.fixture
def clips(tmp_path, speech) -> list[Clip]:
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.flac"
        write_audio(path, Audio(speech[: 8000 + 1000 * number], RATE))
        made.append(Clip(f"b/n {number}", "ben", str(path), video="v.mkv", sha256=sha256_of(path)))
    return made


def test_the_studio_changes_nothing(speech):
    assert in_condition(speech, RATE, "studio") is speech


@pytest.mark.parametrize("condition", CONDITIONS[1:])
def test_length_and_level_stay_and_the_same_seed_gives_the_same_sound(speech, condition):
    heard = in_condition(speech, RATE, condition, 3)
    assert heard.shape == speech.shape
    assert heard.dtype == np.float32
    assert active_level(heard, RATE) == pytest.approx(active_level(speech, RATE), abs=0.01)
    assert np.array_equal(heard, in_condition(speech, RATE, condition, 3))
    assert not np.allclose(heard, speech, atol=1e-3)


def test_a_telephone_keeps_its_band_alone(speech):
    heard = in_condition(speech, RATE, "telephone")
    assert band_power(heard, 20, 150) < band_power(speech, 20, 150) - 30
    assert band_power(heard, 5000, 8000) < band_power(speech, 5000, 8000) - 20
    assert band_power(heard, 500, 3000) > band_power(speech, 500, 3000) - 1


def test_a_room_rings_on_and_a_click_decays_by_sixty_decibels_in_half_a_second():
    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    heard = in_condition(click, RATE, "room").astype(np.float64)
    early = np.square(heard[101:901]).sum()
    late = np.square(heard[101 + 4000 : 901 + 4000]).sum()
    assert 10 * np.log10(late / early) == pytest.approx(-60 * 4000 / 8000, abs=2.0)
    tail = np.square(heard[101:]).sum() / np.square(heard[100])
    assert 10 * np.log10(tail) == pytest.approx(-6.0, abs=1.0)


def test_a_street_is_fifteen_decibels_below_the_speech(speech):
    heard = in_condition(speech, RATE, "street").astype(np.float64)
    gain = float(heard @ speech / (speech @ speech))
    noise = heard - gain * speech
    ratio = active_level((gain * speech).astype(np.float32), RATE) - active_level(noise, RATE)
    assert ratio == pytest.approx(15.0, abs=0.5)


def test_clips_are_spread_in_turn_and_what_is_theirs_stays(clips, tmp_path):
    recorded = spread_over_conditions(clips, 4, tmp_path / "recordings")
    assert [clip.style for clip in recorded] == ["studio", "room", "telephone", "street", "studio", "room"]
    assert [(clip.id, clip.speaker, clip.split) for clip in recorded] == [
        (clip.id, clip.speaker, clip.split) for clip in clips
    ]
    for before, after in zip(clips, recorded, strict=True):
        assert read_audio(after.audio).samples.size == read_audio(before.audio).samples.size
        assert after.sha256 == sha256_of(after.audio)
        assert (after.audio == before.audio) == (after.style == "studio")
    assert len({clip.sha256 for clip in recorded}) == len(clips)


def test_one_condition_leaves_the_clips_as_they_are(clips, tmp_path):
    assert spread_over_conditions(clips, 1, tmp_path / "recordings") == clips
    assert not (tmp_path / "recordings").exists()


def test_a_clip_that_cannot_be_read_is_left_for_the_training_to_name(clips, tmp_path):
    Path(clips[1].audio).write_bytes(b"")
    assert spread_over_conditions(clips, 4, tmp_path / "recordings")[1] == clips[1]


def test_a_corpus_in_one_condition_has_it_for_its_style_and_is_recorded_once(clips, tmp_path):
    hashed = [replace(clip, sha256=sha256_of(clip.audio)) for clip in clips]
    once = record_in_condition(hashed, "room", tmp_path / "recordings")
    assert [clip.id for clip in once] == [f"{clip.id}_room" for clip in clips]
    assert {clip.style for clip in once} == {"room"}
    assert not {clip.sha256 for clip in once} & {clip.sha256 for clip in hashed}
    for clip in hashed:
        Path(clip.audio).unlink()
    assert record_in_condition(hashed, "room", tmp_path / "recordings") == once


def test_a_condition_that_does_not_exist_is_refused(clips, tmp_path):
    with pytest.raises(InputError, match="there is no condition 'cave'; there are studio, room"):
        record_in_condition(clips, "cave", tmp_path)
