"""The laws that hold for every memory, whatever its signals."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.actions import Action, Joint, mapped, parts, with_value
from ddstructs.memory import Contents, Memory
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
    "a_cut_changes_nothing",
    "a_memory_has_nothing_to_learn",
    "a_new_memory_is_empty",
    "a_reset_begins_afresh",
    "a_state_is_a_value",
    "batches_do_not_mix",
    "contents_are_tidy",
    "detach_cuts_the_past",
    "doing_nothing_changes_nothing",
    "every_dtype_works",
    "forward_is_step_in_a_loop",
    "select_is_indexing",
    "wrong_actions_are_refused",
]


def empty(memory: Memory, action: Any) -> Any:
    """The state of an empty memory with the batch size, device and dtype of an action."""
    return memory.initial_state(len(action.value), device=action.value.device, dtype=action.value.dtype)


def whole(memory: Memory) -> Runner:
    """A runner that calls `forward` on the whole sequence."""

    def run(action: Any) -> tuple[Tensor, Contents]:
        reads, state = memory(action)
        return reads, memory.contents(state)

    return run


def at(action: Any, times: slice) -> Any:
    """Select time steps of a sequence."""
    return mapped(lambda part: part[:, times], action)


def of(action: Any, rows: Tensor | slice) -> Any:
    """Select rows of the batch."""
    return mapped(lambda part: part[rows], action)


def a_new_memory_is_empty(memory: Memory) -> None:
    """`initial_state` has no strength, and has the requested dtype or torch's default."""
    for batch in (1, 3):
        for dtype in (None, torch.float64):
            values, strengths = memory.contents(memory.initial_state(batch, dtype=dtype))
            assert values.dtype == (dtype or torch.get_default_dtype()), f"values are {values.dtype}"
            assert values.shape == (batch, strengths.shape[1], memory.width), f"values have shape {values.shape}"
            assert strengths.shape[0] == batch, f"strengths have shape {strengths.shape}"
            assert not strengths.any(), f"strengths are {strengths}"


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


def forward_is_step_in_a_loop(memory: Memory) -> None:
    """`forward` gives the reads, gradients and contents of `step` in a loop."""

    def loop(action: Any) -> tuple[Tensor, Contents]:
        state = empty(memory, action)
        reads = [action.value.new_zeros(len(action.value), 0, memory.heads, memory.read_width)]
        for t in range(action.value.shape[1]):
            read, state = memory.step(mapped(lambda part, t=t: part[:, t], action), state)
            reads.append(read[:, None])
        return torch.cat(reads, dim=1), memory.contents(state)

    for_all_actions(memory, lambda action: agree(action, whole(memory), loop))


def a_cut_changes_nothing(memory: Memory) -> None:
    """Cutting a sequence in two anywhere, and carrying the state over the cut, does not change the results."""

    def check(action: Any) -> None:
        for cut in range(action.value.shape[1] + 1):

            def halves(action: Any, cut: int = cut) -> tuple[Tensor, Contents]:
                before, state = memory(at(action, slice(cut)))
                after, state = memory(at(action, slice(cut, None)), state)
                return torch.cat([before, after], dim=1), memory.contents(state)

            agree(action, whole(memory), halves)

    for_all_actions(memory, check, max_examples=12)


def a_reset_begins_afresh(memory: Memory) -> None:
    """A row with resets gives the results of its pieces, each run on its own from an empty memory."""

    def check(action: Any) -> None:
        batch, time = action.value.shape[:2]
        generator = torch.Generator().manual_seed(batch + 7 * time)
        for reset in (torch.rand(batch, time, generator=generator) < 0.4, torch.ones(batch, time, dtype=torch.bool)):

            def at_once(action: Any, reset: Tensor = reset) -> tuple[Tensor, Contents]:
                reads, state = memory(action, None, reset)
                return reads, memory.contents(state)

            def in_pieces(action: Any, reset: Tensor = reset) -> tuple[Tensor, Contents]:
                return side_by_side([_pieces(memory, of(action, slice(b, b + 1)), reset[b]) for b in range(batch)])

            agree(action, at_once, in_pieces)

    for_all_actions(memory, check, max_examples=12)


def _pieces(memory: Memory, row: Any, reset: Tensor) -> tuple[Tensor, Contents]:
    """Run the pieces of one row, each from an empty memory: all reads, and the contents after the last piece."""
    bounds = sorted({0, *(reset.nonzero()[:, 0].tolist())})
    ends = [*bounds[1:], row.value.shape[1]]
    done = [whole(memory)(at(row, slice(first, last))) for first, last in zip(bounds, ends, strict=True)]
    return torch.cat([reads for reads, _ in done], dim=1), done[-1][1]


