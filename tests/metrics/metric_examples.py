"""Speech-like signals from a seed, so that the tests of metrics need no recording."""

import numpy as np
from scipy.signal import lfilter

from doppelbench.corpora.media import Audio

FORMANTS = (
    ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240)),
    ((850, 1220, 2810), (310, 2790, 3310), (590, 920, 2710), (370, 950, 2670)),
    ((640, 1190, 2390), (390, 1990, 2550), (490, 1350, 1690), (440, 1020, 2240)),
)
BANDWIDTHS = (80, 90, 120)
SYLLABLE_SECONDS = 0.18


def speech_like(
    *,
    seed: int = 0,
    voice: int = 0,
    seconds: float = 2.0,
    rate: int = 16000,
    pitch: float = 120.0,
    noise_db: float | None = None,
    level: float = 0.1,
) -> Audio:
    """Pulses through three formants, in syllables with pauses between words.

    Args:
        seed: of the vowels, the pauses and the noise.
        voice: which set of formants speaks.
        seconds: duration.
        rate: samples per second.
        pitch: mean fundamental frequency in Hz.
        noise_db: white noise re the signal's power, or None for a little breath.
        level: root mean square of the speech.
    """
    generator = np.random.default_rng(seed)
    total = round(seconds * rate)
    syllable = round(SYLLABLE_SECONDS * rate)
    pieces: list[np.ndarray] = []
    while sum(piece.size for piece in pieces) < total:
        vowel = FORMANTS[voice][generator.integers(4)]
        glide = pitch * (1 + 0.15 * np.sin(np.linspace(0, np.pi, syllable)) + generator.uniform(-0.1, 0.1))
        phase = np.cumsum(glide / rate)
        excitation = (np.diff(np.floor(phase), prepend=0.0) > 0).astype(float)
        excitation += 0.02 * generator.standard_normal(syllable)
        for centre, bandwidth in zip(vowel, BANDWIDTHS, strict=True):
            radius = np.exp(-np.pi * bandwidth / rate)
            angle = 2 * np.pi * centre / rate
            excitation = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], excitation)
        pieces.append(excitation * np.hanning(syllable))
        if generator.random() < 0.25:
            pieces.append(np.zeros(syllable // 2))
    clean = np.concatenate(pieces)[:total]
    clean *= level / np.sqrt(np.mean(clean**2))
    noise = generator.standard_normal(total) * np.sqrt(np.mean(clean**2))
    samples = clean + noise * 10 ** ((-60.0 if noise_db is None else noise_db) / 20)
    return Audio(samples.astype(np.float32), rate)
