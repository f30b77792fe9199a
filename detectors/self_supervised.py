"""A self-supervised speech model as the front end, with a linear or a graph back end.

Linear: the layers of a frozen front end are averaged with learned weights, then over time, and go through one
linear layer, as in SUPERB (S. Yang et al., Interspeech 2021) and its variant for spoofed speech. Graphs: the
output of a front end that is trained along goes through a linear layer of 128 and, as a picture of 128
bands, through residual blocks and the graphs of AASIST (H. Tak et al., "Automatic speaker verification
spoofing and deepfake detection using wav2vec 2.0 and data augmentation", Odyssey 2022).

No weights come with the suite. ``weights`` names a safetensors file with the state dict of a torchaudio model
of the ``architecture``: wav2vec 2.0, HuBERT, XLS-R or WavLM, such as
``safetensors.torch.save_file(torchaudio.pipelines.WAV2VEC2_BASE.get_model().state_dict(), path)`` writes it.
Only ``tiny``, which is for tests, begins with random weights.

Where paper, released code and this differ:

* the published systems train with RawBoost augmentation; none here;
* the graph back end of the released code takes nodes from the spectrogram by learned attention; here by the
  largest magnitude, as AASIST does;
* the released code hands on the waveform as it is, though XLS-R was trained on waveforms of mean 0 and
  deviation 1; ``normalize`` does as the front end was trained, and is on for the architectures with layer
  norm in their extractor;
* the score is the difference of the logits; see also the differences in
  :mod:`doppelbench.detectors.aasist`.

``paper`` is XLS-R with 300 million parameters and graphs; ``small`` a frozen wav2vec 2.0 base with a linear
layer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from doppelbench.corpora.errors import DependencyError, DoppelbenchError, InputError
from doppelbench.detectors.aasist import GraphSettings, SpectroTemporalGraphs
from doppelbench.detectors.detector import DetectorSpec
from doppelbench.detectors.losses import TwoLogits
from doppelbench.detectors.network_detector import DetectorNetwork, NetworkDetector, NetworkSettings
from doppelbench.detectors.registry import register
from doppelbench.detectors.saving import save_detector

BANDS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfSupervisedSettings(NetworkSettings):
    """Hyperparameters; the defaults are those of XLS-R with graphs.

    Attributes:
        architecture: of the front end, of ``FRONT_ENDS``.
        weights: safetensors file of the front end; empty only for ``tiny``.
        frozen: whether the front end stays as it is.
        normalize: whether it hears waveforms of mean 0 and deviation 1.
        back_end: ``linear`` or ``graphs``.
    """

    architecture: str = "wav2vec2-xlsr-300m"
    weights: str = ""
    frozen: bool = False
    normalize: bool = True
    back_end: Literal["linear", "graphs"] = "graphs"
    graphs: GraphSettings = field(default_factory=lambda: GraphSettings(time_pool=1))
    batch_size: int = 14
    balanced: bool = False
    class_weights: tuple[float, float] = (0.1, 0.9)
    learning_rate: float = 1e-6
    max_steps: int = 180_000

    def __post_init__(self) -> None:
        """Refuse an architecture or a back end that there is not.

        Raises:
            DoppelbenchError: see :class:`NetworkSettings`; or there is no such part.
        """
        NetworkSettings.__post_init__(self)
        if self.architecture not in FRONT_ENDS:
            raise DoppelbenchError(
                f"architecture is {self.architecture!r}; it must be one of {', '.join(FRONT_ENDS)}"
            )
        if self.back_end not in ("linear", "graphs"):
            raise DoppelbenchError(f"back_end is {self.back_end!r}; it must be 'linear' or 'graphs'")


def _published(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchaudio

        model: nn.Module = getattr(torchaudio.models, name)(encoder_layer_drop=0.0)
        return model

    return make


def _tiny() -> nn.Module:
    import torchaudio

    model: nn.Module = torchaudio.models.wav2vec2_model(
        extractor_mode="layer_norm",
        extractor_conv_layer_config=[(16, 10, 5), (16, 8, 4), (16, 4, 4), (16, 4, 4)],
        extractor_conv_bias=True,
        encoder_embed_dim=16,
        encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=8,
        encoder_pos_conv_groups=2,
        encoder_num_layers=2,
        encoder_num_heads=2,
        encoder_attention_dropout=0.0,
        encoder_ff_interm_features=32,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0,
        encoder_layer_norm_first=True,
        encoder_layer_drop=0.0,
        aux_num_out=None,
    )
    return model


# Maker, width and number of layers by name.
FRONT_ENDS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "tiny": (_tiny, 16, 2),
    "wav2vec2-base": (_published("wav2vec2_base"), 768, 12),
    "wav2vec2-large": (_published("wav2vec2_large"), 1024, 24),
    "wav2vec2-large-lv60k": (_published("wav2vec2_large_lv60k"), 1024, 24),
    "wav2vec2-xlsr-300m": (_published("wav2vec2_xlsr_300m"), 1024, 24),
    "hubert-base": (_published("hubert_base"), 768, 12),
    "hubert-large": (_published("hubert_large"), 1024, 24),
    "wavlm-base": (_published("wavlm_base"), 768, 12),
    "wavlm-large": (_published("wavlm_large"), 1024, 24),
}

PAPER = SelfSupervisedSettings()
SMALL = replace(
    PAPER,
    architecture="wav2vec2-base",
    frozen=True,
    normalize=False,
    back_end="linear",
    crop=32_000,
    balanced=True,
    class_weights=(0.5, 0.5),
    batch_size=16,
    learning_rate=1e-3,
    max_steps=1000,
)
TINY = replace(
    SMALL,
    architecture="tiny",
    frozen=False,
    normalize=True,
    crop=8000,
    batch_size=8,
    learning_rate=5e-3,
    max_steps=60,
)


class SelfSupervisedBody(nn.Module):
    """Waveforms (batch, samples) to embeddings (batch, width)."""

    def __init__(self, settings: SelfSupervisedSettings) -> None:
        super().__init__()
        make, features, layers = FRONT_ENDS[settings.architecture]
        self.settings = settings
        self.front_end: Any = make().requires_grad_(not settings.frozen)
        if settings.back_end == "linear":
            self.layer_weights = nn.Parameter(torch.zeros(layers))
            self.width = features
        else:
            self.bands = nn.Linear(features, BANDS)
            self.graphs = SpectroTemporalGraphs(settings.graphs, BANDS)
            self.width = 5 * settings.graphs.graph_widths[1]

    def train(self, mode: bool = True) -> "SelfSupervisedBody":
        """Keep a frozen front end as it is used, without dropout."""
        super().train(mode)
        if self.settings.frozen:
            self.front_end.eval()
        return self

    def forward(self, waveforms: Tensor) -> Tensor:
        if self.settings.normalize:
            waveforms = torch.nn.functional.layer_norm(waveforms, waveforms.shape[-1:])
        if self.settings.back_end == "linear":
            layers: list[Tensor] = self.front_end.extract_features(waveforms)[0]
            weights = self.layer_weights.softmax(dim=0)
            together = sum(weight * layer for weight, layer in zip(weights, layers, strict=True))
            return torch.as_tensor(together).mean(dim=1)
        # Unlike the last of the layers, the output has gone through the last norm.
        output = self.front_end(waveforms)[0]
        embedding: Tensor = self.graphs(self.bands(output).transpose(1, 2)[:, None])
        return embedding


def read_front_end(front_end: nn.Module, path: Path, architecture: str) -> None:
    """Put the weights of a safetensors file into a front end; those of an output layer are passed over.

    Raises:
        DependencyError: the file is not there.
        InputError: it is damaged or of another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise DependencyError(f"{path}: there is no such file of weights of {architecture}")
    try:
        tensors = {name: value for name, value in load_file(path).items() if not name.startswith("aux.")}
        front_end.load_state_dict(tensors)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: does not hold the weights of {architecture} ({reason})") from None


