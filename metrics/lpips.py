"""Learned perceptual image patch similarity of Zhang et al. (CVPR 2018) with AlexNet, mean over frames.

See :mod:`doppelbench.metrics.lpips_network`. Pictures enter at their own size, scaled to -1 to 1. Despite its
name it is a distance: 0 for equal pictures.

The weights are no part of this package and nothing is fetched: the option ``weights`` names a file (or a
folder of files) that holds the convolutions of AlexNet trained on ImageNet and the five linear heads. The
signature has the hash of what was read. LPIPS on random convolutions is another metric, and must not go by
this name.
"""

import hashlib
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError
from doppelbench.corpora.media import sha256_of
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.video_metric import FRAME_RULE, OWN_RATE, PicturePair, VideoMetric

if TYPE_CHECKING:
    from doppelbench.metrics.lpips_network import LpipsNetwork

FRAMES_AT_ONCE = 8
# Below it nothing is left after the second pooling.
LEAST_SIDE = 31
WEIGHTS_NEEDED = (
    "lpips needs weights=<file or folder> with the AlexNet of torchvision (alexnet-owt-7be5be79.pth) and the "
    "heads of the package lpips (lpips/weights/v0.1/alex.pth), or with the state of its LPIPS(net='alex') in "
    "one .safetensors or .pth file; `doppelbench prefetch lpips` cannot fetch them, because no SHA-256 is "
    "published for them"
)


class LearnedPerceptualSimilarity(VideoMetric):
    """LPIPS with AlexNet, mean over frames."""

    spec = MetricSpec(
        name="lpips",
        title="Learned perceptual image patch similarity (AlexNet), a distance, mean over frames",
        version=1,
        unit="",
        direction="lower",
        range=(0.0, None),
        needs=frozenset({"ref"}),
        cost=770.0,
        rate=OWN_RATE,
        same_timing=True,
        citation="Zhang et al., CVPR 2018",
        licence="the weights are BSD-2-Clause (heads) and BSD-3-Clause (AlexNet), trained on ImageNet",
        media="video",
    )

    def __init__(self, weights: str | None = None, device: str = "cpu") -> None:
        """Name the weights.

        Args:
            weights: a file or a folder, see the module.
            device: ``cpu`` or ``cuda``.

        Raises:
            DependencyError: when no weights are named or they are not there.
        """
        path = Path(weights).expanduser() if weights else None
        if path is None or not path.exists():
            where = f"{path}: there is no such file; " if path else ""
            raise DependencyError(where + WEIGHTS_NEEDED)
        self.path = path
        self.device = device

    @cached_property
    def signature(self) -> str:
        """Network, hash of the weights, library, and frames."""
        from doppelbench.metrics.lpips_network import weight_files

        hashes = "".join(sha256_of(file) for file in weight_files(self.path))
        digest = hashlib.sha256(hashes.encode()).hexdigest()[:12]
        library = f"torch-{metadata.version('torch').partition('+')[0]}-fp32-{self.device.partition(':')[0]}"
        return f"{self.spec.name}|alex-v0.1-{digest}|{library}|{FRAME_RULE}|region-frame|v{self.spec.version}"

    @cached_property
    def _network(self) -> "LpipsNetwork":
        from doppelbench.metrics.lpips_network import load_network

        return load_network(self.path).to(self.device)

    def score(self, pictures: PicturePair, clip: Clip | None) -> ItemScore:
        """Distance of one output.

        Raises:
            MediaError: ``too_short`` for pictures of fewer than 31 pixels.
        """
        pictures.check_size(LEAST_SIDE, self.spec.name)
        values = self.distances(pictures)
        return ItemScore(
            float(values.mean()), stats={"worst": float(values.max()), "frames": len(pictures.ref)}
        )

    def distances(self, pictures: PicturePair) -> np.ndarray:
        """Distance of each frame, shape (t,), float64."""
        import torch

        values = []
        with torch.inference_mode():
            for first in range(0, len(pictures.ref), FRAMES_AT_ONCE):
                batch = [
                    torch.from_numpy(frames[first : first + FRAMES_AT_ONCE].copy())
                    .to(self.device)
                    .permute(0, 3, 1, 2)
                    .float()
                    / 127.5
                    - 1
                    for frames in (pictures.out, pictures.ref)
                ]
                values.append(self._network(*batch).cpu().numpy())
        return np.concatenate(values).astype(np.float64)
