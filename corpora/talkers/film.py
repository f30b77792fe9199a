"""Film a talking head: the frames of one recording, and the truth about the mouth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doppelbench.corpora.talkers.articulation import Motion, articulate
from doppelbench.corpora.talkers.face import Head, Pose

BLINK_EVERY_SECONDS = 3.5
BLINK_SECONDS = 0.09
TRUTH = ("mouth_opening", "mouth_width", "mouth_x", "mouth_y")


@dataclass(frozen=True, slots=True)
class HeadMotion:
    """Motion of eyes and head at each frame, arrays of shape (frames,); see :class:`Pose`."""

    blink: np.ndarray
    brow: np.ndarray
    gaze: np.ndarray
    x: np.ndarray
    y: np.ndarray
    roll: np.ndarray
    scale: np.ndarray


def frame_times(seconds: float, fps: float) -> np.ndarray:
    """Return the middle of each frame in seconds; the last frame covers the end of the sound."""
    # Rounding keeps 2.0 s from having 51 frames where the product is 50.000000001.
    count = int(np.ceil(round(seconds * fps, 6)))
    return (np.arange(count) + 0.5) / fps


def move_head(motion: Motion, times: np.ndarray, generator: np.random.Generator) -> HeadMotion:
    """Blink now and then, sway slowly, nod and raise the brows with stress."""

    def sway(amplitude: float) -> np.ndarray:
        wave = np.zeros_like(times)
        for frequency in (0.2, 0.45, 0.8):
            rate, phase = frequency * generator.uniform(0.7, 1.3), generator.uniform(0, 2 * np.pi)
            wave += np.sin(2 * np.pi * rate * times + phase) / (1 + 2 * frequency)
        return amplitude * wave

    blink = np.zeros_like(times)
    moment = generator.exponential(BLINK_EVERY_SECONDS)
    while moment < times[-1]:
        blink = np.maximum(blink, np.exp(-np.square((times - moment) / BLINK_SECONDS)))
        moment += 0.5 + generator.exponential(BLINK_EVERY_SECONDS)
    return HeadMotion(
        blink=np.clip(1.15 * blink, 0, 1),
        brow=np.clip(0.6 * motion.stress + sway(0.2), 0, 1),
        gaze=np.clip(sway(0.5), -1, 1),
        x=sway(0.012),
        y=sway(0.008) + 0.006 * motion.stress,
        roll=sway(0.03),
        scale=1 + sway(0.008),
    )


def film(
    head: Head,
    phonemes: Sequence[tuple[str, float, float]],
    seconds: float,
    fps: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Film one recording.

    Args:
        head: who is filmed.
        phonemes: (mnemonic, first second, last second), in order.
        seconds: duration of the sound.
        fps: frames per second.
        generator: moves eyes and head.

    Returns:
        Frames uint8 of shape (ceil(seconds * fps), size, size, 3), and for each frame the height of the gap
        between the lips, the width of the mouth and its middle in pixels, with the articulators' positions
        (``opening``, ``width``, ``jaw``, ``blink``).
    """
    times = frame_times(seconds, fps)
    motion = articulate(phonemes, times)
    moves = move_head(motion, times, generator)
    frames = np.empty((times.size, head.size, head.size, 3), dtype=np.uint8)
    truth: dict[str, list[float]] = {name: [] for name in TRUTH}
    for index in range(times.size):
        pose = Pose(
            opening=float(motion.opening[index]),
            width=float(motion.width[index]),
            teeth=float(motion.teeth[index]),
            tongue=float(motion.tongue[index]),
            bite=float(motion.bite[index]),
            jaw=float(motion.jaw[index]),
            blink=float(moves.blink[index]),
            brow=float(moves.brow[index]),
            gaze=float(moves.gaze[index]),
            shift=(float(moves.x[index]), float(moves.y[index])),
            roll=float(moves.roll[index]),
            scale=float(moves.scale[index]),
        )
        frames[index], measures = head.draw(pose)
        for name in TRUTH:
            truth[name].append(round(measures[name], 3))
    for name, values in (
        ("opening", motion.opening), ("width", motion.width), ("jaw", motion.jaw), ("blink", moves.blink),
    ):  # fmt: skip
        truth[name] = [round(float(value), 3) for value in values]
    return frames, truth
