"""Voicing error: the share of frames that are voiced in one signal and unvoiced in the other.

On the exact warping path of ``mcd``. It is defined where ``f0_rmse`` is not: an output without any voiced
frame, a whisper, errs in every voiced frame of the reference. The kernel is
:mod:`doppelbench.metrics.pitch_kernel`.
"""

from dataclasses import replace

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.pitch_kernel import HIGH_HZ, LOW_HZ, aligned_pitch, check_range, signature_parts
from doppelbench.metrics.warped_metric import WarpedMetric, path_score


class VoicingError(WarpedMetric):
    """Voicing error in percent of the path.

    Beside those of :class:`WarpedMetric`, the statistics hold the frames ``covoiced``, and of the errors
    those ``missed`` (voiced in the reference alone) and ``added`` (in the output alone).
    """

    spec = MetricSpec(
        name="voicing_error",
        title="Frames voiced in one signal alone, after exact time warping",
        version=1,
        unit="%",
        direction="lower",
        range=(0.0, 100.0),
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
        return f"{self.spec.name}|{signature_parts(self.low_hz, self.high_hz)}|v{self.spec.version}"

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Voicing error of one output against the parallel recording."""
        assert ref is not None
        pitch = aligned_pitch(out=out, ref=ref, low_hz=self.low_hz, high_hz=self.high_hz)
        missed = int(np.sum((pitch.ref > 0) & (pitch.out == 0)))
        added = int(np.sum((pitch.ref == 0) & (pitch.out > 0)))
        score = path_score(100.0 * (missed + added), pitch.ref.size, pitch.frames_ref, pitch.frames_out)
        own = {"covoiced": int(pitch.covoiced.sum()), "missed": missed, "added": added}
        return replace(score, stats={**score.stats, **own})
