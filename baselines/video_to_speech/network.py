"""Encoder, temporal module, decoder: one network for sound and for pictures, so that a decoder fits both."""

from torch import Tensor, nn

from doppelbench.baselines.speaker_encoder import EMBEDDING_SIZE
from doppelbench.baselines.video_to_speech.audio_encoder import AudioEncoder
from doppelbench.baselines.video_to_speech.modality_norm import Modality, start_from_audio, use_modality
from doppelbench.baselines.video_to_speech.settings import VideoToSpeechSettings
from doppelbench.baselines.video_to_speech.talking_clips import SpeechBatch
from doppelbench.baselines.video_to_speech.temporal_module import TemporalModule
from doppelbench.baselines.video_to_speech.video_encoder import VideoEncoder


class SpeechNetwork(nn.Module):
    """Sound or pictures to what a decoder makes of them.

    The autoencoder of sound is told no identity: what it hears has a voice.
    """

    def __init__(self, settings: VideoToSpeechSettings, modality: Modality, decoder: nn.Module) -> None:
        super().__init__()
        self.modality = modality
        self.frozen = False
        self.encoder: nn.Module
        if modality == "audio":
            self.encoder = AudioEncoder(
                settings.mel.n_mels, settings.audio_channels, settings.codes, settings.frames
            )
        else:
            self.encoder = VideoEncoder(settings.stem, settings.widths, settings.codes)
        identity = EMBEDDING_SIZE if modality == "video" else 0
        self.temporal = TemporalModule(
            settings.codes, identity, settings.cells, settings.layers, settings.repeats
        )
        self.decoder = decoder
        use_modality(decoder, modality)

    def states(self, batch: SpeechBatch) -> Tensor:
        """What the decoder decodes, shape (batch, pictures * repeats, 2 * cells)."""
        seen = batch.mel if self.modality == "audio" else batch.pictures
        return self.temporal(self.encoder(seen), batch.identity)

    def forward(self, batch: SpeechBatch) -> Tensor:
        """What the decoder makes of a batch, of whose speech a video encoder sees nothing."""
        return self.decoder(self.states(batch))

    def take_decoder(self, pretrained: "SpeechNetwork", *, frozen: bool) -> None:
        """Start from the decoder of an autoencoder of sound.

        Args:
            pretrained: of the same decoder.
            frozen: keep weights and statistics of the decoder, and what it drops in training, as they are.
        """
        self.decoder.load_state_dict(pretrained.decoder.state_dict())
        start_from_audio(self.decoder)
        self.frozen = frozen
        self.decoder.requires_grad_(not frozen)
        # Lightning trains in the mode that it finds.
        self.train(self.training)

    def train(self, mode: bool = True) -> "SpeechNetwork":
        """Switch between training and use; a frozen decoder is always in use."""
        super().train(mode)
        if self.frozen:
            self.decoder.eval()
        return self
