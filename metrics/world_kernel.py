"""Parts of the vocoder WORLD (Morise et al., IEICE 2016) for whole signals: DIO, StoneMask and CheapTrick.

The algorithms of the package pyworld, which runs them frame by frame in C++: here the Fourier transforms of
all frames go in one call, those of DIO have a length that fits the signal, its filters are kept from signal
to signal, and the loops are compiled. CheapTrick gives the logarithm of the envelope, of which mel-cepstra
are made. The faint noise that the package adds to each frame comes from the same generator, so that frames
of digital silence are the same too.

F0 agrees with that of pyworld 0.3.5 to 1e-8 Hz; the logarithm of the envelope to rounding, and to 1e-5 in
bins 150 dB below the strongest, where the running sum of CheapTrick itself leaves no more digits.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np

# DIO: Morise, Kawahara and Katayose, AES 2009; the range and the bands are the package's.
LOW_HZ = 71.0
HIGH_HZ = 800.0
BANDS_PER_OCTAVE = 2.0
LOW_CUT_HZ = 50.0
ALLOWED_CHANGE = 0.1
NO_SCORE = 100000.0
TINY = 1e-12
# CheapTrick: Morise, Speech Communication 2015. Unvoiced frames are analysed as if they had this F0.
UNVOICED_HZ = 500.0
RECOVERY = -0.15
EPSILON = 2.220446049250313e-16
NOISE_SEED = np.array([123456789, 362436069, 521288629, 88675123], np.uint32)
KEPT_DRAWS = 1 << 22
# Frames at work at a time, so that memory does not grow with the length of the signal.
CHUNK = 2048
# StoneMask leaves lower voices alone.
LOWEST_REFINED_HZ = 40.0
# Nuttall's window of four terms.
NUTTALL = (0.355768, -0.487396, 0.144232, -0.012604)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return numba.njit(cache=True, error_model="numpy")(function)  # type: ignore[no-any-return]
    except RuntimeError:
        # No folder for the compiled code can be written to: compile in every process.
        return numba.njit(error_model="numpy")(function)  # type: ignore[no-any-return]


def _rounded(value: float) -> int:
    return int(value + 0.5)


def envelope_size(rate: int) -> int:
    """Length of CheapTrick's Fourier transform at a rate: three periods of 71 Hz fit twice."""
    return int(2 ** (1 + int(np.log2(3.0 * rate / LOW_HZ + 1))))


def log_envelope(samples: np.ndarray, pitch: np.ndarray, rate: int, hop_seconds: float) -> np.ndarray:
    """Logarithm of the power spectrum envelope by CheapTrick.

    Args:
        samples: float64, shape (n,).
        pitch: F0 of each frame in Hz, 0 where unvoiced, shape (frames,).
        rate: samples per second.
        hop_seconds: between frames.

    Returns:
        Shape (frames, n_fft / 2 + 1).
    """
    from scipy.fft import dct

    size = envelope_size(rate)
    bins = size // 2 + 1
    used = np.where(pitch <= 3.0 * rate / (size - 3.0), UNVOICED_HZ, pitch)
    draws = np.cumsum(2 * (1.5 * rate / used + 0.5).astype(np.int64) + 1 + bins)
    result = np.empty((used.size, bins))
    state, drawn = NOISE_SEED.copy(), 0
    for first in range(0, used.size, CHUNK):
        part = slice(first, min(first + CHUNK, used.size))
        until = int(draws[part.stop - 1])
        if draws[-1] <= KEPT_DRAWS:
            noise = _kept_noise()[drawn:until]
        else:
            noise = np.empty(until - drawn, np.uint32)
            _draw(state, noise)
        drawn = until
        windowed = np.zeros((part.stop - first, size))
        _window_frames(samples, used[part], first, float(rate), hop_seconds, noise, windowed)
        smooth = np.empty((part.stop - first, bins))
        _smooth_frames(np.fft.rfft(windowed, axis=1), used[part], float(rate), noise, smooth)
        np.log(smooth, out=smooth)
        # The transform of a real even sequence, given by one half of it.
        cepstra = dct(smooth, type=1, axis=1, overwrite_x=True)
        _lift(cepstra, used[part], float(rate))
        result[part] = dct(cepstra, type=1, axis=1, overwrite_x=True)
    return result


