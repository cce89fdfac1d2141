"""`python -m ddstructs.nn warm`: compile the kernels ahead of time, for container images and clusters.

The compiled code goes to numba's cache: `__pycache__` beside the sources, or the folder named by `NUMBA_CACHE_DIR`.
"""

from __future__ import annotations

import argparse
import time

import torch

from ddstructs.nn.rnn import MemoryRNN
from ddstructs.stack import Stack

__all__ = ["main", "warm"]

CELLS = "rnn", "lstm", "gru", "deep"
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def warm(cell: str, dtype: torch.dtype) -> None:
    """Compile every kernel for a network with this cell: for whole sequences, for single steps, and for the cell.

    One memory is enough: stack, queue and deque share their code.
    """
    memory = Stack(2)
    rnn = MemoryRNN(2, 2, memory, cell, dtype=dtype)
    long, short = torch.zeros(4, 1, 2, dtype=dtype), torch.zeros(1, 1, 2, dtype=dtype)
    output, state = rnn(long)
    again, _ = rnn(short, state)
    (output.sum() + again.sum()).backward()
    reads, _ = memory(rnn.unroll(long.transpose(0, 1)).actions)
    reads.sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ddstructs.nn", description=__doc__)
    parser.add_argument("command", choices=["warm"])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32"])
    arguments = parser.parse_args()
    for dtype in arguments.dtypes:
        for cell in arguments.cells:
            start = time.monotonic()
            warm(cell, DTYPES[dtype])
            print(f"{cell}, {dtype}: {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
