"""A line memory in a buffer of fixed size is the memory itself under hard signals, until it overflows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kinds import EVERYTHING, LINES

from ddstructs import Action, Bank, Memory, NoMemory, Queue, Stack, Tape
from ddstructs.actions import harden
from ddstructs.export.buffer import Buffer, bounded
from ddstructs.laws import LAWS
from ddstructs.line import LineMemory
from ddstructs.ops import End, Head
from ddstructs.testing import for_all_actions


class Odd(LineMemory):
    """Three heads, two of which pop where others push."""

    layout = (Head(End.TOP, End.BOTTOM), Head(End.TOP, End.TOP), Head(End.BOTTOM, End.TOP))


KINDS: dict[str, Callable[[int], Memory]] = {**LINES, "odd": Odd}
ROOM = 32
"""More than any sequence drawn here pushes."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("law", LAWS)
def test_a_buffer_is_a_memory(law: Callable[[Memory], None], kind: str) -> None:
    law(Buffer(KINDS[kind](3), ROOM))


@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_equals_its_memory_bit_for_bit(kind: str) -> None:
    memory = KINDS[kind](3)
    buffer = Buffer(memory, ROOM)

    def check(actions: Any) -> None:
        hard = harden(actions)
        reads, state = buffer(hard)
        expected, after = memory(hard)
        assert torch.equal(reads, expected)
        assert not state.overflow.any()
        for came, wanted in zip(buffer.contents(state), memory.contents(after), strict=True):
            assert torch.equal(came, wanted)

    for_all_actions(memory, check, max_time=10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity", [1, 2, 3, 5])
def test_a_small_buffer_is_right_until_it_says_that_it_overflows(kind: str, capacity: int) -> None:
    memory = KINDS[kind](2)
    buffer = Buffer(memory, capacity)
    torch.manual_seed(0)
    signals = torch.randint(0, 2, (2, 40, 30, memory.heads)).float()
    actions = Action(signals[0], signals[1], torch.randn(40, 30, memory.heads, 2))
    expected, most = memory(actions)[0], torch.zeros(40)
    state, of_memory = buffer.initial_state(40), memory.initial_state(40)
    right, full = torch.ones(40, dtype=torch.bool), torch.zeros(40, dtype=torch.bool)
    for t in range(30):
        action = Action(*(part[:, t] for part in actions))
        read, state = buffer.step(action, state)
        _, of_memory = memory.step(action, of_memory)
        depth = memory.contents(of_memory).strengths.sum(1)
        most = torch.maximum(most, depth)
        right = right & (depth <= capacity)
        assert torch.equal(state.overflow, ~right)
        assert torch.equal(read[right], expected[right, t])
        full = full | (depth == capacity)
    assert full.any(), "no row was ever full"
    assert not right.all(), "no row overflowed"


def test_a_queue_goes_round_a_buffer() -> None:
    """A queue that never holds more than two values works for ever in a buffer of two."""
    ones, values = torch.ones(1, 100, 1), torch.arange(100.0).view(1, 100, 1, 1)
    reads, state = Buffer(Queue(1), 2)(Action(ones, (torch.arange(100) > 0).float().view(1, 100, 1), values))
    assert torch.equal(reads, values)
    assert not state.overflow


@pytest.mark.parametrize("kind", [kind for kind in EVERYTHING if EVERYTHING[kind](2).line is None])
def test_only_a_line_memory_has_a_buffer(kind: str) -> None:
    with pytest.raises(ValueError, match="line memory"):
        Buffer(EVERYTHING[kind](2), 4)


def test_only_line_memories_are_replaced() -> None:
    mixed = Bank([Stack(2), Bank([Queue(2), Tape(2)])])
    made = bounded(mixed, 4)
    kinds = [type(part).__name__ for part in made.modules() if isinstance(part, Memory)]
    assert kinds == ["Bank", "Buffer", "Stack", "Bank", "Buffer", "Queue", "Tape"]
    assert not any(isinstance(part, Buffer) for part in mixed.modules())
    assert type(bounded(NoMemory(), 4)) is NoMemory


@pytest.mark.parametrize(("capacity", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_capacity_that_is_no_size_is_refused(capacity: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="capacity"):
        Buffer(Stack(2), capacity)
