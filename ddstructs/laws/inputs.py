"""The laws of a memory as a module: its parameters, its dtypes, and the errors for invalid actions."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.actions import mapped, parts, with_value
from ddstructs.laws.runners import steps_of, whole
from ddstructs.memory import Memory
from ddstructs.testing import (
    EXACT,
    TOLERANCE,
    agree,
    assert_close,
    edges,
    for_all_actions,
    gradients,
    leaves,
    refused,
)

__all__ = ["a_memory_has_nothing_to_learn", "every_dtype_works", "wrong_actions_are_refused"]


def a_memory_has_nothing_to_learn(memory: Memory) -> None:
    """A memory has no parameters, and a copy of it, reloaded from its state dict, behaves the same."""
    assert not list(memory.parameters())
    file = io.BytesIO()
    torch.save(memory.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(memory)
    twin.load_state_dict(torch.load(file, weights_only=True))
    for action in edges(memory):
        agree(action, whole(memory), whole(twin))


def every_dtype_works(memory: Memory) -> None:
    """Reads have the dtype of the values and are close to those of float64; strengths are at least float32.

    The same holds after `state.to(dtype=...)`.
    """

    def check(dtype: torch.dtype, action: Any) -> None:
        exact = mapped(lambda part: part.to(dtype).double(), action)
        inputs = leaves(mapped(lambda part: part.to(dtype), exact))
        reads, state = memory(inputs)
        expected, expected_state = memory(exact)
        assert reads.dtype == dtype, f"reads of {dtype} are {reads.dtype}"
        assert_close(reads, expected.to(dtype), f"reads in {dtype}")
        for slope in parts(gradients(reads.float().sum(), inputs)):
            assert slope.isfinite().all(), f"gradients in {dtype} are not finite"
        cut = exact.value.shape[1] // 2
        _, moved = memory(steps_of(exact, slice(cut)))
        moved = moved.to(dtype=dtype)
        moved_contents = memory.contents(moved)
        after, last = memory(steps_of(inputs, slice(cut, None)), moved)
        assert_close(after, expected[:, cut:].to(dtype), f"reads after a state went to {dtype}")
        for contents in (memory.contents(state), moved_contents, memory.contents(last)):
            assert contents.values.dtype == dtype, f"values of {dtype} are {contents.values.dtype}"
            least = torch.promote_types(dtype, torch.float32)
            assert contents.strengths.dtype == least, f"strengths of {dtype} values are {contents.strengths.dtype}"
        strengths = memory.contents(expected_state).strengths.to(least)
        assert_close(memory.contents(state).strengths, strengths, f"strengths of {dtype} values")

    for dtype in TOLERANCE:
        for_all_actions(memory, partial(check, dtype), signals=EXACT, max_examples=12)


def wrong_actions_are_refused(memory: Memory) -> None:
    """A wrong shape raises a ValueError and a wrong dtype a TypeError, in `step` and in `forward`."""
    signals = memory.signals

    def zeros(*batch: int) -> Any:
        return signals.action(torch.zeros(*batch, signals.size), torch.zeros(*batch, memory.heads, memory.width))

    def another_head(action: Any, axis: int) -> Any:
        return mapped(lambda part: torch.cat([part, torch.zeros_like(part.sum(axis, keepdim=True))], axis), action)

    def wider(action: Any) -> Any:
        return with_value(action, pad(action.value, (0, 1)))

    def changed(action: Any, index: int, change: Callable[[Tensor], Tensor]) -> Any:
        every = parts(action)
        every[index] = change(every[index])
        rest = iter(every)
        return mapped(lambda _: next(rest), action)

    state, step, sequence = memory.initial_state(2), zeros(2), zeros(2, 3)
    steps: list[tuple[type[Exception], Any]] = [
        (ValueError, another_head(step, 1)),
        (ValueError, wider(step)),
        (ValueError, changed(step, 0, lambda part: part.new_zeros(3, *part.shape[1:]))),
        (ValueError, changed(step, 1, lambda part: part.unsqueeze(1))),
        (ValueError, sequence),
        (TypeError, changed(step, 1, lambda part: part.to(torch.int64))),
        (TypeError, changed(step, -1, lambda part: part.to(torch.bool))),
    ]
    sequences: list[tuple[type[Exception], Any]] = [
        (ValueError, step),
        (ValueError, another_head(sequence, 2)),
        (ValueError, wider(sequence)),
        (ValueError, changed(sequence, 0, lambda part: part.new_zeros(2, 4, *part.shape[2:]))),
        (TypeError, changed(sequence, 0, lambda part: part.to(torch.int64))),
    ]
    for error, action in steps:
        refused(error, memory.step, action, state)
    for error, action in sequences:
        refused(error, memory, action)
