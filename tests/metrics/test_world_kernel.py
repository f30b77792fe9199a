import numpy as np
import pytest
import pyworld
from metric_examples import speech_like

from doppelbench.corpora.media import read_audio, resample
from doppelbench.metrics.world_kernel import dio, log_envelope, stonemask

HOP = 0.005


SIGNALS = [
    pytest.param(lambda: (speech_like(seed=1), 16000), id="speech-like"),
    pytest.param(lambda: (speech_like(seed=2, pitch=220.0, noise_db=-5.0), 16000), id="noisy"),
    pytest.param(lambda: (speech_like(seed=3, rate=22050), 22050), id="22050 Hz"),
    pytest.param(lambda: (speech_like(seed=3, rate=24000, pitch=90.0), 24000), id="24000 Hz"),
    pytest.param(lambda: (speech_like(seed=4, seconds=0.1), 16000), id="a tenth of a second"),
    pytest.param(lambda: (speech_like(seed=4, seconds=12.0), 16000), id="two chunks"),
    pytest.param(lambda: (speech_like(seed=4, seconds=25.0), 16000), id="beyond kept noise"),
]


@pytest.mark.parametrize("make", SIGNALS)
def test_f0_and_envelope_are_those_of_pyworld(make):
    audio, rate = make()
    check(audio.samples.astype(np.float64), rate)


def check(samples, rate):
    coarse, times = pyworld.dio(samples, rate, frame_period=1000 * HOP)
    fine = pyworld.stonemask(samples, coarse, times, rate)
    power = pyworld.cheaptrick(samples, fine, times, rate)
    np.testing.assert_allclose(dio(samples, rate, HOP), coarse, atol=1e-6)
    np.testing.assert_allclose(stonemask(samples, coarse, rate, HOP), fine, atol=1e-6)
    difference = np.abs(log_envelope(samples, fine, rate, HOP) - np.log(power))
    strong = power > power.max() * 1e-10
    # At the edges of a short signal little is left of a frame once its mean is off, and rounding weighs more.
    assert np.median(difference[strong]) < (1e-12 if samples.size > rate else 1e-10)
    assert difference[strong].max() < 1e-6


@pytest.mark.parametrize(("rate", "size"), [(16000, 9040), (16000, 4720), (22050, 12789), (24000, 6840)])
def test_whole_numbers_of_hops_have_the_frames_of_pyworld(rate, size):
    # Lengths whose number of hops, divided in another order, is a little less than whole.
    samples = speech_like(seed=1, rate=rate).samples.astype(np.float64)[:size]
    assert len(dio(samples, rate, HOP)) == len(pyworld.harvest(samples, rate, frame_period=5.0)[0])
    check(samples, rate)


def test_digital_silence_and_holes_are_those_of_pyworld():
    samples = speech_like(seed=5).samples.astype(np.float64)
    samples[:4000] = 0.0
    samples[12000:20000] = 0.0
    check(samples, 16000)


@pytest.mark.parametrize(
    "samples", [np.zeros(8000), np.full(8000, 0.1), np.ones(40)], ids=["0", "dc", "short"]
)
def test_signals_without_voice_have_no_f0(samples):
    assert not dio(samples, 16000, HOP).any()
    assert np.array_equal(dio(samples, 16000, HOP), pyworld.dio(samples, 16000, frame_period=5.0)[0])


def test_a_pulse_train_has_its_frequency():
    samples = np.zeros(16000)
    samples[::128] = 1.0
    pitch = stonemask(samples, dio(samples, 16000, HOP), 16000, HOP)
    np.testing.assert_allclose(pitch[40:160], 125.0, rtol=1e-3)


def test_envelope_follows_the_level():
    samples = speech_like(seed=1).samples.astype(np.float64)
    pitch = dio(samples, 16000, HOP)
    voiced = pitch > 0
    louder = log_envelope(2 * samples, pitch, 16000, HOP) - log_envelope(samples, pitch, 16000, HOP)
    np.testing.assert_allclose(louder[voiced], 2 * np.log(2), atol=1e-4)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["GT", "WaveGlow", "Tacotron-2"])
def test_recordings_have_the_f0_and_envelope_of_pyworld(realdata, name):
    audio = resample(read_audio(realdata / "e_metrics" / "mcd" / f"{name}.wav"), 16000)
    check(audio.samples.astype(np.float64), 16000)
