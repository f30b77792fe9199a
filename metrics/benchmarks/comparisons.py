"""The table of comparisons: what of ours is timed against what of whose.

Each side gets what it takes: a library that reads files is compared with our metric reading the same files,
one that takes arrays with our kernel on the same arrays. Ours run with an empty cache of features, so that
nothing is computed before the clock starts, except where the cache is what is measured.

To add a comparison, add one ``Comparison`` to :data:`COMPARISONS`; its two makers prepare a pair and return
the call that is timed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from doppelbench.corpora.media import Audio, read_audio
from doppelbench.metrics.benchmarks.speech import RATE, Pair
from doppelbench.metrics.benchmarks.timing import Comparison, Maker
from doppelbench.metrics.feature_cache import CacheSettings, FeatureCache, using

NO_MEMORY = CacheSettings(reference_bytes=0, output_bytes=0)
BUNDLE = ("mcd", "pesq_wb", "stoi", "estoi")
SYSTEMS = 8


def uncached(call: Callable[[], float]) -> Callable[[], float]:
    """The call, with a cache of features that keeps nothing."""

    def run() -> float:
        with using(FeatureCache(settings=NO_MEMORY)):
            return call()

    return run


def scored_files(name: str, **options: Any) -> Maker:
    """A metric of two files of the same words in another timing, reading included."""

    def make(pair: Pair) -> Callable[[], float]:
        from doppelbench.metrics.registry import metric

        scorer = metric(name, **options)
        return uncached(
            lambda: _value(scorer.item(out=read_audio(pair.other_file), ref=read_audio(pair.ref_file)))
        )

    return make


def _value(score: Any) -> float:
    if score.value is None:
        raise RuntimeError(f"the speech of the benchmark could not be scored: {score.reason}")
    return float(score.value)


def _our_stoi(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.stoi_kernel import band_segments, intelligibility

    return uncached(lambda: intelligibility(*band_segments(out=pair.noisy, ref=pair.ref, rate=RATE)))


def _our_estoi(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.stoi_kernel import band_segments, extended_intelligibility

    return uncached(lambda: extended_intelligibility(*band_segments(out=pair.noisy, ref=pair.ref, rate=RATE)))


def _pystoi_stoi(pair: Pair) -> Callable[[], float]:
    import pystoi

    return lambda: float(pystoi.stoi(pair.ref, pair.noisy, RATE))


def _pystoi_estoi(pair: Pair) -> Callable[[], float]:
    import pystoi

    return lambda: float(pystoi.stoi(pair.ref, pair.noisy, RATE, extended=True))


def _our_pesq(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.pesq_kernel import mos_lqo

    return lambda: mos_lqo(out=pair.noisy, ref=pair.ref, band="wb")


def _library_pesq(pair: Pair) -> Callable[[], float]:
    import pesq

    return lambda: float(pesq.pesq(RATE, pair.ref, pair.noisy, "wb"))


def _our_si_sdr(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.si_sdr import scale_invariant_ratio

    return lambda: scale_invariant_ratio(out=pair.noisy, ref=pair.ref)


def _torchmetrics_si_sdr(pair: Pair) -> Callable[[], float]:
    import torch
    from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio

    out, ref = torch.from_numpy(pair.noisy), torch.from_numpy(pair.ref)
    return lambda: float(scale_invariant_signal_noise_ratio(out, ref))


def _films(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Two clips of the pair's duration at 25 frames a second and 64 pixels, so that times are per second."""
    generator = np.random.default_rng(0)
    ref = generator.integers(0, 256, (round(25 * pair.seconds), 64, 64, 3), dtype=np.uint8)
    return np.clip(ref + generator.normal(0, 20, ref.shape), 0, 255).astype(np.uint8), ref


