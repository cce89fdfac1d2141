"""A structure declared by pure functions is a memory, and mistakes in it are reported by the constructor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from kinds import Ring
from torch import Tensor

from ddstructs import Choice, MemoryRNN, Structure, SuperpositionStack
from ddstructs.laws import Model, hard_signals_are_discrete
from ddstructs.testing import agree, for_all_actions


class ShortStack(Structure):
    """A stack of nine cells, whose lowest value falls off."""

    operations = ("push", "pop", "noop")

    def empty(self) -> Tensor:
        return torch.zeros(9, self.width)

    def push(self, cells: Tensor, item: Tensor) -> Tensor:
        return torch.cat([item[None], cells[:-1]])

    def pop(self, cells: Tensor) -> Tensor:
        return torch.cat([cells[1:], torch.zeros_like(cells[:1])])

    def noop(self, cells: Tensor) -> Tensor:
        return cells

    def read(self, state: Tensor) -> Tensor:
        return state[0]


class RingModel(Model):
    """Two lists of at most five items."""

    def __init__(self) -> None:
        self.queues: list[list[Tensor]] = [[], []]

    def step(self, signals: Mapping[str, Sequence[bool]], values: Sequence[Tensor]) -> list[Tensor | None]:
        for head, queue in enumerate(self.queues):
            if signals["dequeue"][head]:
                del queue[:1]
            if signals["enqueue"][head] and len(queue) < 5:
                queue.append(values[head])
        return [queue[0] if queue else None for queue in self.queues]

    def contents(self) -> list[Tensor]:
        return [item for queue in self.queues for item in queue]


def test_hard_choices_are_the_structure() -> None:
    hard_signals_are_discrete(Ring(3), RingModel)


def test_a_declared_stack_is_the_superposition_stack() -> None:
    """Reads and gradients, up to the depth of the declared one."""

    def reads_of(memory: Any, actions: Choice) -> Any:
        reads, _ = memory(actions)
        return reads, ShortStack(2).contents(ShortStack(2).initial_state(len(reads), dtype=reads.dtype))

    def check(actions: Choice) -> None:
        agree(actions, lambda a: reads_of(ShortStack(2), a), lambda a: reads_of(SuperpositionStack(2, depth=9), a))

    for_all_actions(ShortStack(2), check)


def test_checkpoints_over_time_change_nothing_but_what_is_kept() -> None:
    """Reads, gradients and contents are the same, and fewer bytes are saved for backward."""
    kept: dict[int | None, int] = {}

    def run(steps: int | None, actions: Choice) -> Any:
        kept[steps] = 0

        def keep(tensor: Tensor) -> Tensor:
            kept[steps] += tensor.numel()
            return tensor

        memory = Ring(2)
        memory.checkpoint = steps
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            reads, state = memory(actions)
        return reads, memory.contents(state)

    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 64, 2, 3, generator=generator, dtype=torch.float64).softmax(-1)
    actions = Choice(weights, torch.randn(2, 64, 2, 2, generator=generator, dtype=torch.float64))
    agree(actions, lambda a: run(None, a), lambda a: run(8, a))
    assert kept[8] < kept[None] / 3


def test_a_structure_trains_in_a_network() -> None:
    torch.manual_seed(0)
    rnn = MemoryRNN(3, 8, Ring(4), batch_first=True)
    output, state = rnn(torch.randn(2, 6, 3), lengths=[6, 3])
    output.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in rnn.parameters())
    rnn(torch.randn(2, 2, 3), state.detach())


def broken(**changes: Any) -> type[Structure]:
    """The short stack with some methods replaced."""
    return type("Broken", (ShortStack,), changes)


def in_place(self: Structure, cells: Tensor, item: Tensor) -> Tensor:
    cells[0] = item
    return cells


BROKEN = [
    ({"push": in_place}, "Broken.push modifies its state in place, but it must return a new one"),
    ({"push": lambda self, cells, item: None}, "Broken.push returns None, but it must return its result"),
    (
        {"push": lambda self, cells, item: torch.cat([item[None], cells])},
        "Broken.push returns a tensor of shape (10, 2) where empty has (9, 2): every operation must keep the shapes",
    ),
    ({"pop": lambda self, cells: (cells, cells)}, "Broken.pop returns a state of the form "),
    ({"pop": lambda self, cells: cells.long()}, "Broken.pop returns torch.int64, but floating-point tensors were"),
    (
        {"empty": lambda self: torch.zeros(9, 2, dtype=torch.int64)},
        "Broken.empty holds torch.int64, but floating-point tensors were",
    ),
    ({"empty": lambda self: []}, "Broken.empty returns [], but a tensor, or a tree of tensors, was expected"),
    ({"empty": lambda self: {"cells": "none"}}, "Broken.empty holds str, but floating-point tensors were expected"),
    ({"read": lambda self, cells: cells}, "Broken.read returns (9, 2), but a tensor of shape (2,) was expected"),
    ({"slots": lambda self, cells: cells}, "Broken.slots returns Tensor, but values (slots, 2) and strengths (slots,)"),
    ({"push": lambda self, cells, item: cells @ item}, "Broken.push returns a tensor of shape (9,) where empty has"),
    (
        {"pop": lambda self, cells: cells + self.missing},
        "Broken.pop fails with a AttributeError: 'Broken' object has",
    ),
    (
        {"pop": lambda self, cells: cells if cells.sum().item() > 0 else 2 * cells},
        "Broken fails on a batch, under torch.vmap: ",
    ),
    ({"operations": ("push", "drop")}, "Broken has an operation 'drop', but no method of that name"),
    ({"operations": ("push", "train")}, "Broken has an operation 'train', but every memory has that attribute"),
    ({"operations": ()}, "Broken.operations is (), but a tuple of one or more names was expected"),
    ({"operations": "push"}, "Broken.operations is 'push', but a tuple of one or more names was expected"),
]


@pytest.mark.parametrize(("changes", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_mistake_is_reported_by_the_constructor(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)) as caught:
        broken(**changes)(2)
    assert "\n" not in str(caught.value)


def test_settings_may_come_after_the_constructor_of_the_base() -> None:
    class Deep(ShortStack):
        def __init__(self, width: int = 2, depth: int = 4) -> None:
            super().__init__(width)
            self.depth = depth

        def empty(self) -> Tensor:
            return torch.zeros(self.depth, self.width)

    assert Deep(2, 5).initial_state(3).leaves[0].shape == (3, 1, 5, 2)
