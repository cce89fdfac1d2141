"""What the compiled loop works on. Arrays are flat unless a shape says otherwise.

Vectors are padded with zeros to whole machine vectors; `Shape` gives their padded (`wide...`) and their own sizes. A
*row* is one step of one row of the batch. The rows of a block lie one after another, step by step. A *place* holds the
output and the read of a row side by side, `wide + wide_reads` numbers and, up to `joint`, unused ones. Those before a
row are at `fed + row`, those after it one step further.
"""

from __future__ import annotations

from typing import NamedTuple

from ddstructs.ops.engine import Array

__all__ = [
    "Border",
    "Call",
    "Cut",
    "Given",
    "Grads",
    "Layout",
    "Record",
    "Ring",
    "Shape",
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
        entered: Number of sums with a term of the input; these come first.
        sums: Number of sums of the cell.
        wide_state: Size of the state beside the output, padded; 0 if there is none.
        wide_extra: Size of what the cell keeps beside gates and state, padded; 0 if there is nothing.
        joint: Distance between two places, `wide + wide_reads` or more.
        apart: Distance between the gradients of the sums of two rows, `sums` or more. Both are odd numbers of machine
            vectors: at a distance of a power of two all rows would share a few lines of the cache.
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
    joint: int
    apart: int


class Layout(NamedTuple):
    """Where the weights lie in one array, as panels (`products.pack`), and the two biases after them.

    Attributes:
        entry: Panels from the input to the sums.
        action: From the output to the values and signals.
        value: From the input to the values; -1 if there are none.
        read: From the read to the output; -1 if there are none.
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
    """Addresses of tensors; 0 for one that is absent. In backward those of their gradients, but for `x`.

    Attributes:
        x: Inputs, as in `Spread`.
        output: Outputs, as in `Spread`.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, reads)`.
        reads: Shape `(batch, time, reads)`.
        initial: States with which a row begins, shape `(states, hidden)`; of its gradient in backward, each slice
            returns its own.
        first_read: Read before the first step, shape `(batch, reads)`.
        first_output: Output before the first step, shape `(batch, hidden)`.
        first_state: State beside the output before the first step, shape `(batch, hidden)`.
        last_read: Read after the last step of each row, shape `(batch, reads)`.
        last_output: Output after the last step, shape `(batch, hidden)`.
        last_state: State beside the output after the last step, shape `(batch, hidden)`.
        reads_noise: Noise on the reads, shape `(time, batch, reads)`.
        state_noise: Noise on the state beside the output, shape `(time, batch, hidden)`.
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
    """What all slices of a call have in common.

    Attributes:
        parts: As in `Weights`.
        x_rows: Offset of each row of the inputs, as in `Spread`.
        x_steps: Offset of each of their steps.
        rows: Offset of each row of the outputs or, in backward, of their gradient.
        steps: Offset of each of their steps.
        grad_rows: Backward only: offset of each row of the gradient of the inputs.
        grad_steps: Offset of each of its steps.
        reset: As in `Given`.
        table: The lines; see `line.Lines`.
        pushes: The end at which each head pushes.
        takes: The end from which each head pops and reads.
        panels: Address of the weights.
        width: Size of one value.
        hard: As in `Given`.
        padded: As in `Given`.
        lasting: Whether the gates of all rows are kept for backward.
        like: Empty; its dtype is that of the network.
        integers: Empty; its dtype is that of the indices on a tape.
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
    lasting: bool
    like: Array
    integers: Array


class Cut(NamedTuple):
    """How a slice of the batch is cut into blocks of steps.

    Attributes:
        rows: As in `Given`.
        lengths: As in `Given`.
        blocks: As in `Given`.
        total: Number of rows in all blocks.
        places: Number of places.
        most: Rows of the largest block.
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
        flat: The numbers.
        rows: Offset of each row of the batch.
        steps: Offset of each step.
    """

    flat: Array
    rows: Array
    steps: Array


class Weights(NamedTuple):
    """The weights: as they are for forward, transposed for backward.

    Attributes:
        panels: All of them.
        parts: Which sums come from which part of a place: first sum, number of sums, first number of the place, count,
            and where the panels begin. Shape `(parts, 5)`.
        layout: Where the others lie.
    """

    panels: Array
    parts: Array
    layout: Layout


class Given(NamedTuple):
    """The inputs of a slice of the batch, and options of its steps.

    Attributes:
        x: The inputs.
        blocks: The blocks of steps: first step, step after the last, number of rows of the batch that take part, first
            row, first place, and 1 if the places begin anew. Shape `(blocks, 6)`.
        rows: The rows of the batch in this slice, the longest first, shape `(slice,)`.
        lengths: Number of steps that each takes, shape `(slice,)`.
        reset: Steps before which a row of the batch begins afresh, shape `(batch, time)`; `(0, 0)` if there are none.
        reads_noise: Noise on the reads, shape `(time, batch, reads)`; `(0, 0, 0)` if there is none.
        state_noise: Noise on the state beside the output, shape `(time, batch, hidden)`; `(0, 0, 0)` if there is none.
        hard: Whether signals are rounded to 0 or 1.
        padded: Whether x and the output have room for all steps of all rows; packed ones have not.
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
    """The state that enters a slice, and leaves it: output and read as a place, and the state beside the output.

    Attributes:
        place: Shape `(slice, wide + wide_reads)`; overwritten with the last one.
        kept: Shape `(slice, wide_state)`; overwritten with the last one.
        fresh_place: The place with which a row begins afresh.
        fresh_kept: The state beside the output with which it does.
    """

    place: Array
    kept: Array
    fresh_place: Array
    fresh_kept: Array


class Ring(NamedTuple):
    """Buffers for one block of steps.

    Attributes:
        x: Inputs, shape `(rows, wide_inputs)`; the padding is zero.
        actions: Values and signals before their activation or, in backward, the gradient of that, shape
            `(rows, wide_reads + wide_signals)`; the padding is zero.
        output: Outputs, or their gradient, shape `(rows, wide)`; the padding is zero.
        reads: Backward only: gradient of the reads, shape `(rows, wide_reads)`.
        sums: Backward only: gradient of the sums, shape `(rows, apart)`.
        values: Backward only: the values, in the shape of `actions`; the padding is zero.
        push: Of one step, shape `(slice, heads)`, or its gradient.
        pop: The same.
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
    """What is recorded of each step or, in backward, the gradients of that; an array that nobody asked for is empty.

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
    """Gradients of the weights of a slice, which are added to, and of its inputs.

    Attributes:
        x: Of the inputs.
        recurrent: From a place to the sums, shape `(sums, joint)`.
        entry: From the input to the sums, shape `(entered, wide_inputs)`.
        action: From the output to values and signals, shape `(wide_reads + wide_signals, wide)`.
        value: From the input to the values, shape `(wide_reads, wide_inputs)`.
        read: From the read to the output, shape `(wide, wide_reads)`.
        bias: Of the sums.
        action_bias: Of values and signals.
        fresh_place: Of the place with which a row begins afresh.
        fresh_kept: Of the state beside the output with which it does.
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
    fresh_kept: Array
