"""Explanation by occlusion: by how much does the score fall when a part of the recording is taken out?

It needs nothing of the detector but its score (M. Zeiler and R. Fergus, "Visualizing and understanding
convolutional networks", ECCV 2014, section 2). A part is a cell of time and frequency that is turned down in
the short-time Fourier transform. The detector trims and levels what is left anew, so that relevance need
not add up to the score.
"""

from collections.abc import Callable

import numpy as np

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio
from doppelbench.detectors.detector import Explanation

WINDOW_SECONDS = 0.032


def occlude(
    score: Callable[[Audio], float],
    audio: Audio,
    *,
    segments: int = 6,
    bands: int = 6,
    gain_db: float = -60.0,
) -> Explanation:
    """Take every cell of a grid out of a recording in turn and score what is left.

    Args:
        score: of a detector; called ``1 + segments * bands`` times.
        audio: the recording.
        segments: equal parts of its duration.
        bands: equal parts of its frequencies.
        gain_db: what is left of a cell.

    Returns:
        Relevance of shape (segments, bands): the score of the whole less the score without the cell. A cell
        without which nothing can be scored has a relevance of 0.

    Raises:
        MediaError: the whole recording cannot be scored.
    """
    from scipy.signal import istft, stft

    whole = score(audio)
    n = audio.samples.size
    length = min(round(WINDOW_SECONDS * audio.rate), n)
    _, _, spectrum = stft(audio.samples, audio.rate, nperseg=length)
    rows, columns = (
        np.linspace(0, size, parts + 1).round().astype(int)
        for size, parts in zip(spectrum.shape, (bands, segments), strict=True)
    )
    relevance = np.zeros((segments, bands))
    for segment, band in np.ndindex(segments, bands):
        held = spectrum.copy()
        held[rows[band] : rows[band + 1], columns[segment] : columns[segment + 1]] *= 10 ** (gain_db / 20)
        _, samples = istft(held, audio.rate, nperseg=length)
        left = np.pad(samples[:n], (0, max(0, n - samples.size))).astype(np.float32)
        try:
            relevance[segment, band] = whole - score(Audio(left, audio.rate))
        except MediaError as error:
            if error.status not in ("silent", "too_short"):
                raise
    return Explanation(
        times=(np.arange(segments) + 0.5) * audio.seconds / segments,
        frequencies=(np.arange(bands) + 0.5) * audio.rate / 2 / bands,
        relevance=relevance,
        method=f"occlusion|grid{segments}x{bands}|gain{gain_db:g}dB",
    )
