"""Match error rate: the share of aligned words that are wrong, never above 100 %.

Errors over hits, substitutions, deletions and insertions (Morris, Maier and Green, "From WER and RIL to MER
and WIL", Interspeech 2004). The alignment is that of the word error rate, by jiwer; see
:mod:`doppelbench.metrics.transcript_errors`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from doppelbench.metrics.wer import WordErrorRate


class MatchErrorRate(WordErrorRate):
    """Errors in words over the words of the alignment, those inserted included."""

    spec = replace(
        WordErrorRate.spec,
        name="mer",
        title="Match error rate of a speech recogniser",
        range=(0.0, 100.0),
        citation="Morris et al., Interspeech 2004; jiwer",
        accelerated=True,
    )

    @staticmethod
    def total(stats: Mapping[str, Any]) -> int:
        """Words of the alignment."""
        return int(stats["reference_tokens"]) + int(stats["insertions"])
