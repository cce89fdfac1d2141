"""The weights of a network as the compiled loop wants them, and their gradients as torch wants them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ddstructs.nn.compiled.arrays import Grads, Shape, Weights
from ddstructs.nn.compiled.cells import Cell
from ddstructs.ops.engine import Array, Strided
from ddstructs.ops.products import pack
from ddstructs.ops.vectors import BYTES

__all__ = ["Parameters", "empty_grads", "measure", "packed", "unpacked"]


class Parameters(NamedTuple):
    """The parameters of a network, as arrays.

    Attributes:
        weight_ih: From the input and the read to the sums, shape `(blocks * hidden, inputs + reads)`.
        weight_hh: From the last output to the sums, shape `(blocks * hidden, hidden)`.
        bias_ih: Shape `(blocks * hidden,)`, if there is one.
        bias_hh: Shape `(blocks * hidden,)`, if there is one.
        action: From the output to pushes, pops and values, shape `(2 * heads + reads, hidden)`.
        action_bias: Shape `(2 * heads + reads,)`.
        value: From the input to the values, shape `(reads, inputs)`, if there is one.
        read: From the read to the output, shape `(hidden, reads)`, if there is one.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None
    bias_hh: Array | None
    action: Array
    action_bias: Array
    value: Array | None
    read: Array | None


