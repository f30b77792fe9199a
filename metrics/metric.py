"""The contract of every metric: a spec, a signature, one score per item, one figure per system.

A failed item is never a number: its value is None and its status says what went wrong. A metric keeps the
sufficient statistics of each item (counts, sums, frames), so that a figure, its interval and a paired test
are array operations on stored rows and need neither the audio nor the model again.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio, Video

Status = Literal[
    "ok",
    "missing",
    "unreadable",
    "too_short",
    "silent",
    "no_speech",
    "not_finite",
    "rate_mismatch",
    "length_mismatch",
    "timeout",
    "crashed",
]
STATUSES: tuple[str, ...] = get_args(Status)
Need = Literal["ref", "source", "text", "target"]
Media = Literal["audio", "video", "audiovisual"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a user must know of a metric; documentation, listing and schema are made from it.

    Attributes:
        name: key in items, figures and on the command line.
        title: one line for people.
        version: raised whenever a value can change.
        unit: ``dB``, ``%``, ``MOS-LQO`` or an empty string.
        direction: which way is better.
        range: smallest and largest possible value; None where unbounded.
        needs: ``ref`` a natural recording of the target, ``source`` the unconverted recording of the trial,
            which is then what ``ref`` holds, ``text`` the words said, ``target`` an enrolled target. No
            metric needs both ``ref`` and ``source``. With none, the output is judged alone.
        cost: CPU milliseconds per second of audio on one core, as measured, for planning.
        rate: samples per second at which it works.
        seconds: shortest and longest duration it accepts.
        same_timing: whether it compares sample by sample, so that a reference of other timing says nothing.
        citation: the paper or standard it comes from.
        licence: note on the licence of its backend, empty when nothing is to be said.
        media: what an output must hold: sound, pictures, or both in one file. A metric of sound is given
            :class:`~doppelbench.corpora.media.Audio`, the others
            :class:`~doppelbench.corpora.media.Video`.
        accelerated: whether it runs a neural model that gains from a GPU.
    """

    name: str
    title: str
    version: int
    unit: str
    direction: Literal["higher", "lower"]
    range: tuple[float | None, float | None]
    needs: frozenset[Need]
    cost: float
    rate: int
    citation: str
    seconds: tuple[float, float | None] = (0.0, None)
    same_timing: bool = False
    licence: str = ""
    media: Media = "audio"
    accelerated: bool = False


@dataclass(frozen=True, slots=True)
class ItemScore:
    """Score of one output: ``value`` is None unless ``status`` is ``ok``.

    ``stats`` holds the sufficient statistics (numbers, strings, or flat lists of them; JSON-able).
    """

    value: float | None
    status: Status = "ok"
    reason: str = ""
    stats: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, status: Status, reason: str, **stats: Any) -> "ItemScore":
        """Return a score without a value."""
        return cls(None, status, reason, stats)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure for one system: value, 95 % interval, scored and expected items.

    ``value`` is None when no item was scored. ``details`` holds what a reader needs beside the figure, such
    as a confusion matrix.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    expected: int
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """Scored items over expected items; 0 when nothing was expected."""
        return self.n / self.expected if self.expected else 0.0


class Metric(ABC):
    """A metric with its options fixed; one file holds one metric."""

    spec: ClassVar[MetricSpec]

    @property
    @abstractmethod
    def signature(self) -> str:
        """One line naming everything that can change a value, such as ``pesq_wb|pesq-0.0.4|sr16000|v1``."""

    @classmethod
    def paired_terms(cls, item: ItemScore) -> tuple[float, float] | None:
        """Say what one item adds to the figure, so that two systems can be compared trial by trial.

        The figure is the sum of the numerators over the sum of the denominators, in the unit of the spec; a
        metric that pools counts or scales its values overrides this. It needs no instance, because a
        comparison has the stored statistics and neither the options' files nor a model.

        Args:
            item: a score, failed or not.

        Returns:
            Numerator and denominator (not negative), or None when the item does not count.
        """
        return None if item.value is None else (item.value, 1.0)

    @abstractmethod
    def item(
        self, *, out: Audio | Video, ref: Audio | Video | None = None, clip: Clip | None = None
    ) -> ItemScore:
        """Score one output.

        Args:
            out: what the system produced.
            ref: natural recording of the same sentence by the target where the spec needs ``ref``; the source
                recording of the trial, before conversion, where it needs ``source``.
            clip: what is known of the output: ``clip.speaker`` is the intended target and ``clip.text`` the
                words that should be said.
        """

    @abstractmethod
    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Reduce item scores (failed ones included: they are expected) to one figure with an interval.

        Args:
            items: scores of one system, one for each expected item.
            clusters: for each item the group that is resampled as one for the interval (a speaker); items are
                resampled one by one when None.
        """
