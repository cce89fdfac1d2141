"""The settings of a `MemoryRNN`: biases, noise, the gate and hard signals."""

import pytest
import torch
from networks import HIDDEN, INPUT, WIDTH, network, noise, signals
from torch.autograd import backward

from ddstructs import Bank, Deque, MemoryRNN, Stack, Start
from ddstructs.line import LineMemory


def test_a_bias_is_for_every_head_or_one_a_head() -> None:
    alike = network("deque", push_bias=2, pop_bias=-3.0)
    assert signals(alike).bias[:4].tolist() == [2, 2, -3, -3]
    apart = network("bank", push_bias=[0.1, 0.2, 0.3], pop_bias=(-1, -2, -3))
    assert signals(apart).bias[:6].tolist() == [0.1, 0.2, 0.3, -1, -2, -3]
    assert signals(MemoryRNN(INPUT, HIDDEN, Stack(4))).bias[:2].tolist() == [0, -1]


def test_biases_that_are_not_given_are_those_that_the_memory_names_one_start_after_the_other() -> None:
    one, other = Deque(4).starts
    rnn = MemoryRNN(INPUT, HIDDEN, Deque(4))
    for start, (push, pop) in enumerate((one, other, one)):
        rnn.reset_parameters(start)
        assert signals(rnn).bias[:4].tolist() == [*push, *pop]
    mixed = MemoryRNN(INPUT, HIDDEN, Bank([Stack(4), Deque(4)]), pop_bias=-3)
    mixed.reset_parameters(1)
    assert signals(mixed).bias[:6].tolist() == [0, *other.push, -3, -3, -3]


def test_a_memory_that_names_too_few_biases_is_refused() -> None:
    class Careless(LineMemory):
        layout = Deque.layout

        @property
        def starts(self) -> tuple[Start, ...]:
            return (Start((0.0,), (0.0,)),)

    with pytest.raises(ValueError, match=r"Careless\.starts has .*, but 2 heads need one bias each"):
        MemoryRNN(INPUT, HIDDEN, Careless(WIDTH))


def test_noise_is_on_every_read_in_training_and_nowhere_else() -> None:
    plain, noisy = network("deque", push_bias=0.0), network("deque", push_bias=0.0, read_noise=0.5)
    noisy.load_state_dict(plain.state_dict())
    x = noise(50, 6, INPUT)
    pushed = plain.unroll(x)
    assert torch.equal(noisy.eval().unroll(x).output, pushed.output)
    run = noisy.train().unroll(x)
    first = (run.reads - pushed.reads)[:, 0]  # in later steps, the actions differ too
    assert 0.4 < first.std() < 0.6
    assert first.unique().numel() == first.numel()
    assert not torch.equal(run.state.read, pushed.state.read)


def test_the_gate_begins_open_and_can_keep_the_read_to_the_cell() -> None:
    plain, gated = network(), network(read_gate=True)
    gated.load_state_dict(plain.state_dict(), strict=False)
    x = noise(3, 6, INPUT)
    torch.testing.assert_close(gated.unroll(x).output, plain.unroll(x).output, rtol=1e-12, atol=1e-14)
    assert gated.read_gate is not None
    torch.nn.init.constant_(gated.read_gate.bias, -20.0)
    plain.read_skip = None
    torch.testing.assert_close(gated.unroll(x).output, plain.unroll(x).output)


def test_biases_are_those_of_push_and_pop() -> None:
    actions = network("deque", push_bias=[50, -50], pop_bias=[-50, 50]).unroll(noise(2, 3, INPUT)).actions
    torch.testing.assert_close(actions.push, torch.tensor([1.0, 0.0], dtype=torch.float64).expand(2, 3, 2))
    torch.testing.assert_close(actions.pop, torch.tensor([0.0, 1.0], dtype=torch.float64).expand(2, 3, 2))


def test_hard_signals_are_zero_or_one_and_still_learn() -> None:
    soft, hard = network("deque"), network("deque", hard=True)
    x = noise(3, 7, INPUT)
    actions = hard.unroll(x).actions
    for signal in (actions.push, actions.pop):
        assert set(signal.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(actions.push[:, 0], soft.unroll(x).actions.push[:, 0].round())
    backward(actions.push.sum() + 2 * actions.pop.sum())
    grad = signals(hard).weight.grad
    assert grad is not None
    assert (grad[:4] != 0).all()
