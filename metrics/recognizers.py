"""Speech recognisers behind one interface, for word and character error rates.

A word error rate belongs to its recogniser, so each names everything that can change a transcript in its
signature. None keeps state between utterances, and none loads anything from the network.

* ``pocketsphinx``: the offline recogniser with its bundled US English model, for smoke tests, never for a
ranking; * ``pocketsphinx-grid``: the same, held to the command grammar of the GRID corpus (Cooke et al.
2006); * ``whisper:<size or file>``: openai-whisper, greedy, at temperature 0; * ``stored:<file>``:
transcripts made elsewhere (CSV with ``id`` and ``text``, a JSON object, or NIST's ``trn``).
"""

import csv
import json
import os
import re
from abc import ABC, abstractmethod
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, InputError, MediaError
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, sha256_of
from doppelbench.metrics.signals import RESAMPLER, checked_samples

RATE = 16000
MIN_SECONDS = 0.1
LEVEL_RULE = "level-26dBov-active"

# GRID leaves out "w", the only letter name of several syllables; its British speakers say "zed".
GRID_LETTERS = {f"{letter}.": letter for letter in "abcdefghijklmnopqrstuvxyz"} | {"zed": "z"}
GRID_SLOTS = {
    "command": ("bin", "lay", "place", "set"),
    "color": ("blue", "green", "red", "white"),
    "preposition": ("at", "by", "in", "with"),
    "letter": tuple(GRID_LETTERS),
    "digit": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "adverb": ("again", "now", "please", "soon"),
}


class Recognizer(ABC):
    """Turns speech into words."""

    name: str

    @property
    @abstractmethod
    def signature(self) -> str:
        """Everything that can change a transcript, without ``|``."""

    @abstractmethod
    def transcribe(self, audio: Audio, *, clip: Clip | None = None) -> str:
        """Return what is said, an empty string when nothing was recognised.

        Args:
            audio: mono signal at any rate.
            clip: what is known of the audio; stored transcripts are found by ``clip.id``.

        Raises:
            MediaError: when the audio is silent, too short or not finite.
        """


class Transcribed(Recognizer):
    """Stands for a recogniser whose transcripts are there already; it keeps its signature and cannot hear."""

    name = "transcribed"

    def __init__(self, signature: str) -> None:
        """Take the signature of the recogniser that listened."""
        self._signature = signature

    @property
    def signature(self) -> str:
        """Signature of the recogniser that listened."""
        return self._signature

    def transcribe(self, audio: Audio, *, clip: Clip | None = None) -> str:
        """Refuse to listen: there is no model."""
        raise MediaError(
            "missing", "transcripts are scored again from what was stored; nothing is recognised"
        )


class PocketSphinx(Recognizer):
    """CMU PocketSphinx with the US English model of its wheel; free vocabulary or the GRID grammar."""

    def __init__(self, *, grid: bool = False) -> None:
        """Choose between the language model and, with ``grid``, the GRID command grammar."""
        self.grid = grid
        self.name = "pocketsphinx-grid" if grid else "pocketsphinx"

    @property
    def signature(self) -> str:
        """Version, model, grammar, level rule and rate."""
        grammar = "jsgf-grid1" if self.grid else "lm-en-us"
        return f"{self.name}-{metadata.version('pocketsphinx')},{grammar},{LEVEL_RULE},sr{RATE}-{RESAMPLER}"

    @cached_property
    def _decoder(self) -> Any:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise DependencyError(
                f"the recogniser {self.name} needs pocketsphinx ({error}); pip install pocketsphinx"
            ) from None
        if not self.grid:
            return Decoder(loglevel="FATAL")
        decoder = Decoder(loglevel="FATAL", lm=None)
        decoder.add_jsgf_string("grid", grid_grammar().encode())
        decoder.activate_search("grid")
        return decoder

    def transcribe(self, audio: Audio, *, clip: Clip | None = None) -> str:
        """Decode one whole utterance, from a fresh state of the feature extraction."""
        samples = checked_samples(audio, role="utterance", rate=RATE, seconds=(MIN_SECONDS, None))
        loud = np.clip(normalize_level(samples, RATE), -1.0, 1.0)
        decoder = self._decoder
        # The running cepstral mean adapts: without this a transcript depends on the utterances before it.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(np.round(loud * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        words = hypothesis.hypstr if hypothesis else ""
        return " ".join(GRID_LETTERS.get(word, word) for word in words.split()) if self.grid else words


