"""The state of a `MemoryRNN`: the first one, and those carried from one call to the next."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import HIDDEN, INPUT, MEMORIES, assert_same_state, gradients, loss, network, noise, run, same
from torch.autograd import backward

from ddstructs.registry.catalog import CELLS


@settings(max_examples=12)
@given(time=st.integers(2, 9), data=st.data())
@pytest.mark.parametrize("memory", MEMORIES)
def test_cutting_a_sequence_and_carrying_the_state_changes_nothing(memory: str, time: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, time - 1), "cut")
    rnn, x = network(memory, "gru", hard=data.draw(st.booleans(), "hard")), noise(2, time, INPUT, seed=time)
    first, state = run(rnn, x[:, :cut])
    second, state = run(rnn, x[:, cut:], state)
    whole, expected = run(rnn, x)
    same(torch.cat([first, second], 1), whole)
    assert_same_state(rnn, state, expected)
    backward(loss(torch.cat([first, second], 1), state))
    got = gradients(rnn)
    backward(loss(whole, expected))
    same(got, gradients(rnn))


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_detached_state_cuts_the_gradient_and_keeps_the_numbers(memory: str) -> None:
    rnn, x, more = network(memory), noise(2, 4, INPUT).requires_grad_(), noise(2, 3, INPUT, seed=2).requires_grad_()
    _, state = run(rnn, x)
    assert_same_state(rnn, state.detach(), state)
    output, last = run(rnn, more, state.detach())
    same(output, run(rnn, more, state)[0])
    backward(loss(output, last))
    assert x.grad is None
    assert more.grad is not None
    assert more.grad.abs().sum() > 0
    assert rnn.initial is not None
    assert rnn.initial.grad is None


def test_two_runs_from_one_state_are_two_futures() -> None:
    rnn, x = network("deque"), noise(2, 4, INPUT)
    _, state = run(rnn, x)
    first, _ = run(rnn, x, state)
    run(rnn, -x, state)
    assert torch.equal(run(rnn, x, state)[0], first)


@pytest.mark.parametrize("cell", CELLS)
def test_a_learned_first_state_receives_gradient(cell: str) -> None:
    rnn = network(cell=cell)
    backward(run(rnn, noise(2, 3, INPUT))[0].sum())
    assert rnn.initial is not None
    assert rnn.initial.grad is not None
    assert rnn.initial.shape == (2 if cell == "lstm" else 1, HIDDEN)
    assert (rnn.initial.grad != 0).all()


@pytest.mark.parametrize("cell", CELLS)
def test_the_first_state_is_zero_unless_learned(cell: str) -> None:
    rnn = network(cell=cell, learn_initial=False)
    assert "initial" not in dict(rnn.named_parameters())
    assert all((h == 0).all() for h in rnn.initial_state(2).hidden)
    assert torch.equal(run(rnn, noise(2, 3, INPUT))[0], run(rnn, noise(2, 3, INPUT), rnn.initial_state(2))[0])


def test_a_first_state_lies_with_the_parameters() -> None:
    state = network(learn_initial=False).initial_state(2)
    assert all(part.dtype == torch.float64 for part in (*state.hidden, state.read))
