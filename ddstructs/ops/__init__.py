"""The kernels behind the memories, and the one place that chooses among them."""

from __future__ import annotations

from torch import Tensor

from ddstructs.memory import Action
from ddstructs.ops import reference
from ddstructs.ops.layout import End, Head, Layout, LineState, Slots, strength_dtype

__all__ = ["End", "Head", "Layout", "LineState", "Slots", "scan", "step", "strength_dtype"]


def step(layout: Layout, action: Action, state: LineState) -> tuple[Tensor, LineState]:
    """One time step: the read `(batch, heads, width)` and the state after."""
    return reference.step(layout, action, state)


def scan(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, LineState]:
    """A whole sequence: the reads `(batch, time, heads, width)` and the state after."""
    return reference.scan(layout, actions, state)
