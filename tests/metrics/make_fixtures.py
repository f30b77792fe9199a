"""Make the fixture files of the metrics anew: known answers from reference libraries on signals from a seed.

Run ``python tests/metrics/make_fixtures.py``. A changed value is a changed reference library: look at the
difference before committing it. The verdicts of the contract are not measured; they are those of
``contract_verdicts.py``.
"""

import json
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import jiwer
import librosa
import mel_cepstral_distance
import numpy as np
import pesq
import pystoi
import pyworld
import resemblyzer
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.spatial
import scipy.stats
import skimage
import skimage.metrics
import soundfile
import speechmos.dnsmos
import torch
from contract_verdicts import CONTRACT
from metric_examples import speech_like
from video_examples import lpips_weights, moving_picture, talking_picture

FOLDER = Path(__file__).parent / "fixtures"
PAIRS = {
    "noise at 0 dB": ({"seed": 1}, {"seed": 1, "noise_db": 0.0}),
    "noise at -15 dB": ({"seed": 2, "pitch": 180.0}, {"seed": 2, "pitch": 180.0, "noise_db": -15.0}),
    "another voice": ({"seed": 3}, {"seed": 3, "voice": 1, "pitch": 200.0}),
    "other words": ({"seed": 4, "seconds": 1.5}, {"seed": 5, "voice": 2, "seconds": 1.55}),
}
PICTURES = {
    "noise": ({"seed": 1}, {"seed": 1, "noise": 20}),
    "one frame late": ({"seed": 2}, {"seed": 2, "lag": 1}),
    "darker": ({"seed": 3, "height": 37, "width": 51}, {"seed": 3, "height": 37, "width": 51, "percent": 70}),
    "another picture": ({"seed": 4, "frames": 2}, {"seed": 5, "frames": 2, "noise": 3}),
}
MOUTHS = {
    "itself": ({"seed": 1}, {"seed": 1}),
    "one frame late": ({"seed": 1}, {"seed": 1, "lag": 1}),
    "another mouth with noise": ({"seed": 2}, {"seed": 3, "noise": 25}),
}
# Film that the readout is learned from, film of the person who speaks, film that is drawn.
FOLLOWED = {
    "the speaker's own motion": ({"seed": 1}, {"seed": 2}, {"seed": 2}),
    "one frame late": ({"seed": 1}, {"seed": 2}, {"seed": 2, "lag": 1}),
    "another motion with noise": ({"seed": 1}, {"seed": 2}, {"seed": 3, "noise": 20}),
    "more frames than pixels": (
        {"seed": 4, "frames": 60, "size": 32},
        {"seed": 5, "size": 32},
        {"seed": 5, "size": 32},
    ),
}
TEXTS = [
    ("x", "x x y y"),
    ("x y x", "x z"),
    ("x", "y z"),
    ("this is a test", "this test"),
    ("bin blue at f two now", "bin blue by s two now"),
    ("place green with a nine soon", ""),
]


def write(name: str, source: str, cases: list[dict], **extra: object) -> None:
    """Write one fixture file."""
    content = {"metric": name, "expected_from": source, **extra, "cases": cases}
    # Metrics of pictures have their verdicts in a file of their own.
    if name in CONTRACT:
        content["contract"] = CONTRACT[name]
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def signal_cases(expected, tolerance: float, **changed: float) -> list[dict]:
    """One case per pair of signals, with ``changed`` properties, scored by the reference library."""
    cases = []
    for name, pair in PAIRS.items():
        ref, out = (spec | changed for spec in pair)
        signals = [speech_like(**spec).samples.astype(np.float64) for spec in (ref, out)]
        case = {"name": name, "ref": ref, "out": out}
        cases.append(case | {"expected": float(expected(*signals)), "tolerance": tolerance})
    return cases