def _without_ties(action: Any) -> Any:
    """The action without gradients of pushes of exactly 0."""
    if isinstance(action, Joint):
        return Joint(tuple(map(_without_ties, action.actions)))
    if not isinstance(action, Action):
        return action
    return action._replace(push=torch.where(action.push == 0, action.push.detach(), action.push))


def doing_nothing_changes_nothing(memory: Memory) -> None:
    """Steps that do nothing leave the contents of a row and its later reads unchanged.

    The gradients of pushes of exactly 0 are not compared. Such a push is at a tie: a pop in the next step has a
    derivative with respect to it, and a pop after a step that does nothing has none (the paper's rule for ties).
    """

    def check(action: Any) -> None:
        batch, time = action.value.shape[:2]
        idle = mapped(lambda part: part.repeat_interleave(2, dim=1), action)
        second = (torch.arange(2 * time) % 2 == 1).expand(batch, -1)

        def with_pauses(action: Any) -> tuple[Tensor, Contents]:
            both = mapped(lambda part: part.repeat_interleave(2, dim=1), _without_ties(action)).only(~second)
            reads, state = memory(both)
            return reads[:, ::2], memory.contents(state)

        agree(action, lambda action: whole(memory)(_without_ties(action)), with_pauses)
        reads, _ = memory(idle.only(~second))
        assert_close(reads[:, 1::2], reads[:, ::2], "reads of a step that does nothing")

    for_all_actions(memory, check)


def batches_do_not_mix(memory: Memory) -> None:
    """A row of a batch gives the results it gives on its own."""

    def alone(action: Any) -> tuple[Tensor, Contents]:
        return side_by_side([whole(memory)(of(action, slice(row, row + 1))) for row in range(len(action.value))])

    for_all_actions(memory, lambda action: agree(action, whole(memory), alone))


def side_by_side(rows: list[tuple[Tensor, Contents]]) -> tuple[Tensor, Contents]:
    """Join the reads and contents of single rows into those of a batch."""
    slots = max(contents.strengths.shape[1] for _, contents in rows)
    values, strengths = [], []
    for _, contents in rows:
        padding = slots - contents.strengths.shape[1]
        values.append(pad(contents.values, (0, 0, 0, padding)))
        strengths.append(pad(contents.strengths, (0, padding)))
    return torch.cat([reads for reads, _ in rows]), Contents(torch.cat(values), torch.cat(strengths))


def a_state_is_a_value(memory: Memory) -> None:
    """Two continuations of one state do not affect each other, and leave the state unchanged."""

    def check(action: Any) -> None:
        time = action.value.shape[1]
        past, future = at(action, slice(time // 2)), at(action, slice(time // 2, None))
        other = with_value(mapped(lambda part: part.flip(1), future), -future.value)
        _, state = memory(past)
        before = [part.clone() for part in memory.contents(state)]
        first, _ = memory(future, state)
        memory(other, state)
        for t in range(future.value.shape[1]):
            memory.step(mapped(lambda part, t=t: part[:, t], other), state)
        again, _ = memory(future, state)
        assert torch.equal(first, again), "a continuation depends on another continuation of the same state"
        for came, expected in zip(memory.contents(state), before, strict=True):
            assert torch.equal(came, expected), "a state was changed by the steps taken from it"

    for_all_actions(memory, check)


def detach_cuts_the_past(memory: Memory) -> None:
    """`state.detach()` keeps the reads and lets no gradient reach earlier steps."""

    def check(action: Any) -> None:
        inputs, cut = leaves(action), action.value.shape[1] // 2
        _, state = memory(at(inputs, slice(cut)))
        kept, _ = memory(at(inputs, slice(cut, None)), state)
        reads, after = memory(at(inputs, slice(cut, None)), state.detach())
        assert torch.equal(reads, kept), "detach changed the numbers"
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
            before, state = memory(at(action, slice(cut)))
            after, state = memory(at(of(action, rows), slice(cut, None)), state.select(rows))
            return torch.cat([before[rows], after], dim=1), memory.contents(state)

        agree(action, lambda action: whole(memory)(of(action, rows)), selected)

    for_all_actions(memory, check)


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
        for_all_actions(memory, partial(check, dtype), signals=EXACT, max_examples=12)


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
