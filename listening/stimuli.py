"""From original files to what raters hear, so that nothing but the sound itself tells who made it.

A sound becomes 16-bit mono WAV at one rate: a compressed file would tell by its size what is in it. Silence
around the speech is cut off; the speech begins after :data:`LEAD` seconds of silence and has at least
:data:`TRAIL` behind it, and silence fills the file up to the duration that its trial has for all systems. So
header, size, duration and begin are the same, and the active level is that of the house
(:mod:`doppelbench.corpora.level`).

Video becomes H.264 and AAC in MP4 with as many frames as its trial has for all systems, the last one held.
Its compressed size does depend on the pictures, therefore files of one trial are filled up with an empty box
to one size; a program that takes the container apart still finds the inner size, which the leak check says.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import ACTIVE_RANGE_DB, active_level, normalize_level
from doppelbench.corpora.media import (
    Audio,
    Video,
    read_audio,
    read_video,
    resample,
    sha256_of,
    write_audio,
    write_preview,
)

RATE = 16000
# Whole frames of the active level, so that padding does not move its frames.
LEAD = TRAIL = 0.24
# Kept around the speech and faded, so that soft beginnings and endings are not chopped.
MARGIN = 0.04
FRAME = 0.01
# Step of durations: whole samples at every usual rate.
STEP = 0.02
# One moment for all files, so that their times do not tell the order in which they were made.
FILE_TIME = 946684800
CUTOFF = 3500.0
ENVELOPE_HZ = 8.0
# Less speech is none that can be rated.
SHORTEST = 0.1
# A trap begins as any sound of the study; so much of it is heard before the instruction.
TRAP_HEAD = 1.0
TRAP_GAP = 0.15
VIDEO_SUFFIXES = frozenset({".mkv", ".mp4", ".webm", ".mov", ".avi"})
# Pictures of the degraded anchor have so many cells in each direction.
COARSE = 6

Treatment = Literal["none", "low-pass", "noise", "instruction"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a file of the study is made.

    Attributes:
        path: of the original.
        treatment: ``low-pass`` at 3.5 kHz; ``noise`` keeps the loudness over time and nothing else;
            ``instruction`` breaks off and speaks one.
        seconds: duration that it shall have, or None for its own.
        answer: that the instruction asks for.
    """

    path: Path
    treatment: Treatment = "none"
    seconds: float | None = None
    answer: str = ""


def is_video(path: Path) -> bool:
    """Tell by its name whether a file is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def speech_span(samples: np.ndarray, rate: int) -> tuple[int, int]:
    """First and last sample (exclusive) of the speech: frames within 40 dB of the loudest.

    Args:
        samples: mono signal, shape (n,).
        rate: samples per second.

    Returns:
        Multiples of a frame of 10 ms but for the end of the signal; (0, 0) for silence.
    """
    if not samples.size:
        return 0, 0
    frame = round(rate * FRAME)
    starts = np.arange(0, samples.size, frame)
    power = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    if power.max() <= 0.0:
        return 0, 0
    active = np.flatnonzero(power >= power.max() * 10 ** (-ACTIVE_RANGE_DB / 10))
    return int(starts[active[0]]), int(min(samples.size, starts[active[-1]] + frame))


def rounded_up(seconds: float) -> float:
    """The next duration on the grid of :data:`STEP`."""
    return round(float(np.ceil(round(seconds / STEP, 6))) * STEP, 6)


def natural_seconds(path: Path, rate: int = RATE) -> float:
    """Shortest duration that holds all of an original.

    Raises:
        MediaError: it cannot be read, is silent, or holds less than 0.1 s of speech.
    """
    if is_video(path):
        video = read_video(path)
        if video.audio is not None and video.audio.samples.any():
            normalize_level(video.audio.samples, video.audio.rate)
        return rounded_up(len(video.frames) / video.fps)
    samples = _read_speech(path, rate)
    first, last = speech_span(samples, rate)
    if last - first < SHORTEST * rate:
        raise MediaError("too_short", f"{path}: holds {(last - first) / rate:.2f} s of speech")
    return rounded_up(LEAD + (last - first) / rate + TRAIL)


def placed(samples: np.ndarray, rate: int, seconds: float | None = None) -> np.ndarray:
    """Put speech behind the silence of the house and fill it up to a duration; what is longer is cut.

    Args:
        samples: mono signal, shape (n,), with speech in it.
        rate: samples per second.
        seconds: wanted duration; long enough for all of it when None.

    Returns:
        Signal of that duration at the level of the house, float32.
    """
    first, last = speech_span(samples, rate)
    lead, trail, margin = (round(rate * part) for part in (LEAD, TRAIL, MARGIN))
    if seconds is None:
        seconds = rounded_up((lead + last - first + trail) / rate)
    total = round(rate * seconds)
    last = min(last, first + total - lead - trail)
    begin, end = max(0, first - margin), min(samples.size, last + margin)
    piece = samples[begin:end].astype(np.float64)
    # Only what is outside of the speech is faded.
    rise, fall = first - begin, end - last
    piece[:rise] *= np.linspace(0.0, 1.0, rise, endpoint=False)
    piece[piece.size - fall :] *= np.linspace(1.0, 0.0, fall)
    out = np.zeros(total)
    start = lead - rise
    out[start : start + piece.size] = piece
    return normalize_level(out.astype(np.float32), rate)


def low_pass(samples: np.ndarray, rate: int, cutoff: float = CUTOFF) -> np.ndarray:
    """Take away what is above a frequency, without a delay (the low anchor of ITU-R BS.1534).

    Args:
        samples: mono signal, shape (n,).
        rate: samples per second, more than twice the cutoff.
        cutoff: in Hz, where 6 dB are lost.
    """
    from scipy.signal import butter, sosfiltfilt

    sections = butter(8, cutoff, fs=rate, output="sos")
    return np.asarray(sosfiltfilt(sections, samples), np.float32)


def loudness_noise(samples: np.ndarray, rate: int, generator: np.random.Generator) -> np.ndarray:
    """White noise with the loudness of the speech over time: neither words nor a voice are left."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(2, ENVELOPE_HZ, fs=rate, output="sos")
    envelope = np.maximum(0.0, sosfiltfilt(sections, np.abs(samples)))
    return np.asarray(envelope * generator.standard_normal(samples.size), np.float32)


