"""The arrays that the engine works on: tiles on a line, their values, actions and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddstructs.ops.compiler import compiled

__all__ = ["Array", "Gradients", "Heads", "Inputs", "Line", "Strided", "room", "strided"]

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


@compiled(inline=True)
def strided(vectors: Array, first: int) -> Strided:
    """Contiguous vectors, shape `(batch, ..., width)`, as one vector per tile, starting at index `first`."""
    width = vectors.shape[-1]
    return Strided(vectors.reshape(-1)[first * width :], vectors.size // max(len(vectors), 1), width)


@compiled(inline=True)
def room(slots: int, push: Array) -> Line:
    """An empty line for one row of the batch, with room for all its steps."""
    (time, heads), kind = push.shape[1:], push.dtype
    tiles = 1, slots + time * heads
    return Line(
        np.empty(tiles, kind), np.empty(tiles, np.int32), np.empty((1, 3), np.int32), np.empty(tiles, np.int32),
        np.empty(tiles, kind), np.empty((1, time, heads), np.int32), np.empty((1, time, heads), kind),
    )  # fmt: skip
