"""Peak memory of a forward and backward pass beyond its inputs, measured in a process of its own.

The inputs are push, pop and value and, in the backward pass, the gradient of the reads. Prints, in bytes, the peak
beyond them, the size of the first three, and the size of all four.
"""

from __future__ import annotations

import argparse
import resource

import torch

from benchmarks.cases import MEMORIES, actions

__all__ = ["main"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("memory", choices=MEMORIES)
    parser.add_argument("batch", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("width", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    memory = MEMORIES[arguments.memory](arguments.width)
    memory(actions(memory, 1, 2, "cpu"))[0].sum().backward()  # compile and load
    given = actions(memory, arguments.batch, arguments.steps, "cpu")
    reads_grad = torch.ones_like(given.value)
    before = peak()
    reads, _ = memory(given)
    reads.backward(reads_grad)
    inputs = sum(part.nbytes for part in given)
    print(peak() - before, inputs, inputs + reads_grad.nbytes)


def peak() -> int:
    """Peak memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
