"""Backward: undo the steps in reverse order from the log, and propagate gradients on the way."""

from __future__ import annotations

from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine.arrays import Array, Gradients, Heads, Line, Strided
from ddstructs.ops.engine.walk import add, dot, outside, window

__all__ = ["rewind"]


@compiled()
def rewind(
    start: int, stop: int, slots: int, width: int, layout: Heads, rows: Array, initial: Strided, value: Strided,
    line: Line, reads_grad: Array, grads: Gradients,
) -> None:  # fmt: skip
    """Undo the steps from `stop` back to `start`, propagating gradients if there are any.

    Args:
        start: The first step.
        stop: The step after the last.
        slots: Number of tiles in the initial state.
        width: Size of one value.
        layout: The ends of the heads.
        rows: The row of the line for each row of the gradients, shape `(batch,)`, int64.
        initial: Values of the initial state.
        value: Pushed values, from step 0 on.
        line: The line after step `stop - 1`; rewound in place to step `start`, except for its log.
        reads_grad: Gradient of the reads, flat, of shape `(batch, stop - start, heads, width)`; if empty, the steps are
            undone without gradients.
        grads: Written.
    """
    # Unpacked here for the reason given in `forward`.
    (pushes, takes), (start_values, start_row, start_tile), (values, row, stride) = layout, initial, value
    strengths, order, ends, dead, last, consumed, cut = line
    (values_grad, grad_row, grad_tile), (strengths_grad, slope_row, slope_tile), push_grad, pop_grad = grads
    heads, unit, nothing = len(pushes), strengths.dtype.type(1), strengths_grad.dtype.type(0)
    differentiate = len(reads_grad) > 0
    for i in range(len(rows)):
        b = rows[i]
        low, high, deaths = ends[b, 0], ends[b, 1], ends[b, 2]
        at = b * slope_row  # of tile i: strengths_grad[at + i * slope_tile]
        for t in range(stop - 1, start - 1, -1):
            first = slots + t * heads
            if differentiate:
                for h in range(heads):
                    top, g = takes[h] == 1, ((i * (stop - start) + t - start) * heads + h) * width
                    count, rest = window(strengths, order, b, low, high, top, unit)
                    edge, beyond = -1, nothing  # the tile at which the window ends, and the slope of the read there
                    if rest > 0:
                        edge = order[b, high - count if top else low + count - 1]
                        if edge < slots:
                            place = b * start_row + edge * start_tile
                            beyond = dot(reads_grad, g, start_values, place, width)
                        else:
                            place = b * row + (edge - slots) * stride
                            beyond = dot(reads_grad, g, values, place, width)
                        add(rest, reads_grad, g, values_grad, b * grad_row + edge * grad_tile, width)
                        count -= 1
                    for n in range(count):
                        tile = order[b, high - 1 - n if top else low + n]
                        place = b * grad_row + tile * grad_tile
                        add(strengths[b, tile], reads_grad, g, values_grad, place, width)
                        if tile < slots:
                            place = b * start_row + tile * start_tile
                            slope = dot(reads_grad, g, start_values, place, width)
                        else:
                            place = b * row + (tile - slots) * stride
                            slope = dot(reads_grad, g, values, place, width)
                        strengths_grad[at + tile * slope_tile] += slope - beyond
                    # A tile pushed with zero strength is at a tie in every read of its step.
                    for k in range(heads):
                        if strengths[b, first + k] == 0:
                            place = b * row + (first + k - slots) * stride
                            strengths_grad[at + (first + k) * slope_tile] += dot(reads_grad, g, values, place, width)
                            if edge >= 0 and outside(k, edge, first, pushes, top):
                                strengths_grad[at + (first + k) * slope_tile] -= beyond
            for h in range(heads - 1, -1, -1):
                if differentiate:
                    push_grad[i, t - start, h] = strengths_grad[at + (first + h) * slope_tile]
                if strengths[b, first + h] != 0:
                    if pushes[h] == 1:
                        high -= 1
                    else:
                        low += 1
                strengths[b, first + h] = 0
            for h in range(heads - 1, -1, -1):
                top, slope, tile = takes[h] == 1, nothing, -1
                if cut[b, t, h] != 0:
                    tile = order[b, high - 1 if top else low]
                    strengths[b, tile] = cut[b, t, h]
                    if differentiate:
                        slope = strengths_grad[at + tile * slope_tile]
                if differentiate:
                    pop_grad[i, t - start, h] = -slope
                for _ in range(consumed[b, t, h]):
                    deaths -= 1
                    if top:
                        order[b, high] = dead[b, deaths]
                        high += 1
                    else:
                        low -= 1
                        order[b, low] = dead[b, deaths]
                    strengths[b, dead[b, deaths]] = last[b, deaths]
                    if differentiate:
                        strengths_grad[at + dead[b, deaths] * slope_tile] = slope
                # A tile of zero strength before the step is at a tie in its first pop, and has no effect afterwards.
                if differentiate and h == 0:
                    for k in range(heads if t > 0 else 0):
                        other = first - heads + k
                        if strengths[b, other] == 0:
                            within = tile >= 0 and outside(k, tile, first - heads, pushes, top)
                            strengths_grad[at + other * slope_tile] = slope if within else nothing
                    for other in range(slots if t == 0 else 0):
                        if strengths[b, other] == 0:
                            within = tile >= 0 and (other > tile) == top
                            strengths_grad[at + other * slope_tile] = slope if within else nothing
        ends[b, 0], ends[b, 1], ends[b, 2] = low, high, deaths
