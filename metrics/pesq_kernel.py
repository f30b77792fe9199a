"""Perceptual evaluation of speech quality (ITU-T P.862), by the ITU's C code in the package pesq.

The C code writes past its arrays on long input and then kills the process, so no call gets more than 30 s: a
longer pair is cut where the reference is quietest. It aligns level and delay itself, to the sample where a
recording is silent for 0.1 s at both ends; where it begins or ends in speech, a delay of 10 ms cost a copy up
to 1.2 MOS-LQO.

The package returns MOS-LQO. The raw score of P.862 (``pesq_nb_raw``, ``pesq_wb_raw``) is the inverse of its
mapping, P.862.1 or P.862.2. Both are called PESQ, and 1.86 of one is 2.26 of the other, so the two have names
of their own and no figure of one is comparable with one of the other.
"""

import math
from collections.abc import Iterator
from importlib import metadata
from typing import Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, MediaError
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, same_length

RATE = 16000
MIN_SECONDS = 0.25
MAX_SECONDS = 30.0
LICENCE = "the ITU's code inside the package pesq allows evaluation, not commercial use of its results"
SCALES = {"lqo": "mos-lqo", "raw": "raw"}
# A cut is sought in the last third of what one call may get.
EARLIEST_CUT = 2 / 3
# (slope, offset) of MOS-LQO = 0.999 + 4 / (1 + exp(-slope * raw + offset)).
MAPPING = {"nb": (1.4945, 4.6607), "wb": (1.3669, 3.8224)}
MAXIMUM = {"nb": 4.548638343811035, "wb": 4.643888473510742}
# The recommendation speaks of -0.5 to 4.5, but its code subtracts 0.1 of one disturbance and 0.0309 of
# another, each at most 45.
RAW_RANGE = (4.5 - 45 * (0.1 + 0.0309), 4.5)


def raw_from_lqo(value: float, band: Literal["wb", "nb"]) -> float:
    """Raw P.862 score of a MOS-LQO, by the inverse of P.862.1 (``nb``) or P.862.2 (``wb``)."""
    slope, offset = MAPPING[band]
    return (offset - math.log(4 / (value - 0.999) - 1)) / slope


def lqo_from_raw(raw: float, band: Literal["wb", "nb"]) -> float:
    """MOS-LQO of a raw P.862 score, by P.862.1 (``nb``) or P.862.2 (``wb``)."""
    slope, offset = MAPPING[band]
    return 0.999 + 4 / (1 + math.exp(-slope * raw + offset))


def segment_bounds(ref: np.ndarray, rate: int) -> Iterator[tuple[int, int]]:
    """Cut a signal into pieces of at most 30 s, at the quietest 20 ms of the last third of each.

    Args:
        ref: shape (n,).
        rate: samples per second.

    Yields:
        First sample and end of each piece; the last is at least 0.25 s long when the whole is.
    """
    frame, longest, shortest = rate // 50, int(MAX_SECONDS * rate), int(MIN_SECONDS * rate)
    first = 0
    while ref.size - first > longest:
        low = first + int(longest * EARLIEST_CUT)
        high = min(first + longest, ref.size - shortest)
        count = (high - low) // frame
        power = np.square(ref[low : low + count * frame]).reshape(count, frame).sum(axis=1)
        end = low + int(power.argmin()) * frame + frame // 2
        yield first, end
        first = end
    yield first, ref.size


def mos_lqo(*, out: np.ndarray, ref: np.ndarray, band: Literal["wb", "nb"]) -> float:
    """MOS-LQO of a pair of at most 30 s at 16 kHz.

    Raises:
        MediaError: ``no_speech`` when no utterance is found, ``too_short`` under 0.25 s.
        DependencyError: when the package is not installed.
    """
    try:
        import pesq
    except ImportError as error:
        raise DependencyError(
            f"PESQ needs the package pesq ({error}); pip install pesq (it needs a C compiler)"
        ) from None
    if max(out.size, ref.size) > MAX_SECONDS * RATE:
        raise ValueError(f"at most {MAX_SECONDS:g} s go into one call")
    try:
        return float(pesq.pesq(RATE, ref, out, band))
    except pesq.NoUtterancesError:
        raise MediaError("no_speech", "PESQ found no utterance in the reference or the output") from None
    except pesq.BufferTooShortError:
        raise MediaError("too_short", f"PESQ needs {MIN_SECONDS} s") from None
    except ValueError as error:
        # The wrapper casts a NaN to an integer when the output has nothing within the band.
        raise MediaError("no_speech", f"PESQ cannot score the output ({error})") from None


class PesqMetric(AudioMetric):
    """PESQ in one band; statistics: ``lqo``, ``raw``, ``segments``, ``segments_without_speech``.

    The MOS-LQO of a pair longer than 30 s is the mean of its segments, weighted by duration; its raw score is
    the inverse of the mapping at that mean.
    """

    band: Literal["wb", "nb"]
    scale: Literal["lqo", "raw"] = "lqo"

    @property
    def signature(self) -> str:
        """Backend, band, rate, rule for unequal lengths and rule for long signals."""
        return (
            f"{self.spec.name}|pesq-{metadata.version('pesq')}|{SCALES[self.scale]}|sr{self.rate}-{RESAMPLER}"
            f"|{LENGTH_RULE}|segments-{MAX_SECONDS:g}s|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Quality of one output against the recording with the same timing."""
        assert ref is not None
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        bounds = list(segment_bounds(ref, self.rate))
        values, weights = [], []
        for first, end in bounds:
            try:
                values.append(mos_lqo(out=out[first:end], ref=ref[first:end], band=self.band))
                weights.append(end - first)
            except MediaError as error:
                if error.status != "no_speech" or len(bounds) == 1:
                    raise
        if not values:
            raise MediaError("no_speech", f"PESQ found no utterance in any of {len(bounds)} segments")
        lqo = float(np.average(values, weights=weights))
        scores = {"lqo": lqo, "raw": raw_from_lqo(lqo, self.band)}
        return ItemScore(
            scores[self.scale],
            stats={
                **scores,
                "segments": len(bounds),
                "segments_without_speech": len(bounds) - len(values),
            },
        )
