"""The detector of the exemplar paper: a linear classifier on statistics of a whole utterance.

K. Deng, A. Bansal and D. Ramanan, "Unsupervised audiovisual synthesis via exemplar autoencoders", ICLR 2021,
appendix B: the classifier of Serrà et al. (Blow, NeurIPS 2019) with two classes. 242 features (mean and
standard deviation over time of 40 cepstral coefficients, their deltas, the deltas of the deltas, and the
energy), standardised, dropout of 0.4, one linear layer; 486 parameters. Features and training are those of
:mod:`doppelbench.metrics.sca`; the score is the difference of the two logits.

Where paper, released code and this differ:

* the paper does not say how long its sentences are, and its code has no forensic part;
* the code of Blow hears raw levels, so that energy and coefficient 0 tell a quieter file from a louder one.
  The features are taken at the house's level, always, and silence at the ends is cut off;
  ``loudness=False`` also takes out coefficient 0 and the energy, which still hear how loudness varies;
* the paper trains on as many real as fake sentences. Where there are more of one class, the logarithm of the
  ratio of their numbers is taken off the score, so that 0 stays the point of indecision.

``paper`` and ``small`` are the same; ``tiny`` stops after 60 epochs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.media import Audio
from doppelbench.detectors.audio_input import InputSettings, hear, training_audio
from doppelbench.detectors.detector import Detector, DetectorSpec
from doppelbench.detectors.registry import register
from doppelbench.detectors.saving import reading_saved, save_detector
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings
from doppelbench.metrics.sca import (
    N_FEATURES,
    RATE,
    ClassifierSettings,
    SpeakerClassifier,
    features,
    train_on_features,
)

CLASSES = ("bonafide", "spoof")
COEFFICIENTS = 40
ROWS = N_FEATURES // 2
# Coefficient 0 and the energy, their mean and their deviation.
LOUDNESS = (0, ROWS - 1, ROWS, N_FEATURES - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerraSettings:
    """Hyperparameters; the defaults are those published.

    Attributes:
        loudness: whether coefficient 0 and the energy are heard.
    """

    input: InputSettings = field(default_factory=lambda: InputSettings(rate=RATE))
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    loudness: bool = True


PAPER = SerraSettings()
TINY = replace(PAPER, classifier=replace(PAPER.classifier, epochs=60, learning_rate=1e-2))


def feature_names() -> list[str]:
    """Names of the 242 features, such as ``mean of delta 3`` and ``deviation of energy``."""
    kinds = ("coefficient", "delta", "delta-delta")
    rows = [f"{kind} {number}" for kind in kinds for number in range(COEFFICIENTS)] + ["energy"]
    return [f"{statistic} of {row}" for statistic in ("mean", "deviation") for row in rows]


@register
class SerraStatistics(Detector):
    """Linear classifier on 242 numbers of an utterance."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        name="serra-statistics",
        title="Linear classifier on utterance statistics",
        presets={"tiny": TINY, "small": PAPER, "paper": PAPER},
        paper="Deng, Bansal and Ramanan: Unsupervised Audiovisual Synthesis via Exemplar Autoencoders, ICLR "
        "2021; Serrà, Pascual and Segura: Blow, NeurIPS 2019",
        rate=RATE,
    )

    def __init__(self, settings: SerraSettings) -> None:
        self.settings = settings
        self.classifier: SpeakerClassifier | None = None
        self.prior = 0.0

    def fit(self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Train the classifier; of the trainer, directory and seed are used.

        Raises:
            InputError: as :meth:`Detector.fit`.
        """
        audio = training_audio(bonafide, spoof, self.settings.input, trainer)
        samples = [*audio.bonafide, *audio.spoof]
        rows = np.array([self._features(np.array(item)) for item in samples])
        sizes = (len(audio.bonafide), len(audio.spoof))
        labels = [name for name, size in zip(CLASSES, sizes, strict=True) for _ in range(size)]
        self.classifier = train_on_features(
            rows, labels, seed=trainer.seed, settings=self.settings.classifier
        )
        self.prior = math.log(sizes[0] / sizes[1])

    def score(self, audio: Audio) -> float:
        """Difference of the logits; see :meth:`Detector.score`."""
        return sum(self.contributions(audio).values())

    def contributions(self, audio: Audio) -> dict[str, float]:
        """The share of each feature, and of ``bias``, in the score; they add up to it.

        Raises:
            MediaError: as :meth:`Detector.score`.
        """
        if self.classifier is None:
            raise self.not_fitted()
        found = self.classifier
        row = self._features(hear(audio, self.settings.input).samples)
        difference = found.weights[0] - found.weights[1]
        shares = (row - found.mean) / found.scale * difference
        bias = float(found.bias[0] - found.bias[1]) - self.prior
        return {**dict(zip(feature_names(), shares.tolist(), strict=True)), "bias": bias}

    def _features(self, samples: np.ndarray) -> np.ndarray:
        row = features(Audio(samples, RATE))
        if not self.settings.loudness:
            # A feature that is the same everywhere has no part in any score.
            row[list(LOUDNESS)] = 0.0
        return row

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``."""
        if self.classifier is None:
            raise self.not_fitted()
        found = self.classifier
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(getattr(found, name)))
            for name in ("mean", "scale", "weights", "bias")
        }
        record = dict(found.training)
        save_detector(directory, self.spec.name, self.settings, tensors, prior=self.prior, training=record)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with reading_saved(directory, cls.spec.name) as (config, tensors):
            detector = cls(settings_from_dict(SerraSettings, config["settings"]))
            arrays = {name: tensors[name].numpy() for name in ("mean", "scale", "weights", "bias")}
            shapes = [array.shape for array in arrays.values()]
            if shapes != [(N_FEATURES,), (N_FEATURES,), (2, N_FEATURES), (2,)]:
                raise ValueError("its weights are not those of two classes")
            detector.prior = float(config["prior"])
            detector.classifier = SpeakerClassifier(CLASSES, training=config["training"], **arrays)
        return detector
