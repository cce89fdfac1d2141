"""Run slices of a batch on several threads.

Rows are independent and compiled code releases the GIL, so slices of a batch can run in parallel. Sums over slices must
not depend on the number of threads: the caller chooses the slices by the batch alone and sums them in order.

The pool is created on first use, and again in a forked process, which does not inherit its parent's threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["SMALL", "cuts", "over"]

SMALL = 500_000
"""Number of multiplications and moves below which one thread is as fast: waking another takes 20 to 50 µs."""

Part = TypeVar("Part")
Result = TypeVar("Result")

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def over(function: Callable[[Part], Result], parts: Sequence[Part], work: int) -> list[Result]:
    """Call a function on each part, on up to `torch.get_num_threads()` threads including this one.

    Args:
        function: The function; it should release the GIL for most of its time.
        parts: The parts.
        work: Approximate total number of multiplications and moves.

    Returns:
        The results, in the order of the parts.

    Example:
        >>> from ddstructs.ops.threads import over
        >>> over(len, ["one", "three"], work=10**9)
        [3, 5]
    """
    threads = min(torch.get_num_threads(), len(parts))
    if threads < 2 or work < SMALL:
        return [function(part) for part in parts]
    results: dict[int, Result] = {}
    turns = iter(range(len(parts)))

    def work_off() -> None:
        for turn in turns:
            results[turn] = function(parts[turn])

    others = [_pool(threads - 1).submit(work_off) for _ in range(threads - 1)]
    try:
        work_off()
    finally:
        for other in others:
            other.result()
    return [results[turn] for turn in range(len(parts))]


def cuts(count: int) -> list[slice]:
    """Cut a batch into equal slices, one for each thread; not for sums over slices."""
    step = max(1, -(-count // torch.get_num_threads()))
    return [slice(first, first + step) for first in range(0, max(1, count), step)]


def _pool(threads: int) -> ThreadPoolExecutor:
    key = os.getpid(), threads
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, "ddstructs")
    return _pools[key]
