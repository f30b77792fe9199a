"""The network of LPIPS in torch: the convolutions of AlexNet and one linear head for each of its five stages.

Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric" (CVPR 2018), version 0.1: pictures of -1 to 1, shifted and scaled by channel as ImageNet's; features
after each ReLU, scaled to unit length over channels at each place; their squared differences weighted by the
head, averaged over places and summed over stages.

Weights come under the names of the published package (``net.slice1.0.weight`` ..., ``lin0.model.1.weight``
...) or of its two parts: torchvision's AlexNet (``features.0.weight`` ...) and the file of heads.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from doppelbench.corpora.errors import InputError

# Position in AlexNet's list of layers, channels in and out, kernel, stride, padding; pooling before stages 2
# and 3.
STAGES = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, 2),
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
)
POOLED_BEFORE = (1, 2)
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10
SUFFIXES = (".safetensors", ".pth", ".pt")
TRUNK_NAMES = re.compile(r"(?:net\.slice\d|features)\.(\d+)\.(weight|bias)")
HEAD_NAMES = re.compile(r"lin(\d)\.model\.1\.weight")


class LpipsNetwork(nn.Module):
    """Distances between pictures by AlexNet's features; the parameters are fixed."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel, stride, padding)
            for _, before, after, kernel, stride, padding in STAGES
        )
        self.heads = nn.ModuleList(nn.Conv2d(stage[2], 1, 1, bias=False) for stage in STAGES)
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Activations of the five stages, scaled to unit length over channels; shapes (n, c, h, w).

        Args:
            pictures: shape (n, 3, height, width), range -1 to 1.
        """
        hidden = (pictures - self.shift) / self.scale
        stages = []
        for index, layer in enumerate(self.convolutions):
            if index in POOLED_BEFORE:
                hidden = max_pool2d(hidden, 3, 2)
            hidden = relu(layer(hidden))
            stages.append(hidden / (hidden.square().sum(dim=1, keepdim=True).sqrt() + EPSILON))
        return stages

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance of each pair of pictures, shape (n,); see :meth:`features`."""
        total = torch.zeros(len(first), device=first.device)
        for head, one, other in zip(self.heads, self.features(first), self.features(second), strict=True):
            total += head((one - other).square()).mean(dim=(1, 2, 3))
        return total


def weight_files(path: Path) -> list[Path]:
    """The files of weights at a path: the file itself, or those in the folder, by name."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    return [path]


def load_network(path: Path) -> LpipsNetwork:
    """Read the network from a file or a folder of files; nothing in them is ever executed.

    Raises:
        InputError: when they cannot be read, or weights are missing, of another shape or not finite.
    """
    published: dict[str, Tensor] = {}
    for file in weight_files(path):
        published |= _read_tensors(file)
    own: dict[str, Tensor] = {}
    stage_of = {str(stage[0]): index for index, stage in enumerate(STAGES)}
    for name, tensor in published.items():
        if (trunk := TRUNK_NAMES.fullmatch(name)) and trunk[1] in stage_of:
            own[f"convolutions.{stage_of[trunk[1]]}.{trunk[2]}"] = tensor
        elif head := HEAD_NAMES.fullmatch(name):
            own[f"heads.{head[1]}.weight"] = tensor
    network = LpipsNetwork()
    for name, parameter in network.named_parameters():
        found = own.get(name)
        if found is None or found.shape != parameter.shape or not torch.isfinite(found).all():
            have = "is missing" if found is None else f"has shape {tuple(found.shape)} or is not finite"
            raise InputError(
                f"{path}: not the weights of LPIPS with AlexNet; {name} {have} where "
                f"{tuple(parameter.shape)} is needed"
            )
        parameter.copy_(found)
    return network


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch and safetensors raise a dozen types for a broken file, some of them plain Exception.
        kind = "unpickling refused" if isinstance(error, pickle.UnpicklingError) else error
        raise InputError(f"{path}: weights that cannot be read ({kind})") from None
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: holds no table of tensors")
    return content
