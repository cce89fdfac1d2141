"""What the compiled loop works on. Arrays are flat unless a shape says otherwise.

Rows of numbers are filled up with zeros to whole vectors: `Shape` says how long they are with that (`wide...`) and
without. A *row* is one step of one row of the batch; those of a block of steps lie one after another, a step after the
other. A *place* is where the output and the read of a row lie beside each other, of length `wide + wide_reads`: those
before a row are at `fed + row`, those after it a step further on.
"""

from __future__ import annotations

from typing import NamedTuple

from ddstructs.ops.engine import Array, Strided

__all__ = ["Given", "Grads", "Ring", "Shape", "Start", "Told", "Weights"]


class Shape(NamedTuple):
    """Sizes.

    Attributes:
        time: Number of steps.
        inputs: Size of one input.
        hidden: Size of the cell's output.
        reads: Size of the reads of all heads.
        heads: Number of heads.
        wide_inputs: `inputs`, filled up.
        wide: `hidden`, filled up.
        wide_reads: `reads`, filled up.
        wide_signals: A push and a pop for each head, filled up.
        entered: Sums that the input enters; the first ones.
        sums: Sums of the cell.
    """

    time: int
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


class Weights(NamedTuple):
    """The weights, in panels (`products.pack`) of one array: for forward as they are, for backward transposed.

    Attributes:
        panels: All of them.
        blocks: Which sums come from which part of a place: first sum, number of sums, first number of the place, count,
            and where the panels begin. Shape `(blocks, 5)`.
        entry: Where the panels from the input to the sums begin.
        action: Those from the output to the values and signals.
        value: Those from the input to the values; -1 if there are none.
        read: Those from the read to the output; -1 if there are none.
        bias: Of the sums.
        action_bias: Of the values and signals.
    """

    panels: Array
    blocks: Array
    entry: int
    action: int
    value: int
    read: int
    bias: Array
    action_bias: Array


class Given(NamedTuple):
    """The inputs of a slice of the batch, and what changes its steps.

    Attributes:
        x: The inputs of the batch.
        blocks: The blocks of steps: first step, step after the last, rows of the batch that take part, first row,
            first place, and 1 if the places begin anew. Shape `(blocks, 6)`.
        rows: The rows of the batch in this slice, the longest first, shape `(slice,)`.
        lengths: How many steps each takes, shape `(slice,)`.
        reset: Before which steps a row of the batch begins afresh, shape `(batch, time)`; `(0, 0)` if never.
        reads_noise: Noise on the reads, shape `(time, batch, reads)`; `(0, 0, 0)` if none.
        state_noise: Noise on the state beside the output, shape `(time, batch, hidden)`; `(0, 0, 0)` if none.
        hard: Whether signals are rounded to 0 or 1.
    """

    x: Strided
    blocks: Array
    rows: Array
    lengths: Array
    reset: Array
    reads_noise: Array
    state_noise: Array
    hard: bool


class Start(NamedTuple):
    """The state with which a slice begins, and ends: output and read as a place, and the state beside the output.

    Attributes:
        place: Shape `(slice, wide + wide_reads)`; written with the last one.
        kept: Shape `(slice, wide)`; written with the last one. Empty if there is none.
        fresh_place: The place with which a row begins afresh.
        fresh_kept: The state beside the output with which it does.
    """

    place: Array
    kept: Array
    fresh_place: Array
    fresh_kept: Array


class Ring(NamedTuple):
    """Room for one block of steps.

    Attributes:
        x: Inputs, shape `(rows, wide_inputs)`; zeros at first.
        actions: Values and signals before their activation or, in backward, the gradient of that, shape
            `(rows, wide_reads + wide_signals)`; zeros at first.
        output: Outputs, or their gradient, shape `(rows, wide)`; zeros at first.
        reads: Backward only: gradient of the reads, shape `(rows, wide_reads)`.
        sums: Backward only: gradient of the sums, shape `(rows, sums)`.
        push: Of one step, shape `(slice, 1, heads)`.
        pop: The same.
        read: The reads of one step, shape `(slice, reads)`.
        value: Backward only: the values, in the shape of `actions`; zeros at first.
    """

    x: Array
    actions: Array
    output: Array
    reads: Array
    sums: Array
    push: Array
    pop: Array
    read: Array
    value: Array


class Told(NamedTuple):
    """What is told of the batch or, in backward, the gradients of that; an array is empty if nobody asks for it.

    Attributes:
        output: What the network puts out.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, reads)`.
        reads: Shape `(batch, time, reads)`.
    """

    output: Strided
    push: Array
    pop: Array
    value: Array
    reads: Array


class Grads(NamedTuple):
    """Gradients of the weights of a slice, which are added to, and of its inputs.

    Attributes:
        x: Of the inputs of the batch; an empty array if nobody asks for it.
        recurrent: From a place to the sums, shape `(sums, wide + wide_reads)`.
        entry: From the input to the sums, shape `(entered, wide_inputs)`.
        action: From the output to values and signals, shape `(wide_reads + wide_signals, wide)`.
        value: From the input to the values, shape `(wide_reads, wide_inputs)`.
        read: From the read to the output, shape `(wide, wide_reads)`.
        bias: Of the sums.
        action_bias: Of values and signals.
        fresh_place: Of the place with which a row begins afresh.
        fresh_kept: Of the state beside the output with which it does.
    """

    x: Strided
    recurrent: Array
    entry: Array
    action: Array
    value: Array
    read: Array
    bias: Array
    action_bias: Array
    fresh_place: Array
    fresh_kept: Array
