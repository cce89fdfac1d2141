"""The benchmark cases: each draws its inputs, runs forward and backward, and returns the time of each pass."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from ddstructs import Action, Deque, Memory, MemoryRNN, Queue, Stack, SuperpositionStack, Tape, ops
from ddstructs.actions import mapped, parts, unbind
from ddstructs.line import LineMemory

__all__ = ["LENGTHS", "MEMORIES", "NARROW", "PEER", "Case", "actions", "cases"]

LENGTHS = 64, 256, 1024, 4096, 8192, 65536
MEMORIES: dict[str, type[LineMemory]] = {"stack": Stack, "queue": Queue, "deque": Deque}
MIXTURES: dict[str, tuple[int, Callable[[int], Memory]]] = {
    "superposition stack": (256, SuperpositionStack),
    "superposition stack, depth 16": (1024, lambda width: SuperpositionStack(width, depth=16)),
    "tape": (256, Tape),
}
"""Memories by superposition, each with its longest sequence: the cost of a step grows with the cells in use."""

NARROW = 1, 8
"""Widths whose time per element is compared with that of width 64."""

PEER = "StackTransLayer, depth 16"
"""The layer of stack-attention-pytorch: a superposition stack, and the projections around it."""

SIGNALS = "uniform", "tiny pushes", "push, then pop", "alternating"
LIMITS = {
    "reference": 1024,
    "reference, deque": 256,
    "parallel": 8192,
    "LSTMCell": 1024,
    "step": 1024,
    "tiny pushes": 4096,
}
"""Longest sequences of the cases that are slow or take more than linear time."""

Case = Callable[[], tuple[float, float]]

_wall = False


def cases(batch: int, width: int, device: str) -> Iterator[tuple[str, int, Case]]:
    """Yield the name, the length and the case of each measurement."""
    for steps in LENGTHS:
        yield "copy of the bytes", steps, partial(copy, batch, steps, width, device)
        if steps <= LIMITS["LSTMCell"]:
            yield "LSTMCell(128, 256)", steps, partial(lstm_cell, batch, steps, device)
        for name, kind in MEMORIES.items():
            whole = partial(scan, kind(width), batch, steps, device)
            yield name, steps, whole
            if steps <= LIMITS["step"]:
                yield f"{name}, in steps", steps, partial(loop, kind(width), batch, steps, device)
            if steps <= LIMITS["reference, deque" if name == "deque" else "reference"]:
                yield f"{name}, reference", steps, partial(by, "reference", whole)
            if name != "deque" and steps <= LIMITS["parallel"]:
                yield f"{name}, parallel", steps, partial(by, "parallel", whole)
        for name, (most, mixture) in MIXTURES.items():
            if steps <= most:
                yield name, steps, partial(scan, mixture(width), batch, steps, device)
        for signals in SIGNALS[1:]:
            if steps <= LIMITS.get(signals, steps):
                yield f"stack, {signals}", steps, partial(scan, Stack(width), batch, steps, device, signals)
            if steps <= LIMITS["step"]:
                yield f"stack, {signals}, in steps", steps, partial(loop, Stack(width), batch, steps, device, signals)
    for size in (*NARROW, 64):
        case = partial(per_element, size, partial(scan, Stack(size), batch, 1024, device))
        yield f"stack, width {size}", 1024, case
    for steps in (130, 1024, 4096):
        yield "MemoryRNN", steps, partial(network, MemoryRNN(64, 64, Stack(64), device=device), steps, device)
        for cell, title in (("rnn", "Elman"), ("lstm", "LSTM"), ("gru", "GRU")):
            for name, kind in MEMORIES.items():
                rnn = MemoryRNN(64, 64, kind(64), cell, device=device)
                yield f"MemoryRNN, {title}, {name}", steps, partial(network, rnn, steps, device, learns=True)
        yield "nn.LSTM", steps, partial(network, nn.LSTM(64, 64, device=device), steps, device)
        lstm = nn.LSTM(64, 64, device=device)
        yield "nn.LSTM, gradient for x", steps, partial(network, lstm, steps, device, learns=True)
    if find_spec("stack_attention"):
        yield PEER, 1024, partial(peer, batch, 1024, width, device)
    yield from networks(device)
    if device == "cpu":
        yield from threads(width)


def networks(device: str) -> Iterator[tuple[str, int, Case]]:
    """Yield the cases of an Elman cell with a stack in other conditions, each followed by `nn.LSTM` in the same."""
    conditions: dict[str, dict[str, Any]] = {f"batch {batch}": {"batch": batch} for batch in (1, 64, 256)}
    conditions |= {"float64": {"dtype": torch.float64}, "size 60": {"size": 60}}
    for title, options in conditions.items():
        size, dtype = options.pop("size", 64), options.get("dtype", torch.float32)
        rnn = MemoryRNN(size, size, Stack(size), device=device, dtype=dtype)
        lstm = nn.LSTM(size, size, device=device, dtype=dtype)
        for name, module in ((f"MemoryRNN, {title}", rnn), (f"nn.LSTM, {title}", lstm)):
            yield name, 130, partial(network, module, 130, device, learns=True, size=size, **options)
    for cell in ("rnn", "lstm"):
        rnn = MemoryRNN(64, 64, Stack(64), cell, device=device)
        yield f"MemoryRNN.unroll, {cell}, stack", 130, partial(unroll, rnn, 130, device)
    for steps in (130, 1000):
        rnn, lstm = MemoryRNN(64, 64, Stack(64), device=device), nn.LSTM(64, 64, device=device)
        yield "MemoryRNN, packed", steps, partial(network, rnn, steps, device, learns=True, pack=True)
        yield "nn.LSTM, padded", steps, partial(network, lstm, steps, device, learns=True)


def threads(width: int) -> Iterator[tuple[str, int, Case]]:
    """Yield cases on one and on two threads, by wall-clock time."""
    for count in (1, 2):
        for steps in (1024, 8192):
            yield f"stack, threads: {count}", steps, partial(on, count, partial(scan, Stack(width), 32, steps, "cpu"))
        case = partial(network, MemoryRNN(64, 64, Stack(64)), 130, "cpu", learns=True, batch=64)
        yield f"MemoryRNN, batch 64, threads: {count}", 130, partial(on, count, case)


def actions(memory: Memory, batch: int, steps: int, device: str, signals: str = "uniform") -> Any:
    """Actions that require a gradient: random, or in a fixed pattern."""
    shape = batch, steps, memory.heads
    if not isinstance(memory, LineMemory):
        logits = torch.randn(batch, steps, memory.signals.size)
        action = memory.signals.action(logits, torch.randn(*shape, memory.width))
        return mapped(lambda part: part.to(device).requires_grad_(), action)
    push, pop = torch.rand(shape), torch.rand(shape)
    time = torch.arange(steps)[None, :, None].expand(shape)
    if signals == "tiny pushes":
        push, pop = torch.full(shape, 0.001), torch.zeros(shape)
    elif signals == "push, then pop":
        push, pop = (time < steps // 2).float(), (time >= steps // 2).float()
    elif signals == "alternating":
        push, pop = (time % 2 == 0).float(), (time % 2 == 1).float()
    value = torch.randn(*shape, memory.width, device=device)
    return Action(*(part.to(device).requires_grad_() for part in (push, pop, value)))


def scan(memory: Memory, batch: int, steps: int, device: str, signals: str = "uniform") -> tuple[float, float]:
    """Run a whole sequence at once."""
    given = actions(memory, batch, steps, device, signals)
    clock(lambda: memory(given)[0], device)  # maps the pages, which later batches reuse
    for part in parts(given):
        part.grad = None
    return clock(lambda: memory(given)[0], device)


def loop(memory: LineMemory, batch: int, steps: int, device: str, signals: str = "uniform") -> tuple[float, float]:
    """Run the same sequence step by step."""
    given = actions(memory, batch, steps, device, signals)

    def run() -> Tensor:
        state, reads = memory.initial_state(batch, device=device), []
        for action in unbind(given):
            read, state = memory.step(action, state)
            reads.append(read)
        return torch.stack(reads, 1)

    return clock(run, device)


def peer(batch: int, steps: int, width: int, device: str) -> tuple[float, float]:
    """Run the layer of stack-attention-pytorch on a whole sequence."""
    kind = import_module("stack_attention").StackTransLayer
    layer = kind(width, num_stacks=1, dim_stack=width, stack_size=16, add_residual=False).to(device)
    x = torch.randn(batch, steps, width, device=device, requires_grad=True)
    return clock(lambda: layer(x, recurrent=True)[0], device)


def by(kernel: ops.Kernel, case: Case) -> tuple[float, float]:
    """Run a case with a kernel other than the default."""
    with ops.using(kernel):
        return case()


def copy(batch: int, steps: int, width: int, device: str) -> tuple[float, float]:
    """A lower bound: copy the value to the reads; then add the value and the gradient of the reads."""
    value, reads_grad = torch.randn(2, batch, steps, width, device=device)
    times = 0.0, 0.0
    for _ in range(2):  # the second run counts, as in `scan`
        start = now(device)
        reads = value.clone()
        middle = now(device)
        grad = value + reads_grad
        times = middle - start, now(device) - middle
        del reads, grad
    return times


def lstm_cell(batch: int, steps: int, device: str) -> tuple[float, float]:
    """Run an LSTM cell in a loop."""
    cell, inputs = nn.LSTMCell(128, 256, device=device), torch.randn(batch, steps, 128, device=device)

    def run() -> Tensor:
        state, outputs = None, []
        for part in inputs.unbind(1):
            state = cell(part, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)

    return clock(run, device)


def network(
    module: nn.Module,
    steps: int,
    device: str,
    *,
    learns: bool = False,
    batch: int = 16,
    size: int = 64,
    dtype: torch.dtype = torch.float32,
    pack: bool = False,
) -> tuple[float, float]:
    """Run a recurrent network.

    Args:
        module: The network.
        steps: Number of steps.
        device: Where to run.
        learns: Whether the input needs a gradient, as behind an embedding.
        batch: Number of rows.
        size: Size of one input.
        dtype: Type of the input.
        pack: Whether rows are packed whose lengths are spread evenly from a fifth of the steps to all, 60 % on average.
    """
    x = torch.randn(steps, batch, size, device=device, dtype=dtype, requires_grad=learns)
    if not pack:
        return clock(lambda: module(x)[0], device)
    lengths = torch.linspace(steps, steps / 5, batch).long()
    packed = pack_padded_sequence(x.detach(), lengths)
    packed = packed._replace(data=packed.data.requires_grad_(learns))
    return clock(lambda: module(packed)[0].data, device)


def per_element(width: int, case: Case) -> tuple[float, float]:
    """The times of a case divided by the width."""
    forward, backward = case()
    return forward / width, backward / width


def unroll(rnn: MemoryRNN, steps: int, device: str) -> tuple[float, float]:
    """Run a network on a batch of 16 as `Controller` does, with actions and reads."""
    x = torch.randn(16, steps, 64, device=device, requires_grad=True)
    return clock(lambda: rnn.unroll(x).output, device)


def on(count: int, case: Case) -> tuple[float, float]:
    """Run a case on a number of threads, timed by the wall clock."""
    global _wall
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    _wall = True
    try:
        return case()
    finally:
        _wall = False
        torch.set_num_threads(before)


def clock(forward: Callable[[], Tensor], device: str) -> tuple[float, float]:
    """Seconds of a forward and of its backward pass."""
    gc.collect()
    start = now(device)
    output = forward()
    middle = now(device)
    output_grad = torch.ones_like(output)
    again = now(device)
    output.backward(output_grad)
    return middle - start, now(device) - again


def now(device: str) -> float:
    """Seconds since some fixed time; processor time with a single thread, to be less sensitive to other load."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif torch.get_num_threads() == 1 and not _wall:
        return time.process_time()
    return time.perf_counter()
