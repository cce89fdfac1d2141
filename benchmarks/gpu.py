"""Kernels on a GPU: their tests there first, then the time of each memory, network and layer, written to GPU.md.

    python -m benchmarks.gpu                 the tests and all cases, as `make gpu`
    python -m benchmarks.gpu layer token     prints the cases with one of these words in their name; writes nothing

Every case runs a few times on the clock, each after the device has finished; times are medians.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.cases import MEMORIES, Case, by, clock, loop, scan
from benchmarks.layers import DIM, HEADS, NETWORKS
from ddstructs import Memory, MemoryLayer, MemoryRNN, Stack, SuperpositionStack, Tape, ops

__all__ = ["main"]

TESTS = "tests/test_gpu.py"
WARM, ROUNDS = 3, 5
"""Rounds that compile and record, and rounds on the clock."""

WIDTH = 64
SIZES = (32, 1024), (512, 1024), (32, 8192)
"""Batches and lengths; the second fills a card, the third has the longest sequences."""

CONTROLLERS = ("lstm", 64), ("rnn", 64), ("gru", 64), ("lstm", 512), ("rnn", 256)
"""Cells and their sizes; those wider than the memory are timed at the first size only."""

LAYERS = (8, 1024), (8, 8192), (8, 32768)
"""Batches and lengths of the layers."""

TOKENS = (1, 64), (1, 8192), (32, 1024)
"""Batches, and the number of tokens before those that are decoded."""

KERNELS: dict[str, ops.Kernel] = {"": "auto", ", reference": "reference"}

MIXTURES: dict[str, Callable[[int], Memory]] = {"superposition stack": SuperpositionStack, "tape": Tape}


def cases() -> Iterator[tuple[str, int, int, Case]]:
    """Name, batch, length and case of everything that is timed."""
    for batch, steps in SIZES:
        for name, kind in MEMORIES.items():
            whole = partial(scan, kind(WIDTH), batch, steps, "cuda")
            yield name, batch, steps, whole
            if name != "deque":
                yield f"{name}, parallel", batch, steps, partial(by, "parallel", whole)
        for cell, hidden in CONTROLLERS:
            if hidden > WIDTH and (batch, steps) != SIZES[0]:
                continue
            network = MemoryRNN(WIDTH, hidden, Stack(WIDTH), cell, device="cuda")
            plain = getattr(nn, cell.upper())(WIDTH, hidden, device="cuda")
            yield f"MemoryRNN, {cell.upper()} of {hidden}", batch, steps, partial(run, network, batch, steps)
            yield f"nn.{cell.upper()} of {hidden} (cuDNN)", batch, steps, partial(run, plain, batch, steps)
    yield "stack, in steps", *SIZES[0], partial(loop, Stack(WIDTH), *SIZES[0], "cuda")
    for name, mixture in MIXTURES.items():
        yield name, 32, 256, partial(scan, mixture(WIDTH), 32, 256, "cuda")
    for batch, steps in LAYERS:
        for name, network_type in NETWORKS.items():
            layer = network_type().cuda()
            yield f"layer, {name}", batch, steps, partial(run_layer, layer, batch, steps)
            yield f"layer, {name}, in a CUDA graph", batch, steps, Graphed(layer, batch, steps)
        plain = NETWORKS["memory"]().cuda()
        compiled: Any = torch.compile(plain, fullgraph=True, mode="reduce-overhead")
        for name, layer in ("", plain), (", compiled to reduce overhead", compiled):
            yield f"layer, memory, float32{name}", batch, steps, partial(run_single, layer, batch, steps)
    for batch, steps in TOKENS:
        memory = MemoryLayer(DIM, Stack(WIDTH), HEADS, device="cuda").eval()
        for name, kernel in KERNELS.items():
            yield f"a token{name}", batch, steps, partial(decode, memory, batch, steps, kernel)


def run(network: nn.Module, batch: int, steps: int) -> tuple[float, float]:
    """A recurrent network, forward and backward."""
    x = torch.randn(steps, batch, WIDTH, device="cuda")
    return clock(lambda: network(x)[0], "cuda")


def run_layer(layer: nn.Module, batch: int, steps: int) -> tuple[float, float]:
    """A layer under autocast to bfloat16, in which attention is flash attention, forward and backward."""
    x = torch.randn(batch, steps, DIM, device="cuda", requires_grad=True)
    with torch.autocast("cuda", torch.bfloat16):
        return clock(lambda: layer(x).float(), "cuda")


def run_single(layer: nn.Module, batch: int, steps: int) -> tuple[float, float]:
    """A layer in float32, forward and backward."""
    x = torch.randn(batch, steps, DIM, device="cuda", requires_grad=True)
    torch.compiler.cudagraph_mark_step_begin()
    return clock(lambda: layer(x), "cuda")


@torch.no_grad()
def decode(layer: MemoryLayer, batch: int, steps: int, kernel: ops.Kernel) -> tuple[float, float]:
    """A token in decoding after others, in the mean of the next hundred."""
    token, count = torch.randn(batch, 1, DIM, device="cuda"), 100
    _, state = layer(torch.randn(batch, steps, DIM, device="cuda"))
    torch.cuda.synchronize()
    begun = time.perf_counter()
    with ops.using(kernel):
        for _ in range(count):
            _, state = layer(token, state)
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / count, 0.0


class Graphed:
    """A layer in a CUDA graph, which the first run makes: what the device takes, without the launches."""

    def __init__(self, layer: nn.Module, batch: int, steps: int) -> None:
        self.layer: Any = layer
        self.shape, self.made = (batch, steps, DIM), False

    def __call__(self) -> tuple[float, float]:
        x = torch.randn(self.shape, device="cuda", requires_grad=True)
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            if not self.made:
                self.layer = torch.cuda.make_graphed_callables(self.layer, (x,))
                self.made = True
            return clock(lambda: self.layer(x).float(), "cuda")


def measure(words: Sequence[str] = ()) -> list[str]:
    """A table of the times, in the order of the cases; of those with one of some words in their name."""
    rows = [
        "| | batch | steps | forward, ms | backward, ms | both, min to max |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, batch, steps, case in cases():
        if words and not any(word in name for word in words):
            continue
        for _ in range(WARM):
            case()
        times = [case() for _ in range(ROUNDS)]
        forward, backward = (median(part) * 1e3 for part in zip(*times, strict=True))
        both = [sum(each) * 1e3 for each in times]
        numbers = f"{forward:.2f} | {f'{backward:.2f}' if backward else ''} | {min(both):.2f} to {max(both):.2f}"
        rows.append(f"| {name} | {batch:,} | {steps:,} | {numbers} |")
        print(rows[-1], flush=True)
    return rows


def main() -> int:
    if not torch.cuda.is_available():
        print("There is no GPU here: make gpu needs CUDA and a torch that was built for it.", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    if len(sys.argv) > 1:
        measure(sys.argv[1:])
        return 0
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q", TESTS], check=False)
    if tests.returncode:
        print(f"{TESTS} fails on this GPU, so nothing is measured.", file=sys.stderr)
        return 1
    title = (
        f"{date.today():%d %B %Y}, {torch.cuda.get_device_name()}, torch {torch.__version__}, float32, width {WIDTH}, "
        f"{ROUNDS} rounds after {WARM} that compile. {TESTS} passes on this card."
    )
    layers = (
        f"The layers have `embed_dim` {DIM}, {HEADS} heads of width {WIDTH}, and autocast to bfloat16: stacks, causal "
        "attention by `scaled_dot_product_attention`, and the projections of the memory layer alone. *A token* is "
        "decoded by such a layer of stacks in float32, after as many others as are given under steps."
    )
    text = "\n".join(["# On a GPU", "", "Written by `make gpu`.", "", title, "", layers, "", *measure(), ""])
    Path(__file__).with_name("GPU.md").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
