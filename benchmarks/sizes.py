"""The compiled loop of `MemoryRNN` under other conditions: float64, odd sizes, AVX2 alone, and a bank of two stacks.

Two processes, one with all instructions of the CPU and one with AVX2 alone, take turns: in every round each runs every
case once. Times are processor time on one thread, forward and backward, at batch 16 and 130 steps, with a gradient for
x. A ratio is the median of the ratios within each round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import nn

from benchmarks.cases import Case, network
from ddstructs import Bank, MemoryRNN, Stack, check_agreement
from ddstructs.nn import fused

__all__ = ["main", "measure"]

STEPS = 130

KINDS = ("float32", 64), ("float32", 60), ("float32", 50), ("float64", 64), ("float64", 60)
"""The dtypes and sizes of input, hidden state and values."""

AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+popcnt,+sse4.1,+sse4.2,+ssse3",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
"""The environment in which numba, torch and its libraries use no instructions beyond AVX2."""

Times = dict[str, list[float]]
"""Seconds of each case, by round."""

RATIOS: tuple[tuple[str, float | None, str, str], ...] = (
    ("size 60 over size 64", 1.5, "MemoryRNN, float32, 60", "MemoryRNN, float32, 64"),
    ("size 50 over size 64", 1.5, "MemoryRNN, float32, 50", "MemoryRNN, float32, 64"),
    ("float64 over float32", 1.5, "MemoryRNN, float64, 64", "MemoryRNN, float32, 64"),
    ("float64 over `nn.LSTM` in float64", 1.5, "MemoryRNN, float64, 64", "nn.LSTM, float64, 64"),
    ("size 60 over `nn.LSTM`, size 60", 1.5, "MemoryRNN, float32, 60", "nn.LSTM, float32, 60"),
    ("AVX2 alone over all instructions", 1.5, "MemoryRNN, float32, 64, AVX2", "MemoryRNN, float32, 64"),
    ("AVX2 alone over `nn.LSTM` with AVX2 alone", 1.5, "MemoryRNN, float32, 64, AVX2", "nn.LSTM, float32, 64, AVX2"),
    ("AVX2 alone, float64, size 60, over `nn.LSTM`", 1.5, "MemoryRNN, float64, 60, AVX2", "nn.LSTM, float64, 60, AVX2"),
    ("a bank of two stacks over its loop", None, "two stacks", "two stacks, loop"),
    ("a bank of two stacks over one stack", None, "two stacks", "MemoryRNN, float32, 64"),
    ("a bank of two stacks over `nn.LSTM`", None, "two stacks", "nn.LSTM, float32, 64"),
)
"""Title, limit, and the two cases of each ratio."""


def cases() -> dict[str, Case]:
    """The cases by name."""
    found: dict[str, Case] = {}
    for name, size in KINDS:
        dtype = getattr(torch, name)
        modules = MemoryRNN(size, size, Stack(size), dtype=dtype), nn.LSTM(size, size, dtype=dtype)
        for title, module in zip(("MemoryRNN", "nn.LSTM"), modules, strict=True):
            found[f"{title}, {name}, {size}"] = partial(
                network, module, STEPS, "cpu", learns=True, size=size, dtype=dtype
            )
    two = partial(network, MemoryRNN(64, 64, Bank([Stack(64), Stack(64)])), STEPS, "cpu", learns=True)
    return found | {"two stacks": two, "two stacks, loop": partial(looped, two)}


def looped(case: Case) -> tuple[float, float]:
    """Run a case in the loop over the steps."""
    with mock.patch.object(fused, "fits", return_value=False):
        return case()


def disagreement() -> float:
    """The largest distance of the compiled loop from the reference over all kinds, relative to its limit."""
    worst = 0.0
    for name, size in KINDS:
        dtype = getattr(torch, name)
        rnn, x = MemoryRNN(size, size, Stack(size), dtype=dtype), torch.randn(20, 4, size, dtype=dtype)
        agreement = check_agreement(rnn, x)
        limit = 1e-3 if dtype is torch.float32 else 1e-11
        worst = max(worst, agreement.outputs / limit, agreement.gradients / limit)
    return worst


def work() -> None:
    """Print the disagreement and then, for each line on standard input, the seconds of all cases as JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    everything = cases()
    for case in everything.values():
        case()
    print(json.dumps(disagreement()), flush=True)
    for _ in sys.stdin:
        print(json.dumps({name: sum(case()) for name, case in everything.items()}), flush=True)


class Worker:
    """A process that runs all cases when it is told to.

    Args:
        environment: Environment variables to set.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sizes", "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=os.environ | environment,
        )  # fmt: skip
        self.disagreement: float = self._answer()

    def run(self) -> dict[str, float]:
        """The seconds of each case."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        times: dict[str, float] = self._answer()
        return times

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that runs the cases has ended")
        return json.loads(line)


def measure(rounds: int) -> Times:
    """Time every case in every round.

    Raises:
        RuntimeError: If the compiled loop differs from the reference by more than rounding error.
    """
    workers = {"": Worker({}), ", AVX2": Worker(AVX2)}
    seen: Times = {}
    for name, worker in workers.items():
        if worker.disagreement > 1:
            raise RuntimeError(f"with {name or 'all instructions'} the results differ from the reference")
    for _ in range(rounds):
        for name, worker in workers.items():
            for case, seconds in worker.run().items():
                seen.setdefault(case + name, []).append(seconds)
    for worker in workers.values():
        worker.close()
    return seen


def table(seen: Times) -> list[str]:
    """The ratios as a table."""
    rows = ["| | at most | measured | min to max |", "|---|---:|---:|---|"]
    for title, limit, above, below in RATIOS:
        ratios = [one / other for one, other in zip(seen[above], seen[below], strict=True)]
        bound = "" if limit is None else f"{limit:g}"
        rows.append(f"| {title} | {bound} | {median(ratios):.3g} | {min(ratios):.3g} to {max(ratios):.3g} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work()
    else:
        print(*table(measure(arguments.rounds)), sep="\n")


if __name__ == "__main__":
    main()
