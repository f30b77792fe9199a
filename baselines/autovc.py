"""AutoVC: an autoencoder whose code is too narrow for the voice, which a speaker embedding gives back.

K. Qian, Y. Zhang, S. Chang, X. Yang, M. Hasegawa-Johnson, "AutoVC: Zero-Shot Voice Style Transfer with Only
Autoencoder Loss", ICML 2019. The network learns to rebuild speech from a code and the embedding of its own
speaker; with the embedding of another person the decoder says the same words in that person's voice, also
when neither was heard in training.

Architecture: encoder, decoder and post-net of :mod:`doppelbench.baselines.autoencoder_blocks`, with the
source's embedding (256) appended to every frame of the encoder's input and the target's to every repeated
code. Loss: squared error of the spectrogram before and after the post-net, and the absolute difference
between the codes of input and reconstruction, with equal weights. A batch holds random crops of different
speakers, each speaker once before any a second time.

Three ways to use it (setting ``mode``): ``scratch``; ``fine-tune``, from ``checkpoint``; and
``off-the-shelf``, which trains nothing and answers with the checkpoint as it is. A checkpoint is a folder
that this system saved, or a ``.safetensors`` file of the released generator's weights under their own names.

Where paper and released code differ, and what is chosen:

* the released network returns (batch, 1, frames, bands), and its trainer compares that with (batch, frames,
  bands): broadcasting then pairs every item with every other and puts a floor under the loss. Here shapes
  that are not equal are an error;
* bottleneck 32 and a code every 32 frames are the paper's and those of the released weights; the released
  trainer's defaults are 16 and 16;
* 100,000 steps are the paper's; the trainer's default is a million;
* speaker embeddings come from another GE2E encoder (:mod:`doppelbench.baselines.speaker_encoder`) than the
  authors', of the same size. A voice's embedding is the mean over 10 of its clips in training, as released,
  and over all clips given at enrolment; it is not of unit norm, as released. The source's at conversion is
  that of the one utterance. Weights released by the authors expect the
  embeddings of their own encoder, so that ``off-the-shelf`` with them is not their system;
* the released features take a 30 Hz high-pass and a dither first; here the level rule of the house takes
  their place, as the lowest mel band begins at 90 Hz;
* the paper synthesises with WaveNet; a vocoder is a seat here (:mod:`doppelbench.baselines.vocoders`).

``paper`` keeps the published features (16 kHz, window 1024, hop 256, 90 to 7600 Hz, -84 to 16 dB). ``small``
and ``tiny`` take the mel spectrogram of the house, so that all rows of a table go through the same vocoder.
``small`` also has a quarter of the width, reads codes every 8 frames, as the small exemplar does, and trains
at 1e-3 on batches of 8. Its post-net starts with no correction: as published, the last batch norm begins with
corrections of unit variance on features of 0 to 1, which takes a thousand steps to undo (squared error after
40 steps 0.27 as published, 0.01 so).
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

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
    check_sizes,
    clip_log_mel,
    log_mel_arrays,
    reading_saved,
    save_network,
    speaker_recordings,
)
from doppelbench.baselines.registry import register
from doppelbench.baselines.speaker_encoder import EMBEDDING_SIZE, clip_embedding, mean_embedding
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, LeftOutWarning, MediaError
from doppelbench.corpora.features import MelSettings
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

PUBLISHED_MEL = MelSettings(
    n_fft=1024,
    window=1024,
    hop=256,
    low_hz=90.0,
    high_hz=7600.0,
    preemphasis=0.0,
    min_db=-84.0,
    max_db=16.0,
)
MODES = ("scratch", "fine-tune", "off-the-shelf")


@dataclass(frozen=True, slots=True)
class AutoVCSettings:
    """Hyperparameters; the defaults are the paper's.

    ``postnet_start`` is the scale of the post-net's correction before training.
    """

    mode: str = "scratch"
    checkpoint: str = ""
    channels: int = 512
    bottleneck: int = 32
    code_every: int = 32
    decoder_cells: int = 512
    output_cells: int = 1024
    code_weight: float = 1.0
    postnet_start: float = 1.0
    embedded_clips: int = 10
    crop_frames: int = 128
    batch_size: int = 2
    learning_rate: float = 1e-4
    max_steps: int = 100_000
    single_voice: bool = False
    mel: MelSettings = PUBLISHED_MEL
    griffin_lim: GriffinLimSettings = field(default_factory=GriffinLimSettings)

    def __post_init__(self) -> None:
        """Refuse what no network can have and no mode can start from.

        Raises:
            DoppelbenchError: a size below 1, crops that do not divide into codes, an unknown mode, or a
                checkpoint that is missing or would not be used.
        """
        check_sizes(self, other=("postnet_start",))
        if self.crop_frames % self.code_every:
            raise DoppelbenchError(
                f"crop_frames is {self.crop_frames}; it must be a multiple of code_every, {self.code_every}"
            )
        if self.mode not in MODES:
            raise DoppelbenchError(f"mode is {self.mode!r}; it must be one of {', '.join(MODES)}")
        if (self.mode == "scratch") == bool(self.checkpoint):
            raise DoppelbenchError(
                f"mode {self.mode} with checkpoint {self.checkpoint!r}: fine-tune and off-the-shelf start "
                "from a checkpoint, scratch does not"
            )


PAPER = AutoVCSettings()
SMALL = replace(
    PAPER,
    channels=128,
    code_every=8,
    decoder_cells=128,
    output_cells=256,
    postnet_start=0.0,
    batch_size=8,
    learning_rate=1e-3,
    max_steps=1500,
    mel=MelSettings(),
)
TINY = replace(
    SMALL,
    channels=16,
    bottleneck=4,
    decoder_cells=16,
    output_cells=16,
    batch_size=2,
    max_steps=20,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)
# What a checkpoint and the settings that use it must agree on.
ARCHITECTURE = ("channels", "bottleneck", "code_every", "decoder_cells", "output_cells", "mel")


class AutoVCNetwork(nn.Module):
    """Mel spectrogram of one voice and the embeddings of two to the spectrogram of the other."""

    def __init__(self, settings: AutoVCSettings) -> None:
        super().__init__()
        self.encoder = Encoder(settings, condition=EMBEDDING_SIZE)
        self.decoder = Decoder(settings, condition=EMBEDDING_SIZE)
        self.postnet = PostNet(settings.mel.n_mels, settings.channels)
        nn.init.constant_(self.postnet.output.get_parameter("1.weight"), settings.postnet_start)

    def forward(self, mel: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Convert.

        Args:
            mel: shape (batch, frames, bands).
            source: embedding of who speaks, shape (batch, 256).
            target: embedding of who shall speak, shape (batch, 256).

        Returns:
            The spectrogram before and after the post-net, each of the shape of ``mel``, and the codes.
        """
        codes = self.encoder(mel, source)
        first = self.decoder(codes, target)
        return first, first + self.postnet(first), codes


