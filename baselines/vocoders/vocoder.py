"""The contract of every vocoder: scaled log-mel features in, a waveform out, fitted and saved like a system.

A system holds one as ``system.vocoder`` and calls it with what it predicted; any vocoder of the same
:class:`doppelbench.corpora.features.MelSettings` can be put in the place of another.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.features import MelSettings
from doppelbench.corpora.media import Audio
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord


class Vocoder(ABC):
    """Turns features of :func:`doppelbench.corpora.features.log_mel` into sound.

    Attributes:
        name: key in recipes and in the folder of a saved vocoder.
        presets: settings by preset name.
        mel: how the features are taken that it understands.
        settings: hyperparameters, of the type of the presets.
    """

    name: ClassVar[str]
    presets: ClassVar[Mapping[str, Any]]
    mel: MelSettings
    settings: Any

    @abstractmethod
    def __call__(self, features: np.ndarray) -> Audio:
        """Turn features into a waveform; the same features always give the same samples.

        Args:
            features: shape (frames, n_mels), range 0 to 1.

        Returns:
            (frames - 1) * hop samples, de-emphasised.
        """

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord | None:
        """Train on natural clips; resumes from the last checkpoint in ``trainer.directory``.

        Returns:
            What the training did, or None for a vocoder that is not trained.

        Raises:
            InputError: the clips cannot train this vocoder.
        """
        return None

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write ``config.json``, and ``weights.safetensors`` where there are weights."""

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> "Vocoder":
        """Read what :meth:`save` wrote; nothing is unpickled."""