def grid_grammar() -> str:
    """The GRID command grammar in the Java Speech Grammar Format, in the words of the CMU dictionary."""
    rules = [f"<{slot}> = {' | '.join(words)};" for slot, words in GRID_SLOTS.items()]
    sentence = " ".join(f"<{slot}>" for slot in GRID_SLOTS)
    return "\n".join(["#JSGF V1.0;", "grammar grid;", *rules, f"public <sentence> = {sentence};", ""])


class Whisper(Recognizer):
    """openai-whisper (Radford et al. 2022), English, greedy at temperature 0, no text carried over.

    Checkpoints are read as tensors only: nothing in them is ever executed.
    """

    def __init__(self, model: str, *, device: str = "cpu") -> None:
        """Name a checkpoint.

        Args:
            model: a size that whisper knows (``tiny.en`` ...), found in whisper's cache, or a checkpoint
                file.
            device: ``cpu`` or ``cuda``; half precision is used on ``cuda`` only.

        Raises:
            DependencyError: when whisper or the checkpoint is not there.
        """
        self.device = device
        self.path = whisper_checkpoint(model)
        self.name = f"whisper:{self.path.stem}"

    @cached_property
    def signature(self) -> str:
        """Version, hash of the checkpoint, decoding, precision, level rule and rate."""
        precision = "fp16" if self.device.startswith("cuda") else "fp32"
        return (
            f"whisper-{metadata.version('openai-whisper')},{self.path.stem}-{sha256_of(self.path)[:12]},en,greedy-t0,"
            f"no-previous-text,{precision},{LEVEL_RULE},sr{RATE}-{RESAMPLER}"
        )

    @cached_property
    def _model(self) -> Any:
        import pickle

        import torch
        from whisper.model import ModelDimensions
        from whisper.model import Whisper as WhisperModel

        try:
            checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
            model = WhisperModel(ModelDimensions(**checkpoint["dims"]))
            model.load_state_dict(checkpoint["model_state_dict"])
        except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
            raise InputError(f"{self.path}: not a whisper checkpoint that can be read ({error})") from None
        return model.to(self.device).eval()

    def transcribe(self, audio: Audio, *, clip: Clip | None = None) -> str:
        """Transcribe in windows of 30 s."""
        samples = checked_samples(audio, role="utterance", rate=RATE, seconds=(MIN_SECONDS, None))
        from whisper.transcribe import transcribe

        result = transcribe(
            self._model,
            normalize_level(samples, RATE),
            language="en",
            temperature=0.0,
            condition_on_previous_text=False,
            fp16=self.device.startswith("cuda"),
            verbose=None,
        )
        return str(result["text"]).strip()


