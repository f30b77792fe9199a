"""Speaker embeddings that systems are conditioned on: d-vectors of a recording.

L. Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018: a 3-layer LSTM of 256
cells on 40 mel bands, a rectified linear layer and a unit norm, on windows of 1.6 s whose vectors are
averaged. Network and weights are those that the package Resemblyzer carries (Apache License 2.0); its voice
activity detector takes the pauses out first.
"""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, MediaError
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import existing_file, read_audio

EMBEDDING_SIZE = 256
RATE = 16000
# Less speech than this is no voice; the encoder would pad it to 1.6 s with silence.
MINIMUM_SPEECH_SECONDS = 0.3


@lru_cache(maxsize=1)
def _encoder() -> Any:
    for package in ("resemblyzer", "webrtcvad"):
        if find_spec(package) is None:
            raise DependencyError(
                f"speaker embeddings need the package {package}, which is not installed; "
                "pip install Resemblyzer (its webrtcvad needs a C compiler)"
            )
    with warnings.catch_warnings():
        # What Resemblyzer and webrtcvad import is deprecated, and no user can do anything about it.
        warnings.simplefilter("ignore")
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)


def speaker_embedding(samples: np.ndarray, name: str = "the signal") -> np.ndarray:
    """D-vector of a recording.

    Args:
        samples: mono signal at 16 kHz, shape (n,); any level.
        name: what to call the recording in an error.

    Returns:
        A unit vector of shape (256,), float32, without negative values.

    Raises:
        MediaError: ``no_speech`` when the voice activity detector finds less than 0.3 s, ``silent`` or
            ``not_finite``.
        DependencyError: Resemblyzer is not installed.
    """
    encoder = _encoder()
    from resemblyzer import preprocess_wav

    # The detector works on 16 bits, where a peak above full scale would wrap round.
    speech = preprocess_wav(np.clip(normalize_level(samples, RATE), -1.0, 1.0))
    seconds = speech.size / RATE
    if seconds < MINIMUM_SPEECH_SECONDS:
        raise MediaError(
            "no_speech",
            f"{name}: the voice activity detector finds {seconds:.2f} s of speech; a speaker embedding needs "
            f"at least {MINIMUM_SPEECH_SECONDS:g} s",
        )
    return np.asarray(encoder.embed_utterance(speech), dtype=np.float32)


def clip_embedding(clip: Clip) -> np.ndarray:
    """D-vector of a clip, as :func:`speaker_embedding`.

    Raises:
        MediaError: the clip has no audio, or it cannot be read, or holds no speech.
    """
    if clip.audio is None:
        raise MediaError("missing", f"clip {clip.id} has no audio")
    state = existing_file(clip.audio).stat()
    return _file_embedding(clip.audio, clip.start, clip.end, state.st_mtime_ns, state.st_size).copy()


# A voice is enrolled from the same clips for every system of a run.
@lru_cache(maxsize=4096)
def _file_embedding(path: str, start: float | None, end: float | None, changed: int, size: int) -> np.ndarray:
    audio = read_audio(path, rate=RATE, start=start, end=end)
    return speaker_embedding(audio.samples, path)


def mean_embedding(embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """Embedding of a voice from those of its clips; shape (256,), float32.

    The mean is not brought back to unit norm, as in the released code of AutoVC.
    """
    mean: np.ndarray = np.stack(list(embeddings)).mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)
