"""A memory layer beside causal attention: forward and backward per token, in pairs, and the peak memory of each.

    python -m benchmarks.layers                 prints a table, T = 128 to 16,384
    python -m benchmarks.layers 128 512 2048    other lengths

Both have `embed_dim` 256 and 4 heads of width 64, a batch of one and one thread. Each row is the median of alternating
runs, so that a busy machine slows both; the ratio is the median of the ratios of the pairs. If the package
`stack-attention-pytorch` is installed, its `StackTransLayer` is measured up to T = 2,048: four stacks of depth 16 by
superposition, of the same width.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from ddstructs import MemoryLayer, Stack

DIM, HEADS, WIDTH, PAIRS, DEPTH, LONGEST = 256, 4, 64, 5, 16, 2048


class Attention(nn.Module):
    """Causal `nn.MultiheadAttention`, which calls `scaled_dot_product_attention`."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(DIM, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.empty(x.shape[1], x.shape[1], device="meta")  # `is_causal` needs one, and does not look at it
        output: Tensor = self.attention(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0]
        return output


class Projections(nn.Module):
    """What a memory layer is without its memories."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(DIM, HEADS * (2 + WIDTH)), nn.Linear(HEADS * WIDTH, DIM)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.outer(self.inner(x)[..., 2 * HEADS :].tanh())
        return output


class Memory(nn.Module):
    """A `MemoryLayer` of stacks, its output alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = MemoryLayer(DIM, Stack(WIDTH), HEADS)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x)[0]
        return output


class Peer(nn.Module):
    """The layer of stack-attention-pytorch, its output alone."""

    def __init__(self) -> None:
        super().__init__()
        kind = import_module("stack_attention").StackTransLayer
        self.layer = kind(DIM, num_stacks=HEADS, dim_stack=WIDTH, stack_size=DEPTH, add_residual=False)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x, recurrent=True)[0]  # without it, each token has a stack of its own
        return output


NETWORKS: dict[str, type[nn.Module]] = {"memory": Memory, "attention": Attention, "projections": Projections}


def seconds(network: nn.Module, x: Tensor) -> float:
    """Forward and backward, once."""
    begun = time.perf_counter()
    network(x).sum().backward()
    return time.perf_counter() - begun


def peak(name: str, time: int) -> float:
    """Megabytes that forward and backward add at their peak to what the process held before; on Linux."""
    program = (
        "import sys; from benchmarks.layers import *; torch.set_num_threads(1); net = NETWORKS[sys.argv[1]]();"
        "seconds(net, torch.randn(1, 128, DIM, requires_grad=True));"  # compiles and loads
        "x = torch.randn(1, int(sys.argv[2]), DIM, requires_grad=True);"
        "open('/proc/self/clear_refs', 'w').write('5'); low = held('VmRSS'); seconds(net, x);"
        "print((held('VmHWM') - low) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program, name, str(time)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def held(what: str) -> int:
    """Kilobytes that this process holds (`VmRSS`), or held at most (`VmHWM`)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(what)))


def main() -> None:
    lengths = [int(argument) for argument in sys.argv[1:]] or [128, 512, 2048, 8192, 16384]
    torch.set_num_threads(1)
    others: dict[str, type[nn.Module]] = {"attention": Attention}
    if find_spec("stack_attention"):
        others["superposition"] = Peer
    per_token = " | ".join(f"{name}, µs/token" for name in ("memory", *others))
    ratios = " | ".join(f"{name} / memory" for name in others)
    print(f"| T | {per_token} | {ratios} | MB: {' | '.join(NETWORKS)} |")
    print("|---:" * (1 + 1 + 2 * len(others) + len(NETWORKS)) + "|")
    for length in lengths:
        x = torch.randn(1, length, DIM, requires_grad=True)
        networks = [Memory(), *(kind() for name, kind in others.items() if name == "attention" or length <= LONGEST)]
        seconds(networks[0], x)  # compiles
        runs = [[seconds(network, x) for network in networks] for _ in range(PAIRS if length < 8192 else 3)]
        none = ["-"] * (1 + len(others) - len(networks))
        times = [f"{median(each) / length * 1e6:.1f}" for each in zip(*runs, strict=True)]
        ratio = [f"{median(run[i] / run[0] for run in runs):.2f}" for i in range(1, len(networks))]
        peaks = [f"{peak(name, length):.0f}" for name in NETWORKS]
        print(f"| {length:,} | {' | '.join([*times, *none, *ratio, *none, *peaks])} |", flush=True)


if __name__ == "__main__":
    main()
