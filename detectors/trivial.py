"""Detectors that hear one thing which should tell nothing, and one that hears nothing.

They pin the scale as the reference rows do for systems: a data set on which one of them is good measures its
files, not its detectors. Each is a logistic regression on one feature of
:mod:`doppelbench.detectors.shortcut_features`, taken of the recording as it came: neither levelled nor
trimmed nor resampled. Leading silence alone reaches 15.1 % equal error rate on ASVspoof 2019 (N. Müller et
al., "Speech is silver, silence is golden", ASVspoof workshop 2021).
"""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.detectors.audio_input import InputSettings, training_audio
from doppelbench.detectors.detector import Detector, DetectorSpec
from doppelbench.detectors.registry import register
from doppelbench.detectors.saving import reading_saved, save_detector
from doppelbench.detectors.shortcut_features import measure
from doppelbench.detectors.training_arrays import CLASSES, check_classes, usable_values
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings
from doppelbench.metrics.signals import checked_samples

SHORTEST = 0.1
PAPER = "Müller et al.: Speech is Silver, Silence is Golden, ASVspoof workshop 2021"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivialSettings:
    """Hyperparameters: the penalty on the squared slope, per recording of a class."""

    penalty: float = 1e-3


PRESETS = {"tiny": TrivialSettings(), "small": TrivialSettings(), "paper": TrivialSettings()}


def logistic(
    bonafide: np.ndarray, spoof: np.ndarray, penalty: float, iterations: int = 50
) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of two samples, both classes weighed alike.

    Newton's method; the penalty on the slope keeps it finite where the classes are apart.
    """
    x = np.concatenate([bonafide, spoof])
    label = np.repeat([1.0, 0.0], [bonafide.size, spoof.size])
    weight = np.repeat([0.5 / bonafide.size, 0.5 / spoof.size], [bonafide.size, spoof.size])
    design = np.stack([x, np.ones_like(x)], axis=1)
    ridge = np.diag([penalty, 0.0])
    solution = np.zeros(2)

    def objective(candidate: np.ndarray) -> float:
        logits = design @ candidate
        loss = np.logaddexp(0.0, np.where(label == 1, -logits, logits))
        return float(weight @ loss + candidate @ ridge @ candidate / 2)

    for _ in range(iterations):
        share = 1 / (1 + np.exp(-np.clip(design @ solution, -500, 500)))
        slope = design.T @ (weight * (share - label)) + ridge @ solution
        bend = design.T @ (design * (weight * share * (1 - share))[:, None]) + ridge + 1e-9 * np.eye(2)
        step, before = np.linalg.solve(bend, slope), objective(solution)
        while objective(solution - step) > before and np.abs(step).max() > 1e-12:
            step = step / 2
        solution = solution - step
    return float(solution[0]), float(solution[1])


class Logistic(Detector):
    """Logistic regression on one number of a clip."""

    def __init__(self, settings: TrivialSettings) -> None:
        self.settings = settings
        self.weights: dict[str, float] | None = None

    @abstractmethod
    def clip_number(self, clip: Clip) -> float:
        """Return the number of a clip.

        Raises:
            MediaError: the clip has none.
        """

    def fit(self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Fit slope and intercept; see :meth:`Detector.fit`."""
        check_classes(bonafide, spoof, self.spec.media)
        sides = [
            np.array(usable_values(clips, what, self.clip_number))
            for what, clips in zip(CLASSES, (bonafide, spoof), strict=True)
        ]
        together = np.concatenate(sides)
        mean, scale = float(together.mean()), float(together.std()) or 1.0
        slope, intercept = logistic(
            (sides[0] - mean) / scale, (sides[1] - mean) / scale, self.settings.penalty
        )
        self.weights = {"mean": mean, "scale": scale, "slope": slope, "intercept": intercept}

    def fitted(self) -> dict[str, float]:
        """Return mean and scale of the number, slope and intercept.

        Raises:
            InputError: there are none yet.
        """
        if self.weights is None:
            raise self.not_fitted()
        return self.weights

    def logit(self, number: float) -> float:
        """The logit of a number."""
        held = self.fitted()
        return held["slope"] * (number - held["mean"]) / held["scale"] + held["intercept"]

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``."""
        held = self.fitted()
        tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in held.items()}
        save_detector(directory, self.spec.name, self.settings, tensors)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with reading_saved(directory, cls.spec.name) as (config, tensors):
            detector = cls(settings_from_dict(TrivialSettings, config["settings"]))
            names = ("mean", "scale", "slope", "intercept")
            detector.weights = {name: float(tensors[name]) for name in names}
        return detector


class OneNumber(Logistic):
    """Logistic regression on one number of a recording."""

    @abstractmethod
    def number(self, samples: np.ndarray, rate: int) -> float:
        """Return the number of a checked recording, shape (n,), float64."""

    def clip_number(self, clip: Clip) -> float:
        """Return the number of a clip's sound."""
        if clip.audio is None:
            raise MediaError("missing", f"clip {clip.id} has no audio")
        return self._checked_number(read_audio(clip.audio, start=clip.start, end=clip.end))

    def _checked_number(self, audio: Audio) -> float:
        samples = checked_samples(audio, role="recording", rate=audio.rate, seconds=(SHORTEST, None))
        return self.number(samples, audio.rate)

    def score(self, audio: Audio) -> float:
        """The logit; see :meth:`Detector.score`."""
        self.fitted()
        return self.logit(self._checked_number(audio))


