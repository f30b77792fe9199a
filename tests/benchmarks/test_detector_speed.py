"""Seconds of speech or film that each detector of the published size scores in a second on one thread."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from doppelbench.corpora.media import Audio, Video
from doppelbench.corpora.talkers.face import Head, Pose, face_of
from doppelbench.detectors.gaussian_mixture import GaussianMixture
from doppelbench.detectors.registry import find_detector
from doppelbench.engine.threads import limit_threads
from doppelbench.engine.trainer import seeded
from doppelbench.metrics.sca import N_FEATURES, SpeakerClassifier

RATE = 16000
SECONDS = 4.0375
ROUNDS = 5
NETWORKS = ("lfcc-lcnn", "rawnet2", "aasist", "aasist-l")
FPS, PICTURE = 25.0, 256


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


def talking_head() -> Video:
    """A drawn head, with the noise of a camera."""
    generator = np.random.default_rng(0)
    head = Head(face_of("ada", "female", 0), PICTURE)
    openings = 0.5 + 0.5 * np.sin(0.9 * np.arange(round(SECONDS * FPS)))
    drawn = np.stack([head.draw(Pose(opening=float(value)))[0] for value in openings])
    noise = generator.integers(-4, 5, drawn.shape, dtype=np.int16)
    return Video(np.clip(drawn + noise, 0, 255).astype(np.uint8), FPS)


@pytest.mark.slow
@pytest.mark.benchmark(group="film scoring")
@pytest.mark.parametrize("name", ["meso-4", "mesoinception-4"])
def test_film_scoring_speed(benchmark, name: str) -> None:
    """The search for the face is timed, the decoding of the film is not."""
    limit_threads()
    detector = with_random_weights(name)
    film = talking_head()
    assert detector.frame_scores(film).faces.found
    benchmark.pedantic(detector.score_film, args=(film,), rounds=ROUNDS, warmup_rounds=1)
    if benchmark.enabled:
        benchmark.extra_info["times real time"] = round(SECONDS / benchmark.stats.stats.median, 1)
    assert np.isfinite(detector.score_film(film))
