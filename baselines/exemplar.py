"""Exemplar autoencoder (audio): one autoencoder per target voice, which any speaker can drive.

K. Deng, A. Bansal, D. Ramanan, "Unsupervised Audiovisual Synthesis via Exemplar Autoencoders", ICLR 2021.
Trained on one person alone, the autoencoder projects whatever it hears onto that person's speech: the narrow
code keeps the words, the decoder can only say them in the one voice it knows.

Architecture (paper, appendix): encoder 3 x (Conv1d 512, kernel 5, batch norm, ReLU) and a 2-layer
bidirectional LSTM with 32 cells a direction; every 32 frames a code is the forward state at the last frame
of the block and the backward state at its first; decoder: the code repeated to frame rate, LSTM 512, 3 x
(Conv1d 512, kernel 5, batch norm, ReLU), 2-layer LSTM 1024, linear to 80 bands. Loss: L1 between mel
spectrograms, and, in preset ``paper``, the cross-entropy of a WaveNet (equation 4).

Joint training (``joint_vocoder``): the vocoder is conditioned on what the autoencoder makes of a crop and
hears the true samples of the same frames before each next one; the gradient of its loss goes on into the
autoencoder. It is trained, saved and loaded with the system and speaks its conversions, until another is put
in the place of ``vocoder``.

Transfer (``initialise_from``): training starts from the weights of another speaker's trained exemplar, its
vocoder included where both have one; the paper does so with 3 minutes of speech and 10,000 iterations in all.

Where paper and released code differ:

* the code adds a 5-layer convolutional post-net that the paper does not mention, with its own L1 term:
  ``postnet``, off by default;
* the code peak-normalises in training only, which shifts the level by 11 to 17 dB at test time on its own
  examples; here every signal goes through the one level rule of the house;
* the code has an L1 term between the codes of input and reconstruction, switched off by default; it is left
  out, as in the paper;
* batch 8 is the paper's; the code's default is 32. Adam at 1e-3 for encoder and decoder is the code's; the
  paper states none;
* vocoder: the paper has WaveNet, the code WaveRNN; ``paper`` has WaveNet, and ``joint_vocoder="wavernn"``
  with ``vocoder_preset="paper"`` is the code's;
* weight of the vocoder's loss: 1 in equation 4, which ``paper`` keeps; the command line of the code has 0.01
  (the constructor 0.001), and neither is mentioned in the paper;
* learning rate of the vocoder: 1e-4 in the code, kept; the paper states 1e-3 for "our model". The code's
  three Adam optimisers are one with two groups of parameters here, which is the same. The code clips the
  vocoder's gradients at a norm of 65504, which never happens; left out;
* equation 4 sums over a whole crop; neither says how much sound of a crop the vocoder hears. Here it is
  ``vocoder_frames`` frames somewhere in the crop, in ``paper`` 40 as in the vocoder's own training: 64,000
  samples a step;
* length: the paper says 10,000 iterations for the autoencoder and "another 50k" for the vocoder; ``paper``
  trains both together for 60,000. With ``joint_vocoder=""`` and ``max_steps=10000`` it is the paper's
  ablation without WaveNet (its table 6), which Griffin-Lim makes audible.

``small`` and ``tiny`` train no vocoder, for speed; where one is asked for, it is of the same preset and
learns at 4e-3, as such vocoders do alone.

``small`` reads the bottleneck more often than ``paper`` (every 8 frames, 100 ms, instead of 400 ms): at a
quarter of the width and minutes of training the wider interval loses the words.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.autoencoder_blocks import Decoder, Encoder, PostNet
from doppelbench.baselines.common import (
    LongRecording,
    check_sizes,
    clip_log_mel,
    long_recording,
    reading_saved,
    save_network,
    target_recordings,
)
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.baselines.vocoders.neural import NeuralVocoder, NeuralVocoderSettings, sound_arrays
from doppelbench.baselines.vocoders.registry import find_vocoder, load_vocoder
from doppelbench.baselines.vocoders.vocoder import Vocoder
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError
from doppelbench.corpora.features import MelSettings
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

JOINT_VOCODERS = ("wavenet", "wavernn")
# Folder of the jointly trained vocoder in that of its system.
VOCODER_FOLDER = "vocoder"


@dataclass(frozen=True, slots=True)
class ExemplarSettings:
    """Hyperparameters; the defaults are the paper's, without its vocoder.

    Attributes:
        channels: of the encoder's convolutions.
        bottleneck: cells a direction of the encoder's LSTM; a code is twice as wide.
        code_every: frames that one code stands for.
        decoder_cells: of the decoder's first LSTM, and channels of its convolutions.
        output_cells: of the decoder's last LSTM.
        postnet: whether to add the post-net of the released code.
        crop_frames: length of a training crop.
        batch_size: crops a step.
        learning_rate: of Adam for the autoencoder.
        max_steps: of training.
        joint_vocoder: ``wavenet`` or ``wavernn`` to train one with the autoencoder; empty for none.
        vocoder_preset: its size.
        vocoder_weight: of its loss, in nats a sample, beside the L1 between spectrograms.
        vocoder_rate: of Adam for the vocoder.
        vocoder_frames: how much of each crop's sound it is trained on.
        initialise_from: folder of a trained exemplar whose weights are started from; empty for none.
        mel: features that go in and come out.
        griffin_lim: of the vocoder that speaks where none is trained.
    """

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
    joint_vocoder: str = ""
    vocoder_preset: str = "paper"
    vocoder_weight: float = 1.0
    vocoder_rate: float = 1e-4
    vocoder_frames: int = 40
    initialise_from: str = ""
    mel: MelSettings = field(default_factory=MelSettings)
    griffin_lim: GriffinLimSettings = field(default_factory=GriffinLimSettings)

    def __post_init__(self) -> None:
        """Refuse what no network can have.

        Raises:
            DoppelbenchError: a size below 1, crops that do not divide into codes, or no such vocoder.
        """
        check_sizes(self)
        if self.crop_frames % self.code_every:
            raise DoppelbenchError(
                f"crop_frames is {self.crop_frames}; it must be a multiple of code_every, {self.code_every}"
            )
        if self.joint_vocoder and self.joint_vocoder not in JOINT_VOCODERS:
            raise DoppelbenchError(
                f"joint_vocoder is {self.joint_vocoder!r}; it must be one of {', '.join(JOINT_VOCODERS)}, or "
                "empty for none"
            )


PAPER = ExemplarSettings(joint_vocoder="wavenet", max_steps=60_000)
SMALL = ExemplarSettings(
    channels=128,
    code_every=8,
    decoder_cells=128,
    output_cells=256,
    max_steps=1500,
    vocoder_preset="small",
    vocoder_rate=4e-3,
    vocoder_frames=12,
)
TINY = ExemplarSettings(
    channels=16,
    bottleneck=4,
    code_every=8,
    decoder_cells=16,
    output_cells=16,
    max_steps=20,
    batch_size=2,
    vocoder_preset="tiny",
    vocoder_rate=4e-3,
    vocoder_frames=4,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)
# What a trained exemplar and one that starts from its weights must agree on.
ARCHITECTURE = ("channels", "bottleneck", "code_every", "decoder_cells", "output_cells", "postnet", "mel")


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
    """Training step: L1 between the input and its reconstruction.

    ``identity`` says what, beside architecture, data and seed, makes a training another one.
    """

    def __init__(
        self, network: ExemplarNetwork, settings: ExemplarSettings, identity: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        if identity:
            self.save_hyperparameters(dict(identity))
        self.network = network
        self.settings = settings

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self.reconstruct(batch)[0]

    def reconstruct(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch of spectrograms (batch, frames, bands) and the reconstruction."""
        first, final = self.network(mel)
        if first.shape != mel.shape:
            raise ValueError(f"reconstruction {tuple(first.shape)} of input {tuple(mel.shape)}")
        loss = F.l1_loss(final, mel)
        self.log("mel_l1", loss)
        return (loss if self.network.postnet is None else loss + F.l1_loss(first, mel)), final

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.settings.learning_rate)


