"""A trivial classifier: do a few figures of a sound tell its system better than chance would?"""

import math
from collections.abc import Sequence

import numpy as np

PERMUTATIONS = 1999
# After so many permutations that do as well the p-value is known well enough (Besag and Clifford 1991).
ENOUGH = 20


def guess_system(
    features: np.ndarray,
    systems: Sequence[str],
    trials: Sequence[str],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[float, float]:
    """Guess systems by the nearest class mean, learned from all other trials.

    Features are taken relative to the mean of their trial, because sounds of one trial are what raters
    compare.

    Args:
        features: of each sound, shape (n, k).
        systems: of each sound.
        trials: of each sound.
        permutations: of the systems within trials.
        seed: of the permutations.

    Returns:
        Share of right guesses, and the p-value of the permutation test.
    """
    names, labels = np.unique(np.asarray(systems, dtype=str), return_inverse=True)
    _, groups = np.unique(np.asarray(trials, dtype=str), return_inverse=True)
    count = groups.max() + 1
    sizes = np.bincount(groups, minlength=count)
    means = np.stack([np.bincount(groups, column, count) / sizes for column in features.T], axis=1)
    centred = features - means[groups]
    spread = centred.std(axis=0)
    centred = centred[:, spread > 0] / spread[spread > 0]
    if not centred.size or len(names) < 2:
        return 1 / max(1, len(names)), 1.0
    accuracy = _accuracy(centred, labels, groups, len(names), count)
    generator = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    reached = 0
    for drawn in range(1, permutations + 1):
        shuffled = np.empty_like(labels)
        # Sorting by group, then by a random number, shuffles within groups.
        shuffled[order] = labels[np.lexsort((generator.random(labels.size), groups))]
        reached += _accuracy(centred, shuffled, groups, len(names), count) >= accuracy
        if reached == ENOUGH:
            return accuracy, ENOUGH / drawn
    return accuracy, (1 + reached) / (1 + permutations)


def _accuracy(centred: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, count: int) -> float:
    """Share of right guesses, each trial judged by the class means of the others."""
    cells = groups * classes + labels
    width = centred.shape[1]
    numbers = np.bincount(cells, minlength=count * classes).reshape(count, classes)
    sums = np.stack(
        [np.bincount(cells, column, count * classes).reshape(count, classes) for column in centred.T], axis=2
    )
    others = np.maximum(numbers.sum(axis=0) - numbers, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centres = (sums.sum(axis=0) - sums) / others[:, :, None]
    distances = np.zeros((labels.size, classes))
    for column in range(width):
        distances += np.square(centred[:, column, None] - centres[groups, :, column])
    distances[~np.isfinite(distances)] = math.inf
    # A tie between several classes is a guess among them.
    nearest = distances <= distances.min(axis=1, keepdims=True) + 1e-12
    return float((nearest[np.arange(labels.size), labels] / nearest.sum(axis=1)).mean())
