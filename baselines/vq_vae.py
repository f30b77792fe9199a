"""VQ-VAE: speech as a sequence of discrete codes, and a decoder that is told who speaks.

A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NIPS 2017. The authors
released no code for sound. ``paper`` has the sizes and rules of the ZeroSpeech model of B. van Niekerk, L.
Nortje, H. Kamper ("Vector-quantized neural networks for acoustic unit discovery in the ZeroSpeech 2020
challenge", Interspeech 2020), the widely used re-implementation.

Architecture: an encoder of five convolutions of 768 channels over log-mel features, one of stride 2, gives 50
vectors of 64 a second, each replaced by the nearest of 512 codes. Codes, repeated to frame rate, and an
embedding of the speaker go through a 2-layer bidirectional GRU of 128 cells; repeated to sample rate they
condition an autoregressive GRU of 896 cells over 8-bit mu-law samples. Encoder 7.91 M, decoder 4.65 M
parameters with 102 speakers.

Losses: the decoder's cross-entropy and 0.25 times the commitment of the encoder to its codes, whose gradient
passes the quantiser straight through. Codes are exponential moving averages of what is assigned to them. Time
jitter: in training every code may be replaced by a neighbour's. How many codes are in use is logged:
``used_codes`` and ``perplexity`` of each batch.

To convert, the codes of the source are decoded with the target's embedding.

Where papers and code differ, and what is chosen:

* encoder: the first paper's is six strided convolutions over raw sound (64 times), the later one's is over
  features; the later is kept. Its code book is learned by gradient in the first paper, by moving averages in
  the later (and in the first's appendix);
* decoder: a WaveNet with a one-hot speaker in the first paper, a GRU with a learned embedding in the later;
* jitter: 0.12 where it was proposed (Chorowski et al. 2019), 0.5 in the later code, which is the default;
* features of ``paper``: window 400, hop 160, 2048 bins, from 50 Hz, pre-emphasis on the features alone, as in
  the later code; the floor is 80 dB below a fixed level instead of the loudest bin, since the level of all
  speech is the same here. Its convolutions are padded throughout.

``small`` and ``tiny`` use the house's features (40 codes a second), narrower networks, and 256 codes with a
shorter memory, of which the unused are restarted where the encoder is (P. Dhariwal et al., "Jukebox", 2020;
without it 4 codes were left after 100 steps). They predict pre-emphasised sound. Their ``decoder`` is
``mel``, a departure: it predicts the mel spectrum (L1) from the same conditioning by three convolutions, and
the vocoder that all systems share speaks it. ``decoder="waveform"`` is the published one. On the built-in
corpus 1,500 steps with the mel decoder gave a speaker-classification accuracy of 100 %, 12.5 % word errors
and a mel-cepstral distortion of 6.7 dB (16 trials). A step of the waveform decoder costs several times as
much: the 36 that three minutes allowed on a busy core gave 0 %, 100 % and 12.4 dB (8 trials), noise.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning as L
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from doppelbench.baselines.common import (
    LongRecording,
    check_sizes,
    clip_log_mel,
    reading_saved,
    save_network,
    speaker_recordings,
)
from doppelbench.baselines.registry import register
from doppelbench.baselines.system import Output, System, SystemSpec
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.baselines.vocoders.neural import (
    draw_uniforms,
    mu_law_decode,
    mu_law_encode,
    sound_arrays,
)
from doppelbench.baselines.vocoders.vocoder import Vocoder
from doppelbench.corpora.clip import Clip, Trial
from doppelbench.corpora.errors import DoppelbenchError, MediaError
from doppelbench.corpora.features import MelSettings, deemphasize
from doppelbench.corpora.media import Audio
from doppelbench.engine.saving import settings_from_dict
from doppelbench.engine.trainer import TrainerSettings, TrainingRecord, seeded, train

# Frames a code stands for.
STRIDE = 2
# Keeps codes that nothing is assigned to from dividing by zero.
SMOOTHING = 1e-5
# Samples whose conditioning is computed at a time.
CHUNK = 4000


@dataclass(frozen=True, slots=True)
class VQVAESettings:
    """Hyperparameters; the defaults are those of the ZeroSpeech model.

    Attributes:
        channels: of the encoder.
        codes: entries of the code book.
        code_size: their width.
        commitment: weight of the encoder's distance to its codes.
        decay: of the moving averages of the code book.
        restart_below: a code whose average count a batch falls below this is put where a vector of the batch
            is; 0 for never.
        jitter: probability that a code is replaced by one of its neighbours.
        speaker_size: width of a speaker's embedding.
        condition_cells: of each direction of the GRU over codes.
        decoder: autoregressive over the ``waveform``, or ``mel``.
        mel_channels: of the convolutions of the mel decoder.
        cells: of the autoregressive GRU.
        dense: of the layer after it.
        embedding: width of the embedding of the previous sample.
        bits: of the mu-law classes.
        gain: factor before companding.
        emphasis: pre-emphasis of the samples that are predicted.
        temperature: divides the scores before a sample is drawn.
        crop_frames: length of a training crop.
        batch_size: crops a step.
        learning_rate: of Adam.
        halve_at: steps at which the learning rate is halved.
        max_steps: of training.
        mel: the features.
        griffin_lim: of the vocoder behind the mel decoder.
    """

    channels: int = 768
    codes: int = 512
    code_size: int = 64
    commitment: float = 0.25
    decay: float = 0.999
    restart_below: float = 0.0
    jitter: float = 0.5
    speaker_size: int = 64
    condition_cells: int = 128
    decoder: Literal["waveform", "mel"] = "waveform"
    mel_channels: int = 256
    cells: int = 896
    dense: int = 256
    embedding: int = 256
    bits: int = 8
    gain: float = 1.5
    emphasis: float = 0.0
    temperature: float = 1.0
    crop_frames: int = 32
    batch_size: int = 52
    learning_rate: float = 4e-4
    halve_at: tuple[int, ...] = (300_000, 400_000)
    max_steps: int = 500_000
    mel: MelSettings = field(
        default_factory=lambda: MelSettings(
            n_fft=2048, window=400, hop=160, low_hz=50.0, min_db=-80.0, max_db=20.0
        )
    )
    griffin_lim: GriffinLimSettings = field(default_factory=GriffinLimSettings)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: a number out of range.
        """
        shares = ("jitter", "emphasis", "restart_below")
        for name in shares:
            if not 0 <= getattr(self, name) < 1:
                raise DoppelbenchError(f"{name} is {getattr(self, name)}; it must be in 0 to 1, below 1")
        check_sizes(self, other=shares)
        if self.crop_frames % STRIDE:
            raise DoppelbenchError(f"crop_frames is {self.crop_frames}; it must be a multiple of {STRIDE}")
        if self.decoder not in ("waveform", "mel"):
            raise DoppelbenchError(f"decoder is {self.decoder!r}; it must be 'waveform' or 'mel'")
        # A list is what JSON makes of a tuple.
        object.__setattr__(self, "halve_at", tuple(self.halve_at))


