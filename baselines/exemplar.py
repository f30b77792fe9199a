"""Exemplar autoencoder (audio): one autoencoder per target voice, which any speaker can drive.

K. Deng, A. Bansal, D. Ramanan, "Unsupervised Audiovisual Synthesis via Exemplar Autoencoders", ICLR 2021.
Trained on one person alone, the autoencoder projects whatever it hears onto that person's speech: the narrow
code keeps the words, the decoder can only say them in the one voice it knows.

Architecture (paper, appendix): encoder 3 x (Conv1d 512, kernel 5, batch norm, ReLU) and a 2-layer
bidirectional LSTM with 32 cells a direction; every 32 frames a code is the forward state at the last frame
of the block and the backward state at its first; decoder: the code repeated to frame rate, LSTM 512, 3 x
(Conv1d 512, kernel 5, batch norm, ReLU), 2-layer LSTM 1024, linear to 80 bands. Loss: L1 between mel
spectrograms (the frequency-domain term of equation 4).

Where paper and released code differ:

* the code adds a 5-layer convolutional post-net that the paper does not mention, with its own L1 term:
  ``postnet``, off by default;
* the code peak-normalises in training only, which shifts the level by 11 to 17 dB at test time on its own
  examples; here every signal goes through the one level rule of the house;
* the code has an L1 term between the codes of input and reconstruction, switched off by default; it is left
  out, as in the paper;
* batch 8 is the paper's; the code's default is 32. Adam at 1e-3 for encoder and decoder is the code's; the
  paper states none;
* the paper synthesises with WaveNet; a vocoder is a seat here (:mod:`doppelbench.baselines.vocoders`).

``small`` reads the bottleneck more often than ``paper`` (every 8 frames, 100 ms, instead of 400 ms): at a
quarter of the width and minutes of training the wider interval loses the words.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import ClassVar

import lightning as L
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.autoencoder_blocks import Decoder, Encoder, PostNet
from doppelbench.baselines.common import (
    LongRecording,
    clip_log_mel,
    long_recording,
    save_network,
    settings_from_dict,
)
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.features import MelSettings
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train


@dataclass(frozen=True, slots=True)
class ExemplarSettings:
    """Hyperparameters; the defaults are the paper's."""

    channels: int = 512
    bottleneck: int = 32
    code_every: int = 32
    decoder_cells: int = 512
    output_cells: int = 1024
    postnet: bool = False
    crop_frames: int = 128
    batch_size: int = 8
    learning_rate: float = 1e-3
    max_steps: int = 10_000
    mel: MelSettings = field(default_factory=MelSettings)
    griffin_lim: GriffinLimSettings = field(default_factory=GriffinLimSettings)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a size below 1, or crops that do not divide into codes.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise DoppelbenchError(f"{item.name} is {value}; it must be above 0")
        if self.crop_frames % self.code_every:
            raise DoppelbenchError(
                f"crop_frames is {self.crop_frames}; it must be a multiple of code_every, {self.code_every}"
            )


PAPER = ExemplarSettings()
SMALL = replace(PAPER, channels=128, code_every=8, decoder_cells=128, output_cells=256, max_steps=1500)
TINY = replace(
    PAPER,
    channels=16,
    bottleneck=4,
    code_every=8,
    decoder_cells=16,
    output_cells=16,
    max_steps=20,
    batch_size=2,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)


class ExemplarNetwork(nn.Module):
    """The autoencoder: mel in, (mel before the post-net, mel after it) out; both are one without a
    post-net."""

    def __init__(self, settings: ExemplarSettings) -> None:
        super().__init__()
        self.encoder = Encoder(settings)
        self.decoder = Decoder(settings)
        self.postnet = PostNet(settings.mel.n_mels, settings.channels) if settings.postnet else None

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        first = self.decoder(self.encoder(mel))
        return (first, first + self.postnet(first)) if self.postnet is not None else (first, first)


class ExemplarModule(L.LightningModule):
    """Training step: L1 between the input and its reconstruction."""

    def __init__(self, network: ExemplarNetwork, settings: ExemplarSettings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        first, final = self.network(batch)
        if first.shape != batch.shape:
            raise ValueError(f"reconstruction {tuple(first.shape)} of input {tuple(batch.shape)}")
        loss = F.l1_loss(final, batch)
        self.log("mel_l1", loss)
        return loss if self.network.postnet is None else loss + F.l1_loss(first, batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.settings.learning_rate)


class RandomCrops:
    """Batches of random crops from one long recording; a batch is a pure function of seed and step."""

    def __init__(self, recording: LongRecording, settings: ExemplarSettings, seed: int) -> None:
        self.recording = recording
        self.settings = settings
        self.seed = seed
        self.key = recording.key

    def batch(self, step: int, rank: int, world: int) -> Tensor:
        frames = self.settings.crop_frames
        generator = np.random.default_rng([self.seed, step, rank])
        starts = generator.integers(0, len(self.recording) - frames + 1, self.settings.batch_size)
        return torch.from_numpy(np.stack([self.recording.crop(int(start), frames) for start in starts]))


@register
class Exemplar(System):
    """One autoencoder for one target voice."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="exemplar",
        title="Exemplar autoencoder (audio)",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Deng et al.: Unsupervised Audiovisual Synthesis via Exemplar Autoencoders, ICLR 2021",
        needs=frozenset({"target"}),
    )
    settings: ExemplarSettings

    def __init__(self, settings: ExemplarSettings, target: str) -> None:
        self.settings = settings
        self.target = target
        self.network = ExemplarNetwork(settings)
        self.vocoder = GriffinLim(settings.mel, settings.griffin_lim)

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of the target, joined to one long recording.

        Raises:
            InputError: the usable clips of the target last less than half a minute.
        """
        recording = long_recording(clips, self.target, self.settings.mel, trainer)
        with seeded(trainer.seed):
            self.network = ExemplarNetwork(self.settings)
        module = ExemplarModule(self.network, self.settings)
        record = train(module, RandomCrops(recording, self.settings, trainer.seed), trainer)
        self.network.eval().cpu()
        return record

    def convert_features(self, mel: np.ndarray) -> np.ndarray:
        """Project a log-mel spectrogram of any speaker, shape (frames, bands), onto the target."""
        every = self.settings.code_every
        padded = np.pad(mel, ((0, -len(mel) % every), (0, 0)))
        self.network.eval()
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            _, final = self.network(torch.from_numpy(padded)[None].to(device))
        return final[0, : len(mel)].clamp(0, 1).float().cpu().numpy()

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the target's voice."""
        mel = clip_log_mel(trial.source, self.settings.mel)
        return Output(audio=self.vocoder(self.convert_features(mel)))

    def save(self, directory: Path) -> None:
        save_network(directory, self.network, {"target": self.target, "settings": asdict(self.settings)})

    @classmethod
    def load(cls, directory: Path) -> "Exemplar":
        try:
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(ExemplarSettings, config["settings"]), config["target"])
            system.network.load_state_dict(load_file(directory / "weights.safetensors"))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{directory}: no trained exemplar that can be read ({reason})") from None
        return system
