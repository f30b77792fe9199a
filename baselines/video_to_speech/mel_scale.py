"""The scale on which the networks see and draw log-mel spectrograms: about zero, with a spread of about one.

One pair of numbers for all bands and corpora, because a decoder that is taken from one training to another
must mean the same by what it draws.
"""

from torch import Tensor

MIDDLE, SPREAD = 0.5, 0.2


def standardize(mel: Tensor) -> Tensor:
    """Turn a log-mel spectrogram of range 0 to 1 into what the networks see."""
    return (mel - MIDDLE) / SPREAD


def restore(features: Tensor) -> Tensor:
    """Inverse of :func:`standardize`."""
    return features * SPREAD + MIDDLE