@lru_cache(maxsize=1)
def _kept_noise() -> np.ndarray:
    """The first draws, 16 MB, which every signal of up to 20 s needs."""
    noise = np.empty(KEPT_DRAWS, np.uint32)
    _draw(NOISE_SEED.copy(), noise)
    return noise


@_compiled
def _draw(state, noise):  # type: ignore[no-untyped-def]
    """Sums of twelve draws of Marsaglia's xorshift of 128 bits, 28 bits each; ``state`` moves on."""
    x, y, z, w = state
    for position in range(noise.size):
        total = np.uint32(0)
        for _ in range(12):
            mixed = np.uint32(x ^ np.uint32(x << np.uint32(11)))
            x, y, z = y, z, w
            w = np.uint32(w ^ np.uint32(w >> np.uint32(19)) ^ mixed ^ np.uint32(mixed >> np.uint32(8)))
            total = np.uint32(total + np.uint32(w >> np.uint32(4)))
        noise[position] = total
    state[0], state[1], state[2], state[3] = x, y, z, w


@_compiled
def _window_frames(samples, pitch, first, rate, hop, noise, windowed):  # type: ignore[no-untyped-def]
    """Three periods around each frame under a Hann window of unit energy, its weighted mean taken off."""
    last, bins = samples.size - 1, windowed.shape[1] // 2 + 1
    window = np.empty(windowed.shape[1])
    drawn = 0
    for frame in range(pitch.size):
        half = int(1.5 * rate / pitch[frame] + 0.5)
        origin = int((first + frame) * hop * rate + 0.001 + 0.5)
        energy = 0.0
        for i in range(half + 1):
            value = 0.5 * np.cos(np.pi * (i / 1.5 / rate) * pitch[frame]) + 0.5
            window[half + i] = value
            window[half - i] = value
            energy += value * value * (1.0 if i == 0 else 2.0)
        scale = 1.0 / np.sqrt(energy)
        total, weight = 0.0, 0.0
        for i in range(2 * half + 1):
            window[i] *= scale
            added = (noise[drawn + i] / 268435456.0 - 6.0) * TINY
            value = samples[min(last, max(0, origin + i - half))] * window[i] + added
            windowed[frame, i] = value
            total += value
            weight += window[i]
        mean = total / weight
        for i in range(2 * half + 1):
            windowed[frame, i] -= window[i] * mean
        drawn += 2 * half + 1 + bins


@_compiled
def _lift(cepstra, pitch, rate):  # type: ignore[no-untyped-def]
    """Smooth over F0 by a sinc, and recover what that takes from the harmonics; divide by the length."""
    bins = cepstra.shape[1]
    size = 2 * (bins - 1)
    for frame in range(pitch.size):
        step = np.pi * pitch[frame] / rate
        turn_sine, turn_cosine = np.sin(step), np.cos(step)
        sine, cosine = 0.0, 1.0
        cepstra[frame, 0] /= size
        for i in range(1, bins):
            sine, cosine = sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine
            # cos 2x = 1 - 2 sin^2 x.
            cepstra[frame, i] *= sine / (step * i) * (1.0 - 4.0 * RECOVERY * sine * sine) / size