def instruction_text(answer: str, words: str) -> str:
    """What a trap says.

    Args:
        answer: value of the answer, as stored.
        words: of the answer, as the page shows them.
    """
    numbers = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}
    # Otherwise the synthesiser reads the article.
    spoken = {"first": "recording [['eI]]", "second": "recording B"}
    asked = f"the answer {numbers[answer]}" if answer in numbers else spoken.get(answer, words)
    return f"This is an interruption. Please select {asked}"


def speak_instructions(texts: Mapping[str, str], rate: int = RATE) -> dict[str, np.ndarray]:
    """Speak the instructions of traps with the synthesiser of the built-in corpus.

    Args:
        texts: by answer.
        rate: wanted samples per second.

    Returns:
        Speech at the level of the house without silence at its ends, by answer.
    """
    from doppelbench.corpora.talkers.make import synthesize
    from doppelbench.corpora.talkers.settings import TalkersSettings
    from doppelbench.corpora.talkers.voices import Voice

    # Of the synthesiser's voices the one whose numbers a recogniser understood best.
    voice = Voice("instruction", "male", "extra", variant="m1", rate=150)
    spoken = {}
    with tempfile.TemporaryDirectory() as scratch:
        sentences = dict(texts)
        for answer, audio, _ in synthesize(voice, sentences, TalkersSettings(("ada",)), Path(scratch)):
            samples = normalize_level(resample(audio, rate).samples, rate)
            first, last = speech_span(samples, rate)
            spoken[answer] = samples[first:last]
    return spoken


def trap_seconds(instructions: Mapping[str, np.ndarray], rate: int = RATE) -> float:
    """Shortest duration of a trap, for the longest of the instructions."""
    longest = max(samples.size for samples in instructions.values())
    return rounded_up(LEAD + TRAP_HEAD + TRAP_GAP + longest / rate + TRAIL)


