"""Speaker-embedding cosine similarity: does the output sound like the person of the reference?

The cosine of the d-vectors (Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018)
of output and reference, from the encoder that the package Resemblyzer carries, after its own voice activity
detection. The reference may be any recording of the target; its words and timing do not matter.

A value belongs to its encoder and means little alone: two halves of one recording have about 0.9, different
speakers 0.6, and noise costs more than another voice. Read it between the rows of the natural target and of
the unconverted source, and never against a fixed threshold. What is left of the source's voice is the affair
of :mod:`doppelbench.metrics.secs_source`; the two together give the equal error rate of
:mod:`doppelbench.metrics.speaker_eer`. Speech enters at the house's level (:mod:`doppelbench.corpora.level`),
because the detector listens to gain.
"""

import hashlib
import warnings
from functools import cached_property, lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, MediaError
from doppelbench.metrics.audio_metric import COMPARED, AudioMetric
from doppelbench.metrics.content_cache import cached_by_content
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import RESAMPLER, Leveling

WEIGHTS_FILE = "pretrained.pt"
# Less speech than this is no voice to judge; the encoder pads it to 1.6 s with silence.
MIN_SPEECH_SECONDS = 0.3
EMBEDDINGS_KEPT = 1024


def encoder_weights() -> Path:
    """The file of weights inside the installed package; imports nothing.

    Raises:
        DependencyError: when Resemblyzer or its voice activity detector is not installed.
    """
    package = find_spec("resemblyzer")
    if package is None or not package.submodule_search_locations or find_spec("webrtcvad") is None:
        raise DependencyError(
            "speaker similarity needs the package Resemblyzer, which is not installed; "
            "pip install Resemblyzer (its webrtcvad needs a C compiler)"
        )
    return Path(package.submodule_search_locations[0]) / WEIGHTS_FILE


@lru_cache(maxsize=1)
def _encoder() -> Any:
    with warnings.catch_warnings():
        # What Resemblyzer and webrtcvad import is deprecated, and no user can do anything about it.
        warnings.simplefilter("ignore")
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)


@cached_by_content(EMBEDDINGS_KEPT)
def _embedding(samples: np.ndarray) -> tuple[np.ndarray | None, float]:
    encoder = _encoder()
    from resemblyzer import preprocess_wav, sampling_rate

    speech = preprocess_wav(samples.astype(np.float32))
    seconds = speech.size / sampling_rate
    if seconds < MIN_SPEECH_SECONDS:
        return None, seconds
    vector = encoder.embed_utterance(speech).astype(np.float64)
    vector /= np.linalg.norm(vector)
    vector.setflags(write=False)
    return vector, seconds


def speaker_embedding(samples: np.ndarray, role: str) -> tuple[np.ndarray, float]:
    """D-vector of a signal at 16 kHz and at the house's level; the last ones are kept by content.

    Args:
        samples: shape (n,).
        role: ``output``, ``reference`` or ``source``; only for the message.

    Returns:
        A unit vector of shape (256,), float64, read-only, and the seconds that the detector took for speech.

    Raises:
        MediaError: ``no_speech`` when that is less than 0.3 s.
    """
    vector, seconds = _embedding(samples)
    if vector is None:
        raise MediaError(
            "no_speech",
            f"the voice activity detector finds {seconds:.2f} s of speech in the {role}; at least "
            f"{MIN_SPEECH_SECONDS:g} s are needed",
        )
    return vector, seconds


class SpeakerEmbeddingSimilarity(AudioMetric):
    """SECS of output and reference; ``speech_out`` and ``speech_ref`` in seconds are in the statistics."""

    compared: ClassVar[Literal["ref", "source"]] = "ref"
    spec = MetricSpec(
        name="secs",
        title="Speaker-embedding cosine similarity to the reference (Resemblyzer d-vectors)",
        version=1,
        unit="",
        direction="higher",
        range=(0.0, 1.0),
        needs=frozenset({"ref"}),
        cost=13.0,
        rate=16000,
        seconds=(0.5, None),
        citation="Wan et al., ICASSP 2018; Resemblyzer",
        accelerated=True,
        licence="Resemblyzer and its weights are under the Apache License 2.0",
    )

    def __init__(self) -> None:
        """Find the encoder's weights.

        Raises:
            DependencyError: when the package is not installed.
        """
        self.weights = encoder_weights()
        self.leveling = Leveling(self.spec.name, "active")

    @cached_property
    def signature(self) -> str:  # type: ignore[override]
        """Package, hash of the weights, level, voice activity detection and rate."""
        digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()[:12]
        return (
            f"{self.spec.name}|resemblyzer-{metadata.version('resemblyzer')}-{digest}|{self.leveling.rule}"
            f"|webrtcvad3-30ms|sr{self.rate}-{RESAMPLER}|cosine|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Similarity of one output to the voice of the recording that it is compared with."""
        assert ref is not None
        voice, speech = speaker_embedding(self.leveling.apply(ref, self.rate), COMPARED[self.compared])
        vector_out, speech_out = speaker_embedding(self.leveling.apply(out, self.rate), "output")
        # The network's last layer is rectified, so no cosine is negative.
        value = min(1.0, float(voice @ vector_out))
        return ItemScore(value, stats={f"speech_{self.compared}": speech, "speech_out": speech_out})
