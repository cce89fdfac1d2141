"""What both directions share: how far a read reaches from its end, and sums of vectors. All of it is inlined."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine.arrays import Array

__all__ = ["add", "dot", "outside", "window"]

# A sum over the width may be reassociated, and so vectorised; a sum of strengths may not, since it decides ties.
# Indices are unsigned: a signed index may be negative and count from the end, and the check for that prevents
# vectorisation (15 times slower).


@compiled(inline=True, fastmath={"reassoc", "contract"})
def dot(x: Array, i: int, y: Array, j: int, width: int) -> float:
    i_, j_, total = np.uint64(i), np.uint64(j), x.dtype.type(0)
    for w in range(np.uint64(width)):
        total += x[i_ + w] * y[j_ + w]
    return total  # type: ignore[no-any-return]


@compiled(inline=True, fastmath={"reassoc", "contract"})
def add(weight: float, x: Array, i: int, y: Array, j: int, width: int) -> None:
    i_, j_ = np.uint64(i), np.uint64(j)
    for w in range(np.uint64(width)):
        y[j_ + w] += weight * x[i_ + w]


@compiled(inline=True)
def window(strengths: Array, order: Array, b: int, low: int, high: int, top: bool, unit: float) -> tuple[int, float]:
    """Walk inward from an end of row `b` until a unit of strength is covered.

    Returns:
        The number of tiles in the window, and the part of the last one inside it if that tile is cut, else 0. Sums are
        in float64 and rounded to the dtype of the strengths for each comparison, like torch.cumsum.
    """
    total, count = 0.0, 0
    while count < high - low:
        strength = strengths[b, order[b, high - 1 - count if top else low + count]]
        missing = unit - strengths.dtype.type(total)
        if not strength <= missing:
            return (count + 1, missing) if missing > 0 else (count, unit - unit)
        total += strength
        count += 1
    return count, unit - unit


@compiled(inline=True)
def outside(head: int, tile: int, first: int, pushes: Array, top: bool) -> Any:
    """Whether the tile pushed by `head` is nearer to an end than `tile`, which is from the same step or earlier."""
    own = pushes[head] == top
    if tile >= first and pushes[tile - first] == pushes[head]:
        return (head > tile - first) == own
    return own
