"""A recurrent cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Leaky"]


class Leaky(nn.Module):
    """A leaky integrator: the average of the old state and the new one."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.cell = nn.RNNCell(input_size, hidden_size, device=device, dtype=dtype)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        return torch.lerp(hidden, self.cell(x, hidden), 0.5)
