"""Features that should tell nothing: where one of them separates real from fake, the data are to blame.

Loudness, duration, silence at the ends, bandwidth, DC offset and clipping say how a file was made. On
ASVspoof 2019 the leading silence alone is right on 85 % of the trials (Müller et al. 2021). The audit gives
each feature as a score of its own, with an interval, and flags it when the interval lies clear of chance; it
needs no training.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.level import active_level, active_span
from doppelbench.corpora.media import read_audio
from doppelbench.metrics.detection_curves import area_under_roc, equal_error_rate, reversal_z, score_curve
from doppelbench.metrics.detection_intervals import DRAWS, curve_intervals
from doppelbench.metrics.statistics import LEVEL

# Name and unit of each feature, in the order of a table.
FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "level": "dB re full scale",
        "duration": "s",
        "leading_silence": "s",
        "trailing_silence": "s",
        "bandwidth": "Hz",
        "dc_offset": "of full scale",
        "clipped": "samples",
    }
)
# Frequencies this much below the strongest one, averaged over the clip, hold nothing of the speech.
BANDWIDTH_RANGE_DB = 60.0
SPECTRUM_FRAME = 1024
# The last step of 16-bit audio before full scale, and a little below it.
CLIPPED_FROM = 0.9995
# An area under the curve this near to chance is no shortcut worth the name.
MARGIN = 0.05
SIGNIFICANT_Z = 1.96
# Steps below which a difference is one of rounding and tells nothing.
STEPS: Mapping[str, float] = MappingProxyType({"level": 0.01, "dc_offset": 2.0**-16})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortcutResult:
    """How well one feature alone tells real from fake.

    Attributes:
        feature: its name.
        bonafide: clips with a value.
        spoof: clips with a value.
        bonafide_median: median over bona fide clips; None without a value.
        spoof_median: median over spoofed clips.
        auc: area under the ROC curve; above 0.5 when bona fide clips have the larger values, below otherwise.
        low: lower bound of its interval.
        high: upper bound.
        eer: equal error rate on the convex hull in the better direction.
        flagged: whether the interval lies clear of chance by more than the margin.
        reason: why there is no result.
    """

    feature: str
    bonafide: int
    spoof: int
    bonafide_median: float | None = None
    spoof_median: float | None = None
    auc: float | None = None
    low: float | None = None
    high: float | None = None
    eer: float | None = None
    flagged: bool = False
    reason: str | None = None


def measure(samples: np.ndarray, rate: int) -> dict[str, float | None]:
    """All features of one clip; None where a silent or empty clip has none.

    Args:
        samples: mono signal, shape (n,), nominal range -1 to 1.
        rate: samples per second.

    Raises:
        MediaError: ``not_finite`` for NaN or infinity.
    """
    if not np.isfinite(samples).all():
        raise MediaError("not_finite", "the signal has samples that are NaN or infinite")
    level = active_level(samples, rate)
    heard = bool(np.isfinite(level))
    first, end = active_span(samples, rate)
    return {
        "level": level if heard else None,
        "duration": samples.size / rate,
        "leading_silence": first / rate if heard else None,
        "trailing_silence": (samples.size - end) / rate if heard else None,
        "bandwidth": bandwidth(samples, rate) if heard else None,
        "dc_offset": float(np.mean(samples, dtype=np.float64)) if samples.size else None,
        "clipped": float((np.abs(samples) >= CLIPPED_FROM).sum()),
    }


def bandwidth(samples: np.ndarray, rate: int) -> float:
    """Highest frequency whose mean power lies within 60 dB of the strongest frequency, in Hz.

    The power is averaged over Hann-windowed frames of 1024 samples that overlap by half.

    Args:
        samples: mono signal, shape (n,), not all zero.
        rate: samples per second.
    """
    window = np.hanning(SPECTRUM_FRAME)
    padded = np.pad(np.asarray(samples, np.float64), (0, max(0, SPECTRUM_FRAME - samples.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPECTRUM_FRAME)[:: SPECTRUM_FRAME // 2]
    power = np.zeros(SPECTRUM_FRAME // 2 + 1)
    # In parts, so that a long clip needs little memory.
    for start in range(0, len(frames), 256):
        power += (np.abs(np.fft.rfft(frames[start : start + 256] * window)) ** 2).sum(axis=0)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-BANDWIDTH_RANGE_DB / 10))
    return float(loud[-1] * rate / SPECTRUM_FRAME)


def measure_file(path: str | os.PathLike[str]) -> dict[str, float | None]:
    """All features of an audio file at its own rate.

    Raises:
        MediaError: the file cannot be read.
    """
    audio = read_audio(path)
    return measure(audio.samples, audio.rate)


def audit(
    bonafide: Sequence[Mapping[str, float | None]],
    spoof: Sequence[Mapping[str, float | None]],
    *,
    features: Sequence[str] = tuple(FEATURES),
    clusters: tuple[Sequence[str], Sequence[str]] | None = None,
    margin: float = MARGIN,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> list[ShortcutResult]:
    """Judge real and fake clips by each feature alone.

    Args:
        bonafide: features of bona fide clips, as :func:`measure` gives them.
        spoof: features of spoofed clips.
        features: names of those to judge, in the order of the results.
        clusters: speaker or source recording of each clip, resampled as one.
        margin: distance from an area of 0.5 that the whole interval must exceed to be flagged.
        draws: number of resamples.
        seed: of the generator.
        level: share of the draws between the bounds.

    Returns:
        One result for each feature. A feature is flagged when its interval exceeds the margin and the rank
        sum is significant as well, because the bootstrap of a handful of clips is too sure.

    Raises:
        InputError: there are no clips of a class, or the clusters do not fit.
    """
    if not bonafide or not spoof:
        raise InputError("an audit for shortcuts needs bona fide and spoofed clips")
    if clusters is not None and (len(clusters[0]) != len(bonafide) or len(clusters[1]) != len(spoof)):
        raise InputError("an audit for shortcuts needs the cluster of each clip, or of none")
    return [
        _judged(name, (bonafide, spoof), clusters, margin=margin, draws=draws, seed=seed, level=level)
        for name in features
    ]


def _judged(
    name: str,
    sides: tuple[Sequence[Mapping[str, float | None]], Sequence[Mapping[str, float | None]]],
    clusters: tuple[Sequence[str], Sequence[str]] | None,
    *,
    margin: float,
    draws: int,
    seed: int,
    level: float,
) -> ShortcutResult:
    values, owners = [], []
    for place, side in enumerate(sides):
        held = [(number, clip) for number, clip in enumerate(side) if clip.get(name) is not None]
        found = np.array([clip[name] for _, clip in held], dtype=np.float64)
        values.append(np.round(found / STEPS[name]) * STEPS[name] if name in STEPS else found)
        owners.append([clusters[place][number] for number, _ in held] if clusters is not None else [])
    empty = ShortcutResult(feature=name, bonafide=len(values[0]), spoof=len(values[1]))
    if not values[0].size or not values[1].size:
        return replace(empty, reason="no clip of a class has a value")
    curve = score_curve(*values)
    area = curve_intervals(
        *values,
        clusters=None if clusters is None else (owners[0], owners[1]),
        calibrated=False,
        pooling=False,
        draws=draws,
        seed=seed,
        level=level,
    )["auc"]
    better = curve if area_under_roc(curve) >= 0.5 else score_curve(-values[0], -values[1])
    clear = (
        area.low is not None
        and area.high is not None
        and (area.low > 0.5 + margin or area.high < 0.5 - margin)
    )
    return replace(
        empty,
        bonafide_median=float(np.median(values[0])),
        spoof_median=float(np.median(values[1])),
        auc=area.value,
        low=area.low,
        high=area.high,
        eer=equal_error_rate(better, "rocch").rate,
        flagged=clear and abs(reversal_z(curve)) > SIGNIFICANT_Z,
    )
