"""What metrics of synchronisation share: distances over offsets, checked inputs, one reading for all of them.

A synchronisation network embeds 0.2 s of pictures and 0.2 s of sound in one space. The mean distance between
the two, as a function of the offset at which they are paired, is the curve that everything is read from
(Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV 2016 workshops): its minimum, where
the minimum lies, and how far it lies under the median.

The sign is that of the authors' released program: an offset is positive when the sound comes too early and
negative when it comes too late.
"""

import hashlib
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio, Video
from doppelbench.metrics.audio_metric import failed_score, scored_items
from doppelbench.metrics.metric import Figure, ItemScore, Metric
from doppelbench.metrics.signals import checked_samples
from doppelbench.metrics.statistics import bootstrap_mean
from doppelbench.metrics.syncnet_input import FPS, checked_frames

RATE = 16000
SAMPLES_PER_FRAME = RATE // FPS
WINDOW_FRAMES = 5
LARGEST_OFFSET = 15
MIN_SECONDS = 0.5
FRAME_MS = 1000 / FPS
# Readings are some forty numbers; keeping them lets two metrics of one network run it once for each output.
READINGS_KEPT = 256


@dataclass(frozen=True, slots=True, eq=False)
class SyncReading:
    """Mean distance of pictures and sound over the offset between them.

    Attributes:
        offsets: in frames of 40 ms, ascending, positive where the sound comes early; shape (n,).
        distances: shape (n,).
        windows: how many windows of pictures were compared.
    """

    offsets: np.ndarray
    distances: np.ndarray
    windows: int

    @property
    def offset(self) -> int:
        """Offset in frames at which pictures and sound are nearest; of equals the one nearest to zero."""
        nearest = np.flatnonzero(self.distances == self.distances.min())
        return int(self.offsets[nearest[np.abs(self.offsets[nearest]).argmin()]])

    @property
    def distance(self) -> float:
        """Smallest mean distance (the D of LSE-D)."""
        return float(self.distances.min())

    @property
    def confidence(self) -> float:
        """Median minus minimum over the offsets (the C of LSE-C)."""
        return float(np.median(self.distances) - self.distances.min())


