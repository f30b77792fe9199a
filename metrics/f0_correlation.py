"""Correlation of F0: does the voice rise and fall where the reference does, whatever its height?

Pearson's correlation of the logarithm of F0 over the frames voiced in both signals, on the exact warping
path of ``mcd``; a voice that is higher throughout loses nothing. The kernel is
:mod:`doppelbench.metrics.pitch_kernel`.
"""

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.pitch_kernel import HIGH_HZ, LOW_HZ, aligned_pitch, check_range, signature_parts

# A tenth of a cent; what varies less is a monotone whose correlation is rounding.
MIN_DEVIATION = 0.1 / 1200 * np.log(2)


def pitch_correlation(*, out: np.ndarray, ref: np.ndarray) -> float:
    """Pearson's correlation of the logarithms of two F0 tracks in Hz, shape (n,), all voiced.

    Raises:
        MediaError: ``no_speech`` when one of them does not vary, for then there is no intonation to compare.
    """
    centred = []
    for role, track in (("output", out), ("reference", ref)):
        logarithm = np.log(track)
        logarithm -= logarithm.mean()
        if logarithm.std() < MIN_DEVIATION:
            raise MediaError("no_speech", f"the F0 of the {role} does not vary, so nothing can correlate")
        centred.append(logarithm / np.linalg.norm(logarithm))
    return float(np.clip(centred[0] @ centred[1], -1.0, 1.0))


class FundamentalFrequencyCorrelation(AudioMetric):
    """F0 correlation; the frames ``covoiced`` of the ``path`` are in the statistics."""

    spec = MetricSpec(
        name="f0_correlation",
        title="Correlation of log F0 over frames voiced in both signals, after exact time warping",
        version=1,
        unit="",
        direction="higher",
        range=(-1.0, 1.0),
        needs=frozenset({"ref"}),
        cost=340.0,
        rate=16000,
        seconds=(0.1, None),
        citation="Morise: Harvest, Interspeech 2017",
    )

    def __init__(self, low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ) -> None:
        """Choose the range in which F0 is looked for."""
        self.low_hz, self.high_hz = check_range(self.spec.name, low_hz, high_hz)

    @property
    def signature(self) -> str:
        """Estimator and its range, rate, hop, trimming and alignment."""
        return (
            f"{self.spec.name}|{signature_parts(self.low_hz, self.high_hz)}|covoiced-ln|v{self.spec.version}"
        )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Correlation of one output with the parallel recording."""
        assert ref is not None
        pitch = aligned_pitch(out=out, ref=ref, low_hz=self.low_hz, high_hz=self.high_hz)
        voiced_ref, voiced_out = pitch.voiced_pairs()
        value = pitch_correlation(out=voiced_out, ref=voiced_ref)
        return ItemScore(value, stats={"covoiced": voiced_ref.size, "path": pitch.ref.size})
