"""LFCC-GMM: two mixtures of Gaussians on cepstral coefficients, one for bona fide speech and one for spoofed.

M. Todisco et al., "ASVspoof 2019: Future horizons in spoofed and fake audio detection", Interspeech 2019; H.
Delgado et al., ASVspoof 2021 evaluation plan (baseline B02). 20 LFCC of 0 to 4 kHz from frames of 30 ms every
15 ms, with deltas and delta-deltas; 512 diagonal Gaussians a class; the score is the mean over frames of the
logarithm of the likelihood ratio. 61,952 numbers a class.

Where papers, released code and this differ:

* the Python baseline fits its mixtures on every tenth recording, for 10 iterations, and stops there; the
  MATLAB one uses all, for 10 iterations. All are used here, for 10 iterations, as long as their frames are no
  more than ``most_frames``, else so many of them drawn at random;
* scikit-learn's and VLFeat's first centres come from k-means run to its end; here from 5 iterations, and
  the variances begin as those of all frames;
* the Python baseline gives unreadable recordings a score of 0; here they have none;
* the baselines neither trim nor level: see :mod:`doppelbench.detectors.audio_input` for what the house
  does. A gain moves coefficient 0 alone, but that is one of the three strongest;
* the band ends at 4 kHz for logical access and deepfakes, at 8 kHz for replayed speech (``lfcc.high_hz``). A
  vocoder that fails above 4 kHz is not noticed.

``small`` has 64 Gaussians a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.media import Audio
from doppelbench.detectors.audio_input import InputSettings, hear, training_audio
from doppelbench.detectors.detector import Detector, DetectorSpec, Explanation
from doppelbench.detectors.gaussian_mixture import GaussianMixture, fit_mixture
from doppelbench.detectors.lfcc import Lfcc, LfccSettings
from doppelbench.detectors.registry import register
from doppelbench.detectors.saving import reading_saved, save_detector
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.threads import limit_threads
from doppelbench.engine.trainer import TrainerSettings

CLASSES = ("bonafide", "spoof")
PARTS = ("weights", "means", "variances")


@dataclass(frozen=True, slots=True, kw_only=True)
class LfccGmmSettings:
    """Hyperparameters; the defaults are those published.

    Attributes:
        most_frames: of a class that are used; 4 million need a gigabyte of memory.
    """

    input: InputSettings = field(default_factory=InputSettings)
    lfcc: LfccSettings = field(default_factory=LfccSettings)
    components: int = 512
    iterations: int = 10
    most_frames: int = 4_000_000

    def __post_init__(self) -> None:
        """Refuse numbers that no mixture can have.

        Raises:
            DoppelbenchError: a number is below 1.
        """
        for name in ("components", "iterations", "most_frames"):
            if getattr(self, name) < 1:
                raise DoppelbenchError(f"{name} is {getattr(self, name)}; it must be at least 1")


PAPER = LfccGmmSettings()
SMALL = replace(PAPER, components=64)
TINY = replace(PAPER, components=4, iterations=5)


@register
class LfccGmm(Detector):
    """The logarithm of a ratio of two likelihoods, mean over frames."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        name="lfcc-gmm",
        title="Mixtures of Gaussians on LFCC",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Todisco et al.: ASVspoof 2019: Future Horizons in Spoofed and Fake Audio Detection, "
        "Interspeech 2019",
        score_kind="llr",
    )

    def __init__(self, settings: LfccGmmSettings) -> None:
        self.settings = settings
        self.front_end = Lfcc(settings.lfcc)
        self.mixtures: dict[str, GaussianMixture] = {}

    def fit(self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings) -> None:
        """Fit a mixture to each class; of the trainer, directory, seed and threads are used.

        Raises:
            InputError: as :meth:`Detector.fit`, or a class has fewer frames than Gaussians.
        """
        settings = self.settings
        audio = training_audio(bonafide, spoof, settings.input, trainer)
        limit_threads(trainer.threads)
        mixtures = {}
        for number, name in enumerate(CLASSES):
            long_enough = [item for item in getattr(audio, name) if item.size >= settings.lfcc.window]
            frames = torch.cat([self._frames(np.array(item)) for item in long_enough] or [torch.zeros(0, 1)])
            if len(frames) < settings.components:
                raise InputError(
                    f"the {name} clips have {len(frames)} frames; {settings.components} Gaussians need more"
                )
            if len(frames) > settings.most_frames:
                generator = np.random.default_rng([trainer.seed, number])
                chosen = generator.choice(len(frames), settings.most_frames, replace=False)
                frames = frames[torch.from_numpy(np.sort(chosen))]
            mixtures[name], _ = fit_mixture(
                frames, settings.components, iterations=settings.iterations, seed=trainer.seed
            )
        self.mixtures = mixtures

    def frame_scores(self, audio: Audio) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood ratio of every frame, and the second of its centre; both of shape (frames,).

        Raises:
            MediaError: as :meth:`Detector.score`.
        """
        if not self.mixtures:
            raise self.not_fitted()
        heard = hear(audio, self.settings.input)
        lfcc = self.settings.lfcc
        if heard.samples.size < lfcc.window:
            raise MediaError("too_short", f"the recording holds less than a window of {lfcc.window} samples")
        frames = self._frames(heard.samples)
        likelihoods = [self.mixtures[name].log_likelihood(frames) for name in CLASSES]
        middle = 0.0 if lfcc.centred else lfcc.window / 2
        times = heard.start + (np.arange(len(frames)) * lfcc.hop + middle) / lfcc.rate
        return (likelihoods[0] - likelihoods[1]).numpy(), times

    def score(self, audio: Audio) -> float:
        """Mean log-likelihood ratio of the frames; see :meth:`Detector.score`."""
        return float(self.frame_scores(audio)[0].mean())

    def explain(self, audio: Audio) -> Explanation:
        """The share of every frame in the score: the shares add up to it exactly."""
        scores, times = self.frame_scores(audio)
        return Explanation(times, None, scores / scores.size, "frame-log-likelihood-ratio")

    def _frames(self, samples: np.ndarray) -> Tensor:
        with torch.inference_mode():
            frames: Tensor = self.front_end(torch.from_numpy(samples)[None])[0]
        return frames.clone()

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``."""
        if not self.mixtures:
            raise self.not_fitted()
        tensors = {
            f"{name}.{part}": getattr(mixture, part)
            for name, mixture in self.mixtures.items()
            for part in PARTS
        }
        save_detector(directory, self.spec.name, self.settings, tensors)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with reading_saved(directory, cls.spec.name) as (config, tensors):
            detector = cls(settings_from_dict(LfccGmmSettings, config["settings"]))
            shape = (detector.settings.components, detector.settings.lfcc.width)
            for name in CLASSES:
                parts = [tensors[f"{name}.{part}"] for part in PARTS]
                if [tuple(part.shape) for part in parts] != [shape[:1], shape, shape]:
                    raise ValueError(f"the mixture of {name} is not one of {shape[0]} Gaussians")
                if parts[0].min() <= 0 or parts[2].min() <= 0:
                    raise ValueError(f"the mixture of {name} has a weight or variance of 0")
                detector.mixtures[name] = GaussianMixture(*(part.double() for part in parts))
        return detector
