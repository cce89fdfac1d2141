"""Rows of the table that describes the lines of a memory to the compiled loop; see `line.Lines.table`."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ddstructs.ops import engine
from ddstructs.ops.engine import Array
from ddstructs.ops.layout import Layout
from ddstructs.ops.pages import zeros
from ddstructs.ops.tape import Tape

__all__ = ["Tiles", "heads_of", "prepare_undo", "table_of", "tape_row"]

COLUMNS = 20
"""Number of columns of the table."""


class Tiles(NamedTuple):
    """A line after the last step, for backward to undo.

    Attributes:
        row: Its row of the table.
        line: Its tiles; changed in place.
        grad: The gradient of the tiles before the first step, if needed.
        buffers: The gradients whose addresses are in the row, to keep them alive.
    """

    row: list[int]
    line: engine.Line
    grad: Tensor | None
    buffers: tuple[Tensor, ...]


@cache
def heads_of(layouts: tuple[Layout, ...]) -> tuple[Array, Array]:
    """The ends at which all heads push, and from which they take."""
    heads = [head for layout in layouts for head in layout]
    return (
        np.array([int(head.push) for head in heads], np.int64),
        np.array([int(head.take) for head in heads], np.int64),
    )


def tape_row(tape: Tape, start: int, places: tuple[int, ...], grads: tuple[int, ...] = (0,) * 6) -> list[int]:
    """The row of a tape in the table.

    Args:
        tape: The tape.
        start: Number of steps before the first one.
        places: Addresses of the values and of the fields of the line.
        grads: The last six columns.
    """
    tiles = tape.tiles(tape.room)
    return [tape.heads, start, tape.slots, tiles, tape.room, tiles, *places, *grads]


def table_of(rows: list[list[int]]) -> Array:
    """The table with these rows, if any."""
    return np.array(rows, np.int64).reshape(-1, COLUMNS)


def prepare_undo(tape: Tape, start: int, stop: int, grad: Tensor | None, continued: bool) -> Tiles:
    """Prepare a line for backward.

    Args:
        tape: The tape.
        start: Time before the first step to undo.
        stop: Time after the last step to undo.
        grad: The gradient of the tiles at `stop`, shape `(batch, tiles, width + 1)`; None if it is zero.
        continued: Whether the gradient of the tiles at `start` is needed.
    """
    line, count, width = tape.at(stop, private=True), tape.tiles(stop), tape.width
    own = tuple(array.ctypes.data for array in line[:3])  # the arrays that change
    values, *logs = tape.places
    places = values, *own, *logs[3:]
    if grad is None and not continued:
        tiles = zeros((tape.batch, count | 1, width), tape.dtype)
        strengths = zeros((tape.batch, count), tape.dtype)
        grads = tiles.data_ptr(), (count | 1) * width, width, strengths.data_ptr(), count, 1
        return Tiles(tape_row(tape, start, places, grads), line, None, (tiles, strengths))
    if grad is None:
        grad = zeros((tape.batch, count, width + 1), tape.dtype)
    elif grad.stride(2) != 1:
        grad = grad.contiguous()
    row, tile, _ = grad.stride()
    at = grad.data_ptr()
    grads = at, row, tile, at + width * grad.element_size(), row, tile
    before = grad.narrow(1, 0, tape.tiles(start)) if continued else None
    return Tiles(tape_row(tape, start, places, grads), line, before, (grad,))
