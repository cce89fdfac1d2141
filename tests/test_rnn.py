"""A `MemoryRNN` follows the equations of the paper and the interface of `nn.LSTM`."""

import copy
import io
import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import backward
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

from ddstructs import (
    Bank,
    Deque,
    Memory,
    MemoryRNN,
    NoMemory,
    Queue,
    RNNState,
    Stack,
    Start,
    SuperpositionStack,
    Tape,
)
from ddstructs.line import LineMemory
from ddstructs.registry.catalog import CELLS

INPUT, HIDDEN, WIDTH = 3, 5, 4

MEMORIES: dict[str, Callable[[], Memory]] = {
    "stack": lambda: Stack(WIDTH),
    "queue": lambda: Queue(WIDTH),
    "deque": lambda: Deque(WIDTH),
    "bank": lambda: Bank([Stack(WIDTH), Deque(WIDTH)]),
    "none": NoMemory,
    "superposition": lambda: SuperpositionStack(WIDTH, reads=2, empty=-1.0),
    "tape": lambda: Tape(WIDTH),
    "ring": lambda: Tape(WIDTH, size=5, write="add", jump=2),
    "mixed": lambda: Bank([Stack(WIDTH), Tape(WIDTH), SuperpositionStack(WIDTH, noop=False)]),
}


def network(memory: str = "stack", cell: str | nn.Module = "rnn", seed: int = 0, **options: Any) -> MemoryRNN:
    """A network in float64, with a nonzero initial hidden state."""
    torch.manual_seed(seed)
    working = MEMORIES[memory]()
    arguments: dict[str, Any] = {"batch_first": True, "dtype": torch.float64} | options
    if "pop" in dict(working.signals.labels):
        arguments = {"pop_bias": 0.0} | arguments
    rnn = MemoryRNN(INPUT, HIDDEN, working, cell, **arguments)
    if rnn.initial is not None:
        nn.init.normal_(rnn.initial)
    return rnn


def signals(rnn: MemoryRNN) -> nn.Linear:
    """The layer that computes push, pop and value."""
    assert rnn.to_action is not None
    return rnn.to_action


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(got: Any, expected: Any) -> None:
    """Assert equality in float64, up to the order of sums."""
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def run(rnn: MemoryRNN, x: Tensor, state: RNNState | None = None, lengths: Any = None) -> tuple[Tensor, RNNState]:
    """A call whose output is a tensor."""
    result: tuple[Tensor, RNNState] = rnn(x, state, lengths)
    return result


def tensors(rnn: MemoryRNN, state: RNNState) -> list[Tensor]:
    """All tensors of a state."""
    contents = rnn.memory.contents(state.memory)
    return [*state.hidden, state.read, contents.values, contents.strengths]


def assert_same_state(rnn: MemoryRNN, state: RNNState, expected: RNNState) -> None:
    for got, wanted in zip(tensors(rnn, state), tensors(rnn, expected), strict=True):
        same(got, wanted)


def gradients(rnn: MemoryRNN) -> dict[str, Tensor]:
    """The gradient of each parameter, or zero; clears the gradients."""
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in rnn.named_parameters()}
    rnn.zero_grad()
    return found


def loss(output: Tensor, state: RNNState) -> Tensor:
    """A scalar that depends on the whole output, the last hidden state and the last read."""
    weights = torch.linspace(0.5, 1.5, output.shape[-1], dtype=output.dtype)
    return (output * weights).square().sum() + sum(h.sin().sum() for h in state.hidden) + state.read.cos().sum()


# The paper's equations, section 3.3, for a stack, one row at a time.


