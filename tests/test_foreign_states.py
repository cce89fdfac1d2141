"""A memory refuses the state of another structure, even if all sizes are the same."""

import io
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from ddstructs import (
    Action,
    Bank,
    Deque,
    Memory,
    MemoryLayer,
    MemoryRNN,
    Queue,
    Stack,
    Structure,
    SuperpositionStack,
    Tape,
    ops,
)
from ddstructs.nn.attention import CausalAttention
from ddstructs.nn.recurrent import Recurrent
from ddstructs.state import State


def other_states(memory: Memory) -> list[State]:
    """The states that a memory yields: the first one, and those after a sequence and after a step, also if copied."""
    signals = memory.signals
    first, value = memory.initial_state(2), torch.zeros(2, 20, memory.heads, memory.width)
    actions = signals.action(torch.zeros(2, 20, signals.size, requires_grad=True), value)
    step = signals.action(torch.zeros(2, signals.size), value[:, 0])
    states = [first, memory(actions)[1], memory.step(step, first)[1]]
    with ops.using("reference"):
        states += [memory(actions)[1], memory.step(step, first)[1]]
    rows = torch.tensor([1, 0])
    copies = [
        copy for state in states for copy in (state.detach(), state.to(dtype=torch.float64).to(dtype=torch.float32))
    ]
    trees = [tree_map_only(Tensor, Tensor.clone, state) for state in states]
    return [*states, *copies, *trees, *(state.select(rows) for state in states), *map(through_a_file, states)]


def through_a_file(state: State) -> State:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return cast("State", torch.load(file, weights_only=True))


def run_step(memory: Memory, state: State) -> None:
    signals = memory.signals
    memory.step(signals.action(torch.zeros(2, signals.size), torch.zeros(2, memory.heads, memory.width)), state)


def run_sequence(memory: Memory, state: State) -> None:
    signals = memory.signals
    memory(signals.action(torch.zeros(2, 4, signals.size), torch.zeros(2, 4, memory.heads, memory.width)), state)


USES: list[Callable[[Memory, Any], object]] = [
    run_step,
    run_sequence,
    lambda memory, state: memory.contents(state),
    lambda memory, state: memory.emptied(state, torch.tensor([True, False])),
]

STACKED, QUEUED = "pushes and pops at the top", "pushes at the top and pops at the bottom"
DOUBLE = "pushes and pops at the top, and pushes and pops at the bottom"

LOOKALIKES: list[tuple[Memory, Memory, int, str]] = [
    (Stack(3), Queue(3), 4, f"state is of a memory that {QUEUED}, but a Stack {STACKED}: "),
    (Queue(3), Stack(3), 4, f"state is of a memory that {STACKED}, but a Queue {QUEUED}: "),
    (Deque(3), Stack(3), 4, f"state is of a memory that {STACKED}, but a Deque {DOUBLE}: "),
    (Bank([Stack(3), Queue(3)]), Bank([Queue(3), Stack(3)]), 4,
     f"state is of a memory that {QUEUED}, but a Stack {STACKED}: "),
    (SuperpositionStack(3), Tape(3), 2, "state is a TapeCells, but a SuperpositionStack needs one from its own "),
    (Tape(3), SuperpositionStack(3), 2, "state is a Cells, but a Tape needs one from its own initial_state"),
    (Tape(3, size=4), Tape(3, size=5), 2, "state has 5 cells, but this Tape has 4: use one from its own initial_state"),
]  # fmt: skip
"""A memory, another one of the same sizes, how many of `USES` see the difference, and the error."""


@pytest.mark.parametrize(("memory", "other", "uses", "message"), LOOKALIKES, ids=[row[3] for row in LOOKALIKES])
def test_the_state_of_another_structure_of_the_same_sizes_is_refused(
    memory: Memory, other: Memory, uses: int, message: str
) -> None:
    for state in other_states(other):
        for use in USES[:uses]:
            use(other, state)
            with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
                use(memory, state)


@pytest.mark.parametrize(("memory", "other", "uses", "message"), LOOKALIKES, ids=[row[3] for row in LOOKALIKES])
def test_a_network_refuses_the_state_of_one_with_another_memory(
    memory: Memory, other: Memory, uses: int, message: str
) -> None:
    x = torch.randn(2, 5, 3)
    network, another = (MemoryRNN(3, 5, each, batch_first=True) for each in (memory, other))
    for state in (another.initial_state(2), another(x)[1], another(x)[1].detach()):
        if memory.heads == other.heads:
            with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
                network(x, state)
        with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
            MemoryLayer(3, memory, batch_first=True)(x[:, :1], MemoryLayer(3, other, batch_first=True)(x)[1])


def test_a_line_continues_from_a_state_that_does_not_name_its_ends() -> None:
    stack, actions = Stack(3), Action(torch.rand(2, 4, 1), torch.rand(2, 4, 1), torch.rand(2, 4, 1, 3))
    state = stack(actions)[1]
    old = ops.Slots(state.slots().values, state.slots().strengths)
    torch.testing.assert_close(stack(actions, old)[0], stack(actions, state)[0])


def test_a_structure_refuses_the_state_of_another_form() -> None:
    class Latch(Structure):
        """A single cell, or several."""

        operations = ("hold", "put")

        def __init__(self, width: int, cells: int) -> None:
            super().__init__(width)
            self.cells = cells

        def empty(self) -> Tensor:
            return torch.zeros(getattr(self, "cells", 1), self.width)

        def hold(self, state: Tensor) -> Tensor:
            return state

        def put(self, state: Tensor, item: Tensor) -> Tensor:
            return item.expand_as(state)

        def read(self, state: Tensor) -> Tensor:
            return state[0]

    run_sequence(Latch(3, 1), Latch(3, 1).initial_state(2))
    with pytest.raises(ValueError, match=r"^state has tensors of \[\(1, 2, 3\)\] in each row, but this Latch has"):
        run_sequence(Latch(3, 1), Latch(3, 2).initial_state(2))


@pytest.mark.parametrize(
    ("layer", "other", "error", "message"),
    [
        (CausalAttention(4, 2), Recurrent(4), TypeError, "state is a RecurrentState, but attention continues from a "),
        (CausalAttention(4, 2), CausalAttention(4, 1), ValueError, "the state has 1 heads of size 4, but this layer "),
        (Recurrent(4), CausalAttention(4, 2), TypeError, "state is a AttentionState, but a recurrent layer continues "),
        (
            Recurrent(4),
            Recurrent(4, "gru"),
            ValueError,
            "the state has tensors of [(2, 4)], but [(2, 4), (2, 4)] were ",
        ),
        (
            MemoryLayer(4, Stack(3), batch_first=True),
            Recurrent(4),
            TypeError,
            "state is a RecurrentState, but a Memory",
        ),
    ],
)
def test_a_layer_refuses_the_state_of_another(layer: Any, other: Any, error: type[Exception], message: str) -> None:
    x = torch.randn(2, 3, 4)
    assert layer(x, layer.initial_state(2))[0].shape == x.shape
    for state in (other.initial_state(2), other(x)[1]):
        with pytest.raises(error, match=f"^{re.escape(message)}"):
            layer(x, state)
