"""What metrics of one sound file share: checked inputs, failures as statuses, the mean as the figure."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio, Video
from doppelbench.metrics.metric import Figure, ItemScore, Metric
from doppelbench.metrics.signals import checked_samples
from doppelbench.metrics.statistics import bootstrap_mean

# What an output is compared with, and how messages name it.
COMPARED = {"ref": "reference", "source": "source"}


class AudioMetric(Metric):
    """A metric of mono float64 signals; subclasses write :meth:`score`.

    ``rate`` is the rate of its spec, unless an option of the subclass sets another.
    """

    @cached_property
    def rate(self) -> int:
        """Samples per second of the signals that :meth:`score` gets."""
        return self.spec.rate

    @abstractmethod
    def score(self, out: np.ndarray, ref: np.ndarray | None, clip: Clip | None) -> ItemScore:
        """Score checked signals of shape (n,); ``ref`` and ``clip`` are there when the spec needs them.

        ``ref`` is the source recording when the spec needs ``source``.

        Raises:
            MediaError: what cannot be scored; its status becomes the status of the item.
        """

    def item(
        self, *, out: Audio | Video, ref: Audio | Video | None = None, clip: Clip | None = None
    ) -> ItemScore:
        """Check the inputs and score them; what cannot be scored has a status and no value."""
        spec = self.spec
        try:
            out_samples = checked_samples(out, role="output", rate=self.rate, seconds=spec.seconds)
            ref_samples = None
            for need, role in COMPARED.items():
                if need in spec.needs:
                    ref_samples = checked_samples(ref, role=role, rate=self.rate, seconds=spec.seconds)
            if "text" in spec.needs and (clip is None or clip.text is None):
                raise MediaError("missing", f"{spec.name} needs the words that should be said")
            if "target" in spec.needs and clip is None:
                raise MediaError("missing", f"{spec.name} needs the intended target speaker")
            return self.score(out_samples, ref_samples, clip)
        except MediaError as error:
            return failed_score(error)

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean of the scored items with a bootstrap interval."""
        scored, groups = scored_items(items, clusters)
        interval = bootstrap_mean([item.value for item in scored if item.value is not None], clusters=groups)
        return Figure(interval.value, interval.low, interval.high, len(scored), len(items))


def failed_score(error: MediaError) -> ItemScore:
    """The item score of a signal that cannot be scored."""
    return ItemScore(None, error.status, error.reason)  # type: ignore[arg-type]


def scored_items(
    items: Sequence[ItemScore], clusters: Sequence[str] | None
) -> tuple[list[ItemScore], list[str] | None]:
    """The items whose status is ``ok``, and their clusters.

    Raises:
        ValueError: when the clusters are not one for each item.
    """
    if clusters is not None and len(clusters) != len(items):
        raise ValueError(f"{len(clusters)} clusters for {len(items)} items")
    kept = [index for index, item in enumerate(items) if item.status == "ok"]
    groups = None if clusters is None else [clusters[index] for index in kept]
    return [items[index] for index in kept], groups
