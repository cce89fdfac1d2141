"""All that follows from the sizes of a network and of a batch: its shape, and where the weights go."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ddstructs.nn.compiled.cells import Cell
from ddstructs.nn.compiled.sizes import Layout, Shape
from ddstructs.ops.engine import Array

__all__ = ["Geometry", "Sizes", "geometry"]


class Sizes(NamedTuple):
    """The sizes that determine a `Geometry`.

    Attributes:
        time: Number of steps.
        batch: Number of rows.
        inputs: Size of one input.
        hidden: Size of the cell's output.
        heads: Number of heads.
        width: Size of one value.
        lanes: Numbers in a machine vector.
        skips: Number of values and signals, not padded, that the input feeds: none, the values, or all.
        read: Whether the read feeds the output.
    """

    time: int
    batch: int
    inputs: int
    hidden: int
    heads: int
    width: int
    lanes: int
    skips: int
    read: bool


class Geometry(NamedTuple):
    """All properties of a run that depend only on sizes.

    Attributes:
        shape: The sizes.
        layout: Offsets of the weights.
        parts: As in `arrays.Weights`.
        gates: The blocks of `weight_ih` and `weight_hh` of each gate; -1 for none.
    """

    shape: Shape
    layout: Layout
    parts: Array
    gates: Array


@lru_cache(maxsize=256)
def geometry(kind: Any, sizes: Sizes) -> Geometry:
    """The geometry of a network with a cell of this class, and of a batch."""
    time, batch, inputs, hidden, heads, width, lanes, skips, read = sizes

    def padded(count: int) -> int:
        return -(-count // lanes) * lanes

    padded_hidden, reads = padded(hidden), heads * width
    pairs = zip(kind.from_input, kind.from_output, strict=True)
    gates = [[-1 if block is None else block for block in pair] for pair in pairs]
    input_sums, sums = padded_hidden * sum(block >= 0 for block, _ in gates), padded_hidden * len(gates)

    def odd(count: int) -> int:
        return count + lanes * (count // lanes % 2 == 0)

    shape = Shape(
        time, batch, inputs, hidden, reads, heads, padded(inputs), padded_hidden, padded(reads), padded(2 * heads),
        padded(reads) * (skips > 0) + padded(2 * heads) * (skips > reads), input_sums, sums,
        padded_hidden * kind.layered, padded_hidden * (kind.states > 1), padded_hidden * kind.extra_states,
        odd(padded_hidden + padded(reads)), odd(sums),
    )  # fmt: skip
    parts, at = list[tuple[int, ...]](), 0
    for column, columns, first, inner in _parts(kind, shape):
        parts.append((column, columns, first, inner, at))
        at += columns * inner
    padded_action = shape.padded_reads + shape.padded_signals
    places = list[int]()
    for size, present in (
        (input_sums * shape.padded_inputs, True), (padded_action * padded_hidden, True),
        (shape.skip_columns * shape.padded_inputs, skips > 0), (padded_hidden * shape.padded_reads, read),
        (shape.layer * sums, kind.layered), (sums, True), (padded_action, True), (shape.layer, True),
    ):  # fmt: skip
        places.append(at if present else -1)
        at += size * present
    place_stride = shape.place_stride
    grads = sums * place_stride + input_sums * shape.padded_inputs + padded_action * padded_hidden
    grads += shape.skip_columns * shape.padded_inputs + padded_hidden * shape.padded_reads + shape.layer * sums
    grads += sums + padded_action + shape.layer + place_stride + padded_hidden
    layout = Layout._make([*places, at, grads])
    return Geometry(shape, layout, np.array(parts, np.int64).reshape(-1, 5), np.array(gates, np.int64))


def _parts(kind: type[Cell], shape: Shape) -> list[tuple[int, int, int, int]]:
    """The part of a place that each group of sums depends on: first sum, number of sums, offset, size."""
    padded_hidden, place = shape.padded_hidden, shape.padded_hidden + shape.padded_reads
    found = list[tuple[int, int, int, int]]()
    for gate, (ih, hh) in enumerate(zip(kind.from_input, kind.from_output, strict=True)):
        start, stop = 0 if hh is not None else padded_hidden, place if ih is not None else padded_hidden
        if found and found[-1][2:] == (start, stop - start):
            found[-1] = (found[-1][0], found[-1][1] + padded_hidden, *found[-1][2:])
        else:
            found.append((gate * padded_hidden, padded_hidden, start, stop - start))
    return found
