"""A row of cells: the states of a superposition stack and of a tape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor

from ddstructs.ops import strength_dtype
from ddstructs.state import State

__all__ = ["Cells", "Row", "TapeCells"]


@dataclass(frozen=True)
class Row(State):
    """A row of cells, each holding a mixture of values.

    Attributes:
        cells: The mixture in each cell, shape `(batch, heads, cells, width)`.
        occupied: Total weight of the values in each cell, shape `(batch, heads, cells)`, in [0, 1]; at least float32.
        before: Number of cells before the position of the head.
    """

    cells: Tensor
    occupied: Tensor
    before: int = 0

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move to a device, or convert the values to a dtype."""
        occupied = self.occupied.to(device, dtype and strength_dtype(dtype))
        return replace(self, cells=self.cells.to(device, dtype), occupied=occupied)

    def trimmed(self, first: int, last: int) -> Self:
        """Drop cells at both ends that are empty in every row, but keep those in `first..last - 1`.

        Does nothing if a gradient is required, because the weight of an empty cell has a derivative, too.
        """
        if torch.compiler.is_compiling() or self.occupied.device.type != "cpu":  # would synchronize with the GPU
            return self
        if torch.is_grad_enabled() and (self.cells.requires_grad or self.occupied.requires_grad):
            return self
        used = self.occupied.flatten(0, 1).any(0).nonzero()[:, 0].tolist()
        low, high = min([*used[:1], first]), max([last, *(i + 1 for i in used[-1:])])
        if (low, high) == (0, self.occupied.shape[2]):
            return self
        cells, occupied = (part[:, :, low:high] for part in (self.cells, self.occupied))
        return replace(self, cells=cells, occupied=occupied, before=self.before - low)


@final
@dataclass(frozen=True)
class Cells(Row):
    """The state of a superposition stack: its cells from the top."""


@final
@dataclass(frozen=True)
class TapeCells(Row):
    """The state of a tape: its cells from left to right."""
