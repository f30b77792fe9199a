"""Training data as a function of the step number, which is what makes a resumed training exact."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class StepData(Protocol):
    """Batches by number. An optional string attribute ``key`` names the content, so that a change is noticed.

    Draw every random choice from a generator made of the numbers, such as
    ``numpy.random.default_rng([seed, step, rank])``; one from a global generator would break exact resuming.
    """

    def batch(self, step: int, rank: int, world: int) -> Any:
        """Return the batch of one step for process ``rank`` of ``world``, always the same."""


class ShuffledBatches:
    """Batches of a map-style data set: every epoch has a new order, no item twice, the rest dropped."""

    def __init__(
        self,
        dataset: Sequence[Any],
        batch_size: int,
        seed: int = 0,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        """Serve ``dataset``; a data set smaller than a batch repeats its items to fill one."""
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.collate = collate
        self.key = f"{getattr(dataset, 'key', '')}|n{len(dataset)}|b{batch_size}|s{seed}"

    def batch(self, step: int, rank: int, world: int) -> Any:
        """Return the collated items of one step."""
        from torch.utils.data import default_collate

        items = [self.dataset[index] for index in self.indices(step, rank, world)]
        return (self.collate or default_collate)(items)

    def indices(self, step: int, rank: int, world: int) -> list[int]:
        """Return which items one process sees at one step."""
        import numpy as np

        size, together = len(self.dataset), self.batch_size * world
        steps_per_epoch = max(1, size // together)
        epoch, position = divmod(step, steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(size)
        first = position * together + rank * self.batch_size
        return [int(order[index % size]) for index in range(first, first + self.batch_size)]


def batches_from(
    data: StepData, start: int, rank: int, world: int, worker: int, workers: int
) -> Iterator[Any]:
    """Yield without end the batches that one of ``workers`` processes makes from step ``start`` on."""
    step = start + worker
    while True:
        yield data.batch(step, rank, world)
        step += workers
