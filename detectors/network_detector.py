"""What detectors made of a network share: crops of both classes, training, scoring and explanation."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.media import Audio
from doppelbench.detectors.audio_input import (
    InputSettings,
    crop_indices,
    hear,
    random_crop,
    training_audio,
)
from doppelbench.detectors.detector import Detector, Explanation
from doppelbench.detectors.losses import Head
from doppelbench.detectors.saving import reading_saved, save_detector
from doppelbench.detectors.training_arrays import TrainingArrays
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

# Four seconds and a little, the input of RawNet2, AASIST and what came after.
PUBLISHED_CROP = 64_600
EXPLAINED_WINDOW = 512
EXPLAINED_HOP = 256
EXPLAINED_BANDS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """What training and scoring of every network have in common.

    Attributes:
        input: what is done to a recording first.
        crop: samples of a crop; a shorter recording is repeated.
        whole: whether a recording longer than a crop is scored as a whole; else its first crop is.
        balanced: whether half of every batch is bona fide; else recordings are drawn alike.
        class_weights: of spoof and bona fide in the loss.
        final_learning_rate: at the end of a cosine that begins at ``learning_rate``; None keeps the rate.
    """

    input: InputSettings = field(default_factory=InputSettings)
    crop: int = PUBLISHED_CROP
    whole: bool = False
    batch_size: int = 32
    balanced: bool = True
    class_weights: tuple[float, float] = (0.5, 0.5)
    learning_rate: float = 1e-4
    final_learning_rate: float | None = None
    weight_decay: float = 1e-4
    gradient_clip: float | None = None
    max_steps: int = 80_000

    def __post_init__(self) -> None:
        """Refuse sizes that no training can have.

        Raises:
            DoppelbenchError: a number that must be above 0 is not, or half a recording would be drawn.
        """
        for name in ("crop", "batch_size", "learning_rate", "max_steps"):
            if not getattr(self, name) > 0:
                raise DoppelbenchError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.balanced and self.batch_size % 2:
            raise DoppelbenchError(f"batch_size is {self.batch_size}; a balanced batch needs an even number")
        if len(self.class_weights) != 2 or min(self.class_weights) <= 0:
            raise DoppelbenchError(f"class_weights are {self.class_weights}; two numbers above 0 are needed")


class DetectorNetwork(nn.Module):
    """Waveforms (batch, samples) to scores (batch,): a body that embeds them, and a head."""

    def __init__(self, body: nn.Module, head: Head) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.head(self.body(waveforms))

    def loss(self, waveforms: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
        """Mean loss of a batch; see :meth:`doppelbench.detectors.losses.Head.loss`."""
        return self.head.loss(self.body(waveforms), labels, weights)


class DetectorModule(L.LightningModule):
    """Training step of a detector."""

    def __init__(self, network: DetectorNetwork, settings: NetworkSettings, steps: int) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.steps = steps

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        waveforms, labels = batch
        loss = self.network.loss(waveforms, labels, self.settings.class_weights)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        settings = self.settings
        trained = [value for value in self.parameters() if value.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        if settings.final_learning_rate is None:
            return optimizer
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, self.steps, eta_min=settings.final_learning_rate
        )
        return [optimizer], [{"scheduler": cosine, "interval": "step"}]


class LabelledCrops:
    """Batches (waveforms, labels) as a pure function of seed and step; label 1 is bona fide."""

    def __init__(self, audio: TrainingArrays, settings: NetworkSettings, seed: int) -> None:
        self.audio = audio
        self.settings = settings
        self.seed = seed
        self.key = f"{audio.key}|{content_key(asdict(settings))[:16]}"

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """Return crops of shape (batch, crop), float32, and labels of shape (batch,), int64."""
        generator = np.random.default_rng([self.seed, step, rank])
        sides = (self.audio.spoof, self.audio.bonafide)
        size = self.settings.batch_size
        if self.settings.balanced:
            labels = np.arange(size) % 2
        else:
            labels = (generator.integers(0, sum(map(len, sides)), size) >= len(sides[0])).astype(np.int64)
        chosen = [sides[label][int(generator.integers(0, len(sides[label])))] for label in labels.tolist()]
        crops = [random_crop(samples, self.settings.crop, generator) for samples in chosen]
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(labels.astype(np.int64))


class TrainedNetwork(Detector):
    """A detector whose network is kept with its settings; subclasses say how it is built and trained."""

    settings_class: ClassVar[type[Any]]
    settings: Any

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.network: DetectorNetwork | None = None

    @classmethod
    @abstractmethod
    def build(cls, settings: Any) -> DetectorNetwork:
        """Make the network with weights from torch's random state."""

    def fitted(self) -> DetectorNetwork:
        """Return the network, ready to score.

        Raises:
            InputError: there is none yet.
        """
        if self.network is None:
            raise self.not_fitted()
        return self.network.eval()

    def save(self, directory: Path) -> None:
        """Write ``weights.safetensors`` and ``config.json``."""
        save_detector(directory, self.spec.name, self.settings, self.fitted().state_dict())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with reading_saved(directory, cls.spec.name) as (config, tensors):
            detector = cls(settings_from_dict(cls.settings_class, config["settings"]))
            network = cls.build(detector.settings)
            network.load_state_dict(tensors)
            detector.network = network.eval()
        return detector