PAPER = VQVAESettings()
SMALL = replace(
    PAPER,
    channels=192,
    codes=256,
    decay=0.95,
    restart_below=0.3,
    condition_cells=64,
    decoder="mel",
    cells=128,
    dense=128,
    emphasis=0.97,
    crop_frames=64,
    batch_size=16,
    learning_rate=1e-3,
    halve_at=(900, 1200, 1350),
    max_steps=1500,
    mel=MelSettings(),
)
TINY = replace(
    SMALL,
    channels=16,
    codes=16,
    code_size=8,
    speaker_size=4,
    condition_cells=4,
    mel_channels=16,
    cells=16,
    dense=16,
    embedding=16,
    crop_frames=16,
    batch_size=4,
    max_steps=20,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)


class Encoder(nn.Module):
    """Features (batch, frames, bands) to vectors (batch, frames / 2, code size)."""

    def __init__(self, settings: VQVAESettings) -> None:
        super().__init__()
        width = settings.channels
        layers: list[nn.Module] = []
        for number, (inputs, kernel) in enumerate(
            [(settings.mel.n_mels, 3), (width, 3), (width, 4), (width, 3), (width, 3)]
        ):
            stride = STRIDE if number == 2 else 1
            layers += [
                nn.Conv1d(inputs, width, kernel, stride=stride, padding=1, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, settings.code_size, 1))

    def forward(self, mel: Tensor) -> Tensor:
        return self.layers(mel.transpose(1, 2)).transpose(1, 2)


