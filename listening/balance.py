"""Draws that are even by construction: trials over targets, systems over blocks and places.

A block comes from a Latin list. The trials are divided into portions; of a portion with S rows (systems, with
references and anchors, or pairs of systems) S blocks are made, in which each trial occurs once, with another
row in each block. So no block holds a trial twice, every row is equally frequent in every block (or differs
by one), and at each place of the portion's blocks every row stands once.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Value = TypeVar("Value")


def spread_over_targets(targets: Sequence[str], count: int) -> list[int]:
    """Choose at most ``count`` places, from the targets in turn, evenly over each target's list.

    Args:
        targets: of each trial.
        count: how many are wanted; what a short target lacks the others give.

    Returns:
        Chosen places, one of each target in turn.
    """
    by_target: dict[str, list[int]] = {}
    for place, target in enumerate(targets):
        by_target.setdefault(target, []).append(place)
    shares = dict.fromkeys(by_target, 0)
    left = min(count, len(targets))
    while left:
        for target, own in by_target.items():
            if left and shares[target] < len(own):
                shares[target] += 1
                left -= 1
    columns = [
        [own[place * len(own) // shares[target]] for place in range(shares[target])]
        for target, own in by_target.items()
    ]
    longest = max(map(len, columns), default=0)
    return [column[place] for place in range(longest) for column in columns if place < len(column)]


def balanced_order(groups: Sequence[str], generator: np.random.Generator) -> list[bool]:
    """Say for each pair whether the second system comes first.

    Both orders are equally frequent overall and within each group (target); where a number is odd they differ
    by one.
    """
    swapped = [False] * len(groups)
    flag = bool(generator.integers(2))
    names = sorted(set(groups))
    for name in (names[index] for index in generator.permutation(len(names))):
        own = [index for index, group in enumerate(groups) if group == name]
        for index in generator.permutation(own):
            swapped[index] = flag
            flag = not flag
    return swapped


def latin_blocks(
    rows: int, portions: Sequence[int], generator: np.random.Generator
) -> list[list[tuple[int, int]]]:
    """Blocks of (row, trial), in the order of presentation.

    Args:
        rows: systems, or pairs of systems.
        portions: sizes of the portions; trials are counted through them.
        generator: of the order.

    Returns:
        ``rows`` blocks for each portion, in which every (row, trial) occurs once over all blocks.
    """
    blocks, first = [], 0
    for size in portions:
        order = first + generator.permutation(size)
        offsets = generator.permutation(np.arange(size) % rows)
        shift = generator.integers(rows)
        blocks += [
            [
                (int((offset + shift + number) % rows), int(trial))
                for offset, trial in zip(offsets, order, strict=True)
            ]
            for number in range(rows)
        ]
        first += size
    return blocks


def shuffled(generator: np.random.Generator, values: Sequence[Value]) -> list[Value]:
    """The values in a random order."""
    return [values[index] for index in generator.permutation(len(values))]
