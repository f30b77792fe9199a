"""Mel-cepstral distortion after Kubichek (1993), on WORLD's envelope, aligned by exact dynamic time warping.

At 16 kHz: F0 by DIO and StoneMask (or Harvest), envelope by CheapTrick (Morise 2015), every 5 ms;
mel-cepstrum of order 24 with all-pass constant 0.41; leading and trailing silence trimmed; coefficients 1 to
24 aligned by exact dynamic time warping; the frame distortion 10 / ln 10 * sqrt(2 * sum of squared
differences), in dB, averaged over the path. Coefficient 0 is left out, so that gain does not matter.

DIO is the default because it takes a seventh of Harvest's time and moved the value by 0.02 to 0.04 dB on
recorded speech. ``hop=10`` is the fast preset. Warping hides errors of speaking rate: the statistics hold the
path length over the longer signal's frames beside each value.

Each choice moves the value by more than many systems differ by (22.05 instead of 16 kHz by 0.3 to 0.8 dB,
order 34 by 0.3 dB, coefficient 0 by 1 dB), so what differs is an option, for comparison with published
values, and the signature names it. With coefficient 0 included, as pymcd, ESPnet and VERSA have it, the sum
is no spectral distance any more and gain matters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from typing import Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import ACTIVE_RANGE_DB, FRAME_SECONDS
from doppelbench.metrics.dtw import warp
from doppelbench.metrics.feature_cache import Features, Role, feature_cache, signal_digest, versioned
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import RESAMPLER
from doppelbench.metrics.warped_metric import WarpedMetric, path_score

RATE = 16000
ORDER = 24
ALPHA = 0.41
# Rates of analysis with the all-pass constants that fit the mel scale best there.
ALPHAS: Mapping[int, float] = {16000: ALPHA, 22050: 0.455, 24000: 0.466}
ORDERS = (13, 24, 34, 39)
HOP_MS = 5.0
HOPS = (5, 10)
HOPS = (5, 10)
DB_PER_DISTANCE = 10 / math.log(10) * math.sqrt(2)
# A digitally silent frame has no envelope; this floor re the loudest bin keeps its logarithm finite.
FLOOR_DB = -120.0


@lru_cache(maxsize=4)
def mel_cepstrum_matrix(bins: int, order: int, alpha: float) -> np.ndarray:
    """Matrix that turns log power spectra into mel-cepstra: log power (frames, bins) @ matrix.

    Inverse cosine transform of the log power with coefficient 0 halved, then the frequency transform of
    Oppenheim and Johnson (1972); the same as SPTK's ``freqt`` applied to the cepstrum. The convention is
    that of log amplitude: ln|H| is the sum over m of c_m cos(m w~) with the warped frequency w~.

    Args:
        bins: of the power spectrum, n_fft // 2 + 1.
        order: highest coefficient.
        alpha: all-pass constant, 0.41 at 16 kHz.

    Returns:
        Shape (bins, order + 1).
    """
    angles = np.pi * np.outer(np.arange(bins), np.arange(bins)) / (bins - 1)
    cosine = 2 * np.cos(angles)
    cosine[[0, -1]] /= 2
    cosine[:, [0, -1]] /= 2
    cosine /= 2 * (bins - 1)
    warped = np.zeros((order + 1, bins))
    for n in range(bins - 1, -1, -1):
        previous = warped.copy()
        warped[0] = alpha * previous[0]
        warped[0, n] += 1
        warped[1] = (1 - alpha**2) * previous[0] + alpha * previous[1]
        for m in range(2, order + 1):
            warped[m] = previous[m - 1] + alpha * (previous[m] - warped[m - 1])
    return cosine @ warped.T


def active_bounds(samples: np.ndarray, rate: int) -> tuple[int, int]:
    """First sample and end of the active part: frames of 20 ms within 40 dB of the loudest frame."""
    frame = round(rate * FRAME_SECONDS)
    starts = np.arange(0, samples.size, frame)
    lengths = np.diff(np.append(starts, samples.size))
    power = np.add.reduceat(np.square(samples), starts) / lengths
    active = np.flatnonzero(power >= power.max() * 10 ** (-ACTIVE_RANGE_DB / 10))
    return int(starts[active[0]]), int(starts[active[-1]] + lengths[active[-1]])


def world_envelope(
    samples: np.ndarray, f0: Literal["dio", "harvest"] = "dio", rate: int = RATE, hop_ms: float = HOP_MS
) -> tuple[np.ndarray, np.ndarray]:
    """Spectral envelope of a signal by CheapTrick.

    Args:
        samples: float64, shape (n,).
        f0: which of WORLD's estimators steers the envelope.
        rate: samples per second.
        hop_ms: milliseconds between frames.

    Returns:
        Natural logarithm of power, shape (frames, bins), at least -120 dB re its largest value; and the times
        of the frames in seconds.
    """
    from doppelbench.metrics.world_kernel import dio, log_envelope, stonemask

    hop = hop_ms / 1000
    if f0 == "dio":
        pitch = stonemask(samples, dio(samples, rate, hop), rate, hop)
    else:
        import pyworld

        pitch, _ = pyworld.harvest(samples, rate, frame_period=hop_ms)
    log_power = log_envelope(samples, pitch, rate, hop)
    floor = log_power.max() + FLOOR_DB / 10 * math.log(10)
    return np.maximum(log_power, floor, out=log_power), np.arange(len(pitch)) * hop


def frames_within(times: np.ndarray, bounds: tuple[int, int], rate: int) -> np.ndarray:
    """Which times in seconds lie within bounds in samples (:func:`active_bounds`); shape of ``times``."""
    first, end = bounds
    return (times >= first / rate) & (times < end / rate)


def mel_cepstra(log_power: np.ndarray, order: int = ORDER, alpha: float = ALPHA) -> np.ndarray:
    """Mel-cepstra of natural logarithms of power spectra, (frames, bins); shape (frames, order + 1)."""
    return np.asarray(log_power @ mel_cepstrum_matrix(log_power.shape[1], order, alpha))


@dataclass(frozen=True, slots=True, eq=False)
class CepstralFrames:
    """Mel-cepstra of a whole signal, one frame every hop.

    Attributes:
        cepstra: shape (frames, order + 1), coefficient 0 first.
        power: of each frame, shape (frames,); empty when it was not asked for.
        times: of the frames in seconds, shape (frames,).
    """

    cepstra: np.ndarray
    power: np.ndarray
    times: np.ndarray


def cepstral_frames(
    samples: np.ndarray,
    role: Role,
    *,
    f0: Literal["dio", "harvest"] = "dio",
    rate: int = RATE,
    order: int = ORDER,
    hop_ms: float = HOP_MS,
    with_power: bool = False,
) -> CepstralFrames:
    """Mel-cepstra of a signal, from the cache of features where they are known.

    Args:
        samples: float64, shape (n,).
        role: of the recording: features of references are kept longer.
        f0: which of WORLD's estimators steers the envelope.
        rate: samples per second, of those with an all-pass constant.
        order: highest coefficient.
        hop_ms: milliseconds between frames.
        with_power: whether the power of the frames is wanted, which takes an exponential of every bin.
    """

    def compute() -> Features:
        log_power, times = world_envelope(samples, f0, rate, hop_ms)
        power = frame_power(np.exp(log_power)) if with_power else np.empty(0)
        return mel_cepstra(log_power, order, ALPHAS[rate]), power, times

    recipe = (
        f"mel-cepstra|{f0}|sr{rate}|o{order}|a{ALPHAS[rate]}|{hop_ms:g}ms|{FLOOR_DB:g}dB|power-{with_power}"
    )
    digests = (signal_digest(samples),)
    return CepstralFrames(
        *feature_cache().get(versioned(recipe, "pyworld", "scipy", "numba"), digests, compute, role=role)
    )


def frame_power(power: np.ndarray) -> np.ndarray:
    """Power of each frame of power spectra of shape (frames, bins); shape (frames,)."""
    return np.asarray(power.sum(axis=1) - (power[:, 0] + power[:, -1]) / 2)


def loud_frames(power: np.ndarray, gate_db: float) -> np.ndarray:
    """Which frames have at least ``gate_db`` re their mean power; ``power`` from :func:`frame_power`.

    The gate of sprocket and VERSA, whose usual threshold is -20 dB.
    """
    return np.asarray(power >= power.mean() * 10 ** (gate_db / 10))


class MelCepstralDistortion(WarpedMetric):
    """MCD in dB; statistics and details are those of :class:`WarpedMetric`."""

    spec = MetricSpec(
        name="mcd",
        title="Mel-cepstral distortion (WORLD, order 24, coefficient 0 left out, exact time warping)",
        version=1,
        unit="dB",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"ref"}),
        cost=35.0,
        rate=RATE,
        seconds=(0.1, None),
        citation="Kubichek, PACRIM 1993; Morise et al., WORLD, IEICE 2016",
    )

    def __init__(
        self,
        f0: Literal["dio", "harvest"] = "dio",
        rate: int = RATE,
        order: int = ORDER,
        c0: Literal["out", "in"] = "out",
        align: Literal["dtw", "none"] = "dtw",
        norm: Literal["path", "reference"] = "path",
        gate: float | None = None,
        hop: int = int(HOP_MS),
    ) -> None:
        """Choose a variant; only values of one signature compare.

        Args:
            f0: estimator, ``dio`` (with StoneMask) or ``harvest``.
            rate: of the analysis: 16000, 22050 or 24000, with the all-pass constant that belongs to it. In a
                recording of a lower rate the band above its sound is empty, and counts.
            order: highest coefficient: 13, 24, 34 or 39.
            c0: ``in`` lets coefficient 0 into path and distance, as pymcd, ESPnet and VERSA do.
            align: ``none`` compares frame by frame; both signals are trimmed to the active part of the
                reference, and more than one frame of difference in length is ``length_mismatch``.
            norm: ``reference`` divides by the frames of the reference instead of the path.
            gate: leave out frames that are quieter than this many dB re the mean power of their signal, such
                as -20; of the reference alone with ``align=none``.
            hop: milliseconds between frames, 5 or 10; 10 takes half the time and moved the value by 0.03
                and 0.16 dB on recorded speech.

        Raises:
            InputError: for any other choice.
        """
        _check("f0", f0, ("dio", "harvest"))
        _check("rate", rate, tuple(ALPHAS))
        _check("order", order, ORDERS)
        _check("c0", c0, ("out", "in"))
        _check("align", align, ("dtw", "none"))
        _check("norm", norm, ("path", "reference"))
        _check("hop", hop, HOPS)
        if gate is not None and not (isinstance(gate, (int, float)) and -100 <= gate < 0):
            raise InputError(f"mcd: gate is a number of dB from -100 to 0, not '{gate}'")
        self.f0: Literal["dio", "harvest"] = f0
        self.analysis_rate = rate
        self.order = order
        self.first = 0 if c0 == "in" else 1
        self.align = align
        self.norm = norm
        self.gate = gate
        self.hop_ms = float(hop)

    @cached_property
    def rate(self) -> int:
        """Samples per second of the analysis."""
        return self.analysis_rate

    @property
    def signature(self) -> str:
        """Envelope, rate, order, warping constant, hop, coefficients, trimming, alignment and mean."""
        f0 = "dio-stonemask" if self.f0 == "dio" else "harvest"
        trim = "trim" if self.align == "dtw" else "trim-by-reference"
        gate = "" if self.gate is None else f"|gate{self.gate:g}dB-mean"
        align = "dtw-exact" if self.align == "dtw" else "frame-aligned"
        return (
            f"mcd|world-{metadata.version('pyworld')}-{f0}-cheaptrick|sr{self.rate}-{RESAMPLER}|o{self.order}"
            f"|a{ALPHAS[self.rate]}|{self.hop_ms:g}ms|c{self.first}-{self.order}"
            f"|{trim}-{ACTIVE_RANGE_DB:g}dB-20ms{gate}|{align}|{self.norm}-mean|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Distortion of one output against the parallel recording."""
        assert ref is not None
        frames_ref, frames_out = self._frames(ref, "reference"), self._frames(out, "output")
        kept_ref = self._kept(ref, frames_ref)
        if self.align == "dtw":
            cepstra_ref = frames_ref.cepstra[kept_ref, self.first :]
            cepstra_out = frames_out.cepstra[self._kept(out, frames_out), self.first :]
            path = warp(cepstra_ref, cepstra_out)
            total, length = path.cost, path.length
        else:
            self._check_lengths(out=out, ref=ref)
            kept = kept_ref[kept_ref < min(len(frames_ref.times), len(frames_out.times))]
            cepstra_ref = frames_ref.cepstra[kept, self.first :]
            cepstra_out = frames_out.cepstra[kept, self.first :]
            total = float(np.linalg.norm(cepstra_ref - cepstra_out, axis=1).sum())
            length = len(kept)
        divisor = len(cepstra_ref) if self.norm == "reference" else length
        return path_score(
            total * DB_PER_DISTANCE, length, len(cepstra_ref), len(cepstra_out), divisor=divisor
        )

    def _frames(self, samples: np.ndarray, role: Role) -> CepstralFrames:
        return cepstral_frames(
            samples,
            role,
            f0=self.f0,
            rate=self.rate,
            order=self.order,
            hop_ms=self.hop_ms,
            with_power=self.gate is not None,
        )

    def _kept(self, samples: np.ndarray, frames: CepstralFrames) -> np.ndarray:
        bounds = active_bounds(samples, self.rate)
        inside = np.flatnonzero(frames_within(frames.times, bounds, self.rate))
        return inside if self.gate is None else inside[loud_frames(frames.power[inside], self.gate)]

    def _check_lengths(self, *, out: np.ndarray, ref: np.ndarray) -> None:
        difference = 1000 * abs(out.size - ref.size) / self.rate
        if difference > self.hop_ms:
            raise MediaError(
                "length_mismatch",
                f"the lengths of output and reference differ by {difference:.1f} ms; without time warping at "
                f"most one frame of {self.hop_ms:g} ms is allowed",
            )


def _check(option: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        choices = [str(choice) for choice in allowed]
        raise InputError(f"mcd: {option} is {', '.join(choices[:-1])} or {choices[-1]}, not '{value}'")
