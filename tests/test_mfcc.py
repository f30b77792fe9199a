"""Cepstra are those of HTK by the parts of librosa and torchaudio, and windows sit on their pictures."""

import librosa
import numpy as np
import pytest
import scipy.signal
import torchaudio.functional

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.mfcc import MfccSettings, cepstra, htk_filterbank, mfcc_windows

SETTINGS = MfccSettings()
RATE = SETTINGS.rate


def speech(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 * (1 + 0.1 * np.sin(5 * time))) / RATE
    signal = sum(np.sin(n * phase) / n for n in range(1, 40)) * (0.3 + np.abs(np.sin(9 * time)))
    return (0.05 * signal + 0.001 * generator.standard_normal(time.size)).astype(np.float32)


def independent(samples: np.ndarray) -> np.ndarray:
    """The recipe put together from librosa's transform and torchaudio's filters and cosines."""
    emphasised = librosa.effects.preemphasis(samples.astype(np.float64), coef=0.97, zi=[0.0])
    window = scipy.signal.get_window("hamming", 400, fftbins=False)
    # librosa puts a short window into the middle of the transform.
    shifted = np.pad(emphasised, (56, 56))
    spectrum = librosa.stft(
        shifted, n_fft=512, hop_length=160, win_length=400, window=window, center=False, dtype=np.complex128
    )
    filters = (
        torchaudio.functional.melscale_fbanks(257, 300.0, 3700.0, 40, RATE, None, "htk").double().numpy()
    )
    cosines = torchaudio.functional.create_dct(13, 40, "ortho").double().numpy()
    coefficients = np.log(np.abs(spectrum).T @ filters) @ cosines
    return (coefficients * (1 + 11 * np.sin(np.pi * np.arange(13) / 22)))[:, 1:]


def test_cepstra_agree_with_librosa_and_torchaudio():
    samples = speech()
    wanted = independent(samples)
    found = cepstra(samples, 160 * np.arange(len(wanted)), SETTINGS)
    assert found.shape == wanted.shape == (198, 12)
    assert np.abs(wanted).max() > 5
    np.testing.assert_allclose(found, wanted, atol=0.01)


def test_filters_are_triangles_of_height_1_between_300_and_3700_hz():
    filters = htk_filterbank(SETTINGS)
    bins = np.arange(257) * RATE / 512
    assert filters.shape == (40, 257)
    assert filters[:, (bins <= 300) | (bins >= 3700)].max() == 0
    assert 0.8 < filters[20:].max(axis=1).min() <= filters.max() <= 1
    assert (filters.sum(axis=1) > 0).all()


def test_loudness_is_not_in_the_cepstra_that_are_kept():
    starts = 160 * np.arange(100)
    np.testing.assert_allclose(
        cepstra(speech(), starts, SETTINGS), cepstra(8 * speech(), starts, SETTINGS), atol=1e-3
    )


@pytest.mark.parametrize("fps", [12.5, 20.0, 25.0, 29.97, 30.0, 60.0])
def test_a_click_in_the_middle_of_a_picture_is_in_the_middle_of_its_window(fps):
    """Windows of 25 ms every 10 ms: a click is in the middle column and one on each side."""
    for frame in (0, 1, 7, 20):
        samples = np.zeros(3 * RATE, np.float32)
        samples[round((frame + 0.5) / fps * RATE)] = 1.0
        windows = mfcc_windows(samples, 21, fps)
        heard = np.flatnonzero(np.abs(windows[frame]).max(axis=0) > 1e-3)
        assert heard.tolist() == [16, 17, 18], frame


def test_windows_are_12_by_35_and_go_on_with_the_film():
    windows = mfcc_windows(speech(), 50, 25.0)
    assert windows.shape == (50, 12, 35)
    assert windows.dtype == np.float32
    # 40 ms are four columns.
    np.testing.assert_array_equal(windows[:-1, :, 4:], windows[1:, :, :-4])


def test_windows_are_cepstra_at_any_rate_of_pictures():
    samples = speech()
    windows = mfcc_windows(samples, 30, 29.97)
    first = round(10.5 / 29.97 * RATE) - 200 - 17 * 160
    np.testing.assert_array_equal(windows[10].T, cepstra(samples, first + 160 * np.arange(35), SETTINGS))


@pytest.mark.parametrize("length", [0, 1, 399, 5000])
def test_beyond_the_sound_there_is_nothing(length):
    windows = mfcc_windows(speech()[:length], 40, 20.0)
    assert np.isfinite(windows).all()
    assert np.abs(windows[12:]).max() == 0


def test_many_windows_are_analysed_in_parts(monkeypatch):
    whole = mfcc_windows(speech(), 40, 20.0)
    monkeypatch.setattr("doppelbench.corpora.mfcc.CHUNK", 7)
    np.testing.assert_array_equal(mfcc_windows(speech(), 40, 20.0), whole)


@pytest.mark.parametrize(("count", "fps"), [(0, 25.0), (10, 0.0), (10, -1.0), (10, float("nan"))])
def test_a_film_that_cannot_be_is_refused(count, fps):
    with pytest.raises(InputError, match="pictures at"):
        mfcc_windows(speech(), count, fps)