class OneFeature(OneNumber):
    """Hears one of the shortcut features."""

    feature: ClassVar[str]

    def number(self, samples: np.ndarray, rate: int) -> float:
        """The feature, which every recording that is not silent has."""
        value = measure(samples, rate)[self.feature]
        if value is None:
            raise MediaError("silent", f"the recording has no {self.feature}")
        return value


def trivial_spec(name: str, title: str, **more: Any) -> DetectorSpec:
    """What every trivial detector says of itself, and ``more``."""
    return DetectorSpec(name, title, PRESETS, **{"paper": PAPER, "rate": None, "trivial": True, **more})


@register
class LoudnessOnly(OneFeature):
    """Hears the active level alone."""

    spec: ClassVar[DetectorSpec] = trivial_spec("loudness-only", "Level alone")
    feature = "level"


@register
class DurationOnly(OneFeature):
    """Hears the duration alone."""

    spec: ClassVar[DetectorSpec] = trivial_spec("duration-only", "Duration alone")
    feature = "duration"


@register
class LeadingSilenceOnly(OneFeature):
    """Hears the silence before the first sound alone."""

    spec: ClassVar[DetectorSpec] = trivial_spec("leading-silence-only", "Leading silence alone")
    feature = "leading_silence"


@register
class BandwidthOnly(OneFeature):
    """Hears the highest frequency alone."""

    spec: ClassVar[DetectorSpec] = trivial_spec("bandwidth-only", "Bandwidth alone")
    feature = "bandwidth"


@register
class RandomScores(Detector):
    """Gives every recording a number that follows from its samples and a seed alone."""

    spec: ClassVar[DetectorSpec] = trivial_spec("random", "Random scores", score_kind="raw")

    def __init__(self, settings: TrivialSettings) -> None:
        self.settings = settings
        self.seed: int | None = None

    def fit(self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Take the seed; clips are read all the same, so that bad ones are refused as everywhere."""
        training_audio(bonafide, spoof, InputSettings(level=False, trim=False), trainer)
        self.seed = trainer.seed

    def score(self, audio: Audio) -> float:
        """A draw from a standard normal distribution."""
        self.fitted()
        samples = checked_samples(audio, role="recording", rate=audio.rate, seconds=(SHORTEST, None))
        return self.draw(samples.astype("<f4"))

    def fitted(self) -> int:
        """Return the seed.

        Raises:
            InputError: there is none yet.
        """
        if self.seed is None:
            raise self.not_fitted()
        return self.seed

    def draw(self, content: np.ndarray) -> float:
        """A number that follows from the bytes of an array and the seed."""
        digest = hashlib.sha256(np.ascontiguousarray(content).data).digest()
        generator = np.random.default_rng([self.fitted(), *np.frombuffer(digest, "<u4").tolist()])
        return float(generator.standard_normal())

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``."""
        save_detector(directory, self.spec.name, self.settings, {"seed": torch.tensor(self.fitted())})

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with reading_saved(directory, cls.spec.name) as (config, tensors):
            detector = cls(settings_from_dict(TrivialSettings, config["settings"]))
            detector.seed = int(tensors["seed"])
        return detector
