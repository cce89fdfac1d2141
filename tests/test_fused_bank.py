"""A bank of line memories runs in the compiled loop: the same results as a loop over the steps, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_fused import HIDDEN, INPUT, WIDTH, draw, network, one_by_one
from torch import Tensor

from ddstructs import Bank, Deque, Memory, MemoryRNN, Queue, RNNState, Stack, Tape, check_agreement
from ddstructs.bank import BankState
from ddstructs.line import LineMemory
from ddstructs.nn import loop

BANKS = "two stacks", "stack+queue", "deque+stack", "nested"


def near(found: list[Tensor], expected: list[Tensor]) -> None:
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-11)


def pieces(rnn: MemoryRNN, x: Tensor, cuts: list[int], between: Callable[[RNNState], RNNState]) -> list[Tensor]:
    """The outputs of a sequence cut into pieces, its last contents, and the gradients of a function of both."""
    state: RNNState | None = None
    torch.manual_seed(2)
    found = []
    for part in x.split(cuts, dim=1):
        run = rnn.unroll(part, None if state is None else between(state))
        found.append(run.output)
        state = run.state
    assert state is not None
    found += rnn.memory.contents(state.memory)
    loss = sum((part * draw(*part.shape, seed=i).detach()).sum() for i, part in enumerate(found))
    assert isinstance(loss, Tensor)
    return found + list(torch.autograd.grad(loss, [x, *rnn.parameters()], materialize_grads=True))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
@pytest.mark.parametrize("memory", BANKS)
@pytest.mark.parametrize("between", [lambda state: state, RNNState.detach], ids=["carried", "detached"])
def test_single_steps_go_on_where_the_compiled_loop_stopped_and_back(
    between: Callable[[RNNState], RNNState], memory: str, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rnn, x = network(memory, cell), draw(3, 30, INPUT)
    found = pieces(rnn, x, [12, 1, 1, 16], between)
    one_by_one(monkeypatch)
    near(found, pieces(rnn, x, [12, 1, 1, 16], between))


@pytest.mark.parametrize("kind", [Stack, Queue, Deque])
@pytest.mark.parametrize("differentiate", [True, False])
def test_members_may_start_from_the_same_state(
    kind: Callable[[int], LineMemory], differentiate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States are values, although those of a line lie on one tape."""
    torch.manual_seed(0)
    bank = Bank([kind(WIDTH), Bank([kind(WIDTH), kind(WIDTH)])])
    rnn, x = MemoryRNN(INPUT, HIDDEN, bank, "gru", batch_first=True, dtype=torch.float64), draw(2, 9, INPUT)
    line = kind(WIDTH)

    def solve() -> list[Tensor]:
        with torch.set_grad_enabled(differentiate):
            signals = torch.full((2, line.heads), 0.7, dtype=torch.float64)
            value = draw(2, line.heads, WIDTH)
            state = line.initial_state(2, dtype=torch.float64)
            for _ in range(2):
                _, state = line.step(line.signals.action_type(signals, signals / 2, value), state)
            start = rnn.initial_state(2)
            own = rnn.memory.from_lines([state] * len(rnn.memory.lines))
            torch.manual_seed(1)
            run = rnn.unroll(x, replace(start, memory=own))
            found = [run.output, *rnn.memory.contents(run.state.memory), *line.contents(state)]
            if differentiate:
                found += torch.autograd.grad(run.output.square().sum(), [x, value, *rnn.parameters()])
        return found

    found = solve()
    one_by_one(monkeypatch)
    near(found, solve())


def test_lines_and_their_states_are_in_the_order_of_the_heads() -> None:
    bank = Bank([Queue(4), Bank([Deque(4), Stack(4)])])
    assert bank.lines == (Queue.layout, Deque.layout, Stack.layout)
    assert sum(map(len, bank.lines)) == bank.heads
    state = bank.initial_state(2)
    queue, deque, stack = bank.line_states(state)
    assert bank.from_lines([queue, deque, stack]) == state
    assert state.states[0] is queue
    assert isinstance(state.states[1], BankState)
    assert state.states[1].states == (deque, stack)