def cut(ref: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both signals in the length of the shorter."""
    return ref[: out.size], out[: ref.size]


def kubichek(ref: np.ndarray, out: np.ndarray) -> float:
    """mel_cepstral_distance with its defaults and an exact path."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("ref.wav", "out.wav")]
        for path, samples in zip(paths, (ref, out), strict=True):
            soundfile.write(path, samples, 16000, subtype="DOUBLE")
        return mel_cepstral_distance.compare_audio_files(*paths, dtw_radius=None)[0]


def loud_frames(samples: np.ndarray, times: np.ndarray, rate: int = 16000) -> np.ndarray:
    """Which times lie between the first and the last 20 ms within 40 dB of the loudest."""
    frame = rate // 50
    blocks = [np.mean(samples[start : start + frame] ** 2) for start in range(0, samples.size, frame)]
    loud = [index for index, value in enumerate(blocks) if value >= max(blocks) * 1e-4]
    return (times >= loud[0] * 0.02) & (times < min((loud[-1] + 1) * frame, samples.size) / rate)


def projected_cepstra(
    samples: np.ndarray,
    *,
    rate: int = 16000,
    alpha: float = 0.41,
    orders: range = range(1, 25),
    trim: np.ndarray | None = None,
) -> np.ndarray:
    """Mel-cepstra by numerical projection of the log envelope on cosines of the warped frequency.

    ``trim`` is the signal whose silence says what is cut off; the samples themselves when None.
    """
    coarse, times = pyworld.dio(samples, rate, frame_period=5.0)
    power = pyworld.cheaptrick(samples, pyworld.stonemask(samples, coarse, times, rate), times, rate)
    kept = loud_frames(samples if trim is None else trim, times, rate)
    omega = np.linspace(0, np.pi, power.shape[1])
    warped = omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))
    slope = (1 - alpha**2) / (1 + alpha**2 - 2 * alpha * np.cos(omega))
    cosines = np.cos(np.array(orders)[:, None] * warped)
    integrand = 0.5 * np.log(power[kept])[:, None, :] * cosines * slope
    share = np.where(np.array(orders) == 0, 1, 2) / np.pi
    return share * np.trapezoid(integrand, omega, axis=2)


def distortion(ref: np.ndarray, out: np.ndarray) -> float:
    """MCD from projected cepstra and librosa's time warping."""
    return warped_distortion(projected_cepstra(ref), projected_cepstra(out))


def warped_distortion(ref: np.ndarray, out: np.ndarray, *, per_reference_frame: bool = False) -> float:
    """Distortion of two sequences of cepstra on librosa's path."""
    total, path = librosa.sequence.dtw(X=ref.T, Y=out.T, metric="euclidean")
    return 10 / np.log(10) * np.sqrt(2) * total[-1, -1] / (len(ref) if per_reference_frame else len(path))


def variant_cases() -> list[dict]:
    """MCD with other options than the default."""
    cases = []

    def add(pair: str, options: dict, expected: Callable[..., float], **rate: int) -> None:
        specs = [spec | rate for spec in PAIRS[pair]]
        value = expected(*(speech_like(**spec).samples.astype(np.float64) for spec in specs))
        name = f"{pair}, {' '.join(f'{key}={choice}' for key, choice in options.items())}"
        case = {"name": name, "ref": specs[0], "out": specs[1], "options": options}
        cases.append(case | {"expected": float(value), "tolerance": 1e-3})

    def of_cepstra(*, per_reference_frame: bool = False, **settings: object) -> Callable[..., float]:
        return lambda *signals: warped_distortion(
            *(projected_cepstra(samples, **settings) for samples in signals),
            per_reference_frame=per_reference_frame,
        )

    for rate, alpha in ((22050, 0.455), (24000, 0.466)):
        add("another voice", {"rate": rate}, of_cepstra(rate=rate, alpha=alpha), rate=rate)
    for order in (13, 34, 39):
        add("other words", {"order": order}, of_cepstra(orders=range(1, order + 1)))
    add("other words", {"c0": "in"}, of_cepstra(orders=range(25)))
    add("other words", {"norm": "reference"}, of_cepstra(per_reference_frame=True))
    add("noise at -15 dB", {"align": "none"}, frame_distortion)
    return cases


def frame_distortion(ref: np.ndarray, out: np.ndarray) -> float:
    """Distortion frame by frame, both trimmed as the reference is."""
    difference = projected_cepstra(ref) - projected_cepstra(out, trim=ref)
    return 10 / np.log(10) * np.sqrt(2 * np.square(difference).sum(axis=1)).mean()


