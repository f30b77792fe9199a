import numpy as np
import pytest

from doppelbench.corpora import features
from doppelbench.corpora.media import read_audio

librosa = pytest.importorskip("librosa")

RATE = 16000


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    """A chirp with a pause and some noise: wide in spectrum and in level."""
    time = np.arange(RATE) / RATE
    chirp = 0.5 * np.sin(2 * np.pi * (100 * time + 3000 * time**2))
    chirp[6000:8000] = 0
    return (chirp + np.random.default_rng(0).normal(0, 1e-4, RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "low", "high"),
    [(16000, 800, 80, 0, 8000), (22050, 2048, 200, 0, 11025), (24000, 1024, 80, 125, 7600)],
)
def test_mel_filterbank_is_librosas(rate, n_fft, n_mels, low, high):
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=low, fmax=high)
    np.testing.assert_allclose(features.mel_filterbank(rate, n_fft, n_mels, low, high), expected, atol=1e-7)


def test_mel_scale_is_librosas_and_inverts():
    frequencies = np.linspace(0, 8000, 200)
    np.testing.assert_allclose(features.hz_to_mel(frequencies), librosa.hz_to_mel(frequencies), rtol=1e-12)
    np.testing.assert_allclose(features.mel_to_hz(features.hz_to_mel(frequencies)), frequencies, atol=1e-9)


@pytest.mark.parametrize(("n_fft", "hop", "window"), [(800, 200, 800), (2048, 128, 256), (512, 160, 320)])
def test_stft_magnitude_is_librosas(signal, n_fft, hop, window):
    expected = np.abs(librosa.stft(signal, n_fft=n_fft, hop_length=hop, win_length=window)).T
    actual = features.stft_magnitude(signal, n_fft, hop, window)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=2e-5)


@pytest.mark.parametrize("samples", [1, 199, 200, 201, 16000])
def test_there_is_one_frame_more_than_whole_hops(samples):
    assert features.log_mel(np.ones(samples, np.float32)).shape == (1 + samples // 200, 80)


def test_log_mel_is_librosas_mel_of_the_preemphasized_magnitude(signal):
    # Noise well above the rounding of single precision, which the logarithm would magnify.
    audible = signal + np.random.default_rng(1).normal(0, 1e-2, RATE).astype(np.float32)
    emphasized = librosa.effects.preemphasis(audible, coef=0.97, zi=[0])
    mel = librosa.feature.melspectrogram(
        y=emphasized, sr=RATE, n_fft=800, hop_length=200, n_mels=80, fmax=8000, power=1.0
    )
    expected = np.clip((librosa.amplitude_to_db(mel, ref=1.0, amin=1e-10, top_db=None) + 120) / 125, 0, 1)
    np.testing.assert_allclose(features.log_mel(audible), expected.T, atol=1e-4)


def test_log_mel_of_silence_is_zero_and_of_full_scale_noise_at_most_one():
    assert features.log_mel(np.zeros(4000, np.float32)).max() == 0
    loud = np.random.default_rng(0).uniform(-1, 1, 4000)
    assert 0.5 < features.log_mel(loud).max() <= 1


def test_mel_comes_back_from_its_logarithm(signal):
    quiet = 0.1 * signal
    mel = features.mel_magnitude(features.preemphasize(quiet), features.MelSettings())
    np.testing.assert_allclose(features.mel_from_log(features.log_mel(quiet)), mel, rtol=1e-4, atol=2e-6)


def test_deemphasis_undoes_preemphasis(signal):
    np.testing.assert_allclose(features.deemphasize(features.preemphasize(signal)), signal, atol=1e-5)


@pytest.mark.parametrize("window", [None, 256])
def test_mfcc_is_librosas_with_its_80_db_floor(signal, window):
    expected = librosa.feature.mfcc(
        y=signal, sr=RATE, n_mfcc=40, n_fft=2048, hop_length=128, win_length=window, n_mels=200
    )
    actual = features.mfcc(signal, RATE, window=window)
    np.testing.assert_allclose(actual, expected.T, rtol=1e-4, atol=5e-3)


def test_the_floor_of_the_mfcc_matters_for_this_signal(signal):
    with_floor = features.mfcc(signal, RATE)
    without = features.mfcc(signal, RATE, dynamic_range_db=1000)
    assert np.abs(with_floor - without).max() > 1


@pytest.mark.realdata
def test_mfcc_of_real_speech_is_librosas(realdata):
    audio = read_audio(realdata / "e_metrics/mcd/GT.wav")
    samples, rate = audio.samples, audio.rate
    expected = librosa.feature.mfcc(
        y=samples, sr=rate, n_mfcc=40, n_fft=2048, hop_length=128, win_length=256, n_mels=200
    )
    actual = features.mfcc(samples, rate, window=256)
    np.testing.assert_allclose(actual, expected.T, rtol=1e-4, atol=5e-3)


def test_linear_filterbank_is_torchaudios():
    torchaudio = pytest.importorskip("torchaudio")
    expected = torchaudio.functional.linear_fbanks(
        n_freqs=257, f_min=0.0, f_max=8000.0, n_filter=20, sample_rate=RATE
    )
    np.testing.assert_allclose(features.linear_filterbank(RATE, 512, 20), expected.numpy().T, atol=1e-5)


def test_lfcc_is_torchaudios_but_for_the_base_of_the_logarithm():
    torchaudio = pytest.importorskip("torchaudio")
    torch = pytest.importorskip("torch")
    loud = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    transform = torchaudio.transforms.LFCC(
        RATE,
        n_filter=20,
        n_lfcc=20,
        log_lf=True,
        speckwargs={"n_fft": 512, "win_length": 320, "hop_length": 160, "pad_mode": "constant"},
    )
    expected = transform(torch.from_numpy(loud)).numpy().T / np.log(10)
    np.testing.assert_allclose(features.lfcc(loud, RATE), expected, atol=1e-4)


def test_gain_moves_only_the_first_lfcc():
    loud = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    difference = features.lfcc(10 * loud, RATE) - features.lfcc(loud, RATE)
    np.testing.assert_allclose(difference[:, 0], 2 * np.sqrt(20), atol=1e-4)
    np.testing.assert_allclose(difference[:, 1:], 0, atol=1e-4)
