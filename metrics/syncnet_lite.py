"""SyncNet-lite: a synchronisation network of 0.2 million parameters that needs no download.

The idea is that of Chung and Zisserman (ACCV 2016 workshops): two towers embed 0.2 s of mouth pictures and
0.2 s of sound, and what belongs together lies close. Different from theirs:

* the pictures are 32 x 32 grey squares around the mouth, made high-pass in time (a moving average over one
  second is taken off), weighted towards the middle and brought to one contrast: who speaks, light and slow
  motion of the head are gone, and the lips remain;
* the sound is 40 log-mel bands every 10 ms without their means over the clip, so that gain and microphone
  are gone;
* embeddings are unit vectors of 64 dimensions, trained with a softmax over the offsets within one clip:
  negatives from other clips would teach which voice belongs to which face;
* offsets at which fewer than half of the windows have both pictures and sound are left out, and nothing is
  padded.

:mod:`doppelbench.metrics.train_syncnet_lite` trains it on voices and faces of the talkers corpus that no
trial uses; its weights and the record of the training lie beside this module.

Measured on 96 clips of eight talkers that it never saw, with the truth about the mouth: the offset is 0 on
all of them, and sound moved by 200 ms either way is found to one frame on all; the median confidence is
0.49, and 0.08 with shuffled pictures, 0.03 with a still one.

Drawn faces are not real ones. On ten recordings of ten GRID talkers (3 s each, face detector) the offset is
within a frame of 0 on 9, and sound moved by 200 ms is found to one frame on 7 (early) and 8 (late); the
median confidence is 0.12, and 0.07 with shuffled pictures, 0.02 with a still one. On 120 recordings of one
GRID talker whose lips move little, by a part of which the changes of the training pictures were chosen, the
offset is within a frame of 0 on 78 % and its median is 0. On real faces the metrics therefore tell
something as a median over many clips and little of one clip, and the confidence compares with nothing but
the natural row of the same corpus.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.features import mel_filterbank, stft_magnitude
from doppelbench.corpora.films import crop_square
from doppelbench.metrics.signals import RESAMPLER
from doppelbench.metrics.sync_metric import LARGEST_OFFSET, RATE, SyncMetric, SyncReading, overlapping_curve
from doppelbench.metrics.syncnet_input import grey, mouth_square, region_rule

if TYPE_CHECKING:
    import torch

WEIGHTS = "syncnet_lite.safetensors"
RECORD = "syncnet_lite.json"
MEL_FRAMES_PER_PICTURE = 4


@dataclass(frozen=True, slots=True)
class SyncNetLiteSettings:
    """Input and size of the network; a change needs new weights.

    Attributes:
        pixels: height and width of the pictures.
        average: pictures before and after the present one in the moving average that is taken off.
        window: standard deviation of the Gaussian weight over the picture, in halves of its side.
        contrast_floor: added to the root mean square, so that noise of a still mouth stays small.
        n_fft: length of the Fourier transform.
        mel_window: length of its window in samples.
        hop: samples between mel frames, a quarter of a picture.
        n_mels: mel bands.
        low_hz: lower end of the bands.
        high_hz: upper end of the bands.
        range_db: the floor lies so much under the loudest band and frame.
        embedding: dimensions of the common space.
    """

    pixels: int = 32
    average: int = 12
    window: float = 0.6
    contrast_floor: float = 0.004
    n_fft: int = 512
    mel_window: int = 400
    hop: int = 160
    n_mels: int = 40
    low_hz: float = 60.0
    high_hz: float = 7600.0
    range_db: float = 60.0
    embedding: int = 64


SETTINGS = SyncNetLiteSettings()


def moving_lips(pictures: np.ndarray, settings: SyncNetLiteSettings = SETTINGS) -> np.ndarray:
    """What moves in grey pictures, at one contrast; zero where nothing moves.

    Args:
        pictures: shape (t, side, side), 0 to 1.
        settings: of the network.

    Returns:
        float32 of the same shape.
    """
    count, side = len(pictures), pictures.shape[1]
    sums = np.concatenate([np.zeros((1, side, side)), np.cumsum(pictures, axis=0, dtype=np.float64)])
    first = np.maximum(np.arange(count) - settings.average, 0)
    end = np.minimum(np.arange(count) + settings.average + 1, count)
    mean = (sums[end] - sums[first]) / (end - first)[:, None, None]
    axis = np.square(np.linspace(-1, 1, side))
    weight = np.exp(-(axis[:, None] + axis[None, :]) / (2 * settings.window**2))
    moving = (pictures - mean) * weight
    contrast = np.sqrt(np.square(moving).mean()) + settings.contrast_floor
    return (moving / contrast).astype(np.float32)


def mel_power(samples: np.ndarray, settings: SyncNetLiteSettings = SETTINGS) -> np.ndarray:
    """Power in mel bands, shape (1 + n // 160, 40), of a signal at 16 kHz of shape (n,)."""
    power = np.square(stft_magnitude(samples, settings.n_fft, settings.hop, settings.mel_window))
    bands = mel_filterbank(RATE, settings.n_fft, settings.n_mels, settings.low_hz, settings.high_hz)
    return power @ bands.T


def sound_features(power: np.ndarray, settings: SyncNetLiteSettings = SETTINGS) -> np.ndarray:
    """Logarithm of mel power without the mean of each band, in units of 10 dB; float32, same shape."""
    bels = np.log10(np.maximum(power, power.max() * 10 ** (-settings.range_db / 10)))
    return (bels - bels.mean(axis=0)).astype(np.float32)


def syncnet_lite(settings: SyncNetLiteSettings = SETTINGS) -> "torch.nn.ModuleDict":
    """The network with random weights: towers ``picture`` (of one), ``lips`` (of five) and ``sound``."""
    from torch import nn

    def after(convolution: nn.Conv1d | nn.Conv2d) -> list[nn.Module]:
        flat = isinstance(convolution, nn.Conv2d)
        channels = convolution.out_channels
        normalisation = nn.BatchNorm2d(channels) if flat else nn.BatchNorm1d(channels)
        return [convolution, normalisation, nn.ReLU()]

    side = settings.pixels // 8
    picture = nn.Sequential(
        *after(nn.Conv2d(1, 16, 3, stride=2, padding=1)),
        *after(nn.Conv2d(16, 32, 3, stride=2, padding=1)),
        *after(nn.Conv2d(32, 48, 3, stride=2, padding=1)),
        nn.Flatten(),
        nn.Linear(48 * side * side, 64),
        nn.ReLU(),
    )
    lips = nn.Sequential(*after(nn.Conv1d(64, 96, 5)), nn.Conv1d(96, settings.embedding, 1))
    sound = nn.Sequential(
        *after(nn.Conv1d(settings.n_mels, 64, 5)),
        *after(nn.Conv1d(64, 64, 5)),
        *after(nn.Conv1d(64, 96, MEL_FRAMES_PER_PICTURE, stride=MEL_FRAMES_PER_PICTURE)),
        *after(nn.Conv1d(96, 96, 3)),
        nn.Conv1d(96, settings.embedding, 1),
    )
    return nn.ModuleDict({"picture": picture, "lips": lips, "sound": sound})


def embed(
    network: "torch.nn.ModuleDict", lips: "torch.Tensor", sound: "torch.Tensor"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Embed all windows of a batch of clips.

    Args:
        network: of :func:`syncnet_lite`.
        lips: of :func:`moving_lips`, shape (b, t, side, side).
        sound: of :func:`sound_features`, shape (b, 4 t or a little more, mels).

    Returns:
        Unit vectors, each of shape (b, t - 4, dimensions).
    """
    from torch.nn import functional

    batch, count = lips.shape[:2]
    pictures = network["picture"](lips.reshape(batch * count, 1, *lips.shape[2:]))
    shown = network["lips"](pictures.reshape(batch, count, -1).transpose(1, 2))
    heard = network["sound"](sound.transpose(1, 2))[:, :, : shown.shape[2]]
    return (
        functional.normalize(shown, dim=1).transpose(1, 2),
        functional.normalize(heard, dim=1).transpose(1, 2),
    )


@cache
def weights_digest() -> str:
    """Twelve hexadecimal digits of the weights in the package."""
    return hashlib.sha256(files(__package__).joinpath(WEIGHTS).read_bytes()).hexdigest()[:12]


def training_record() -> dict[str, object]:
    """How the weights in the package were trained, and what they reached."""
    return dict(json.loads(files(__package__).joinpath(RECORD).read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def _trained() -> "torch.nn.ModuleDict":
    from safetensors.torch import load

    state = load(files(__package__).joinpath(WEIGHTS).read_bytes())
    network = syncnet_lite()
    network.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    return network.eval()


def read_sync(
    network: "torch.nn.ModuleDict", pictures: np.ndarray, samples: np.ndarray, largest: int = LARGEST_OFFSET
) -> SyncReading:
    """Curve of one clip.

    Args:
        network: in evaluation mode.
        pictures: grey mouth at 25 frames a second, shape (t, 32, 32), 0 to 1.
        samples: at 16 kHz, about 640 for each picture, shape (n,).
        largest: offset in frames, either way.
    """
    import torch

    with torch.inference_mode():
        lips = torch.from_numpy(moving_lips(pictures))[None]
        sound = torch.from_numpy(sound_features(mel_power(samples)))[None]
        shown, heard = embed(network, lips, sound)
    return overlapping_curve(shown[0].numpy(), heard[0].numpy(), largest)


class SyncNetLiteMetric(SyncMetric):
    """A metric read from the weights in the package."""

    @property
    def network(self) -> str:
        """Hash of the weights, region of the mouth, offsets and rates."""
        return (
            f"syncnet-lite-{weights_digest()}|{region_rule()}-{SETTINGS.pixels}px-grey"
            f"|mel{SETTINGS.n_mels}|shift{LARGEST_OFFSET}-half-overlap|25fps|sr{RATE}-{RESAMPLER}"
        )

    def curve(self, frames: np.ndarray, samples: np.ndarray, clip: Clip | None) -> SyncReading:
        """Find the mouth, embed and compare."""
        pictures = grey(crop_square(frames, mouth_square(frames, clip), SETTINGS.pixels))
        return read_sync(_trained(), pictures, samples)
