"""Text to speech with espeak-ng, as a program of its own.

espeak-ng is under the GPL, therefore it is reached over a process boundary only: this module is run as
``python -m doppelbench.corpora.talkers.speak``, reads one JSON request from standard input and writes files.
It uses the standard library alone, and nothing else in the project may import it.

The request holds ``directory``, the voice (``variant``, one of espeak-ng's own, or ``timbre``, lines of a
voice file; ``rate``, ``pitch`` and ``range``) and ``utterances``, a list of objects with ``id``, ``text``
and ``seed``. For each utterance ``<id>.wav`` (16-bit mono at the synthesiser's own rate) and ``<id>.json``
are written; the latter holds ``rate``, ``phonemes`` as a list of [mnemonic, start in seconds], and
``words`` as a list of [first character in the text, start in seconds].
"""

import ctypes
import json
import os
import sys
import wave
from pathlib import Path
from typing import Any

AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_PHONEME_EVENTS = 0x0001
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
PHONEMES_IN_BRACKETS = 0x100
POSITION_CHARACTER = 1
PARAMETERS = {"rate": 1, "pitch": 3, "range": 4}
EVENT_END_OF_LIST, EVENT_WORD, EVENT_PHONEME = 0, 1, 7


class _Identifier(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of espeak-ng's ``speak_lib.h``."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def voice_definition(data: Path, request: dict[str, Any]) -> str:
    """Return a voice file: American English with one of espeak-ng's variants or with the request's timbre."""
    language = (data / "lang" / "gmw" / "en-US").read_text(encoding="utf-8")
    if request["timbre"]:
        return f"{language}\n{request['timbre']}\n"
    variant = (data / "voices" / "!v" / request["variant"]).read_text(encoding="utf-8")
    lines = [line for line in variant.splitlines() if not line.startswith(("language", "name"))]
    return "\n".join([language, *lines, ""])


class Synthesizer:
    """espeak-ng with one voice."""

    def __init__(self, request: dict[str, Any]) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        data = str(espeakng_loader.get_data_path()).encode()
        options = INITIALIZE_PHONEME_EVENTS | INITIALIZE_DONT_EXIT
        self.rate = self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, options)
        if self.rate <= 0:
            raise RuntimeError(f"espeak-ng did not start (status {self.rate})")
        definition = Path(request["directory"]) / "voice"
        definition.write_text(voice_definition(Path(data.decode()), request), encoding="utf-8")
        if self._library.espeak_ng_SetVoiceByFile(str(definition).encode()) != 0:
            raise RuntimeError("espeak-ng refused the definition of the voice")
        for name, number in PARAMETERS.items():
            self._library.espeak_SetParameter(number, int(request[name]), 0)
        self._samples = bytearray()
        self._phonemes: list[tuple[str, float]] = []
        self._words: list[tuple[int, float]] = []
        # ctypes keeps no reference of its own to a callback.
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._samples += ctypes.string_at(samples, 2 * count)
        index = 0
        while events[index].type != EVENT_END_OF_LIST:
            event = events[index]
            seconds = event.audio_position / 1000
            if event.type == EVENT_PHONEME:
                self._phonemes.append((event.id.string.decode(), seconds))
            elif event.type == EVENT_WORD:
                self._words.append((event.text_position - 1, seconds))
            index += 1
        return 0

    def speak(self, text: str, seed: int) -> tuple[bytes, dict[str, Any]]:
        """Return the samples (16-bit) and the timing of one utterance; ``seed`` is that of breath noise."""
        self._samples = bytearray()
        self._phonemes, self._words = [], []
        self._library.espeak_ng_SetRandSeed(seed)
        encoded = text.encode()
        self._library.espeak_Synth(
            encoded, len(encoded) + 1, 0, POSITION_CHARACTER, 0, CHARS_UTF8 | PHONEMES_IN_BRACKETS, None, None
        )
        self._library.espeak_Synchronize()
        timing = {
            "rate": self.rate,
            "phonemes": self._phonemes,
            "words": self._words,
        }
        return bytes(self._samples), timing


def write_utterance(synthesizer: Synthesizer, directory: Path, utterance: dict[str, Any]) -> None:
    """Speak one utterance and write its sound and its timing."""
    samples, timing = synthesizer.speak(utterance["text"], utterance["seed"])
    with wave.open(str(directory / f"{utterance['id']}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(synthesizer.rate)
        file.writeframes(samples)
    (directory / f"{utterance['id']}.json").write_text(json.dumps(timing), encoding="utf-8")


def main() -> None:
    """Speak the utterances of the request on standard input.

    espeak-ng carries state (phase, flutter, noise) from one utterance to the next, so each one is spoken in
    a fork of the freshly started synthesiser: its bytes then depend on its text and voice alone.
    """
    request = json.load(sys.stdin)
    directory = Path(request["directory"])
    synthesizer = Synthesizer(request)
    for utterance in request["utterances"]:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                write_utterance(synthesizer, directory, utterance)
                status = 0
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(f"espeak-ng failed on utterance {utterance['id']}")


if __name__ == "__main__":
    main()
