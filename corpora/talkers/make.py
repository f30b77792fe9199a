"""Make the clips of one person; run as ``python -m doppelbench.corpora.talkers.make``.

Reads one JSON request (``settings``, ``speaker``, ``directory``) from standard input, writes the clips and
``person.json`` (their list) into the directory, and prints the seconds of speech finished so far, one number
a line.
"""

import json
import math
import subprocess
import sys
import tempfile
import wave
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, Video, read_audio, resample, sha256_of, write_audio, write_video
from doppelbench.corpora.talkers.articulation import STRESS_MARKS
from doppelbench.corpora.talkers.face import Head, face_of
from doppelbench.corpora.talkers.film import film
from doppelbench.corpora.talkers.sentences import balanced_grid_sentences, spoken_form, training_sentences
from doppelbench.corpora.talkers.settings import FPS, RATE, TalkersSettings
from doppelbench.corpora.talkers.voices import VOICES, Voice, voice_of

# A quiet room, 44 dB under the speech: without it pauses are digital silence, where logarithms of spectra
# jump to their floor and say more of the floor than of the speaker.
NOISE_DB = -70.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.10, 0.25
SECONDS_PER_SENTENCE = 2.4
# espeak-ng reports a stop at its release; the silent closure before it was measured on all voices.
CLOSURE_SECONDS = {"p": 0.05, "t": 0.05, "k": 0.05, "tS": 0.05, "b": 0.03, "g": 0.03}


def random_of(settings: TalkersSettings, *what: str) -> np.random.Generator:
    """Return a random generator for one purpose, independent of the order in which clips are made."""
    return np.random.default_rng([settings.seed, zlib.crc32("|".join(what).encode())])


