"""With push and pop of 0 or 1, a memory is bit for bit the discrete structure it is named after."""

from collections import deque

import pytest
import torch
from kinds import KINDS, parts
from torch import Tensor

from ddstructs import Action, Bank, Contents, Deque, Stack, harden
from ddstructs.testing import EXACT, for_all_actions, gradients, leaves

pytestmark = pytest.mark.usefixtures("kernel")


def discrete(line: str, actions: Action, row: int) -> tuple[list[list[Tensor]], list[Tensor]]:
    """The reads of each step and the items at the end, by a Python list or a `collections.deque`."""
    push, pop, value = actions.push[row].bool().tolist(), actions.pop[row].bool().tolist(), actions.value[row]
    nothing = torch.zeros_like(value[0, 0]) if len(value) else torch.zeros(0)
    reads: list[list[Tensor]] = []
    items: list[Tensor] = []
    both: deque[Tensor] = deque()
    for t in range(len(value)):
        if line == "deque":
            if pop[t][0] and both:
                both.pop()
            if pop[t][1] and both:
                both.popleft()
            if push[t][0]:
                both.append(value[t, 0])
            if push[t][1]:
                both.appendleft(value[t, 1])
            reads.append([both[-1], both[0]] if both else [nothing, nothing])
        else:
            end = -1 if line == "stack" else 0
            if pop[t][0] and items:
                items.pop(end)
            if push[t][0]:
                items.append(value[t, 0])
            reads.append([items[end] if items else nothing])
    return reads, list(both) if line == "deque" else items


def is_discrete(kind: str, actions: Action) -> None:
    """Raise unless reads and contents under hard signals equal those of the discrete structures bit for bit."""
    memory = KINDS[kind](actions.value.shape[-1])
    reads, state = memory(actions)
    contents = memory.contents(state)
    states = state.states if isinstance(memory, Bank) else [state]
    members = memory.memories if isinstance(memory, Bank) else [memory]
    for row in range(len(reads)):
        everything: list[Tensor] = []
        for (line, heads, part), member, own in zip(parts(kind, actions), members, states, strict=True):
            expected, items = discrete(line, part, row)
            for t, of_heads in enumerate(expected):
                assert torch.equal(reads[row, t, heads], torch.stack(of_heads)), f"reads of step {t}"
            holds(member.contents(own), row, items)  # type: ignore[operator]
            everything += items
        holds(contents, row, everything)


def holds(contents: Contents, row: int, items: list[Tensor]) -> None:
    """Raise unless a row holds exactly these items, each with strength one."""
    values, strengths = contents.values[row], contents.strengths[row]
    assert strengths.tolist() == [1] * len(items) + [0] * (len(strengths) - len(items))
    for value, item in zip(values, items, strict=False):
        assert torch.equal(value, item)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_hard_signals_are_a_python_list(kind: str, dtype: torch.dtype) -> None:
    def check(actions: Action) -> None:
        is_discrete(kind, Action(*(part.to(dtype) for part in actions)))

    for_all_actions(KINDS[kind](3), check, signals=("hard",), max_time=10, max_examples=25)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_run_of_hard_signals_is_still_exact(kind: str) -> None:
    heads, generator = KINDS[kind](2).heads, torch.Generator().manual_seed(0)
    push, pop = torch.rand(2, 2, 300, heads, generator=generator) < torch.tensor([0.6, 0.4]).view(2, 1, 1, 1)
    is_discrete(kind, Action(push.float(), pop.float(), torch.randn(2, 300, heads, 2, generator=generator)))


@pytest.mark.parametrize("kind", KINDS)
def test_harden_makes_any_action_discrete(kind: str) -> None:
    def check(actions: Action) -> None:
        hard = harden(actions)
        for came, signal in zip(hard[:2], actions[:2], strict=True):
            assert torch.equal(came, (signal >= 0.5).double())
        assert hard.value is actions.value
        is_discrete(kind, hard)

    for_all_actions(KINDS[kind](2), check)


def test_the_gradient_passes_straight_through_harden() -> None:
    def check(actions: Action) -> None:
        inputs = leaves(actions)
        hard = harden(inputs)
        slopes = gradients(sum(((part * (3 + part.detach())).sum() for part in hard), torch.zeros(())), inputs)
        for slope, part in zip(slopes, hard, strict=True):
            assert torch.equal(slope, 3 + part.detach())

    for_all_actions(Deque(2), check)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_harden_is_exact_in_every_dtype(dtype: torch.dtype) -> None:
    signal = torch.linspace(0, 1, 301).to(dtype).view(1, -1, 1).requires_grad_()
    hard = harden(Action(signal, 1 - signal, signal[..., None]))
    for part in hard[:2]:
        assert part.dtype == dtype
        assert ((part == 0) | (part == 1)).all()


def test_a_deque_pops_at_both_ends_then_pushes_both_then_reads_both() -> None:
    memory, one, zero = Deque(1), torch.ones(1, 2), torch.zeros(1, 2)
    state = memory.initial_state(1)
    read, state = memory.step(Action(one, zero, torch.tensor([[[1.0], [2.0]]])), state)
    assert read.flatten().tolist() == [1, 2]
    read, state = memory.step(Action(one, one, torch.tensor([[[3.0], [4.0]]])), state)
    assert read.flatten().tolist() == [3, 4]
    assert memory.contents(state).values.flatten().tolist() == [4, 3]
    # Of one and a half units, the top takes one, and the bottom the rest.
    state = memory.initial_state(1)
    _, state = memory.step(Action(torch.tensor([[0.5, 1.0]]), zero, torch.tensor([[[1.0], [2.0]]])), state)
    _, state = memory.step(Action(zero, torch.tensor([[1.0, 0.25]]), torch.zeros(1, 2, 1)), state)
    contents = memory.contents(state)
    assert (contents.values.tolist(), contents.strengths.tolist()) == ([[[2.0]]], [[0.25]])


def test_ties_are_drawn() -> None:
    """A premise of the other tests: signals are quarters, and there are sequences of length 0 and 1."""
    seen: set[float] = set()
    lengths: set[int] = set()

    def check(actions: Action) -> None:
        seen.update(actions.push.flatten().tolist())
        lengths.add(actions.push.shape[1])

    for_all_actions(Stack(1), check, signals=EXACT)
    assert seen == {0, 0.25, 0.5, 0.75, 1}
    assert {0, 1} < lengths