def met_pitch(ref: np.ndarray, out: np.ndarray) -> np.ndarray:
    """F0 of both signals in Hz where their frames meet on librosa's path, shape (path, 2)."""
    _, path = librosa.sequence.dtw(X=projected_cepstra(ref).T, Y=projected_cepstra(out).T)
    tracks = []
    for samples in (ref, out):
        pitch, times = pyworld.harvest(samples, 16000, f0_floor=60.0, f0_ceil=500.0)
        tracks.append(pitch[loud_frames(samples, times)])
    return np.array([[tracks[0][i], tracks[1][j]] for i, j in path])


def pitch_error(ref: np.ndarray, out: np.ndarray) -> float:
    """F0 RMSE in cents."""
    both = [(12 * np.log2(b / 440) - 12 * np.log2(a / 440)) for a, b in met_pitch(ref, out) if a * b > 0]
    return 100 * float(np.linalg.norm(both) / len(both) ** 0.5)


def pitch_correlation(ref: np.ndarray, out: np.ndarray) -> float:
    """SciPy's correlation of log F0."""
    pairs = met_pitch(ref, out)
    return scipy.stats.pearsonr(*np.log(pairs[pairs.prod(axis=1) > 0]).T).statistic


def voicing_error(ref: np.ndarray, out: np.ndarray) -> float:
    """Share of met frames of unequal voicing in percent."""
    return 100 * float(np.mean([(a > 0) != (b > 0) for a, b in met_pitch(ref, out)]))


def leveled(samples: np.ndarray) -> np.ndarray:
    """At an active level of -26 dB."""
    starts = range(0, samples.size, 320)
    blocks = np.array([np.mean(samples[start : start + 320] ** 2) for start in starts])
    return samples * np.sqrt(10**-2.6 / blocks[blocks >= blocks.max() * 1e-4].mean())


def spectral_distance(ref: np.ndarray, out: np.ndarray) -> float:
    """LSD from librosa's transform."""
    logarithms = []
    for samples in cut(leveled(ref), leveled(out)):
        amplitude = np.abs(librosa.stft(samples, n_fft=2048, hop_length=512, center=False)) / 512
        logarithms.append(20 * np.log10(np.maximum(amplitude, 1e-5)))
    return float(np.sqrt(((logarithms[0] - logarithms[1]) ** 2).mean(axis=0)).mean())


def mel_decibel(samples: np.ndarray) -> np.ndarray:
    """The exemplar paper's mel spectrogram in dB from librosa, shape (80, frames)."""
    high = scipy.signal.lfilter([1.0, -0.97], [1.0], samples)
    mel = librosa.feature.melspectrogram(
        y=high, sr=16000, n_fft=800, hop_length=200, n_mels=80, power=1, pad_mode="constant"
    )
    return np.clip(20 * np.log10(mel), -120, 5)


def legacy_distortion(ref: np.ndarray, out: np.ndarray) -> float:
    """The mis-scaled figure from librosa's coefficients and path; silence trimmed in blocks of 20 ms."""
    cepstra = []
    for samples in (leveled(ref), leveled(out)):
        kept = np.flatnonzero(loud_frames(samples, np.arange(samples.size) / 16000))
        cepstra.append(librosa.feature.mfcc(S=mel_decibel(samples[kept[0] : kept[-1] + 1]), n_mfcc=13).T)
    return warped_distortion(*cepstra)


def speaker_similarity(ref: np.ndarray, out: np.ndarray) -> float:
    """SECS from Resemblyzer itself."""
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    vectors = [
        encoder.embed_utterance(resemblyzer.preprocess_wav(leveled(samples).astype(np.float32)))
        for samples in (ref, out)
    ]
    return 1 - scipy.spatial.distance.cosine(*vectors)


def raw_quality(ref: np.ndarray, out: np.ndarray, band: str) -> float:
    """Raw PESQ: the root of the mapping that P.862.1 or P.862.2 prints, at what the package returns."""
    slope, offset = {"nb": (-1.4945, 4.6607), "wb": (-1.3669, 3.8224)}[band]
    wanted = pesq.pesq(16000, *cut(ref, out), band)
    return scipy.optimize.brentq(lambda raw: 0.999 + 4 / (1 + np.exp(slope * raw + offset)) - wanted, -2, 5)


def mel_distance(ref: np.ndarray, out: np.ndarray) -> float:
    """Mel L1 from librosa's mel spectrogram."""
    first, second = (mel_decibel(samples) for samples in cut(leveled(ref), leveled(out)))
    return float(np.abs(first - second).mean())


