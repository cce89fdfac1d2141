"""An independent model of a memory: ends that move on the real line; a read is an integral over one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["line_picture"]

Array = NDArray[Any]


def line_picture(structure: str, push: Array, pop: Array, value: Array) -> Array:
    """The reads of one row, in float64.

    Every tile is an interval of the line that keeps its place; what lies beyond an end that has moved inward is gone.

    Args:
        structure: "stack", "queue" or "deque".
        push: Shape `(time, heads)`.
        pop: Shape `(time, heads)`.
        value: Shape `(time, heads, width)`.
    """
    reads = np.zeros_like(value)
    low = high = 0.0
    tiles: list[tuple[float, float, Array]] = []  # live intervals from the bottom to the top, with their values
    for t in range(len(push)):
        if structure == "queue":
            low = min(high, low + pop[t, 0])
        else:
            high = max(low, high - pop[t, 0])
        if structure == "deque":
            low = min(high, low + pop[t, 1])
        while tiles and tiles[-1][0] >= high:
            tiles.pop()
        dead = 0
        while dead < len(tiles) and tiles[dead][1] <= low:
            dead += 1
        del tiles[:dead]
        tiles.append((high, high + push[t, 0], value[t, 0]))
        if tiles[:-1]:
            before = tiles[-2]
            tiles[-2] = (before[0], min(before[1], high), before[2])
        high += push[t, 0]
        if structure == "deque":
            tiles[0] = (max(tiles[0][0], low), *tiles[0][1:])
            tiles.insert(0, (low - push[t, 1], low, value[t, 1]))
            low -= push[t, 1]
        for head, top in enumerate({"stack": [True], "queue": [False], "deque": [True, False]}[structure]):
            start, stop = (max(low, high - 1), high) if top else (low, min(high, low + 1))
            for first, last, stored in reversed(tiles) if top else tiles:
                if (last < start) if top else (first > stop):
                    break
                reads[t, head] += max(0.0, min(last, stop) - max(first, start)) * stored
    return reads
