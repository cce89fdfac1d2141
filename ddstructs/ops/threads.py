"""Parts of a batch on several threads.

Rows are independent and compiled code runs without the GIL, so slices of a batch can run side by side. Whoever sums
over slices cuts them by the batch alone and sums them in order; then results do not depend on the number of threads.

The pool is made when it is first needed, and anew in a forked process, which inherits none of its parent's threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["SMALL", "cuts", "over"]

SMALL = 500_000
"""Multiplications and moves of numbers below which one thread is as fast: waking another takes 20 to 50 µs."""

Part = TypeVar("Part")
Result = TypeVar("Result")

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def over(function: Callable[[Part], Result], parts: Sequence[Part], work: int) -> list[Result]:
    """Call a function on each part, on up to `torch.get_num_threads()` threads, this one among them.

    Args:
        function: What to call; most of its time is to be spent without the GIL.
        parts: The parts.
        work: Multiplications and moves of numbers in all of them, roughly.

    Returns:
        The results in the order of the parts.

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
    """A batch in as many even slices as there are threads, where nothing is summed over them."""
    step = max(1, -(-count // torch.get_num_threads()))
    return [slice(first, first + step) for first in range(0, max(1, count), step)]


def _pool(threads: int) -> ThreadPoolExecutor:
    key = os.getpid(), threads
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, "ddstructs")
    return _pools[key]