class JointModule(ExemplarModule):
    """Training step of equation 4: the reconstruction and, given it, the likelihood of the sound."""

    def __init__(
        self,
        network: ExemplarNetwork,
        vocoder: NeuralVocoder,
        settings: ExemplarSettings,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        chosen = ("joint_vocoder", "vocoder_weight", "vocoder_rate", "vocoder_frames")
        joint = {name: getattr(settings, name) for name in chosen}
        super().__init__(network, settings, {**joint, **(identity or {})})
        self.vocoder = vocoder.network
        self.gain = vocoder.settings.gain

    def training_step(self, batch: tuple[Tensor, Tensor, int], batch_index: int) -> Tensor:
        mel, sound, start = batch
        loss, final = self.reconstruct(mel)
        frames = self.settings.vocoder_frames + 2 * self.vocoder.context
        likelihood = self.vocoder.loss(final[:, start : start + frames], (sound * self.gain).clamp(-1, 1))
        self.log("negative_log_likelihood", likelihood)
        return loss + self.settings.vocoder_weight * likelihood

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = [
            {"params": self.network.parameters(), "lr": self.settings.learning_rate},
            {"params": self.vocoder.parameters(), "lr": self.settings.vocoder_rate},
        ]
        return torch.optim.Adam(groups)


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


class JointCrops:
    """Batches of random crops, each with the samples of some of its frames.

    ``context`` is how many frames at either end of those frames the vocoder sees without their sound.
    """

    def __init__(
        self,
        features: LongRecording,
        sound: LongRecording,
        settings: ExemplarSettings,
        context: int,
        seed: int,
    ) -> None:
        self.features = features
        self.sound = sound
        self.settings = settings
        self.context = context
        self.seed = seed
        self.key = features.key

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor, int]:
        """Return mels (batch, frames, bands), sound (batch, samples) and the frame of the crops at which the
        vocoder's begin; the sound is that of the frames from ``context`` later on."""
        settings = self.settings
        wide = settings.vocoder_frames + 2 * self.context
        generator = np.random.default_rng([self.seed, step, rank])
        starts = generator.integers(0, len(self.features) - settings.crop_frames + 1, settings.batch_size)
        inside = int(generator.integers(0, settings.crop_frames - wide + 1))
        features = [self.features.crop(int(start), settings.crop_frames) for start in starts]
        sound = [
            self.sound.crop(int(start) + inside + self.context, settings.vocoder_frames).reshape(-1)
            for start in starts
        ]
        return torch.from_numpy(np.stack(features)), torch.from_numpy(np.stack(sound)), inside


