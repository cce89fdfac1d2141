"""The cells of a `MemoryRNN`: custom ones, and those of torch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import HIDDEN, INPUT, WIDTH, gradients, loss, network, noise, run, same, signals
from torch import Tensor, nn
from torch.autograd import backward


class Residual(nn.Module):
    """A custom cell with one state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.linear = nn.Linear(input_size + hidden_size, hidden_size, dtype=torch.float64)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        return hidden + torch.tanh(self.linear(torch.cat([x, hidden], -1)))


class TwoLayers(nn.Module):
    """A custom cell with three states."""

    num_states = 3

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.first = nn.LSTMCell(input_size, hidden_size, dtype=torch.float64)
        self.second = nn.GRUCell(hidden_size, hidden_size, dtype=torch.float64)

    def forward(self, x: Tensor, hidden: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        h, c = self.first(x, hidden[1:])
        return self.second(h, hidden[0]), h, c


@pytest.mark.parametrize(("kind", "states"), [(Residual, 1), (TwoLayers, 3)])
def test_a_cell_of_ones_own_is_taken(kind: Callable[[int, int], nn.Module], states: int) -> None:
    torch.manual_seed(0)
    rnn, x = network(cell=kind(INPUT + WIDTH, HIDDEN)), noise(2, 5, INPUT)
    whole, state = run(rnn, x)
    assert len(state.hidden) == states
    _, half = run(rnn, x, None, [3, 3])
    same(run(rnn, x[:, 3:], half)[0], whole[:, 3:])
    backward(whole.sum())
    assert all((p.grad != 0).any() for p in rnn.cell.parameters() if p.grad is not None)
    assert rnn.initial is not None
    assert rnn.initial.grad is not None
    assert (rnn.initial.grad != 0).any(1).all()


@pytest.mark.parametrize("cell", ["lstm", TwoLayers(INPUT + WIDTH, HIDDEN)])
def test_noise_is_on_what_the_cell_carries_beside_its_output(cell: str | nn.Module) -> None:
    plain, noisy = network(cell=cell), network(cell=cell, state_noise=0.5)
    noisy.load_state_dict(plain.state_dict())
    x = noise(50, 3, INPUT)
    exact = plain.unroll(x)
    assert torch.equal(noisy.eval().unroll(x).output, exact.output)
    run = noisy.train().unroll(x)
    same(run.output[:, 0], exact.output[:, 0])  # the noise of a step comes after its output
    assert not torch.isclose(run.output[:, 1:], exact.output[:, 1:]).all(dim=2).any()
    _, *drifts = (
        got - expected
        for got, expected in zip(noisy.unroll(x[:, :1]).state.hidden, plain.unroll(x[:, :1]).state.hidden, strict=True)
    )
    for drift in drifts:
        assert 0.4 < drift.std() < 0.6
        assert drift.unique().numel() == drift.numel()
    padded = noisy.unroll(x, lengths=[0] * 50).state
    assert all(map(torch.equal, padded.hidden, noisy.initial_state(50).hidden))


def test_a_cell_of_torch_as_an_object_is_the_one_of_its_name() -> None:
    torch.manual_seed(0)
    cell = nn.LSTMCell(INPUT + WIDTH, HIDDEN, dtype=torch.float64)
    given_, named = network(cell=cell), network(cell="lstm")
    named.load_state_dict(given_.state_dict())
    assert torch.equal(run(given_, noise(2, 4, INPUT))[0], run(named, noise(2, 4, INPUT))[0])


def test_a_layer_that_is_hooked_runs_in_every_step_and_gives_the_same() -> None:
    calls: list[str] = []
    found = []
    for hooked in (False, True):
        rnn = network()
        if hooked:
            rnn.cell.register_forward_hook(lambda *_: calls.append("cell"))
            signals(rnn).register_forward_pre_hook(lambda *_: calls.append("act"))
        output, state = run(rnn, noise(2, 7, INPUT))
        loss(output, state).backward()
        found.append((output, gradients(rnn)))
    assert calls == ["cell", "act"] * 7
    same(*found)


@pytest.mark.parametrize("options", [{"bias": False}, {"nonlinearity": "relu"}])
def test_a_cell_of_torch_keeps_its_options(options: dict[str, Any]) -> None:
    class Kind(nn.RNNCell):
        """The same structure as a different class."""

    found = []
    for kind in (nn.RNNCell, Kind):
        torch.manual_seed(0)
        rnn = network(cell=kind(INPUT + WIDTH, HIDDEN, dtype=torch.float64, **options))
        output, state = run(rnn, noise(2, 7, INPUT))
        loss(output, state).backward()
        found.append((output, gradients(rnn)))
    same(*found)
