"""Decoding has limits of memory, time and output; what hits one is a status, and the next item is fine."""

import faulthandler
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from submission_examples import RATE, noise

from doppelbench.corpora.errors import MediaError
from doppelbench.leaderboards import media_measures
from doppelbench.leaderboards.guarded_child import guarded
from doppelbench.leaderboards.guarded_media import MediaGuard, MediaLimits
from doppelbench.leaderboards.waveform_match import waveform_match

LIMITS = MediaLimits(memory=64 << 20, cpu_seconds=1, wall_seconds=3.0, output_bytes=4096)


def loop(**_):
    while True:
        pass


def wait(**_):
    time.sleep(60)


def fill_memory(**_):
    return {"size": len(bytearray(1 << 30))}


def fill_the_disk(*, path, **_):
    Path(path).write_bytes(bytes(1 << 20))


def fault(**_):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(**_):
    os._exit(0)


def chatter(**_):
    return {"text": "x" * (1 << 20)}


def fail(**_):
    raise KeyError("secret")


def refuse(**_):
    raise MediaError("silent", "nothing")


def close_the_pipe_and_go_on(**_):
    os.closerange(3, 64)
    time.sleep(60)


@pytest.mark.parametrize(
    ("what", "status", "reason"),
    [
        (loop, "timeout", "more than 1 s of processor time"),
        (wait, "timeout", "longer than 0.5 s"),
        (fill_memory, "crashed", "more than 64 MiB of memory"),
        (fill_the_disk, "crashed", "could not write or read (File too large)"),
        (fault, "crashed", "ended by SIGSEGV"),
        (leave, "crashed", "ended without an answer"),
        (chatter, "crashed", "answered more than was asked"),
        (fail, "crashed", "failed (KeyError)"),
        (refuse, "silent", "nothing"),
        (close_the_pipe_and_go_on, "crashed", "SIGKILL"),
    ],
)
def test_a_decoder_that_misbehaves_becomes_a_status(what, status, reason, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(media_measures, "measure_output", what)
    limits = asdict(LIMITS) | ({"wall_seconds": 0.5} if what is wait else {"wall_seconds": 60.0})
    began = time.process_time()
    answer = guarded(limits, {"path": str(tmp_path / "big")})
    assert answer["status"] == status
    assert reason in answer["reason"]
    assert time.process_time() - began < 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= LIMITS.output_bytes


def test_the_server_goes_on_after_its_own_death(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", noise(0), RATE)
    with MediaGuard() as guard:
        assert guard.measure(tmp_path / "a.flac", film=False)["status"] == "ok"
        assert guard._process is not None
        os.kill(guard._process.pid, signal.SIGKILL)
        assert guard.measure(tmp_path / "a.flac", film=False)["status"] == "crashed"
        assert guard.measure(tmp_path / "a.flac", film=False)["status"] == "ok"
        process = guard._process
    assert process.poll() is not None


def test_what_is_written_anew_has_the_samples_and_nothing_else(tmp_path: Path) -> None:
    samples = np.append(noise(0), [-1.0, 0.9999])
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 1, subtype="PCM_16") as file:
        file.title = "my-system"
        file.write(samples)
    with MediaGuard() as guard:
        facts = guard.measure(tmp_path / "a.flac", film=False, write=tmp_path / "new" / "a.flac")
    before, after = (soundfile.read(path, dtype="int16")[0] for path in tmp_path.rglob("a.flac"))
    np.testing.assert_array_equal(before, after)
    assert b"my-system" in (tmp_path / "a.flac").read_bytes()
    assert b"my-system" not in (tmp_path / "new" / "a.flac").read_bytes()
    assert facts["seconds"] == pytest.approx(samples.size / RATE)


class TestWaveformMatch:
    def test_a_copy_is_one_whatever_its_level_polarity_and_place(self) -> None:
        x = noise(0, 1.0, 8000)
        for copy in (x, -0.01 * x, np.concatenate([np.zeros(700), x]), x[900:6000], np.roll(x, 50) + 0.1):
            assert waveform_match(x, copy) > 0.99
            assert waveform_match(copy, x) > 0.99

    def test_noise_of_known_power_gives_the_correlation_of_theory(self) -> None:
        x, y = noise(0, 4.0, 8000), noise(1, 4.0, 8000)
        assert waveform_match(x, x + y) == pytest.approx(np.sqrt(0.5), abs=0.02)

    def test_other_signals_and_silence_are_no_copies(self) -> None:
        x = noise(0, 1.0, 8000)
        assert waveform_match(x, noise(1, 1.0, 8000)) < 0.1
        assert waveform_match(x, np.zeros(8000)) == 0.0
        assert waveform_match(np.zeros(0), x) == 0.0
        # A click that happens to lie beside a click is no copy of a second.
        assert waveform_match(np.append(x, 0.5), np.append(0.5, noise(1, 1.0, 8000))) < 0.2
