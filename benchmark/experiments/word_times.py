"""When each word of a recording is said: the truth where a corpus has it, else a forced alignment."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.corpus import normalize_text
from doppelbench.corpora.errors import DependencyError, MediaError
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import read_audio
from doppelbench.metrics.recognizers import GRID_LETTERS

RATE = 16000
# Pocketsphinx counts time in frames.
FRAMES_PER_SECOND = 100
PAUSE = re.compile(r"<.*>|\[.*\]|\+\+.*\+\+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is said, in seconds from the beginning of the clip."""

    text: str
    start: float
    end: float


def word_times(clip: Clip) -> list[Word]:
    """Return the words of a clip in their order.

    The built-in corpus keeps the synthesiser's own timing beside each recording
    (``<clip>.phonemes.json``); there, words that are run together are one. Other recordings are aligned with
    their text by pocketsphinx.

    Raises:
        MediaError: ``missing`` without audio or text, or where the text cannot be aligned.
        DependencyError: pocketsphinx is not installed.
    """
    if clip.audio is None or not clip.text:
        raise MediaError("missing", f"clip {clip.id} has no audio or no text, so no words")
    truth = Path(clip.audio).with_suffix(".phonemes.json")
    if truth.is_file() and clip.start is None:
        return _stored(truth)
    return forced_alignment(clip)


def _stored(path: Path) -> list[Word]:
    try:
        words = json.loads(path.read_text(encoding="utf-8"))["words"]
        return [Word(str(text), float(start), float(end)) for text, start, end in words]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError("unreadable", f"{path}: holds no times of words ({error})") from None


def forced_alignment(clip: Clip) -> list[Word]:
    """Align a clip with its text by pocketsphinx and its American English model.

    Raises:
        MediaError: a word is not in the dictionary, or no path through the text fits the recording.
        DependencyError: pocketsphinx is not installed.
    """
    assert clip.audio is not None
    decoder = _decoder()
    words = normalize_text(clip.text or "").split()
    spelled = [_in_dictionary(word, decoder) for word in words]
    unknown = [word for word, entry in zip(words, spelled, strict=True) if entry is None]
    if unknown:
        raise MediaError(
            "missing", f"clip {clip.id} cannot be aligned: not in the dictionary: {', '.join(unknown)}"
        )
    audio = read_audio(clip.audio, rate=RATE, start=clip.start, end=clip.end)
    loud = np.clip(normalize_level(audio.samples, RATE), -1.0, 1.0)
    decoder.set_align_text(" ".join(entry for entry in spelled if entry))
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(np.round(loud * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    spoken = [segment for segment in decoder.seg() or () if not PAUSE.fullmatch(segment.word)]
    if len(spoken) != len(words):
        raise MediaError("missing", f"{clip.audio}: the recording cannot be aligned with its text")
    return [
        Word(word, segment.start_frame / FRAMES_PER_SECOND, (segment.end_frame + 1) / FRAMES_PER_SECOND)
        for word, segment in zip(words, spoken, strict=True)
    ]


def _in_dictionary(word: str, decoder: Any) -> str | None:
    letters = {letter: entry for entry, letter in GRID_LETTERS.items()}
    candidates = [letters.get(word, word), word]
    return next((entry for entry in candidates if decoder.lookup_word(entry)), None)


@lru_cache(maxsize=1)
def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise DependencyError(
            f"a forced alignment needs pocketsphinx ({error}); pip install pocketsphinx"
        ) from None
    return Decoder(loglevel="FATAL", lm=None)
