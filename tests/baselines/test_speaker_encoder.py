"""Speaker embeddings tell voices apart and do not listen to words or gain."""

from pathlib import Path

import numpy as np
import pytest

from doppelbench.baselines import speaker_encoder
from doppelbench.baselines.speaker_encoder import (
    EMBEDDING_SIZE,
    clip_embedding,
    mean_embedding,
    speaker_embedding,
)
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import read_audio


def of(clips: list[Clip], speaker: str) -> list[Clip]:
    return [clip for clip in clips if clip.speaker == speaker and clip.split == "test"]


def test_an_embedding_is_a_unit_vector_without_negative_values(clips):
    vector = clip_embedding(of(clips, "ana")[0])
    assert vector.shape == (EMBEDDING_SIZE,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert vector.min() >= 0


def test_other_words_of_one_voice_are_nearer_than_the_same_words_of_another(clips):
    first, second = (clip_embedding(clip) for clip in of(clips, "ana"))
    other = clip_embedding(of(clips, "ben")[0])
    assert first @ second > first @ other + 0.05


def test_the_level_of_a_recording_does_not_change_its_embedding(clips):
    samples = read_audio(of(clips, "ana")[0].audio).samples
    np.testing.assert_allclose(speaker_embedding(samples), speaker_embedding(0.05 * samples), atol=1e-4)


def test_the_span_of_a_clip_is_what_is_embedded(clips):
    whole = next(clip for clip in clips if clip.speaker == "ana" and clip.split == "train")
    samples = read_audio(whole.audio).samples
    part = Clip("part", "ana", audio=whole.audio, start=1.0, end=4.0)
    expected = speaker_embedding(samples[16000:64000])
    np.testing.assert_array_equal(clip_embedding(part), expected)
    assert not np.allclose(clip_embedding(whole), expected, atol=1e-3)


def test_a_mean_is_not_brought_back_to_unit_norm():
    vectors = np.eye(EMBEDDING_SIZE, dtype=np.float32)[:2]
    assert np.linalg.norm(mean_embedding(list(vectors))) == pytest.approx(np.sqrt(0.5))


def test_a_recording_without_speech_or_without_sound_has_no_embedding():
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    clicks = np.where(np.arange(16000) == 8000, noise, 0)
    with pytest.raises(MediaError) as raised:
        speaker_embedding(clicks, "clicks.wav")
    assert raised.value.status == "no_speech"
    assert "clicks.wav" in raised.value.reason
    with pytest.raises(MediaError) as raised:
        clip_embedding(Clip("silent film", "ana", video="a.mkv"))
    assert raised.value.status == "missing"


def test_a_recording_is_embedded_once_and_anew_when_its_file_changes(clips, tmp_path, monkeypatch):
    heard = []

    def listen(samples, name):
        heard.append(name)
        return speaker_embedding(samples, name)

    monkeypatch.setattr(speaker_encoder, "speaker_embedding", listen)
    first, other = (Path(of(clips, name)[0].audio) for name in ("ana", "ben"))
    path = tmp_path / f"voice{first.suffix}"
    path.write_bytes(first.read_bytes())
    clip = Clip("voice", "ana", audio=str(path))
    vector = clip_embedding(clip)
    expected = vector.copy()
    vector[:] = 0
    np.testing.assert_array_equal(clip_embedding(clip), expected)
    assert len(heard) == 1
    path.write_bytes(other.read_bytes())
    np.testing.assert_array_equal(clip_embedding(clip), clip_embedding(of(clips, "ben")[0]))


def test_a_recording_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MediaError, match=r"gone\.flac: there is no such file"):
        clip_embedding(Clip("gone", "ana", audio=str(tmp_path / "gone.flac")))
