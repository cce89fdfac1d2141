"""Superposition stacks and tapes equal those of their papers and, under hard choices, the discrete structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from kinds import CHOOSING
from torch import Tensor

from ddstructs import Bank, Choice, Deque, Memory, Queue, Stack, SuperpositionStack, Tape
from ddstructs.laws import Model, hard_signals_are_discrete
from ddstructs.testing import assert_close, cotangent, for_all_actions, gradients, leaves


class StackModel(Model):
    """A Python list with its top at the end; values below `depth` are lost."""

    def __init__(self, reads: int = 1, empty: float = 0.0, depth: int | None = None) -> None:
        self.reads, self.empty, self.depth = reads, empty, depth
        self.items: list[Tensor] = []

    def step(self, signals: Mapping[str, Sequence[bool]], values: Sequence[Tensor]) -> list[Tensor]:
        if signals["pop"][0] and self.items:
            self.items.pop()
        if signals["push"][0]:
            self.items.append(values[0])
            if self.depth is not None:
                del self.items[: -self.depth]
        nothing = torch.full_like(values[0], self.empty)
        top = [*reversed(self.items), *[nothing] * self.reads][: self.reads]
        return [torch.cat(top)]

    def contents(self) -> list[Tensor]:
        return self.items


class QueueModel(StackModel):
    """A Python list with its front at the beginning."""

    def step(self, signals: Mapping[str, Sequence[bool]], values: Sequence[Tensor]) -> list[Tensor]:
        if signals["pop"][0] and self.items:
            self.items.pop(0)
        if signals["push"][0]:
            self.items.append(values[0])
        return [self.items[0] if self.items else torch.zeros_like(values[0])]


class DequeModel(StackModel):
    """A Python list from the bottom to the top, used at both ends."""

    def step(self, signals: Mapping[str, Sequence[bool]], values: Sequence[Tensor]) -> list[Tensor]:
        for head, end in ((0, -1), (1, 0)):
            if signals["pop"][head] and self.items:
                self.items.pop(end)
        if signals["push"][0]:
            self.items.append(values[0])
        if signals["push"][1]:
            self.items.insert(0, values[1])
        nothing = torch.zeros_like(values[0])
        return [self.items[-1], self.items[0]] if self.items else [nothing, nothing]


class TapeModel(Model):
    """A dictionary from positions to the values written there."""

    def __init__(self, add: bool = False, size: int | None = None, jump: int = 0) -> None:
        self.add, self.size = add, size
        self.moves = {"left": -1, "right": 1, "stay": 0, "jump_left": -jump, "jump_right": jump}
        self.place, self.cells = 0, dict[int, Tensor]()

    def step(self, signals: Mapping[str, Sequence[bool]], values: Sequence[Tensor]) -> list[Tensor | None]:
        (move,) = (name for name, heads in signals.items() if heads[0])
        here = self.cells.get(self.place)
        self.cells[self.place] = values[0] if here is None or not self.add else here + values[0]
        self.place += self.moves[move]
        if self.size:
            self.place %= self.size
        return [self.cells.get(self.place)]

    def contents(self) -> list[Tensor]:
        first = self.place if self.size else 0
        return [self.cells[p] for p in sorted(self.cells, key=lambda p: (p - first) % self.size if self.size else p)]


class Both(Model):
    """Two structures in parallel."""

    def __init__(self) -> None:
        self.stack, self.tape = StackModel(), TapeModel()

    def step(self, signals: Mapping[str, Sequence[bool]], values: Sequence[Tensor]) -> list[Tensor | None]:
        stack = {name: signals[name] for name in ("push", "pop")}
        tape = {name: heads for name, heads in signals.items() if name not in stack}
        return [*self.stack.step(stack, values[:1]), *self.tape.step(tape, values[1:])]

    def contents(self) -> list[Tensor]:
        return [*self.stack.contents(), *self.tape.contents()]


@pytest.mark.parametrize(
    ("memory", "model"),
    [
        (Stack(3), StackModel),
        (Queue(3), QueueModel),
        (Deque(3), DequeModel),
        (SuperpositionStack(3), StackModel),
        (SuperpositionStack(3, noop=False), StackModel),
        (SuperpositionStack(3, reads=2, empty=-1.0), lambda: StackModel(reads=2, empty=-1.0)),
        (SuperpositionStack(3, depth=2), lambda: StackModel(depth=2)),
        (Tape(3), TapeModel),
        (Tape(3, write="add"), lambda: TapeModel(add=True)),
        (Tape(3, jump=3), lambda: TapeModel(jump=3)),
        (Tape(3, size=4, jump=3), lambda: TapeModel(size=4, jump=3)),
        (Bank([Stack(3), Tape(3)]), Both),
    ],
    ids=lambda part: " ".join(str(part).split()) if isinstance(part, Memory) else "",
)
def test_hard_signals_are_the_discrete_structure(memory: Memory, model: type[Model]) -> None:
    hard_signals_are_discrete(memory, model)


def joulin(actions: Choice, empty: float) -> list[Tensor]:
    """The tops of a stack by the equations of Joulin & Mikolov 2015, with as many cells as steps."""
    weights, value = actions.weights[:, :, 0], actions.value[:, :, 0]
    batch, time, width = value.shape
    cells = [torch.full((batch, width), empty, dtype=value.dtype) for _ in range(time + 1)]
    reads = []
    for t in range(time):
        push, pop, noop = weights[:, t].split(1, dim=1)
        before = cells
        cells = [push * value[:, t] + pop * before[1] + noop * before[0]]
        for i in range(1, time):
            cells.append(push * before[i - 1] + pop * before[i + 1] + noop * before[i])
        cells.append(before[-1])
        reads.append(cells[0])
    return reads


@pytest.mark.parametrize("empty", [0.0, -1.0])
def test_a_superposition_stack_is_that_of_joulin_and_mikolov(empty: float) -> None:
    def check(actions: Choice) -> None:
        inputs, others = leaves(actions), leaves(actions)
        reads, _ = SuperpositionStack(2, empty=empty)(inputs)
        if not reads.shape[1]:
            return
        expected = torch.stack(joulin(others, empty), dim=1)[:, :, None]
        assert_close(reads, expected, "reads")
        for came, wanted in zip(
            gradients((reads * cotangent(reads)).sum(), inputs),
            gradients((expected * cotangent(expected)).sum(), others),
            strict=True,
        ):
            # The weights sum to 1, so a gradient that is the same for all of them is none.
            level = 0 if came.shape == actions.value.shape else (came - wanted).mean(-1, keepdim=True)
            assert_close(came - level, wanted, "gradients")

    for_all_actions(SuperpositionStack(2), check, max_examples=15)


def published_tape(actions: Choice, size: int, moves: Sequence[int], add: bool) -> Tensor:
    """The reads of a ring of cells that is rolled under the head, as in the code of Delétang et al. 2022."""
    batch, time, _, width = actions.value.shape
    cells = torch.zeros(batch, size, width, dtype=actions.value.dtype)
    reads = []
    for t in range(time):
        written = actions.value[:, t] + (cells[:, :1] if add else 0)
        cells = torch.cat([written, cells[:, 1:]], dim=1)
        weights = actions.weights[:, t, 0]
        cells = sum(
            (weights[:, p, None, None] * cells.roll(-move, dims=1) for p, move in enumerate(moves)),
            torch.zeros_like(cells),
        )
        reads.append(cells[:, 0])
    return torch.stack(reads, dim=1)[:, :, None]


@pytest.mark.parametrize("write", ["replace", "add"])
@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("jump", [None, 2])
def test_a_tape_is_a_ring_that_is_rolled(write: str, size: int | None, jump: int | None) -> None:
    """An unbounded tape equals a ring that is long enough."""
    tape = Tape(2, size=size, write="add" if write == "add" else "replace", jump=jump)
    moves = (-1, 1, 0) if jump is None else (-1, 1, 0, -jump, jump)

    def check(actions: Choice) -> None:
        inputs, others = leaves(actions), leaves(actions)
        reads, _ = tape(inputs)
        if not reads.shape[1]:
            return
        expected = published_tape(others, size or 99, moves, write == "add")
        assert_close(reads, expected, "reads")
        for came, wanted in zip(
            gradients((reads * cotangent(reads)).sum(), inputs),
            gradients((expected * cotangent(expected)).sum(), others),
            strict=True,
        ):
            assert_close(came, wanted, "gradients")

    for_all_actions(tape, check, max_examples=15)


@pytest.mark.parametrize("kind", CHOOSING)
def test_without_gradients_only_cells_in_use_are_kept(kind: str) -> None:
    memory = CHOOSING[kind](2)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 200, memory.signals.size, generator=generator)
    actions = memory.signals.action(logits, torch.randn(2, 200, memory.heads, 2, generator=generator)).harden()
    reads, state = memory(actions)
    with_gradients, _ = memory(leaves(actions))
    assert torch.equal(reads, with_gradients)
    used = memory.contents(state).strengths.shape[1]
    assert sum(part.shape[2] for part in memory_cells(state)) <= max(used + 60, 2 * used)


def memory_cells(state: object) -> list[Tensor]:
    cells = getattr(state, "cells", None)
    return [] if cells is None else [cells]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SuperpositionStack(0), ValueError, "width is 0, but 1 or more was expected"),
        (lambda: SuperpositionStack(2, depth=0), ValueError, "depth is 0, but 1 or more was expected"),
        (lambda: SuperpositionStack(2, reads=True), TypeError, "reads is True, but an int was expected"),
        (lambda: SuperpositionStack(2, checkpoint=-1), ValueError, "checkpoint is -1, but 1 or more was expected"),
        (lambda: Tape(2, write="erase"), ValueError, "write is 'erase', but a tape takes 'replace' or 'add'"),  # type: ignore[arg-type]
        (lambda: Tape(2, jump=0), ValueError, "jump is 0, but 1 or more was expected"),
        (
            lambda: Bank([SuperpositionStack(2, reads=2), Stack(2)]),
            ValueError,
            r"the memories of a Bank must have the same read width, but these have [4, 2]",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: object, error: type[Exception], message: str) -> None:
    assert callable(make)
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def test_an_action_of_another_kind_is_refused() -> None:
    value, one = torch.zeros(2, 1, 3), torch.ones(2, 1)
    stack: Any = SuperpositionStack(3)
    plain: Any = Stack(3)
    both = Bank([Stack(3), Tape(3)])
    choice = Choice(torch.zeros(2, 1, 3), value)
    for call, error, message in (
        (lambda: stack.step(plain.signals.action(torch.zeros(2, 2), value), stack.initial_state(2)), TypeError,
         "action is a Action, but a SuperpositionStack takes a Choice(weights, value)"),
        (lambda: plain.step(choice, plain.initial_state(2)), TypeError,
         "action is a Choice, but a memory takes an Action(push, pop, value)"),
        (lambda: stack.step(Choice(torch.zeros(2, 1, 4), value), stack.initial_state(2)), ValueError,
         "weights is for 4 operations, but this SuperpositionStack has 3"),
        (lambda: stack.step(choice, plain.initial_state(2)), TypeError,
         "state is a Slots, but a SuperpositionStack needs one from its own initial_state"),
        (lambda: stack.step(choice, stack.initial_state(5)), ValueError,
         "value has batch 2, but the state of this SuperpositionStack has batch 5"),
        (lambda: both.step(choice, both.initial_state(2)), TypeError,
         "action is a Choice, but this Bank takes a Joint of 2, one per memory"),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == message
    stack.validate = True
    for weights, message in (
        (torch.full((2, 1, 3), 0.5), "weights has 2 rows whose sum is not 1, the first is 1.5"),
        (-one[..., None].expand(2, 1, 3), "weights has 6 elements outside [0, 1], the first is -1.0: a softmax keeps"),
    ):
        with pytest.raises(ValueError, match=message.replace("[", "\\[").replace("]", "\\]")):
            stack.step(Choice(weights, value), stack.initial_state(2))
