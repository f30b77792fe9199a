"""Detectors hear every recording at one level, without silence at its ends, and in crops of one length."""

import numpy as np
import pytest
from detector_clips import natural, short_training, write_clips

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, LeftOutWarning, MediaError
from doppelbench.corpora.level import TARGET_DB, active_level
from doppelbench.corpora.media import Audio, read_audio, write_audio
from doppelbench.detectors.audio_input import InputSettings, crop_indices, hear, random_crop, training_audio

RATE = 16000


@pytest.mark.parametrize("gain", [0.01, 0.3, 5.0])
def test_a_recording_is_heard_at_the_level_of_the_house(gain: float) -> None:
    heard = hear(Audio(gain * natural(0), RATE), InputSettings())
    assert active_level(heard.samples, RATE) == pytest.approx(TARGET_DB, abs=0.01)
    np.testing.assert_allclose(
        heard.samples, hear(Audio(natural(0), RATE), InputSettings()).samples, atol=1e-6
    )


def test_silence_at_the_ends_is_not_heard_and_the_start_says_where_sound_began() -> None:
    samples = np.concatenate([np.zeros(RATE // 2), natural(0), np.zeros(RATE)]).astype(np.float32)
    heard = hear(Audio(samples, RATE), InputSettings())
    assert heard.start == 0.5
    np.testing.assert_array_equal(heard.samples, hear(Audio(natural(0), RATE), InputSettings()).samples)
    whole = hear(Audio(samples, RATE), InputSettings(trim=False))
    assert whole.samples.size == samples.size
    assert whole.start == 0.0


def test_a_recording_is_left_as_it_is_when_nothing_is_asked_for() -> None:
    heard = hear(Audio(natural(0), RATE), InputSettings(level=False, trim=False))
    np.testing.assert_array_equal(heard.samples, natural(0))


def test_what_is_too_short_without_its_silence_is_refused() -> None:
    samples = np.zeros(RATE, np.float32)
    samples[4000:4800] = 0.1
    with pytest.raises(MediaError, match=r"0\.0[56]\d s between its first and last sound") as caught:
        hear(Audio(samples, RATE), InputSettings())
    assert caught.value.status == "too_short"


def test_a_short_recording_is_repeated_from_its_beginning() -> None:
    assert crop_indices(3, 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert crop_indices(9, 4, 5).tolist() == [5, 6, 7, 8]
    generator = np.random.default_rng(0)
    assert random_crop(np.arange(3), 7, generator).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_random_crops_begin_anywhere_and_never_wrap_around() -> None:
    generator = np.random.default_rng(0)
    starts = {int(random_crop(np.arange(10), 8, generator)[0]) for _ in range(100)}
    assert starts == {0, 1, 2}
    assert all((np.diff(random_crop(np.arange(10), 8, generator)) == 1).all() for _ in range(20))


def test_training_hears_what_scoring_hears(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    audio = training_audio(real, fake, InputSettings(), short_training(tmp_path))
    assert len(audio.bonafide) == len(audio.spoof) == len(real)
    expected = hear(read_audio(fake[3].audio), InputSettings()).samples
    np.testing.assert_array_equal(audio.spoof[3], expected)


def test_other_settings_and_other_clips_have_other_keys(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    trainer = short_training(tmp_path)
    keys = {
        training_audio(real, fake, InputSettings(), trainer).key,
        training_audio(real, fake, InputSettings(trim=False), trainer).key,
        training_audio(real[:-1], fake, InputSettings(), trainer).key,
        training_audio(fake, real, InputSettings(), trainer).key,
    }
    assert len(keys) == 4


def test_a_clip_that_cannot_be_used_is_left_out_by_name(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    write_audio(tmp_path / "silent.flac", Audio(np.zeros(RATE, np.float32), RATE))
    silent = Clip("nothing", "ana", audio=str(tmp_path / "silent.flac"))
    with pytest.warns(LeftOutWarning, match=r"spoofed clip ana/nothing is left out.*silent"):
        audio = training_audio(real, [*fake, silent], InputSettings(), short_training(tmp_path))
    assert len(audio.spoof) == len(fake)


def test_a_recording_of_both_classes_is_refused(tmp_path) -> None:
    real, fake = write_clips(tmp_path / "clips")
    with pytest.raises(InputError, match=r"real0\.flac: is given as bona fide and as spoof"):
        training_audio(real, [*fake, real[0]], InputSettings(), short_training(tmp_path))


def test_a_class_without_clips_is_refused(tmp_path) -> None:
    real, _ = write_clips(tmp_path / "clips")
    with pytest.raises(InputError, match="there is no spoofed one"):
        training_audio(real, [], InputSettings(), short_training(tmp_path))
