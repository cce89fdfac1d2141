"""The arguments of the compiled loop from Python: tensors as addresses, and what all slices of a batch share.

`Spread`, `Weights` and `SliceInputs` are those of `arrays`.
"""

from __future__ import annotations

from typing import NamedTuple

from ddstructs.ops.engine import Array

__all__ = ["Call", "Tensors"]


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
        signals_noise: Noise on the logits of push and pop, shape `(time, batch, 2 * heads)`.
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
    signals_noise: int = 0
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