@pytest.mark.parametrize("bank", [Bank([Stack(4), Tape(4)]), Bank([Stack(4), Bank([Tape(4)])])])
def test_a_bank_with_other_members_takes_the_loop_and_says_which_one(bank: Bank) -> None:
    assert bank.lines == ()
    assert MemoryRNN(3, 5, bank).path(torch.randn(6, 2, 3)) == ("loop", "Tape is not a line memory")


class Started(LineMemory):
    """A stack that starts with a value."""

    layout = Stack.layout

    def initial_state(self, batch_size: int, **options: Any) -> Any:
        state = super().initial_state(batch_size, **options)
        one = torch.ones(batch_size, 1, self.width, dtype=state.values.dtype)  # type: ignore[attr-defined]
        return type(state)(one, one[..., 0])  # type: ignore[call-arg]


class Refilled(LineMemory):
    """A stack that is never emptied."""

    layout = Stack.layout

    def emptied(self, state: Any, rows: Tensor) -> Any:
        return state


@pytest.mark.parametrize("kind", [Started, Refilled])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_line_with_its_own_start_or_end_keeps_it(kind: Callable[[int], Memory], wrapped: bool) -> None:
    memory = Bank([Stack(4), kind(4)]) if wrapped else kind(4)
    rnn, x = MemoryRNN(3, 5, memory, batch_first=True), torch.randn(2, 6, 3)
    reset = torch.zeros(2, 6, dtype=torch.bool)
    reset[:, 3] = True
    agreement = check_agreement(rnn, x, reset=reset)
    assert max(agreement.outputs, agreement.gradients) < 1e-4


@pytest.mark.parametrize("member", [False, True])
def test_a_bank_or_a_member_that_looks_at_the_numbers_refuses_what_is_none(member: bool) -> None:
    rnn, x = network("two stacks"), draw(2, 6, INPUT).detach()
    assert isinstance(rnn.memory, Bank)
    checked = rnn.memory.memories[1] if member else rnn.memory
    assert isinstance(checked, Memory)
    checked.validate = True
    rnn.unroll(x)
    x[1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"push has \d elements outside \[0, 1\], the first is nan"):
        rnn.unroll(x)


MISFITS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda state: BankState(state.states[:1]), "state is 1 states, but a Bank of 2 needs one from its own"),
    (lambda state: state.states[0], "state is a TapeState, but a Bank of 2 needs one from its own"),
    (lambda state: BankState((state.states[0], BankState(state.states))), "state is a BankState, but a Stack needs"),
    (lambda state: replace(state, states=(state.states[0], Stack(2).initial_state(2))), "state holds width 2"),
    (lambda state: replace(state, states=(Stack(WIDTH).initial_state(3), state.states[1])), "this Stack has batch 3"),
]


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_a_state_of_another_bank_is_refused(change: Callable[[Any], Any], message: str) -> None:
    rnn, x = network("two stacks"), draw(2, 6, INPUT)
    state = rnn.unroll(x).state
    with pytest.raises((ValueError, TypeError), match=message):
        rnn.unroll(x, replace(state, memory=change(state.memory)))


def test_a_member_of_another_dtype_than_the_network_is_refused() -> None:
    rnn, x = network("two stacks"), draw(2, 6, INPUT)
    state = rnn.unroll(x).state
    mixed = rnn.memory.from_lines([state.memory.states[0], Stack(WIDTH).initial_state(2)])  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"float32"):
        rnn.unroll(x, replace(state, memory=mixed))


def test_a_bank_of_one_is_its_member(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "run", None)
    torch.manual_seed(0)
    alone = MemoryRNN(INPUT, HIDDEN, Stack(WIDTH), "lstm")
    bank = MemoryRNN(INPUT, HIDDEN, Bank([Stack(WIDTH)]), "lstm")
    bank.load_state_dict(alone.state_dict())
    x = torch.randn(7, 2, INPUT)
    assert torch.equal(alone(x)[0], bank(x)[0])
