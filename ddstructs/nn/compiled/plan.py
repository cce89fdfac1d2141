"""The division of a batch into slices of rows, and of each slice into blocks of steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from torch import Tensor

from ddstructs.nn.compiled.arrays import Cut
from ddstructs.ops.engine import Array

__all__ = ["NEVER", "cut", "cuts", "divide", "even_cuts", "slices"]

SLICE = 32
"""Maximum number of rows of the batch run together, so that the data of a step stays in the L2 cache."""

BLOCK = 128
"""Maximum number of rows of a block, unless a single step has more."""

NEVER = np.zeros((0, 0), np.bool_)
"""The resets of a batch without any."""


def slices(lengths: Array) -> list[Array]:
    """The rows of each slice, longest first; they depend only on the lengths, which fixes the order of summation."""
    order = np.argsort(-lengths, kind="stable")
    parts = max(1, -(-len(order) // SLICE))
    step = max(1, -(-len(order) // parts))
    return [order[first : first + step] for first in range(0, max(1, len(order)), step)]


def divide(batch: int, time: int, lengths: Tensor | None, reset: Tensor | None) -> tuple[Array, Sequence[Cut]]:
    """The resets and the slices of a batch.

    Args:
        batch: Number of rows.
        time: Number of steps.
        lengths: Number of real steps of each row, shape `(batch,)`; all if not given.
        reset: Steps before which a row is reset, shape `(batch, time)`, bool; none if not given.
    """
    if lengths is None and reset is None:
        return NEVER, even_cuts(batch, time)
    counts = np.full(batch, time, np.int64) if lengths is None else lengths.numpy().astype(np.int64)
    restarts = NEVER if reset is None else np.ascontiguousarray(reset.numpy())
    return restarts, cuts(counts, restarts)


@lru_cache(maxsize=256)
def even_cuts(batch: int, time: int) -> tuple[Cut, ...]:
    """The slices of a batch without padding or resets."""
    return cuts(np.full(batch, time, np.int64), NEVER)


def cuts(lengths: Array, reset: Array) -> tuple[Cut, ...]:
    """The slices of a batch.

    Args:
        lengths: Number of steps of each row, shape `(batch,)`, int64.
        reset: Steps before which a row is reset, shape `(batch, time)`; `(0, 0)` if there are none.
    """
    return tuple(cut(rows, lengths[rows], reset[rows] if len(reset) else reset) for rows in slices(lengths))


def cut(rows: Array, lengths: Array, reset: Array) -> Cut:
    """The blocks of a slice.

    All steps of a block have the same active rows of the batch, and rows are reset only before its first step.

    Args:
        rows: The rows of the batch, the longest first.
        lengths: Number of steps of each.
        reset: Steps before which each is reset, shape `(slice, time)`; `(0, 0)` if there are none.
    """
    starts = {0, *lengths.tolist()}
    if len(reset):
        within = np.arange(reset.shape[1]) < lengths[:, None]
        starts.update(np.flatnonzero((reset & within).any(0)).tolist())
    times = sorted(starts)
    blocks, done, places, largest_block = [], 0, 0, 0
    for start, stop in pairwise(times):
        count = int((lengths > start).sum())
        steps = max(1, BLOCK // count)
        places += count
        for first in range(start, stop, steps):
            last = min(stop, first + steps)
            blocks.append((first, last, count, done, places - count, first == start))
            done += (last - first) * count
            places += (last - first) * count
            largest_block = max(largest_block, (last - first) * count)
    return Cut(rows, lengths, np.array(blocks, np.int64).reshape(-1, 6), done, places, largest_block)