def reconstruction_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of two tensors of one shape.

    Raises:
        ValueError: the shapes differ, though they could perhaps be broadcast.
    """
    if found.shape != wanted.shape:
        raise ValueError(f"reconstruction {tuple(found.shape)} of input {tuple(wanted.shape)}")
    return F.mse_loss(found, wanted)


class AutoVCModule(L.LightningModule):
    """Training step: rebuild the input before and after the post-net, and its code."""

    def __init__(self, network: AutoVCNetwork, settings: AutoVCSettings) -> None:
        super().__init__()
        chosen = ("mode", "checkpoint", "embedded_clips")
        self.save_hyperparameters({name: getattr(settings, name) for name in chosen})
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        mel, voice = batch
        first, final, codes = self.network(mel, voice, voice)
        before, after = reconstruction_error(first, mel), reconstruction_error(final, mel)
        code = F.l1_loss(self.network.encoder(final, voice), codes)
        self.log_dict({"mel_mse": after, "mel_mse_before_postnet": before, "code_l1": code})
        return before + after + self.settings.code_weight * code

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.settings.learning_rate)


class SpeakerCrops:
    """Batches of random crops with the embeddings of their speakers, a pure function of seed and step."""

    def __init__(
        self,
        recordings: Mapping[str, LongRecording],
        voices: Mapping[str, np.ndarray],
        settings: AutoVCSettings,
        seed: int,
    ) -> None:
        self.recordings = list(recordings.values())
        self.voices = [voices[speaker] for speaker in recordings]
        self.settings = settings
        self.seed = seed
        self.key = content_key([recording.key for recording in self.recordings])

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        """Return mels (batch, frames, bands) and embeddings (batch, 256)."""
        size, frames = self.settings.batch_size, self.settings.crop_frames
        speakers = [self.speaker((step * world + rank) * size + item) for item in range(size)]
        generator = np.random.default_rng([self.seed, step, rank])
        crops = []
        for speaker in speakers:
            recording = self.recordings[speaker]
            crops.append(recording.crop(int(generator.integers(0, len(recording) - frames + 1)), frames))
        voices = np.stack([self.voices[speaker] for speaker in speakers])
        return torch.from_numpy(np.stack(crops)), torch.from_numpy(voices)

    def speaker(self, position: int) -> int:
        """Index of the speaker at a position of the endless sequence in which every round has everybody."""
        rounds, place = divmod(position, len(self.recordings))
        return int(np.random.default_rng([self.seed, rounds]).permutation(len(self.recordings))[place])


def embedding_arrays(clip: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Compute the cached embedding of one clip, shape (1, 256)."""
    return {"embedding": clip_embedding(Clip(**clip))[None]}


