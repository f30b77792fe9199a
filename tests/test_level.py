import numpy as np
import pytest

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.level import active_level, normalize_level

RATE = 16000


def noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def test_full_scale_square_wave_is_0_db_and_sine_3_db_below():
    time = np.arange(RATE) / RATE
    assert active_level(np.sign(np.sin(2 * np.pi * 100 * time) + 1e-9), RATE) == pytest.approx(0, abs=1e-6)
    assert active_level(np.sin(2 * np.pi * 100 * time), RATE) == pytest.approx(-3.0103, abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_normalized_speech_has_the_target_level_at_any_rate(rate):
    scaled = normalize_level(noise(), rate)
    assert active_level(scaled, rate) == pytest.approx(-26, abs=1e-4)
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("gain", [1e-3, 0.5, 20.0])
def test_gain_of_the_input_does_not_matter(gain):
    np.testing.assert_allclose(
        normalize_level(noise() * gain, RATE), normalize_level(noise(), RATE), rtol=1e-4
    )


def test_pauses_do_not_count():
    speech = noise()
    quiet = noise(3.0, seed=1) * 1e-3
    with_pauses = np.concatenate([np.zeros(RATE, np.float32), speech, quiet])
    assert active_level(with_pauses, RATE) == pytest.approx(active_level(speech, RATE), abs=1e-6)


def test_quiet_speech_within_the_active_range_counts():
    half_quiet = np.concatenate([noise(), noise() * 0.1])
    expected = active_level(noise(), RATE) + 10 * np.log10((1 + 0.01) / 2)
    assert active_level(half_quiet, RATE) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.zeros(0), np.full(RATE, 1e-6)])
def test_silence_is_refused(samples):
    with pytest.raises(MediaError) as caught:
        normalize_level(samples.astype(np.float32), RATE)
    assert caught.value.status == "silent"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(bad):
    samples = noise()
    samples[100] = bad
    with pytest.raises(MediaError) as caught:
        normalize_level(samples, RATE)
    assert caught.value.status == "not_finite"


def test_signal_shorter_than_one_frame_has_a_level():
    assert active_level(np.full(5, 0.1), RATE) == pytest.approx(-20, abs=1e-6)


def test_loud_input_is_scaled_without_clipping():
    assert np.abs(normalize_level(noise(), RATE, target_db=0.0)).max() > 1
