"""A memory on a line in the compiled loop: how it takes a step, undoes one, and lets one pass.

The functions are chosen by the type of the memory, as those of a cell are by its own. `rows` are the rows of the memory
that take the step, in the order of the network's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ddstructs.ops import engine
from ddstructs.ops.compiler import chosen
from ddstructs.ops.engine import Array, Gradients, Heads, Strided
from ddstructs.ops.products import blank, copy

__all__ = ["Line", "rest", "take", "undo"]


class Line(NamedTuple):
    """Where a line lies, on a tape.

    Attributes:
        start: Steps taken before the network's first.
        slots: Number of tiles in the initial state of the tape.
        width: Size of one value.
        heads: Where the heads work.
        initial: Values of the initial state.
        values: Values pushed, from the first step of all.
        line: Its tiles, and the log.
        values_grad: Backward only: gradient of the value of each tile.
        strengths_grad: Backward only: gradient of its strength.
    """

    start: int
    slots: int
    width: int
    heads: Heads
    initial: Strided
    values: Strided
    line: engine.Line
    values_grad: Strided
    strengths_grad: Strided


def take(
    memory: Any, t: int, rows: Array, push: Array, pop: Array, value: Array, at: int, apart: int, read: Array
) -> None:
    """Take a step.

    Args:
        memory: The memory.
        t: The step of the network.
        rows: Shape `(batch,)`.
        push: Shape `(batch, 1, heads)`.
        pop: Shape `(batch, 1, heads)`.
        value: Flat; the values of a row lie side by side.
        at: The offset of the first row.
        apart: Distance between two rows.
        read: Written, flat, of shape `(batch, heads, width)`.
    """


def undo(
    memory: Any, t: int, rows: Array, read_grad: Array, push_grad: Array, pop_grad: Array, value: Array,
    value_grad: Array, at: int, apart: int,
) -> None:  # fmt: skip
    """Undo a step, and carry gradients back through it.

    Args:
        memory: The memory.
        t: The step of the network.
        rows: Shape `(batch,)`.
        read_grad: Flat, of shape `(batch, heads, width)`.
        push_grad: Written, shape `(batch, 1, heads)`.
        pop_grad: Written, shape `(batch, 1, heads)`.
        value: Written, flat: the values that were pushed, side by side for each row.
        value_grad: Written, flat: their gradient.
        at: The offset in both of the first row.
        apart: Distance between two rows.
    """


def rest(memory: Any, row: int, start: int, stop: int) -> None:
    """Let the steps from `start` to `stop` pass in one row, without a push or a pop."""


@chosen(take)
def _take(memory, t, rows, push, pop, value, at, apart, read):  # type: ignore[no-untyped-def]
    if not _is_line(memory):
        return None

    def form(memory, t, rows, push, pop, value, at, apart, read):  # type: ignore[no-untyped-def]
        values, row, tile = memory.values
        heads, step, width = push.shape[2], memory.start + t, memory.width
        for i in range(len(rows)):
            copy(value, at + i * apart, values, rows[i] * row + step * heads * tile, heads * width)
        engine.forward(
            step, step + 1, memory.slots, width, memory.heads, rows, push, pop, memory.initial, memory.values,
            memory.line, read,
        )  # fmt: skip

    return form


@chosen(undo)
def _undo(memory, t, rows, read_grad, push_grad, pop_grad, value, value_grad, at, apart):  # type: ignore[no-untyped-def]
    if not _is_line(memory):
        return None

    def form(memory, t, rows, read_grad, push_grad, pop_grad, value, value_grad, at, apart):  # type: ignore[no-untyped-def]
        values, row, tile = memory.values
        grads, grad_row, grad_tile = memory.values_grad
        heads, step, width = push_grad.shape[2], memory.start + t, memory.width
        engine.rewind(
            step, step + 1, memory.slots, width, memory.heads, rows, memory.initial, memory.values, memory.line,
            read_grad, Gradients(memory.values_grad, memory.strengths_grad, push_grad, pop_grad),
        )  # fmt: skip
        for i in range(len(rows)):
            first = memory.slots + step * heads
            copy(values, rows[i] * row + step * heads * tile, value, at + i * apart, heads * width)
            for h in range(heads):
                place = rows[i] * grad_row + (first + h) * grad_tile
                copy(grads, place, value_grad, at + i * apart + h * width, width)

    return form


@chosen(rest)
def _rest(memory, row, start, stop):  # type: ignore[no-untyped-def]
    if not _is_line(memory):
        return None

    def form(memory, row, start, stop):  # type: ignore[no-untyped-def]
        strengths, _, _, _, _, consumed, cut = memory.line
        flat, apart, tile = memory.values
        heads = consumed.shape[2]
        first, last = memory.start + start, memory.start + stop
        strengths[row, memory.slots + first * heads : memory.slots + last * heads] = 0
        consumed[row, first:last] = 0
        cut[row, first:last] = 0
        if first < last:
            blank(flat, row * apart + first * heads * tile, (last - first) * heads * tile)

    return form


def _is_line(memory: Any) -> bool:
    return getattr(memory, "instance_class", None) is Line
