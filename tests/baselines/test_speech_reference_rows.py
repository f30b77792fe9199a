"""The rows of video-to-speech give away nothing of the lips, or everything of the sound."""

import numpy as np
import pytest

from doppelbench.baselines.registry import find_system
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.features import MelSettings, log_mel, mel_from_log
from doppelbench.corpora.media import Audio, read_audio, write_audio
from doppelbench.engine.trainer import TrainerSettings

RATE = 16000


def spoken(path, seed, seconds=1.0):
    """Noise whose loudness rises and falls as in syllables."""
    times = np.arange(round(seconds * RATE)) / RATE
    loudness = 0.02 + 0.2 * np.square(np.sin(2 * np.pi * (1.5 + seed / 4) * times))
    noise = np.random.default_rng(seed).normal(size=times.size)
    write_audio(path, Audio((loudness * noise).astype(np.float32).clip(-1, 1), RATE))
    return str(path)


@pytest.fixture
def clips(tmp_path):
    return [
        Clip(f"c{seed}", "ada", audio=spoken(tmp_path / f"c{seed}.wav", seed), text=f"sentence {seed}")
        for seed in range(3)
    ]


def answer(name, clips, tmp_path):
    row = find_system(name)()
    row.fit(clips[1:], TrainerSettings(directory=tmp_path))
    silent_film = Clip("c0", "ada", video="film.mkv", text=clips[0].text)
    return row.convert(Trial("c0", silent_film, "ada", clips[0])).audio


def energies(audio):
    return np.square(mel_from_log(log_mel(audio.samples, MelSettings()))).sum(axis=1)


def test_the_natural_row_is_the_recording(clips, tmp_path):
    said = read_audio(clips[0].audio).samples
    made = answer("natural-speech", clips, tmp_path).samples
    assert np.corrcoef(said, made)[0, 1] > 0.9999


def test_energy_speech_is_as_loud_at_every_moment_and_says_nothing(clips, tmp_path):
    made = answer("energy-speech", clips, tmp_path)
    said = read_audio(clips[0].audio)
    assert made.samples.size == pytest.approx(said.samples.size, abs=200)
    frames = min(len(energies(made)), len(energies(said)))
    loudness = [np.log(energies(audio)[2 : frames - 2] + 1e-9) for audio in (made, said)]
    assert np.corrcoef(*loudness)[0, 1] > 0.9
    bands = log_mel(made.samples, MelSettings())
    shape = bands - bands.mean(axis=1, keepdims=True)
    loud = bands.mean(axis=1) > np.median(bands.mean(axis=1))
    # Every frame has the same shape but for what the vocoder's phases do to it.
    assert shape[loud].std(axis=0).mean() < 0.5 * np.abs(np.diff(bands[loud].mean(axis=0))).sum()


def test_shuffled_speech_is_another_sentence_of_the_same_person(clips, tmp_path):
    made = answer("shuffled-speech", clips, tmp_path).samples
    others = [read_audio(clip.audio).samples for clip in clips[1:]]
    assert max(np.corrcoef(made, other)[0, 1] for other in others) > 0.9999
    assert abs(np.corrcoef(made, read_audio(clips[0].audio).samples)[0, 1]) < 0.5


def test_shuffled_speech_is_as_long_as_the_film(clips, tmp_path):
    for seconds in (0.7, 1.4):
        short = Clip("c0", "ada", audio=spoken(tmp_path / "film.wav", 0, seconds), text="sentence 0")
        assert answer("shuffled-speech", [short, *clips[1:]], tmp_path).samples.size == seconds * RATE


def test_rows_without_another_recording_say_so(clips, tmp_path):
    for name in ("shuffled-speech", "energy-speech"):
        with pytest.raises(MediaError, match="no other"):
            answer(name, clips[:1], tmp_path)
