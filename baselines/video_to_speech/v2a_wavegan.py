"""V2A-WaveGAN: silent films to samples, judged by MelGAN's discriminators of three time scales.

See :mod:`doppelbench.baselines.video_to_speech.video_to_audio` for the paper, the transfer of decoders and
what is chosen where the paper is not known. Known of this system: 24 kHz, least-squares adversarial loss,
MelGAN's discriminators. Feature matching, multi-resolution STFT, MFCC and power losses are reported of it
without formulas (:mod:`doppelbench.baselines.video_to_speech.losses`). Ours are:

* the layers of the decoder (:mod:`doppelbench.baselines.video_to_speech.waveform_decoder`) and all weights of
  losses; the adversarial one is small, which is what the paper says of its own;
* the discriminator begins after 60 % of the steps, when the spectral losses have flattened. It is made anew
  for the training on films;
* what is made in a step is the sound of some consecutive pictures of each crop, with one more picture at
  either end that the decoder sees but is not judged by;
* the networks make twice the amplitude of speech at the house's level, which leaves it room in -1 to 1.

``discriminator_scales`` of 1 is the ablation with a single discriminator. ``small`` is of 16 kHz, with the
encoder of the small V2A-MelSpec, 64 channels in the decoder and discriminators of 4 to 64.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor

from doppelbench.baselines.registry import register
from doppelbench.baselines.system import SystemSpec
from doppelbench.baselines.video_to_speech import v2a_melspec
from doppelbench.baselines.video_to_speech.discriminator import (
    MultiScaleDiscriminator,
    feature_loss,
    made_loss,
    real_loss,
)
from doppelbench.baselines.video_to_speech.losses import WaveformLosses
from doppelbench.baselines.video_to_speech.network import SpeechNetwork
from doppelbench.baselines.video_to_speech.schedule import speech_optimizer, steps_of
from doppelbench.baselines.video_to_speech.settings import VideoToSpeechSettings
from doppelbench.baselines.video_to_speech.talking_clips import SpeechBatch
from doppelbench.baselines.video_to_speech.video_to_audio import NEEDS, PAPER_TITLE, VideoToSpeech
from doppelbench.baselines.video_to_speech.waveform_decoder import WaveformDecoder
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.media import Audio

BETAS = (0.8, 0.99)
DISCRIMINATOR_BETAS = (0.5, 0.9)
# Amplitude of what the networks make over that of speech at the house's level.
GAIN = 2.0
# Pictures at either end of a part that the decoder sees and that are cut off what it makes.
CONTEXT = 1
SCALES = (1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveGANSettings(VideoToSpeechSettings):
    """Hyperparameters; those of every such system, and these of decoder and discriminators.

    Attributes:
        channels: of the decoder before its first stage.
        factors: of its stages; with ``repeats`` they make the samples of a picture.
        units: residual units of a stage.
        window_pictures: whose sound is made in a step of training.
        stft_weight: of the multi-resolution STFT loss.
        mfcc_weight: of the L1 of cepstra.
        power_weight: of the L1 of logarithmic power.
        adversarial_weight: of the adversarial loss; 0 trains no discriminator.
        feature_weight: of feature matching.
        adversarial_after: share of the steps before the discriminator begins.
        discriminator_scales: 3, or 1.
        discriminator_channels: of its first layer.
        discriminator_stages: strided layers.
        discriminator_widest: most channels of a layer.
        discriminator_rate: of Adam.
    """

    channels: int = 512
    factors: tuple[int, ...] = (8, 5, 3, 2)
    units: int = 3
    window_pictures: int = 25
    stft_weight: float = 1.0
    mfcc_weight: float = 0.2
    power_weight: float = 0.5
    adversarial_weight: float = 0.1
    feature_weight: float = 1.0
    adversarial_after: float = 0.6
    discriminator_scales: int = 3
    discriminator_channels: int = 16
    discriminator_stages: int = 4
    discriminator_widest: int = 1024
    discriminator_rate: float = 1e-4

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: names the setting.
        """
        VideoToSpeechSettings.__post_init__(self)
        object.__setattr__(self, "factors", tuple(self.factors))
        if math.prod(self.factors) * self.repeats != self.samples:
            raise DoppelbenchError(
                f"factors {self.factors} and repeats {self.repeats} make "
                f"{math.prod(self.factors) * self.repeats} samples of a picture; it lasts {self.samples}"
            )
        if self.window_pictures > self.crop_pictures:
            raise DoppelbenchError(
                f"window_pictures is {self.window_pictures}, more than crop_pictures, {self.crop_pictures}"
            )
        if self.discriminator_scales not in SCALES:
            raise DoppelbenchError(f"discriminator_scales is {self.discriminator_scales}; it must be 1 or 3")
        if self.discriminator_channels % 4:
            raise DoppelbenchError(
                f"discriminator_channels is {self.discriminator_channels}; it must be a multiple of 4"
            )

    @property
    def may_be_zero(self) -> tuple[str, ...]:
        """Names of further settings that may be 0."""
        weights = ("stft_weight", "mfcc_weight", "power_weight", "adversarial_weight", "feature_weight")
        return (*weights, "adversarial_after")

    @property
    def window(self) -> int:
        """Pictures whose sound is made in a step of training."""
        return self.window_pictures

    def weight(self, loss: str) -> float:
        """Weight of a loss by its name."""
        return float(getattr(self, f"{loss}_weight"))


