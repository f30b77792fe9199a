import subprocess
import sys

import numpy as np
import pytest
from metric_examples import skip_without_backend, speech_like

from doppelbench.corpora.errors import DependencyError, InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics import dnsmos_kernel
from doppelbench.metrics.registry import metric

SCALES = ("bak", "ovrl", "p808", "sig")
# Values of the package on these recordings, equal on two releases of librosa; nobody published any.
KNOWN = {
    "speech.wav": {"ovrl": 3.2458204, "sig": 3.5518088, "bak": 4.0474503, "p808": 3.9509289},
    "speech_bab_0dB.wav": {"ovrl": 1.08887, "sig": 1.20469, "bak": 1.16835, "p808": 2.51360},
}


@pytest.fixture(autouse=True)
def _backend():
    skip_without_backend("dnsmos_ovrl")


@pytest.mark.parametrize("absent", ["speechmos", "onnxruntime", "librosa", "requests"])
def test_absent_package_is_named_with_its_cure(monkeypatch, absent):
    present = dnsmos_kernel.find_spec
    monkeypatch.setattr(dnsmos_kernel, "find_spec", lambda name: None if name == absent else present(name))
    for scale in SCALES:
        with pytest.raises(DependencyError, match=rf"{absent}.*pip install 'doppelbench\[mos\]'"):
            metric(f"dnsmos_{scale}")


@pytest.mark.parametrize("scale", SCALES)
def test_empty_and_short_audio_has_a_status(scale):
    for samples in (np.zeros(0, np.float32), speech_like(seed=1, seconds=0.4).samples):
        score = metric(f"dnsmos_{scale}").item(out=Audio(samples, 16000))
        assert (score.value, score.status) == (None, "too_short")


def test_kernel_refuses_what_the_package_would_never_return_from():
    with pytest.raises(ValueError, match="needs samples"):
        dnsmos_kernel.quality_guesses(np.zeros(0))


def test_short_speech_is_repeated_to_fill_a_window():
    audio = speech_like(seed=1, seconds=1.2)
    eightfold = Audio(np.tile(audio.samples, 8), 16000)
    for scale in SCALES:
        scorer = metric(f"dnsmos_{scale}")
        assert scorer.item(out=audio).value == scorer.item(out=eightfold).value


def test_level_is_taken_as_it_is_or_made_that_of_the_house():
    audio = speech_like(seed=1, seconds=1.2)
    quiet = Audio(audio.samples * np.float32(0.1), 16000)
    raw, leveled = metric("dnsmos_ovrl"), metric("dnsmos_ovrl", level="active")
    assert abs(raw.item(out=quiet).value - raw.item(out=audio).value) > 0.01
    assert leveled.item(out=quiet).value == pytest.approx(leveled.item(out=audio).value, abs=1e-3)
    assert "|level-raw|" in raw.signature
    assert "|level-26dBov-active|" in leveled.signature
    with pytest.raises(InputError, match="level is active or raw"):
        metric("dnsmos_ovrl", level="loud")


def test_samples_beyond_full_scale_are_clipped_and_counted():
    samples = speech_like(seed=1, seconds=1.2).samples
    loud = samples * np.float32(1.5 / np.abs(samples).max())
    score = metric("dnsmos_sig").item(out=Audio(loud, 16000))
    assert score.stats["clipped"] == np.count_nonzero(np.abs(loud) > 1) > 0
    assert score.value == metric("dnsmos_sig").item(out=Audio(np.clip(loud, -1, 1), 16000)).value


def test_signature_names_the_networks_and_loads_none():
    code = (
        "import sys; from doppelbench.metrics import metric_from_string; "
        "print(metric_from_string('dnsmos_bak').signature, "
        "sorted({'onnxruntime', 'librosa', 'speechmos'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    signature, _, loaded = result.stdout.strip().partition(" ")
    assert loaded == "[]"
    assert signature.startswith("dnsmos_bak|speechmos-0.0.1.1-40e47248357a|")


@pytest.mark.realdata
@pytest.mark.parametrize("name", KNOWN)
def test_known_guesses_hold_on_recorded_speech(realdata, name):
    audio = read_audio(realdata / "e_metrics" / "pesq" / name)
    for scale, expected in KNOWN[name].items():
        assert metric(f"dnsmos_{scale}").item(out=audio).value == pytest.approx(expected, abs=1e-4)
