"""What bridges encoder and decoder: the voice is joined, codes learn of each other, and are repeated.

A bidirectional GRU over the codes of the pictures, each joined with the identity vector; then the
up-sampling of AutoVC (K. Qian et al., ICML 2019), plain repetition of every code until the next. The paper
says that it borrows this operation; recurrent layer, width and where the identity comes in are ours.
"""

import torch
from torch import Tensor, nn


class TemporalModule(nn.Module):
    """Codes (batch, pictures, inputs) and identity to (batch, pictures * repeats, 2 * cells)."""

    def __init__(self, inputs: int, identity: int, cells: int, layers: int, repeats: int) -> None:
        """Make the network.

        Args:
            inputs: numbers of a code.
            identity: numbers of the identity vector; 0 for a network that is told none.
            cells: of the recurrent layers in each direction.
            layers: recurrent layers.
            repeats: how often each state is repeated.
        """
        super().__init__()
        self.identity = identity
        self.repeats = repeats
        self.recurrent = nn.GRU(inputs + identity, cells, layers, batch_first=True, bidirectional=True)

    def forward(self, codes: Tensor, identity: Tensor) -> Tensor:
        if identity.shape[1] != self.identity:
            raise ValueError(f"an identity of {identity.shape[1]} numbers; the network takes {self.identity}")
        voices = identity[:, None].expand(-1, codes.shape[1], -1).to(codes.dtype)
        states, _ = self.recurrent(torch.cat([codes, voices], dim=2))
        return states.repeat_interleave(self.repeats, dim=1)
