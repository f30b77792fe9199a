"""Simulated recording conditions: the same speech as it would sound in another room or over a telephone.

They stand for several recordings of one person in different surroundings where a corpus has none. They are
simulations and no recordings: a voice does not change with its room here, as it does in life. Loudness is no
condition, because everything is brought to one level before it is heard.

* ``studio``: as it was recorded;
* ``room``: convolved with white noise that decays by 60 dB in half a second, 6 dB below the direct sound in
  energy;
* ``telephone``: the band from 300 to 3400 Hz (Butterworth, order 4, forward and back);
* ``street``: noise that falls by 3 dB an octave, 15 dB below the speech.

The same clip in the same condition has the same samples.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio, sha256_of, write_audio

CONDITIONS = ("studio", "room", "telephone", "street")
DECAY_SECONDS = 0.5
REVERBERANT_DB = -6.0
TELEPHONE_HZ = (300.0, 3400.0)
SPEECH_TO_NOISE_DB = 15.0


def in_condition(samples: np.ndarray, rate: int, condition: str, seed: int = 0) -> np.ndarray:
    """Return a signal as it would sound in a condition.

    Args:
        samples: mono signal, shape (n,), nominal range -1 to 1.
        rate: samples per second, above 6800.
        condition: one of ``CONDITIONS``.
        seed: of room and noise.

    Returns:
        Float32 of shape (n,), at the level of the house except for ``studio``, which is unchanged.

    Raises:
        MediaError: the signal is silent or not finite.
    """
    if condition == "studio":
        return samples
    generator = np.random.default_rng([seed, CONDITIONS.index(condition)])
    speech = normalize_level(samples, rate).astype(np.float64)
    if condition == "room":
        heard = in_a_room(speech, rate, generator)
    elif condition == "telephone":
        heard = over_a_telephone(speech, rate)
    else:
        heard = speech + pink_noise(speech.size, rate, generator) * 10 ** (-SPEECH_TO_NOISE_DB / 20)
    return normalize_level(heard.astype(np.float32), rate)


def in_a_room(
    speech: np.ndarray,
    rate: int,
    generator: np.random.Generator,
    *,
    decay_seconds: float = DECAY_SECONDS,
    reverberant_db: float = REVERBERANT_DB,
) -> np.ndarray:
    """Convolve with white noise that decays by 60 dB, the direct sound unchanged; same length, float64.

    Args:
        speech: mono signal, shape (n,).
        rate: samples per second.
        generator: of the room.
        decay_seconds: time in which the noise decays by 60 dB.
        reverberant_db: its energy re the direct sound.
    """
    from scipy.signal import fftconvolve

    time = np.arange(round(decay_seconds * rate)) / rate
    tail = generator.standard_normal(time.size) * 10 ** (-3 * time / decay_seconds)
    tail *= 10 ** (reverberant_db / 20) / np.linalg.norm(tail)
    tail[0] += 1.0
    return np.asarray(fftconvolve(speech, tail)[: speech.size])


def over_a_telephone(speech: np.ndarray, rate: int) -> np.ndarray:
    """Keep the band of a telephone; same length, float64."""
    from scipy.signal import butter, sosfiltfilt

    return np.asarray(sosfiltfilt(butter(4, TELEPHONE_HZ, "bandpass", fs=rate, output="sos"), speech))


def pink_noise(size: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """Noise that falls by 3 dB an octave from 50 Hz on, shape (size,), at the level of the house, float64."""
    spectrum = np.fft.rfft(generator.standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    spectrum /= np.sqrt(np.maximum(frequencies, 50.0))
    noise = np.fft.irfft(spectrum, size).astype(np.float32)
    return normalize_level(noise, rate).astype(np.float64)


def spread_over_conditions(clips: Sequence[Clip], count: int, folder: Path) -> list[Clip]:
    """Let clips be recorded in turn in so many conditions; the amount of speech stays the same.

    Args:
        clips: with audio; one that cannot be read is left as it is, for the training to name.
        count: conditions, 1 to 4; 1 returns the clips as they are.
        folder: where the recordings are written, one FLAC file for each clip outside the studio.

    Returns:
        The clips in the same order, each with the condition as its ``style``.
    """
    if count == 1:
        return list(clips)
    recorded = []
    for number, clip in enumerate(clips):
        condition = CONDITIONS[number % count]
        try:
            recorded.append(_recorded(clip, condition, folder))
        except MediaError:
            recorded.append(clip)
    return recorded


def record_in_condition(clips: Sequence[Clip], condition: str, folder: Path) -> list[Clip]:
    """Let all clips be recorded in one condition, as if the people had been there.

    Args:
        clips: with their content hashes; their sound is recorded anew, pictures are left out.
        condition: one of ``CONDITIONS``.
        folder: where the recordings lie by the hash of what was recorded; those that are there are taken.

    Returns:
        The clips in the same order with the condition in ``style`` and at the end of ``id``.

    Raises:
        InputError: there is no such condition.
        MediaError: a clip cannot be read or is silent.
    """
    if condition not in CONDITIONS:
        raise InputError(f"there is no condition {condition!r}; there are {', '.join(CONDITIONS)}")
    recorded = []
    for clip in clips:
        named = replace(clip, id=f"{clip.id}_{condition}")
        span = f"{clip.start or 0:g}-{'' if clip.end is None else f'{clip.end:g}'}"
        place = folder / condition / f"{clip.sha256}_{span}"
        # What lies under the hash of its content is what would be made again.
        recorded.append(_recorded(named, condition, place, keep=True))
    return recorded


def _recorded(clip: Clip, condition: str, folder: Path, *, keep: bool = False) -> Clip:
    if condition == "studio" or clip.audio is None:
        return replace(clip, style=condition)
    path = folder / f"{quote(clip.id, safe=' ')}.flac"
    if not (keep and path.is_file()):
        audio = read_audio(clip.audio, start=clip.start, end=clip.end)
        samples = in_condition(audio.samples, audio.rate, condition, zlib.crc32(clip.id.encode()))
        folder.mkdir(parents=True, exist_ok=True)
        write_audio(path, Audio(samples, audio.rate))
    return replace(
        clip, audio=str(path), video=None, start=None, end=None, style=condition, sha256=sha256_of(path)
    )
