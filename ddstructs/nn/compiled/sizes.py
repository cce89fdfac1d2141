"""The sizes of a network and of a batch, and the layout of the weights, in the compiled loop.

Vectors are padded with zeros to whole machine vectors; `Shape` has their padded (`padded_...`) and unpadded sizes. A
*row* is one step of one row of the batch. The rows of a block are consecutive, step by step. A *place* holds the output
and the read of a row side by side: `padded_hidden + padded_reads` numbers, and unused ones up to `place_stride`. The
places before a step are followed by the places after it, which are those before the next step.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Layout", "Shape"]


class Shape(NamedTuple):
    """Sizes of a network and of a batch.

    Attributes:
        time: Number of steps.
        batch: Number of rows.
        inputs: Size of one input.
        hidden: Size of the cell's output.
        reads: Size of the reads of all heads.
        heads: Number of heads.
        padded_inputs: `inputs`, padded.
        padded_hidden: `hidden`, padded.
        padded_reads: `reads`, padded.
        padded_signals: A push and a pop for each head, padded.
        skip_columns: How many of the values and signals, padded, the input feeds; the values come first.
        input_sums: Number of sums that depend on the input; these come first.
        sums: Number of sums of the cell.
        layer: Size of the output, padded, if it has a layer; 0 if it has none.
        padded_state: Size of the cell state, padded; 0 if the output is the only state.
        padded_extra: Size of the cell's other activations, padded; 0 if there are none.
        place_stride: Distance between two places, at least `padded_hidden + padded_reads`.
        sums_stride: Distance between the gradients of the sums of two rows, at least `sums`. Both are odd numbers of
            machine vectors: with a power of two all rows would share a few cache lines.
    """

    time: int
    batch: int
    inputs: int
    hidden: int
    reads: int
    heads: int
    padded_inputs: int
    padded_hidden: int
    padded_reads: int
    padded_signals: int
    skip_columns: int
    input_sums: int
    sums: int
    layer: int
    padded_state: int
    padded_extra: int
    place_stride: int
    sums_stride: int


class Layout(NamedTuple):
    """Offsets of the weights in one array, as panels (`products.pack`), followed by the biases.

    Attributes:
        input: Panels from the input to the sums.
        action: Panels from the output to the values and signals.
        skip: Panels from the input to the values, or to the values and signals; -1 if there are none.
        read: Panels from the read to the output; -1 if there are none.
        layer: Panels from the gates to the output; -1 if there are none.
        bias: Bias of the sums.
        action_bias: Bias of the values and signals.
        layer_bias: Bias of the output, if it has a layer.
        size: Size of the array.
        grads: Size of an array with all gradients of a slice, laid out as `Grads`.
    """

    input: int
    action: int
    skip: int
    read: int
    layer: int
    bias: int
    action_bias: int
    layer_bias: int
    size: int
    grads: int