class NetworkDetector(TrainedNetwork):
    """A detector made of a network that hears waveforms."""

    settings_class: ClassVar[type[NetworkSettings]]
    settings: NetworkSettings

    def start(self) -> DetectorNetwork:
        """Make the network that a training begins with."""
        return self.build(self.settings)

    def fit(
        self, bonafide: Sequence[Clip], spoof: Sequence[Clip], trainer: TrainerSettings
    ) -> TrainingRecord:
        """Train the network on random crops of both classes; see :meth:`Detector.fit`."""
        settings = self.settings
        audio = training_audio(bonafide, spoof, settings.input, trainer)
        with seeded(trainer.seed):
            network = self.start()
        steps = trainer.max_steps or settings.max_steps
        module = DetectorModule(network, settings, steps)
        chosen = replace(
            trainer,
            gradient_clip=trainer.gradient_clip or settings.gradient_clip,
            max_steps=steps if trainer.max_seconds is None else trainer.max_steps,
        )
        record = train(module, LabelledCrops(audio, settings, trainer.seed), chosen)
        self.network = network.eval().cpu()
        return record

    def positions(self, samples: int) -> np.ndarray:
        """Indices of what the network hears of a recording of so many samples."""
        length = max(samples, self.settings.crop) if self.settings.whole else self.settings.crop
        return crop_indices(samples, length)

    def score(self, audio: Audio) -> float:
        """Score a recording; see :meth:`Detector.score`."""
        network = self.fitted()
        samples = hear(audio, self.settings.input).samples
        waveform = torch.from_numpy(samples[self.positions(samples.size)])[None]
        with torch.inference_mode():
            return float(network(waveform.to(_device(network)))[0])

    def explain(self, audio: Audio) -> Explanation:
        """Gradient of the score times the input, in the short-time Fourier transform.

        The input is a linear function of its transform, so that all relevance together is the product of
        gradient and waveform (A. Shrikumar et al. 2016 for pictures). A part that the network does not hear,
        because it lies behind the crop, has none.
        """
        network = self.fitted()
        heard = hear(audio, self.settings.input)
        device = _device(network)
        waveform = torch.from_numpy(heard.samples).to(device)
        taper = torch.hann_window(EXPLAINED_WINDOW, device=device)
        shape: dict[str, Any] = {"n_fft": EXPLAINED_WINDOW, "hop_length": EXPLAINED_HOP, "window": taper}
        spectrum = torch.stft(waveform, **shape, pad_mode="constant", return_complex=True)
        spectrum.requires_grad_()
        signal = torch.istft(spectrum, **shape, length=waveform.numel())
        positions = torch.from_numpy(self.positions(waveform.numel())).to(device)
        # cuDNN has no gradient of a recurrent layer outside training.
        with torch.backends.cudnn.flags(enabled=False):
            (slope,) = torch.autograd.grad(network(signal[positions][None])[0], spectrum)
        bins = (slope.conj() * spectrum.detach()).real.T.cpu().numpy()
        # The highest bin goes to the highest band, so that all bands have the same number.
        bins[:, -2] += bins[:, -1]
        relevance = bins[:, :-1]
        rate = self.settings.input.rate
        return Explanation(
            times=heard.start + np.arange(len(relevance)) * EXPLAINED_HOP / rate,
            frequencies=(np.arange(EXPLAINED_BANDS) + 0.5) * rate / 2 / EXPLAINED_BANDS,
            relevance=relevance.reshape(len(relevance), EXPLAINED_BANDS, -1).sum(axis=2),
            method="gradient-times-input",
        )


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