@register
class AutoVC(System):
    """One autoencoder for all voices, told by their embeddings."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="autovc",
        title="AutoVC (zero-shot, d-vectors)",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Qian et al.: AutoVC: Zero-Shot Voice Style Transfer with Only Autoencoder Loss, ICML 2019",
        needs=frozenset({"other-speakers", "enrolment"}),
    )
    settings: AutoVCSettings

    def __init__(self, settings: AutoVCSettings) -> None:
        self.settings = settings
        self.network = AutoVCNetwork(settings)
        self.vocoder = GriffinLim(settings.mel, settings.griffin_lim)
        self.voices: dict[str, np.ndarray] = {}

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of several speakers, or take the checkpoint as it is.

        Returns:
            What the training did; 0 steps in mode ``off-the-shelf``.

        Raises:
            InputError: fewer than two speakers can be used (with ``single_voice`` nobody), or the checkpoint
                cannot.
        """
        with seeded(trainer.seed):
            self.network = AutoVCNetwork(self.settings)
        if self.settings.mode != "scratch":
            self.network.load_state_dict(read_checkpoint(Path(self.settings.checkpoint), self.settings))
        if self.settings.mode == "off-the-shelf":
            return TrainingRecord(steps=0, seconds=0.0, steps_per_second=0.0, peak_memory=0)
        module = AutoVCModule(self.network, self.settings)
        record = train(module, self.training_data(clips, trainer), trainer)
        self.network.eval().cpu()
        return record

    def training_data(self, clips: Sequence[Clip], trainer: TrainerSettings) -> SpeakerCrops:
        """Compute (or find) spectrograms and embeddings of everybody who can be heard.

        Raises:
            InputError: fewer than two speakers can be used, or nobody with ``single_voice``.
        """
        fewest = 1 if self.settings.single_voice else 2
        recordings = speaker_recordings(
            clips,
            log_mel_arrays,
            {"mel": asdict(self.settings.mel)},
            trainer,
            field="mel",
            shortest=self.settings.crop_frames,
            fewest=fewest,
        )
        embedded = [
            clip
            for speaker in recordings
            for clip in [clip for clip in clips if clip.speaker == speaker][: self.settings.embedded_clips]
        ]
        embeddings = speaker_recordings(
            embedded, embedding_arrays, {}, trainer, field="embedding", shortest=1, fewest=fewest
        )
        voices = {
            speaker: mean_embedding([part[0] for part in found.parts])
            for speaker, found in embeddings.items()
        }
        heard = {speaker: recordings[speaker] for speaker in voices}
        return SpeakerCrops(heard, voices, self.settings, trainer.seed)

    def enroll(self, target: str, clips: Sequence[Clip]) -> None:
        """Take the mean embedding of a person's clips for the target's voice.

        A clip that cannot be embedded is left out and named in a warning.

        Raises:
            InputError: no clip is left.
        """
        found = []
        for clip in clips:
            try:
                found.append(clip_embedding(clip))
            except MediaError as error:
                message = f"clip {clip.id} is left out of the enrolment of {target}: {error.reason}"
                warnings.warn(message, LeftOutWarning, stacklevel=2)
        if not found:
            raise InputError(f"target {target} cannot be enrolled: none of {len(clips)} clip(s) can be used")
        self.voices[target] = mean_embedding(found)

    def convert_features(self, mel: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Convert a log-mel spectrogram, shape (frames, bands), from one embedding to another."""
        every = self.settings.code_every
        padded = np.pad(mel, ((0, -len(mel) % every), (0, 0)))
        self.network.eval()
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            inputs = [torch.from_numpy(array)[None].to(device) for array in (padded, source, target)]
            _, final, _ = self.network(*inputs)
        return final[0, : len(mel)].clamp(0, 1).float().cpu().numpy()

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the voice of an enrolled target.

        Raises:
            MediaError: ``missing`` when the target is not enrolled, or the source cannot be used.
        """
        if trial.target not in self.voices:
            raise MediaError("missing", f"the voice of {trial.target} is not enrolled")
        mel = clip_log_mel(trial.source, self.settings.mel)
        source = clip_embedding(trial.source)
        return Output(audio=self.vocoder(self.convert_features(mel, source, self.voices[trial.target])))

    def save(self, directory: Path) -> None:
        save_network(directory, self.network, {"settings": asdict(self.settings)})

    @classmethod
    def load(cls, directory: Path) -> "AutoVC":
        with reading_saved(directory, "trained AutoVC"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(AutoVCSettings, config["settings"]))
            system.network.load_state_dict(load_file(directory / "weights.safetensors"))
        return system


def read_checkpoint(path: Path, settings: AutoVCSettings) -> dict[str, Tensor]:
    """Read the weights of a folder that :meth:`AutoVC.save` wrote, or of a file of released weights.

    Raises:
        InputError: there is none, it cannot be read, or it is a network of another size or other features.
    """
    if path.is_dir():
        saved = AutoVC.load(path)
        differing = [
            name for name in ARCHITECTURE if getattr(saved.settings, name) != getattr(settings, name)
        ]
        if differing:
            raise InputError(f"checkpoint {path} has another {', '.join(differing)} than the settings")
        return saved.network.state_dict()
    try:
        weights = rename_released(load_file(path))
        AutoVCNetwork(settings).load_state_dict(weights)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"checkpoint {path}: no weights of this network ({reason})") from None
    return weights


def rename_released(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the released generator's weights the names that they have here."""
    replaced = (
        (".conv.", "."),
        (".linear_layer.", "."),
        ("decoder.lstm1.", "decoder.first_lstm."),
        ("decoder.lstm2.", "decoder.last_lstm."),
        ("decoder.linear_projection.", "decoder.projection."),
        ("postnet.convolutions.4.", "postnet.output."),
        ("postnet.convolutions.", "postnet.hidden."),
    )
    renamed = {}
    for name, tensor in weights.items():
        for old, new in replaced:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed
