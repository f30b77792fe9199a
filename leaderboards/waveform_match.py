"""Is one recording a copy of another, whatever its level, polarity and place in time?"""

import numpy as np

# Rate at which waveforms are compared: a copy that was band-limited is still one.
RATE = 8000
# At least so much of the shorter recording has to lie beside the longer one, with so much of its energy.
OVERLAP = 0.5
ENERGY = 0.25


def waveform_match(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest absolute correlation of two signals of one rate over all shifts.

    Args:
        first: shape (n,).
        second: shape (m,).

    Returns:
        0 to 1, computed over the part where the signals lie beside each other; 0 when one is silent. A copy
        that is shifted, cut at its ends, inverted or at another level has 1.
    """
    x = first.astype(np.float64) - first.mean() if first.size else first
    y = second.astype(np.float64) - second.mean() if second.size else second
    energy_x, energy_y = float(x @ x), float(y @ y)
    if not energy_x or not energy_y:
        return 0.0
    length = 1 << (x.size + y.size - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(x, length) * np.conj(np.fft.rfft(y, length)), length)
    lags = np.arange(-(y.size - 1), x.size)
    begin, end = np.maximum(lags, 0), np.minimum(x.size, lags + y.size)
    sums_x = np.concatenate([[0.0], np.cumsum(x * x)])
    sums_y = np.concatenate([[0.0], np.cumsum(y * y)])
    beside_x = sums_x[end] - sums_x[begin]
    beside_y = sums_y[end - lags] - sums_y[begin - lags]
    usable = (
        (end - begin >= OVERLAP * min(x.size, y.size))
        & (beside_x >= ENERGY * energy_x)
        & (beside_y >= ENERGY * energy_y)
    )
    if not usable.any():
        return 0.0
    values = np.abs(product[lags[usable]]) / np.sqrt(beside_x[usable] * beside_y[usable])
    return float(min(1.0, values.max()))
