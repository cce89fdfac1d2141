"""How a batch is cut: into slices of rows, and each slice into blocks of steps."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ddstructs.ops.engine import Array

__all__ = ["Plan", "plan", "slices"]

SLICE = 32
"""Rows of the batch that are run together, at most: what a step needs is to stay in the second cache."""

BLOCK = 128
"""Rows of a block of steps, at most, if a step has no more."""


class Plan(NamedTuple):
    """The blocks of a slice; see `arrays.Given`.

    Attributes:
        blocks: Shape `(blocks, 6)`.
        rows: Number of rows in all of them.
        places: Number of places.
        most: Rows of the largest.
    """

    blocks: Array
    rows: int
    places: int
    most: int


def slices(lengths: Array) -> list[Array]:
    """The rows of the batch, cut by the batch alone so that gradients are summed in one order: the longest first."""
    order = np.argsort(-lengths, kind="stable")
    parts = max(1, -(-len(order) // SLICE))
    step = max(1, -(-len(order) // parts))
    return [order[first : first + step] for first in range(0, max(1, len(order)), step)]


def plan(lengths: Array, reset: Array) -> Plan:
    """The blocks of a slice.

    All steps of a block have the same rows of the batch, and begin afresh at the first step if at all.

    Args:
        lengths: How many steps each row takes, the longest first.
        reset: Before which steps each begins afresh, shape `(slice, time)`; `(0, 0)` if never.
    """
    cuts = {0, *lengths.tolist()}
    if len(reset):
        within = np.arange(reset.shape[1]) < lengths[:, None]
        cuts.update(np.flatnonzero((reset & within).any(0)).tolist())
    times = sorted(cuts)
    blocks, rows, places, most = [], 0, 0, 0
    for start, stop in pairwise(times):
        count = int((lengths > start).sum())
        steps = max(1, BLOCK // count)
        places += count
        for first in range(start, stop, steps):
            last = min(stop, first + steps)
            blocks.append((first, last, count, rows, places - count, first == start))
            rows += (last - first) * count
            places += (last - first) * count
            most = max(most, (last - first) * count)
    return Plan(np.array(blocks, np.int64).reshape(-1, 6), rows, places, most)
