"""How far a target's mouth is open, read from any picture of that target's face.

One linear readout a person: ridge regression (Hoerl and Kennard 1970) from the smoothed pixels of the mouth's
box to the height of the gap between the lips, learned from natural films whose truth is known (the talkers).
It is the readout of :mod:`doppelbench.metrics.mouth_opening` learned from many films instead of the reference
of one, so that it can read faces of which no natural film with this timing exists.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError
from doppelbench.corpora.media import read_video
from doppelbench.metrics.mouth_box import Box, mouth_truth
from doppelbench.metrics.mouth_box import mouth_box as box_of
from doppelbench.metrics.mouth_opening import SMOOTHING, ridge_weights, smoothed

# Films of a person that are read, and pictures of each at most.
FILMS = 24
FRAMES = 60
RECORD, WEIGHTS = "readout.json", "weights.safetensors"


@dataclass(frozen=True, slots=True)
class PersonReadout:
    """Readout of one person.

    Attributes:
        box: left, top, right and bottom of the mouth over all films, in pixels.
        size: height and width of the pictures it was learned from.
        deviation: of the smoothing Gaussian, in pixels.
        mean: of the smoothed pixels, shape (pixels,).
        weights: shape (pixels,).
        offset: opening where the pixels are the mean, in pixels.
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    deviation: float
    mean: np.ndarray
    weights: np.ndarray
    offset: float

    def read(self, frames: np.ndarray) -> np.ndarray:
        """Opening of the mouth in pixels at each frame.

        Args:
            frames: uint8, shape (t, height, width, 3), of the size that it was learned from.

        Returns:
            Shape (t,), float64.
        """
        left, top, right, bottom = self.box
        pixels = smoothed(frames[:, top:bottom, left:right], self.deviation)
        return np.asarray((pixels - self.mean) @ self.weights + self.offset)


@dataclass(frozen=True, slots=True)
class MouthReadout:
    """Readouts by person."""

    people: Mapping[str, PersonReadout]

    @property
    def digest(self) -> str:
        """Hash of everything that decides a value."""
        hashed = hashlib.sha256()
        for name, person in sorted(self.people.items()):
            hashed.update(json.dumps([name, person.box, person.size, person.deviation]).encode())
            hashed.update(np.ascontiguousarray(person.weights).tobytes())
        return hashed.hexdigest()[:12]

    def save(self, directory: Path) -> None:
        """Write ``readout.json`` and ``weights.safetensors``."""
        from safetensors.numpy import save_file

        directory.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {}
        record: dict[str, dict[str, object]] = {}
        for name, person in self.people.items():
            arrays |= {f"{name}/mean": person.mean, f"{name}/weights": person.weights}
            record[name] = {
                "box": person.box,
                "size": person.size,
                "deviation": person.deviation,
                "offset": person.offset,
            }
        save_file(arrays, directory / WEIGHTS)
        (directory / RECORD).write_text(json.dumps(record, indent=1))

    @classmethod
    def load(cls, directory: str | Path) -> "MouthReadout":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: there is none, or it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(directory)
        try:
            record = json.loads((folder / RECORD).read_text())
            arrays = load_file(folder / WEIGHTS)
            people = {
                name: PersonReadout(
                    tuple(map(int, entry["box"])),  # type: ignore[arg-type]
                    tuple(map(int, entry["size"])),  # type: ignore[arg-type]
                    float(entry["deviation"]),
                    arrays[f"{name}/mean"],
                    arrays[f"{name}/weights"],
                    float(entry["offset"]),
                )
                for name, entry in record.items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise InputError(f"{folder}: no readout of mouths that can be read ({error})") from None
        return cls(people)


def train_readout(clips: Sequence[Clip]) -> MouthReadout:
    """Learn a readout for every person with films whose truth is known.

    Args:
        clips: natural films; those without a truth are passed over. All films of a person have one size.

    Raises:
        InputError: there is no film with a truth.
    """
    by_person: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.video is not None:
            by_person.setdefault(clip.speaker, []).append(clip)
    people = {}
    for name, own in sorted(by_person.items()):
        chosen = sorted(own, key=lambda clip: clip.id)
        step = max(1, len(chosen) // FILMS)
        readout = _person(chosen[::step][:FILMS])
        if readout is not None:
            people[name] = readout
    if not people:
        raise InputError(
            "mouth_following needs natural films of the targets whose mouths are known, as those of talkers"
        )
    return MouthReadout(people)


def _person(clips: Sequence[Clip]) -> PersonReadout | None:
    films, openings, boxes = [], [], []
    widest = 0.0
    for clip in clips:
        assert clip.video is not None
        try:
            video = read_video(clip.video, audio=False, start=clip.start, end=clip.end)
            truth = mouth_truth(video.frames, video.fps, clip)
        except MediaError:
            continue
        if truth is None:
            continue
        boxes.append(box_of(video.frames, video.fps, clip))
        widest = max(widest, float(truth.width.max()))
        films.append(video.frames[:FRAMES])
        openings.append(truth.opening[:FRAMES])
    if not films:
        return None
    box = _union(boxes)
    deviation = SMOOTHING * widest
    rows = [smoothed(film[:, box[1] : box[3], box[0] : box[2]], deviation) for film in films]
    pixels, opening = np.concatenate(rows), np.concatenate(openings)
    mean, weights = ridge_weights(pixels, opening)
    size = (films[0].shape[1], films[0].shape[2])
    return PersonReadout(box, size, deviation, mean, weights, float(opening.mean()))


def _union(boxes: Sequence[Box]) -> tuple[int, int, int, int]:
    return (
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
