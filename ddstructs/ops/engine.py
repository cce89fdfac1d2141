"""The arithmetic of the CPU kernels, compiled by numba: tiles on a line, taken from its ends.

Each row of the batch is a line of tiles. `order` lists the live tiles from bottom to top and `strengths` gives the
length of each. A pop or a read walks inward from an end until its amount is covered, so a tile that a pop has consumed
is never visited again: a step costs what it consumes and reads, however much is stored.

Backward undoes the steps in reverse order using a log, so it has the state of every step without a copy per step. The
log has a fixed size because a tile dies only once.

The `rows` of a call exclude inactive rows, such as those whose sequence has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddstructs.ops.compiler import compiled

__all__ = [
    "Array",
    "Gradients",
    "Heads",
    "Inputs",
    "Line",
    "Strided",
    "begin",
    "forward",
    "rewind",
    "scan",
    "scan_backward",
    "step",
    "undo",
]

Array = NDArray[Any]


class Heads(NamedTuple):
    """The ends of each head: 1 for the top, 0 for the bottom.

    Attributes:
        pushes: The end at which it pushes, shape `(heads,)`, int64.
        takes: The end from which it pops and reads, shape `(heads,)`, int64.
    """

    pushes: Array
    takes: Array

    @classmethod
    def at(cls, pushes: Sequence[int], takes: Sequence[int]) -> Heads:
        """The heads at the given ends."""
        return cls(np.array(pushes, dtype=np.int64), np.array(takes, dtype=np.int64))


class Strided(NamedTuple):
    """One number or vector per tile, at `flat[row * b + tile * i]` for tile `i` of row `b`.

    Attributes:
        flat: The memory, one-dimensional.
        row: Distance between two rows of the batch.
        tile: Distance between two tiles.
    """

    flat: Array
    row: int
    tile: int


class Line(NamedTuple):
    """The tiles of a batch of lines, and the log of their changes.

    Tile `i < slots` is slot `i` of the initial state; head `h` pushes tile `slots + t * heads + h` in step `t`.

    Attributes:
        strengths: Remaining strength of each tile, shape `(batch, tiles)`; zero once it is dead.
        order: The live tiles from bottom to top, shape `(batch, room)`, int32.
        ends: First live position in `order`, position after the last, and number of dead tiles, shape `(batch, 3)`,
            int32.
        dead: The dead tiles in the order of their death, shape `(batch, tiles)`, int32.
        last: Their strengths just before, shape `(batch, tiles)`.
        consumed: Number of tiles that each pop consumed whole, shape `(batch, time, heads)`, int32.
        cut: Strength, before the pop, of the tile it consumed in part; 0 if none. Shape `(batch, time, heads)`.
    """

    strengths: Array
    order: Array
    ends: Array
    dead: Array
    last: Array
    consumed: Array
    cut: Array

    def copied(self) -> Line:
        """A copy that can be rewound: `rewind` changes strengths, order and ends; the log is shared."""
        return self._replace(strengths=self.strengths.copy(), order=self.order.copy(), ends=self.ends.copy())


class Inputs(NamedTuple):
    """The arguments of a scan; see `layout.Inputs`."""

    initial: Array
    strengths: Array
    push: Array
    pop: Array
    value: Array


class Gradients(NamedTuple):
    """Gradients of the loss, written by `rewind`.

    Attributes:
        values: Gradient of the value of each tile; accumulated.
        strengths: Gradient of the strength of each tile, after the steps on entry and before them on return.
        push: Shape `(batch, steps, heads)`.
        pop: Shape `(batch, steps, heads)`.
    """

    values: Strided
    strengths: Strided
    push: Array
    pop: Array


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
    (pushes, takes), (start_values, start_row, start_tile), (values, row, stride) = layout, initial, value  # as above
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


@compiled()
def step(
    time: int, slots: int, pushes: Array, takes: Array, push: Array, pop: Array, values: Array, read: Array,
    *line: Array,
) -> None:  # fmt: skip
    """Run one step.

    The fields of the line are separate arguments: when called from Python, numba needs 1 µs more to unpack a
    NamedTuple, a tenth of the time of a small step.

    Args:
        time: Steps taken before.
        slots: Number of tiles in the initial state.
        pushes: `Heads.pushes`.
        takes: `Heads.takes`.
        push: Shape `(batch, heads)`.
        pop: Shape `(batch, heads)`.
        values: Values of all tiles, including those of this step, shape `(batch, tiles, width)`.
        read: Written, shape `(batch, heads, width)`.
        line: The fields of a `Line`, changed in place.
    """
    (batch, heads), width = push.shape, values.shape[2]
    forward(
        time, time + 1, slots, width, Heads(pushes, takes), np.arange(batch), push.reshape(batch, 1, heads),
        pop.reshape(batch, 1, heads), strided(values, 0), strided(values, slots), Line(*line), read.reshape(-1),
    )  # fmt: skip


@compiled()
def undo(
    time: int, slots: int, pushes: Array, takes: Array, values: Array, read_grad: Array, grad: Array, row: int,
    tile: int, push_grad: Array, pop_grad: Array, *line: Array,
) -> None:  # fmt: skip
    """Undo one step and propagate gradients back through it; the fields of the line are separate, as in `step`.

    Args:
        time: Steps taken before it.
        slots: Number of tiles in the initial state.
        pushes: `Heads.pushes`.
        takes: `Heads.takes`.
        values: Values of all tiles, shape `(batch, tiles, width)`.
        read_grad: Gradient of the read, flat, of shape `(batch, heads, width)`.
        grad: Gradient of the value and, last, of the strength of each tile, flat; changed in place.
        row: Distance in it between two rows of the batch.
        tile: Distance in it between two tiles.
        push_grad: Written, shape `(batch, 1, heads)`.
        pop_grad: Written, shape `(batch, 1, heads)`.
        line: The fields of a `Line`, changed in place.
    """
    width = values.shape[2]
    rewind(
        time, time + 1, slots, width, Heads(pushes, takes), np.arange(len(values)), strided(values, 0),
        strided(values, slots), Line(*line), read_grad,
        Gradients(Strided(grad, row, tile), Strided(grad[width:], row, tile), push_grad, pop_grad),
    )  # fmt: skip


@compiled(inline=True)
def strided(vectors: Array, first: int) -> Strided:
    """Contiguous vectors, shape `(batch, ..., width)`, as one vector per tile, starting at index `first`."""
    width = vectors.shape[-1]
    return Strided(vectors.reshape(-1)[first * width :], vectors.size // max(len(vectors), 1), width)


@compiled()
def scan(layout: Heads, inputs: Inputs, strengths: Array, reads: Array) -> None:
    """Run all steps of a batch, one row after another; each row overwrites the log of the one before.

    Args:
        layout: The ends of the heads.
        inputs: The initial state and the actions.
        strengths: Written: strengths of all tiles after the last step, shape `(batch, tiles)`.
        reads: Written, shape `(batch, time, heads, width)`.
    """
    initial, before, push, pop, value = inputs
    (slots, width), time = initial.shape[1:], push.shape[1]
    log, below, only = room(slots, push), time * np.sum(layout.pushes == 0), np.zeros(1, np.int64)
    for b in range(len(push)):
        row = slice(b, b + 1)
        line = Line(strengths[row], log.order, log.ends, log.dead, log.last, log.consumed, log.cut)
        begin(before[row], line, below)
        forward(
            0, time, slots, width, layout, only, push[row], pop[row], strided(initial[row], 0), strided(value[row], 0),
            line, reads[row].reshape(-1),
        )  # fmt: skip


@compiled()
def scan_backward(
    layout: Heads, inputs: Inputs, reads_grad: Array, after_grad: Array, values_grad: Array, strengths_grad: Array,
    push_grad: Array, pop_grad: Array,
) -> None:  # fmt: skip
    """Propagate gradients back through all steps of a batch; each row runs its steps again to write its log.

    Args:
        layout: The ends of the heads.
        inputs: The initial state and the actions.
        reads_grad: Gradient of the reads, shape `(batch, time, heads, width)`.
        after_grad: Gradient of the strengths after the last step, shape `(batch, tiles)`, or `(batch, 0)` if zero.
        values_grad: Written: gradient of the values of all tiles, shape `(batch, tiles, width)`.
        strengths_grad: Written: gradient of the strengths of the initial state.
        push_grad: Written.
        pop_grad: Written.
    """
    initial, before, push, pop, value = inputs
    (slots, width), time = initial.shape[1:], push.shape[1]
    line, below = room(slots, push), time * np.sum(layout.pushes == 0)
    slopes, only = np.empty_like(line.last[0]), np.zeros(1, np.int64)
    for b in range(len(push)):
        row = slice(b, b + 1)
        start, pushed = strided(initial[row], 0), strided(value[row], 0)
        begin(before[row], line, below)
        forward(0, time, slots, width, layout, only, push[row], pop[row], start, pushed, line, pushed.flat[:0])
        values_grad[b] = 0
        slopes[:] = 0
        slopes[: after_grad.shape[1]] = after_grad[b]
        grads = Gradients(strided(values_grad[row], 0), Strided(slopes, len(slopes), 1), push_grad[row], pop_grad[row])
        rewind(0, time, slots, width, layout, only, start, pushed, line, reads_grad[row].reshape(-1), grads)
        strengths_grad[b] = slopes[:slots]


@compiled(inline=True)
def room(slots: int, push: Array) -> Line:
    """An empty line for one row of the batch, with room for all its steps."""
    (time, heads), kind = push.shape[1:], push.dtype
    tiles = 1, slots + time * heads
    return Line(
        np.empty(tiles, kind), np.empty(tiles, np.int32), np.empty((1, 3), np.int32), np.empty(tiles, np.int32),
        np.empty(tiles, kind), np.empty((1, time, heads), np.int32), np.empty((1, time, heads), kind),
    )  # fmt: skip