def synthesize(
    voice: Voice, sentences: dict[str, str], settings: TalkersSettings, directory: Path
) -> Iterator[tuple[str, Audio, dict[str, Any]]]:
    """Speak sentences in a child process.

    Args:
        voice: who speaks.
        sentences: sentence by clip id.
        settings: their seed is used.
        directory: for the raw files.

    Yields:
        Clip id, sound at espeak-ng's own rate and level, and espeak-ng's timing.
    """
    utterances = [
        {
            "id": name,
            "text": spoken_form(sentence),
            "seed": zlib.crc32(f"{settings.seed}|{sentence}".encode()) & 0x7FFFFFFF,
        }
        for name, sentence in sentences.items()
    ]
    request = {
        "directory": str(directory),
        "variant": voice.variant,
        "timbre": voice.timbre,
        "rate": voice.rate,
        "pitch": voice.pitch,
        "range": voice.range,
        "utterances": utterances,
    }
    subprocess.run(
        [sys.executable, "-m", "doppelbench.corpora.talkers.speak"],
        input=json.dumps(request).encode(),
        check=True,
    )
    for name in sentences:
        with wave.open(str(directory / f"{name}.wav"), "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        timing = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
        yield name, Audio(samples.astype(np.float32) / 32768, timing["rate"]), timing


def record(audio: Audio, generator: np.random.Generator) -> tuple[Audio, float]:
    """Put the voice into a quiet room: 16 kHz, pauses at both ends, noise, the level of the house.

    Returns:
        The recording, and the seconds by which the speech was shifted.
    """
    speech = normalize_level(resample(audio, RATE).samples, RATE)
    before, after = (round(RATE * pause) for pause in generator.uniform(SHORTEST_PAUSE, LONGEST_PAUSE, 2))
    samples = np.pad(speech, (before, after)).astype(np.float64)
    samples += generator.standard_normal(samples.size) * 10 ** (NOISE_DB / 20)
    return Audio(normalize_level(samples.astype(np.float32), RATE), RATE), before / RATE


def aligned(timing: dict[str, Any], sentence: str, shift: float, seconds: float) -> dict[str, Any]:
    """Turn espeak-ng's events into intervals that cover the recording.

    Returns:
        ``phonemes`` and ``words``, lists of [name, start, end] in seconds. Phonemes are espeak-ng's
        mnemonics with their stress marks; ``_`` is silence. Words that espeak-ng runs together ("that a")
        are one interval, and one that is linked to its neighbour may begin a consonant early, as espeak-ng
        reports it.
    """
    names, starts = ["_"], [0.0]
    for event, start in timing["phonemes"]:
        begin = start + shift - CLOSURE_SECONDS.get(event.lstrip(STRESS_MARKS), 0.0)
        starts.append(max(begin, (starts[-1] + start + shift) / 2))
        names.append("_" if event.startswith("_") else event)
    phonemes: list[list[Any]] = []
    for name, start, end in zip(names, starts, [*starts[1:], seconds], strict=True):
        if name == "_" and phonemes and phonemes[-1][0] == "_":
            phonemes[-1][2] = round(end, 4)
        elif end > start:
            phonemes.append([name, round(start, 4), round(end, 4)])
    speech_end = phonemes[-1][1] if phonemes[-1][0] == "_" else seconds
    spoken, written = spoken_form(sentence), sentence.split()
    firsts = [0] + [spoken[:position].count(" ") for position, _ in timing["words"][1:]]
    word_starts = [start + shift for _, start in timing["words"]]
    words = [
        [" ".join(written[first:last]), round(start, 4), round(end, 4)]
        for first, last, start, end in zip(
            firsts, [*firsts[1:], len(written)], word_starts, [*word_starts[1:], speech_end], strict=True
        )
    ]
    return {"phonemes": phonemes, "words": words}


class PersonMaker:
    """Makes the clips of one person."""

    def __init__(self, settings: TalkersSettings, speaker: str, directory: Path) -> None:
        self.settings = settings
        self.voice = voice_of(speaker)
        self.directory = directory
        self.clips: list[dict[str, Any]] = []
        self.seconds = 0.0
        index = VOICES.index(self.voice)
        self.head = Head(face_of(self.voice.name, self.voice.gender, index), settings.size)

    def make(self) -> None:
        """Make all clips and write ``person.json`` last."""
        settings = self.settings
        count = settings.dev_sentences + settings.test_sentences
        parallel = balanced_grid_sentences(count, f"{settings.seed}|parallel")
        self._make_split("test", parallel[: settings.test_sentences])
        self._make_split("dev", parallel[settings.test_sentences :])
        wanted = settings.source_seconds if self.voice.role == "source" else settings.target_seconds
        sentences = training_sentences(f"{settings.seed}|{self.voice.name}", exclude=parallel)
        enough = self.seconds + wanted
        while self.seconds < enough:
            count = 1 + int((enough - self.seconds) / SECONDS_PER_SENTENCE)
            self._make_split("train", list(islice(sentences, count)), enough)
        content = json.dumps(self.clips, indent=1)
        (self.directory / "person.json").write_text(content, encoding="utf-8")

    def _make_split(self, split: str, sentences: list[str], enough: float = math.inf) -> None:
        first = sum(clip["split"] == split for clip in self.clips)
        texts = {
            f"{self.voice.name}_{split}_{number:04d}": text for number, text in enumerate(sentences, first)
        }
        with tempfile.TemporaryDirectory() as scratch:
            for name, audio, timing in synthesize(self.voice, texts, self.settings, Path(scratch)):
                self._make_clip(name, split, texts[name], audio, timing)
                if self.seconds >= enough:
                    return

    def _make_clip(self, name: str, split: str, text: str, audio: Audio, timing: dict[str, Any]) -> None:
        recording, shift = record(audio, random_of(self.settings, self.voice.name, text, "room"))
        alignment = aligned(timing, text, shift, recording.seconds)
        path = self.directory / f"{name}.flac"
        write_audio(path, recording)
        files = [path, self._write_json(f"{name}.phonemes.json", alignment)]
        if self.settings.video:
            generator = random_of(self.settings, self.voice.name, text, "head")
            frames, truth = film(self.head, alignment["phonemes"], recording.seconds, FPS, generator)
            write_video(path.with_suffix(".mkv"), Video(frames, FPS, read_audio(path)))
            files += [path.with_suffix(".mkv"), self._write_json(f"{name}.face.json", {"fps": FPS, **truth})]
        self.clips.append(
            {
                "id": name,
                "speaker": self.voice.name,
                "text": text,
                "split": split,
                "seconds": round(recording.seconds, 4),
                "files": {
                    file.name: {"bytes": file.stat().st_size, "sha256": sha256_of(file)} for file in files
                },
            }
        )
        self.seconds += recording.seconds
        sys.stdout.write(f"{self.seconds:.3f}\n")
        sys.stdout.flush()

    def _write_json(self, name: str, content: dict[str, Any]) -> Path:
        path = self.directory / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    settings = TalkersSettings(**{**request["settings"], "speakers": tuple(request["settings"]["speakers"])})
    PersonMaker(settings, request["speaker"], Path(request["directory"])).make()


if __name__ == "__main__":
    main()
