import numpy as np
import pytest
from metric_examples import speech_like

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio, Video
from doppelbench.metrics.signals import checked_samples, same_length


def status_of(audio, **options):
    with pytest.raises(MediaError) as caught:
        checked_samples(audio, role="output", rate=16000, **options)
    return caught.value.status


def test_good_audio_comes_back_as_float64_at_the_wanted_rate():
    samples = checked_samples(speech_like(rate=48000, seconds=1.0), role="output", rate=16000)
    assert samples.dtype == np.float64
    assert samples.size == pytest.approx(16000, abs=1)


def test_the_sound_of_a_video_is_scored():
    audio = speech_like(seconds=0.5)
    video = Video(np.zeros((1, 2, 2, 3), np.uint8), 25.0, audio)
    assert np.array_equal(
        checked_samples(video, role="output", rate=16000), checked_samples(audio, role="output", rate=16000)
    )
    assert status_of(Video(video.frames, 25.0)) == "missing"


@pytest.mark.parametrize(
    ("samples", "status"),
    [
        (np.zeros(16000, np.float32), "silent"),
        (np.full(16000, 1e-6, np.float32), "silent"),
        (np.array([0.1, np.nan] * 8000, np.float32), "not_finite"),
        (np.array([0.1, np.inf] * 8000, np.float32), "not_finite"),
        (np.zeros(0, np.float32), "too_short"),
        (np.full(320, 0.1, np.float32), "too_short"),
        (np.full(16000, 1000, np.int16), "unreadable"),
        (np.full((8000, 2), 0.1, np.float32), "unreadable"),
    ],
)
def test_what_cannot_be_scored_has_a_status(samples, status):
    assert status_of(Audio(samples, 16000), seconds=(0.1, None)) == status


def test_nothing_at_all_is_missing():
    assert status_of(None) == "missing"


def test_lengths_within_a_tenth_of_a_second_are_cut_to_the_shorter():
    out, ref = same_length(out=np.arange(17600.0), ref=np.arange(16000.0), rate=16000)
    assert out.size == ref.size == 16000
    with pytest.raises(MediaError, match=r"1\.101 s and the reference 1\.000 s") as caught:
        same_length(out=np.zeros(17610), ref=np.zeros(16000), rate=16000)
    assert caught.value.status == "length_mismatch"