@register
class SelfSupervised(NetworkDetector):
    """A back end on a self-supervised front end."""

    spec: ClassVar[DetectorSpec] = DetectorSpec(
        name="self-supervised",
        title="Self-supervised front end with a linear or a graph back end",
        presets={"tiny": TINY, "small": SMALL, "paper": PAPER},
        paper="Tak et al.: Automatic Speaker Verification Spoofing and Deepfake Detection Using wav2vec 2.0 "
        "and Data Augmentation, Odyssey 2022",
    )
    settings_class = SelfSupervisedSettings
    settings: SelfSupervisedSettings

    @classmethod
    def build(cls, settings: SelfSupervisedSettings) -> DetectorNetwork:
        """Make the network with a random front end."""
        body = SelfSupervisedBody(settings)
        return DetectorNetwork(body, TwoLogits(body.width))

    def start(self) -> DetectorNetwork:
        """Make the network with the weights of the front end.

        Raises:
            DependencyError: no file of weights is named, or it is not there.
            InputError: the file does not fit.
        """
        settings = self.settings
        if not settings.weights and settings.architecture != "tiny":
            raise DependencyError(
                f"the front end {settings.architecture} needs its weights: name a safetensors file in "
                "'weights' (detectors/self_supervised.py says how to make one)"
            )
        network = self.build(settings)
        if settings.weights:
            front_end: Any = network.body.front_end
            read_front_end(front_end, Path(settings.weights), settings.architecture)
        return network

    def save(self, directory: Path) -> None:
        """Write all weights, those of the front end too; where they came from is not kept."""
        settings = replace(self.settings, weights="")
        save_detector(directory, self.spec.name, settings, self.fitted().state_dict())