PAPER = WaveGANSettings()
_SAME_AS_MELSPEC = (
    "pretrain_steps", "mouth", "crop", "stem", "widths", "codes", "audio_channels", "cells", "mask_seconds",
    "batch_size", "crop_pictures", "max_steps", "face", "mel",
)  # fmt: skip
SMALL = replace(
    PAPER,
    **{
        **{name: getattr(v2a_melspec.SMALL, name) for name in _SAME_AS_MELSPEC},
        "pretrain_steps": 800,
        "max_steps": 800,
    },
    repeats=4,
    learning_rate=2e-3,
    channels=64,
    factors=(8, 5, 4),
    units=2,
    window_pictures=16,
    discriminator_channels=4,
    discriminator_stages=3,
    discriminator_widest=64,
)
TINY = replace(
    SMALL,
    **{name: getattr(v2a_melspec.TINY, name) for name in _SAME_AS_MELSPEC},
    channels=8,
    units=1,
    window_pictures=6,
    discriminator_widest=16,
)


class WaveGANModule(L.LightningModule):
    """One step of the network, then one of the discriminators once they have begun."""

    def __init__(
        self, network: SpeechNetwork, settings: WaveGANSettings, hyperparameters: dict[str, Any]
    ) -> None:
        super().__init__()
        self.save_hyperparameters(hyperparameters)
        self.automatic_optimization = False
        self.network = network
        self.settings = settings
        self.spectral = WaveformLosses(settings.mel.rate)
        self.discriminator: MultiScaleDiscriminator | None = None
        if settings.adversarial_weight:
            self.discriminator = MultiScaleDiscriminator(
                settings.discriminator_scales,
                settings.discriminator_channels,
                settings.discriminator_stages,
                settings.discriminator_widest,
            )

    def windows(self, batch: SpeechBatch) -> tuple[Tensor, Tensor]:
        """Sound that the network makes of a part of each crop, and what is wanted there.

        Returns:
            Both of shape (batch, window_pictures * samples), range -1 to 1.
        """
        settings = self.settings
        first, last = batch.start, batch.start + settings.window_pictures
        begin, end = max(0, first - CONTEXT), last + CONTEXT
        states = self.network.states(batch)[:, begin * settings.repeats : end * settings.repeats]
        made = self.network.decoder(states)[:, (first - begin) * settings.samples :]
        wanted = batch.sound[:, first * settings.samples : last * settings.samples]
        return made[:, : wanted.shape[1]], (GAIN * wanted).clamp(-1, 1)

    def training_step(self, batch: SpeechBatch, batch_index: int) -> None:
        found = self.optimizers()
        own, *others = found if isinstance(found, list) else [found]
        made, wanted = self.windows(batch)
        losses: dict[str, Tensor] = self.spectral(made, wanted)
        judging = self.discriminator is not None and batch.step >= round(
            self.settings.adversarial_after * steps_of(self.network, self.settings)
        )
        if judging:
            assert self.discriminator is not None
            real = self.discriminator(wanted)
            # The network's step needs no gradients of the discriminators' weights.
            self.discriminator.requires_grad_(False)
            judged = self.discriminator(made)
            losses |= {"adversarial": real_loss(judged), "feature": feature_loss(judged, real)}
        total = torch.stack([self.settings.weight(name) * loss for name, loss in losses.items()]).sum()
        self._descend(own, total)
        logged = {**losses, "loss": total}
        if judging:
            assert self.discriminator is not None
            self.discriminator.requires_grad_(True)
            against = {
                "discriminator_real": real_loss(real),
                "discriminator_made": made_loss(self.discriminator(made.detach())),
            }
            self._descend(others[0], against["discriminator_real"] + against["discriminator_made"])
            logged |= against
        self.lr_schedulers().step()  # type: ignore[union-attr]
        self.log_dict(logged)

    def _descend(self, optimizer: Any, loss: Tensor) -> None:
        """One step of one network."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self) -> Any:
        settings = self.settings
        optimizer, scheduler = speech_optimizer(self.network, settings, BETAS)
        optimizers = [optimizer]
        if self.discriminator is not None:
            optimizers.append(
                torch.optim.Adam(
                    self.discriminator.parameters(), settings.discriminator_rate, DISCRIMINATOR_BETAS
                )
            )
        return optimizers, [scheduler]


@register
class WaveGAN(VideoToSpeech):
    """A decoder of samples."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="v2a-wavegan",
        title="V2A-WaveGAN (waveform decoder, pre-trained on audio)",
        track="video-to-speech",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper=PAPER_TITLE,
        needs=NEEDS,
    )
    settings_kind = WaveGANSettings
    decoder_architecture = ("channels", "factors", "units")
    settings: WaveGANSettings

    def new_decoder(self) -> WaveformDecoder:
        settings = self.settings
        return WaveformDecoder(2 * settings.cells, settings.channels, settings.factors, settings.units)

    def new_module(self, network: SpeechNetwork, hyperparameters: dict[str, Any]) -> WaveGANModule:
        return WaveGANModule(network, self.settings, hyperparameters)

    def sound(self, made: Tensor) -> Audio:
        return Audio((made / GAIN).numpy(), self.settings.mel.rate)