def measure(kind: type[Cell], parameters: Parameters, time: int, inputs: int, heads: int) -> Shape:
    """The sizes of a network."""
    lanes = BYTES // parameters.weight_hh.itemsize

    def filled(count: int) -> int:
        return -(-count // lanes) * lanes

    hidden, reads = parameters.weight_hh.shape[1], parameters.weight_ih.shape[1] - inputs
    wide = filled(hidden)
    entered = sum(block is not None for block in kind.from_input)
    return Shape(
        time, inputs, hidden, reads, heads, filled(inputs), wide, filled(reads), filled(2 * heads), entered * wide,
        len(kind.from_input) * wide,
    )  # fmt: skip


def packed(kind: type[Cell], shape: Shape, parameters: Parameters, *, transposed: bool) -> Weights:
    """The weights in panels, for forward, or transposed for backward."""
    inputs, hidden, reads, wide = shape.inputs, shape.hidden, shape.reads, shape.wide
    signals, dtype = 2 * shape.heads, parameters.weight_hh.dtype
    gates = len(kind.from_input)
    recurrent = np.zeros((gates, wide, wide + shape.wide_reads), dtype)
    entry = np.zeros((shape.entered // wide, wide, shape.wide_inputs), dtype)
    bias, action_bias = np.zeros((gates, wide), dtype), np.zeros(shape.wide_reads + shape.wide_signals, dtype)
    for gate, (ih, hh) in enumerate(zip(kind.from_input, kind.from_output, strict=True)):
        if ih is not None:
            rows = slice(ih * hidden, (ih + 1) * hidden)
            entry[gate, :hidden, :inputs] = parameters.weight_ih[rows, :inputs]
            recurrent[gate, :hidden, wide : wide + reads] = parameters.weight_ih[rows, inputs:]
            if parameters.bias_ih is not None:
                bias[gate, :hidden] += parameters.bias_ih[rows]
        if hh is not None:
            rows = slice(hh * hidden, (hh + 1) * hidden)
            recurrent[gate, :hidden, :hidden] = parameters.weight_hh[rows]
            if parameters.bias_hh is not None:
                bias[gate, :hidden] += parameters.bias_hh[rows]
    action = np.zeros((shape.wide_reads + signals, wide), dtype)
    action[:reads, :hidden], action[shape.wide_reads :, :hidden] = (
        parameters.action[signals:],
        parameters.action[:signals],
    )
    action_bias[:reads] = parameters.action_bias[signals:]
    action_bias[shape.wide_reads : shape.wide_reads + signals] = parameters.action_bias[:signals]
    parts, flat = _blocks(kind, shape), recurrent.reshape(shape.sums, -1)
    matrices = [flat[c : c + columns, k : k + inner] for c, columns, k, inner in parts]
    matrices += [entry.reshape(shape.entered, -1), action]
    matrices += [_filled(m, shape.wide_reads, shape.wide_inputs) for m in (parameters.value,) if m is not None]
    matrices += [_filled(m, wide, shape.wide_reads) for m in (parameters.read,) if m is not None]
    if not transposed:
        matrices = [matrix.T for matrix in matrices]
    lanes = BYTES // dtype.itemsize
    widths = [-(-matrix.shape[1] // lanes) * lanes for matrix in matrices]
    places = np.cumsum([0, *(len(m) * width for m, width in zip(matrices, widths, strict=True))]).tolist()
    panels = np.empty(places[-1], dtype)
    for matrix, width, place in zip(matrices, widths, places, strict=False):
        pack(matrix, width, panels, place)
    blocks = np.array([(*part, place) for part, place in zip(parts, places, strict=False)])
    entry_at, action_at, *others = places[len(parts) : -1]
    value_at = others.pop(0) if parameters.value is not None else -1
    read_at = others.pop(0) if parameters.read is not None else -1
    return Weights(panels, blocks, entry_at, action_at, value_at, read_at, bias.reshape(-1), action_bias)


def empty_grads(shape: Shape, dtype: np.dtype[np.generic], x: Strided) -> Grads:
    """Gradients of zero."""
    place, acted = shape.wide + shape.wide_reads, shape.wide_reads + shape.wide_signals
    sizes = (
        shape.sums * place, shape.entered * shape.wide_inputs, acted * shape.wide, shape.wide_reads * shape.wide_inputs,
        shape.wide * shape.wide_reads, shape.sums, acted, place, shape.wide,
    )  # fmt: skip
    return Grads(x, *(np.zeros(size, dtype) for size in sizes))


def unpacked(kind: type[Cell], shape: Shape, grads: Grads, parameters: Parameters) -> Parameters:
    """The gradients of the parameters."""
    inputs, hidden, reads, wide = shape.inputs, shape.hidden, shape.reads, shape.wide
    signals, gates = 2 * shape.heads, len(kind.from_input)
    recurrent = grads.recurrent.reshape(gates, wide, -1)
    entry, bias = grads.entry.reshape(-1, wide, shape.wide_inputs), grads.bias.reshape(gates, wide)
    weight_ih, weight_hh = np.empty_like(parameters.weight_ih), np.empty_like(parameters.weight_hh)
    bias_ih, bias_hh = (np.empty(len(part), bias.dtype) for part in (weight_ih, weight_hh))
    for gate, (ih, hh) in enumerate(zip(kind.from_input, kind.from_output, strict=True)):
        if ih is not None:
            rows = slice(ih * hidden, (ih + 1) * hidden)
            weight_ih[rows, :inputs] = entry[gate, :hidden, :inputs]
            weight_ih[rows, inputs:] = recurrent[gate, :hidden, wide : wide + reads]
            bias_ih[rows] = bias[gate, :hidden]
        if hh is not None:
            rows = slice(hh * hidden, (hh + 1) * hidden)
            weight_hh[rows] = recurrent[gate, :hidden, :hidden]
            bias_hh[rows] = bias[gate, :hidden]
    last = shape.wide_reads + signals
    action = grads.action.reshape(-1, wide)[:, :hidden]
    action = np.concatenate([action[shape.wide_reads : last], action[:reads]])
    action_bias = np.concatenate([grads.action_bias[shape.wide_reads : last], grads.action_bias[:reads]])
    value, read = grads.value.reshape(-1, shape.wide_inputs), grads.read.reshape(wide, -1)
    return Parameters(
        weight_ih, weight_hh, bias_ih, bias_hh, action, action_bias, value[:reads, :inputs].copy(),
        read[:hidden, :reads].copy(),
    )  # fmt: skip


def _blocks(kind: type[Cell], shape: Shape) -> list[tuple[int, int, int, int]]:
    """Which sums come from which part of a place: first sum, number of sums, first number, count."""
    wide, place, found = shape.wide, shape.wide + shape.wide_reads, list[tuple[int, int, int, int]]()
    for gate, (ih, hh) in enumerate(zip(kind.from_input, kind.from_output, strict=True)):
        start, stop = 0 if hh is not None else wide, place if ih is not None else wide
        if found and found[-1][2:] == (start, stop - start):
            found[-1] = (found[-1][0], found[-1][1] + wide, *found[-1][2:])
        else:
            found.append((gate * wide, wide, start, stop - start))
    return found


def _filled(matrix: Array, rows: int, columns: int) -> Array:
    if matrix.shape == (rows, columns):
        return matrix
    filled = np.zeros((rows, columns), matrix.dtype)
    filled[: matrix.shape[0], : matrix.shape[1]] = matrix
    return filled