def paper(rnn: MemoryRNN, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs `(time, hidden)` and the reads `(time, width)` of one row `(time, input)`."""
    assert rnn.initial is not None
    hidden = [part[None] for part in rnn.initial]
    w_d, w_u, w_v = torch.split(signals(rnn).weight, [1, 1, WIDTH])
    b_d, b_u, b_v = torch.split(signals(rnn).bias, [1, 1, WIDTH])
    r = x.new_zeros(WIDTH)
    values: list[Tensor] = []
    strengths: list[Tensor] = []
    outputs, reads = [], []
    for x_t in x:
        joined = torch.cat([x_t, r])[None]
        after = rnn.cell(joined, tuple(hidden) if len(hidden) > 1 else hidden[0])
        hidden = list(after) if len(hidden) > 1 else [after]
        h = hidden[0][0]
        d = torch.sigmoid(w_d @ h + b_d)[0]
        u = torch.sigmoid(w_u @ h + b_u)[0]
        skip = 0.0 if rnn.value_skip is None else rnn.value_skip.weight @ x_t
        v = torch.tanh(w_v @ h + b_v + skip)
        zero = x.new_zeros(())
        above = [sum(strengths[i + 1 :], zero) for i in range(len(strengths))]
        strengths = [(s - (u - a).clamp(min=0)).clamp(min=0) for s, a in zip(strengths, above, strict=True)]
        values, strengths = [*values, v], [*strengths, d]
        above = [sum(strengths[i + 1 :], zero) for i in range(len(strengths))]
        weights = [torch.minimum(s, (1 - a).clamp(min=0)) for s, a in zip(strengths, above, strict=True)]
        r = sum((w * v for w, v in zip(weights, values, strict=True)), x.new_zeros(WIDTH))
        o = h if rnn.output_layer is None else torch.tanh(rnn.output_layer.weight @ h + rnn.output_layer.bias)
        outputs.append(o if rnn.read_skip is None else o + rnn.read_skip.weight @ r)
        reads.append(r)
    return torch.stack(outputs), torch.stack(reads)


@pytest.mark.parametrize("skips", [False, True], ids=["paper", "skips"])
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_and_gradients_are_those_of_the_equations(cell: str, skips: bool) -> None:
    rnn, x = (
        network(cell=cell, value_skip=skips, read_skip=skips, output_layer=not skips, push_bias=0.5),
        noise(3, 9, INPUT).requires_grad_(),
    )
    unrolled = rnn.unroll(x)
    expected = [paper(rnn, row) for row in x]
    same(unrolled.output, torch.stack([o for o, _ in expected]))
    same(unrolled.reads[:, :, 0], torch.stack([r for _, r in expected]))
    backward(unrolled.output.square().sum() + unrolled.reads.sum())
    got, got_x = gradients(rnn), x.grad
    x.grad = None
    backward(torch.stack([o.square().sum() + r.sum() for o, r in expected]).sum())
    same(got, gradients(rnn))
    same(got_x, x.grad)


def test_without_skips_there_are_no_parameters_but_those_of_the_paper() -> None:
    assert {name for name, _ in network(value_skip=False, read_skip=False, output_layer=True).named_parameters()} == {
        "initial", "to_action.weight", "to_action.bias", "output_layer.weight", "output_layer.bias",
        "cell.weight_ih", "cell.weight_hh", "cell.bias_ih", "cell.bias_hh",
    }  # fmt: skip


def test_no_memory_is_the_bare_cell() -> None:
    rnn, x = network("none", cell="gru"), noise(2, 6, INPUT)
    assert rnn.initial is not None
    h, expected = rnn.initial[0].expand(2, -1), []
    for t in range(6):
        h = rnn.cell(x[:, t], h)
        expected.append(h)
    output, state = run(rnn, x)
    same(output, torch.stack(expected, 1))
    assert state.read.shape == (2, 0, 0)
    backward(output.sum())
    torch.optim.Adam(rnn.parameters()).step()


# The interface of nn.LSTM.


@pytest.mark.parametrize("memory", MEMORIES)
def test_time_first_is_batch_first_transposed(memory: str) -> None:
    rows, columns = network(memory), network(memory, batch_first=False)
    x = noise(2, 5, INPUT)
    output, state = run(rows, x)
    turned, same = run(columns, x.transpose(0, 1))
    assert turned.shape == (5, 2, HIDDEN)
    assert torch.equal(turned.transpose(0, 1), output)
    assert_same_state(rows, same, state)


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_input_without_a_batch_axis_is_a_batch_of_one(batch_first: bool) -> None:
    rnn, x = network(batch_first=batch_first), noise(5, INPUT)
    output, state = run(rnn, x[:3])
    rest, state = run(rnn, x[3:], state)
    expected, last = run(rnn, x[None] if batch_first else x[:, None])
    assert output.shape == (3, HIDDEN)
    same(torch.cat([output, rest]), expected.squeeze(0 if batch_first else 1))
    assert_same_state(rnn, state, last)


@settings(max_examples=12)
@given(st.data())
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_padded_row_is_the_row_alone(memory: str, cell: str, data: st.DataObject) -> None:
    time = data.draw(st.integers(1, 6), "time")
    lengths = data.draw(st.lists(st.integers(0, time), min_size=1, max_size=4), "lengths")
    seed = data.draw(st.integers(0, 9), "seed")
    rnn = network(memory, cell, seed=seed, hard=data.draw(st.booleans(), "hard"))
    x = noise(len(lengths), time, INPUT, seed=seed)
    for row, length in enumerate(lengths):
        x[row, length:] = data.draw(st.sampled_from([float("nan"), float("inf"), 0.0, 7.0]), "padding")
    x.requires_grad_()
    output, state = run(rnn, x, None, lengths)
    backward(loss(output, state))
    assert x.grad is not None
    got, got_x = gradients(rnn), x.grad.clone()
    x.grad = None
    for row, length in enumerate(lengths):
        select = torch.tensor([row])
        last = state.select(select)
        assert (output[row, length:] == 0).all()
        assert (got_x[row, length:] == 0).all()
        if length:
            alone, expected = run(rnn, x[row : row + 1, :length])
            same(output[row : row + 1, :length], alone)
        else:
            alone, expected = x.new_zeros(1, 0, HIDDEN), rnn.initial_state(1)
        assert_same_state(rnn, last, expected)
        backward(loss(alone, expected))
    same(got, gradients(rnn))
    same(got_x, torch.zeros_like(got_x) if x.grad is None else x.grad)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_state_carried_over_padding_goes_on_as_the_row_alone(memory: str, hard: bool) -> None:
    rnn, x = network(memory, hard=hard), noise(3, 8, INPUT)
    lengths = [2, 4, 0]
    more = noise(3, 3, INPUT, seed=2)
    _, state = run(rnn, x, None, torch.tensor(lengths))
    output, state = run(rnn, more, state)
    backward(loss(output, state))
    got = gradients(rnn)
    for row, length in enumerate(lengths):
        whole = torch.cat([x[row : row + 1, :length], more[row : row + 1]], 1)
        alone, expected = run(rnn, whole)
        same(output[row : row + 1], alone[:, length:])
        backward(loss(alone[:, length:], expected))
    same(got, gradients(rnn))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_row_with_resets_is_its_pieces_alone(memory: str, cell: str) -> None:
    """Outputs, gradients and the final state are equal; resets in the padding have no effect."""
    rnn, x = network(memory, cell), noise(3, 6, INPUT)
    reset = torch.tensor([[0, 0, 1, 0, 0, 0], [1, 0, 0, 1, 1, 0], [0, 1, 0, 0, 1, 1]], dtype=torch.bool)
    lengths = [6, 6, 4]
    output, state = rnn(x, lengths=lengths, reset=reset)
    output.square().sum().backward()
    slopes = gradients(rnn)
    pieces = []
    for row, length in enumerate(lengths):
        bounds = sorted({0, length, *(t for t in range(length) if reset[row, t])})
        runs = [run(rnn, x[row : row + 1, a:b]) for a, b in itertools.pairwise(bounds)]
        pieces.append(torch.cat([piece for piece, _ in runs], dim=1)[0])
        same(output[row, :length], pieces[-1])
        assert_same_state(rnn, state.select(torch.tensor([row])), runs[-1][1])
    torch.cat(pieces).square().sum().backward()
    for name, slope in gradients(rnn).items():
        same(slopes[name], slope)


def test_a_reset_that_does_not_fit_is_refused() -> None:
    rnn, x = network(), noise(2, 4, INPUT)
    packed = pack_padded_sequence(x, torch.tensor([4, 2]), batch_first=True)
    none = torch.zeros(2, 4, dtype=torch.bool)
    for came, reset, error, message in (
        (x, none[:, :3], ValueError, "reset has shape (2, 3), but (batch, time) is (2, 4)"),
        (x, none.int(), TypeError, "reset is torch.int32, but a bool tensor was expected"),
        (x, [False], TypeError, "reset is list, but a bool tensor was expected"),
        (packed, none, ValueError, "reset goes with a padded x and lengths, not with a PackedSequence"),
    ):
        with pytest.raises(error) as caught:
            rnn(came, reset=reset)
        assert str(caught.value) == message


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5), enforce_sorted=st.booleans())
@pytest.mark.parametrize("memory", ["deque", "none"])
def test_a_packed_sequence_is_its_rows(memory: str, lengths: list[int], enforce_sorted: bool) -> None:
    if enforce_sorted:
        lengths = sorted(lengths, reverse=True)
    rnn = network(memory, "lstm")
    rows = [noise(length, INPUT, seed=i) for i, length in enumerate(lengths)]
    packed = pack_sequence(rows, enforce_sorted=enforce_sorted)
    output, state = rnn(packed)
    assert isinstance(output, PackedSequence)
    assert torch.equal(output.batch_sizes, packed.batch_sizes)
    padded, found = pad_packed_sequence(output, batch_first=True)
    assert found.tolist() == lengths
    for i, row in enumerate(rows):
        alone, expected = run(rnn, row[None])
        same(padded[i : i + 1, : len(row)], alone)
        assert_same_state(rnn, state.select(torch.tensor([i])), expected)


def test_the_states_of_a_packed_sequence_are_in_the_order_of_its_rows() -> None:
    rnn, x = network("queue"), noise(3, 5, INPUT)
    lengths = torch.tensor([2, 5, 3])
    _, before = run(rnn, noise(3, 4, INPUT, seed=2))
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    _, state = rnn(packed, before)
    _, expected = run(rnn, x, before, lengths)
    assert_same_state(rnn, state, expected)


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


# Settings.


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


# Saving, copying, other dtypes.


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


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("memory", MEMORIES)
def test_saved_weights_give_the_same_bits(memory: str, cell: str) -> None:
    rnn, x = network(memory, cell), noise(2, 4, INPUT)
    file = io.BytesIO()
    torch.save(rnn.state_dict(), file)
    file.seek(0)
    other = network(memory, cell, seed=9)
    assert not torch.equal(run(other, x)[0], run(rnn, x)[0])
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(run(other, x)[0], run(rnn, x)[0])


def test_a_copy_is_equal_and_independent() -> None:
    rnn, x = network("bank", "lstm"), noise(2, 4, INPUT)
    before = run(rnn, x)[0].detach()
    twin = copy.deepcopy(rnn)
    assert torch.equal(run(twin, x)[0], before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(run(rnn, x)[0], before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_of_the_parameters_is_that_of_the_output(dtype: torch.dtype) -> None:
    rnn = network("deque", "lstm", dtype=dtype)
    output, state = run(rnn, noise(2, 4, INPUT).to(dtype))
    assert output.dtype == state.read.dtype == state.hidden[0].dtype == dtype
    exact = run(network("deque", "lstm").requires_grad_(False), noise(2, 4, INPUT))[0]
    assert torch.isfinite(output).all()
    assert output.shape == exact.shape
    backward(output.float().sum())


def test_double_turns_everything() -> None:
    rnn = network("deque", "lstm", dtype=torch.float32).double()
    assert run(rnn, noise(2, 4, INPUT))[0].dtype == torch.float64
    assert run(rnn, noise(2, 4, INPUT), rnn.initial_state(2))[0].dtype == torch.float64


@pytest.mark.parametrize("lengths", [None, [4, 2]])
@pytest.mark.parametrize("cell", CELLS)
def test_autocast_is_near_to_float32(cell: str, lengths: list[int] | None) -> None:
    rnn, x = network("bank", cell, dtype=torch.float32), noise(2, 4, INPUT).float()
    with torch.autocast("cpu", torch.bfloat16):
        output, state = run(rnn, x, None, lengths)
        output, _ = run(rnn, x, state, lengths)
    _, state = run(rnn, x, None, lengths)
    torch.testing.assert_close(output.float(), run(rnn, x, state, lengths)[0], rtol=0.05, atol=0.05)
    backward(output.float().sum())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in rnn.parameters())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch looks at it between two graphs
@pytest.mark.parametrize(("memory", "lengths"), [("stack", None), ("deque", [9, 4]), ("tape", None)])
def test_a_compiler_leaves_it_as_it_is_at_any_length(memory: str, lengths: list[int] | None) -> None:
    """Tracing the loop takes minutes, again for each length; neither the compiled loop nor a step gains from it."""
    torch.compiler.reset()  # what other tests compiled counts towards the limit
    graphs = list[torch.fx.GraphModule]()

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    rnn = network(memory, "lstm", hard=lengths is None)
    compiled = torch.compile(rnn, backend=backend)
    model = torch.compile(nn.Sequential(nn.Linear(INPUT, INPUT).double(), Last(rnn)), backend=backend, dynamic=True)
    for time in (9, 12, 10, 1):
        x = noise(2, time, INPUT).requires_grad_()
        own = None if lengths is None else [min(time, length) for length in lengths]
        output, state = compiled(x, None, own)
        expected, after = run(rnn, x, None, own)
        same(output, expected)
        same(state.read, after.read)
        got, wanted = (torch.autograd.grad(each.square().sum(), [x, *rnn.parameters()]) for each in (output, expected))
        for mine, other in zip(got, wanted, strict=True):
            same(mine, other)
    assert not graphs
    seen = [(model(noise(2, time, INPUT)), len(graphs))[1] for time in (9, 12, 10)]
    assert 0 < seen[0] == seen[-1]


class Last(nn.Module):
    """A head on the last output of a network."""

    def __init__(self, rnn: MemoryRNN) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(HIDDEN, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.rnn(x)[0][:, -1])
        return scores


# Errors.

BUILD: list[tuple[dict[str, Any], str]] = [
    ({"cell": "lsmt"}, "unknown cell 'lsmt': choose from rnn, lstm, gru, or pass a module"),
    ({"cell": nn.GRUCell(INPUT, HIDDEN)}, "the cell has input_size 3, but 7 was expected"),
    ({"cell": nn.GRUCell(INPUT + WIDTH, 6)}, "the cell has hidden_size 6, but 5 was expected"),
    ({"cell": nn.Identity()}, "the cell has input_size None, but 7 was expected"),
    ({"cell": nn.LSTM(INPUT + WIDTH, HIDDEN)}, "the cell is an nn.LSTM, which takes whole sequences"),
    ({"push_bias": [1.0, 2.0]}, "push_bias has 2 numbers, but this Stack has 1 heads"),
    ({"read_noise": -1.0}, "read_noise is -1.0, but a finite number from 0 was expected"),
    ({"read_noise": float("nan")}, "read_noise is nan"),
    ({"read_noise": float("inf")}, "read_noise is inf"),
    ({"cell": "lstm", "state_noise": -1.0}, "state_noise is -1.0, but a finite number from 0 was expected"),
    ({"state_noise": 1.0}, "state_noise is 1.0, but RNNCell has no state besides its output: use 0"),
    ({"read_gate": True, "read_skip": False}, "read_skip is off: turn it on"),
    ({"pop_bias": []}, "pop_bias has 0 numbers, but this Stack has 1 heads"),
]


@pytest.mark.parametrize(("options", "message"), BUILD)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        MemoryRNN(INPUT, HIDDEN, Stack(WIDTH), **options)
    assert "\n" not in str(caught.value)


CALL: list[tuple[Callable[[MemoryRNN, Tensor], object], type[Exception], str]] = [
    (lambda rnn, x: rnn(x[..., :2]), ValueError,
     "x has shape (2, 5, 2), but (batch, time, 3) or (time, 3) was expected"),
    (lambda rnn, x: rnn(x[0, 0]), ValueError, "x has shape (3,), but (batch, time, 3) or (time, 3) was expected"),
    (lambda rnn, x: rnn(x[None]), ValueError, "x has shape (1, 2, 5, 3), but"),
    (lambda rnn, x: rnn.unroll(x[0]), ValueError, "x has shape (5, 3), but (batch, time, 3) was expected"),
    (lambda rnn, x: rnn(x[:, :0]), ValueError, "x has no time steps"),
    (lambda rnn, x: rnn(x.float()), TypeError, "x is torch.float32, but the parameters are torch.float64"),
    (lambda rnn, x: rnn(x.long()), TypeError, "x is torch.int64, but the parameters are torch.float64"),
    (lambda rnn, x: rnn(x.to("meta")), ValueError, "x is on meta, but this network is on cpu"),
    (lambda rnn, x: rnn(x, None, [5]), ValueError, "lengths has shape (1,), but one for each of 2 rows was expected"),
    (lambda rnn, x: rnn(x, None, [[5, 5]]), ValueError, "lengths has shape (1, 2), but one for each of 2 rows"),
    (lambda rnn, x: rnn(x, None, [5, 6]), ValueError, "lengths has 6, but x has 5 steps: 0..5 was expected"),
    (lambda rnn, x: rnn(x, None, torch.tensor([-1, 2])), ValueError, "lengths has -1, but x has 5 steps"),
    (lambda rnn, x: rnn(x, None, [1.5, 2.0]), TypeError, "lengths are torch.float32, but they count steps"),
    (lambda rnn, x: rnn(x, None, torch.tensor([True, False])), TypeError, "lengths are torch.bool"),
    (lambda rnn, x: rnn(pack_sequence([x[0]]), None, [5]), ValueError, "a PackedSequence has its own lengths"),
    (lambda rnn, x: rnn(x, rnn(x[:1])[1]), ValueError, "x has batch 2, but the state has batch 1"),
    (lambda rnn, x: rnn(x[0], rnn(x)[1]), ValueError, "x has batch 1, but the state has batch 2"),
    (lambda rnn, x: rnn(pack_sequence([x[0]]), rnn(x)[1]), ValueError, "x has batch 1, but the state has batch 2"),
    (lambda rnn, x: rnn(x, (x, x)), TypeError, "state is a tuple, but a MemoryRNN continues from a state"),
    (lambda rnn, x: rnn(x, network(cell="lstm")(x)[1]), ValueError,
     "the state has hidden sizes [5, 5] and reads of [1, 4], but this network has [5] and [1, 4]"),
    (lambda rnn, x: rnn(x, rnn(x)[1].to(dtype=torch.float32)), TypeError,
     "x is torch.float64, but the state is torch.float32: use state.to(dtype=x.dtype)"),
    (lambda rnn, x: rnn(x, rnn(x)[1].to("meta")), ValueError, "x is on cpu, but the state is on meta: use state.to"),
    (lambda rnn, x: rnn(x, network("deque")(x)[1]), ValueError, "the state has hidden sizes [5] and reads of [2, 4]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), CALL)
def test_what_does_not_fit_is_refused(
    call: Callable[[MemoryRNN, Tensor], object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)) as caught:
        call(network(), noise(2, 5, INPUT))
    assert "\n" not in str(caught.value)


def test_a_refusal_names_the_axes_in_the_order_of_the_network() -> None:
    with pytest.raises(ValueError, match=re.escape("but (time, batch, 3) or (time, 3) was expected")):
        network(batch_first=False)(noise(2, 5, 4))


def test_rows_may_be_none() -> None:
    output, state = run(network(), noise(0, 5, INPUT))
    assert output.shape == (0, 5, HIDDEN)
    assert len(state.read) == 0