def whisper_cache() -> Path:
    """Folder in which openai-whisper keeps its checkpoints."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper"


def whisper_checkpoint(model: str) -> Path:
    """Path of a whisper checkpoint: a file, or a known size in whisper's cache. Nothing is downloaded.

    Raises:
        DependencyError: when there is neither; the message says how to get it.
    """
    path = Path(model).expanduser()
    if path.is_file():
        return path
    cache = whisper_cache()
    cached = cache / f"{model}.pt"
    if re.fullmatch(r"[a-z0-9.-]+", model) and cached.is_file():
        return cached
    raise DependencyError(
        f"whisper:{model} is neither a checkpoint file nor in {cache}; "
        f"get it with: doppelbench prefetch whisper:{model}"
    )


class StoredTranscripts(Recognizer):
    """Transcripts made elsewhere, found by the id of the clip."""

    def __init__(self, path: str | Path) -> None:
        """Read a table of transcripts.

        Raises:
            InputError: when it cannot be read or holds an id twice.
        """
        self.path = Path(path)
        self.name = f"stored:{self.path.name}"
        self.transcripts = read_transcripts(self.path)
        self._digest = sha256_of(self.path)[:12]

    @property
    def signature(self) -> str:
        """Hash of the table."""
        return f"stored-{self._digest}"

    def transcribe(self, audio: Audio, *, clip: Clip | None = None) -> str:
        """Return the stored text of ``clip.id``; the audio is not looked at.

        Raises:
            MediaError: ``missing`` when there is none.
        """
        if clip is None or clip.id not in self.transcripts:
            raise MediaError(
                "missing", f"{self.path}: no transcript of {clip.id if clip else 'a nameless clip'}"
            )
        return self.transcripts[clip.id]


def read_transcripts(path: Path) -> dict[str, str]:
    """Read texts by id: CSV with columns ``id`` and ``text``, a JSON object, or trn lines ``text (id)``.

    Raises:
        InputError: naming the file, the line and what is wrong.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as transcripts ({error})") from None
    kind = path.suffix.lower()
    if kind == ".csv":
        pairs = _csv_pairs(path, content)
    elif kind == ".json":
        pairs = _json_pairs(path, content)
    elif kind == ".trn":
        pairs = _trn_pairs(path, content)
    else:
        raise InputError(f"{path}: transcripts end in .csv, .json or .trn")
    texts: dict[str, str] = {}
    for name, text in pairs:
        if name in texts:
            raise InputError(f"{path}: two transcripts of {name}; keep one")
        texts[name] = text
    return texts


def _csv_pairs(path: Path, content: str) -> list[tuple[str, str]]:
    reader = csv.DictReader(content.splitlines())
    missing = {"id", "text"} - set(reader.fieldnames or ())
    if missing:
        raise InputError(
            f"{path}: the first line must name the columns id and text; missing: {sorted(missing)}"
        )
    return [(row["id"], row["text"] or "") for row in reader]


def _json_pairs(path: Path, content: str) -> list[tuple[str, str]]:
    def keep_pairs(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return pairs

    try:
        pairs = json.loads(content, object_pairs_hook=keep_pairs)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(pairs, list) or not all(isinstance(p, tuple) and isinstance(p[1], str) for p in pairs):
        raise InputError(f"{path}: one JSON object from id to text is needed")
    return pairs


def _trn_pairs(path: Path, content: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(.*?)\s*\(([^()\s]+)\)\s*", line)
        if match is None:
            raise InputError(f"{path}, line {number}: not of the form 'text (id)'")
        pairs.append((match[2], match[1]))
    return pairs


def recognizer(name: str | Recognizer, *, device: str = "cpu") -> Recognizer:
    """Return a recogniser by name: ``pocketsphinx``, ``pocketsphinx-grid``, ``whisper:...`` or
    ``stored:...``.

    Raises:
        InputError: for an unknown name.
        DependencyError: when a whisper checkpoint is not there.
    """
    if isinstance(name, Recognizer):
        return name
    kind, _, argument = name.partition(":")
    if name in ("pocketsphinx", "pocketsphinx-grid"):
        return PocketSphinx(grid=name == "pocketsphinx-grid")
    if kind == "whisper" and argument:
        return Whisper(argument, device=device)
    if kind == "stored" and argument:
        return StoredTranscripts(argument)
    raise InputError(
        f"there is no recogniser '{name}'; known are pocketsphinx, pocketsphinx-grid, "
        "whisper:<size or file> and stored:<file.csv, .json or .trn>"
    )
