"""Scale-invariant signal-to-distortion ratio of Le Roux, Wisdom, Erdogan and Hershey (ICASSP 2019).

The reference, scaled to fit the output best, over what is left, in dB; means are taken off both, in float64.
It compares waveforms: the same signal one sample late has 11 dB, eight samples late -7 dB. It belongs to
enhancement and separation, and says nothing of vocoded or converted speech.
"""

import numpy as np

from doppelbench.corpora.errors import MediaError
from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.same_timing_metric import SameTimingMetric
from doppelbench.metrics.signals import RESAMPLER

# An exact copy has no finite ratio; 16-bit samples of full scale reach 98 dB.
CAP_DB = 100.0
RATE = 16000


def scale_invariant_ratio(*, out: np.ndarray, ref: np.ndarray) -> float:
    """SI-SDR in dB of two signals of shape (n,); infinite for a copy, minus infinite without any resemblance.

    Raises:
        MediaError: ``silent`` when one of them is constant.
    """
    out, ref = out - out.mean(), ref - ref.mean()
    for role, signal in (("output", out), ("reference", ref)):
        if not signal.any():
            raise MediaError("silent", f"the {role} is constant")
    target = (out @ ref) / (ref @ ref) * ref
    residual = out - target
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(target @ target) - np.log10(residual @ residual)))


class ScaleInvariantSignalToDistortionRatio(SameTimingMetric):
    """SI-SDR in dB, held within -100 to 100 dB; ``exact`` in the statistics says that the output is a copy.

    A copy is what differs from the reference by a factor and less than 100 dB.
    """

    spec = MetricSpec(
        name="si_sdr",
        title="Scale-invariant signal-to-distortion ratio",
        version=1,
        unit="dB",
        direction="higher",
        range=(-CAP_DB, CAP_DB),
        needs=frozenset({"ref"}),
        cost=0.2,
        rate=RATE,
        seconds=(0.1, None),
        same_timing=True,
        citation="Le Roux et al., ICASSP 2019",
    )
    recipe = f"float64-zero-mean|cap{CAP_DB:g}dB|sr{RATE}-{RESAMPLER}"

    def compare(self, *, out: np.ndarray, ref: np.ndarray) -> tuple[float, dict[str, float | bool]]:
        """Ratio of one output, and whether it is a copy."""
        value = scale_invariant_ratio(out=out, ref=ref)
        return float(np.clip(value, -CAP_DB, CAP_DB)), {"exact": value >= CAP_DB}
