"""The laws of every memory, as functions to call from a test: the contract of a plugin, and of our own structures.

A law takes a memory, draws actions for it with hypothesis (`pip install hypothesis`), and raises when it is broken. One
test runs them all:

    @pytest.mark.parametrize("law", ddstructs.laws.LAWS)
    def test_my_memory_keeps_the_law(law):
        law(MyMemory(width=3))

Example:
    >>> from ddstructs import Stack
    >>> from ddstructs.laws import a_cut_changes_nothing
    >>> a_cut_changes_nothing(Stack(width=2))
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.memory import Action, Contents, Memory
from ddstructs.testing import (
    EXACT,
    TOLERANCE,
    Runner,
    agree,
    assert_close,
    cotangent,
    edges,
    for_all_actions,
    gradients,
    leaves,
    refused,
)

__all__ = [
    "LAWS",
    "a_cut_changes_nothing",
    "a_memory_has_nothing_to_learn",
    "a_new_memory_is_empty",
    "a_state_is_a_value",
    "batches_do_not_mix",
    "contents_are_tidy",
    "detach_cuts_the_past",
    "every_dtype_works",
    "forward_is_step_in_a_loop",
    "select_is_indexing",
    "wrong_actions_are_refused",
]


def empty(memory: Memory, action: Action) -> Any:
    """The state to begin with: an empty memory for the batch and dtype of an action."""
    return memory.initial_state(len(action.value), device=action.value.device, dtype=action.value.dtype)


def whole(memory: Memory) -> Runner:
    """Run a sequence with `forward`."""

    def run(action: Action) -> tuple[Tensor, Contents]:
        reads, state = memory(action)
        return reads, memory.contents(state)

    return run


def at(action: Action, times: slice) -> Action:
    """A part of a sequence."""
    return Action(*(part[:, times] for part in action))


def of(action: Action, rows: Tensor | slice) -> Action:
    """Some rows of the batch."""
    return Action(*(part[rows] for part in action))


def a_new_memory_is_empty(memory: Memory) -> None:
    """`initial_state` holds no strength, in the dtype asked for, or in torch's default."""
    for batch in (1, 3):
        for dtype in (None, torch.float64):
            values, strengths = memory.contents(memory.initial_state(batch, dtype=dtype))
            assert values.dtype == (dtype or torch.get_default_dtype()), f"values are {values.dtype}"
            assert values.shape == (batch, strengths.shape[1], memory.width), f"values have shape {values.shape}"
            assert strengths.shape[0] == batch, f"strengths have shape {strengths.shape}"
            assert not strengths.any(), f"strengths are {strengths}"


