"""The entry points of the compiled loop: locate the tensors of a slice, allocate its buffers, and run all its steps.

Tensors are passed as addresses: converting and passing an array costs as much as a step of a small network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ddstructs.nn.compiled.arrays import Border, Cut, Record, Scratch, SliceInputs, Spread, Weights
from ddstructs.nn.compiled.backward import backward
from ddstructs.nn.compiled.call import Call, Tensors
from ddstructs.nn.compiled.cells import Cell, with_arrays
from ddstructs.nn.compiled.forward import forward
from ddstructs.nn.compiled.line import Lines
from ddstructs.nn.compiled.sizes import Layout, Shape
from ddstructs.nn.compiled.weights import grads_at
from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine import Array
from ddstructs.ops.pointers import array_at
from ddstructs.ops.products import blank, copy
from ddstructs.ops.vectors import BYTES

__all__ = ["buffer_size", "enter_backward", "enter_forward"]


def buffer_size(kind: type[Cell], shape: Shape, cut: Cut, *, keep_gates: bool) -> int:
    """Size of the buffer that `enter_forward` writes and `enter_backward` reads."""
    places = cut.places * (shape.place_stride + shape.padded_state)
    gates = (cut.total if keep_gates else cut.largest_block) * shape.sums
    return places + cut.total * (shape.padded_signals + shape.padded_extra) + gates


@compiled(inline=True)
def buffer_parts(call: Call, shape: Shape, cut: Cut, address: int) -> tuple[Array, Array, Array, Array, Array]:
    """The parts of the buffer: places, signals, and the gates, cell states and extra activations of the cell."""
    places = cut.places * shape.place_stride
    signals = places + cut.total * shape.padded_signals
    gates = signals + (cut.total if call.keep_gates else cut.largest_block) * shape.sums
    states = gates + cut.places * shape.padded_state
    extra = states + cut.total * shape.padded_extra
    flat = array_at(address, extra, call.like)
    return flat[:places], flat[places:signals], flat[signals:gates], flat[gates:states], flat[states:extra]


@compiled(inline=True)
def zeros(count: int, like: Array) -> Any:
    """An array of zeros."""
    flat = aligned(count, like)
    blank(flat, 0, count)
    return flat


@compiled(inline=True)
def aligned(count: int, like: Array) -> Any:
    """An uninitialised array, aligned to vectors."""
    flat = np.empty(count + BYTES // like.itemsize, like.dtype)
    first = (-flat.ctypes.data % BYTES) // like.itemsize
    return flat[first : first + count]


@compiled(inline=True)
def scratch_of(shape: Shape, cut: Cut, like: Array, for_backward: bool) -> Scratch:
    """The buffers for a block of steps."""
    largest_block, padded_action, rows = cut.largest_block, shape.padded_reads + shape.padded_signals, len(cut.rows)
    backward_rows = largest_block if for_backward else 0
    return Scratch(
        zeros(largest_block * shape.padded_inputs, like), zeros(largest_block * padded_action, like),
        zeros(largest_block * shape.padded_hidden, like), aligned(backward_rows * shape.padded_reads, like),
        aligned(backward_rows * shape.sums_stride, like), aligned(backward_rows * shape.layer, like),
        zeros(backward_rows * padded_action, like),
        zeros(rows * shape.heads, like), zeros(rows * shape.heads, like),
        zeros(rows * shape.reads + shape.padded_reads, like),
    )  # fmt: skip


@compiled(inline=True)
def lines_of(call: Call, shape: Shape, cut: Cut) -> Lines:
    """The memory, with buffers for one step of one line."""
    rows, like = len(cut.rows), call.like
    heads = rows * shape.heads
    return Lines(
        shape.batch, call.width, shape.heads, call.pushes, call.takes, call.table, zeros(heads, like),
        zeros(heads, like), zeros(heads * call.width, like), call.integers,
    )  # fmt: skip


@compiled(inline=True)
def record_of(call: Call, shape: Shape, tensors: Tensors) -> Record:
    """The recorded results, or their gradients."""
    like = call.like
    output = Spread(extent(tensors.output, call.rows, call.steps, shape.hidden, like), call.rows, call.steps)
    return Record(
        output, sequence(tensors.push, shape, shape.heads, like), sequence(tensors.pop, shape, shape.heads, like),
        sequence(tensors.value, shape, shape.reads, like), sequence(tensors.reads, shape, shape.reads, like),
    )  # fmt: skip


@compiled(inline=True)
def sequence(address: int, shape: Shape, size: int, like: Array) -> Any:
    """An array of shape `(batch, time, size)`, or of shape `(0, time, size)` if the address is 0."""
    batch = shape.batch if address else 0
    return array_at(address, batch * shape.time * size, like).reshape(batch, shape.time, size)


@compiled(inline=True)
def extent(address: int, rows: Array, steps: Array, size: int, like: Array) -> Any:
    """The underlying array of a `Spread`."""
    count = rows[len(rows) - 1] + steps[len(steps) - 1] + size if len(rows) else 0
    return array_at(address, count, like)


@compiled(inline=True)
def slice_inputs(call: Call, shape: Shape, cut: Cut, tensors: Tensors) -> SliceInputs:
    """The inputs of a slice."""
    like = call.like
    return SliceInputs(
        Spread(extent(tensors.x, call.x_rows, call.x_steps, shape.inputs, like), call.x_rows, call.x_steps),
        cut.blocks, cut.rows, cut.lengths, call.reset,
        noise_at(tensors.reads_noise, shape, shape.reads, like),
        noise_at(tensors.state_noise, shape, shape.hidden, like),
        noise_at(tensors.signals_noise, shape, 2 * shape.heads, like), call.hard, call.padded,
    )  # fmt: skip


@compiled(inline=True)
def noise_at(address: int, shape: Shape, size: int, like: Array) -> Any:
    """An array of shape `(time, batch, size)`, or of shape `(0, batch, size)` if the address is 0."""
    time = shape.time if address else 0
    return array_at(address, time * shape.batch * size, like).reshape(time, shape.batch, size)


@compiled()
def enter_forward(cell: Any, shape: Shape, layout: Layout, call: Call, cut: Cut, tensors: Tensors, buffer: int) -> None:
    """Run all steps of a slice.

    Args:
        cell: A cell without arrays, for its type.
        shape: Sizes.
        layout: Offsets of the weights.
        call: The data shared by all slices.
        cut: The slice.
        tensors: The tensors of the batch.
        buffer: Address of a buffer of `buffer_size`; written, for backward.
    """
    like, rows, hidden, reads = call.like, cut.rows, shape.hidden, shape.reads
    padded_hidden, place_stride = shape.padded_hidden, shape.place_stride
    places, signals, gates, state, extra = buffer_parts(call, shape, cut, buffer)
    states = 2 if shape.padded_state else 1
    initial = array_at(tensors.initial, states * hidden, like)
    first_read = array_at(tensors.first_read, shape.batch * reads, like)
    first_output = array_at(tensors.first_output, shape.batch * hidden, like)
    first_state = array_at(tensors.first_state, shape.batch * hidden, like)
    border = Border(
        zeros(len(rows) * place_stride, like), zeros(len(rows) * shape.padded_state, like), zeros(place_stride, like),
        zeros(padded_hidden, like),
    )  # fmt: skip
    if len(initial):
        copy(initial, 0, border.fresh_place, 0, hidden)
        if states > 1:
            copy(initial, hidden, border.fresh_state, 0, hidden)
    for i in range(len(rows)):
        if len(first_output):
            copy(first_output, rows[i] * hidden, border.place, i * place_stride, hidden)
        else:
            copy(border.fresh_place, 0, border.place, i * place_stride, hidden)
        if len(first_read):
            copy(first_read, rows[i] * reads, border.place, i * place_stride + padded_hidden, reads)
        if len(first_state):
            copy(first_state, rows[i] * hidden, border.state, i * padded_hidden, hidden)
        elif states > 1:
            copy(border.fresh_state, 0, border.state, i * padded_hidden, hidden)
    forward(
        with_arrays(cell, gates, state, extra, like), call.keep_gates, lines_of(call, shape, cut), shape,
        Weights(array_at(call.panels, layout.size, like), call.parts, layout), slice_inputs(call, shape, cut, tensors),
        border, scratch_of(shape, cut, like, False), places, signals, record_of(call, shape, tensors),
    )  # fmt: skip
    last_read = array_at(tensors.last_read, shape.batch * reads, like)
    last_output = array_at(tensors.last_output, shape.batch * hidden, like)
    last_state = array_at(tensors.last_state, shape.batch * hidden, like)
    for i in range(len(rows)):
        copy(border.place, i * place_stride, last_output, rows[i] * hidden, hidden)
        copy(border.place, i * place_stride + padded_hidden, last_read, rows[i] * reads, reads)
        if states > 1:
            copy(border.state, i * padded_hidden, last_state, rows[i] * hidden, hidden)


@compiled()
def enter_backward(
    cell: Any, shape: Shape, layout: Layout, call: Call, cut: Cut, tensors: Tensors, buffer: int, summed: int
) -> None:
    """Propagate gradients back through all steps of a slice.

    Args:
        cell: A cell without arrays, for its type.
        shape: Sizes.
        layout: Offsets of the transposed weights.
        call: The data shared by all slices.
        cut: The slice.
        tensors: The gradients.
        buffer: Address of the buffer that forward wrote.
        summed: Address of the gradients of the weights, of size `Layout.grads`; written.
    """
    like, rows, hidden, reads = call.like, cut.rows, shape.hidden, shape.reads
    padded_hidden, place_stride = shape.padded_hidden, shape.place_stride
    places, signals, gates, state, extra = buffer_parts(call, shape, cut, buffer)
    has_state = shape.padded_state > 0
    last_read = array_at(tensors.last_read, shape.batch * reads, like)
    last_output = array_at(tensors.last_output, shape.batch * hidden, like)
    last_state = array_at(tensors.last_state, shape.batch * hidden, like)
    carry, state_carry = zeros(len(rows) * place_stride, like), zeros(len(rows) * shape.padded_state, like)
    for i in range(len(rows)):
        if len(last_output):
            copy(last_output, rows[i] * hidden, carry, i * place_stride, hidden)
        if len(last_read):
            copy(last_read, rows[i] * reads, carry, i * place_stride + padded_hidden, reads)
        if has_state and len(last_state):
            copy(last_state, rows[i] * hidden, state_carry, i * padded_hidden, hidden)
    flat = array_at(summed, layout.grads, like)
    blank(flat, 0, layout.grads)
    x_grad = Spread(
        extent(tensors.x_grad, call.grad_rows, call.grad_steps, shape.inputs, like), call.grad_rows, call.grad_steps
    )
    grads = grads_at(shape, flat, x_grad)
    backward(
        with_arrays(cell, gates, state, extra, state_carry), lines_of(call, shape, cut), shape,
        Weights(array_at(call.panels, layout.size, like), call.parts, layout), slice_inputs(call, shape, cut, tensors),
        scratch_of(shape, cut, like, True), places, signals, carry, record_of(call, shape, tensors), grads,
    )  # fmt: skip
    first_read = array_at(tensors.first_read, shape.batch * reads, like)
    first_output = array_at(tensors.first_output, shape.batch * hidden, like)
    first_state = array_at(tensors.first_state, shape.batch * hidden, like)
    for i in range(len(rows)):
        if len(first_read):
            copy(carry, i * place_stride + padded_hidden, first_read, rows[i] * reads, reads)
        if len(first_output):
            copy(carry, i * place_stride, first_output, rows[i] * hidden, hidden)
            if has_state:
                copy(state_carry, i * padded_hidden, first_state, rows[i] * hidden, hidden)
        else:  # the slice started from the initial states
            for j in range(hidden):
                grads.fresh_place[j] += carry[i * place_stride + j]
                if has_state:
                    grads.fresh_state[j] += state_carry[i * padded_hidden + j]
