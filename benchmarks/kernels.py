"""How long a step takes: kernels beside the reference, an LSTM cell and a copy of the bytes, in one run.

Signals are uniform in (0, 1), values normal. Each time is the median of several runs, taken in turn, so that whatever
else the machine does falls on all of them alike; a run is left out where it would not fit into memory or patience.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ddstructs import Action, Deque, Queue, Stack, ops

__all__ = ["main"]

MEMORIES = {"stack": Stack, "queue": Queue, "deque": Deque}
SIGNALS = ("uniform", "tiny pushes", "push, then pop", "alternating")
REFERENCE_FITS = 1024
LOOP_FITS = 8192
Clock = Callable[[], tuple[float, float]]


def clock(forward: Callable[[], Tensor], leaves: list[Tensor], device: str) -> tuple[float, float]:
    """Seconds of a forward pass, and of the backward pass after it."""

    def now() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    for leaf in leaves:
        leaf.grad = None
    start = now()
    reads = forward()
    above = torch.ones_like(reads)
    middle = now()
    reads.backward(above)
    return middle - start, now() - middle


def contenders(structure: str, steps: int, arguments: argparse.Namespace, signals: str) -> Iterator[tuple[str, Clock]]:
    """What to time at a length, each under its name."""
    device, batch, width = arguments.device, arguments.batch, arguments.width
    memory = MEMORIES[structure](width)
    push, pop, value = draw(signals, batch, steps, memory.heads, width, device)
    leaves = [push, pop, value]

    def whole() -> Tensor:
        reads: Tensor = memory(Action(push, pop, value))[0]
        return reads

    def loop() -> Tensor:
        state, reads = memory.initial_state(batch, device=device), []
        for action in zip(push.unbind(1), pop.unbind(1), value.unbind(1), strict=True):
            read, state = memory.step(Action(*action), state)
            reads.append(read)
        return torch.stack(reads, 1)

    def by_reference(form: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with ops.using("reference"):
                return form()

        return run

    yield "scan", lambda: clock(whole, leaves, device)
    if steps <= REFERENCE_FITS:
        yield "scan, reference", lambda: clock(by_reference(whole), leaves, device)
    if steps <= LOOP_FITS:
        yield "step", lambda: clock(loop, leaves, device)
    if steps <= REFERENCE_FITS // 2:
        yield "step, reference", lambda: clock(by_reference(loop), leaves, device)
    if structure == "stack" and signals == "uniform":
        yield "copy of the bytes", lambda: copy(value)
        if steps <= 2 * REFERENCE_FITS:
            yield "LSTMCell(128, 256)", lstm(batch, steps, device)


def copy(value: Tensor) -> tuple[float, float]:
    """Read value and write reads; then read value and the gradient of the reads, and write that of value."""
    with torch.no_grad():
        start = time.perf_counter()
        reads = value.clone()
        middle = time.perf_counter()
        torch.add(reads, value)
        return middle - start, time.perf_counter() - middle


def lstm(batch: int, steps: int, device: str) -> Clock:
    cell = nn.LSTMCell(128, 256, device=device)
    inputs = torch.randn(batch, steps, 128, device=device)

    def loop() -> Tensor:
        state, outputs = None, []
        for part in inputs.unbind(1):
            state = cell(part, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)

    return lambda: clock(loop, list(cell.parameters()), device)


def draw(signals: str, batch: int, steps: int, heads: int, width: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Actions: uniform ones, and three chosen to be hard."""
    shape = batch, steps, heads
    even = (torch.arange(steps) % 2 == 0).to(torch.float32)[None, :, None].expand(shape)
    half = (torch.arange(steps) < steps // 2).to(torch.float32)[None, :, None].expand(shape)
    push, pop = {
        "uniform": (torch.rand(shape), torch.rand(shape)),
        "tiny pushes": (torch.full(shape, 0.001), torch.zeros(shape)),
        "push, then pop": (half, 1 - half),
        "alternating": (even, 1 - even),
    }[signals]
    value = torch.randn(*shape, width)
    return tuple(part.to(device, copy=True).requires_grad_() for part in (push, pop, value))  # type: ignore[return-value]


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, object]]:
    """One record per contender and length."""
    cases = [(structure, "uniform") for structure in MEMORIES]
    cases += [("stack", signals) for signals in SIGNALS[1:]]
    for structure, signals in cases:
        if signals not in arguments.signals:
            continue
        for steps in arguments.steps:
            rivals = dict(contenders(structure, steps, arguments, signals))
            for run in rivals.values():
                if steps <= LOOP_FITS:
                    run()  # warm: compilation, first touch of the memory
            repeats = arguments.repeats if steps <= LOOP_FITS else 2
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
            for _ in range(repeats):
                for name, run in rivals.items():
                    seen[name].append(run())
            for name, pairs in seen.items():
                forward, backward = (statistics.median(part) / steps * 1e6 for part in zip(*pairs, strict=True))
                yield {
                    "structure": structure, "signals": signals, "kernel": name, "steps": steps,
                    "forward": forward, "backward": backward,
                }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=[128, 512, 2048, 8192, 65536])
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=SIGNALS, help="which kinds of actions to time")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file, one record a line")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print("| structure | signals | kernel | steps | forward, µs per step | backward, µs per step |")
    print("|---|---|---|---:|---:|---:|")
    records = []
    for record in measure(arguments):
        records.append(record)
        cells = (f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in record.values())
        print("|", " | ".join(cells), "|", flush=True)
    if arguments.json:
        arguments.json.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


if __name__ == "__main__":
    main()
