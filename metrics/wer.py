"""Word error rate: Levenshtein alignment of words by jiwer; see
:mod:`doppelbench.metrics.transcript_errors`."""

from doppelbench.metrics.metric import MetricSpec
from doppelbench.metrics.transcript_errors import ErrorCounts, TranscriptErrorMetric


class WordErrorRate(TranscriptErrorMetric):
    """Errors in words over the words that should be said."""

    spec = MetricSpec(
        name="wer",
        title="Word error rate of a speech recogniser",
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
        """Count over words apart by one space."""
        if not reference or not hypothesis:
            return ErrorCounts(0, 0, len(reference.split()), len(hypothesis.split()))
        import jiwer

        words = jiwer.process_words(reference, hypothesis)
        return ErrorCounts(words.hits, words.substitutions, words.deletions, words.insertions)
