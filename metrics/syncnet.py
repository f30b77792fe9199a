"""SyncNet as published, and the LSE-D and LSE-C that Wav2Lip reads from it.

Chung and Zisserman, "Out of time: automated lip sync in the wild" (ACCV 2016 workshops); Prajwal et al., "A
lip sync expert is all you need for speech to lip generation in the wild" (ACM Multimedia 2020). Layout, names
of the weights and preprocessing are those of the authors' released program, so that its ``syncnet_v2.model``
loads; the weights are not part of this package.

What this code chooses where the protocols differ or name a tool that is not here:

* Wav2Lip's protocol for real videos finds and tracks faces with S3FD, which needs a download. Here the
  face comes from the detector of :mod:`doppelbench.metrics.syncnet_input`, one box a clip, and the margin of
  0.4 boxes is kept (``crop=face``). ``crop=frame`` resizes whole frames, as Wav2Lip does on LRS. Values
  compare with published ones only in that second form, and then only about: users of one checkpoint have
  reported 7.15 where 6.39 was published.
* Nothing is stored as JPEG, XviD or 16-bit sound on the way, as the program does.
* Clips shorter than 4 s, which that protocol drops, are scored.
* The last window of a clip is left out and the sound is zero-padded over offsets, as in the program.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, InputError
from doppelbench.corpora.films import Square, crop_square
from doppelbench.corpora.media import sha256_of
from doppelbench.corpora.talkers.build import cache_directory
from doppelbench.metrics.signals import RESAMPLER
from doppelbench.metrics.sync_metric import (
    LARGEST_OFFSET,
    RATE,
    WINDOW_FRAMES,
    SyncMetric,
    SyncReading,
    padded_curve,
)
from doppelbench.metrics.syncnet_input import face_box, region_rule

if TYPE_CHECKING:
    import torch

WEIGHTS = "syncnet_v2.model"
PIXELS = 224
CROP_MARGIN = 0.4
N_MFCC = 13
COLUMNS_PER_WINDOW = 20
COLUMNS_PER_FRAME = 4
FULL_SCALE = 32768
BATCH = 8

WINDOW, HOP, N_FFT, N_FILTERS = 400, 160, 512, 26
PREEMPHASIS = 0.97
LIFTER = 22


def syncnet_mfcc(samples: np.ndarray) -> np.ndarray:
    """The cepstra that SyncNet was trained on: the defaults of python_speech_features at 16 kHz.

    Rectangular windows of 25 ms every 10 ms, 26 triangular filters on HTK's mel scale, sinusoidal lifter,
    and the logarithm of the frame's energy for coefficient 0.

    Args:
        samples: shape (n,), in steps of 16-bit sound.

    Returns:
        float64, shape (frames, 13), one frame for each 10 ms.
    """
    emphasized = np.append(samples[:1], samples[1:] - PREEMPHASIS * samples[:-1])
    count = 1 + max(0, int(np.ceil((samples.size - WINDOW) / HOP)))
    padded = np.pad(emphasized, (0, max(0, (count - 1) * HOP + WINDOW - samples.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    power = np.square(np.abs(np.fft.rfft(frames, N_FFT))) / N_FFT
    least = np.finfo(np.float64).eps
    energies = np.maximum(power @ _htk_filters().T, least)
    cepstra = scipy.fft.dct(np.log(energies), type=2, norm="ortho", axis=1)[:, :N_MFCC]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(N_MFCC) / LIFTER)
    cepstra[:, 0] = np.log(np.maximum(power.sum(axis=1), least))
    return cepstra


@lru_cache(maxsize=1)
def _htk_filters() -> np.ndarray:
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, N_FILTERS + 2) / 2595) - 1)
    edges = np.floor((N_FFT + 1) * hertz / RATE)
    bins = np.arange(N_FFT // 2 + 1)[None, :]
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - low) / (middle - low)
    falling = (high - bins) / (high - middle)
    return np.where((bins >= low) & (bins < middle), rising, 0.0) + np.where(
        (bins >= middle) & (bins < high), falling, 0.0
    )


def syncnet() -> "torch.nn.ModuleDict":
    """The network with random weights, 13.6 million parameters.

    Sub-networks carry the names of the released weights: ``netcnnaud`` and ``netfcaud`` for the sound,
    ``netcnnlip`` and ``netfclip`` for the pictures. Sound enters as (n, 1, 13, 20) and pictures as
    (n, 3, 5, 224, 224), blue first and from 0 to 255; each leaves as (n, 1024).
    """
    from torch import nn

    def stage(convolution: nn.Module, *after: nn.Module) -> list[nn.Module]:
        channels: Any = convolution.out_channels
        flat = isinstance(convolution, nn.Conv2d)
        normalisation = nn.BatchNorm2d(channels) if flat else nn.BatchNorm3d(channels)
        return [convolution, normalisation, nn.ReLU(), *after]

    def head() -> nn.Sequential:
        return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))

    halving, small = (1, 2, 2), (1, 3, 3)
    sound = [
        *stage(nn.Conv2d(1, 64, 3, padding=1), nn.MaxPool2d(1, stride=1)),
        *stage(nn.Conv2d(64, 192, 3, padding=1), nn.MaxPool2d(3, stride=(1, 2))),
        *stage(nn.Conv2d(192, 384, 3, padding=1)),
        *stage(nn.Conv2d(384, 256, 3, padding=1)),
        *stage(nn.Conv2d(256, 256, 3, padding=1), nn.MaxPool2d(3, stride=2)),
        *stage(nn.Conv2d(256, 512, (5, 4))),
    ]
    pictures = [
        *stage(nn.Conv3d(3, 96, (WINDOW_FRAMES, 7, 7), halving), nn.MaxPool3d(small, halving)),
        *stage(
            nn.Conv3d(96, 256, (1, 5, 5), halving, padding=(0, 1, 1)),
            nn.MaxPool3d(small, halving, padding=(0, 1, 1)),
        ),
        *stage(nn.Conv3d(256, 256, small, padding=(0, 1, 1))),
        *stage(nn.Conv3d(256, 256, small, padding=(0, 1, 1))),
        *stage(nn.Conv3d(256, 256, small, padding=(0, 1, 1)), nn.MaxPool3d(small, halving)),
        *stage(nn.Conv3d(256, 512, (1, 6, 6))),
    ]
    return nn.ModuleDict(
        {
            "netcnnaud": nn.Sequential(*sound),
            "netfcaud": head(),
            "netfclip": head(),
            "netcnnlip": nn.Sequential(*pictures),
        }
    )


def load_syncnet(path: str | Path) -> "torch.nn.ModuleDict":
    """The network with the weights of a file in the released format, ready to infer.

    Raises:
        InputError: the file holds something else than these weights; nothing in it is executed.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # What torch says here advises to load without this protection.
        raise InputError(f"{path}: not a file of SyncNet weights that can be read safely") from None
    network = syncnet()
    expected = network.state_dict()
    # Files of 2017 have no counters of batches, which inference does not use.
    wanted = {name for name in expected if not name.endswith("num_batches_tracked")}
    if not isinstance(state, dict) or not wanted <= set(state) <= set(expected):
        raise InputError(f"{path}: the weights are not named as those of SyncNet")
    for name, value in state.items():
        if getattr(value, "shape", None) != expected[name].shape:
            raise InputError(f"{path}: {name} does not have the shape of SyncNet's")
    network.load_state_dict(state, strict=False)
    return network.eval()