@_compiled
def _smooth_frames(spectra, pitch, rate, noise, smooth):  # type: ignore[no-untyped-def]
    """Replace what lies under F0 by its mirror image, then average over two thirds of F0."""
    bins = spectra.shape[1]
    size = 2 * (bins - 1)
    step = rate / size
    power, spectrum = np.empty(bins), np.empty(bins)
    total = np.empty(3 * bins)
    drawn = 0
    for frame in range(pitch.size):
        f0 = pitch[frame]
        drawn += 2 * int(1.5 * rate / f0 + 0.5) + 1
        for i in range(bins):
            power[i] = spectra[frame, i].real ** 2 + spectra[frame, i].imag ** 2
        spectrum[:] = power
        for i in range(1 + int(f0 / step)):
            position = f0 / step - i
            base = int(position)
            following = power[base + 1] if base < int(f0 / step) + 2 else power[base]
            spectrum[i] += power[base] + (following - power[base]) * (position - base)
        width = f0 * 2.0 / 3.0
        edge = int(width / step) + 1
        running = 0.0
        for i in range(bins + 2 * edge):
            index = i - edge
            if index < 0:
                index = -index
            elif index > bins - 1:
                index = 2 * (bins - 1) - index
            running += spectrum[index] * step
            total[i] = running
        origin = -(edge - 0.5) * step
        for i in range(bins):
            low = (i * step - width / 2.0 - origin) / step
            base = int(low)
            below = total[base] + (total[base + 1] - total[base]) * (low - base)
            high = (i * step + width / 2.0 - origin) / step
            base = int(high)
            above = total[base] + (total[base + 1] - total[base]) * (high - base)
            added = abs(noise[drawn + i] / 268435456.0 - 6.0) * EPSILON
            smooth[frame, i] = (above - below) / width + added
        drawn += bins


def stonemask(samples: np.ndarray, pitch: np.ndarray, rate: int, hop_seconds: float) -> np.ndarray:
    """F0 refined by the instantaneous frequency of its first harmonics (StoneMask).

    Args:
        samples: float64, shape (n,).
        pitch: F0 of each frame in Hz, 0 where unvoiced, shape (frames,).
        rate: samples per second.
        hop_seconds: between frames.

    Returns:
        Shape (frames,), in Hz; 0 at or below 40 Hz and above a twelfth of the rate.
    """
    return np.asarray(_refine(samples, pitch, float(rate), hop_seconds))


@_compiled
def _refine(samples, pitch, rate, hop):  # type: ignore[no-untyped-def]
    refined = np.zeros(pitch.size)
    longest = int(1.5 * rate / LOWEST_REFINED_HZ + 1.0)
    window, wave, slope = np.empty(2 * longest + 1), np.empty(2 * longest + 1), np.empty(2 * longest + 1)
    index = np.empty(2 * longest + 1, np.int64)
    last = samples.size - 1
    for frame in range(pitch.size):
        f0 = pitch[frame]
        if f0 <= LOWEST_REFINED_HZ or f0 > rate / 12.0:
            continue
        half = int(1.5 * rate / f0 + 1.0)
        count = 2 * half + 1
        size = 2 ** (2 + int(np.log2(count)))
        position = frame * (1000.0 * hop) / 1000.0
        for i in range(count):
            # Between two samples the rounding of this very expression decides, as in the package.
            near = (position + (i - half) / rate) * rate
            index[i] = int(near + 0.5) if near > 0 else int(near - 0.5)
            cosine = np.cos(2.0 * np.pi * ((index[i] - 1.0) / rate - position) / (count / rate))
            window[i] = 0.42 + 0.5 * cosine + 0.08 * (2.0 * cosine * cosine - 1.0)
        for i in range(count):
            before = window[i - 1] if i > 0 else 0.0
            after = window[i + 1] if i < count - 1 else 0.0
            value = samples[max(0, min(last, index[i] - 1))]
            wave[i] = value * window[i]
            slope[i] = value * (before - after) / 2.0
        tentative = _harmonic_mean(wave[:count], slope[:count], rate, size, f0, 2)
        mean = 0.0
        if 0.0 < tentative <= 2.0 * f0:
            mean = _harmonic_mean(wave[:count], slope[:count], rate, size, tentative, 6)
        refined[frame] = f0 if abs(mean - f0) > 0.2 * f0 else mean
    return refined


