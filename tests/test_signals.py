"""The actions that a memory makes of logits, and the hard form of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from kinds import EVERYTHING
from torch import Tensor

from ddstructs import Action, Bank, Choice, Contents, Deque, Memory, MemoryRNN, NoMemory, Stack, State, Tape, harden
from ddstructs.actions import Scores, mapped, parts
from ddstructs.laws import LAWS
from ddstructs.signals import Choices, Mixed, PushPop, Raw, Signals


@dataclass(frozen=True)
class MeanState(State):
    mean: Tensor


class SoftRegister(Memory[MeanState]):
    """Keeps or overwrites a value, by unnormalised log weights that it normalises itself."""

    heads = 2

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width

    @property
    def signals(self) -> Signals:
        return Raw(("keep", "write"), self.heads)

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> MeanState:
        return MeanState(torch.zeros(batch_size, self.heads, self.width, device=device, dtype=dtype))

    def step(self, action: Scores, state: MeanState) -> tuple[Tensor, MeanState]:
        self.check(action)
        idle = (action.scores == -torch.inf).all(-1, keepdim=True)
        weights = action.scores.masked_fill(idle, 0).softmax(-1).to(state.mean.dtype)
        mean = weights[..., :1] * state.mean + weights[..., 1:] * action.value
        mean = torch.where(idle, state.mean, mean)
        return mean, MeanState(mean)

    def contents(self, state: MeanState) -> Contents:
        none = state.mean[:, :0]
        return Contents(none, none[..., 0].to(torch.promote_types(none.dtype, torch.float32)))


def some_action(memory: Memory, *lead: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*lead, memory.signals.size, generator=generator)
    return memory.signals.action(logits, torch.randn(*lead, memory.heads, memory.width, generator=generator))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_memory_with_raw_logits_keeps_the_law(law: Any) -> None:
    law(SoftRegister(3))


def test_a_memory_with_raw_logits_works_in_a_network() -> None:
    rnn = MemoryRNN(3, 5, SoftRegister(4), batch_first=True, hard=True)
    output, _ = rnn(torch.randn(2, 4, 3), lengths=[4, 2])
    output.sum().backward()
    assert not output[1, 2:].any()


@pytest.mark.parametrize("kind", EVERYTHING)
def test_numbers_lie_in_the_order_of_the_labels(kind: str) -> None:
    memory = EVERYTHING[kind](3)
    signals, action = memory.signals, some_action(memory, 2, 5)
    numbers = signals.numbers(action)
    assert numbers.shape == (2, 5, signals.size) == (2, 5, len(signals.labels))
    assert ((numbers >= 0) & (numbers <= 1)).all()
    named = signals.named(action)
    assert list(named) == list(dict.fromkeys(name for name, _ in signals.labels))
    for column, (name, head) in enumerate(signals.labels):
        order = [other for label, other in signals.labels if label == name]
        assert torch.equal(named[name][..., order.index(head)], numbers[..., column])


@pytest.mark.parametrize("kind", EVERYTHING)
def test_a_logit_raises_the_number_of_its_label(kind: str) -> None:
    signals = EVERYTHING[kind](3).signals
    value = torch.zeros(signals.size, signals.heads, 3)
    before = signals.numbers(signals.action(torch.zeros(signals.size, signals.size), value))
    after = signals.numbers(signals.action(torch.eye(signals.size), value))
    assert (after.diagonal() > before.diagonal()).all()


@pytest.mark.parametrize("kind", EVERYTHING)
def test_a_hard_action_is_0_and_1_and_stays_as_it_is(kind: str) -> None:
    memory = EVERYTHING[kind](3)
    action = some_action(memory, 2, 5)
    hard = harden(action)
    numbers = memory.signals.numbers(hard)
    assert ((numbers == 0) | (numbers == 1)).all()
    assert (hard.fractions() == 0).all()
    soft = action.fractions()
    assert ((soft > 0) & (soft <= 1)).all()
    for once, twice in zip(parts(hard), parts(harden(hard)), strict=True):
        assert torch.equal(once, twice)
    memory.validate = True
    memory.check(hard, time=True)


def test_of_several_operations_the_likeliest_is_taken_the_first_if_they_tie() -> None:
    weights = torch.tensor([[[0.2, 0.5, 0.3]], [[0.4, 0.2, 0.4]], [[0.0, 0.0, 0.0]]], requires_grad=True)
    hard = harden(Choice(weights, torch.zeros(3, 1, 2)))
    assert hard.weights.tolist() == [[[0, 1, 0]], [[1, 0, 0]], [[0, 0, 0]]]
    (slope,) = torch.autograd.grad((hard.weights * torch.arange(9.0).view(3, 1, 3)).sum(), weights)
    assert torch.equal(slope, torch.arange(9.0).view(3, 1, 3)), "the gradient passes straight through"


@pytest.mark.parametrize("kind", EVERYTHING)
def test_only_where_it_is_said_something_is_done(kind: str) -> None:
    memory = EVERYTHING[kind](3)
    action, where = some_action(memory, 2, 5), torch.arange(5).expand(2, 5) % 2 == 0
    only, numbers = action.only(where), memory.signals.numbers(action)
    expected = torch.where(where[..., None], numbers, 0)
    assert torch.equal(memory.signals.numbers(only), expected)
    assert torch.equal(only.value, action.value)


def test_fractions_of_two_operations_are_those_of_a_push() -> None:
    share = torch.linspace(0, 1, 11).view(11, 1)
    choice = Choice(torch.stack([share, 1 - share], dim=-1), torch.zeros(11, 1, 2))
    action = Action(share, 1 - share, torch.zeros(11, 1, 2))
    torch.testing.assert_close(choice.fractions(), action.fractions()[0])


def test_signals_side_by_side() -> None:
    assert isinstance(Bank([Stack(3), Deque(3)]).signals, PushPop)
    assert Bank([Stack(3), Deque(3)]).signals.heads == 3
    both = Bank([Tape(3), Tape(3)]).signals
    assert isinstance(both, Choices)
    assert (both.names, both.heads) == (("left", "right", "stay"), 2)
    mixed = Bank([Stack(3), Tape(3)]).signals
    assert isinstance(mixed, Mixed)
    labels = (("push", 0), ("pop", 0), ("left", 1), ("right", 1), ("stay", 1))
    assert mixed.labels == labels
    assert isinstance(Bank([Tape(3), Tape(3, jump=2)]).signals, Mixed)


def test_a_bias_is_given_by_name() -> None:
    rnn = MemoryRNN(3, 5, Bank([Stack(3), Tape(3)]), push_bias=2.0)
    assert rnn.starts == ((2.0, -1.0, 0.0, 0.0, 0.0),)
    assert MemoryRNN(3, 5, Bank([Deque(3), Deque(3)]), pop_bias=[1, 2, 3, 4]).starts[0][4:] == (1, 2, 3, 4)
    given: dict[str, Any]
    for memory, given, message in (
        (Tape(3), {"push_bias": 1.0}, "push_bias is 1.0, but this Tape has no push: it has left, right, stay"),
        (NoMemory(), {"push_bias": 1.0}, "push_bias is 1.0, but this NoMemory has no push: it has no signals"),
        (Stack(3), {"pop_bias": [1.0, 2.0]}, "pop_bias has 2 numbers, but this Stack has 1 heads"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$".replace("[", r"\[")):
            MemoryRNN(3, 5, memory, **given)


def test_mapped_keeps_the_form() -> None:
    memory = Bank([Stack(3), Tape(3)])
    action = some_action(memory, 2)
    twice = mapped(lambda part, other: part + other, action, action)
    assert type(twice) is type(action)
    for came, part in zip(parts(twice), parts(action), strict=True):
        assert torch.equal(came, 2 * part)