def _our_ssim(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.picture_kernel import frame_ssim

    out, ref = _films(pair)
    return lambda: float(frame_ssim(out, ref).mean())


def _skimage_ssim(pair: Pair) -> Callable[[], float]:
    from skimage.metrics import structural_similarity

    out, ref = _films(pair)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return lambda: float(
        np.mean(
            [
                structural_similarity(*frames, **settings, data_range=255, channel_axis=2)
                for frames in zip(ref, out, strict=True)
            ]
        )
    )


def _our_psnr(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.picture_kernel import frame_mse, psnr

    out, ref = _films(pair)
    return lambda: float(psnr(frame_mse(out, ref)).mean())


def _skimage_psnr(pair: Pair) -> Callable[[], float]:
    from skimage.metrics import peak_signal_noise_ratio

    out, ref = _films(pair)
    return lambda: float(
        np.mean([peak_signal_noise_ratio(*frames, data_range=255) for frames in zip(ref, out, strict=True)])
    )


def _pymcd(pair: Pair) -> Callable[[], float]:
    from pymcd.mcd import Calculate_MCD

    tool = Calculate_MCD("dtw")
    return lambda: float(tool.calculate_mcd(str(pair.ref_file), str(pair.other_file)))


def _world_sptk_fastdtw(pair: Pair) -> Callable[[], float]:
    """Our recipe as the usual scripts assemble it: Harvest, CheapTrick, SPTK, FastDTW."""
    import pysptk
    import pyworld
    from fastdtw import fastdtw

    from doppelbench.metrics.mcd import ALPHA, DB_PER_DISTANCE, HOP_MS, ORDER, active_bounds, frames_within

    def cepstra(path: Any) -> np.ndarray:
        samples = read_audio(path).samples.astype(np.float64)
        pitch, times = pyworld.harvest(samples, RATE, frame_period=HOP_MS)
        power = pyworld.cheaptrick(samples, pitch, times, RATE)
        kept = frames_within(times, active_bounds(samples, RATE), RATE)
        return np.asarray(pysptk.sp2mc(power, ORDER, ALPHA)[kept, 1:])

    def run() -> float:
        cost, path = fastdtw(cepstra(pair.ref_file), cepstra(pair.other_file), dist=2)
        return DB_PER_DISTANCE * cost / len(path)

    return run


def _mel_cepstral_distance_package(pair: Pair) -> Callable[[], float]:
    from mel_cepstral_distance import compare_audio_files

    return lambda: float(compare_audio_files(pair.ref_file, pair.other_file)[0])


def _cepstra(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    from doppelbench.metrics.mcd import cepstral_frames

    ref, other = cepstral_frames(pair.ref, "reference"), cepstral_frames(pair.other, "output")
    return np.ascontiguousarray(ref.cepstra[:, 1:]), np.ascontiguousarray(other.cepstra[:, 1:])


def _our_warping(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.dtw import warp

    ref, other = _cepstra(pair)
    return lambda: warp(ref, other).cost


def _fastdtw_warping(pair: Pair) -> Callable[[], float]:
    from fastdtw import fastdtw

    ref, other = _cepstra(pair)
    return lambda: float(fastdtw(ref, other, dist=2)[0])


def _our_mel_cepstra(pair: Pair) -> Callable[[], float]:
    from doppelbench.metrics.mcd import mel_cepstra, world_envelope

    log_power, _ = world_envelope(pair.ref)
    return lambda: float(mel_cepstra(log_power)[:, 1:].sum())


def _pysptk_mel_cepstra(pair: Pair) -> Callable[[], float]:
    import pysptk

    from doppelbench.metrics.mcd import ALPHA, ORDER, world_envelope

    power = np.exp(world_envelope(pair.ref)[0])
    return lambda: float(pysptk.sp2mc(power, ORDER, ALPHA)[:, 1:].sum())


def _kernels_one_by_one(pair: Pair) -> Callable[[], float]:
    """The kernels of the bundle on arrays, without checks, resampling or anything shared."""
    from doppelbench.metrics.dtw import warp

    stoi, estoi, quality = _our_stoi(pair), _our_estoi(pair), _our_pesq(pair)

    def distortion() -> float:
        return warp(*_cepstra(Pair(pair.ref, pair.noisy, pair.noisy, *_files(pair)))).cost

    distance = uncached(distortion)
    return lambda: stoi() + estoi() + quality() + 0 * distance()


def _files(pair: Pair) -> tuple[Any, Any, Any]:
    return pair.ref_file, pair.noisy_file, pair.other_file


def bundle(pair: Pair) -> Callable[[], float]:
    """The metrics of the bundle on one output, as a run scores them, with nothing known before."""
    from doppelbench.metrics.registry import metric

    scorers = [metric(name) for name in BUNDLE]
    out, ref = (Audio(samples.astype(np.float32), RATE) for samples in (pair.noisy, pair.ref))

    def run() -> float:
        with using(FeatureCache()):
            values = [_value(scorer.item(out=out, ref=ref)) for scorer in scorers]
        return sum(values[1:])

    return run


def many_systems(cached: bool, *names: str) -> Maker:
    """Outputs of eight systems scored against one reference, with or without the cache of features."""

    def make(pair: Pair) -> Callable[[], float]:
        from doppelbench.metrics.registry import metric

        scorers = [metric(name) for name in names]
        ref = Audio(pair.ref.astype(np.float32), RATE)
        mixes = [pair.ref + share * (pair.noisy - pair.ref) for share in np.linspace(0.2, 1.0, SYSTEMS)]
        outs = [Audio(mix.astype(np.float32), RATE) for mix in mixes]

        def run() -> float:
            with using(FeatureCache(settings=None if cached else NO_MEMORY)):
                return sum(_value(scorer.item(out=out, ref=ref)) for scorer in scorers for out in outs)

        return run

    return make


EIGHT = f"{SYSTEMS} systems"
COMPARISONS = (
    Comparison("stoi", _our_stoi, "pystoi", _pystoi_stoi, ("pystoi",), ("pystoi==0.4.1",), 1.5),
    Comparison("estoi", _our_estoi, "pystoi", _pystoi_estoi, ("pystoi",), ("pystoi==0.4.1",), 2.5),
    Comparison("pesq_wb", _our_pesq, "pesq", _library_pesq, ("pesq",), ("pesq==0.0.4",), rounds=3),
    Comparison(
        "si_sdr", _our_si_sdr, "torchmetrics", _torchmetrics_si_sdr, ("torchmetrics",), ("torchmetrics",)
    ),
    Comparison(
        "mcd",
        scored_files("mcd"),
        "pymcd",
        _pymcd,
        ("pymcd", "pysptk"),
        ("pymcd", "'setuptools<82'"),
        same=False,
        rounds=3,
    ),
    Comparison(
        "mcd:hop=10",
        scored_files("mcd", hop=10),
        "pymcd",
        _pymcd,
        ("pymcd", "pysptk"),
        ("pymcd", "'setuptools<82'"),
        8.0,
        same=False,
        rounds=3,
    ),
    Comparison(
        "mcd:f0=harvest",
        scored_files("mcd", f0="harvest"),
        "pyworld + pysptk + fastdtw",
        _world_sptk_fastdtw,
        ("pysptk", "fastdtw"),
        ("pysptk", "fastdtw", "'setuptools<82'"),
        1.0,
        rounds=3,
    ),
    Comparison(
        "mcd_mel",
        scored_files("mcd_mel"),
        "mel_cepstral_distance",
        _mel_cepstral_distance_package,
        ("mel_cepstral_distance",),
        ("mel-cepstral-distance",),
        rounds=3,
    ),
    Comparison(
        "mel-cepstra", _our_mel_cepstra, "pysptk", _pysptk_mel_cepstra, ("pysptk",), ("pysptk",), rounds=3
    ),
    Comparison(
        "time warping", _our_warping, "fastdtw", _fastdtw_warping, ("fastdtw",), ("fastdtw",), rounds=3
    ),
    Comparison("ssim", _our_ssim, "scikit-image", _skimage_ssim, rounds=3),
    Comparison("psnr_frames", _our_psnr, "scikit-image", _skimage_psnr, rounds=3),
    Comparison("bundle", bundle, "its kernels one by one", _kernels_one_by_one, goal=0.8, rounds=5),
    Comparison(
        f"mcd, {EIGHT}", many_systems(True, "mcd"), "without cache", many_systems(False, "mcd"), rounds=3
    ),
    Comparison(
        f"stoi and estoi, {EIGHT}",
        many_systems(True, "stoi", "estoi"),
        "without cache",
        many_systems(False, "stoi", "estoi"),
        rounds=3,
    ),
)