class Codebook(nn.Module):
    """Nearest codes, kept as moving averages of the vectors that are assigned to them."""

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, settings: VQVAESettings) -> None:
        super().__init__()
        self.settings = settings
        shape = (settings.codes, settings.code_size)
        self.register_buffer("codes", torch.empty(shape).uniform_(-1 / settings.codes, 1 / settings.codes))
        self.register_buffer("counts", torch.zeros(settings.codes))
        self.register_buffer("sums", self.codes.clone())

    def assign(self, vectors: Tensor) -> Tensor:
        """Numbers of the nearest codes, shape of ``vectors`` without its last axis."""
        flat = vectors.detach().flatten(0, -2).float()
        return torch.cdist(flat[None], self.codes[None])[0].argmin(-1).view(vectors.shape[:-1])

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise (batch, codes, size) with a straight-through gradient.

        Returns:
            Codes of the same shape, the commitment loss without its weight, and the numbers (batch, codes).
        """
        chosen = self.assign(vectors)
        quantized = F.embedding(chosen, self.codes)
        if self.training:
            self._update(vectors.detach(), chosen)
        commitment = F.mse_loss(vectors, quantized)
        return vectors + (quantized - vectors).detach(), commitment, chosen

    @torch.no_grad()
    def _update(self, vectors: Tensor, chosen: Tensor) -> None:
        flat, labels, decay = vectors.flatten(0, -2).float(), chosen.flatten(), self.settings.decay
        counts = torch.bincount(labels, minlength=self.settings.codes).float()
        sums = torch.zeros_like(self.sums).index_add_(0, labels, flat)
        self.counts.mul_(decay).add_(counts, alpha=1 - decay)
        self.sums.mul_(decay).add_(sums, alpha=1 - decay)
        total = self.counts.sum()
        smoothed = (self.counts + SMOOTHING) / (total + self.settings.codes * SMOOTHING) * total
        self.codes.copy_(self.sums / smoothed[:, None])
        unused = self.counts < self.settings.restart_below
        picked = flat[torch.randint(len(flat), (self.settings.codes,), device=flat.device)]
        self.codes[unused] = self.sums[unused] = picked[unused]
        self.counts[unused] = 1


def jitter_times(count: int, probability: float, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Which code stands at each time: itself, or with half the probability each the one before or after."""
    drawn = torch.rand(*shape, count, device=device)
    shift = (drawn > 1 - probability / 2).long() - (drawn < probability / 2).long()
    return (torch.arange(count, device=device) + shift).clamp(0, count - 1)


class Condition(nn.Module):
    """Codes and speakers to frame rate: (batch, codes, size) and (batch,) to (batch, frames, 2 * cells)."""

    def __init__(self, settings: VQVAESettings, speakers: int) -> None:
        super().__init__()
        self.speakers = nn.Embedding(speakers, settings.speaker_size)
        self.gru = nn.GRU(
            settings.code_size + settings.speaker_size,
            settings.condition_cells,
            num_layers=2,
            batch_first=True,
            bidirectional=True,
        )

    def forward(self, codes: Tensor, speakers: Tensor) -> Tensor:
        repeated = codes.repeat_interleave(STRIDE, dim=1)
        spoken = self.speakers(speakers)[:, None].expand(-1, repeated.shape[1], -1)
        return self.gru(torch.cat([repeated, spoken], dim=-1))[0]


