"""The first forward and backward pass of a process: its peak memory beyond its inputs, and its time.

The inputs are push, pop and value, or x, and, in the backward pass, the gradient of the reads or of the output. Prints,
in bytes, the peak beyond them, the size of the former, and the size of all; then, in seconds, the processor time of
this pass, which touches its memory for the first time, and the median of three more.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import MEMORIES, actions
from ddstructs import MemoryRNN, Stack

__all__ = ["NETWORKS", "main"]

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "MemoryRNN": lambda size: MemoryRNN(size, size, Stack(size)),
    "nn.LSTM": lambda size: nn.LSTM(size, size),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", choices=[*MEMORIES, *NETWORKS])
    parser.add_argument("batch", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("width", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    module, draw = prepared(arguments.module, arguments.width)
    module(draw(1, 3)[0])[0].sum().backward()  # compile and load
    given, inputs = draw(arguments.batch, arguments.steps)
    result_grad = torch.ones_like(inputs[-1])  # reads and outputs have the shape of the value and of x
    before = peak()
    cold = seconds(module, given, inputs, result_grad)
    highest, size = peak() - before, sum(part.nbytes for part in inputs)
    warm = median(seconds(module, given, inputs, result_grad) for _ in range(3))
    print(highest, size, size + result_grad.nbytes, cold, warm)


def prepared(name: str, width: int) -> tuple[nn.Module, Callable[[int, int], tuple[Any, Sequence[Tensor]]]]:
    """A module, and a function that draws its argument and the tensors in it for a batch size and a length."""
    if name in NETWORKS:

        def draw(batch: int, steps: int) -> tuple[Any, Sequence[Tensor]]:
            x = torch.randn(steps, batch, width, requires_grad=True)
            return x, [x]

        return NETWORKS[name](width), draw
    memory = MEMORIES[name](width)

    def draw_actions(batch: int, steps: int) -> tuple[Any, Sequence[Tensor]]:
        given = actions(memory, batch, steps, "cpu")
        return given, list(given)

    return memory, draw_actions


def seconds(module: nn.Module, given: Any, inputs: Sequence[Tensor], result_grad: Tensor) -> float:
    """Processor time of a forward and backward pass."""
    for part in inputs:
        part.grad = None
    start = time.process_time()
    result, _ = module(given)
    result.backward(result_grad)
    return time.process_time() - start


def peak() -> int:
    """Peak memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
