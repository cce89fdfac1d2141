"""The laws of states: an empty memory, immutability, `detach`, `select`, and the form of contents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ddstructs.actions import mapped, parts, with_value
from ddstructs.laws.runners import rows_of, steps_of, whole
from ddstructs.memory import Contents, Memory
from ddstructs.testing import agree, cotangent, for_all_actions, gradients, leaves

__all__ = [
    "a_new_memory_is_empty",
    "a_state_is_a_value",
    "contents_are_tidy",
    "detach_cuts_the_past",
    "select_is_indexing",
]


def a_new_memory_is_empty(memory: Memory) -> None:
    """`initial_state` has no strength, and has the requested dtype or torch's default."""
    for batch in (1, 3):
        for dtype in (None, torch.float64):
            values, strengths = memory.contents(memory.initial_state(batch, dtype=dtype))
            assert values.dtype == (dtype or torch.get_default_dtype()), f"values are {values.dtype}"
            assert values.shape == (batch, strengths.shape[1], memory.width), f"values have shape {values.shape}"
            assert strengths.shape[0] == batch, f"strengths have shape {strengths.shape}"
            assert not strengths.any(), f"strengths are {strengths}"


def a_state_is_a_value(memory: Memory) -> None:
    """Two continuations of one state do not affect each other, and leave the state unchanged."""

    def check(action: Any) -> None:
        time = action.value.shape[1]
        past, future = steps_of(action, slice(time // 2)), steps_of(action, slice(time // 2, None))
        other = with_value(mapped(lambda part: part.flip(1), future), -future.value)
        _, state = memory(past)
        before = [part.clone() for part in memory.contents(state)]
        first, _ = memory(future, state)
        memory(other, state)
        for t in range(future.value.shape[1]):
            memory.step(mapped(lambda part, t=t: part[:, t], other), state)
        again, _ = memory(future, state)
        assert torch.equal(first, again), "a continuation depends on another continuation of the same state"
        for part, expected in zip(memory.contents(state), before, strict=True):
            assert torch.equal(part, expected), "a state was changed by the steps taken from it"

    for_all_actions(memory, check)


def detach_cuts_the_past(memory: Memory) -> None:
    """`state.detach()` keeps the reads and lets no gradient reach earlier steps."""

    def check(action: Any) -> None:
        inputs, cut = leaves(action), action.value.shape[1] // 2
        _, state = memory(steps_of(inputs, slice(cut)))
        expected, _ = memory(steps_of(inputs, slice(cut, None)), state)
        reads, after = memory(steps_of(inputs, slice(cut, None)), state.detach())
        assert torch.equal(reads, expected), "detach changed the reads"
        loss = (reads * cotangent(reads)).sum() + memory.contents(after).values.sum()
        for slope in parts(gradients(loss, inputs)):
            assert not slope[:, :cut].any(), "a gradient passed through detach"

    for_all_actions(memory, check)


def select_is_indexing(memory: Memory) -> None:
    """`state.select(rows)` continues as if only these rows had been run; rows may repeat."""

    def check(action: Any) -> None:
        last, cut = len(action.value) - 1, action.value.shape[1] // 2
        rows = torch.tensor([last, 0, last])

        def selected(action: Any) -> tuple[Tensor, Contents]:
            before, state = memory(steps_of(action, slice(cut)))
            after, state = memory(steps_of(rows_of(action, rows), slice(cut, None)), state.select(rows))
            return torch.cat([before[rows], after], dim=1), memory.contents(state)

        agree(action, lambda action: whole(memory)(rows_of(action, rows)), selected)

    for_all_actions(memory, check)


def contents_are_tidy(memory: Memory) -> None:
    """Live slots come first in each row, no strength is negative, and dead slots are zero."""

    def check(action: Any) -> None:
        values, strengths = memory.contents(memory(action)[1])
        assert values.shape == (*strengths.shape, memory.width), f"values have shape {tuple(values.shape)}"
        assert values.isfinite().all(), "a value is not finite"
        live = strengths > 0
        assert (strengths >= 0).all(), "a strength is negative or NaN"
        assert not (live[:, 1:] & ~live[:, :-1]).any(), "a live slot comes after a dead one"
        assert not values[~live].any(), "a slot without strength holds a value"
        assert live.any(dim=0).all(), "a slot is dead in every row"

    for_all_actions(memory, check)
