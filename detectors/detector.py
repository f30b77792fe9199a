"""The contract of every detector: fitted on bona fide and spoofed clips, it scores recordings."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord

ScoreKind = Literal["logit-difference", "llr", "raw"]


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What a user must know of a detector; documentation and listing are made from it.

    Attributes:
        name: key on the command line and in the run folder.
        title: one line for people.
        presets: hyperparameters by preset name (``tiny``, ``small``, ``paper``).
        paper: citation of what it implements.
        licence: licence of code or weights it builds on.
        rate: samples per second that it hears; None for the recording's own.
        trivial: whether it listens to one thing that should tell nothing, and pins the scale.
        media: whether it judges the sound or the picture of a clip.
        score_kind: ``logit-difference`` (0 where a two-class softmax is undecided), ``llr`` (logarithm of a
            likelihood ratio to base e, not calibrated) or ``raw`` (only the order means something).
    """

    name: str
    title: str
    presets: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    licence: str = "Apache-2.0"
    rate: int | None = 16000
    trivial: bool = False
    media: Literal["audio", "video"] = "audio"
    score_kind: ScoreKind = "logit-difference"


@dataclass(frozen=True, slots=True, eq=False)
class PictureRelevance:
    """Where in the picture a score came from.

    Attributes:
        left: of the square that was judged, in pixels of the film; it may reach beyond the picture.
        top: of the square.
        side: of the square.
        relevance: of equal cells of the square, in the unit of the score, shape (rows, columns).
    """

    left: float
    top: float
    side: float
    relevance: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Where in a recording its score came from.

    Attributes:
        times: centre of each part in seconds from the beginning of the recording, shape (t,).
        frequencies: centre of each band in Hz, shape (f,), or None without bands.
        relevance: in the unit of the score, positive where the part speaks for bona fide; shape (t,) without
            bands, else (t, f).
        method: how it was found.
        picture: where in the picture, from detectors that judge one.
    """

    times: np.ndarray
    frequencies: np.ndarray | None
    relevance: np.ndarray
    method: str
    picture: PictureRelevance | None = None


class Detector(ABC):
    """A detector of one preset, made as ``kind(settings)``."""

    spec: ClassVar[DetectorSpec]

    @abstractmethod
    def __init__(self, settings: Any) -> None:
        """Take the hyperparameters."""

    @abstractmethod
    def fit(
        self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings
    ) -> TrainingRecord | None:
        """Learn to tell bona fide clips from spoofed ones.

        A clip that cannot be used is left out with a warning that names it.

        Returns:
            What the training did, or None for a detector that is not trained in steps.

        Raises:
            InputError: a class has no clip that can be used, or a recording is in both.
        """

    @abstractmethod
    def score(self, audio: Audio) -> float:
        """Score a recording; a higher score says more likely bona fide.

        The score depends on nothing but the recording and the fitted detector.

        Raises:
            MediaError: the recording is silent, too short or not finite.
            InputError: the detector is not fitted, or judges pictures
                (:class:`doppelbench.detectors.video_detector.VideoDetector`).
        """

    def score_clip(self, clip: Clip) -> float:
        """Score a clip, whatever of it the detector judges.

        Raises:
            MediaError: as :meth:`score`, or the clip cannot be read.
            InputError: the detector is not fitted, or the clip has no sound.
        """
        return self.score(_sound(clip))

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``."""

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> "Detector":
        """Read what :meth:`save` wrote; nothing is unpickled.

        Raises:
            InputError: a file is missing, damaged, or of another detector.
        """

    def not_fitted(self) -> InputError:
        """What is raised when a detector is used before it was fitted."""
        return InputError(f"the detector {self.spec.name} is not fitted; fit or load it first")

    def explain(self, audio: Audio) -> Explanation:
        """Say which parts of a recording its score came from; by occlusion where a detector knows no better.

        Raises:
            MediaError: as :meth:`score`.
        """
        from doppelbench.detectors.occlusion import occlude

        return occlude(self.score, audio)

    def explain_clip(self, clip: Clip) -> Explanation:
        """Say which parts of a clip its score came from, whatever of it the detector judges.

        Raises:
            MediaError: as :meth:`score_clip`.
            InputError: likewise.
        """
        return self.explain(_sound(clip))


def _sound(clip: Clip) -> Audio:
    if clip.audio is None:
        raise InputError(f"clip {clip.id!r} has no sound to judge")
    return read_audio(clip.audio, start=clip.start, end=clip.end)
