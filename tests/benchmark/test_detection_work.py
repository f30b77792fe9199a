"""Clips are prepared so that nothing but the speech tells them apart."""

from dataclasses import asdict

import numpy as np
import pytest
import soundfile

from doppelbench.benchmark.detection_work import prepare_clip
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.level import TARGET_DB

RATE = 16000


def _prepared(tmp_path, samples, **form):
    soundfile.write(tmp_path / "clip.wav", samples, RATE, subtype="FLOAT")
    clip = asdict(Clip("one", "ana", str(tmp_path / "clip.wav")))
    chosen = {"rate": RATE, "level": True, "trim": True, "seconds": None} | form
    found = prepare_clip(clip=clip, output=str(tmp_path / "out.flac"), **chosen)
    assert found["status"] == "ok", found["reason"]
    return found, soundfile.read(tmp_path / "out.flac")[0]


@pytest.fixture
def speech_between_pauses():
    rng = np.random.default_rng(0)
    loud = np.sin(2 * np.pi * 150 * np.arange(RATE) / RATE) * rng.uniform(0.2, 1.0, RATE)
    # Unlike that of the pauses, the mean of the speech is not 0: trimming changes that of the whole.
    return np.concatenate([np.zeros(9000), 0.1 * loud + 0.0005, np.zeros(7000)])


@pytest.mark.parametrize("offset", [0.0, 0.001, -0.02])
def test_level_and_offset_are_exact_after_trimming(tmp_path, speech_between_pauses, offset):
    # Samples of 16 bits leave some 1e-5 dB; an offset that is taken off after levelling leaves more.
    _, written = _prepared(tmp_path, speech_between_pauses + offset)
    frames = written[: written.size // 320 * 320].reshape(-1, 320)
    power = (frames**2).mean(axis=1)
    active = power[power > power.max() * 1e-4].mean()
    assert 10 * np.log10(active) == pytest.approx(TARGET_DB, abs=2e-5)
    assert abs(written.mean()) < 2e-6


def test_without_levelling_the_samples_are_those_of_the_file(tmp_path, speech_between_pauses):
    _, written = _prepared(tmp_path, speech_between_pauses, level=False, trim=False)
    np.testing.assert_allclose(written, speech_between_pauses, atol=2**-15)


def test_the_features_say_what_the_chain_did(tmp_path, speech_between_pauses):
    found, written = _prepared(tmp_path, 4 * speech_between_pauses)
    assert found["as_trained"]["level"] == pytest.approx(TARGET_DB, abs=1e-3)
    assert found["raw"]["level"] > found["as_trained"]["level"]
    assert found["as_trained"]["duration"] == pytest.approx(written.size / RATE)
