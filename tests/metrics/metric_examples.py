"""Speech-like signals from a seed, so that the tests of metrics need no recording."""

from importlib.util import find_spec

import numpy as np
import pytest
from scipy.signal import lfilter

from doppelbench.corpora.media import Audio

FORMANTS = (
    ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240)),
    ((850, 1220, 2810), (310, 2790, 3310), (590, 920, 2710), (370, 950, 2670)),
    ((640, 1190, 2390), (390, 1990, 2550), (490, 1350, 1690), (440, 1020, 2240)),
)
BANDWIDTHS = (80, 90, 120)
SYLLABLE_SECONDS = 0.18

OPTIONAL_PACKAGES = {
    **dict.fromkeys(("dnsmos_bak", "dnsmos_ovrl", "dnsmos_p808", "dnsmos_sig"), ("speechmos", "mos")),
}


def skip_without_backend(name: str) -> None:
    """Skip a test of a metric whose optional package is not installed."""
    package, extra = OPTIONAL_PACKAGES.get(name, ("", ""))
    if package and find_spec(package) is None:
        pytest.skip(f"{name} needs the package {package}: pip install 'doppelbench[{extra}]'")


def sung_vowel(
    *, voice: int = 0, low: float = 100.0, high: float = 119.0, seconds: float = 1.2, rate: int = 16000
) -> Audio:
    """One vowel without a gap, its pitch rising from ``low`` to ``high`` in Hz: no frame is doubtful."""
    phase = np.cumsum(np.geomspace(low, high, round(seconds * rate)) / rate)
    excitation = (np.diff(np.floor(phase), prepend=0.0) > 0).astype(float)
    samples = _through_formants(excitation, FORMANTS[voice][0], rate)
    samples *= 0.05 / np.sqrt(np.mean(samples**2))
    samples += 5e-5 * np.random.default_rng(0).standard_normal(samples.size)
    return Audio(samples.astype(np.float32), rate)


def _through_formants(excitation: np.ndarray, formants: tuple[int, ...], rate: int) -> np.ndarray:
    for centre, bandwidth in zip(formants, BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * bandwidth / rate)
        angle = 2 * np.pi * centre / rate
        excitation = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], excitation)
    return excitation


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
        pieces.append(_through_formants(excitation, vowel, rate) * np.hanning(syllable))
        if generator.random() < 0.25:
            pieces.append(np.zeros(syllable // 2))
    clean = np.concatenate(pieces)[:total]
    clean *= level / np.sqrt(np.mean(clean**2))
    noise = generator.standard_normal(total) * np.sqrt(np.mean(clean**2))
    samples = clean + noise * 10 ** ((-60.0 if noise_db is None else noise_db) / 20)
    return Audio(samples.astype(np.float32), rate)
