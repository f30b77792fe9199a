"""Blow: a normalising flow on raw audio, forward with one speaker's weights and back with another's.

J. Serra, S. Pascual, C. Segura, "Blow: a single-scale hyperconditioned flow for non-parallel raw-audio voice
conversion", NeurIPS 2019. The flow maps 4096 samples of a known speaker to as many independent Gaussian
values, from which everything that the speaker's identity explains should be gone; the inverse with another
identity makes them that person's speech. There is no vocoder: waveform in, waveform out.

Architecture: 8 blocks, each a squeeze (every second sample becomes a channel of its own, 2 to 256 channels)
and 12 flow steps; a step is an invertible 1x1 convolution in LU form, an activation normalisation and an
affine coupling. The coupling's network is a grouped convolution of width 3, whose weights a linear layer
makes from the speaker's embedding (128), and a 1x1 and a 3-wide convolution of 512 channels, the last zero at
first; the scale is sigmoid(x + 2). Nothing is split off between blocks. Loss: negative log-likelihood a
sample.

Training data: chunks of 4096 samples side by side, the quiet ones dropped; jittered by up to half a chunk, a
random weak (de)emphasis of up to 0.2, a random peak of up to 1 and a random sign. Conversion: chunks
overlapping by half under a Hann window, values beyond 0.97 bent towards 1.

Where paper, released code and this module differ:

* in the released code it is a plain attribute that says whether an activation normalisation has seen its
  first batch, so that a reloaded model starts over; here it is a buffer;
* the released signals have a mean of 0 and a peak of 0.99; here the level rule of the house takes their
  place, which leaves speech 7.6 dB softer (median of 80 real recordings): the threshold for quiet chunks is
  0.0104 instead of 0.025, and outputs are not brought to a peak of 0.98;
* the released emphasis filter squares its coefficient from tap to tap, here it is multiplied, as a
  recursive filter's response is; at 0.2 and below the difference is under 0.008 of the peak;
* the learning rate is constant; the released code divides it by 5 after 10 epochs without a better
  validation loss, twice, and ends there or after 999 epochs. The steps of ``paper`` are a choice;
* weights are always 32 bit: the inverse of a flow in 16 bits is none. The inverse of a 1x1 convolution is
  computed in 64 bits.

``bits_per_dimension`` in the training record is that of the density of samples with full scale 1, under the
augmentation; 15 more for samples of 16 bits.

``small`` has 8 blocks of 2 flow steps of 128 channels, and trains at 1e-3 on batches of 16.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import (
    LongRecording,
    check_sizes,
    reading_saved,
    save_network,
    speaker_recordings,
)
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, InputError, MediaError
from doppelbench.corpora.level import normalize_level
from doppelbench.corpora.media import Audio, read_audio
from doppelbench.engine.hashing import content_key
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

RATE = 16000
KERNEL = 3
# Where the soft limit begins, how steeply it bends, and beyond what a value is nonsense: the released code's.
SOFT_MARGIN = 0.03
SOFT_SLOPE = 0.7
LARGEST_VALUE = 100.0
# Terms of the recursive emphasis filter that are kept, as released.
EMPHASIS_TAPS = 4
CHUNKS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class BlowSettings:
    """Hyperparameters; the defaults are the released ones."""

    blocks: int = 8
    flows: int = 12
    channels: int = 512
    embedding: int = 128
    chunk: int = 4096
    quiet: float = 0.0104
    emphasis: float = 0.2
    batch_size: int = 38
    learning_rate: float = 1e-4
    max_steps: int = 500_000

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a size that is not above 0, or chunks or channels that cannot be divided.
        """
        check_sizes(self)
        if self.chunk % 2**self.blocks:
            raise DoppelbenchError(
                f"chunk is {self.chunk}; {self.blocks} blocks need a multiple of {2**self.blocks}"
            )
        if self.channels % 2 ** (self.blocks - 1):
            raise DoppelbenchError(
                f"channels is {self.channels}; {self.blocks} blocks need a multiple of "
                f"{2 ** (self.blocks - 1)}"
            )


