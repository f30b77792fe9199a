"""Rules that divide clips into train, dev and test."""

from collections.abc import Sequence

import numpy as np

from doppelbench.corpora.corpus import SPLITS
from doppelbench.corpora.errors import InputError

Fractions = Sequence[float]
EIGHTY_TEN_TEN = (0.8, 0.1, 0.1)


def by_key(keys: Sequence[str], *, seed: int = 0, fractions: Fractions = EIGHTY_TEN_TEN) -> list[str]:
    """Divide so that equal keys fall into the same split.

    With the text as the key this is the rule of Blow (Serrà et al. 2019): no sentence of dev or test is heard
    in training from any speaker. Distinct keys are sorted, shuffled, and cut at the fractions; the shuffle is
    NumPy's, so the split follows their rule and is not their list.

    Args:
        keys: one for each clip.
        seed: of the shuffle.
        fractions: of the distinct keys that go to train, dev and test.

    Returns:
        The split of each clip.
    """
    distinct = sorted(set(keys))
    order = np.random.default_rng(seed).permutation(len(distinct))
    names = by_order(len(distinct), fractions)
    split_of = {distinct[index]: name for index, name in zip(order, names, strict=True)}
    return [split_of[key] for key in keys]


def by_order(count: int, fractions: Fractions = EIGHTY_TEN_TEN) -> list[str]:
    """Divide a sequence in order: the first part train, then dev, then test.

    Args:
        count: length of the sequence.
        fractions: of the sequence that go to train, dev and test; boundaries are rounded.

    Raises:
        InputError: when the fractions are not three numbers from 0 to 1 that add up to 1.
    """
    values = np.asarray(fractions, dtype=np.float64)
    if values.shape != (3,) or (values < 0).any() or abs(values.sum() - 1) > 1e-6:
        raise InputError(
            f"fractions are three numbers for {', '.join(SPLITS)} that add up to 1, not {fractions}"
        )
    bounds = np.round(np.cumsum(values) * count).astype(int)
    return [SPLITS[np.searchsorted(bounds, index, side="right")] for index in range(count)]
