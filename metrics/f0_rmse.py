"""Root-mean-square error of F0 in cents: does the output follow the intonation of the reference?

Over the frames that are voiced in both signals, on the exact warping path of ``mcd``. Frames that are
voiced in one alone are the affair of ``voicing_error``; counted as 0 Hz, as some tools do, they would
outweigh every real difference. The kernel is :mod:`doppelbench.metrics.pitch_kernel`.

The tracker decides doubtful frames by a hair, and one jump of an octave outweighs a whole intonation: of 19
synthetic voices, each against itself late by one sample, 10 get more than 30 cents, the worst 380. One item
says little; a late copy of a voice without weak frames gets less than 1.
"""

import math
from collections.abc import Sequence

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.metrics.audio_metric import AudioMetric, scored_items
from doppelbench.metrics.metric import Figure, ItemScore, MetricSpec
from doppelbench.metrics.pitch_kernel import (
    CENTS_PER_OCTAVE,
    HIGH_HZ,
    LOW_HZ,
    aligned_pitch,
    check_range,
    signature_parts,
)


def pitch_errors(*, out: np.ndarray, ref: np.ndarray) -> dict[str, float]:
    """Root-mean-square errors of F0 tracks in Hz, shape (n,), all voiced: ``cents``, ``hz`` and ``ln_hz``."""
    logarithmic = math.sqrt(np.mean(np.log(out / ref) ** 2))
    return {
        "cents": CENTS_PER_OCTAVE / math.log(2) * logarithmic,
        "hz": math.sqrt(np.mean((out - ref) ** 2)),
        "ln_hz": logarithmic,
    }


class FundamentalFrequencyError(AudioMetric):
    """F0 RMSE in cents.

    The statistics hold the same error as ``hz`` and ``ln_hz``, the mean difference ``shift_cents`` (positive
    when the output is higher), and the frames ``covoiced`` of the ``path``.
    """

    spec = MetricSpec(
        name="f0_rmse",
        title="Root-mean-square error of F0 over frames voiced in both signals, after exact time warping",
        version=1,
        unit="cents",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"ref"}),
        cost=340.0,
        rate=16000,
        seconds=(0.1, None),
        citation="Morise: Harvest, Interspeech 2017",
    )

    def __init__(self, low_hz: float = LOW_HZ, high_hz: float = HIGH_HZ) -> None:
        """Choose the range in which F0 is looked for; an error of range is an octave error here."""
        self.low_hz, self.high_hz = check_range(self.spec.name, low_hz, high_hz)

    @property
    def signature(self) -> str:
        """Estimator and its range, rate, hop, trimming and alignment."""
        return f"{self.spec.name}|{signature_parts(self.low_hz, self.high_hz)}|covoiced|v{self.spec.version}"

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Error of one output against the parallel recording."""
        assert ref is not None
        pitch = aligned_pitch(out=out, ref=ref, low_hz=self.low_hz, high_hz=self.high_hz)
        voiced_ref, voiced_out = pitch.voiced_pairs()
        errors = pitch_errors(out=voiced_out, ref=voiced_ref)
        stats = {
            "hz": errors["hz"],
            "ln_hz": errors["ln_hz"],
            "shift_cents": CENTS_PER_OCTAVE * float(np.mean(np.log2(voiced_out / voiced_ref))),
            "covoiced": voiced_ref.size,
            "path": pitch.ref.size,
        }
        return ItemScore(errors["cents"], stats=stats)

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean over items; details: ``pooled`` over all frames, and the frames ``covoiced``."""
        figure = super().reduce(items, clusters)
        scored, _ = scored_items(items, clusters)
        if not scored:
            return figure
        frames = sum(item.stats["covoiced"] for item in scored)
        squares = sum(sorted((item.value or 0.0) ** 2 * item.stats["covoiced"] for item in scored))
        details = {"pooled": math.sqrt(squares / frames), "covoiced": frames}
        return Figure(figure.value, figure.low, figure.high, figure.n, figure.expected, details)
