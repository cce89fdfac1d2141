"""Run slices of a batch on several threads.

Rows are independent and compiled code releases the GIL, so slices of a batch can run in parallel. Sums over slices must
not depend on the number of threads: the caller chooses the slices by the batch alone and sums them in order.

The threads are those on which torch runs its own operators. OpenMP keeps them spinning for some milliseconds after
each, so they start at once, whereas any other thread would have to share a core with one that spins. A forked process
has none of its parent's threads, and OpenMP would wait for them forever: there, and where torch is built without
OpenMP, slices run on a pool created on first use.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch

from ddstructs import ops

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
    results, errors = dict[int, Result](), list[BaseException]()
    turns = iter(range(len(parts)))

    def work_off(_: int | None = None) -> None:
        try:
            for turn in turns:
                results[turn] = function(parts[turn])
        except BaseException as error:  # raised below, in the thread of the caller
            errors.append(error)

    run_in_parallel = _openmp() if os.getpid() == ops.PROCESS else None
    if run_in_parallel is not None:
        run_in_parallel(_BODY(work_off), None, threads, 0)
    else:
        others = [_pool(threads - 1).submit(work_off) for _ in range(threads - 1)]
        work_off()
        for other in others:
            other.result()
    if errors:
        raise errors[0]
    return [results[turn] for turn in range(len(parts))]


def cuts(count: int) -> list[slice]:
    """Cut a batch into equal slices, one for each thread; not for sums over slices."""
    step = max(1, -(-count // torch.get_num_threads()))
    return [slice(first, first + step) for first in range(0, max(1, count), step)]


_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _openmp() -> Any:
    """The function of torch's OpenMP that calls another one on several threads at once; None if there is none."""
    try:
        parallel: Any = ctypes.CDLL(torch._C.__file__).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes, parallel.restype = (_BODY, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
    return parallel


def _pool(threads: int) -> ThreadPoolExecutor:
    key = os.getpid(), threads
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, "ddstructs")
    return _pools[key]
