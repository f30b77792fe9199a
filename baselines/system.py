"""The contract of every synthesis system: fitted on clips, answers trials, saved as safetensors and JSON."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.media import Audio, Video
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """What a user must know of a system; documentation and listing are made from it.

    Attributes:
        name: key on the command line and in the run folder.
        title: one line for people.
        track: the track it competes in.
        presets: hyperparameters by preset name (``tiny``, ``small``, ``paper``); empty for a reference row.
        paper: citation of the paper it implements.
        needs: what fitting and converting need: ``target`` (one model for each target, from that person
            alone), ``speakers`` (one model for everybody, from the people of the trials), ``other-speakers``
            (one model, from people that are in no trial), ``extra-audio`` (with one of the last two: the
            sound of people that are in no trial too, as clips without pictures), ``enrolment``
            (:meth:`System.enroll` before the first conversion into a target), ``target-clips``,
            ``training-clips`` and ``reference`` (rows made of recordings).
        licence: licence of code or weights it builds on.
        reference_row: whether it pins the scale instead of competing.
    """

    name: str
    title: str
    track: str
    presets: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    needs: frozenset[str] = frozenset()
    licence: str = "Apache-2.0"
    reference_row: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What a system produced for one trial."""

    audio: Audio | None = None
    video: Video | None = None


class System(ABC):
    """A system of one preset.

    One that needs ``target`` is made as ``kind(settings, target)`` and fitted once for each target, any other
    as ``kind(settings)`` and fitted once.
    """

    spec: ClassVar[SystemSpec]

    @property
    def needs(self) -> frozenset[str]:
        """What this one needs: that of the spec, less what its settings make superfluous."""
        return self.spec.needs

    @abstractmethod
    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord | None:
        """Train on clips; resumes from the last checkpoint in ``trainer.directory``.

        Returns:
            What the training did, or None for a system that is not trained.

        Raises:
            InputError: the clips cannot train this system.
        """

    def enroll(self, target: str, clips: Sequence[Clip]) -> None:  # noqa: B027
        """Learn a target's voice from natural clips, without training.

        Called before the first conversion into that target, when the spec needs ``enrolment``.

        Raises:
            InputError: no clip can be used.
        """

    @abstractmethod
    def convert(self, trial: Trial) -> Output:
        """Produce ``trial.source`` as ``trial.target`` would say it.

        Raises:
            MediaError: the source cannot be used; the trial is recorded as failed.
        """

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``."""

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> "System":
        """Read what :meth:`save` wrote; nothing is unpickled."""
