"""What the error rates of transcripts share: recognise, normalise, align, count, and pool the counts.

A corpus rate is the sum of errors over the sum of reference tokens, or, for the match error rate, of aligned
tokens; the mean of the rates of utterances is another quantity. An empty reference has no rate of its own:
its item has status ``no_speech``, but what was inserted against it counts in the pooled numerator and is
shown. An empty transcript is all deletions.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio
from doppelbench.metrics.audio_metric import AudioMetric
from doppelbench.metrics.metric import Figure, ItemScore
from doppelbench.metrics.normalizers import normalizer as normalizer_named
from doppelbench.metrics.recognizers import Recognizer
from doppelbench.metrics.recognizers import recognizer as recognizer_named
from doppelbench.metrics.statistics import bootstrap_ratio


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Tokens of an alignment of least edits."""

    hits: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def reference(self) -> int:
        """Tokens of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions


class TranscriptErrorMetric(AudioMetric):
    """An error rate of what a recogniser hears; items are fractions (they may exceed 1), figures percent.

    The statistics of an item are ``hits``, ``substitutions``, ``deletions``, ``insertions``,
    ``reference_tokens``, the normalised ``reference`` and ``hypothesis``, the ``transcript`` as recognised,
    and ``empty_hypothesis``.
    """

    def __init__(
        self,
        recognizer: str | Recognizer = "pocketsphinx",
        normalizer: str = "whisper-english",
        device: str = "cpu",
    ) -> None:
        """Choose who listens and how text is normalised.

        Args:
            recognizer: ``pocketsphinx`` (a smoke test, not for rankings), ``pocketsphinx-grid``,
                ``whisper:<size or file>``, ``stored:<file>``, or a recogniser.
            normalizer: ``whisper-english``, ``basic`` or ``none``.
            device: where whisper runs.
        """
        self.recognizer = recognizer_named(recognizer, device=device)
        self.normalizer = normalizer_named(normalizer)

    @property
    def signature(self) -> str:
        """Recogniser, normaliser and aligner."""
        return (
            f"{self.spec.name}|{self.recognizer.signature}|nfkc+{self.normalizer.signature}"
            f"|jiwer-{metadata.version('jiwer')}|pooled|v{self.spec.version}"
        )

    @staticmethod
    @abstractmethod
    def count(reference: str, hypothesis: str) -> ErrorCounts:
        """Align two normalised texts and count."""

    @staticmethod
    def total(stats: Mapping[str, Any]) -> int:
        """Tokens that the errors of an item are divided by, from its statistics."""
        return int(stats["reference_tokens"])

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Error rate of one output against ``clip.text``."""
        assert clip is not None
        assert clip.text is not None
        transcript = self.recognizer.transcribe(Audio(out.astype(np.float32), self.rate), clip=clip)
        return self.compare(reference=clip.text, transcript=transcript)

    def compare(self, *, reference: str, transcript: str) -> ItemScore:
        """Score a transcript that is there already."""
        expected, heard = self.normalizer(reference), self.normalizer(transcript)
        counts = self.count(expected, heard)
        stats = {
            "hits": counts.hits,
            "substitutions": counts.substitutions,
            "deletions": counts.deletions,
            "insertions": counts.insertions,
            "reference_tokens": counts.reference,
            "reference": expected,
            "hypothesis": heard,
            "transcript": transcript,
            "empty_hypothesis": not heard,
        }
        if counts.reference == 0:
            return ItemScore.failed("no_speech", "the reference text is empty after normalisation", **stats)
        return ItemScore(counts.errors / self.total(stats), stats=stats)

    @classmethod
    def paired_terms(cls, item: ItemScore) -> tuple[float, float] | None:
        """Hundred times the errors, and what they are over; insertions against an empty reference count."""
        if "reference_tokens" not in item.stats:
            return None
        errors = sum(item.stats[name] for name in ("substitutions", "deletions", "insertions"))
        return 100.0 * errors, float(cls.total(item.stats))

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Pooled rate in percent with a bootstrap interval over utterances or clusters.

        Details: the summed counts, ``mean_of_items`` in percent, ``empty_references`` and
            ``empty_hypotheses``.
        """
        if clusters is not None and len(clusters) != len(items):
            raise ValueError(f"{len(clusters)} clusters for {len(items)} items")
        counted = [index for index, item in enumerate(items) if "reference_tokens" in item.stats]
        stats = [items[index].stats for index in counted]
        errors = [row["substitutions"] + row["deletions"] + row["insertions"] for row in stats]
        totals = [self.total(row) for row in stats]
        groups = None if clusters is None else [clusters[index] for index in counted]
        interval = bootstrap_ratio(errors, totals, clusters=groups)
        low, value, high = (
            None if bound is None else 100 * bound for bound in (interval.low, interval.value, interval.high)
        )
        rates = sorted(item.value for item in items if item.status == "ok" and item.value is not None)
        details: dict[str, float] = {
            name: sum(row[name] for row in stats)
            for name in ("hits", "substitutions", "deletions", "insertions", "reference_tokens")
        }
        details["empty_references"] = sum(row["reference_tokens"] == 0 for row in stats)
        details["empty_hypotheses"] = sum(row["empty_hypothesis"] for row in stats)
        if rates:
            details["mean_of_items"] = 100 * sum(rates) / len(rates)
        return Figure(value, low, high, len(rates), len(items), details)