class WaveformDecoder(nn.Module):
    """Autoregressive GRU over mu-law samples."""

    # Torch does not declare the types of a recurrent layer's weights.
    gru: Any

    def __init__(self, settings: VQVAESettings, speakers: int) -> None:
        super().__init__()
        self.settings = settings
        self.classes = 2**settings.bits
        self.condition = Condition(settings, speakers)
        self.embedding = nn.Embedding(self.classes, settings.embedding)
        self.gru = nn.GRU(settings.embedding + 2 * settings.condition_cells, settings.cells, batch_first=True)
        self.dense = nn.Linear(settings.cells, settings.dense)
        self.final = nn.Linear(settings.dense, self.classes)

    def forward(self, previous: Tensor, condition: Tensor) -> Tensor:
        """Scores (batch, samples, classes) given labels before (batch, samples) and the condition at frame
        rate."""
        given = condition.repeat_interleave(self.settings.mel.hop, dim=1)[:, : previous.shape[1]]
        hidden, _ = self.gru(torch.cat([self.embedding(previous), given], dim=-1))
        return self.final(F.relu(self.dense(hidden)))

    def loss(self, codes: Tensor, speakers: Tensor, mel: Tensor, sound: Tensor) -> Tensor:
        """Cross-entropy of the samples, in nats."""
        labels = mu_law_encode((sound * self.settings.gain).clamp(-1, 1), self.classes)
        previous = F.pad(labels[:, :-1], (1, 0), value=self.classes // 2)
        scores = self(previous, self.condition(codes, speakers))
        return F.cross_entropy(scores.flatten(0, 1).float(), labels.flatten())

    @torch.inference_mode()
    def walk(
        self, condition: Tensor, uniforms: np.ndarray, forced: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Go sample by sample with the compiled loop, on the CPU.

        Args:
            condition: at frame rate (frames, 2 * cells).
            uniforms: (samples, 2) in (0, 1).
            forced: labels (samples,) to take instead of drawn ones; the scores are returned then.

        Returns:
            Labels (samples,), float32, and scores (samples, classes) or an empty array.
        """
        from doppelbench.baselines.vocoders.kernels import run_gru

        count, hop = len(uniforms), self.settings.mel.hop
        own, rest = self.gru.weight_ih_l0.split([self.settings.embedding, condition.shape[-1]], dim=1)
        weights = [
            self.embedding.weight @ own.T,
            self.gru.weight_hh_l0.T,
            self.gru.bias_hh_l0,
            self.dense.weight.T,
            self.dense.bias,
            self.final.weight.T,
            self.final.bias,
        ]
        arrays = [np.ascontiguousarray(weight.cpu().numpy()) for weight in weights]
        added = F.linear(condition, rest, self.gru.bias_ih_l0).cpu().numpy()
        state = np.zeros(self.settings.cells, np.float32)
        labels = np.empty(count, np.float32)
        scores = np.empty((0 if forced is None else count, self.classes), np.float32)
        previous = np.float32(self.classes // 2)
        for start in range(0, count, CHUNK):
            part = slice(start, min(start + CHUNK, count))
            previous = run_gru(
                *arrays,
                np.ascontiguousarray(added[np.arange(part.start, part.stop) // hop]),
                np.float32(self.settings.temperature),
                uniforms[part],
                np.empty(0, np.float32) if forced is None else forced[part].astype(np.float32),
                state,
                previous,
                labels[part],
                scores[part],
            )
        return labels, scores


class MelDecoder(nn.Module):
    """Mel spectrum from the same conditioning, all frames at once; a departure from the papers."""

    def __init__(self, settings: VQVAESettings, speakers: int) -> None:
        super().__init__()
        self.condition = Condition(settings, speakers)
        width, layers = settings.mel_channels, []
        for inputs in (2 * settings.condition_cells, width, width):
            layers += [nn.Conv1d(inputs, width, 5, padding=2, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, settings.mel.n_mels, 1))

    def forward(self, codes: Tensor, speakers: Tensor) -> Tensor:
        """Features (batch, frames, bands) of codes (batch, codes, size)."""
        return self.layers(self.condition(codes, speakers).transpose(1, 2)).transpose(1, 2)

    def loss(self, codes: Tensor, speakers: Tensor, mel: Tensor, sound: Tensor) -> Tensor:
        """Mean absolute error of the features."""
        predicted = self(codes, speakers)
        if predicted.shape != mel.shape:
            raise ValueError(f"reconstruction {tuple(predicted.shape)} of features {tuple(mel.shape)}")
        return F.l1_loss(predicted, mel)


class VQVAENetwork(nn.Module):
    """Encoder, code book and decoder for a number of speakers."""

    def __init__(self, settings: VQVAESettings, speakers: int) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings)
        self.codebook = Codebook(settings)
        kind = WaveformDecoder if settings.decoder == "waveform" else MelDecoder
        self.decoder: WaveformDecoder | MelDecoder = kind(settings, speakers)

    def encode(self, mel: Tensor) -> Tensor:
        """Numbers of the codes (batch, frames / 2) of features (batch, frames, bands), as in conversion."""
        return self.codebook.assign(self.encoder(mel))

    def losses(self, mel: Tensor, sound: Tensor, speakers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction loss, commitment loss without its weight, and the numbers of the codes."""
        quantized, commitment, chosen = self.codebook(self.encoder(mel))
        if self.training:
            times = jitter_times(
                quantized.shape[1], self.settings.jitter, (len(quantized),), quantized.device
            )
            quantized = quantized.gather(1, times[..., None].expand_as(quantized))
        return self.decoder.loss(quantized, speakers, mel, sound), commitment, chosen


def code_usage(chosen: Tensor, codes: int) -> tuple[float, float]:
    """How many codes occur, and the exponential of the entropy of their frequencies (1 to ``codes``)."""
    counts = torch.bincount(chosen.flatten(), minlength=codes).double()
    shares = counts[counts > 0] / counts.sum()
    return float((counts > 0).sum()), float(torch.exp(-(shares * shares.log()).sum()))


class VQVAEModule(L.LightningModule):
    """Training step: reconstruction and commitment; the code book follows by itself."""

    def __init__(self, network: VQVAENetwork, settings: VQVAESettings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> Tensor:
        reconstruction, commitment, chosen = self.network.losses(*batch)
        used, perplexity = code_usage(chosen, self.settings.codes)
        self.log("reconstruction", reconstruction)
        self.log("commitment", commitment)
        self.log("used_codes", used)
        self.log("perplexity", perplexity)
        return reconstruction + self.settings.commitment * commitment

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.settings.learning_rate)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(self.settings.halve_at), gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class SpeakerCrops:
    """Batches of crops of random speakers: features, samples, numbers of the speakers."""

    def __init__(
        self,
        features: Mapping[str, LongRecording],
        sound: Mapping[str, LongRecording],
        settings: VQVAESettings,
        seed: int,
    ) -> None:
        self.features = list(features.values())
        self.sound = [sound[name] for name in features]
        self.settings = settings
        self.seed = seed
        self.key = "|".join(recording.key for recording in self.features)

    def batch(self, step: int, rank: int, world: int) -> tuple[Tensor, Tensor, Tensor]:
        frames = self.settings.crop_frames
        generator = np.random.default_rng([self.seed, step, rank])
        speakers = generator.integers(0, len(self.features), self.settings.batch_size)
        mels, sounds = [], []
        for speaker in speakers:
            start = int(generator.integers(0, len(self.features[speaker]) - frames + 1))
            mels.append(self.features[speaker].crop(start, frames))
            sounds.append(self.sound[speaker].crop(start, frames).reshape(-1))
        return (
            torch.from_numpy(np.stack(mels)),
            torch.from_numpy(np.stack(sounds)),
            torch.from_numpy(speakers),
        )


@register
class VQVAE(System):
    """One model of all voices; converts anyone into the speakers it was trained on."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="vq-vae",
        title="VQ-VAE",
        track="voice-conversion",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="van den Oord et al.: Neural Discrete Representation Learning, NIPS 2017",
        needs=frozenset({"speakers"}),
    )
    settings: VQVAESettings

    def __init__(self, settings: VQVAESettings) -> None:
        self.settings = settings
        self.speakers: list[str] = []
        self.network = VQVAENetwork(settings, 1)
        self.vocoder: Vocoder = GriffinLim(settings.mel, settings.griffin_lim)

    def fit(self, clips: Sequence[Clip], trainer: TrainerSettings) -> TrainingRecord:
        """Train on the clips of all speakers.

        Raises:
            InputError: fewer than two speakers can be used.
        """
        arguments = {"mel": asdict(self.settings.mel), "emphasis": self.settings.emphasis}
        features, sound = (
            speaker_recordings(
                clips, sound_arrays, arguments, trainer, field=name, shortest=self.settings.crop_frames
            )
            for name in ("mel", "sound")
        )
        self.speakers = list(features)
        with seeded(trainer.seed):
            self.network = VQVAENetwork(self.settings, len(self.speakers))
        module = VQVAEModule(self.network, self.settings)
        record = train(module, SpeakerCrops(features, sound, self.settings, trainer.seed), trainer)
        self.network.eval().cpu()
        return record

    def codes_of(self, mel: np.ndarray) -> Tensor:
        """Codes (1, codes, size) of features (frames, bands); an odd last frame is repeated."""
        padded = np.pad(mel, ((0, -len(mel) % STRIDE), (0, 0)), mode="edge")
        self.network.eval()
        with torch.inference_mode():
            device = self.network.codebook.codes.device
            chosen = self.network.encode(torch.from_numpy(padded)[None].to(device))
            return F.embedding(chosen, self.network.codebook.codes)

    def convert_features(self, mel: np.ndarray, target: str) -> np.ndarray:
        """Say features (frames, bands) as a target would; for the mel decoder.

        Raises:
            DoppelbenchError: the decoder makes samples, not features.
            MediaError: the target is not one of the speakers of the training.
        """
        if not isinstance(self.network.decoder, MelDecoder):
            raise DoppelbenchError("a vq-vae whose decoder is 'waveform' makes samples, not features")
        codes = self.codes_of(mel)
        with torch.inference_mode():
            predicted = self.network.decoder(codes, self._speaker(target, codes.device))
        return predicted[0, : len(mel)].clamp(0, 1).float().cpu().numpy()

    def convert_samples(self, mel: np.ndarray, target: str) -> Audio:
        """Say features (frames, bands) as a target would; for the waveform decoder.

        Raises:
            DoppelbenchError: the decoder makes features, not samples.
            MediaError: the target is not one of the speakers of the training.
        """
        decoder, settings = self.network.decoder, self.settings
        if not isinstance(decoder, WaveformDecoder):
            raise DoppelbenchError("a vq-vae whose decoder is 'mel' makes features, not samples")
        codes = self.codes_of(mel)
        with torch.inference_mode():
            condition = decoder.condition(codes, self._speaker(target, codes.device))[0]
        uniforms = draw_uniforms(mel, (len(mel) - 1) * settings.mel.hop)
        labels, _ = decoder.walk(condition, uniforms)
        samples = mu_law_decode(labels, decoder.classes) / settings.gain
        return Audio(deemphasize(samples, settings.emphasis), settings.mel.rate)

    def convert(self, trial: Trial) -> Output:
        """Say ``trial.source`` in the target's voice."""
        mel = clip_log_mel(trial.source, self.settings.mel)
        if self.settings.decoder == "waveform":
            return Output(audio=self.convert_samples(mel, trial.target))
        return Output(audio=self.vocoder(self.convert_features(mel, trial.target)))

    def _speaker(self, target: str, device: torch.device) -> Tensor:
        if target not in self.speakers:
            raise MediaError(
                "missing", f"vq-vae was not trained on {target}; it knows {', '.join(self.speakers)}"
            )
        return torch.tensor([self.speakers.index(target)], device=device)

    def save(self, directory: Path) -> None:
        config = {"speakers": self.speakers, "settings": asdict(self.settings)}
        save_network(directory, self.network, config)

    @classmethod
    def load(cls, directory: Path) -> "VQVAE":
        with reading_saved(directory, "trained vq-vae"):
            config = json.loads((directory / "config.json").read_text())
            system = cls(settings_from_dict(VQVAESettings, config["settings"]))
            system.speakers = list(config["speakers"])
            system.network = VQVAENetwork(system.settings, len(system.speakers))
            system.network.load_state_dict(load_file(directory / "weights.safetensors"))
        system.network.eval()
        return system
