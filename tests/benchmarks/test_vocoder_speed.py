"""Real-time factor of the neural vocoders on one core: seconds of computing for a second of speech."""

import time

import numpy as np
import pytest

from doppelbench.baselines.vocoders.registry import make_vocoder

# Frames that are generated; the published sizes take milliseconds a sample.
FRAMES = {"small": 41, "paper": 3}
# CPU seconds for a second of speech that `small` may take, so that a run of dozens of trials takes minutes.
LIMIT = 1.0


def real_time_factor(vocoder, features: np.ndarray, rounds: int = 3) -> float:
    """CPU time, which a busy machine does not stretch, of the fastest round."""
    vocoder(features[:2])
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        audio = vocoder(features)
        spent.append(time.process_time() - began)
    return min(spent) / audio.seconds


@pytest.mark.slow
@pytest.mark.benchmark(group="vocoder")
@pytest.mark.parametrize("preset", ["small", "paper"])
@pytest.mark.parametrize("name", ["wavenet", "wavernn"])
def test_generation(benchmark, name: str, preset: str) -> None:
    vocoder = make_vocoder(name, preset)
    features = np.random.default_rng(0).random((FRAMES[preset], 80), dtype=np.float32)
    factor = real_time_factor(vocoder, features, rounds=3 if preset == "small" else 1)
    benchmark.extra_info["real_time_factor"] = round(factor, 3)
    benchmark.pedantic(vocoder, args=(features,), rounds=1)
    print(f"{name} {preset}: real-time factor {factor:.2f}")
    if preset == "small":
        assert factor < LIMIT
