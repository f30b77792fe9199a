"""What a track is: its trials, its metrics, its ranking rule and its reference rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from doppelbench.corpora.clip import Clip, Trial


class MakeTrials(Protocol):
    """Lists the trials of a track; what the arguments mean is said by the track's own function."""

    def __call__(
        self,
        clips: Sequence[Clip],
        targets: Sequence[str],
        *,
        sources: Literal["unseen", "all", "own"] | Sequence[str] = "unseen",
        per_target: int | None = None,
        source_clips: Sequence[Clip] | None = None,
    ) -> list[Trial]: ...


@dataclass(frozen=True, slots=True)
class Track:
    """One task.

    Attributes:
        name: key on the command line and in the run folder.
        title: one line for people.
        metrics: metrics scored by default.
        ranking: metrics that order a board, the first deciding.
        reference_rows: systems that are always run beside the competing ones.
        media: whether an output is sound alone or pictures with sound.
    """

    name: str
    title: str
    metrics: tuple[str, ...]
    ranking: tuple[str, ...]
    reference_rows: tuple[str, ...]
    media: Literal["audio", "video"] = "audio"

    @property
    def suffix(self) -> str:
        """Of the lossless file that an output is kept in."""
        return ".flac" if self.media == "audio" else ".mkv"


def is_source(speaker: str, sources: str | Sequence[str], targets: Sequence[str]) -> bool:
    """Whether a speaker who is not the target of a trial may drive it."""
    if sources == "all":
        return True
    return speaker not in targets if sources == "unseen" else speaker in sources


def own_films(clips: Sequence[Clip], target: str, limit: int | None) -> list[Clip]:
    """Films of a person with sound in the order of their ids, at most ``limit`` of them."""
    own = sorted((c for c in clips if c.speaker == target and c.video and c.audio), key=lambda c: c.id)
    return own if limit is None else spread(own, limit)


def spread(clips: Sequence[Clip], limit: int) -> list[Clip]:
    """Take at most ``limit`` clips in turn from every speaker, each speaker starting at another sentence."""
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    queues = [
        own[(index * len(own)) // len(by_speaker) :] + own[: (index * len(own)) // len(by_speaker)]
        for index, own in enumerate(by_speaker.values())
    ]
    chosen: list[Clip] = []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        chosen.extend(queue[turn] for queue in queues if turn < len(queue))
    kept = {clip.id for clip in chosen[:limit]}
    return [clip for clip in clips if clip.id in kept]
