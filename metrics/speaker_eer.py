"""Equal error rate of "is it the target who speaks?" from similarities to the target and to the source.

A conversion that keeps the source's voice cannot be told by its similarity to the target alone, because every
encoder finds some likeness between any two voices. Here the outputs are trials of a speaker verification
system (Das et al., "Predictions of subjective ratings and spoofing assessments of Voice Conversion Challenge
2020 submissions", 2020): the similarity of an output to its target (metric ``secs``) is a target score, that
of the same output to its source (metric ``secs_source``) a non-target score. A rate near 0 says that every
output is nearer to a target than any is to a source, 0.5 that the two cannot be told apart, near 1 that the
sources are still heard. It is one figure of a whole system, so it is computed from stored items and is no
metric of an item.
"""

from collections.abc import Sequence

import numpy as np


def speaker_eer(
    target_scores: Sequence[float] | np.ndarray, nontarget_scores: Sequence[float] | np.ndarray
) -> float:
    """Rate at which as many target trials are missed as non-target trials are accepted.

    A trial is accepted when its score is at least the threshold. Both rates are known at every score that
    occurs; between the two neighbouring thresholds where they cross they are interpolated linearly, as a
    straight line between points of the ROC curve does.

    Args:
        target_scores: similarities of outputs to their targets, shape (n,), higher is more alike.
        nontarget_scores: similarities of outputs to their sources, shape (m,).

    Returns:
        The rate, from 0 to 1.

    Raises:
        ValueError: one of the two is empty, not one row, or holds NaN.
    """
    target, nontarget = (
        np.sort(np.asarray(scores, dtype=np.float64)) for scores in (target_scores, nontarget_scores)
    )
    for name, scores in (("target", target), ("non-target", nontarget)):
        if scores.ndim != 1 or scores.size == 0 or np.isnan(scores).any():
            raise ValueError(f"the {name} scores must be one row of at least one number, without NaN")
    thresholds = np.unique(np.concatenate([target, nontarget]))
    missed = np.append(np.searchsorted(target, thresholds), target.size) / target.size
    rejected = np.append(np.searchsorted(nontarget, thresholds), nontarget.size) / nontarget.size
    # The gap rises from -1, where everything is accepted, to 1, where nothing is.
    gap = missed + rejected - 1
    after = int(np.argmax(gap >= 0))
    share = gap[after] / (gap[after] - gap[after - 1])
    return float(missed[after] - share * (missed[after] - missed[after - 1]))
