"""The arrays of a slice of the batch in the compiled loop; they are flat unless a shape is given.

The terms are those of `sizes`.
"""

from __future__ import annotations

from typing import NamedTuple

from ddstructs.nn.compiled.sizes import Layout
from ddstructs.ops.engine import Array

__all__ = ["Border", "Cut", "Grads", "Record", "Scratch", "SliceInputs", "Spread", "Weights"]


class Cut(NamedTuple):
    """The division of a slice of the batch into blocks of steps.

    Attributes:
        rows: As in `SliceInputs`.
        lengths: As in `SliceInputs`.
        blocks: As in `SliceInputs`.
        total: Number of rows in all blocks.
        places: Number of places.
        largest_block: Number of rows of the largest block.
    """

    rows: Array
    lengths: Array
    blocks: Array
    total: int
    places: int
    largest_block: int


class Spread(NamedTuple):
    """One vector for each step of each row of the batch, at `flat[rows[b] + steps[t]]`, padded or packed.

    Attributes:
        flat: The underlying array.
        rows: Offset of each row of the batch.
        steps: Offset of each step.
    """

    flat: Array
    rows: Array
    steps: Array


class Weights(NamedTuple):
    """The weights for forward, or their transpose for backward.

    Attributes:
        panels: Array of all panels.
        parts: The part of a place that each group of sums depends on: first sum, number of sums, offset in the place,
            size, and offset of the panels. Shape `(parts, 5)`.
        layout: Offsets of the other weights.
    """

    panels: Array
    parts: Array
    layout: Layout


class SliceInputs(NamedTuple):
    """The inputs of a slice of the batch, and options for its steps.

    Attributes:
        x: The inputs.
        blocks: The blocks of steps: first step, step after the last, number of active rows of the batch, first row,
            first place, and 1 if it starts a new sequence of places. Shape `(blocks, 6)`.
        rows: The rows of the batch in this slice, the longest first, shape `(slice,)`.
        lengths: Number of steps of each, shape `(slice,)`.
        reset: Steps before which a row of the batch is reset, shape `(batch, time)`; `(0, 0)` if there are none.
        reads_noise: Noise on the reads, shape `(time, batch, reads)`; `(0, 0, 0)` if there is none.
        state_noise: Noise on the cell state, shape `(time, batch, hidden)`; `(0, 0, 0)` if there is none.
        signals_noise: Noise on the logits of push and pop, shape `(time, batch, 2 * heads)`; likewise.
        hard: Whether signals are rounded to 0 or 1.
        padded: Whether x and the output have all steps of all rows, rather than being packed.
    """

    x: Spread
    blocks: Array
    rows: Array
    lengths: Array
    reset: Array
    reads_noise: Array
    state_noise: Array
    signals_noise: Array
    hard: bool
    padded: bool


class Border(NamedTuple):
    """The state of a slice before its first step, overwritten with that after its last.

    Attributes:
        place: Output and read, shape `(slice, padded_hidden + padded_reads)`.
        state: Cell state, shape `(slice, padded_state)`.
        fresh_place: The place that a row is reset to.
        fresh_state: The cell state that it is reset to.
    """

    place: Array
    state: Array
    fresh_place: Array
    fresh_state: Array


class Scratch(NamedTuple):
    """Buffers for one block of steps.

    Attributes:
        x: Inputs, shape `(rows, padded_inputs)`; the padding is zero.
        actions: Values and signals before their activation or, in backward, their gradient, shape
            `(rows, padded_reads + padded_signals)`; the padding is zero.
        output: Outputs, or their gradient, shape `(rows, padded_hidden)`; the padding is zero.
        reads: Backward only: gradient of the reads, shape `(rows, padded_reads)`.
        sums: Backward only: gradient of the sums, shape `(rows, sums_stride)`.
        layer: Backward only: gradient of the output before the tanh of its layer, shape `(rows, padded_hidden)`; empty
            if it has none.
        values: Backward only: the values, in the shape of `actions`; the padding is zero.
        push: Pushes of one step, shape `(slice, heads)`, or their gradient.
        pop: Pops of one step; likewise.
        read: Backward only: gradient of the reads of one step, shape `(slice, reads)`, with room for `padded_reads`
            more.
    """

    x: Array
    actions: Array
    output: Array
    reads: Array
    sums: Array
    layer: Array
    values: Array
    push: Array
    pop: Array
    read: Array


class Record(NamedTuple):
    """The recorded results of each step or, in backward, their gradients; arrays that were not requested are empty.

    Attributes:
        output: The outputs.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, reads)`.
        reads: Shape `(batch, time, reads)`.
    """

    output: Spread
    push: Array
    pop: Array
    value: Array
    reads: Array


class Grads(NamedTuple):
    """Gradients of the weights of a slice, which are accumulated, and of its inputs, which are written.

    Attributes:
        x: Gradient of the inputs.
        recurrent: Weights from a place to the sums, shape `(sums, place_stride)`.
        input: Weights from the input to the sums, shape `(input_sums, padded_inputs)`.
        action: Weights from the output to values and signals, shape `(padded_reads + padded_signals, padded_hidden)`.
        skip: Weights from the input to the values, or to the values and signals, shape `(skip_columns, padded_inputs)`.
        read: Weights from the read to the output, shape `(padded_hidden, padded_reads)`.
        layer: Weights from the gates to the output, shape `(padded_hidden, sums)`; empty if there are none.
        bias: Bias of the sums.
        action_bias: Bias of values and signals.
        layer_bias: Bias of the output, if it has a layer.
        fresh_place: The place that a row is reset to.
        fresh_state: The cell state that it is reset to.
    """

    x: Spread
    recurrent: Array
    input: Array
    action: Array
    skip: Array
    read: Array
    layer: Array
    bias: Array
    action_bias: Array
    layer_bias: Array
    fresh_place: Array
    fresh_state: Array
