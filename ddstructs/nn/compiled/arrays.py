"""The data of the compiled loop; arrays are flat unless a shape is given.

Vectors are padded with zeros to whole machine vectors; `Shape` has their padded (`wide...`) and unpadded sizes. A *row*
is one step of one row of the batch. The rows of a block are consecutive, step by step. A *place* holds the output and
the read of a row side by side: `wide + wide_reads` numbers, and unused ones up to `place_stride`. The
places before a step are followed by the places after it, which are those before the next step.
"""

from __future__ import annotations

from typing import NamedTuple

from ddstructs.ops.engine import Array

__all__ = [
    "Border",
    "Call",
    "Cut",
    "Grads",
    "Layout",
    "Record",
    "Ring",
    "Shape",
    "SliceInputs",
    "Spread",
    "Tensors",
    "Weights",
]


class Shape(NamedTuple):
    """Sizes of a network and of a batch.

    Attributes:
        time: Number of steps.
        batch: Number of rows.
        inputs: Size of one input.
        hidden: Size of the cell's output.
        reads: Size of the reads of all heads.
        heads: Number of heads.
        wide_inputs: `inputs`, padded.
        wide: `hidden`, padded.
        wide_reads: `reads`, padded.
        wide_signals: A push and a pop for each head, padded.
        entered: Number of sums that depend on the input; these come first.
        sums: Number of sums of the cell.
        wide_state: Size of the cell state, padded; 0 if the output is the only state.
        wide_extra: Size of the cell's other activations, padded; 0 if there are none.
        place_stride: Distance between two places, at least `wide + wide_reads`.
        sums_stride: Distance between the gradients of the sums of two rows, at least `sums`. Both are odd numbers of
            machine vectors: with a power of two all rows would share a few cache lines.
    """

    time: int
    batch: int
    inputs: int
    hidden: int
    reads: int
    heads: int
    wide_inputs: int
    wide: int
    wide_reads: int
    wide_signals: int
    entered: int
    sums: int
    wide_state: int
    wide_extra: int
    place_stride: int
    sums_stride: int


class Layout(NamedTuple):
    """Offsets of the weights in one array, as panels (`products.pack`), followed by the two biases.

    Attributes:
        entry: Panels from the input to the sums.
        action: Panels from the output to the values and signals.
        value: Panels from the input to the values; -1 if there are none.
        read: Panels from the read to the output; -1 if there are none.
        bias: Bias of the sums.
        action_bias: Bias of the values and signals.
        size: Size of the array.
        grads: Size of an array with all gradients of a slice, laid out as `Grads`.
    """

    entry: int
    action: int
    value: int
    read: int
    bias: int
    action_bias: int
    size: int
    grads: int


class Tensors(NamedTuple):
    """Addresses of tensors, 0 for an absent one; in backward those of their gradients, except for `x`.

    Attributes:
        x: Inputs, as in `Spread`.
        output: Outputs, as in `Spread`.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, reads)`.
        reads: Shape `(batch, time, reads)`.
        initial: Initial states, shape `(states, hidden)`; unused in backward, where each slice returns its own
            gradient.
        first_read: Read before the first step, shape `(batch, reads)`.
        first_output: Output before the first step, shape `(batch, hidden)`.
        first_state: Cell state before the first step, shape `(batch, hidden)`.
        last_read: Read after the last step of each row, shape `(batch, reads)`.
        last_output: Output after the last step, shape `(batch, hidden)`.
        last_state: Cell state after the last step, shape `(batch, hidden)`.
        reads_noise: Noise on the reads, shape `(time, batch, reads)`.
        state_noise: Noise on the cell state, shape `(time, batch, hidden)`.
        x_grad: Backward only: gradient of the inputs, as in `Spread`.
    """

    x: int
    output: int
    push: int = 0
    pop: int = 0
    value: int = 0
    reads: int = 0
    initial: int = 0
    first_read: int = 0
    first_output: int = 0
    first_state: int = 0
    last_read: int = 0
    last_output: int = 0
    last_state: int = 0
    reads_noise: int = 0
    state_noise: int = 0
    x_grad: int = 0


