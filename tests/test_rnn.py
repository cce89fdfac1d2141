"""A `MemoryRNN` follows the equations of the paper and the interface of `nn.LSTM`."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    HIDDEN,
    INPUT,
    MEMORIES,
    WIDTH,
    assert_same_state,
    gradients,
    loss,
    network,
    noise,
    run,
    same,
    signals,
)
from torch import Tensor
from torch.autograd import backward
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

from ddstructs import MemoryRNN
from ddstructs.registry.catalog import CELLS


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
        more = x.new_zeros(2) if rnn.signal_skip is None else rnn.signal_skip.weight @ x_t
        d = torch.sigmoid(w_d @ h + b_d + more[0])[0]
        u = torch.sigmoid(w_u @ h + b_u + more[1])[0]
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
        network(cell=cell, value_skip=skips, signal_skip=skips, read_skip=skips, output_layer=not skips, push_bias=0.5),
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


def test_rows_may_be_none() -> None:
    output, state = run(network(), noise(0, 5, INPUT))
    assert output.shape == (0, 5, HIDDEN)
    assert len(state.read) == 0
