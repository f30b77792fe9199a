"""Character error rate, spaces included: Levenshtein alignment of characters by jiwer.

See :mod:`doppelbench.metrics.transcript_errors`.
"""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.transcript_errors import ErrorCounts, TranscriptErrorMetric


class CharacterErrorRate(TranscriptErrorMetric):
    """Errors in characters over the characters that should be said; a space between words is a character."""

    spec = MetricSpec(
        name="cer",
        title="Character error rate of a speech recogniser",
        version=1,
        unit="%",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"text"}),
        cost=270.0,
        rate=16000,
        seconds=(0.1, None),
        citation="NIST SCTK; jiwer",
        accelerated=True,
    )

    @staticmethod
    def count(reference: str, hypothesis: str) -> ErrorCounts:
        """Count over characters of texts whose words are apart by one space."""
        if not reference or not hypothesis:
            return ErrorCounts(0, 0, len(reference), len(hypothesis))
        import jiwer

        characters = jiwer.process_characters(reference, hypothesis)
        return ErrorCounts(
            characters.hits, characters.substitutions, characters.deletions, characters.insertions
        )
