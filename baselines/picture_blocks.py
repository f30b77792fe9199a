"""The convolution that the systems which draw faces are made of."""

from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Convolution, batch norm, ReLU; ``momentum`` is the share of the new in the running statistics."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int = 0,
        *,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(x)))
