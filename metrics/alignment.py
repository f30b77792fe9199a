"""One global lag between two signals, found by bounded cross-correlation.

A vocoder or a video-to-speech system may shift its whole output by a hop; measures that compare instant by
instant then fall although nothing audible is wrong. The lag is reported by the metric ``lag`` and taken off
by the option ``align`` of those measures.
"""

from dataclasses import dataclass

import numpy as np

from doppelbench.corpora.errors import InputError

MAX_LAG_MS = 100.0
ALIGN_RULE = f"align-xcorr-{MAX_LAG_MS:g}ms"


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
    from scipy.fft import irfft, next_fast_len, rfft

    bound = min(round(rate * MAX_LAG_MS / 1000), ref.size - 1)
    out, ref = out - out.mean(), ref - ref.mean()
    length = next_fast_len(ref.size + bound, real=True)
    correlation = irfft(rfft(out, length) * np.conj(rfft(ref, length)), length)
    lags = np.arange(-bound, bound + 1)
    lags = lags[np.argsort(np.abs(lags), kind="stable")]
    values = correlation[lags]
    best = int(values.argmax())
    energy = float(np.linalg.norm(out) * np.linalg.norm(ref))
    peak = float(values[best]) / energy if energy else 0.0
    return Lag(int(lags[best]), min(1.0, peak), bool(abs(lags[best]) == bound))


def shifted(*, out: np.ndarray, ref: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of two signals of one length that overlap once ``out`` is moved back by ``lag`` samples."""
    end = ref.size - abs(lag)
    return (out[lag:], ref[:end]) if lag >= 0 else (out[:end], ref[-lag:])


def check_align(name: str, align: bool) -> bool:
    """The option ``align``.

    Raises:
        InputError: when it is neither true nor false; ``name`` is the metric in the message.
    """
    if not isinstance(align, bool):
        raise InputError(f"{name}: align is true or false, not '{align}'")
    return align


def aligned(
    *, out: np.ndarray, ref: np.ndarray, rate: int
) -> tuple[np.ndarray, np.ndarray, dict[str, float | bool]]:
    """Take the best lag off.

    Returns:
        The overlapping parts of ``out`` and ``ref``, and for the statistics ``lag_ms`` (positive when the
        output is late), ``lag_peak`` and ``lag_at_bound``.
    """
    found = best_lag(out=out, ref=ref, rate=rate)
    stats = {
        "lag_ms": 1000 * found.samples / rate,
        "lag_peak": found.peak,
        "lag_at_bound": found.at_bound,
    }
    return *shifted(out=out, ref=ref, lag=found.samples), stats
