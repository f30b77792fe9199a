"""What metrics of two signals of the same timing share: one length, and alignment by one lag on request."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.metrics.alignment import Align, align_rule, aligned, check_align, resemblance
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import ItemScore
from doppelbench.metrics.signals import LENGTH_RULE, same_length


class SameTimingMetric(AudioMetric):
    """Compares sample by sample; with ``align`` the statistics also hold the lag that was taken off."""

    recipe: ClassVar[str]
    """Part of the signature that says how a value is computed, apart from lengths and alignment."""

    def __init__(self, align: Align = False) -> None:
        """Choose whether the best global lag is taken off first, by waveforms or by ``mel`` spectrograms."""
        self.align = check_align(self.spec.name, align)

    @property
    def signature(self) -> str:
        """Recipe, rule for unequal lengths, and alignment."""
        return f"{self.spec.name}|{self.recipe}|{LENGTH_RULE}{align_rule(self.align)}|v{self.spec.version}"

    @abstractmethod
    def compare(self, *, out: np.ndarray, ref: np.ndarray) -> tuple[float, Mapping[str, float | bool]]:
        """Return value and statistics of two signals of one length, shape (n,)."""

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Cut to one length, align where that was chosen, and compare."""
        assert ref is not None
        out, ref = same_length(out=out, ref=ref, rate=self.rate)
        lag: Mapping[str, float | bool] = {}
        if self.align:
            out, ref, lag = aligned(out=out, ref=ref, rate=self.rate, by=resemblance(self.align))
        value, statistics = self.compare(out=out, ref=ref)
        return ItemScore(value, stats={**statistics, **lag})
