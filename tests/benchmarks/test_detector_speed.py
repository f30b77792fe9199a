"""Seconds of speech that each detector of the published size scores in a second on one thread."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from doppelbench.corpora.media import Audio
from doppelbench.detectors.gaussian_mixture import GaussianMixture
from doppelbench.detectors.registry import find_detector
from doppelbench.engine.threads import limit_threads
from doppelbench.engine.trainer import seeded
from doppelbench.metrics.sca import N_FEATURES, SpeakerClassifier

RATE = 16000
SECONDS = 4.0375
ROUNDS = 5
NETWORKS = ("lfcc-lcnn", "rawnet2", "aasist", "aasist-l")


def with_random_weights(name: str):
    """A detector of the preset ``paper`` that was never trained; speed does not depend on the weights."""
    kind = find_detector(name)
    detector = kind(kind.spec.presets["paper"])
    if name == "serra-statistics":
        ones = np.ones(N_FEATURES)
        weights = np.stack([ones, -ones])
        detector.classifier = SpeakerClassifier(("bonafide", "spoof"), 0 * ones, ones, weights, ones[:2], {})
    elif name == "lfcc-gmm":
        shape = (detector.settings.components, detector.settings.lfcc.width)
        generator = torch.Generator().manual_seed(0)
        weights = torch.full(shape[:1], 1 / shape[0], dtype=torch.float64)
        for label in ("bonafide", "spoof"):
            means = torch.randn(shape, generator=generator, dtype=torch.float64)
            detector.mixtures[label] = GaussianMixture(weights, means, torch.ones_like(means))
    else:
        if name == "self-supervised":
            detector = kind(replace(kind.spec.presets["small"], crop=64_600))
        with seeded(0):
            detector.network = kind.build(detector.settings)
    return detector


@pytest.mark.slow
@pytest.mark.benchmark(group="detector scoring")
@pytest.mark.parametrize("name", ["serra-statistics", "lfcc-gmm", *NETWORKS, "self-supervised"])
def test_scoring_speed(benchmark, name: str) -> None:
    """``self-supervised`` is wav2vec 2.0 base with a linear layer, the largest that a CPU bears."""
    limit_threads()
    detector = with_random_weights(name)
    samples = np.random.default_rng(0).normal(0, 0.05, round(SECONDS * RATE)).astype(np.float32)
    audio = Audio(samples, RATE)
    benchmark.pedantic(detector.score, args=(audio,), rounds=ROUNDS, warmup_rounds=1)
    # Beside other workers nothing is timed.
    if benchmark.enabled:
        benchmark.extra_info["times real time"] = round(SECONDS / benchmark.stats.stats.median, 1)
    assert np.isfinite(detector.score(audio))