@_compiled
def _harmonic_mean(wave, slope, rate, size, f0, harmonics):  # type: ignore[no-untyped-def]
    """F0 by the instantaneous frequencies of the bins nearest to its harmonics, weighted by amplitude."""
    total, weight = 0.0, 0.0
    for harmonic in range(1, harmonics + 1):
        place = min(int(f0 * size / rate * harmonic + 0.5), size // 2)
        turn_cosine, turn_sine = np.cos(2.0 * np.pi * place / size), np.sin(2.0 * np.pi * place / size)
        cosine, sine = 1.0, 0.0
        real, imaginary, slope_real, slope_imaginary = 0.0, 0.0, 0.0, 0.0
        for i in range(wave.size):
            real += wave[i] * cosine
            imaginary -= wave[i] * sine
            slope_real += slope[i] * cosine
            slope_imaginary -= slope[i] * sine
            cosine, sine = cosine * turn_cosine - sine * turn_sine, sine * turn_cosine + cosine * turn_sine
        power = real**2 + imaginary**2
        frequency = 0.0
        if power > 0.0:
            change = real * slope_imaginary - imaginary * slope_real
            frequency = place * rate / size + change / power * rate / 2.0 / np.pi
        amplitude = np.sqrt(power)
        total += amplitude * frequency
        weight += amplitude * harmonic
    return total / (weight + TINY)


def dio(samples: np.ndarray, rate: int, hop_seconds: float) -> np.ndarray:
    """F0 in Hz by DIO, 0 where unvoiced, between 71 and 800 Hz.

    Args:
        samples: float64, shape (n,).
        rate: samples per second.
        hop_seconds: between frames.

    Returns:
        Shape (frames,), the first at 0 s.
    """
    # In this order, as WORLD does: else a whole number of hops comes out a little less, and a frame is lost.
    frames = int(1000.0 * samples.size / rate / (1000.0 * hop_seconds)) + 1
    length = samples.size + 1
    bands = 1 + int(np.log2(HIGH_HZ / LOW_HZ) * BANDS_PER_OCTAVE)
    upper = LOW_HZ * 2.0 ** (np.arange(1, bands + 1) / BANDS_PER_OCTAVE)
    signal = np.append(samples, 0.0)
    signal -= signal.mean()
    size = _size(length + 2 * _rounded(rate / LOW_CUT_HZ) + 2 * _reach(rate, upper[0]) + 2)
    spectrum = np.fft.rfft(signal, n=size)
    candidates, scores = np.zeros((bands, frames)), np.full((bands, frames), NO_SCORE)
    for band, response in enumerate(_responses(rate, size)):
        filtered = np.fft.irfft(spectrum * response, n=size)[:length]
        _band_candidates(filtered, float(rate), hop_seconds, upper[band], candidates[band], scores[band])
    return np.asarray(_track(candidates, scores, 1 + 2 * _rounded(1 / hop_seconds / LOW_HZ)))


def _reach(rate: int, upper_hz: float) -> int:
    return 2 * _rounded(rate / upper_hz / 2.0)


def _size(least: int) -> int:
    """The next of 4, 5, 6 or 7 times a power of two: quick to transform, and few, so that filters last."""
    power = 1 << max(0, (least - 1).bit_length() - 3)
    return -(-least // power) * power


@lru_cache(maxsize=8)
def _responses(rate: int, size: int) -> list[np.ndarray]:
    """Frequency responses of DIO's filters: above 50 Hz, and low-pass by Nuttall's window for each band."""
    cut = _rounded(rate / LOW_CUT_HZ)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, 2 * cut + 2) / (2 * cut + 2))
    low_cut = np.zeros(size)
    low_cut[np.arange(-cut, cut + 1)] = -hann / hann.sum()
    low_cut[0] += 1.0
    common = np.fft.rfft(low_cut)
    responses = []
    for band in range(1 + int(np.log2(HIGH_HZ / LOW_HZ) * BANDS_PER_OCTAVE)):
        reach = _reach(rate, LOW_HZ * 2.0 ** ((band + 1) / BANDS_PER_OCTAVE))
        position = 2 * np.pi * np.arange(2 * reach) / (2 * reach - 1)
        window = np.zeros(size)
        window[np.arange(2 * reach) - reach] = sum(
            factor * np.cos(order * position) for order, factor in enumerate(NUTTALL)
        )
        responses.append(common * np.fft.rfft(window))
    return responses


@_compiled
def _nearest(candidates, expected):  # type: ignore[no-untyped-def]
    """The candidate nearest to what is expected, or 0 when it is a tenth away."""
    best = candidates[0]
    for candidate in candidates:
        if abs(expected - candidate) < abs(expected - best):
            best = candidate
    return best if abs(1.0 - best / expected) <= ALLOWED_CHANGE else 0.0


