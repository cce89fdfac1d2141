"""The laws of sequences: `forward` and `step`, cuts, resets, pauses, and the rows of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ddstructs.actions import Action, Joint, mapped
from ddstructs.laws.runners import empty, rows_of, side_by_side, steps_of, whole
from ddstructs.memory import Contents, Memory
from ddstructs.testing import agree, assert_close, for_all_actions

__all__ = [
    "a_cut_changes_nothing",
    "a_reset_begins_afresh",
    "batches_do_not_mix",
    "doing_nothing_changes_nothing",
    "forward_is_step_in_a_loop",
]


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
                before, state = memory(steps_of(action, slice(cut)))
                after, state = memory(steps_of(action, slice(cut, None)), state)
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
                return side_by_side([_pieces(memory, rows_of(action, slice(b, b + 1)), reset[b]) for b in range(batch)])

            agree(action, at_once, in_pieces)

    for_all_actions(memory, check, max_examples=12)


def _pieces(memory: Memory, row: Any, reset: Tensor) -> tuple[Tensor, Contents]:
    """Run the pieces of one row, each from an empty memory: all reads, and the contents after the last piece."""
    bounds = sorted({0, *(reset.nonzero()[:, 0].tolist())})
    ends = [*bounds[1:], row.value.shape[1]]
    done = [whole(memory)(steps_of(row, slice(first, last))) for first, last in zip(bounds, ends, strict=True)]
    return torch.cat([reads for reads, _ in done], dim=1), done[-1][1]


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


def _without_ties(action: Any) -> Any:
    """The action without gradients of pushes of exactly 0."""
    if isinstance(action, Joint):
        return Joint(tuple(map(_without_ties, action.actions)))
    if not isinstance(action, Action):
        return action
    return action._replace(push=torch.where(action.push == 0, action.push.detach(), action.push))


def batches_do_not_mix(memory: Memory) -> None:
    """A row of a batch gives the results it gives on its own."""

    def alone(action: Any) -> tuple[Tensor, Contents]:
        return side_by_side([whole(memory)(rows_of(action, slice(row, row + 1))) for row in range(len(action.value))])

    for_all_actions(memory, lambda action: agree(action, whole(memory), alone))
