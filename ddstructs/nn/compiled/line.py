"""Line memories in the compiled loop: run a step, undo a step, or skip steps.

The functions are selected by the type of the memory, like those of a cell. `rows` are the rows of the memory that run
the step, in the order of the network's rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ddstructs.ops import engine
from ddstructs.ops.compiler import chosen, compiled
from ddstructs.ops.engine import Array, Gradients, Heads, Strided
from ddstructs.ops.pointers import array_at
from ddstructs.ops.products import blank, copy

__all__ = ["Lines", "run_step", "skip_steps", "undo_step"]


class Lines(NamedTuple):
    """Parallel lines, each on its own tape; a bank has several, a stack one.

    Attributes:
        batch: Number of rows.
        width: Size of one value.
        heads: Number of heads of all lines.
        pushes: The end at which each head pushes.
        takes: The end from which each head pops and reads.
        table: For each line: its number of heads, the number of steps before the network's first, the number of tiles
            in the initial state, the allocated numbers of tiles, steps and entries of the order, and the addresses of
            values, strengths, order, ends, dead, last, consumed and cut of the tape. Backward only: address of the
            gradients of the values of tiles, with the distances between two rows and two tiles; likewise for those of
            their strengths. Shape `(lines, 20)`.
        push: Buffer for the pushes of one line in one step.
        pop: Buffer for its pops.
        read: Buffer for its reads.
        integers: An empty array of the dtype of indices on a tape.
    """

    batch: int
    width: int
    heads: int
    pushes: Array
    takes: Array
    table: Array
    push: Array
    pop: Array
    read: Array
    integers: Array


def run_step(
    memory: Any, t: int, rows: Array, push: Array, pop: Array, value: Array, at: int, stride: int, read: Array, to: int,
    read_stride: int,
) -> None:  # fmt: skip
    """Run a step.

    Args:
        memory: The memory.
        t: The step of the network.
        rows: Shape `(batch,)`.
        push: Flat, of shape `(batch, heads)`.
        pop: Flat, of shape `(batch, heads)`.
        value: Flat; the values of a row are contiguous.
        at: Offset of the first row in `value`.
        stride: Distance between two rows of `value`.
        read: Written, flat; the reads of a row are contiguous.
        to: Offset of the first row in `read`.
        read_stride: Distance between two rows of `read`.
    """


def undo_step(
    memory: Any, t: int, rows: Array, read_grad: Array, push_grad: Array, pop_grad: Array, value: Array,
    value_grad: Array, at: int, stride: int,
) -> None:  # fmt: skip
    """Undo a step, and propagate gradients back through it.

    Args:
        memory: The memory.
        t: The step of the network.
        rows: Shape `(batch,)`.
        read_grad: Flat, of shape `(batch, heads, width)`.
        push_grad: Written, flat, of shape `(batch, heads)`.
        pop_grad: Written, flat, of shape `(batch, heads)`.
        value: Written, flat: the pushed values, contiguous for each row.
        value_grad: Written, flat: their gradient.
        at: Offset of the first row in both.
        stride: Distance between two rows of both.
    """


def skip_steps(memory: Any, row: int, start: int, stop: int) -> None:
    """Skip the steps from `start` to `stop` of one row: record them without a push or a pop."""


@compiled(inline=True)
def line_at(memory: Lines, n: int, first: int) -> tuple[Heads, Strided, Strided, engine.Line]:
    """Line `n` of the table, whose first head is `first`: its heads, initial values, pushed values and tiles."""
    batch, width, table, floats, ints = memory.batch, memory.width, memory.table, memory.push, memory.integers
    heads, slots, tiles, steps, order = table[n, 0], table[n, 2], table[n, 3], table[n, 4], table[n, 5]
    values = array_at(table[n, 6], batch * tiles * width, floats)
    line = engine.Line(
        array_at(table[n, 7], batch * tiles, floats).reshape(batch, tiles),
        array_at(table[n, 8], batch * order, ints).reshape(batch, order),
        array_at(table[n, 9], batch * 3, ints).reshape(batch, 3),
        array_at(table[n, 10], batch * tiles, ints).reshape(batch, tiles),
        array_at(table[n, 11], batch * tiles, floats).reshape(batch, tiles),
        array_at(table[n, 12], batch * steps * heads, ints).reshape(batch, steps, heads),
        array_at(table[n, 13], batch * steps * heads, floats).reshape(batch, steps, heads),
    )
    ends = Heads(memory.pushes[first : first + heads], memory.takes[first : first + heads])
    row = tiles * width
    return ends, Strided(values, row, width), Strided(values[slots * width :], row, width), line


# Numba infers the types of these functions from their arguments. Annotations would be ignored, and the decorator
# replaces the functions.
@chosen(run_step)
def _run_step(memory, t, rows, push, pop, value, at, stride, read, to, read_stride):  # type: ignore[no-untyped-def]
    if not _are_lines(memory):
        return None

    def implementation(memory, t, rows, push, pop, value, at, stride, read, to, read_stride):  # type: ignore[no-untyped-def]
        first, width, all_heads, table = 0, memory.width, memory.heads, memory.table
        count = len(rows)
        for n in range(len(table)):
            heads, step, slots = table[n, 0], table[n, 1] + t, table[n, 2]
            ends, initial, pushed, line = line_at(memory, n, first)
            values, row, tile = pushed
            size = heads * width
            for i in range(count):
                copy(value, at + i * stride + first * width, values, rows[i] * row + step * heads * tile, size)
                copy(push, i * all_heads + first, memory.push, i * heads, heads)
                copy(pop, i * all_heads + first, memory.pop, i * heads, heads)
            engine.forward(
                step, step + 1, slots, width, ends, rows, memory.push[: count * heads].reshape(count, 1, heads),
                memory.pop[: count * heads].reshape(count, 1, heads), initial, pushed, line, memory.read,
            )  # fmt: skip
            for i in range(count):
                copy(memory.read, i * size, read, to + i * read_stride + first * width, size)
            first += heads

    return implementation


@chosen(undo_step)
def _undo_step(memory, t, rows, read_grad, push_grad, pop_grad, value, value_grad, at, stride):  # type: ignore[no-untyped-def]
    if not _are_lines(memory):
        return None

    def implementation(memory, t, rows, read_grad, push_grad, pop_grad, value, value_grad, at, stride):  # type: ignore[no-untyped-def]
        first, width, all_heads, table, batch = 0, memory.width, memory.heads, memory.table, memory.batch
        count = len(rows)
        for n in range(len(table)):
            heads, step, slots = table[n, 0], table[n, 1] + t, table[n, 2]
            ends, initial, pushed, line = line_at(memory, n, first)
            values, row, tile = pushed
            grads, grad_row, grad_tile = array_at(table[n, 14], batch * table[n, 15], value), table[n, 15], table[n, 16]
            slopes = Strided(array_at(table[n, 17], batch * table[n, 18], value), table[n, 18], table[n, 19])
            size = heads * width
            for i in range(count):
                copy(read_grad, (i * all_heads + first) * width, memory.read, i * size, size)
            pushes = memory.push[: count * heads].reshape(count, 1, heads)
            pops = memory.pop[: count * heads].reshape(count, 1, heads)
            engine.rewind(
                step, step + 1, slots, width, ends, rows, initial, pushed, line, memory.read[: count * size],
                Gradients(Strided(grads, grad_row, grad_tile), slopes, pushes, pops),
            )  # fmt: skip
            for i in range(count):
                copy(memory.push, i * heads, push_grad, i * all_heads + first, heads)
                copy(memory.pop, i * heads, pop_grad, i * all_heads + first, heads)
                place = at + i * stride + first * width
                copy(values, rows[i] * row + step * heads * tile, value, place, size)
                for h in range(heads):
                    newest = rows[i] * grad_row + (slots + step * heads + h) * grad_tile
                    copy(grads, newest, value_grad, place + h * width, width)
            first += heads

    return implementation


@chosen(skip_steps)
def _skip_steps(memory, row, start, stop):  # type: ignore[no-untyped-def]
    if not _are_lines(memory):
        return None

    def implementation(memory, row, start, stop):  # type: ignore[no-untyped-def]
        head = 0
        for n in range(len(memory.table) if start < stop else 0):
            heads, before, slots = memory.table[n, 0], memory.table[n, 1], memory.table[n, 2]
            _, _, (flat, stride, tile), (strengths, _, _, _, _, consumed, cut) = line_at(memory, n, head)
            first, last = before + start, before + stop
            strengths[row, slots + first * heads : slots + last * heads] = 0
            consumed[row, first:last] = 0
            cut[row, first:last] = 0
            blank(flat, row * stride + first * heads * tile, (last - first) * heads * tile)
            head += heads

    return implementation


def _are_lines(memory: Any) -> bool:
    return getattr(memory, "instance_class", None) is Lines
