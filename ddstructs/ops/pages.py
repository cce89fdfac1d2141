"""Newly allocated tensors, with large ones on huge pages.

The first access to each 4 KiB page costs more than the arithmetic on it. For large arrays numpy requests pages of
2 MiB from the system; torch does not.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

__all__ = ["empty", "zeros"]

LARGE = 1 << 22
"""Minimum size in bytes for which numpy requests huge pages."""


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor."""
    if prod(shape) * dtype.itemsize < LARGE:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(np.empty(shape, _KINDS[dtype]))


def zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of zeros."""
    if prod(shape) * dtype.itemsize < LARGE:
        return torch.zeros(shape, dtype=dtype)
    return torch.from_numpy(np.zeros(shape, _KINDS[dtype]))


_KINDS = {torch.float32: np.float32, torch.float64: np.float64}
