"""The arithmetic of the CPU kernels, compiled by numba: tiles on a line, drawn from its ends.

A row of the batch is a line of tiles. `order` lists its live tiles from bottom to top, and `strengths` says how long
each one is. A pop or a read walks inward from an end until its amount is covered, so a tile that a pop has consumed is
never looked at again, and a step costs as much as it consumes and reads, not as much as there is.

Backward runs the steps in reverse order and undoes each, by a log of what it did: it sees every step as forward saw it,
without a copy of the state per step. The log has a fixed size, for a tile dies only once.

All compiled code is in this one file: numba keeps what it has compiled until the file of the function that was called
is changed, whatever happens to others that it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Line", "begin", "ends", "forward", "rewind", "scan", "scan_backward", "steps"]

Array = NDArray[Any]


class Line(NamedTuple):
    """The tiles of a batch of lines, and the log of how they came to be as they are.

    A tile's number is its slot in the initial state, or `slots + t * heads + h` if head h pushed it in step t.

    Attributes:
        strengths: What is left of each tile, shape `(batch, tiles)`; zero once it is dead.
        order: The live tiles from the bottom to the top, shape `(batch, room)`, int32.
        ends: Where in `order` the live ones begin and end, and how many have died, shape `(batch, 3)`, int32.
        dead: The dead tiles in the order of their death, shape `(batch, tiles)`, int32.
        last: Their strengths just before, shape `(batch, tiles)`.
        consumed: How many tiles a pop consumed whole, shape `(batch, time, heads)`, int32.
        cut: The strength, before, of the tile that it consumed in part; 0 if none. Shape `(batch, time, heads)`.
    """

    strengths: Array
    order: Array
    ends: Array
    dead: Array
    last: Array
    consumed: Array
    cut: Array

    def copied(self) -> Line:
        """A line of its own, to rewind: what a rewind changes is copied, the log is shared."""
        return self._replace(strengths=self.strengths.copy(), order=self.order.copy(), ends=self.ends.copy())


def ends(ends: Sequence[int]) -> Array:
    """The ends of some heads, as the compiled functions take them."""
    return np.array(ends, dtype=np.int64)


def steps(row: int, tile: int) -> Array:
    """How far apart two rows of a batch lie in flat memory, and two tiles."""
    return np.array((row, tile), dtype=np.int64)


def compiled(*, inline: bool = False, fastmath: bool | set[str] = False) -> Callable[..., Callable[..., Any]]:
    """Compile a function with numba: serial, since numba's threads do not survive a fork, and without the GIL.

    Args:
        inline: Whether its code is to stand in the place of each call. It pays for what is small and called within the
            innermost loops: an array is passed as seven numbers. Without this, backward takes twice as long.
        fastmath: Which liberties the compiler may take with floating-point numbers.
    """
    return numba.njit(cache=True, nogil=True, fastmath=fastmath, forceinline=inline)


# A sum over the width may be taken in any order, and so several terms at once; one over strengths may not, for it
# decides ties. Indices are unsigned because a signed one is checked for counting from the end, which keeps a loop from
# being vectorised: 15 times slower.


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
def window(strengths: Array, order: Array, low: int, high: int, top: bool, unit: float) -> tuple[int, float]:
    """Walk inward from an end until a unit of strength is covered.

    Returns:
        How many tiles lie in it, and what it takes of the last one if that reaches out of it, else 0. Sums are kept in
        float64 and rounded to the strengths' own type when they are compared, as torch.cumsum does.
    """
    total, count = 0.0, 0
    while count < high - low:
        strength = strengths[order[high - 1 - count if top else low + count]]
        missing = unit - strengths.dtype.type(total)
        if not strength <= missing:
            return (count + 1, missing) if missing > 0 else (count, unit - unit)
        total += strength
        count += 1
    return count, unit - unit


@compiled(inline=True)
def outside(head: int, tile: int, first: int, pushes: Array, top: bool) -> Any:
    """Whether the tile a head pushed lies nearer to an end than another one, of the same step (from first) or older."""
    own = pushes[head] == top
    if tile >= first and pushes[tile - first] == pushes[head]:
        return (head > tile - first) == own
    return own


@compiled()
def begin(before: Array, strengths: Array, order: Array, ends: Array, below: int) -> None:
    """Lay the tiles of an initial state on an empty line.

    Args:
        before: Their strengths, shape `(batch, slots)`.
        strengths: `Line.strengths`.
        order: `Line.order`.
        ends: `Line.ends`.
        below: How much room to leave in `order` for what will be pushed below them.
    """
    for b in range(len(before)):
        high = below
        for tile in range(before.shape[1]):
            strengths[b, tile] = before[b, tile]
            if before[b, tile] != 0:
                order[b, high] = tile
                high += 1
        ends[b, 0], ends[b, 1], ends[b, 2] = below, high, 0


@compiled()
def forward(
    start: int, stop: int, slots: int, width: int, pushes: Array, takes: Array,
    push: Array, pop: Array, initial: Array, initial_steps: Array, value: Array, value_steps: Array,
    strengths_: Array, order_: Array, ends: Array, dead_: Array, last_: Array, consumed: Array, cut: Array,
    reading: bool, reads: Array,
) -> None:  # fmt: skip
    """Take the steps from start to stop.

    Args:
        start: The first step.
        stop: The step after the last.
        slots: How many tiles the initial state has.
        width: Size of one value.
        pushes: The end at which each head pushes, 1 for the top, shape `(heads,)`.
        takes: The end from which each head takes.
        push: Shape `(batch, stop - start, heads)`.
        pop: Shape `(batch, stop - start, heads)`.
        initial: The values of the initial state, flat.
        initial_steps: How far apart in it two rows of the batch lie, and two tiles.
        value: The values pushed, flat.
        value_steps: The same for them.
        strengths_: `Line.strengths`, changed in place, as are the other fields of a line.
        order_: `Line.order`.
        ends: `Line.ends`.
        dead_: `Line.dead`.
        last_: `Line.last`.
        consumed: `Line.consumed`.
        cut: `Line.cut`.
        reading: Whether to read.
        reads: Where the reads go, flat, of shape `(batch, stop - start, heads, width)`.
    """
    heads = len(pushes)
    unit = strengths_.dtype.type(1)
    for b in range(len(push)):
        strengths, order, dead, last = strengths_[b], order_[b], dead_[b], last_[b]
        low, high, deaths = ends[b, 0], ends[b, 1], ends[b, 2]
        for t in range(start, stop):
            first = slots + t * heads
            for h in range(heads):
                amount, total, top = pop[b, t - start, h], 0.0, takes[h] == 1
                consumed[b, t, h], cut[b, t, h] = 0, 0
                while low < high:
                    tile = order[high - 1 if top else low]
                    missing = amount - strengths.dtype.type(total)
                    strength = strengths[tile]
                    if not strength <= missing:
                        if not missing <= 0:  # written so that a NaN leaves its mark
                            cut[b, t, h] = strength
                            strengths[tile] = strength - missing
                        break
                    total += strength
                    dead[deaths], last[deaths], strengths[tile] = tile, strength, 0
                    deaths += 1
                    consumed[b, t, h] += 1
                    if top:
                        high -= 1
                    else:
                        low += 1
            for h in range(heads):
                strength = push[b, t - start, h]
                strengths[first + h] = strength
                if strength != 0:
                    if pushes[h] == 1:
                        order[high] = first + h
                        high += 1
                    else:
                        low -= 1
                        order[low] = first + h
            for h in range(heads if reading else 0):
                top, read = takes[h] == 1, ((b * (stop - start) + t - start) * heads + h) * width
                reads[read : read + width] = 0
                count, rest = window(strengths, order, low, high, top, unit)
                for i in range(count):
                    tile = order[high - 1 - i if top else low + i]
                    weight = rest if rest > 0 and i == count - 1 else strengths[tile]
                    if tile < slots:
                        add(weight, initial, b * initial_steps[0] + tile * initial_steps[1], reads, read, width)
                    else:
                        place = b * value_steps[0] + (tile - slots) * value_steps[1]
                        add(weight, value, place, reads, read, width)
        ends[b, 0], ends[b, 1], ends[b, 2] = low, high, deaths


@compiled()
def rewind(
    start: int, stop: int, slots: int, width: int, pushes: Array, takes: Array,
    initial: Array, initial_steps: Array, value: Array, value_steps: Array,
    strengths_: Array, order_: Array, ends: Array, dead_: Array, last_: Array, consumed: Array, cut: Array,
    differentiate: bool, above: Array, values_grad: Array, values_steps: Array, strengths_grad: Array,
    strengths_steps: Array, push_grad: Array, pop_grad: Array,
) -> None:  # fmt: skip
    """Undo the steps from stop back to start and, if asked to differentiate, carry the gradients with them.

    The arguments of `forward`, and

    Args:
        start: The first step.
        stop: The step after the last.
        slots: How many tiles the initial state has.
        width: Size of one value.
        pushes: The end at which each head pushes.
        takes: The end from which each head takes.
        initial: The values of the initial state, flat.
        initial_steps: How far apart in it two rows of the batch lie, and two tiles.
        value: The values pushed, flat.
        value_steps: The same for them.
        strengths_: `Line.strengths`, as of the step `stop`; as of `start` afterwards. So are order and ends.
        order_: `Line.order`.
        ends: `Line.ends`.
        dead_: `Line.dead`, only looked at.
        last_: `Line.last`, only looked at.
        consumed: `Line.consumed`, only looked at.
        cut: `Line.cut`, only looked at.
        differentiate: Whether to carry gradients.
        above: The gradient of the reads, flat, of shape `(batch, stop - start, heads, width)`.
        values_grad: The gradient of the values of all tiles, flat, added to.
        values_steps: How far apart in it two rows of the batch lie, and two tiles.
        strengths_grad: The gradient of the strengths after step `stop`, flat; of those after step `start` afterwards.
        strengths_steps: How far apart in it two rows of the batch lie, and two tiles.
        push_grad: Where the gradient of push goes, shape `(batch, stop - start, heads)`.
        pop_grad: Where the gradient of pop goes, of the same shape.
    """
    heads = len(pushes)
    unit = strengths_.dtype.type(1)
    nothing = strengths_grad.dtype.type(0)
    for b in range(len(strengths_)):
        strengths, order, dead, last = strengths_[b], order_[b], dead_[b], last_[b]
        low, high, deaths = ends[b, 0], ends[b, 1], ends[b, 2]
        at, apart = b * strengths_steps[0], strengths_steps[1]  # of tile i: strengths_grad[at + i * apart]
        for t in range(stop - 1, start - 1, -1):
            first = slots + t * heads
            if differentiate:
                for h in range(heads):
                    top, g = takes[h] == 1, ((b * (stop - start) + t - start) * heads + h) * width
                    count, rest = window(strengths, order, low, high, top, unit)
                    edge, beyond = -1, nothing  # the tile at which the window ends, and the slope of the read there
                    if rest > 0:
                        edge = order[high - count if top else low + count - 1]
                        if edge < slots:
                            place = b * initial_steps[0] + edge * initial_steps[1]
                            beyond = dot(above, g, initial, place, width)
                        else:
                            place = b * value_steps[0] + (edge - slots) * value_steps[1]
                            beyond = dot(above, g, value, place, width)
                        add(rest, above, g, values_grad, b * values_steps[0] + edge * values_steps[1], width)
                        count -= 1
                    for i in range(count):
                        tile = order[high - 1 - i if top else low + i]
                        add(strengths[tile], above, g, values_grad, b * values_steps[0] + tile * values_steps[1], width)
                        if tile < slots:
                            place = b * initial_steps[0] + tile * initial_steps[1]
                            slope = dot(above, g, initial, place, width)
                        else:
                            place = b * value_steps[0] + (tile - slots) * value_steps[1]
                            slope = dot(above, g, value, place, width)
                        strengths_grad[at + tile * apart] += slope - beyond
                    # A tile pushed with no strength at all is on a tie in every read of its step.
                    for k in range(heads):
                        if strengths[first + k] == 0:
                            place = b * value_steps[0] + (first + k - slots) * value_steps[1]
                            strengths_grad[at + (first + k) * apart] += dot(above, g, value, place, width)
                            if edge >= 0 and outside(k, edge, first, pushes, top):
                                strengths_grad[at + (first + k) * apart] -= beyond
            for h in range(heads - 1, -1, -1):
                if differentiate:
                    push_grad[b, t - start, h] = strengths_grad[at + (first + h) * apart]
                if strengths[first + h] != 0:
                    if pushes[h] == 1:
                        high -= 1
                    else:
                        low += 1
                strengths[first + h] = 0
            for h in range(heads - 1, -1, -1):
                top, slope, tile = takes[h] == 1, nothing, -1
                if cut[b, t, h] != 0:
                    tile = order[high - 1 if top else low]
                    strengths[tile] = cut[b, t, h]
                    if differentiate:
                        slope = strengths_grad[at + tile * apart]
                if differentiate:
                    pop_grad[b, t - start, h] = -slope
                for _ in range(consumed[b, t, h]):
                    deaths -= 1
                    if top:
                        order[high] = dead[deaths]
                        high += 1
                    else:
                        low -= 1
                        order[low] = dead[deaths]
                    strengths[dead[deaths]] = last[deaths]
                    if differentiate:
                        strengths_grad[at + dead[deaths] * apart] = slope
                # What had no strength before the step is on a tie in its first pop, and counts for nothing after it.
                if differentiate and h == 0:
                    for k in range(heads if t > 0 else 0):
                        other = first - heads + k
                        if strengths[other] == 0:
                            within = tile >= 0 and outside(k, tile, first - heads, pushes, top)
                            strengths_grad[at + other * apart] = slope if within else nothing
                    for other in range(slots if t == 0 else 0):
                        if strengths[other] == 0:
                            within = tile >= 0 and (other > tile) == top
                            strengths_grad[at + other * apart] = slope if within else nothing
        ends[b, 0], ends[b, 1], ends[b, 2] = low, high, deaths


@compiled()
def scan(
    pushes: Array, takes: Array, below: int, initial: Array, before: Array, push: Array, pop: Array, value: Array,
    strengths: Array, reads: Array,
) -> None:  # fmt: skip
    """Take all steps of a batch, a row after the other. The log of a row is overwritten by the next.

    Args:
        pushes: The end at which each head pushes, 1 for the top, shape `(heads,)`.
        takes: The end from which each head takes.
        below: How many tiles will be pushed at the bottom.
        initial: The values of the initial state, shape `(batch, slots, width)`.
        before: Their strengths, shape `(batch, slots)`.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, heads, width)`.
        strengths: Where the strengths of the tiles after the last step go, shape `(batch, tiles)`.
        reads: Where the reads go, shape `(batch, time, heads, width)`.
    """
    (slots, width), time = initial.shape[1:], push.shape[1]
    _, order, ends, dead, last, consumed, cut = room(slots, push)
    apart = np.array((0, width))
    for b in range(len(push)):
        row = slice(b, b + 1)
        begin(before[row], strengths[row], order, ends, below)
        forward(
            0, time, slots, width, pushes, takes, push[row], pop[row], initial[row].reshape(-1), apart,
            value[row].reshape(-1), apart, strengths[row], order, ends, dead, last, consumed,
            cut, True, reads[row].reshape(-1),
        )  # fmt: skip


@compiled()
def scan_backward(
    pushes: Array, takes: Array, below: int, initial: Array, before: Array, push: Array, pop: Array, value: Array,
    above: Array, after_grad: Array, values_grad: Array, before_grad: Array, push_grad: Array, pop_grad: Array,
) -> None:  # fmt: skip
    """Carry the gradients through all steps of a batch; each row takes its steps once more to write its log.

    The arguments of `scan`, and

    Args:
        pushes: The end at which each head pushes.
        takes: The end from which each head takes.
        below: How many tiles will be pushed at the bottom.
        initial: The values of the initial state.
        before: Their strengths.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, heads, width)`.
        above: The gradient of the reads.
        after_grad: The gradient of the strengths after the last step, shape `(batch, tiles)`, or `(batch, 0)` if zero.
        values_grad: Where the gradient of the values of all tiles is added, shape `(batch, tiles, width)`.
        before_grad: Where the gradient of the strengths of the initial state goes.
        push_grad: Where the gradient of push goes.
        pop_grad: Where the gradient of pop goes.
    """
    (slots, width), time = initial.shape[1:], push.shape[1]
    line, apart, near = room(slots, push), np.array((0, width)), np.array((0, 1))
    slopes = np.empty_like(line[0][0])
    for b in range(len(push)):
        row = slice(b, b + 1)
        start, pushed = initial[row].reshape(-1), value[row].reshape(-1)
        begin(before[row], *line[:3], below)
        forward(
            0, time, slots, width, pushes, takes, push[row], pop[row], start, apart, pushed, apart,
            *line, False, pushed,
        )  # fmt: skip
        slopes[:] = 0
        slopes[: after_grad.shape[1]] = after_grad[b]
        rewind(
            0, time, slots, width, pushes, takes, start, apart, pushed, apart, *line, True, above[row].reshape(-1),
            values_grad[row].reshape(-1), apart, slopes, near, push_grad[row], pop_grad[row],
        )  # fmt: skip
        before_grad[b] = slopes[:slots]


@compiled(inline=True)
def room(slots: int, push: Array) -> tuple[Array, ...]:
    """The fields of a line for one row of a batch, with nothing on it yet."""
    (time, heads), kind = push.shape[1:], push.dtype
    tiles = 1, slots + time * heads
    return (
        np.empty(tiles, kind), np.empty(tiles, np.int32), np.empty((1, 3), np.int32), np.empty(tiles, np.int32),
        np.empty(tiles, kind), np.empty((1, time, heads), np.int32), np.empty((1, time, heads), kind),
    )  # fmt: skip
