"""Occlusion finds the part of a recording that the score was made from."""

import numpy as np
import pytest

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio
from doppelbench.detectors.occlusion import occlude

RATE = 16000


def noise() -> Audio:
    return Audio(np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32), RATE)


def energy_between(audio: Audio, low: float, high: float, start: float, end: float) -> float:
    part = audio.samples[round(start * RATE) : round(end * RATE)]
    frequencies = np.fft.rfftfreq(part.size, 1 / RATE)
    power = np.abs(np.fft.rfft(part)) ** 2
    return float(power[(frequencies >= low) & (frequencies < high)].sum())


def test_the_cell_that_the_score_hears_is_the_most_relevant() -> None:
    found = occlude(lambda audio: energy_between(audio, 4000, 6000, 0.5, 1.0), noise(), segments=4, bands=4)
    assert np.unravel_index(found.relevance.argmax(), found.relevance.shape) == (1, 2)
    assert found.relevance[1, 2] > 5 * np.abs(np.delete(found.relevance.ravel(), 6)).max()
    assert found.times[1] == 0.75
    assert found.frequencies is not None
    assert found.frequencies[2] == 5000


def test_what_speaks_against_bona_fide_has_negative_relevance() -> None:
    found = occlude(lambda audio: -energy_between(audio, 0, 2000, 0, 2), noise(), segments=2, bands=4)
    assert (found.relevance[:, 0] < 0).all()


def test_a_constant_score_has_no_relevance() -> None:
    assert not occlude(lambda audio: 3.0, noise(), segments=2, bands=2).relevance.any()


def test_the_recordings_that_are_scored_have_its_length() -> None:
    lengths = set()

    def score(audio: Audio) -> float:
        lengths.add((audio.samples.size, audio.samples.dtype, audio.rate))
        return 0.0

    occlude(score, noise(), segments=2, bands=2)
    assert lengths == {(2 * RATE, np.dtype(np.float32), RATE)}


def test_a_cell_without_which_nothing_can_be_scored_has_no_relevance_but_other_errors_are_told() -> None:
    def refuse(status: str):
        calls = []

        def score(audio: Audio) -> float:
            calls.append(audio)
            if len(calls) == 2:
                raise MediaError(status, "refused")
            return float(len(calls))

        return score

    assert occlude(refuse("silent"), noise(), segments=2, bands=1).relevance[0, 0] == 0
    with pytest.raises(MediaError):
        occlude(refuse("unreadable"), noise(), segments=2, bands=1)
