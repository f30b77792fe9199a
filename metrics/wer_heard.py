"""Word error rate against what the recogniser hears in the natural recording, instead of the text.

Lip-to-speech papers give one or the other, often without saying which. Against the text, errors of the
recogniser on natural speech count as errors of the system; against its transcript of the natural recording
they do not, and natural speech scores 0. See :mod:`doppelbench.metrics.transcript_errors`.
"""

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.media import Audio
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.recognizers import Recognizer, StoredTranscripts
from doppelbench.metrics.wer import WordErrorRate


class HeardWordErrorRate(WordErrorRate):
    """Errors in words over the words that the recogniser hears in the reference."""

    spec = MetricSpec(
        name="wer_heard",
        title="Word error rate against the recogniser's transcript of the natural recording",
        version=1,
        unit="%",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"ref"}),
        cost=540.0,
        rate=16000,
        seconds=(0.1, None),
        citation="NIST SCTK; jiwer",
        accelerated=True,
    )

    def __init__(
        self,
        recognizer: str | Recognizer = "pocketsphinx",
        normalizer: str = "whisper-english",
        device: str = "cpu",
    ) -> None:
        """Choose who listens, as for :class:`WordErrorRate`.

        Raises:
            DoppelbenchError: transcripts that are stored by output; they tell nothing of the reference.
        """
        super().__init__(recognizer, normalizer, device)
        if isinstance(self.recognizer, StoredTranscripts):
            raise DoppelbenchError(
                "wer_heard listens to the natural recording too, of which stored transcripts tell nothing; "
                "name a recogniser"
            )

    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Error rate of one output against the transcript of its reference."""
        assert ref is not None
        heard, said = (
            self.recognizer.transcribe(Audio(samples.astype(np.float32), self.rate), clip=clip)
            for samples in (out, ref)
        )
        return self.compare(reference=said, transcript=heard)
