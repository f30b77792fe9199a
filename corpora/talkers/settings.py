"""What decides the bytes of a talkers corpus."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import metadata

# Raised whenever the same settings would give other bytes.
GENERATOR_VERSION = 5
RATE = 16000
FPS = 25


def versions() -> dict[str, int | str]:
    """Return the versions of this generator and of the speech synthesiser."""
    return {"generator_version": GENERATOR_VERSION, "espeakng_loader": metadata.version("espeakng-loader")}


@dataclass(frozen=True, slots=True)
class TalkersSettings:
    """Settings of one corpus.

    Attributes:
        speakers: names of :data:`~doppelbench.corpora.talkers.voices.VOICES`.
        seed: changes sentences, noise and faces' motion.
        size: height and width of the frames in pixels, a multiple of 32.
        video: whether talking heads are drawn.
        target_seconds: least speech of each target (and extra speaker) in split ``train``.
        source_seconds: the same for each source-only speaker.
        dev_sentences: sentences that everybody says in split ``dev``.
        test_sentences: sentences that everybody says in split ``test``.
    """

    speakers: tuple[str, ...]
    seed: int = 0
    size: int = 64
    video: bool = True
    target_seconds: float = 200.0
    source_seconds: float = 50.0
    dev_sentences: int = 6
    test_sentences: int = 12

    @property
    def key(self) -> str:
        """Short hash of the settings and of the versions of the generator and the synthesiser."""
        content = json.dumps({**asdict(self), **versions()}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]
