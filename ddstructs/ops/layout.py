"""What every kernel speaks of: the two ends of a line, the heads at them, and the state between two steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs.memory import Contents, State

__all__ = ["ONCE", "End", "Head", "Layout", "LineState", "Slots", "Tiles", "arrange", "compact", "strength_dtype"]


class End(IntEnum):
    """An end of the line. Slots are counted from the bottom."""

    BOTTOM = 0
    TOP = 1


class Head(NamedTuple):
    """Where a head works: it pushes at one end, and takes (pops and reads) at one."""

    push: End
    take: End


torch.serialization.add_safe_globals([End, Head])  # a state has its layout in it

Layout = tuple[Head, ...]
"""The heads of a structure, in the order in which they pop."""

ONCE = (
    "the kernels of ddstructs are differentiated once: for a second derivative run the forward pass "
    'under `with ddstructs.ops.using("reference"):`'
)


class LineState(State):
    """What a line holds. Each kernel keeps it in its own way, and all can show it as slots."""

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LineState:
        """The same state on another device, or with its values in another dtype; strengths stay at least float32."""
        origin = self.origin
        if origin.to(device, dtype) is origin:
            return self
        slots = self.slots()
        strengths = slots.strengths.to(device, dtype and strength_dtype(dtype))
        return Slots(slots.values.to(device, dtype), strengths)

    @abstractmethod
    def slots(self) -> Slots:
        """The state as two tensors."""

    @property
    @abstractmethod
    def origin(self) -> Tensor:
        """No slots at all, shape `(batch, 0, width)`, with the batch, width, dtype and device of the state."""


@dataclass(frozen=True)
class Slots(LineState):
    """The slots of a line from its bottom to its top; a dead slot, with strength zero, may lie anywhere between.

    Attributes:
        values: Stored values, shape `(batch, slots, width)`; V_t in the paper.
        strengths: What is left of each, shape `(batch, slots)`; s_t in the paper. In float32 where the values are
            narrower, so that sums of small strengths do not get lost.
    """

    values: Tensor
    strengths: Tensor

    def slots(self) -> Slots:
        return self

    @property
    def origin(self) -> Tensor:
        return self.values[:, :0]


@dataclass(frozen=True)
class Tiles(LineState):
    """The slots of a line in the order of time: those it began with, then those of each step and each head.

    Attributes:
        layout: The heads.
        initial: The values it began with, shape `(batch, slots, width)`.
        value: The values pushed since, shape `(batch, time, heads, width)`.
        strengths: What is left of each, shape `(batch, slots + time * heads)`.
    """

    layout: Layout
    initial: Tensor
    value: Tensor
    strengths: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Tiles:
        return Tiles(self.layout, function(self.initial), function(self.value), function(self.strengths))

    def slots(self) -> Slots:
        count, (time, heads) = self.initial.shape[1], self.value.shape[1:3]
        pushed = self.strengths[:, count:].unflatten(1, (time, heads))
        return Slots(
            arrange(self.layout, self.initial, self.value), arrange(self.layout, self.strengths[:, :count], pushed)
        )

    @property
    def origin(self) -> Tensor:
        return self.initial[:, :0]


def arrange(layout: Layout, initial: Tensor, pushed: Tensor) -> Tensor:
    """Put slots from the order of time into the order of the line.

    Args:
        layout: The heads.
        initial: Of the slots before the first step, shape `(batch, slots, ...)`.
        pushed: Of those of each step, shape `(batch, time, heads, ...)`.
    """
    below = [h for h, head in enumerate(layout) if head.push is End.BOTTOM]
    above = [h for h, head in enumerate(layout) if head.push is End.TOP]
    return torch.cat([pushed[:, :, below].flatten(1, 2).flip(1), initial, pushed[:, :, above].flatten(1, 2)], dim=1)


def compact(contents: Contents) -> Contents:
    """Leave the dead slots out: live ones first, in their order, padded with zeros to the longest row.

    Args:
        contents: Values `(batch, slots, width)` and strengths `(batch, slots)`, dead slots anywhere.
    """
    live = contents.strengths > 0
    slots = int(live.sum(dim=1).max()) if live.numel() else 0
    order = live.logical_not().sort(dim=1, stable=True).indices[:, :slots]
    strengths = contents.strengths.gather(1, order)
    values = contents.values.gather(1, order[..., None].expand(-1, -1, contents.values.shape[-1]))
    return Contents(torch.where((strengths > 0)[..., None], values, 0), strengths)


def strength_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of strengths beside values of the given dtype: at least float32."""
    return torch.promote_types(dtype, torch.float32)
