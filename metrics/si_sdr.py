"""Scale-invariant signal-to-distortion ratio of Le Roux, Wisdom, Erdogan and Hershey (ICASSP 2019).

The reference, scaled to fit the output best, over what is left, in dB; means are taken off both, in float64.
It compares waveforms: the same signal one sample late has 11 dB, eight samples late -7 dB. It belongs to
enhancement and separation, and says nothing of vocoded or converted speech.
"""

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.metrics.alignment import ALIGN_RULE, aligned, check_align
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.signals import LENGTH_RULE, RESAMPLER, same_length

# An exact copy has no finite ratio; 16-bit samples of full scale reach 98 dB.
CAP_DB = 100.0


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


class ScaleInvariantSignalToDistortionRatio(AudioMetric):
    """SI-SDR in dB, held within -100 to 100 dB; ``exact`` in the statistics says that the output is a copy.

    A copy is what differs from the reference by a factor and less than 100 dB. With ``align`` the statistics
    hold the lag that was taken off.
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
        rate=16000,
        seconds=(0.1, None),
        same_timing=True,
        citation="Le Roux et al., ICASSP 2019",
    )

    def __init__(self, align: bool = False) -> None:
        """Choose whether the best global lag is taken off first."""
        self.align = check_align(self.spec.name, align)

    @property
    def signature(self) -> str:
        """Means, cap, rate, alignment and rule for unequal lengths."""
        align = f"|{ALIGN_RULE}" if self.align else ""
        return (
            f"si_sdr|float64-zero-mean|cap{CAP_DB:g}dB|sr{self.rate}-{RESAMPLER}|{LENGTH_RULE}{align}"
            f"|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Ratio of one output."""
        assert ref is not None
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        stats: dict[str, float | bool] = {}
        if self.align:
            out, ref, stats = aligned(out=out, ref=ref, rate=self.rate)
        value = scale_invariant_ratio(out=out, ref=ref)
        return ItemScore(float(np.clip(value, -CAP_DB, CAP_DB)), stats={"exact": value >= CAP_DB, **stats})