class Call(NamedTuple):
    """The data shared by all slices of a call.

    Attributes:
        parts: As in `Weights`.
        x_rows: Offset of each row of the inputs, as in `Spread`.
        x_steps: Offset of each of their steps.
        rows: Offset of each row of the outputs or, in backward, of their gradient.
        steps: Offset of each of their steps.
        grad_rows: Backward only: offset of each row of the gradient of the inputs.
        grad_steps: Offset of each of its steps.
        reset: As in `SliceInputs`.
        table: Table of the lines; see `line.Lines`.
        pushes: The end at which each head pushes.
        takes: The end from which each head pops and reads.
        panels: Address of the weights.
        width: Size of one value.
        hard: As in `SliceInputs`.
        padded: As in `SliceInputs`.
        keep_gates: Whether the gates of all rows are stored for backward.
        like: An empty array of the network's dtype.
        integers: An empty array of the dtype of indices on a tape.
    """

    parts: Array
    x_rows: Array
    x_steps: Array
    rows: Array
    steps: Array
    grad_rows: Array
    grad_steps: Array
    reset: Array
    table: Array
    pushes: Array
    takes: Array
    panels: int
    width: int
    hard: bool
    padded: bool
    keep_gates: bool
    like: Array
    integers: Array


class Cut(NamedTuple):
    """The division of a slice of the batch into blocks of steps.

    Attributes:
        rows: As in `SliceInputs`.
        lengths: As in `SliceInputs`.
        blocks: As in `SliceInputs`.
        total: Number of rows in all blocks.
        places: Number of places.
        most: Number of rows of the largest block.
    """

    rows: Array
    lengths: Array
    blocks: Array
    total: int
    places: int
    most: int


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
    hard: bool
    padded: bool


class Border(NamedTuple):
    """The state of a slice before its first step, overwritten with that after its last.

    Attributes:
        place: Output and read, shape `(slice, wide + wide_reads)`.
        state: Cell state, shape `(slice, wide_state)`.
        fresh_place: The place that a row is reset to.
        fresh_state: The cell state that it is reset to.
    """

    place: Array
    state: Array
    fresh_place: Array
    fresh_state: Array


class Ring(NamedTuple):
    """Buffers for one block of steps.

    Attributes:
        x: Inputs, shape `(rows, wide_inputs)`; the padding is zero.
        actions: Values and signals before their activation or, in backward, their gradient, shape
            `(rows, wide_reads + wide_signals)`; the padding is zero.
        output: Outputs, or their gradient, shape `(rows, wide)`; the padding is zero.
        reads: Backward only: gradient of the reads, shape `(rows, wide_reads)`.
        sums: Backward only: gradient of the sums, shape `(rows, sums_stride)`.
        values: Backward only: the values, in the shape of `actions`; the padding is zero.
        push: Pushes of one step, shape `(slice, heads)`, or their gradient.
        pop: Pops of one step; likewise.
        read: Backward only: gradient of the reads of one step, shape `(slice, reads)`, with room for `wide_reads` more.
    """

    x: Array
    actions: Array
    output: Array
    reads: Array
    sums: Array
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
        entry: Weights from the input to the sums, shape `(entered, wide_inputs)`.
        action: Weights from the output to values and signals, shape `(wide_reads + wide_signals, wide)`.
        value: Weights from the input to the values, shape `(wide_reads, wide_inputs)`.
        read: Weights from the read to the output, shape `(wide, wide_reads)`.
        bias: Bias of the sums.
        action_bias: Bias of values and signals.
        fresh_place: The place that a row is reset to.
        fresh_state: The cell state that it is reset to.
    """

    x: Spread
    recurrent: Array
    entry: Array
    action: Array
    value: Array
    read: Array
    bias: Array
    action_bias: Array
    fresh_place: Array
    fresh_state: Array
