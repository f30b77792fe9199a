"""One recording of one person, and one thing that a system is asked to produce."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one person.

    Attributes:
        id: unique within its corpus; used as a file name, so it holds no path separator.
        speaker: who speaks.
        audio: path of the audio file, or None for silent video.
        video: path of the video file, or None.
        text: what is said, or None when unknown.
        style: recording condition (a speech, a room, a year), or None.
        split: ``train``, ``dev`` or ``test``.
        start: first second of the clip inside the file, or None for its beginning.
        end: last second of the clip inside the file, or None for its end.
        sha256: hash of the bytes of the media file, or None until it was computed.
    """

    id: str
    speaker: str
    audio: str | None = None
    video: str | None = None
    text: str | None = None
    style: str | None = None
    split: str = "train"
    start: float | None = None
    end: float | None = None
    sha256: str | None = None

    @property
    def full_id(self) -> str:
        """Name among the clips of several people, who may have given theirs the same ids."""
        return f"{self.speaker}/{self.id}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing a system must produce: ``source`` said (and shown) by ``target``.

    ``reference`` is the target's own recording of the same sentence, where the corpus is parallel.
    """

    id: str
    source: Clip
    target: str
    reference: Clip | None = None