def find_weights(weights: str | Path | None, name: str) -> Path:
    """The file of weights: the option's, or ``syncnet/syncnet_v2.model`` in the cache.

    Args:
        weights: option of the metric.
        name: of the metric; only for the message.

    Raises:
        DependencyError: there is no such file.
    """
    path = Path(weights) if weights else cache_directory() / "syncnet" / WEIGHTS
    if not path.is_file():
        raise DependencyError(
            f"{name} needs the weights of SyncNet, and {path} is not there; fetch {WEIGHTS} as the project "
            f"joonson/syncnet_python describes, and put it there or name it: {name}:weights=FILE "
            "(av_offset and av_confidence need no download)"
        )
    return path


def syncnet_crops(frames: np.ndarray, crop: str) -> np.ndarray:
    """Pictures as SyncNet wants them, uint8 RGB, shape (t, 224, 224, 3).

    Args:
        frames: uint8, shape (t, height, width, 3).
        crop: ``face`` (the detected face with a margin of 0.4 boxes, more of it below) or ``frame``.

    Raises:
        MediaError: ``missing`` when no face is found.
    """
    from PIL import Image

    if crop == "frame":
        size = (PIXELS, PIXELS)
        return np.stack(
            [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR)) for frame in frames]
        )
    left, top, side = face_box(frames)
    half = side / 2
    middle = top + half * (1 + CROP_MARGIN)
    return crop_square(frames, Square(left + half, middle, (1 + CROP_MARGIN) * side), PIXELS)


