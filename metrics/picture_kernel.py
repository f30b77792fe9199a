"""Numbers of whole clips of pictures: squared errors, PSNR, SSIM and the variance of the Laplacian by frame.

Frames are uint8 RGB of shape (t, height, width, 3), on the scale 0 to 255. Squared errors are summed in whole
numbers, so they are exact and no order of summation can change them; SSIM and the Laplacian are in float64. A
frame is worked on row by row: beside the frames themselves a few rows of numbers are held.

SSIM is that of Wang, Bovik, Sheikh and Simoncelli (IEEE Transactions on Image Processing 13(4), 2004), with
their Gaussian window of 11 x 11 and standard deviation 1.5, population covariances, K1 0.01 and K2 0.03, each
colour channel for itself, averaged over the windows that lie wholly in the picture.

Paper versus code: the authors' script shrinks pictures of more than 384 pixels first and takes luma; here,
as in scikit-image, nothing is shrunk and the channels are averaged.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

PEAK = 255.0
# Equal frames have no finite PSNR. One pixel value of 256 x 256 RGB that is off by one has 101 dB.
CAP_DB = 100.0
SSIM_TAPS = 11
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
# ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)


def frame_mse(out: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """Mean squared error of each frame over pixels and channels, shape (t,), float64, 0 to 65025.

    Args:
        out: frames, uint8, shape (t, height, width, 3).
        ref: as many frames, or a single one that all are compared with.
    """
    rows, ref_rows = _flat(out), _flat(ref)
    sums = np.empty(len(rows), np.int64)
    _compiled(_squared_errors)(rows, ref_rows, sums)
    return sums / rows.shape[1]


def motion_mse(out: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """Mean squared difference between the changes of two clips from frame to frame.

    Args:
        out: frames, uint8, shape (t, height, width, 3), t at least 2.
        ref: as many frames, or a single one: a clip in which nothing moves.

    Returns:
        Shape (t - 1,), float64, 0 to 260100.
    """
    rows, ref_rows = _flat(out), _flat(ref)
    sums = np.empty(len(rows) - 1, np.int64)
    _compiled(_squared_motion_errors)(rows, ref_rows, sums)
    return sums / rows.shape[1]


def psnr(mse: np.ndarray | float, peak: float = PEAK) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of mean squared errors, at most 100 dB; shape of ``mse``."""
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(peak**2 / np.asarray(mse, np.float64)), CAP_DB)


def gaussian_window(taps: int = SSIM_TAPS, sigma: float = SSIM_SIGMA) -> np.ndarray:
    """One dimension of the Gaussian window, shape (taps,), with sum 1."""
    offsets = np.arange(taps) - taps // 2
    weights = np.exp(-0.5 * np.square(offsets / sigma))
    return weights / weights.sum()


def frame_ssim(out: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """Structural similarity of each frame, mean over channels and whole windows.

    Args:
        out: frames, uint8, shape (t, height, width, 3), height and width at least 11.
        ref: as many frames.

    Returns:
        Shape (t,), float64, -1 to 1.
    """
    t, height, width, channels = out.shape
    values = np.empty(t)
    constants = (SSIM_K1 * PEAK) ** 2, (SSIM_K2 * PEAK) ** 2
    shape = t, height, width * channels
    frames = [np.ascontiguousarray(clip).reshape(shape) for clip in (out, ref)]
    _compiled(_similarities)(*frames, gaussian_window(), channels, *constants, values)
    return values


def laplacian_variance(frames: np.ndarray) -> np.ndarray:
    """Variance of the Laplacian of each frame's luma (BT.601), the borders left out.

    The Laplacian is the four neighbours less four times the pixel; its variance is a measure of focus after
    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000).

    Args:
        frames: uint8, shape (t, height, width, 3), height and width at least 3.

    Returns:
        Shape (t,), float64.
    """
    values = np.empty(len(frames))
    for index, frame in enumerate(frames):
        luma = frame @ np.array(LUMA)
        inner = luma[1:-1, 1:-1]
        neighbours = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
        values[index] = np.var(neighbours - 4 * inner)
    return values


def _flat(frames: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frames).reshape(len(frames), -1)


@lru_cache(maxsize=8)
def _compiled(function: Callable[..., None]) -> Callable[..., Any]:
    import numba

    try:
        return numba.njit(cache=True, error_model="numpy")(function)  # type: ignore[no-any-return]
    except RuntimeError:
        # No folder for the compiled code can be written to: compile in every process.
        return numba.njit(error_model="numpy")(function)  # type: ignore[no-any-return]


def _squared_errors(out, ref, sums):  # type: ignore[no-untyped-def]
    for t in range(out.shape[0]):
        first, second = out[t], ref[min(t, ref.shape[0] - 1)]
        total = np.int64(0)
        for j in range(first.size):
            error = np.int32(first[j]) - np.int32(second[j])
            total += error * error
        sums[t] = total


def _squared_motion_errors(out, ref, sums):  # type: ignore[no-untyped-def]
    for t in range(out.shape[0] - 1):
        before, after = out[t], out[t + 1]
        ref_before, ref_after = ref[min(t, ref.shape[0] - 1)], ref[min(t + 1, ref.shape[0] - 1)]
        total = np.int64(0)
        for j in range(before.size):
            motion = np.int32(after[j]) - np.int32(before[j])
            error = motion - (np.int32(ref_after[j]) - np.int32(ref_before[j]))
            total += error * error
        sums[t] = total


def _similarities(out, ref, window, channels, c1, c2, values):  # type: ignore[no-untyped-def]
    frames, height, row = out.shape
    taps = window.size
    half = taps // 2
    reach = channels * (taps - 1)
    valid = row - reach
    # Both means, the mean of x^2 + y^2 and the mean of x y are all that SSIM needs.
    ring = np.empty((4, taps, row))
    column = np.empty((4, row))
    mean = np.empty((4, valid))
    similarity = np.empty(valid)
    for t in range(frames):
        total = 0.0
        for i in range(height):
            slot = i % taps
            first, second, squares, product = ring[0, slot], ring[1, slot], ring[2, slot], ring[3, slot]
            out_row, ref_row = out[t, i], ref[t, i]
            for j in range(row):
                a, b = np.float64(out_row[j]), np.float64(ref_row[j])
                first[j] = a
                second[j] = b
                squares[j] = a * a + b * b
                product[j] = a * b
            if i < taps - 1:
                continue
            for m in range(4):
                sums, middle = column[m], ring[m, (i - half) % taps]
                for j in range(row):
                    sums[j] = window[half] * middle[j]
                for k in range(half):
                    weight = window[k]
                    upper, lower = ring[m, (i - k) % taps], ring[m, (i - taps + 1 + k) % taps]
                    for j in range(row):
                        sums[j] += weight * (upper[j] + lower[j])
                means = mean[m]
                for j in range(valid):
                    means[j] = window[half] * sums[j + channels * half]
                for k in range(half):
                    weight = window[k]
                    left, right = sums[channels * k :], sums[reach - channels * k :]
                    for j in range(valid):
                        means[j] += weight * (left[j] + right[j])
            for j in range(valid):
                mean_product = mean[0, j] * mean[1, j]
                mean_squares = mean[0, j] * mean[0, j] + mean[1, j] * mean[1, j]
                alike = (2 * mean_product + c1) * (2 * (mean[3, j] - mean_product) + c2)
                similarity[j] = alike / ((mean_squares + c1) * (mean[2, j] - mean_squares + c2))
            for j in range(valid):
                total += similarity[j]
        values[t] = total / (valid * (height - taps + 1))
