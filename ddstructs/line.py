"""Memories on a line: values lie side by side, and pushes, pops and reads act at the two ends."""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar

import torch
from torch import Tensor

from ddstructs import ops
from ddstructs.memory import Action, Contents, Memory, check_batch, check_fit, check_reset, check_size
from ddstructs.ops import Head, Layout, LineState, Slots, compact, strength_dtype
from ddstructs.registry.ranges import Size
from ddstructs.signals import PushPop

__all__ = ["REPLACED", "LineMemory", "compact"]


REPLACED = frozenset({"step", "check", "signals", "initial_state", "emptied", "_fit"})
"""The methods that `ops` replaces on a line. A memory with its own version of one is not `Memory.line`."""


class LineMemory(Memory[LineState], ABC):
    """Base of stack, queue and deque, which differ only in the ends at which they push, pop and read.

    Args:
        width: Size of one value, 1 or more.

    Attributes:
        layout: The heads; each has the end at which it pushes, and the end at which it pops and reads.
    """

    layout: ClassVar[Layout]
    _plain: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Note whether the subclass overrides none of the methods that `ops` replaces."""
        super().__init_subclass__(**kwargs)
        cls._plain = all(getattr(cls, name) is getattr(LineMemory, name) for name in REPLACED)

    def __init__(self, width: Size = 64) -> None:
        super().__init__()
        self.width = check_size("width", width)
        self.heads = len(self.layout)
        self._signals = PushPop(self.heads)

    @property
    def signals(self) -> PushPop:
        return self._signals

    @property
    def ends(self) -> tuple[tuple[str, str], ...]:
        return tuple((head.push.name.lower(), head.take.name.lower()) for head in self.layout)

    @property
    def line(self) -> Layout | None:
        return self.layout if self._plain and not REPLACED & vars(self).keys() else None

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LineState:
        check_batch(batch_size)
        values = torch.zeros(batch_size, 0, self.width, device=device, dtype=dtype)
        return Slots(values, values.new_zeros(batch_size, 0, dtype=strength_dtype(values.dtype)), self.layout)

    def step(self, action: Action, state: LineState) -> tuple[Tensor, LineState]:
        self.check(action)
        return ops.step(self.layout, self._fit(action, state), state)

    def forward(
        self, actions: Action, state: LineState | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, LineState]:
        self.check(actions, time=True)
        if state is None:
            value = actions.value
            state = self.initial_state(value.shape[0], device=value.device, dtype=value.dtype)
        reset = check_reset(reset, actions.value)
        actions = self._fit(actions, state)
        if reset is not None:
            actions = actions._replace(pop=self._without_limit(actions.pop, reset))
        return ops.scan(self.layout, actions, state)

    def emptied(self, state: LineState, rows: Tensor) -> LineState:
        self._check_state(state)
        template = state.template
        value = template.new_zeros(len(template), self.heads, self.width)
        none = torch.zeros_like(value[..., 0], dtype=strength_dtype(template.dtype))
        return ops.step(self.layout, Action(none, self._without_limit(none, rows), value), state)[1]

    def _without_limit(self, pop: Tensor, where: Tensor) -> Tensor:
        """Set the pop of the first head to infinity where a mask is true; such a pop empties a line."""
        first = torch.arange(self.heads, device=pop.device) == 0
        return torch.where(where[..., None] & first, torch.inf, pop)

    def contents(self, state: LineState) -> Contents:
        self._check_state(state)
        slots = state.slots()
        return compact(Contents(slots.values, slots.strengths))

    def extra_repr(self) -> str:
        return str(self.width)

    def _fit(self, action: Action, state: LineState) -> Action:
        """Raise an error if an action does not fit the state; under autocast, cast it to the state's dtypes."""
        self._check_state(state)
        template = state.template
        value = check_fit(self, action.value, template)
        strength = strength_dtype(template.dtype)
        if action.push.dtype == action.pop.dtype == strength and value is action.value:
            return action
        return Action(action.push.to(strength), action.pop.to(strength), value)

    def _check_state(self, state: LineState) -> None:
        """Raise an error if a state belongs to another kind of memory."""
        kind = type(self).__name__
        if not isinstance(state, LineState):
            raise TypeError(f"state is a {type(state).__name__}, but a {kind} needs one from its own initial_state")
        if state.layout != self.layout and state.layout is not None:
            given, own = (", and ".join(map(_describe, layout)) for layout in (state.layout, self.layout))
            raise TypeError(
                f"state is of a memory that {given}, but a {kind} {own}: it needs one from its own initial_state"
            )


def _describe(head: Head) -> str:
    """The ends of a head in words."""
    push, take = head.push.name.lower(), head.take.name.lower()
    return f"pushes and pops at the {push}" if push == take else f"pushes at the {push} and pops at the {take}"
