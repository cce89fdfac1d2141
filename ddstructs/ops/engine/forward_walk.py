"""Forward: place the initial tiles, then pop, push and read step by step, and log what each pop takes."""

from __future__ import annotations

from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine.arrays import Array, Heads, Line, Strided
from ddstructs.ops.engine.walk import add, window

__all__ = ["begin", "forward"]


@compiled()
def begin(initial: Array, line: Line, below: int) -> None:
    """Place the tiles of an initial state on an empty line.

    Args:
        initial: Their strengths, shape `(batch, slots)`.
        line: Written.
        below: Space to leave in `order` for tiles pushed below them.
    """
    for b in range(len(initial)):
        high = below
        for tile in range(initial.shape[1]):
            line.strengths[b, tile] = initial[b, tile]
            if initial[b, tile] != 0:
                line.order[b, high] = tile
                high += 1
        line.ends[b, 0], line.ends[b, 1], line.ends[b, 2] = below, high, 0


@compiled()
def forward(
    start: int, stop: int, slots: int, width: int, layout: Heads, rows: Array, push: Array, pop: Array,
    initial: Strided, value: Strided, line: Line, reads: Array,
) -> None:  # fmt: skip
    """Run the steps from `start` to `stop`.

    Args:
        start: The first step.
        stop: The step after the last.
        slots: Number of tiles in the initial state.
        width: Size of one value.
        layout: The ends of the heads.
        rows: The row of the line for each row of the actions and reads, shape `(batch,)`, int64.
        push: Shape `(batch, stop - start, heads)`.
        pop: Shape `(batch, stop - start, heads)`; infinity empties the line.
        initial: Values of the initial state.
        value: Pushed values, from step 0 on.
        line: The line before step `start`; advanced in place to step `stop`.
        reads: Written, flat, of shape `(batch, stop - start, heads, width)`; if empty, reads are skipped.
    """
    # Unpacked here because numba updates a reference count at each access to a field, which takes 15 % of the time in
    # the loops. Arrays are not sliced by row for the same reason.
    (pushes, takes), (start_values, start_row, start_tile), (values, row, stride) = layout, initial, value
    strengths, order, ends, dead, last, consumed, cut = line
    heads, unit = len(pushes), strengths.dtype.type(1)
    for i in range(len(push)):
        b = rows[i]
        low, high, deaths = ends[b, 0], ends[b, 1], ends[b, 2]
        for t in range(start, stop):
            first = slots + t * heads
            for h in range(heads):
                amount, total, top = pop[i, t - start, h], 0.0, takes[h] == 1
                consumed[b, t, h], cut[b, t, h] = 0, 0
                while low < high:
                    tile = order[b, high - 1 if top else low]
                    missing = amount - strengths.dtype.type(total)
                    strength = strengths[b, tile]
                    if not strength <= missing:
                        if not missing <= 0:  # written so that NaN propagates
                            cut[b, t, h] = strength
                            strengths[b, tile] = strength - missing
                        break
                    total += strength
                    dead[b, deaths], last[b, deaths], strengths[b, tile] = tile, strength, 0
                    deaths += 1
                    consumed[b, t, h] += 1
                    if top:
                        high -= 1
                    else:
                        low += 1
            for h in range(heads):
                strength = push[i, t - start, h]
                strengths[b, first + h] = strength
                if strength != 0:
                    if pushes[h] == 1:
                        order[b, high] = first + h
                        high += 1
                    else:
                        low -= 1
                        order[b, low] = first + h
            for h in range(heads if len(reads) else 0):
                top, read = takes[h] == 1, ((i * (stop - start) + t - start) * heads + h) * width
                reads[read : read + width] = 0
                count, rest = window(strengths, order, b, low, high, top, unit)
                for n in range(count):
                    tile = order[b, high - 1 - n if top else low + n]
                    weight = rest if rest > 0 and n == count - 1 else strengths[b, tile]
                    if tile < slots:
                        add(weight, start_values, b * start_row + tile * start_tile, reads, read, width)
                    else:
                        place = b * row + (tile - slots) * stride
                        add(weight, values, place, reads, read, width)
        ends[b, 0], ends[b, 1], ends[b, 2] = low, high, deaths
