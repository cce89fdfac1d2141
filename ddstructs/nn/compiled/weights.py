"""Convert weights from torch to the layout of the compiled loop, and their gradients back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ddstructs.nn.compiled.arrays import Grads, Spread
from ddstructs.nn.compiled.sizes import Layout, Shape
from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine import Array
from ddstructs.ops.pointers import array_at
from ddstructs.ops.products import blank, copy, pack, pack_transposed

__all__ = ["Parameters", "grads_at", "pack_weights", "unpack_grads"]


class Parameters(NamedTuple):
    """Addresses of the parameters of a network or of their gradients, all contiguous; 0 for an absent one.

    Attributes:
        weight_ih: From the input and the read to the sums, shape `(blocks * hidden, inputs + reads)`.
        weight_hh: From the last output to the sums, shape `(blocks * hidden, hidden)`.
        bias_ih: Shape `(blocks * hidden,)`.
        bias_hh: Shape `(blocks * hidden,)`.
        action: From the output to pushes, pops and values, shape `(2 * heads + reads, hidden)`; absent without heads.
        action_bias: Shape `(2 * heads + reads,)`.
        skip: From the input to the values, shape `(reads, inputs)`, or to pushes, pops and values, shape
            `(2 * heads + reads, inputs)`.
        read: From the read to the output, shape `(hidden, reads)`.
        layer: From the gates to the output, shape `(hidden, blocks * hidden)`.
        layer_bias: Shape `(hidden,)`.
    """

    weight_ih: int
    weight_hh: int
    bias_ih: int
    bias_hh: int
    action: int
    action_bias: int
    skip: int
    read: int
    layer: int
    layer_bias: int


@compiled()
def pack_weights(
    shape: Shape, layout: Layout, parts: Array, gates: Array, parameters: Parameters, transposed: bool, panels_at: int,
    like: Array,
) -> None:  # fmt: skip
    """Write the weights as panels, followed by the biases.

    Args:
        shape: Sizes.
        layout: Offset of each matrix.
        parts: As in `Geometry`.
        gates: As in `Geometry`.
        parameters: The parameters.
        transposed: Whether to transpose them, for backward, which does not use biases.
        panels_at: Address of the panels; written.
        like: An empty array of the dtype.
    """
    inputs, hidden, reads = shape.inputs, shape.hidden, shape.reads
    padded_hidden, padded_reads = shape.padded_hidden, shape.padded_reads
    padded_inputs, padded_action, signals = shape.padded_inputs, padded_reads + shape.padded_signals, 2 * shape.heads
    rows, fan = hidden * (1 + np.max(gates)), inputs + reads
    panels = array_at(panels_at, layout.size, like)
    ih, hh = array_at(parameters.weight_ih, rows * fan, like), array_at(parameters.weight_hh, rows * hidden, like)
    ih_bias, hh_bias = array_at(parameters.bias_ih, rows, like), array_at(parameters.bias_hh, rows, like)
    action = array_at(parameters.action, (signals + reads) * hidden, like)
    action_bias = array_at(parameters.action_bias, signals + reads, like)
    own_signals = signals if shape.skip_columns > padded_reads else 0
    skip = array_at(parameters.skip, (own_signals + reads) * inputs, like)
    read = array_at(parameters.read, hidden * reads, like)
    layer, layer_bias = array_at(parameters.layer, hidden * rows, like), array_at(parameters.layer_bias, hidden, like)
    blank(panels, 0, layout.size)
    for part in range(len(parts)):
        column, columns, first, inner, at = parts[part]
        for gate in range(column // padded_hidden, (column + columns) // padded_hidden):
            row, own_ih, own_hh = gate * padded_hidden - column, gates[gate, 0] * hidden, gates[gate, 1] * hidden
            if own_hh >= 0:
                place(hh, own_hh * hidden, hidden, hidden, hidden, panels, at, columns, inner, row, 0, transposed)
            if own_ih >= 0:
                place(
                    ih, own_ih * fan + inputs, fan, hidden, reads, panels, at, columns, inner, row,
                    padded_hidden - first, transposed,
                )  # fmt: skip
    for gate in range(len(gates)):
        own_ih, own_hh = gates[gate, 0] * hidden, gates[gate, 1] * hidden
        if own_ih >= 0:
            place(
                ih, own_ih * fan, fan, hidden, inputs, panels, layout.input, shape.input_sums, padded_inputs,
                gate * padded_hidden, 0, transposed,
            )  # fmt: skip
        for j in range(hidden):
            total = panels.dtype.type(0)
            if own_ih >= 0 and len(ih_bias) > 0:
                total += ih_bias[own_ih + j]
            if own_hh >= 0 and len(hh_bias) > 0:
                total += hh_bias[own_hh + j]
            panels[layout.bias + gate * padded_hidden + j] = total
    rows_of_action = padded_reads + signals if transposed else padded_action  # the inner axis ends with the last signal
    place(
        action, signals * hidden, hidden, reads, hidden, panels, layout.action, rows_of_action, padded_hidden, 0, 0,
        transposed,
    )  # fmt: skip
    place(
        action, 0, hidden, signals, hidden, panels, layout.action, rows_of_action, padded_hidden, padded_reads, 0,
        transposed,
    )  # fmt: skip
    copy(action_bias, signals, panels, layout.action_bias, reads)
    copy(action_bias, 0, panels, layout.action_bias + padded_reads, signals)
    if layout.skip >= 0:
        columns = shape.skip_columns
        place(
            skip, own_signals * inputs, inputs, reads, inputs, panels, layout.skip, columns, padded_inputs, 0, 0,
            transposed,
        )  # fmt: skip
        place(
            skip, 0, inputs, own_signals, inputs, panels, layout.skip, columns, padded_inputs, padded_reads, 0,
            transposed,
        )  # fmt: skip
    if layout.layer >= 0:
        for gate in range(len(gates)):
            place(
                layer, gate * hidden, rows, hidden, hidden, panels, layout.layer, padded_hidden, shape.sums, 0,
                gate * padded_hidden, transposed,
            )  # fmt: skip
        copy(layer_bias, 0, panels, layout.layer_bias, len(layer_bias))
    if layout.read >= 0:
        place(read, 0, reads, hidden, reads, panels, layout.read, padded_hidden, padded_reads, 0, 0, transposed)


@compiled()
def place(
    matrix: Array, first: int, stride: int, rows: int, columns: int, panels: Array, at: int, all_rows: int,
    all_columns: int, row: int, column: int, transposed: bool,
) -> None:  # fmt: skip
    """Write a matrix into the panels of a larger one of shape `(all_rows, all_columns)`, at `(row, column)`.

    Forward multiplies by the transposed matrix, whose panels have `all_columns` rows; backward by the matrix itself.
    """
    if transposed:
        pack(matrix, first, stride, rows, columns, panels, at, all_rows, all_columns, row, column)
    else:
        pack_transposed(matrix, first, stride, rows, columns, panels, at, all_columns, all_rows, column, row)


@compiled(inline=True)
def grads_at(shape: Shape, flat: Array, x: Any) -> Grads:
    """The gradients of a slice, stored consecutively in an array of size `Layout.grads`."""
    place, padded_action = shape.place_stride, shape.padded_reads + shape.padded_signals
    a = shape.sums * place
    b = a + shape.input_sums * shape.padded_inputs
    c = b + padded_action * shape.padded_hidden
    d = c + shape.skip_columns * shape.padded_inputs
    e = d + shape.padded_hidden * shape.padded_reads
    f = e + shape.layer * shape.sums
    g = f + shape.sums
    h = g + padded_action
    i = h + shape.layer
    j = i + place
    return Grads(
        x, flat[:a], flat[a:b], flat[b:c], flat[c:d], flat[d:e], flat[e:f], flat[f:g], flat[g:h], flat[h:i], flat[i:j],
        flat[j : j + shape.padded_hidden],
    )  # fmt: skip


@compiled()
def unpack_grads(
    shape: Shape, layout: Layout, gates: Array, summed: int, parameters: Parameters, initial: int, states: int,
    like: Array,
) -> None:  # fmt: skip
    """Write the gradients of the parameters, and of the initial states of the cell.

    Args:
        shape: Sizes.
        layout: Offsets of the weights, with the size of the gradients.
        gates: As in `Geometry`.
        summed: Address of the gradients, summed over all slices.
        parameters: Addresses of the gradients; written where they are not 0.
        initial: Address of the gradient of the initial states, shape `(states, hidden)`; written if it is not 0.
        states: Number of states of the cell.
        like: An empty array of the dtype.
    """
    inputs, hidden, reads = shape.inputs, shape.hidden, shape.reads
    padded_hidden, padded_reads = shape.padded_hidden, shape.padded_reads
    signals, fan, place_stride = 2 * shape.heads, inputs + reads, shape.place_stride
    rows = hidden * (1 + np.max(gates))
    none = Spread(like, gates[0, :0], gates[0, :0])
    grads = grads_at(shape, array_at(summed, layout.grads, like), none)
    _, recurrent, to_sums, to_action, to_skip, to_output, to_layer, bias, action_bias, of_layer, place, state = grads
    ih, hh = array_at(parameters.weight_ih, rows * fan, like), array_at(parameters.weight_hh, rows * hidden, like)
    ih_bias, hh_bias = array_at(parameters.bias_ih, rows, like), array_at(parameters.bias_hh, rows, like)
    for gate in range(len(gates)):
        for j in range(hidden):
            row, own_ih, own_hh = gate * padded_hidden + j, gates[gate, 0] * hidden + j, gates[gate, 1] * hidden + j
            if gates[gate, 0] >= 0 and len(ih):
                copy(to_sums, row * shape.padded_inputs, ih, own_ih * fan, inputs)
                copy(recurrent, row * place_stride + padded_hidden, ih, own_ih * fan + inputs, reads)
            if gates[gate, 0] >= 0 and len(ih_bias):
                ih_bias[own_ih] = bias[row]
            if gates[gate, 1] >= 0 and len(hh):
                copy(recurrent, row * place_stride, hh, own_hh * hidden, hidden)
            if gates[gate, 1] >= 0 and len(hh_bias):
                hh_bias[own_hh] = bias[row]
    action = array_at(parameters.action, (signals + reads) * hidden, like)
    logits = array_at(parameters.action_bias, signals + reads, like)
    own_signals = signals if shape.skip_columns > padded_reads else 0
    skip = array_at(parameters.skip, (own_signals + reads) * inputs, like)
    read = array_at(parameters.read, hidden * reads, like)
    layer, layer_bias = array_at(parameters.layer, hidden * rows, like), array_at(parameters.layer_bias, hidden, like)
    for j in range(reads if len(action) else 0):
        copy(to_action, j * padded_hidden, action, (signals + j) * hidden, hidden)
    for j in range(signals if len(action) else 0):
        copy(to_action, (padded_reads + j) * padded_hidden, action, j * hidden, hidden)
    if len(logits):
        copy(action_bias, padded_reads, logits, 0, signals)
        copy(action_bias, 0, logits, signals, reads)
    for j in range(reads if len(skip) else 0):
        copy(to_skip, j * shape.padded_inputs, skip, (own_signals + j) * inputs, inputs)
    for j in range(own_signals if len(skip) else 0):
        copy(to_skip, (padded_reads + j) * shape.padded_inputs, skip, j * inputs, inputs)
    for j in range(hidden if len(layer) else 0):
        for gate in range(len(gates)):
            copy(to_layer, j * shape.sums + gate * padded_hidden, layer, j * rows + gate * hidden, hidden)
    copy(of_layer, 0, layer_bias, 0, len(layer_bias))
    for j in range(hidden if len(read) else 0):
        copy(to_output, j * padded_reads, read, j * reads, reads)
    first = array_at(initial, states * hidden, like)
    if len(first):
        copy(place, 0, first, 0, hidden)
        if states > 1:
            copy(state, 0, first, hidden, hidden)
