"""V2A-MelSpec: silent films to a mel spectrogram by a conformer, and to sound by a vocoder.

See :mod:`doppelbench.baselines.video_to_speech.video_to_audio` for the paper, the transfer of decoders and
what is chosen where the paper is not known. Of this system in particular:

* ``paper`` has the conformer of SVTS-S (six blocks of 256, four heads, 2048 in the feed-forward layers,
  kernel 31), which the name of a published row suggests; with a video encoder of 11.2 M parameters that
  makes 28.4 M, without positions in the attention (SVTS-S has 27.3 M and no temporal module);
* losses are SVTS's, L1 and spectral convergence, of equal weight;
* the vocoder is not named; its predecessor's is a pre-trained Parallel WaveGAN. Here it is a seat
  (:mod:`doppelbench.baselines.vocoders`) with Griffin-Lim in it.

``small`` sees 32 x 32 pixels through a narrow encoder of the same depth, has two blocks of 64 that run at the
rate of the pictures and make four frames of 10 ms each, and the mel bands of the house.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import lightning as L
import numpy as np
from torch import Tensor

from doppelbench.baselines.registry import register
from doppelbench.baselines.system import SystemSpec
from doppelbench.baselines.video_to_speech.losses import mel_losses
from doppelbench.baselines.video_to_speech.mel_decoder import MelDecoder
from doppelbench.baselines.video_to_speech.network import SpeechNetwork
from doppelbench.baselines.video_to_speech.schedule import speech_optimizer
from doppelbench.baselines.video_to_speech.settings import SMALL_MEL, FaceSettings, VideoToSpeechSettings
from doppelbench.baselines.video_to_speech.talking_clips import SpeechBatch
from doppelbench.baselines.video_to_speech.video_to_audio import NEEDS, PAPER_TITLE, VideoToSpeech
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim, GriffinLimSettings
from doppelbench.baselines.vocoders.vocoder import Vocoder
from doppelbench.corpora.errors import DoppelbenchError
from doppelbench.corpora.media import Audio

BETAS = (0.9, 0.98)


@dataclass(frozen=True, slots=True, kw_only=True)
class MelSpecSettings(VideoToSpeechSettings):
    """Hyperparameters; those of every such system, and these of the decoder.

    Attributes:
        blocks: conformer blocks.
        width: of a block.
        heads: of the attention.
        feed_forward: hidden width of the feed-forward layers.
        kernel: of the depth-wise convolution, an odd number.
        dropout: in the blocks.
        griffin_lim: of the vocoder.
    """

    blocks: int = 6
    width: int = 256
    heads: int = 4
    feed_forward: int = 2048
    kernel: int = 31
    dropout: float = 0.1
    griffin_lim: GriffinLimSettings = field(default_factory=GriffinLimSettings)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have.

        Raises:
            DoppelbenchError: names the setting.
        """
        VideoToSpeechSettings.__post_init__(self)
        if self.kernel % 2 == 0:
            raise DoppelbenchError(f"kernel is {self.kernel}; it must be odd")
        if self.width % self.heads:
            raise DoppelbenchError(f"width is {self.width}; it must be a multiple of heads, {self.heads}")

    @property
    def may_be_zero(self) -> tuple[str, ...]:
        """Names of further settings that may be 0."""
        return ("dropout",)


PAPER = MelSpecSettings()
SMALL = replace(
    PAPER,
    pretrain_steps=1500,
    pretrain_rate=2e-3,
    mouth=36,
    crop=32,
    stem=8,
    widths=(8, 12, 16, 32),
    codes=64,
    audio_channels=64,
    cells=48,
    repeats=1,
    mask_seconds=0.0,
    batch_size=8,
    crop_pictures=40,
    learning_rate=2e-3,
    max_steps=1000,
    face=FaceSettings(picture=32, width=8, batch_size=32, steps=300),
    mel=SMALL_MEL,
    blocks=2,
    width=64,
    feed_forward=256,
    kernel=15,
    dropout=0.0,
)
TINY = replace(
    SMALL,
    pretrain_steps=20,
    stem=4,
    widths=(4, 8),
    codes=16,
    audio_channels=16,
    cells=8,
    batch_size=2,
    crop_pictures=10,
    max_steps=20,
    face=FaceSettings(picture=32, width=4, batch_size=4, steps=4),
    blocks=1,
    width=16,
    heads=2,
    feed_forward=32,
    kernel=7,
    griffin_lim=GriffinLimSettings(iterations=8, inversion_steps=4),
)


class MelSpecModule(L.LightningModule):
    """Training step: L1 and spectral convergence of the spectrogram, for sound and for pictures alike."""

    def __init__(
        self, network: SpeechNetwork, settings: MelSpecSettings, hyperparameters: dict[str, Any]
    ) -> None:
        super().__init__()
        self.save_hyperparameters(hyperparameters)
        self.network = network
        self.settings = settings

    def training_step(self, batch: SpeechBatch, batch_index: int) -> Tensor:
        losses = mel_losses(self.network(batch), batch.mel)
        self.log_dict(losses)
        return losses["mel_l1"] + losses["spectral_convergence"]

    def configure_optimizers(self) -> Any:
        optimizer, scheduler = speech_optimizer(self.network, self.settings, BETAS)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@register
class MelSpec(VideoToSpeech):
    """A conformer decoder and a vocoder."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        name="v2a-melspec",
        title="V2A-MelSpec (conformer decoder, pre-trained on audio)",
        track="video-to-speech",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper=PAPER_TITLE,
        needs=NEEDS,
    )
    settings_kind = MelSpecSettings
    decoder_architecture = ("blocks", "width", "heads", "feed_forward", "kernel")
    settings: MelSpecSettings

    def __init__(self, settings: MelSpecSettings) -> None:
        super().__init__(settings)
        self.vocoder: Vocoder = GriffinLim(settings.mel, settings.griffin_lim)

    def new_decoder(self) -> MelDecoder:
        settings = self.settings
        return MelDecoder(
            2 * settings.cells,
            settings.mel.n_mels,
            repeats=settings.repeats,
            frames=settings.frames,
            blocks=settings.blocks,
            width=settings.width,
            heads=settings.heads,
            feed_forward=settings.feed_forward,
            kernel=settings.kernel,
            dropout=settings.dropout,
        )

    def new_module(self, network: SpeechNetwork, hyperparameters: dict[str, Any]) -> MelSpecModule:
        return MelSpecModule(network, self.settings, hyperparameters)

    def sound(self, made: Tensor) -> Audio:
        features = made.clamp(0, 1).numpy()
        # A vocoder makes a hop of samples between frames: one frame more ends where the last picture does.
        return self.vocoder(np.concatenate([features, features[-1:]]))