def a_memory_has_nothing_to_learn(memory: Memory) -> None:
    """No parameters; a copy, and a memory with the weights of another, are the same memory."""
    assert not list(memory.parameters())
    file = io.BytesIO()
    torch.save(memory.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(memory)
    twin.load_state_dict(torch.load(file, weights_only=True))
    for action in edges(memory.heads, memory.width):
        agree(action, whole(memory), whole(twin))


def forward_is_step_in_a_loop(memory: Memory) -> None:
    """Reads, gradients and contents of `forward` are those of `step`, called once for each step."""

    def loop(action: Action) -> tuple[Tensor, Contents]:
        state, reads = empty(memory, action), [action.value.new_zeros(action.value.shape)[:, :0]]
        for t in range(action.value.shape[1]):
            read, state = memory.step(Action(*(part[:, t] for part in action)), state)
            reads.append(read[:, None])
        return torch.cat(reads, dim=1), memory.contents(state)

    for_all_actions(memory.heads, memory.width, lambda action: agree(action, whole(memory), loop))


def a_cut_changes_nothing(memory: Memory) -> None:
    """A sequence cut in two anywhere, its state carried over the cut, has the results of the whole."""

    def check(action: Action) -> None:
        for cut in range(action.value.shape[1] + 1):

            def halves(action: Action, cut: int = cut) -> tuple[Tensor, Contents]:
                before, state = memory(at(action, slice(cut)))
                after, state = memory(at(action, slice(cut, None)), state)
                return torch.cat([before, after], dim=1), memory.contents(state)

            agree(action, whole(memory), halves)

    for_all_actions(memory.heads, memory.width, check, max_examples=12)


def batches_do_not_mix(memory: Memory) -> None:
    """A row of a batch has the reads, gradients and contents that it has alone."""

    def alone(action: Action) -> tuple[Tensor, Contents]:
        rows = [whole(memory)(of(action, slice(row, row + 1))) for row in range(len(action.value))]
        slots = max(contents.strengths.shape[1] for _, contents in rows)
        values, strengths = [], []
        for _, contents in rows:
            padding = slots - contents.strengths.shape[1]
            values.append(pad(contents.values, (0, 0, 0, padding)))
            strengths.append(pad(contents.strengths, (0, padding)))
        return torch.cat([reads for reads, _ in rows]), Contents(torch.cat(values), torch.cat(strengths))

    for_all_actions(memory.heads, memory.width, lambda action: agree(action, whole(memory), alone))


def a_state_is_a_value(memory: Memory) -> None:
    """Two futures of one state do not know of each other, and the state stays as it was."""

    def check(action: Action) -> None:
        time = action.value.shape[1]
        past, future = at(action, slice(time // 2)), at(action, slice(time // 2, None))
        other = Action(1 - future.push, 1 - future.pop, -future.value)
        _, state = memory(past)
        before = [part.clone() for part in memory.contents(state)]
        first, _ = memory(future, state)
        memory(other, state)
        for t in range(future.value.shape[1]):
            memory.step(Action(*(part[:, t] for part in other)), state)
        again, _ = memory(future, state)
        assert torch.equal(first, again), "a future depends on another future of the same state"
        for came, expected in zip(memory.contents(state), before, strict=True):
            assert torch.equal(came, expected), "a state was changed by the steps taken from it"

    for_all_actions(memory.heads, memory.width, check)


def detach_cuts_the_past(memory: Memory) -> None:
    """After `state.detach()` the reads are the same, and no gradient reaches the steps before."""

    def check(action: Action) -> None:
        inputs, cut = leaves(action), action.value.shape[1] // 2
        _, state = memory(at(inputs, slice(cut)))
        kept, _ = memory(at(inputs, slice(cut, None)), state)
        reads, after = memory(at(inputs, slice(cut, None)), state.detach())
        assert torch.equal(reads, kept), "detach changed the numbers"
        for slope in gradients((reads * cotangent(reads)).sum() + memory.contents(after).values.sum(), inputs):
            assert not slope[:, :cut].any(), "a gradient passed through detach"

    for_all_actions(memory.heads, memory.width, check)


def select_is_indexing(memory: Memory) -> None:
    """`state.select(rows)` goes on as these rows would have from the start, a row taken twice included."""

    def check(action: Action) -> None:
        last, cut = len(action.value) - 1, action.value.shape[1] // 2
        rows = torch.tensor([last, 0, last])

        def selected(action: Action) -> tuple[Tensor, Contents]:
            before, state = memory(at(action, slice(cut)))
            after, state = memory(at(of(action, rows), slice(cut, None)), state.select(rows))
            return torch.cat([before[rows], after], dim=1), memory.contents(state)

        agree(action, lambda action: whole(memory)(of(action, rows)), selected)

    for_all_actions(memory.heads, memory.width, check)


def every_dtype_works(memory: Memory) -> None:
    """Reads come in the dtype of the values and near those of float64; strengths are at least float32.

    So they do after `state.to(dtype=...)`.
    """

    def check(dtype: torch.dtype, action: Action) -> None:
        exact = Action(*(part.to(dtype).double() for part in action))
        inputs = leaves(Action(*(part.to(dtype) for part in exact)))
        reads, state = memory(inputs)
        expected, expected_state = memory(exact)
        assert reads.dtype == dtype, f"reads of {dtype} are {reads.dtype}"
        assert_close(reads, expected.to(dtype), f"reads in {dtype}")
        for slope in gradients(reads.float().sum(), inputs):
            assert slope.isfinite().all(), f"gradients in {dtype} are not finite"
        cut = exact.value.shape[1] // 2
        _, moved = memory(at(exact, slice(cut)))
        moved = moved.to(dtype=dtype)
        moved_contents = memory.contents(moved)
        after, last = memory(at(inputs, slice(cut, None)), moved)
        assert_close(after, expected[:, cut:].to(dtype), f"reads after a state went to {dtype}")
        for contents in (memory.contents(state), moved_contents, memory.contents(last)):
            assert contents.values.dtype == dtype, f"values of {dtype} are {contents.values.dtype}"
            least = torch.promote_types(dtype, torch.float32)
            assert contents.strengths.dtype == least, f"strengths beside {dtype} are {contents.strengths.dtype}"
        strengths = memory.contents(expected_state).strengths.to(least)
        assert_close(memory.contents(state).strengths, strengths, f"strengths beside {dtype}")

    for dtype in TOLERANCE:
        for_all_actions(memory.heads, memory.width, partial(check, dtype), signals=EXACT, max_examples=12)


def contents_are_tidy(memory: Memory) -> None:
    """Live slots come first in each row, no strength is negative, and what is not live is zero."""

    def check(action: Action) -> None:
        values, strengths = memory.contents(memory(action)[1])
        assert values.shape == (*strengths.shape, memory.width), f"values have shape {tuple(values.shape)}"
        assert values.isfinite().all(), "a value is not finite"
        live = strengths > 0
        assert (strengths >= 0).all(), "a strength is negative or NaN"
        assert not (live[:, 1:] & ~live[:, :-1]).any(), "a live slot comes after a dead one"
        assert not values[~live].any(), "a slot without strength holds a value"
        assert live.any(dim=0).all(), "a slot is dead in every row"

    for_all_actions(memory.heads, memory.width, check)


def wrong_actions_are_refused(memory: Memory) -> None:
    """A wrong shape is a ValueError and a wrong dtype a TypeError, in `step` and in `forward`."""
    heads, width = memory.heads, memory.width

    def zeros(*batch: int, heads: int = heads, width: int = width) -> Action:
        return Action(torch.zeros(*batch, heads), torch.zeros(*batch, heads), torch.zeros(*batch, heads, width))

    state = memory.initial_state(2)
    steps: list[tuple[type[Exception], Action]] = [
        (ValueError, zeros(2, heads=heads + 1)),
        (ValueError, zeros(2, width=width + 1)),
        (ValueError, zeros(2)._replace(push=torch.zeros(3, heads))),
        (ValueError, zeros(2)._replace(pop=torch.zeros(2, 1, heads))),
        (ValueError, zeros(2, 3)),
        (TypeError, zeros(2)._replace(pop=torch.zeros(2, heads, dtype=torch.int64))),
        (TypeError, zeros(2)._replace(value=torch.zeros(2, heads, width, dtype=torch.bool))),
    ]
    sequences: list[tuple[type[Exception], Action]] = [
        (ValueError, zeros(2)),
        (ValueError, zeros(2, 3, heads=heads + 1)),
        (ValueError, zeros(2, 3, width=width + 1)),
        (ValueError, zeros(2, 3)._replace(push=torch.zeros(2, 4, heads))),
        (TypeError, zeros(2, 3)._replace(push=torch.zeros(2, 3, heads, dtype=torch.int64))),
    ]
    for error, action in steps:
        refused(error, memory.step, action, state)
    for error, action in sequences:
        refused(error, memory, action)


LAWS: tuple[Callable[[Memory], None], ...] = (
    a_new_memory_is_empty,
    a_memory_has_nothing_to_learn,
    forward_is_step_in_a_loop,
    a_cut_changes_nothing,
    batches_do_not_mix,
    a_state_is_a_value,
    detach_cuts_the_past,
    select_is_indexing,
    every_dtype_works,
    contents_are_tidy,
    wrong_actions_are_refused,
)
"""What holds for every memory."""
