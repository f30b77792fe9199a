"""SSIM and PSNR of a clip take a fraction of the time of scikit-image for the same values."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from doppelbench.metrics.picture_kernel import frame_mse, frame_ssim, psnr

FRAMES = 10
ROUNDS = 5
SIZES = (64, 96, 256)
# Least ratio of the times; measured are 8 to 13 for SSIM and 9 to 14 for PSNR.
SSIM_RATIO, PSNR_RATIO = 3.0, 3.0

Frames = np.ndarray


def films(size: int) -> tuple[Frames, Frames]:
    generator = np.random.default_rng(0)
    ref = generator.integers(0, 256, (FRAMES, size, size, 3), dtype=np.uint8)
    noisy = np.clip(ref + generator.normal(0, 20, ref.shape), 0, 255)
    return ref, noisy.astype(np.uint8)


def own_ssim(ref: Frames, out: Frames) -> Frames:
    return frame_ssim(out, ref)


def skimage_ssim(ref: Frames, out: Frames) -> Frames:
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return np.array(
        [
            structural_similarity(*pair, **settings, data_range=255, channel_axis=2)
            for pair in zip(ref, out, strict=True)
        ]
    )


def own_psnr(ref: Frames, out: Frames) -> Frames:
    return psnr(frame_mse(out, ref))


def skimage_psnr(ref: Frames, out: Frames) -> Frames:
    return np.array([peak_signal_noise_ratio(*pair, data_range=255) for pair in zip(ref, out, strict=True)])


def best_cpu_seconds(function: Callable[[], object]) -> float:
    """Least CPU time of a few calls, which a busy machine does not stretch."""
    times = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        function()
        times.append(time.thread_time() - start)
    return min(times)


@pytest.mark.benchmark(group="SSIM and PSNR")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("own", "library", "least"),
    [(own_ssim, skimage_ssim, SSIM_RATIO), (own_psnr, skimage_psnr, PSNR_RATIO)],
    ids=["ssim", "psnr"],
)
def test_faster_than_scikit_image_for_the_same_values(benchmark, own, library, least, size) -> None:
    ref, out = films(size)
    np.testing.assert_allclose(own(ref, out), library(ref, out), atol=1e-6)
    benchmark.pedantic(own, args=(ref, out), rounds=ROUNDS, warmup_rounds=1)
    seconds, reference = (best_cpu_seconds(lambda f=f: f(ref, out)) for f in (own, library))
    benchmark.extra_info |= {
        "own_ms_per_frame": 1e3 * seconds / FRAMES,
        "scikit_image_ms_per_frame": 1e3 * reference / FRAMES,
        "ratio": reference / seconds,
    }
    assert reference > least * seconds
