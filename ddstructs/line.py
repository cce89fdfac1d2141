"""A memory on a line: values lie side by side, and pushes, pops and reads happen at its two ends."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor

from ddstructs import ops
from ddstructs.memory import Action, Contents, Memory
from ddstructs.ops import Layout, LineState, Slots, compact, strength_dtype

__all__ = ["LineMemory", "compact"]


class LineMemory(Memory[LineState], ABC):
    """What stack, queue and deque share: everything but the ends at which they push, pop and read.

    Args:
        width: Size of one value, 1 or more.

    Attributes:
        layout: The heads, each with the end where it pushes and the end where it takes.
    """

    layout: ClassVar[Layout]

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        if not isinstance(width, int) or isinstance(width, bool):
            raise TypeError(f"width is {width!r}, but the size of a value is an int")
        if width < 1:
            raise ValueError(f"width is {width}, but a value has at least one element")
        self.width = width
        self.heads = len(self.layout)

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LineState:
        values = torch.zeros(batch_size, 0, self.width, device=device, dtype=dtype)
        return Slots(values, values.new_zeros(batch_size, 0, dtype=strength_dtype(values.dtype)))

    def step(self, action: Action, state: LineState) -> tuple[Tensor, LineState]:
        self.check(action)
        return ops.step(self.layout, self._fit(action, state), state)

    def forward(self, actions: Action, state: LineState | None = None) -> tuple[Tensor, LineState]:
        self.check(actions, time=True)
        if state is None:
            value = actions.value
            state = self.initial_state(len(value), device=value.device, dtype=value.dtype)
        return ops.scan(self.layout, self._fit(actions, state), state)

    def contents(self, state: LineState) -> Contents:
        slots = state.slots()
        return compact(Contents(slots.values, slots.strengths))

    def extra_repr(self) -> str:
        return str(self.width)

    def _fit(self, action: Action, state: LineState) -> Action:
        """Refuse an action that does not fit the state; under autocast, cast it to the dtypes of the state."""
        kind, value = type(self).__name__, action.value
        if not isinstance(state, LineState):
            raise TypeError(f"state is a {type(state).__name__}, but a {kind} steps from its own initial_state")
        template = state.template
        if value.shape[0] != template.shape[0]:
            raise ValueError(
                f"value has batch {value.shape[0]}, but the state of this {kind} has batch {template.shape[0]}"
            )
        if template.shape[-1] != self.width:
            raise ValueError(f"state holds width {template.shape[-1]}, but this {kind} stores width {self.width}")
        if value.device != template.device:
            raise ValueError(f"value is on {value.device}, but the state is on {template.device}: use state.to(device)")
        if value.dtype != template.dtype and not torch.is_autocast_enabled(value.device.type):
            raise TypeError(f"value is {value.dtype}, but the state holds {template.dtype}: use state.to(dtype=...)")
        strength = strength_dtype(template.dtype)
        if action.push.dtype == action.pop.dtype == strength and value.dtype == template.dtype:
            return action
        return Action(action.push.to(strength), action.pop.to(strength), value.to(template.dtype))
