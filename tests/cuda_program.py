"""Run by a test in a separate process, because triton reads `TRITON_INTERPRET` when it is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import triton.language as tl
from kinds import LINES
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence
from torch.testing import assert_close

from ddstructs import MemoryRNN, NoMemory, Stack, ops
from ddstructs.nn import fused
from ddstructs.nn.cuda import activations, plan, products
from ddstructs.ops.walks import compiled

INPUT, HIDDEN, WIDTH, TIME = 3, 5, 4, 6
CELLS = "rnn", "lstm", "gru"


@contextmanager
def one_by_one() -> Iterator[None]:
    """The loop over the steps."""
    fits, fused.fits = fused.fits, lambda *_: False
    try:
        yield
    finally:
        fused.fits = fits


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def solve(rnn: MemoryRNN, dtype: torch.dtype, before: int, **options: Any) -> dict[str, Tensor]:
    """All that comes out of a run, from an empty memory or after some steps of the loop, with all gradients."""
    earlier, x = (draw(3, time, INPUT, seed=time, dtype=dtype).requires_grad_() for time in (before, TIME))
    torch.manual_seed(0)
    state = None
    if before:
        with one_by_one():
            state = rnn.unroll(earlier).state
    torch.manual_seed(1)  # for the noise
    run = rnn.unroll(x, state, **options)
    push, pop, value = run.actions
    values, strengths = rnn.memory.contents(run.state.memory)
    found = [run.output, push, pop, value * (push > 0)[..., None], run.reads, *run.state.hidden, run.state.read]
    found += [values, torch.where(strengths > 0, strengths, 0)]  # a dead slot may have a gradient, and any may be there
    loss = sum((part * draw(*part.shape, seed=n, dtype=dtype)).sum() for n, part in enumerate(found))
    assert isinstance(loss, Tensor)
    sources = {"x": x, "earlier": earlier, **dict(rnn.named_parameters())}
    grads = torch.autograd.grad(loss, list(sources.values()), materialize_grads=True)
    return {str(n): part for n, part in enumerate(found)} | dict(zip(sources, grads, strict=True))


def compare(memory: str, cell: str, dtype: torch.dtype = torch.float64, before: int = 0, **options: Any) -> None:
    """The kernels and the loop give the same results."""
    at_run = {name: options.pop(name) for name in ("lengths", "reset") if name in options}
    torch.manual_seed(0)
    rnn = MemoryRNN(INPUT, HIDDEN, LINES[memory](WIDTH), cell, dtype=dtype, pop_bias=0.0, **options)
    if rnn.initial is not None:
        nn.init.normal_(rnn.initial)
    assert rnn.path(torch.zeros(TIME, 1, INPUT, dtype=dtype)).name == "compiled"
    came = solve(rnn, dtype, before, **at_run)
    with one_by_one():
        expected = solve(rnn, dtype, before, **at_run)
    tolerance = 1e-9 if dtype == torch.float64 else 2e-5
    assert_close(came, expected, rtol=tolerance, atol=tolerance / 100)


@contextmanager
def streaming() -> Iterator[None]:
    """Weights in many tiles, none of which is held in registers."""
    before = plan.CROWDED, products.WIDEST
    plan.CROWDED, products.WIDEST = plan.Limits(held=0, share=1, tile=128, warps=1), 4
    plan.plan.cache_clear()
    try:
        yield
    finally:
        plan.CROWDED, products.WIDEST = before
        plan.plan.cache_clear()


def activation_errors(function: Callable[[Tensor], Tensor], kernel: Any, dtype: torch.dtype) -> None:
    """An activation within three units in the last place, over all magnitudes."""
    sizes = torch.cat([torch.logspace(-30, 3, 2000, dtype=torch.float64), torch.linspace(0, 20, 2000)]).to(dtype)
    x = torch.cat([sizes, -sizes, torch.tensor([torch.inf, -torch.inf, torch.nan])]).to(dtype)
    y = torch.empty_like(x)
    apply[(1,)](x, y, len(x), 1 << (len(x) - 1).bit_length(), kernel)
    exact = function(x.double())
    bound = 3 * torch.finfo(dtype).eps * exact.abs() + torch.finfo(dtype).tiny
    assert ((y.double() - exact).abs() <= bound)[~x.isnan()].all()
    assert y.isnan().equal(x.isnan())


@compiled
def apply(x, y, count, padded: tl.constexpr, kernel: tl.constexpr):  # type: ignore[no-untyped-def]
    lanes = tl.arange(0, padded)
    given = tl.load(x + lanes, mask=lanes < count, other=0)
    if kernel == "tanh":
        tl.store(y + lanes, activations.tanh(given), mask=lanes < count)
    else:
        tl.store(y + lanes, activations.sigmoid(given), mask=lanes < count)


if __name__ == "__main__":
    fused._TRITON.add("cpu")
    plan.CROWDED = plan.ROOMY  # on the CPU, which passes for one multiprocessor
    torch.set_num_threads(1)
    for cell in CELLS:
        for memory in LINES:
            compare(memory, cell, lengths=[TIME, 0, 3] if memory == "deque" else None)
    reset = torch.rand(3, TIME, generator=torch.Generator().manual_seed(0)) < 0.4
    reset[0, 0] = True
    for cell in CELLS:
        compare("deque" if cell == "gru" else "queue", cell, before=3, reset=reset, lengths=[2, TIME, TIME - 1])
        compare("stack", cell, before=2, read_noise=0.5, state_noise=0.5 if cell == "lstm" else 0.0)
    compare("deque", "lstm", before=2, hard=True, reset=reset, learn_initial=False)
    compare("stack", "gru", value_skip=False, read_skip=False, output_layer=True, hard=True)
    compare("queue", "rnn", read_gate=True, lengths=[1, 2, 4])
    with streaming():
        for cell in CELLS:
            compare("deque", cell)
            compare("stack", cell, torch.float32, before=2)
    for dtype in (torch.float32, torch.float64):
        activation_errors(torch.tanh, "tanh", dtype)
        activation_errors(torch.sigmoid, "sigmoid", dtype)
    with torch.no_grad():
        rnn, x = MemoryRNN(INPUT, HIDDEN, Stack(WIDTH)), draw(TIME, 2, INPUT, seed=0, dtype=torch.float32)
        output, state = rnn(x)
        halves = [rnn(x[:3])]
        halves.append(rnn(x[3:], halves[0][1]))
        assert_close(torch.cat([half[0] for half in halves]), output)
        assert_close(rnn.memory.contents(halves[1][1].memory), rnn.memory.contents(state.memory))
        with ops.using("reference"):
            assert rnn.path(x).name == "loop"
            assert_close(rnn(x)[0], output)
        rnn(x[:, :0])
        packed = pack_sequence([x[:4, 0], x[:, 1]], enforce_sorted=False)
        alone = [rnn(x[:4, :1])[0][:, 0], rnn(x[:, 1:])[0][:, 0]]
        assert_close(unpack_sequence(rnn(packed)[0]), alone)
        bare = MemoryRNN(INPUT, HIDDEN, NoMemory()).path(x)
        assert bare.reason == "the memory is a NoMemory, but a GPU has a compiled loop only for a single line memory"
        fused.HEAVY = 1
        assert rnn.path(x).reason == "the cell has 0 MiB of weights, for which large products in a loop are faster"
    print("equal")
