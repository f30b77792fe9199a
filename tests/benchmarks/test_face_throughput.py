"""Pictures a second that the networks of talking heads draw and learn from, on one core or on a CUDA device.

The exemplar's decoder, LipGAN's generator and Speech2Vid's network, at `small` and at their published sizes;
a step is L1 forwards and backwards with Adam. On a GPU the pictures are channels-last in bfloat16.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from doppelbench.baselines import exemplar_av, lipgan, speech2vid
from doppelbench.baselines.exemplar_video_decoder import VideoDecoder

CASES = [(name, preset) for name in ("exemplar-av", "lipgan", "speech2vid") for preset in ("small", "paper")]
PICTURES = {"cpu": {"small": 16, "paper": 2}, "cuda": {"small": 256, "paper": 64}}


@dataclass
class Case:
    """A network with inputs of some pictures; ``draw`` gives them, shape (pictures, 3, size, size)."""

    network: nn.Module
    draw: Callable[[], Tensor]


def make(name: str, preset: str, pictures: int, device: str) -> Case:
    torch.manual_seed(0)
    inputs: Any
    if name == "exemplar-av":
        settings = {"small": exemplar_av.SMALL, "paper": exemplar_av.PAPER}[preset]
        size = settings.pictures.size or 64
        code = 2 * settings.bottleneck
        decoder = VideoDecoder(settings.pictures, code, size).to(device)
        samples = torch.randn(1, 4 * pictures, code, device=device)
        return Case(decoder, lambda: decoder(decoder.frame_codes(samples))[-1].flatten(0, 1))
    if name == "lipgan":
        own = lipgan.LipGAN.spec.presets[preset]
        generator = lipgan.Generator(own).to(device, memory_format=torch.channels_last)
        side = own.picture
        inputs = (
            torch.randn(pictures, 12, 35, device=device),
            torch.rand(pictures, 3, side, side, device=device),
            torch.rand(pictures, 3, side, side, device=device),
        )
        return Case(generator, lambda: generator(*inputs))
    chosen = speech2vid.Speech2Vid.spec.presets[preset]
    network = speech2vid.Speech2VidNetwork(chosen).to(device, memory_format=torch.channels_last)
    stills = torch.rand(pictures, 15, chosen.picture, chosen.picture, device=device)
    sound = torch.randn(pictures, 12, 35, device=device)
    return Case(network, lambda: network(sound, stills))


def now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def learn(case: Case, optimizer: torch.optim.Optimizer, device: str) -> None:
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        loss = case.draw().abs().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def measure(name: str, preset: str, device: str, rounds: int) -> tuple[float, float]:
    """Pictures a second that are learned from and drawn: the fastest round after one that warms up."""
    pictures = PICTURES[device][preset]
    case = make(name, preset, pictures, device)
    optimizer = torch.optim.Adam(case.network.parameters(), 1e-4)
    learning, drawing = [], []
    for _ in range(rounds + 1):
        began = now(device)
        learn(case, optimizer, device)
        learning.append(now(device) - began)
    case.network.eval()
    for _ in range(rounds + 1):
        began = now(device)
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            drawn = case.draw()
        drawing.append(now(device) - began)
    assert drawn.shape[:2] == (pictures, 3)
    assert torch.isfinite(drawn).all()
    return pictures / min(learning[1:]), pictures / min(drawing[1:])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), CASES)
def test_pictures_a_second_on_one_core(name: str, preset: str) -> None:
    learned, drawn = measure(name, preset, "cpu", rounds=1)
    print(f"{name} {preset}: {learned:.1f} pictures learned from and {drawn:.1f} drawn a CPU second")
    if preset == "small":
        # A film of 25 pictures a second is drawn no slower than it plays.
        assert drawn > 25


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "preset"), CASES)
def test_pictures_a_second_on_a_gpu(name: str, preset: str) -> None:
    learned, drawn = measure(name, preset, "cuda", rounds=10)
    print(f"{name} {preset}: {learned:.0f} pictures learned from and {drawn:.0f} drawn a second")
    assert drawn > 100