def interrupted(samples: np.ndarray, rate: int, seconds: float, instruction: np.ndarray) -> np.ndarray:
    """Let speech begin and break off for an instruction, within a duration.

    Args:
        samples: of the study, shape (n,).
        rate: samples per second.
        seconds: of the whole, silence at its ends included; at least :func:`trap_seconds`.
        instruction: at the level of the house.

    Returns:
        Speech, a short gap and the instruction, without silence at the ends.
    """
    first, last = speech_span(samples, rate)
    gap = round(rate * TRAP_GAP)
    room = round(rate * seconds) - round(rate * LEAD) - round(rate * TRAIL) - gap - instruction.size
    head = normalize_level(samples[first : min(last, first + room)], rate)
    fade = min(head.size, round(rate * MARGIN))
    head[head.size - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return np.concatenate([head, np.zeros(gap, np.float32), instruction])


def render(
    how: Rendering, rate: int = RATE, instructions: Mapping[str, np.ndarray] | None = None
) -> Audio | Video:
    """Make one sound or video of a study.

    Args:
        how: what is made of which original; the noise of the degraded depends on the original's content.
        rate: samples per second.
        instructions: of traps, by answer.

    Raises:
        MediaError: the original cannot be read, or is silent.
    """
    if is_video(how.path):
        return _render_video(how, rate, instructions or {})
    samples = _treated(_read_speech(how.path, rate), how, rate, instructions or {})
    return Audio(placed(samples, rate, how.seconds), rate)


def write_sound(path: Path, audio: Audio, gain: float) -> None:
    """Write a WAV of the study: one gain for all, no metadata, one time."""
    write_audio(path, Audio((gain * audio.samples).astype(np.float32), audio.rate))
    os.utime(path, (FILE_TIME, FILE_TIME))


def write_film(path: Path, video: Video, gain: float) -> None:
    """Write an MP4 of the study; :func:`fill_up` makes sizes equal afterwards."""
    sound = video.audio
    if sound is not None:
        sound = Audio((gain * sound.samples).astype(np.float32), sound.rate)
    write_preview(path, Video(video.frames, video.fps, sound))
    os.utime(path, (FILE_TIME, FILE_TIME))


def fill_up(paths: Sequence[Path]) -> None:
    """Give MP4 files one size by an empty box (ISO/IEC 14496-12, ``free``) at their ends."""
    # A box has at least a header of eight bytes.
    size = max(path.stat().st_size for path in paths) + 8
    for path in paths:
        length = size - path.stat().st_size
        with open(path, "ab") as file:
            file.write(length.to_bytes(4, "big") + b"free" + bytes(length - 8))
        os.utime(path, (FILE_TIME, FILE_TIME))


def peak_of(made: Audio | Video) -> float:
    """Largest magnitude of the sound; 0 for a video without one."""
    audio = made.audio if isinstance(made, Video) else made
    return 0.0 if audio is None else float(np.abs(audio.samples).max(initial=0.0))


def _read_speech(path: Path, rate: int) -> np.ndarray:
    return normalize_level(resample(read_audio(path), rate).samples, rate)


def _noise_of(path: Path) -> np.random.Generator:
    return np.random.default_rng(int(sha256_of(path)[:16], 16))


def _treated(
    samples: np.ndarray, how: Rendering, rate: int, instructions: Mapping[str, np.ndarray]
) -> np.ndarray:
    if how.treatment == "low-pass":
        return low_pass(samples, rate)
    if how.treatment == "noise":
        return loudness_noise(samples, rate, _noise_of(how.path))
    if how.treatment == "instruction":
        if how.seconds is None:
            raise InputError(f"{how.path}: a trap needs a duration")
        return interrupted(samples, rate, how.seconds, instructions[how.answer])
    return samples


def _render_video(how: Rendering, rate: int, instructions: Mapping[str, np.ndarray]) -> Video:
    video = read_video(how.path)
    seconds = len(video.frames) / video.fps if how.seconds is None else how.seconds
    count = max(1, round(seconds * video.fps))
    frames = video.frames[np.minimum(np.arange(count), len(video.frames) - 1)]
    if how.treatment == "noise":
        frames = np.stack([_coarse(frame) for frame in frames])
    if video.audio is None and how.treatment != "instruction":
        return Video(frames, video.fps)
    # Sound keeps its place beside the pictures: it is neither trimmed nor moved.
    samples = np.zeros(round(seconds * rate), np.float32)
    own = samples[:0] if video.audio is None else resample(video.audio, rate).samples
    if own.size and active_level(own, rate) > -np.inf:
        own = normalize_level(own, rate)
        if how.treatment == "instruction":
            first, _ = speech_span(own, rate)
            begin = min(first, round(rate * (LEAD + TRAIL)))
            own = np.pad(_treated(own, how, rate, instructions), (begin, 0))
        else:
            own = _treated(own, how, rate, instructions)
    elif how.treatment == "instruction":
        own = np.pad(instructions[how.answer], (round(rate * (LEAD + TRAP_HEAD)), 0))
    own = own[: samples.size]
    samples[: own.size] = own
    if samples.any():
        samples = normalize_level(samples, rate)
    return Video(frames, video.fps, Audio(samples, rate))


def _coarse(frame: np.ndarray) -> np.ndarray:
    """Replace a picture by cells of one colour each."""
    height, width = frame.shape[:2]
    rows = np.minimum(np.arange(height) * COARSE // height, COARSE - 1)
    columns = np.minimum(np.arange(width) * COARSE // width, COARSE - 1)
    cells = (rows[:, None] * COARSE + columns[None, :]).ravel()
    sizes = np.bincount(cells, minlength=COARSE**2)[:, None]
    sums = np.stack([np.bincount(cells, frame[..., c].ravel(), COARSE**2) for c in range(3)], axis=1)
    means = (sums / np.maximum(sizes, 1)).astype(np.uint8)
    return np.asarray(means[cells].reshape(frame.shape))