def new_joint_vocoder(settings: ExemplarSettings) -> NeuralVocoder | None:
    """Make the untrained vocoder that the settings ask for, on the system's features.

    Raises:
        DoppelbenchError: no such preset, features of another hop, or more sound than a crop has.
    """
    if not settings.joint_vocoder:
        return None
    kind: Any = find_vocoder(settings.joint_vocoder)
    if settings.vocoder_preset not in kind.presets:
        raise DoppelbenchError(
            f"vocoder {settings.joint_vocoder} has no preset {settings.vocoder_preset!r}; known: "
            f"{', '.join(kind.presets)}"
        )
    chosen: NeuralVocoderSettings = replace(kind.presets[settings.vocoder_preset], mel=settings.mel)
    vocoder: NeuralVocoder = kind(chosen)
    longest = settings.crop_frames - 2 * vocoder.network.context
    if settings.vocoder_frames > longest:
        raise DoppelbenchError(
            f"vocoder_frames is {settings.vocoder_frames}; a crop of {settings.crop_frames} frames has the "
            f"context of {settings.joint_vocoder} for at most {longest}"
        )
    return vocoder


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
        self.joint_vocoder = new_joint_vocoder(settings)
        self.vocoder: Vocoder = self.joint_vocoder or GriffinLim(settings.mel, settings.griffin_lim)

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of the target, joined to one long recording.

        Raises:
            InputError: the usable clips of the target last less than half a minute, or the exemplar to start
                from cannot be read or is of another architecture.
        """
        settings = self.settings
        with seeded(trainer.seed):
            self.network = ExemplarNetwork(settings)
        if self.joint_vocoder is not None:
            with seeded(trainer.seed):
                self.joint_vocoder.network = self.joint_vocoder.make_network()
        identity = self.start_from_another()
        data: RandomCrops | JointCrops
        module: ExemplarModule
        if self.joint_vocoder is None:
            recording = long_recording(clips, self.target, settings.mel, trainer)
            data = RandomCrops(recording, settings, trainer.seed)
            module = ExemplarModule(self.network, settings, identity)
        else:
            data = self.joint_crops(clips, trainer)
            module = JointModule(self.network, self.joint_vocoder, settings, identity)
        record = train(module, data, trainer)
        module.eval().cpu()
        return record

    def joint_crops(self, clips: Sequence[Clip], trainer: TrainerSettings) -> JointCrops:
        """Compute (or find) features and sound of the target's clips, for training with the vocoder.

        Raises:
            InputError: the usable clips of the target last less than half a minute.
        """
        assert self.joint_vocoder is not None
        mel = self.settings.mel
        arguments = {"mel": asdict(mel), "emphasis": mel.preemphasis}
        features, sound = target_recordings(
            clips, self.target, sound_arrays, arguments, trainer, mel, fields=("mel", "sound")
        )
        context = self.joint_vocoder.network.context
        return JointCrops(features, sound, self.settings, context, trainer.seed)

    def start_from_another(self) -> dict[str, str]:
        """Take over the weights of ``initialise_from``; returns what identifies them.

        Raises:
            InputError: the exemplar there cannot be read or is of another architecture.
        """
        if not self.settings.initialise_from:
            return {}
        folder = Path(os.path.expandvars(self.settings.initialise_from)).expanduser()
        other = Exemplar.load(folder)
        differing = [
            f"{name} {getattr(other.settings, name)}, not {getattr(self.settings, name)}"
            for name in ARCHITECTURE
            if getattr(other.settings, name) != getattr(self.settings, name)
        ]
        if differing:
            raise InputError(
                f"{folder}: an exemplar of another architecture ({'; '.join(differing)}); to start from its "
                "weights, train with its preset and settings"
            )
        self.network.load_state_dict(other.network.state_dict())
        weights = [*self.network.state_dict().values()]
        # An autoencoder that was trained alone may be joined by a vocoder later.
        if self.joint_vocoder is not None and other.joint_vocoder is not None:
            own, theirs = (
                {name: tuple(value.shape) for name, value in vocoder.network.state_dict().items()}
                for vocoder in (self.joint_vocoder, other.joint_vocoder)
            )
            if own != theirs:
                raise InputError(
                    f"{folder}: an exemplar whose vocoder ({other.settings.joint_vocoder}, preset "
                    f"{other.settings.vocoder_preset}) is of another architecture than "
                    f"{self.settings.joint_vocoder}, preset {self.settings.vocoder_preset}"
                )
            self.joint_vocoder.network.load_state_dict(other.joint_vocoder.network.state_dict())
            weights += other.joint_vocoder.network.state_dict().values()
        return {"initialise_from": content_key(*(value.numpy().tobytes() for value in weights))}

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
        """Write ``weights.safetensors`` and ``config.json``; a vocoder that was trained with them goes into a
        folder of its own."""
        if self.joint_vocoder is not None:
            self.joint_vocoder.save(directory / VOCODER_FOLDER)
        save_network(directory, self.network, {"target": self.target, "settings": asdict(self.settings)})

    @classmethod
    def load(cls, directory: Path) -> "Exemplar":
        with reading_saved(directory, "trained exemplar"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(ExemplarSettings, config["settings"]), config["target"])
            system.network.load_state_dict(load_file(directory / "weights.safetensors"))
        system.load_joint_vocoder(directory)
        return system

    def load_joint_vocoder(self, directory: Path) -> None:
        """Read the vocoder that was trained with the exemplar saved in ``directory``, if one was.

        Raises:
            InputError: it cannot be read, or is another one.
        """
        if self.joint_vocoder is None:
            return
        vocoder = load_vocoder(directory / VOCODER_FOLDER)
        if type(vocoder) is not type(self.joint_vocoder) or vocoder.mel != self.settings.mel:
            raise InputError(
                f"{directory / VOCODER_FOLDER}: the vocoder {vocoder.name}, which is not the one this "
                "exemplar was trained with"
            )
        self.joint_vocoder = self.vocoder = vocoder
