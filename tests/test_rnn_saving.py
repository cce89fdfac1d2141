"""Saving and copying a `MemoryRNN`, and its dtypes."""

import copy
import io

import pytest
import torch
from networks import INPUT, MEMORIES, network, noise, run
from torch.autograd import backward

from ddstructs.registry.catalog import CELLS


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