def syncnet_embeddings(
    network: "torch.nn.ModuleDict", pictures: np.ndarray, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Embed all windows of a clip but the last.

    Args:
        network: of :func:`load_syncnet`.
        pictures: uint8 RGB at 25 frames a second, shape (t, 224, 224, 3).
        samples: at 16 kHz from -1 to 1, 640 for each frame.

    Returns:
        Embeddings of pictures and of sound, float32, each of shape (t - 5, 1024).
    """
    import torch

    count = len(pictures) - WINDOW_FRAMES
    cepstra = syncnet_mfcc(np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1))
    blue_first = np.moveaxis(pictures[..., ::-1], 3, 0)
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    with torch.inference_mode():
        for first in range(0, count, BATCH):
            starts = range(first, min(count, first + BATCH))
            lips = np.stack([blue_first[:, start : start + WINDOW_FRAMES] for start in starts])
            columns = [COLUMNS_PER_FRAME * start for start in starts]
            sound = np.stack([cepstra[column : column + COLUMNS_PER_WINDOW].T for column in columns])[:, None]
            for inputs, convolutions, head, kept in (
                (lips, "netcnnlip", "netfclip", rows[0]),
                (sound, "netcnnaud", "netfcaud", rows[1]),
            ):
                features = network[convolutions](torch.from_numpy(inputs.astype(np.float32)))
                kept.append(network[head](features.flatten(1)).numpy())
    return np.concatenate(rows[0]), np.concatenate(rows[1])


class SyncNetMetric(SyncMetric):
    """A metric read from the published SyncNet."""

    def __init__(self, weights: str | None = None, crop: str = "face") -> None:
        """Find the weights.

        Args:
            weights: file in the released format; ``syncnet/syncnet_v2.model`` in the cache when None.
            crop: ``face`` or ``frame``, see :func:`syncnet_crops`.

        Raises:
            DependencyError: there is no such file.
            InputError: for another crop.
        """
        if crop not in ("face", "frame"):
            raise InputError(f"{self.spec.name}: crop is face or frame, not '{crop}'")
        self.weights = find_weights(weights, self.spec.name)
        self.crop = crop
        self.digest = sha256_of(self.weights)[:12]
        super().__init__()

    @property
    def network(self) -> str:
        """Hash of the weights, crop, offsets and rates."""
        region = "frame" if self.crop == "frame" else f"face+{CROP_MARGIN:g}-{region_rule()}"
        return (
            f"syncnet-{self.digest}|crop-{region}-{PIXELS}px|mfcc{N_MFCC}x{COLUMNS_PER_WINDOW}"
            f"|shift{LARGEST_OFFSET}-zero-padded|25fps|sr{RATE}-{RESAMPLER}"
        )

    def curve(self, frames: np.ndarray, samples: np.ndarray, clip: Clip | None) -> SyncReading:
        """Crop, embed and compare."""
        pictures = syncnet_crops(frames, self.crop)
        network = _loaded(os.fspath(self.weights), self.digest)
        return padded_curve(*syncnet_embeddings(network, pictures, samples))


@lru_cache(maxsize=2)
def _loaded(path: str, digest: str) -> "torch.nn.ModuleDict":
    return load_syncnet(path)