@_compiled
def _band_candidates(signal, rate, hop, upper, candidates, scores):  # type: ignore[no-untyped-def]
    """Mean of the inverse intervals between four kinds of events, and how much the four differ."""
    frames, length = candidates.size, signal.size
    values = np.empty((4, frames))
    edges = np.empty(length)
    for kind in range(4):
        count = 0
        sign = 1.0 if kind % 2 == 0 else -1.0
        # Zero crossings of the signal, falling and rising; then those of its difference, peaks and dips.
        end = length - 1 if kind < 2 else length - 2
        here = sign * (signal[0] if kind < 2 else signal[0] - signal[1])
        for i in range(end):
            following = sign * (signal[i + 1] if kind < 2 else signal[i + 1] - signal[i + 2])
            if here > 0.0 and following <= 0.0:
                edges[count] = i + 1 - here / (following - here)
                count += 1
            here = following
        if count - 1 <= 2:
            return
        segment = 0
        for frame in range(frames):
            position = frame * hop
            while segment < count - 3 and position >= (edges[segment + 1] + edges[segment + 2]) / 2.0 / rate:
                segment += 1
            first = (edges[segment] + edges[segment + 1]) / 2.0 / rate
            second = (edges[segment + 1] + edges[segment + 2]) / 2.0 / rate
            rate_first = rate / (edges[segment + 1] - edges[segment])
            rate_second = rate / (edges[segment + 2] - edges[segment + 1])
            share = (position - first) / (second - first)
            values[kind, frame] = rate_first + share * (rate_second - rate_first)
    for frame in range(frames):
        mean = (values[0, frame] + values[1, frame] + values[2, frame] + values[3, frame]) / 4.0
        spread = 0.0
        for kind in range(4):
            spread += (values[kind, frame] - mean) ** 2
        if mean > upper or mean < upper / 2.0 or mean > HIGH_HZ or mean < LOW_HZ:
            continue
        candidates[frame] = mean
        scores[frame] = np.sqrt(spread / 3.0) / (mean + TINY)


@_compiled
def _track(candidates, scores, shortest):  # type: ignore[no-untyped-def]
    """The best candidate of each frame where it changes slowly, continued in both directions."""
    bands, frames = candidates.shape
    best = np.zeros(frames)
    for frame in range(frames):
        lowest = scores[0, frame]
        best[frame] = candidates[0, frame]
        for band in range(1, bands):
            if scores[band, frame] < lowest:
                lowest = scores[band, frame]
                best[frame] = candidates[band, frame]
    if frames <= shortest:
        return best
    base = np.zeros(frames)
    base[shortest : frames - shortest] = best[shortest : frames - shortest]
    steady = np.zeros(frames)
    for frame in range(shortest, frames):
        if abs((base[frame] - base[frame - 1]) / (TINY + base[frame])) < ALLOWED_CHANGE:
            steady[frame] = base[frame]
    centre = (shortest - 1) // 2
    track = steady.copy()
    for frame in range(centre, frames - centre):
        for shift in range(-centre, centre + 1):
            if steady[frame + shift] == 0:
                track[frame] = 0.0
                break
    ends = np.empty(frames, np.int64)
    starts = np.empty(frames, np.int64)
    number_ends, number_starts = 0, 0
    for frame in range(1, frames):
        if track[frame] == 0 and track[frame - 1] != 0:
            ends[number_ends] = frame - 1
            number_ends += 1
        elif track[frame - 1] == 0 and track[frame] != 0:
            starts[number_starts] = frame
            number_starts += 1
    for section in range(number_ends):
        limit = frames - 1 if section == number_ends - 1 else ends[section + 1]
        for frame in range(ends[section], limit):
            track[frame + 1] = 0.0
            expected = (3 * track[frame] - track[frame - 1]) / 2.0
            track[frame + 1] = _nearest(candidates[:, frame + 1], expected)
            if track[frame + 1] == 0:
                break
    for section in range(number_starts - 1, -1, -1):
        limit = 1 if section == 0 else starts[section - 1]
        for frame in range(starts[section], limit, -1):
            expected = (3 * track[frame] - track[frame + 1]) / 2.0
            track[frame - 1] = _nearest(candidates[:, frame - 1], expected)
            if track[frame - 1] == 0:
                break
    return track