def overlapping_curve(pictures: np.ndarray, sound: np.ndarray, largest: int = LARGEST_OFFSET) -> SyncReading:
    """Mean Euclidean distance at each offset over the windows that have both pictures and sound there.

    An offset counts where at least half of the windows overlap, so that short clips have fewer offsets.

    Args:
        pictures: embeddings of windows that begin 40 ms apart, shape (n, d).
        sound: the same of the sound, shape (n, d).
        largest: offset in frames, either way.
    """
    count = len(pictures)
    most = min(largest, count // 2)
    offsets = np.arange(-most, most + 1)
    distances = []
    for offset in offsets:
        # Sound that comes early by k frames is found k windows before its pictures.
        early, late = max(0, int(offset)), max(0, -int(offset))
        difference = pictures[early : count - late] - sound[late : count - early]
        distances.append(np.linalg.norm(difference.astype(np.float64), axis=1).mean())
    return SyncReading(offsets, np.array(distances), count)


def padded_curve(pictures: np.ndarray, sound: np.ndarray, largest: int = LARGEST_OFFSET) -> SyncReading:
    """Mean Euclidean distance at each offset over all windows, with zeros for sound outside of the clip.

    This is the rule of the released SyncNet, which LSE-D and LSE-C are defined by; it adds 1e-6 to each
    difference, as its library does.

    Args:
        pictures: embeddings of windows that begin 40 ms apart, shape (n, d).
        sound: the same of the sound, shape (n, d).
        largest: offset in frames, either way.
    """
    padded = np.pad(sound.astype(np.float64), ((largest, largest), (0, 0)))
    offsets = np.arange(-largest, largest + 1)
    count = len(pictures)
    distances = [
        np.linalg.norm(pictures - padded[largest - offset :][:count] + 1e-6, axis=1).mean()
        for offset in offsets
    ]
    return SyncReading(offsets, np.array(distances), count)


class SyncMetric(Metric):
    """A metric of one video with sound; subclasses embed it and say what they read from the curve."""

    def __init__(self) -> None:
        self._readings: OrderedDict[str, SyncReading] = _KEPT.setdefault(self.network, OrderedDict())

    @property
    @abstractmethod
    def network(self) -> str:
        """Names everything that the curve depends on; part of the signature."""

    @abstractmethod
    def curve(self, frames: np.ndarray, samples: np.ndarray, clip: Clip | None) -> SyncReading:
        """Read pictures and sound of one length.

        Args:
            frames: uint8 at 25 frames a second, shape (t, height, width, 3).
            samples: float64 at 16 kHz, shape (n,), about 640 for each frame.
            clip: what is known of the output.

        Raises:
            MediaError: what cannot be scored.
        """

    @abstractmethod
    def value_of(self, reading: SyncReading) -> float:
        """The value of one output."""

    @property
    def signature(self) -> str:
        """Network, its input, the offsets and the rates."""
        return f"{self.spec.name}|{self.network}|v{self.spec.version}"

    def item(
        self, *, out: Audio | Video, ref: Audio | Video | None = None, clip: Clip | None = None
    ) -> ItemScore:
        """Score one video with sound; pictures and sound are cut to the shorter of the two.

        The statistics hold ``offset_frames`` and ``offset_ms`` (positive when the sound comes early),
        ``distance``, ``confidence``, ``windows``, and the curve: ``distances`` from the offset
        ``-largest_offset`` to ``largest_offset`` in frames.
        """
        try:
            frames = checked_frames(out, self.spec.name)
            samples = checked_samples(out, role="output", rate=RATE, seconds=self.spec.seconds)
            count = min(len(frames), samples.size // SAMPLES_PER_FRAME)
            if count / FPS < self.spec.seconds[0]:
                raise MediaError(
                    "too_short",
                    f"pictures and sound of the output have {count / FPS:.2f} s in common; at least "
                    f"{self.spec.seconds[0]:g} s are needed",
                )
            reading = self._reading(frames[:count], samples[: count * SAMPLES_PER_FRAME], clip)
        except MediaError as error:
            return failed_score(error)
        stats = {
            "offset_frames": reading.offset,
            "offset_ms": reading.offset * FRAME_MS,
            "distance": reading.distance,
            "confidence": reading.confidence,
            "windows": reading.windows,
            "largest_offset": int(reading.offsets[-1]),
            "distances": [float(value) for value in reading.distances],
        }
        return ItemScore(self.value_of(reading), stats=stats)

    def reduce(self, items: Sequence[ItemScore], clusters: Sequence[str] | None = None) -> Figure:
        """Mean over the scored items with a bootstrap interval.

        Details: ``median_offset_frames`` with its sign, ``within_one_frame`` (percent of the items whose
        offset is at most one frame) and ``median_confidence``.
        """
        scored, groups = scored_items(items, clusters)
        interval = bootstrap_mean([item.value for item in scored if item.value is not None], clusters=groups)
        details: dict[str, float] = {}
        if scored:
            offsets = np.array([item.stats["offset_frames"] for item in scored])
            details = {
                "median_offset_frames": float(np.median(offsets)),
                "within_one_frame": float(100 * np.mean(np.abs(offsets) <= 1)),
                "median_confidence": float(np.median([item.stats["confidence"] for item in scored])),
            }
        return Figure(interval.value, interval.low, interval.high, len(scored), len(items), details)

    def _reading(self, frames: np.ndarray, samples: np.ndarray, clip: Clip | None) -> SyncReading:
        content = hashlib.sha256(f"{frames.shape}|{clip.video if clip else ''}".encode())
        content.update(np.ascontiguousarray(frames).data)
        content.update(np.ascontiguousarray(samples).data)
        key = content.hexdigest()
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = self.curve(frames, samples, clip)
            if len(self._readings) > READINGS_KEPT:
                self._readings.popitem(last=False)
        return reading


_KEPT: dict[str, OrderedDict[str, SyncReading]] = {}
