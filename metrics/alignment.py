"""One global lag between two signals, found by bounded cross-correlation.

A vocoder or a video-to-speech system may shift its whole output by a hop; measures that compare instant by
instant then fall although nothing audible is wrong. The lag is reported by the metric ``lag`` and taken off
by the option ``align`` of those measures.

Waveforms find it to the sample where the output has the phases of the reference. A vocoder that makes its
own (Griffin-Lim) puts their peak some pitch periods beside the true lag; log-mel spectrograms find the lag of
such signals to the millisecond.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.features import MelSettings, log_mel
from doppelbench.corpora.level import normalize_level

Resemblance = Literal["waveform", "mel"]
Align = bool | Literal["mel"]

MAX_LAG_MS = 100.0
MAX_MEL_LAG_MS = 200.0
# Name in signatures, and bound.
RULES = {"waveform": ("xcorr", MAX_LAG_MS), "mel": ("logmel-xcorr", MAX_MEL_LAG_MS)}


@dataclass(frozen=True, slots=True)
class Lag:
    """Where the cross-correlation peaks.

    Attributes:
        samples: by which the output is late; negative when it is early.
        peak: correlation coefficient there, -1 to 1; a small one says that the lag means little.
        at_bound: whether the largest lag that is looked for was found, so that the true one may lie beyond.
    """

    samples: int
    peak: float
    at_bound: bool


def best_lag(*, out: np.ndarray, ref: np.ndarray, rate: int) -> Lag:
    """Lag of at most 100 ms at which two signals of one length correlate best; of equals the smallest.

    Args:
        out: shape (n,).
        ref: shape (n,).
        rate: samples per second of both.
    """
    bound = min(round(rate * MAX_LAG_MS / 1000), ref.size - 1)
    return _peak((out - out.mean())[:, None], (ref - ref.mean())[:, None], bound)


def best_mel_lag(*, out: np.ndarray, ref: np.ndarray, rate: int) -> Lag:
    """Lag of at most 200 ms, in whole milliseconds, at which two log-mel spectrograms correlate best.

    Both signals are brought to one level; bands have 60 dB of range, and their means are taken off.

    Args:
        out: shape (n,).
        ref: shape (n,).
        rate: samples per second of both, a multiple of 1000.
    """
    hop = rate // 1000
    settings = MelSettings(
        rate=rate,
        n_fft=32 * hop,
        window=25 * hop,
        hop=hop,
        n_mels=40,
        low_hz=80.0,
        high_hz=min(7600.0, rate / 2),
        min_db=-60.0,
        max_db=0.0,
    )
    heard, said = (_even_spectrogram(samples, rate, settings) for samples in (out, ref))
    found = _peak(heard, said, min(round(MAX_MEL_LAG_MS), len(said) - 1))
    return replace(found, samples=hop * found.samples)


def _peak(heard: np.ndarray, said: np.ndarray, bound: int) -> Lag:
    """Shift in rows, at most ``bound``, at which two arrays (rows, bands) with means of 0 correlate best."""
    from scipy.fft import irfft, next_fast_len, rfft

    length = next_fast_len(len(said) + bound, real=True)
    spectra = rfft(heard, length, axis=0) * np.conj(rfft(said, length, axis=0))
    correlation = irfft(spectra.sum(axis=1), length)
    lags = np.arange(-bound, bound + 1)
    lags = lags[np.argsort(np.abs(lags), kind="stable")]
    values = correlation[lags]
    best = int(values.argmax())
    energy = float(np.linalg.norm(heard) * np.linalg.norm(said))
    peak = float(values[best]) / energy if energy else 0.0
    return Lag(int(lags[best]), min(1.0, peak), bool(abs(lags[best]) == bound))


def _even_spectrogram(samples: np.ndarray, rate: int, settings: MelSettings) -> np.ndarray:
    if not samples.any():
        return np.zeros((1 + samples.size // settings.hop, settings.n_mels))
    mel = log_mel(normalize_level(samples.astype(np.float32), rate), settings).astype(np.float64)
    return mel - mel.mean(axis=0)


def find_lag(*, out: np.ndarray, ref: np.ndarray, rate: int, by: Resemblance) -> Lag:
    """The best lag by the resemblance of waveforms or of log-mel spectrograms."""
    return (best_lag if by == "waveform" else best_mel_lag)(out=out, ref=ref, rate=rate)


def shifted(*, out: np.ndarray, ref: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of two signals of one length that overlap once ``out`` is moved back by ``lag`` samples."""
    end = ref.size - abs(lag)
    return (out[lag:], ref[:end]) if lag >= 0 else (out[:end], ref[-lag:])


def check_align(name: str, align: Align) -> Align:
    """The option ``align``.

    Raises:
        InputError: when it is none of its values; ``name`` is the metric in the message.
    """
    if align != "mel" and not isinstance(align, bool):
        raise InputError(f"{name}: align is true, false or mel, not '{align}'")
    return align


def resemblance(align: Align) -> Resemblance:
    """What the option ``align`` compares, where it is not false."""
    return "mel" if align == "mel" else "waveform"


def align_rule(align: Align) -> str:
    """Part of a signature; empty without alignment."""
    name, bound = RULES[resemblance(align)]
    return f"|align-{name}-{bound:g}ms" if align else ""


def aligned(
    *, out: np.ndarray, ref: np.ndarray, rate: int, by: Resemblance
) -> tuple[np.ndarray, np.ndarray, dict[str, float | bool]]:
    """Take the best lag off.

    Returns:
        The overlapping parts of ``out`` and ``ref``, and for the statistics ``lag_ms`` (positive when the
        output is late), ``lag_peak`` and ``lag_at_bound``.
    """
    found = find_lag(out=out, ref=ref, rate=rate, by=by)
    stats = {
        "lag_ms": 1000 * found.samples / rate,
        "lag_peak": found.peak,
        "lag_at_bound": found.at_bound,
    }
    return *shifted(out=out, ref=ref, lag=found.samples), stats
