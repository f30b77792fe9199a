"""Leakage: how much of the source's voice is left in a conversion?

The cosine of :mod:`doppelbench.metrics.secs`, with the unconverted source recording in the place of the
reference. Any two voices are somewhat alike to the encoder, so read it between the row of the unconverted
source (1) and the row of the natural target, which holds nothing of the source.
"""

from dataclasses import replace

from doppelbench.metrics.secs import SpeakerEmbeddingSimilarity


class SpeakerLeakage(SpeakerEmbeddingSimilarity):
    """SECS of output and source; ``speech_out`` and ``speech_source`` in seconds are in the statistics."""

    compared = "source"
    spec = replace(
        SpeakerEmbeddingSimilarity.spec,
        name="secs_source",
        title="Speaker-embedding cosine similarity to the unconverted source: leakage",
        direction="lower",
        needs=frozenset({"source"}),
    )
