"""What all kernels share: the ends of a line, the heads at these ends, and the state between two steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs.memory import Contents, State

__all__ = [
    "End",
    "Head",
    "Inputs",
    "Layout",
    "LineState",
    "Slots",
    "Tiles",
    "arrange",
    "compact",
    "strength_dtype",
]


class End(IntEnum):
    """An end of the line. Slots are counted from the bottom."""

    BOTTOM = 0
    TOP = 1

    __hash__ = int.__hash__  # an enum's hash is Python code, and every call looks up a layout


class Head(NamedTuple):
    """The position of a head: the end at which it pushes, and the end from which it takes (pops and reads)."""

    push: End
    take: End


torch.serialization.add_safe_globals([End, Head])  # states contain their layout

Layout = tuple[Head, ...]
"""The heads of a structure, in the order in which they pop."""


class Inputs(NamedTuple):
    """The arguments of a scan: the initial state and the actions.

    Attributes:
        initial: Values of the initial state, shape `(batch, slots, width)`.
        strengths: Their strengths, shape `(batch, slots)`.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`; infinity empties the line.
        value: Shape `(batch, time, heads, width)`.
    """

    initial: Tensor
    strengths: Tensor
    push: Tensor
    pop: Tensor
    value: Tensor


class LineState(State):
    """The contents of a line. Each kernel stores them in its own format; all convert to `Slots`.

    Attributes:
        layout: The heads of the memory that the state belongs to; None if unknown.
    """

    layout: Layout | None

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LineState:
        """The same state on another device, or with its values in another dtype; strengths stay at least float32."""
        template = self.template
        if template.to(device, dtype) is template:
            return self
        slots = self.slots()
        strengths = slots.strengths.to(device, dtype and strength_dtype(dtype))
        return Slots(slots.values.to(device, dtype), strengths, slots.layout)

    def select(self, rows: Tensor) -> LineState:
        """The state of some rows of the batch, in the given order; it may be stored in another format."""
        return self.map(lambda tensor: tensor.index_select(0, rows))

    @abstractmethod
    def slots(self) -> Slots:
        """The state as two tensors."""

    @property
    @abstractmethod
    def template(self) -> Tensor:
        """An empty tensor, shape `(batch, 0, width)`, with the batch, width, dtype and device of the state's values."""


@dataclass(frozen=True)
class Slots(LineState):
    """The slots of a line from bottom to top; dead slots, of strength zero, may be anywhere.

    Attributes:
        values: Stored values, shape `(batch, slots, width)`; V_t in the paper.
        strengths: Remaining strength of each, shape `(batch, slots)`; s_t in the paper. At least float32, so that sums
            of small strengths stay precise even with half-precision values.
        layout: The heads; None if unknown, as in files from before states held them.
    """

    values: Tensor
    strengths: Tensor
    layout: Layout | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Slots:
        return Slots(function(self.values), function(self.strengths), self.layout)

    def slots(self) -> Slots:
        return self

    @property
    def template(self) -> Tensor:
        return self.values[:, :0]


@dataclass(frozen=True)
class Tiles(LineState):
    """The slots of a line in chronological order: the initial ones, then one for each head of each step.

    Attributes:
        layout: The heads.
        initial: Initial values, shape `(batch, slots, width)`.
        value: Values pushed since, shape `(batch, time, heads, width)`.
        strengths: Remaining strength of each slot, shape `(batch, slots + time * heads)`.
    """

    layout: Layout  # pyright: ignore[reportIncompatibleVariableOverride]  # always known
    initial: Tensor
    value: Tensor
    strengths: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Tiles:
        return Tiles(self.layout, function(self.initial), function(self.value), function(self.strengths))

    def slots(self) -> Slots:
        count, (time, heads) = self.initial.shape[1], self.value.shape[1:3]
        pushed = self.strengths[:, count:].unflatten(1, (time, heads))
        values = arrange(self.layout, self.initial, self.value)
        return Slots(values, arrange(self.layout, self.strengths[:, :count], pushed), self.layout)

    @property
    def template(self) -> Tensor:
        return self.initial[:, :0]


def arrange(layout: Layout, initial: Tensor, pushed: Tensor) -> Tensor:
    """Reorder slots from chronological order to the order on the line, bottom to top.

    Args:
        layout: The heads.
        initial: Data of the initial slots, shape `(batch, slots, ...)`.
        pushed: Data of the slots pushed in each step, shape `(batch, time, heads, ...)`.
    """
    below = [h for h, head in enumerate(layout) if head.push is End.BOTTOM]
    above = [h for h, head in enumerate(layout) if head.push is End.TOP]
    return torch.cat([pushed[:, :, below].flatten(1, 2).flip(1), initial, pushed[:, :, above].flatten(1, 2)], dim=1)


def compact(contents: Contents) -> Contents:
    """Drop dead slots: live ones first, in order, padded with zeros to the longest row.

    Args:
        contents: Values `(batch, slots, width)` and strengths `(batch, slots)`, with dead slots anywhere.
    """
    live = contents.strengths > 0
    slots = int(live.sum(dim=1).max()) if live.numel() else 0
    order = live.logical_not().sort(dim=1, stable=True).indices[:, :slots]
    strengths = contents.strengths.gather(1, order)
    values = contents.values.gather(1, order[..., None].expand(-1, -1, contents.values.shape[-1]))
    return Contents(torch.where((strengths > 0)[..., None], values, 0), strengths)


def strength_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of strengths for values of the given dtype: at least float32."""
    return torch.promote_types(dtype, torch.float32)
