"""Newly allocated tensors; large ones use the memory of earlier ones.

The first access to each page of new memory costs more than the arithmetic on it, and several threads wait for one
another there. The C library returns large blocks to the system as soon as they are freed, although the next iteration
of a training loop needs the same again. Here they are kept for it. New ones are allocated by numpy, which requests
pages of 2 MiB.
"""

from __future__ import annotations

from math import prod
from weakref import finalize

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["empty", "zeros"]

LARGE = 1 << 20
"""Minimum size in bytes of a tensor whose memory is kept; allocating one takes 5 µs more."""

KEPT = 1 << 28
"""Maximum size in bytes of all unused blocks that are kept."""

_unused: dict[int, NDArray[np.uint8]] = {}
"""Blocks of memory by address, the one freed last at the end."""


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor.

    Example:
        >>> import torch
        >>> from ddstructs.ops.pages import empty
        >>> first = empty((1024, 1024), torch.float32)
        >>> address = first.data_ptr()
        >>> del first
        >>> empty((1000, 1024), torch.float32).data_ptr() == address
        True
    """
    size = prod(shape) * dtype.itemsize
    if size < LARGE:
        return torch.empty(shape, dtype=dtype)
    block = _used_before(size)
    if block is None:
        block = np.empty(size, np.uint8)
    array = block[:size].view(_KINDS[dtype]).reshape(shape)
    finalize(array, _keep, block).atexit = False  # the tensor refers to the array, and nothing else does
    return torch.from_numpy(array)


def zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of zeros."""
    tensor = empty(shape, dtype)
    tensor.numpy().fill(0)  # not by torch, whose threads are not there after a fork
    return tensor


def _used_before(size: int) -> NDArray[np.uint8] | None:
    """A block of at least this size and at most half as much again, the one freed last if there are several."""
    for address, block in reversed(list(_unused.items())):  # a copy, since other threads may change it
        if size <= block.nbytes <= size * 3 // 2 and _unused.pop(address, None) is not None:
            return block
    return None


def _keep(block: NDArray[np.uint8]) -> None:
    """Keep a block that is no longer used, and drop those unused for longest."""
    _unused[block.ctypes.data] = block
    blocks = list(_unused.items())
    excess = sum(each.nbytes for _, each in blocks) - KEPT
    for address, each in blocks:
        if excess <= 0:
            break
        _unused.pop(address, None)
        excess -= each.nbytes


_KINDS = {torch.float32: np.float32, torch.float64: np.float64}
