"""The compiled loop: its arithmetic, its slices of the batch, and who takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ddstructs import Bank, Deque, MemoryRNN, NoMemory, Queue, Stack, Tape
from ddstructs.nn import fused
from ddstructs.nn.compiled import plan as plans
from ddstructs.ops.activations import sigmoid, sigmoid_slope, tanh, tanh_slope
from ddstructs.ops.compiler import compiled
from ddstructs.ops.products import gram, pack, product
from ddstructs.ops.vectors import lanes, load, store

DTYPES = torch.float32, torch.float64
NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
TOLERANCE = {torch.float32: (1e-3, 1e-4), torch.float64: (1e-9, 1e-11)}


@compiled()
def activations(x: Any, tangents: Any, logistics: Any, slopes: Any) -> None:
    for i in range(0, len(x), lanes(x)):
        y, z = tanh(load(x, i)), sigmoid(load(x, i))
        store(tangents, i, y)
        store(logistics, i, z)
        store(slopes, i, tanh_slope(y) + sigmoid_slope(z))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_are_right_within_two_and_a_half_units_in_the_last_place(dtype: Any) -> None:
    generator, far = np.random.default_rng(0), 120 if dtype is np.float32 else 760
    drawn = [generator.normal(0, scale, 1 << 14) for scale in (1e-3, 0.1, 0.6, 1, 3, 10, 40)]
    x = np.concatenate([*drawn, np.linspace(-far, far, 1 << 14)]).astype(dtype)
    tangents, logistics, slopes = np.empty((3, len(x)), dtype)
    activations(x, tangents, logistics, slopes)
    wide = x.astype(np.longdouble)
    small = np.exp(-np.abs(wide))
    for got, exact in ((tangents, np.tanh(wide)), (logistics, np.where(wide < 0, small, 1) / (1 + small))):
        units = np.abs(got - exact) / np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
        assert units.max() <= 2.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_far_out_are_exact_and_a_nan_stays_one(dtype: Any) -> None:
    x = np.zeros(48, dtype)
    x[:3], x[16:19], x[32:35] = [np.nan, np.inf, -np.inf], [1e30, -1e30, 800], [-800, 40, np.nan]
    tangents, logistics, slopes = np.empty((3, len(x)), dtype)
    activations(x, tangents, logistics, slopes)
    lost = np.isnan(x)
    assert np.isnan(tangents[lost]).all()
    assert np.isnan(logistics[lost]).all()
    saturated = np.abs(x) > 100
    np.testing.assert_array_equal(tangents[saturated], np.sign(x[saturated]))
    np.testing.assert_array_equal(logistics[saturated], x[saturated] > 0)
    np.testing.assert_array_equal(slopes[saturated], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns", "inner"), [(1, 16, 1), (5, 80, 37), (3, 144, 300), (16, 64, 192)])
def test_products_are_those_of_numpy(rows: int, columns: int, inner: int, dtype: Any) -> None:
    generator = np.random.default_rng(0)
    a, w, s = (generator.normal(size=size).astype(dtype) for size in ((rows, inner), (inner, columns), (rows, columns)))
    panels, c = np.empty(inner * columns, dtype), np.empty_like(s)
    pack(w.reshape(-1), 0, columns, inner, columns, panels, 0, inner, columns, 0, 0)
    product(
        rows, columns, inner, a.reshape(-1), 0, inner, panels, 0, c.reshape(-1), 0, columns, s.reshape(-1), 0, columns
    )
    np.testing.assert_allclose(c, s + a @ w, rtol=1e-4, atol=1e-4)
    g = np.zeros((columns, columns), dtype)
    gram(rows, columns, columns, c.reshape(-1), 0, columns, s.reshape(-1), 0, columns, g.reshape(-1), 0, columns)
    np.testing.assert_allclose(g, c.T @ s, rtol=1e-3, atol=1e-3)


def solved(rnn: MemoryRNN, x: Tensor, lengths: Tensor | None, reset: Tensor | None) -> list[Tensor]:
    """All that comes out of a run, and its gradients."""
    torch.manual_seed(3)
    run = rnn.unroll(x, None, lengths, reset)
    found = [run.output, *run.actions[:2], run.reads, *run.state.hidden, run.state.read]
    loss = sum((part * torch.linspace(-1, 1, part.numel(), dtype=part.dtype).view_as(part)).sum() for part in found)
    assert isinstance(loss, Tensor)
    return found + list(torch.autograd.grad(loss, [x, *rnn.parameters()], materialize_grads=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "deep"])
@pytest.mark.parametrize(
    ("memory", "size", "batch", "time", "cut", "restart"),
    [
        (Stack, 16, 3, 20, False, False),
        (Stack, 33, 5, 150, True, True),
        (Deque, 20, 70, 9, True, False),
        (Queue, 64, 40, 12, False, True),
        (lambda width: Bank([Stack(width), Stack(width)]), 33, 5, 150, True, True),
        (lambda width: Bank([Deque(width), Queue(width)]), 24, 70, 9, True, True),
        (lambda _: NoMemory(), 33, 5, 150, True, True),
        (lambda _: NoMemory(), 16, 70, 9, False, False),
    ],
)
def test_sizes_slices_lengths_and_resets_give_what_the_steps_give(
    memory: Callable[[int], Any],
    size: int,
    batch: int,
    time: int,
    cut: bool,
    restart: bool,
    cell: str,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    working = memory(size // 2)
    pop_bias = 0.0 if working.heads else None
    rnn = MemoryRNN(size - 3, size, working, cell, read_noise=0.1, pop_bias=pop_bias, dtype=dtype)
    assert rnn.initial is not None
    torch.nn.init.normal_(rnn.initial)
    x = torch.randn(batch, time, size - 3, dtype=dtype, requires_grad=True)
    lengths = torch.randint(0, time + 1, (batch,)) if cut else None
    reset = torch.rand(batch, time) < 0.1 if restart else None
    got = solved(rnn, x, lengths, reset)
    monkeypatch.setattr(fused, "fits", lambda *_: False)
    rtol, atol = TOLERANCE[dtype]
    for mine, expected in zip(got, solved(rnn, x, lengths, reset), strict=True):
        scale = float(expected.detach().abs().max()) or 1.0 if expected.numel() else 1.0
        torch.testing.assert_close(mine / scale, expected / scale, rtol=rtol, atol=atol)


def test_an_input_without_limit_keeps_what_is_beside_it() -> None:
    """Rows are filled up with zeros inside, and infinity times zero is no number."""
    rnn, x = MemoryRNN(3, 5, Stack(4)), torch.randn(6, 2, 3)
    x[2, 1, 0] = torch.inf
    output, _ = rnn(x)
    assert output.isfinite().all()


def test_rows_are_cut_by_the_batch_alone_and_each_step_of_a_row_is_in_one_block() -> None:
    lengths = np.array([3, 40, 0, 17, 17])
    (order,) = plans.slices(lengths)
    assert lengths[order].tolist() == [40, 17, 17, 3, 0]
    reset = np.zeros((5, 40), np.bool_)
    reset[0, 30] = reset[2, 20] = reset[1, 5] = True  # the second is in the padding
    cut = plans.cut(order, lengths[order], reset)
    steps = [(first, last, count) for first, last, count, *_ in cut.blocks.tolist()]
    assert sum(count * (last - first) for first, last, count in steps) == cut.total == lengths.sum()
    assert [first for first, *_, anew in cut.blocks.tolist() if anew] == [0, 3, 5, 17, 30]


def test_a_network_says_which_path_it_takes_and_why() -> None:
    x = torch.randn(10, 2, 3)
    assert MemoryRNN(3, 5, Stack(4), "gru").path(x).name == "compiled"
    assert MemoryRNN(3, 5, NoMemory()).path(x) == ("compiled", "RNNCell with NoMemory, on the CPU")
    assert MemoryRNN(3, 5, Tape(4)).path(x) == ("loop", "Tape is not a line memory")
    assert MemoryRNN(3, 5, Bank([Stack(4), Queue(4)])).path(x).name == "compiled"
    hooked = MemoryRNN(3, 5, Stack(4))
    hooked.cell.register_forward_hook(lambda *_: None)
    assert hooked.path(x) == ("loop", "RNNCell has hooks or its own forward")
    with torch.autocast("cpu"):
        assert MemoryRNN(3, 5, Stack(4)).path(x) == ("loop", "autocast is on")