def distortion_ratio(ref: np.ndarray, out: np.ndarray) -> float:
    """SI-SDR from Pearson's correlation: the explained over the unexplained variance."""
    explained = scipy.stats.pearsonr(*cut(ref, out)).statistic ** 2
    return float(10 * np.log10(explained / (1 - explained)))


def lag_size(ref: np.ndarray, out: np.ndarray) -> float:
    """Lag in ms from SciPy's direct cross-correlation."""
    ref, out = (samples - samples.mean() for samples in cut(ref, out))
    values = scipy.signal.correlate(out, ref, method="direct")
    lags = scipy.signal.correlation_lags(out.size, ref.size)
    near = np.abs(lags) <= 1600
    return float(abs(lags[near][values[near].argmax()]) / 16)


def picture_cases(expected: Callable[[np.ndarray, np.ndarray], float], tolerance: float) -> list[dict]:
    """One case per pair of films, scored by the reference library on (reference, output)."""
    cases = []
    for name, (ref, out) in PICTURES.items():
        value = expected(*(moving_picture(**spec).frames for spec in (ref, out)))
        case = {"name": name, "ref": ref, "out": out}
        cases.append(case | {"expected": float(value), "tolerance": tolerance})
    return cases


def over_frames(measure: Callable[..., float], **options: object) -> Callable[..., float]:
    """Mean of a measure of two pictures over the frames of two films."""
    return lambda ref, out: np.mean([measure(*pair, **options) for pair in zip(ref, out, strict=True)])


def sharpness_agreement(ref: np.ndarray, out: np.ndarray) -> float:
    """Ratio of variances of SciPy's Laplacian, the smaller over the greater."""
    variances = []
    for film in (ref, out):
        luma = np.einsum("thwc,c->thw", film.astype(np.float64), [0.299, 0.587, 0.114])
        inner = [scipy.ndimage.laplace(picture)[1:-1, 1:-1] for picture in luma]
        variances.append(np.mean([np.var(values) for values in inner]))
    return min(variances) / max(variances)


def skill(ref: np.ndarray, out: np.ndarray) -> float:
    """Share of the still frame's error that is left out."""
    error = skimage.metrics.mean_squared_error
    return 1 - error(ref, out) / error(ref, np.repeat(ref[:1], len(ref), axis=0))


def motion_error(ref: np.ndarray, out: np.ndarray) -> float:
    """Error of differences along time."""
    return skimage.metrics.mean_squared_error(
        *(np.diff(film.astype(np.float64), axis=0) for film in (ref, out))
    )


def perceptual_distance(ref: np.ndarray, out: np.ndarray) -> float:
    """LPIPS in double precision from torch's layers in AlexNet's order and a cosine-like distance."""
    weights = {name: torch.from_numpy(array).double() for name, array in lpips_weights().items()}
    hidden = torch.from_numpy(np.concatenate([ref, out])).double().permute(0, 3, 1, 2) / 127.5 - 1
    hidden = (hidden - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
    total = 0.0
    for stage, (layer, stride, padding) in enumerate(
        ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))
    ):
        if stage in (1, 2):
            hidden = torch.nn.MaxPool2d(3, 2)(hidden)
        kernel, bias = (weights[f"net.slice{stage + 1}.{layer}.{part}"] for part in ("weight", "bias"))
        hidden = torch.nn.functional.conv2d(hidden, kernel, bias, stride, padding).clamp(min=0)
        first, second = torch.nn.functional.normalize(hidden, dim=1).split(len(ref))
        head = weights[f"lin{stage}.model.1.weight"].flatten()
        total += torch.einsum("nchw,c->nhw", (first - second) ** 2, head).mean().item()
    return total