PAPER = BlowSettings()
SMALL = replace(PAPER, flows=2, channels=128, batch_size=16, learning_rate=1e-3, max_steps=700)
TINY = replace(
    PAPER,
    blocks=3,
    flows=2,
    channels=8,
    embedding=4,
    chunk=256,
    batch_size=4,
    learning_rate=1e-3,
    max_steps=20,
)


def squeeze(signal: Tensor) -> Tensor:
    """Make every second value a channel of its own: (batch, c, t) to (batch, 2 c, t / 2)."""
    batch, channels, length = signal.shape
    pairs = signal.reshape(batch, channels, length // 2, 2).transpose(2, 3)
    return pairs.reshape(batch, 2 * channels, length // 2)


def unsqueeze(signal: Tensor) -> Tensor:
    """Inverse of :func:`squeeze`."""
    batch, channels, length = signal.shape
    pairs = signal.reshape(batch, channels // 2, 2, length).transpose(2, 3)
    return pairs.reshape(batch, channels // 2, 2 * length)


class InvertibleConvolution(nn.Module):
    """1x1 convolution with the matrix P L (U + diag(s)), first a random rotation.

    D. Kingma, P. Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", NeurIPS 2018. The
    permutation P and the signs of s stay as they are.
    """

    permutation: Tensor
    signs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))
        permutation, lower, upper = torch.linalg.lu(rotation)
        scales = upper.diagonal()
        self.register_buffer("permutation", permutation.float())
        self.register_buffer("signs", scales.sign().float())
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())
        self.log_scales = nn.Parameter(scales.abs().log().float())

    def matrix(self) -> Tensor:
        """The matrix, shape (channels, channels)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.signs), device=self.lower.device).to(self.lower)
        upper = self.upper.triu(1) + torch.diag(self.signs * self.log_scales.exp())
        return self.permutation @ lower @ upper

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        mixed = F.conv1d(signal, self.matrix()[:, :, None])
        return mixed, self.log_scales.sum() * signal.shape[2]

    def inverse(self, signal: Tensor) -> Tensor:
        matrix = torch.linalg.inv(self.matrix().double()).to(signal)
        return F.conv1d(signal, matrix[:, :, None])


class ActivationNorm(nn.Module):
    """Shift and scale of each channel, which the first batch sets to zero mean and unit variance."""

    initialized: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("initialized", torch.tensor(False))
        self.shift = nn.Parameter(torch.zeros(channels, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        if self.training and not self.initialized:
            with torch.no_grad():
                self.shift.copy_(-signal.mean(dim=(0, 2))[:, None])
                self.log_scale.copy_(-(signal.std(dim=(0, 2)) + 1e-7).log()[:, None])
                self.initialized.fill_(True)
        return (signal + self.shift) * self.log_scale.exp(), self.log_scale.sum() * signal.shape[2]

    def inverse(self, signal: Tensor) -> Tensor:
        return signal * (-self.log_scale).exp() - self.shift


class Coupling(nn.Module):
    """Affine coupling: the first half of the channels, with the speaker, scales and shifts the second."""

    def __init__(self, channels: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.kernels = nn.Linear(embedding, hidden * KERNEL)
        self.biases = nn.Linear(embedding, hidden)
        self.middle = nn.Conv1d(hidden, hidden, 1)
        self.last = nn.Conv1d(hidden, channels, KERNEL, padding=KERNEL // 2)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def scale_and_shift(self, kept: Tensor, voice: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift, each of the shape of ``kept``; every item is convolved with its own kernels."""
        batch, channels, length = kept.shape
        hidden = F.conv1d(
            kept.reshape(1, batch * channels, length),
            self.kernels(voice).reshape(batch * self.hidden, 1, KERNEL),
            self.biases(voice).reshape(batch * self.hidden),
            padding=KERNEL // 2,
            groups=batch * channels,
        ).reshape(batch, self.hidden, length)
        scale, shift = self.last(F.relu(self.middle(F.relu(hidden)))).chunk(2, dim=1)
        return torch.sigmoid(scale + 2) + 1e-7, shift

    def forward(self, signal: Tensor, voice: Tensor) -> tuple[Tensor, Tensor]:
        kept, changed = signal.chunk(2, dim=1)
        scale, shift = self.scale_and_shift(kept, voice)
        return torch.cat([kept, (changed + shift) * scale], dim=1), scale.log().sum(dim=(1, 2))

    def inverse(self, signal: Tensor, voice: Tensor) -> Tensor:
        kept, changed = signal.chunk(2, dim=1)
        scale, shift = self.scale_and_shift(kept, voice)
        return torch.cat([kept, changed / scale - shift], dim=1)


class FlowStep(nn.Module):
    """Mix the channels, normalise them, and couple their halves."""

    def __init__(self, channels: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.mixer = InvertibleConvolution(channels)
        self.norm = ActivationNorm(channels)
        self.coupling = Coupling(channels, hidden, embedding)

    def forward(self, signal: Tensor, voice: Tensor) -> tuple[Tensor, Tensor]:
        mixed, mixing = self.mixer(signal)
        normal, scaling = self.norm(mixed)
        coupled, coupling = self.coupling(normal, voice)
        return coupled, mixing + scaling + coupling

    def inverse(self, signal: Tensor, voice: Tensor) -> Tensor:
        return self.mixer.inverse(self.norm.inverse(self.coupling.inverse(signal, voice)))


class BlowNetwork(nn.Module):
    """The flow of several speakers."""

    def __init__(self, settings: BlowSettings, speakers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(speakers, settings.embedding)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                FlowStep(2**block, settings.channels, settings.embedding) for _ in range(settings.flows)
            )
            for block in range(1, settings.blocks + 1)
        )

    def forward(self, waveform: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """Map audio to Gaussian values.

        Args:
            waveform: shape (batch, samples), samples a multiple of 2 ** blocks.
            speaker: index of each item's speaker, shape (batch,).

        Returns:
            The values, shape (batch, channels, samples / channels), and the logarithm of the determinant of
            each item, shape (batch,).
        """
        with torch.autocast(waveform.device.type, enabled=False):
            voice = self.embedding(speaker)
            signal, determinant = waveform.float()[:, None], waveform.new_zeros(len(waveform))
            for block in self.blocks:
                signal = squeeze(signal)
                for step in block:  # type: ignore[attr-defined]
                    signal, term = step(signal, voice)
                    determinant = determinant + term
        return signal, determinant

    def inverse(self, values: Tensor, speaker: Tensor) -> Tensor:
        """Map what :meth:`forward` returned, with the same or other speakers, to audio (batch, samples)."""
        voice, signal = self.embedding(speaker), values
        for block in reversed(self.blocks):
            for step in reversed(block):  # type: ignore[call-overload]
                signal = step.inverse(signal, voice)
            signal = unsqueeze(signal)
        return signal[:, 0]


def bits_per_dimension(values: Tensor, determinant: Tensor) -> Tensor:
    """Mean negative log-likelihood a sample, in bits.

    Args:
        values: shape (batch, channels, length), Gaussian under the model.
        determinant: logarithm of the determinant of each item, shape (batch,).
    """
    size = values[0].numel()
    gaussian = -0.5 * (values.square().sum(dim=(1, 2)) + size * math.log(2 * math.pi))
    return -(gaussian + determinant).mean() / (size * math.log(2))


def emphasize(chunks: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Weak first-order (de)emphasis with the first terms of its response, divided by its greatest gain.

    Args:
        chunks: shape (batch, samples).
        coefficients: shape (batch,); positive for the low, negative for the high frequencies.
    """
    filtered, gain = chunks.astype(np.float64), np.ones((len(chunks), 1))
    for delay in range(1, EMPHASIS_TAPS + 1):
        term = coefficients[:, None] ** delay
        filtered[:, delay:] += term * chunks[:, :-delay]
        gain += np.abs(term)
    return (filtered / gain).astype(np.float32)


def soft_limit(samples: np.ndarray) -> np.ndarray:
    """Bend values beyond 0.97 towards 1, and turn what is not finite into silence."""
    samples = np.clip(np.nan_to_num(samples, posinf=0.0, neginf=0.0), -LARGEST_VALUE, LARGEST_VALUE)
    edge = 1 - SOFT_MARGIN
    beyond = np.maximum(np.abs(samples) - edge, 0)
    bent = edge + SOFT_MARGIN * (1 - np.exp(-SOFT_SLOPE * beyond / SOFT_MARGIN))
    return np.where(beyond > 0, np.sign(samples) * bent, samples).astype(np.float32)


def clip_waveform(clip: Clip) -> np.ndarray:
    """Samples of a clip at 16 kHz and at the house's level, shape (n,), float32.

    Raises:
        MediaError: the clip has no audio, or it cannot be read or is silent.
    """
    if clip.audio is None:
        raise MediaError("missing", f"clip {clip.id} has no audio")
    audio = read_audio(clip.audio, rate=RATE, start=clip.start, end=clip.end)
    return normalize_level(audio.samples, audio.rate)


def waveform_arrays(clip: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Read the cached samples of one clip."""
    return {"waveform": clip_waveform(Clip(**clip))}


class SpeechChunks:
    """Batches of augmented chunks of all speakers: (waveforms (batch, samples), speakers (batch,)).

    An epoch is a random order of all chunks that are loud enough; a batch is a pure function of seed and
    step.
    """

    def __init__(self, recordings: Mapping[str, LongRecording], settings: BlowSettings, seed: int) -> None:
        self.recordings = list(recordings.values())
        self.settings = settings
        self.seed = seed
        self.key = content_key([recording.key for recording in self.recordings])
        self.chunks = [
            (speaker, start)
            for speaker, recording in enumerate(self.recordings)
            for start in range(0, len(recording) - settings.chunk + 1, settings.chunk)
            if np.sqrt(np.mean(recording.crop(start, settings.chunk) ** 2)) >= settings.quiet
        ]
        if not self.chunks:
            raise InputError("nobody's speech is loud enough to train on")
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor]:
        size, length = self.settings.batch_size, self.settings.chunk
        generator = np.random.default_rng([self.seed, step, rank])
        first = (step * world + rank) * size
        chosen = [self.chunk(position) for position in range(first, first + size)]
        jitter = generator.integers(-length // 2, length // 2, size)
        chunks = np.empty((size, length), dtype=np.float32)
        for item, (speaker, start) in enumerate(chosen):
            recording = self.recordings[speaker]
            begin = min(max(0, start + int(jitter[item])), len(recording) - length)
            chunks[item] = recording.crop(begin, length)
        strength = self.settings.emphasis
        chunks = emphasize(chunks, generator.uniform(-strength, strength, size))
        peaks = generator.uniform(-1, 1, (size, 1)) / (np.abs(chunks).max(axis=1, keepdims=True) + 1e-7)
        speakers = torch.tensor([speaker for speaker, _ in chosen])
        return torch.from_numpy((chunks * peaks).astype(np.float32)), speakers

    def chunk(self, position: int) -> tuple[int, int]:
        """Speaker and first sample of the chunk at a position of the endless sequence of epochs."""
        epoch, place = divmod(position, len(self.chunks))
        return self.chunks[int(self._order_of(epoch)[place])]

    def _order_of(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.chunks))
        return self._order


class BlowModule(L.LightningModule):
    """Training step: likelihood of the chunks under their speakers."""

    def __init__(self, network: BlowNetwork, settings: BlowSettings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
        bits = bits_per_dimension(*self.network(*batch))
        self.log("bits_per_dimension", bits)
        return bits * math.log(2)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.settings.learning_rate)


@register
class Blow(System):
    """One flow for all voices that it was trained on."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="blow",
        title="Blow (normalising flow on raw audio)",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Serra et al.: Blow: a single-scale hyperconditioned flow for non-parallel raw-audio voice "
        "conversion, NeurIPS 2019",
        needs=frozenset({"speakers"}),
    )
    settings: BlowSettings

    def __init__(self, settings: BlowSettings, speakers: Sequence[str] = ()) -> None:
        self.settings = settings
        self.speakers = list(speakers)
        self.network = BlowNetwork(settings, len(self.speakers))

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of all speakers, sources and targets.

        Raises:
            InputError: fewer than two speakers can be used.
        """
        recordings = speaker_recordings(
            clips, waveform_arrays, {}, trainer, field="waveform", shortest=self.settings.chunk
        )
        self.speakers = list(recordings)
        data = SpeechChunks(recordings, self.settings, trainer.seed)
        with seeded(trainer.seed):
            self.network = BlowNetwork(self.settings, len(self.speakers))
        # Before processes are started: all of them must normalise alike.
        with torch.no_grad():
            self.network.train()(*data.batch(0, 0, 1))
        record = train(BlowModule(self.network, self.settings), data, trainer)
        self.network.eval().cpu()
        return record

    def convert_waveform(self, samples: np.ndarray, source: str, target: str) -> np.ndarray:
        """Convert a signal at 16 kHz and at the house's level from one known speaker to another.

        Args:
            samples: shape (n,).
            source: who speaks.
            target: who shall speak.

        Returns:
            Samples of the same shape, within -1 to 1.
        """
        chunk, hop = self.settings.chunk, self.settings.chunk // 2
        padded = np.pad(samples, (hop, hop + -samples.size % hop))
        frames = torch.from_numpy(np.lib.stride_tricks.sliding_window_view(padded, chunk)[::hop].copy())
        device = self.network.embedding.weight.device
        voices = [torch.tensor([self.speakers.index(name)], device=device) for name in (source, target)]
        self.network.eval()
        converted = np.zeros(padded.size, dtype=np.float32)
        window = torch.hann_window(chunk).numpy()
        with torch.inference_mode():
            for first in range(0, len(frames), CHUNKS_AT_ONCE):
                some = frames[first : first + CHUNKS_AT_ONCE].to(device)
                values, _ = self.network(some, voices[0].expand(len(some)))
                found = self.network.inverse(values, voices[1].expand(len(some))).cpu().numpy()
                for number, frame in enumerate(soft_limit(found), first):
                    converted[number * hop : number * hop + chunk] += window * frame
        return converted[hop : hop + samples.size]

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the voice of a speaker of the training.

        Raises:
            MediaError: ``missing`` when source or target was not in the training, or the source cannot be
                used.
        """
        for role, name in (("source", trial.source.speaker), ("target", trial.target)):
            if name not in self.speakers:
                raise MediaError(
                    "missing", f"{role} {name} was not in the training; known: {', '.join(self.speakers)}"
                )
        samples = clip_waveform(trial.source)
        return Output(audio=Audio(self.convert_waveform(samples, trial.source.speaker, trial.target), RATE))

    def save(self, directory: Path) -> None:
        config = {"speakers": self.speakers, "settings": asdict(self.settings)}
        save_network(directory, self.network, config)

    @classmethod
    def load(cls, directory: Path) -> "Blow":
        with reading_saved(directory, "trained Blow"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(BlowSettings, config["settings"]), config["speakers"])
            system.network.load_state_dict(load_file(directory / "weights.safetensors"))
        return system