def blurred(film: np.ndarray, deviation: float) -> np.ndarray:
    """Film convolved with a Gaussian of four deviations in both directions, mirrored at the edges."""
    reach = int(4 * deviation + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel /= kernel.sum()
    result = film.astype(np.float64)
    for axis in (1, 2):
        padded = np.pad(result, [(reach, reach) if a == axis else (0, 0) for a in range(4)], mode="symmetric")
        result = np.apply_along_axis(np.convolve, axis, padded, kernel, mode="valid")
    return result


def mouth_cases() -> list[dict]:
    """Correlation of a ridge regression by least squares on stacked equations, on the box of the mouth."""
    cases = []
    for name, (ref, out) in MOUTHS.items():
        (natural, truth), (made, _) = (talking_picture(**spec) for spec in (ref, out))
        opening = np.array(truth["mouth_opening"])
        x, y, width = (truth[key][0] for key in ("mouth_x", "mouth_y", "mouth_width"))
        across, down = 0.65 * width, opening.max() / 2 + 0.25 * width
        rows, columns = (
            slice(int(np.floor(middle - reach)), int(np.ceil(middle + reach)))
            for middle, reach in ((y, down), (x, across))
        )
        films = [
            blurred(film.frames[:, rows, columns], 0.1 * width).reshape(len(opening), -1)
            for film in (natural, made)
        ]
        centred = films[0] - films[0].mean(axis=0)
        penalty = 0.1 * np.linalg.norm(centred, 2)
        equations = np.vstack([centred, penalty * np.eye(centred.shape[1])])
        answers = np.append(opening - opening.mean(), np.zeros(centred.shape[1]))
        weights = np.linalg.lstsq(equations, answers, rcond=None)[0]
        value = scipy.stats.pearsonr(films[1] @ weights, opening).statistic
        case = {"name": name, "ref": ref, "out": out}
        cases.append(case | {"expected": float(value), "tolerance": 1e-9})
    return cases


def following_cases() -> list[dict]:
    """A readout by least squares on stacked equations, learned from one film, read from another, against the
    truth of a third."""
    cases = []
    for name, (learned, source, out) in FOLLOWED.items():
        (natural, truth), (_, spoken), (made, _) = (
            talking_picture(**spec) for spec in (learned, source, out)
        )
        opening = np.array(truth["mouth_opening"])
        x, y, width = (truth[key][0] for key in ("mouth_x", "mouth_y", "mouth_width"))
        across, down = 0.65 * width, opening.max() / 2 + 0.25 * width
        rows, columns = (
            slice(int(np.floor(middle - reach)), int(np.ceil(middle + reach)))
            for middle, reach in ((y, down), (x, across))
        )
        films = [
            blurred(film.frames[:, rows, columns], 0.1 * width).reshape(len(film.frames), -1)
            for film in (natural, made)
        ]
        centred = films[0] - films[0].mean(axis=0)
        penalty = 0.1 * np.linalg.norm(centred, 2)
        equations = np.vstack([centred, penalty * np.eye(centred.shape[1])])
        answers = np.append(opening - opening.mean(), np.zeros(centred.shape[1]))
        weights = np.linalg.lstsq(equations, answers, rcond=None)[0]
        value = scipy.stats.pearsonr(films[1] @ weights, spoken["mouth_opening"]).statistic
        case = {"name": name, "learned": learned, "source": source, "out": out}
        cases.append(case | {"expected": float(value), "tolerance": 1e-9})
    return cases


def write_picture_fixtures() -> None:
    """Write the fixture files of the metrics of pictures."""
    error, ratio = skimage.metrics.mean_squared_error, skimage.metrics.peak_signal_noise_ratio
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    similarity = over_frames(skimage.metrics.structural_similarity, **window, data_range=255, channel_axis=2)
    of_skimage = f"scikit-image {skimage.__version__}"
    write("video_mse", of_skimage, picture_cases(error, 1e-9))
    write("psnr", of_skimage, picture_cases(lambda ref, out: ratio(ref, out, data_range=255), 1e-9))
    write("psnr_frames", of_skimage, picture_cases(over_frames(ratio, data_range=255), 1e-9))
    write("ssim", of_skimage, picture_cases(similarity, 1e-9))
    write("still_frame_skill", of_skimage, picture_cases(skill, 1e-9))
    write("temporal_error", of_skimage, picture_cases(motion_error, 1e-9))
    write("sharpness", f"SciPy {metadata.version('scipy')}", picture_cases(sharpness_agreement, 1e-9))
    library = f"torch {metadata.version('torch').partition('+')[0]}, random weights"
    write("lpips", library, picture_cases(perceptual_distance, 1e-5))
    write("mouth_opening", f"NumPy {np.__version__} least squares", mouth_cases())
    write("mouth_following", f"NumPy {np.__version__} least squares", following_cases())


def librosa_features(samples: np.ndarray) -> list[float]:
    """The 242 numbers of the speaker classifier at an active level of -26 dB."""
    samples = leveled(samples)
    cepstra = librosa.feature.mfcc(
        y=samples, sr=16000, n_mfcc=40, n_fft=2048, win_length=256, hop_length=128, n_mels=200
    )
    delta = librosa.feature.delta(cepstra)
    rows = [cepstra, delta, librosa.feature.delta(delta), librosa.feature.rms(y=samples)]
    numbers = [row.mean(axis=1) for row in rows] + [row.std(axis=1) for row in rows]
    return [round(float(number), 6) for number in np.concatenate(numbers)]


def main() -> None:
    """Write every fixture file."""
    FOLDER.mkdir(exist_ok=True)
    version = metadata.version
    for band in ("wb", "nb"):
        cases = signal_cases(lambda ref, out, band=band: pesq.pesq(16000, *cut(ref, out), band), 1e-5)
        write(f"pesq_{band}", f"pesq {version('pesq')}", cases)
        cases = signal_cases(lambda ref, out, band=band: raw_quality(ref, out, band), 1e-4)
        write(f"pesq_{band}_raw", f"pesq {version('pesq')}, SciPy {version('scipy')}", cases)
    for scale in ("bak", "ovrl", "p808", "sig"):
        cases = signal_cases(
            lambda ref, out, scale=scale: speechmos.dnsmos.run(out, 16000)[f"{scale}_mos"], 1e-4, seconds=1.2
        )
        write(f"dnsmos_{scale}", f"speechmos {version('speechmos')}", cases)
    cases = signal_cases(lambda ref, out: pystoi.stoi(*cut(ref, out), 16000), 1e-9)
    write("stoi", f"pystoi {version('pystoi')}", cases)
    cases = signal_cases(lambda ref, out: pystoi.stoi(*cut(ref, out), 16000, extended=True), 1e-9)
    write("estoi", f"pystoi {version('pystoi')}", cases)
    cases = signal_cases(kubichek, 1e-9)
    write("mcd_mel", f"mel_cepstral_distance {version('mel-cepstral-distance')}", cases)
    source = f"pyworld {version('pyworld')}, numerical projection, librosa {librosa.__version__} time warping"
    write("mcd", source, signal_cases(distortion, 1e-3) + variant_cases())
    pitch = source.replace("numerical", "Harvest, numerical")
    for name, expected in (("f0_rmse", pitch_error), ("voicing_error", voicing_error)):
        write(name, pitch, signal_cases(expected, 1e-6))
    correlation = signal_cases(pitch_correlation, 1e-9)
    write("f0_correlation", f"{pitch}, SciPy {version('scipy')}", correlation)
    write("mcd_legacy", f"librosa {librosa.__version__}", signal_cases(legacy_distortion, 1e-2))
    similarities = signal_cases(speaker_similarity, 1e-4)
    for name in ("secs", "secs_source"):
        write(name, f"Resemblyzer {version('resemblyzer')}", similarities)
    write("lsd", f"librosa {librosa.__version__}", signal_cases(spectral_distance, 1e-3))
    write("mel_l1", f"librosa {librosa.__version__}", signal_cases(mel_distance, 1e-3))
    write("si_sdr", f"SciPy {version('scipy')}", signal_cases(distortion_ratio, 1e-6))
    write("lag", f"SciPy {version('scipy')}", signal_cases(lag_size, 0))
    for name, rate in (("wer", jiwer.wer), ("wer_heard", jiwer.wer), ("mer", jiwer.mer), ("cer", jiwer.cer)):
        texts = [
            {"reference": reference, "transcript": heard, "expected": rate(reference, heard), "tolerance": 0}
            for reference, heard in TEXTS
        ]
        write(name, f"jiwer {version('jiwer')}", texts, options={"normalizer": "none"})
    features = [
        {
            "name": name,
            "out": out,
            "features": librosa_features(speech_like(**out).samples.astype(np.float64)),
        }
        for name, (_, out) in list(PAIRS.items())[:2]
    ]
    write_picture_fixtures()
    write("sca", f"librosa {librosa.__version__}", [case | {"tolerance": 2e-3} for case in features])


if __name__ == "__main__":
    main()
