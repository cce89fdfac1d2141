"""The compiled loop by addresses: finds the tensors of a slice, lays out its buffers, and runs all its steps.

Called from Python with little but numbers: converting and passing an array costs as much as a step of a small network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ddstructs.nn.compiled.arrays import (
    Border,
    Call,
    Cut,
    Given,
    Layout,
    Record,
    Ring,
    Shape,
    Spread,
    Tensors,
    Weights,
)
from ddstructs.nn.compiled.backward import backward
from ddstructs.nn.compiled.cells import Cell, holding
from ddstructs.nn.compiled.forward import forward
from ddstructs.nn.compiled.line import Lines
from ddstructs.nn.compiled.weights import grads_at
from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine import Array
from ddstructs.ops.pointers import array_at
from ddstructs.ops.products import blank, copy
from ddstructs.ops.vectors import BYTES

__all__ = ["enter_backward", "enter_forward", "kept_size"]


def kept_size(kind: type[Cell], shape: Shape, cut: Cut, *, lasting: bool) -> int:
    """Size of the buffer that `enter_forward` writes and `enter_backward` reads."""
    places = cut.places * (shape.joint + shape.wide_state)
    return (
        places + cut.total * (shape.wide_signals + shape.wide_extra) + (cut.total if lasting else cut.most) * shape.sums
    )


@compiled(inline=True)
def kept_at(call: Call, shape: Shape, cut: Cut, address: int) -> tuple[Array, Array, Array, Array, Array]:
    """The parts of that buffer: places, signals, and the gates, states and extra of the cell."""
    fed = cut.places * shape.joint
    signals = fed + cut.total * shape.wide_signals
    gates = signals + (cut.total if call.lasting else cut.most) * shape.sums
    states = gates + cut.places * shape.wide_state
    extra = states + cut.total * shape.wide_extra
    flat = array_at(address, extra, call.like)
    return flat[:fed], flat[fed:signals], flat[signals:gates], flat[gates:states], flat[states:extra]


@compiled(inline=True)
def zeros(count: int, like: Array) -> Any:
    """An array of zeros."""
    flat = aligned(count, like)
    blank(flat, 0, count)
    return flat


@compiled(inline=True)
def aligned(count: int, like: Array) -> Any:
    """An array that begins where a vector does in memory."""
    flat = np.empty(count + BYTES // like.itemsize, like.dtype)
    first = (-flat.ctypes.data % BYTES) // like.itemsize
    return flat[first : first + count]


@compiled(inline=True)
def ring_of(shape: Shape, cut: Cut, like: Array, back: bool) -> Ring:
    """The buffers for a block of steps."""
    most, acted, rows = cut.most, shape.wide_reads + shape.wide_signals, len(cut.rows)
    later = most if back else 0
    return Ring(
        zeros(most * shape.wide_inputs, like), zeros(most * acted, like), zeros(most * shape.wide, like),
        aligned(later * shape.wide_reads, like), aligned(later * shape.apart, like), zeros(later * acted, like),
        zeros(rows * shape.heads, like), zeros(rows * shape.heads, like),
        zeros(rows * shape.reads + shape.wide_reads, like),
    )  # fmt: skip


@compiled(inline=True)
def lines_of(call: Call, shape: Shape, cut: Cut) -> Lines:
    """The memory, with buffers for one of its lines in one step."""
    rows, like = len(cut.rows), call.like
    heads = rows * shape.heads
    return Lines(
        shape.batch, call.width, shape.heads, call.pushes, call.takes, call.table, zeros(heads, like),
        zeros(heads, like), zeros(heads * call.width, like), call.integers,
    )  # fmt: skip


@compiled(inline=True)
def record_of(call: Call, shape: Shape, tensors: Tensors) -> Record:
    """What is recorded, or its gradients."""
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
    """The numbers of a `Spread`."""
    count = rows[len(rows) - 1] + steps[len(steps) - 1] + size if len(rows) else 0
    return array_at(address, count, like)


@compiled(inline=True)
def given_of(call: Call, shape: Shape, cut: Cut, tensors: Tensors) -> Given:
    """The inputs of a slice."""
    like = call.like
    time = shape.time if tensors.reads_noise else 0
    reads_noise = array_at(tensors.reads_noise, shape.time * shape.batch * shape.reads, like)
    state_noise = array_at(tensors.state_noise, shape.time * shape.batch * shape.hidden, like)
    return Given(
        Spread(extent(tensors.x, call.x_rows, call.x_steps, shape.inputs, like), call.x_rows, call.x_steps),
        cut.blocks, cut.rows, cut.lengths, call.reset,
        reads_noise.reshape(time, shape.batch, shape.reads),
        state_noise.reshape(shape.time if tensors.state_noise else 0, shape.batch, shape.hidden), call.hard,
        call.padded,
    )  # fmt: skip


@compiled()
def enter_forward(cell: Any, shape: Shape, layout: Layout, call: Call, cut: Cut, tensors: Tensors, buffer: int) -> None:
    """Take all steps of a slice.

    Args:
        cell: A cell without arrays, for its type.
        shape: Sizes.
        layout: Where the weights lie.
        call: What all slices have in common.
        cut: The slice.
        tensors: The tensors of the batch.
        buffer: Address of a buffer of `kept_size`; written, for backward.
    """
    like, rows, hidden, reads = call.like, cut.rows, shape.hidden, shape.reads
    wide, joint = shape.wide, shape.joint
    fed, signals, gates, kept, extra = kept_at(call, shape, cut, buffer)
    states = 2 if shape.wide_state else 1
    initial = array_at(tensors.initial, states * hidden, like)
    first_read = array_at(tensors.first_read, shape.batch * reads, like)
    first_output = array_at(tensors.first_output, shape.batch * hidden, like)
    first_state = array_at(tensors.first_state, shape.batch * hidden, like)
    border = Border(
        zeros(len(rows) * joint, like), zeros(len(rows) * shape.wide_state, like), zeros(joint, like), zeros(wide, like)
    )  # fmt: skip
    if len(initial):
        copy(initial, 0, border.fresh_place, 0, hidden)
        if states > 1:
            copy(initial, hidden, border.fresh_kept, 0, hidden)
    for i in range(len(rows)):
        if len(first_output):
            copy(first_output, rows[i] * hidden, border.place, i * joint, hidden)
        else:
            copy(border.fresh_place, 0, border.place, i * joint, hidden)
        if len(first_read):
            copy(first_read, rows[i] * reads, border.place, i * joint + wide, reads)
        if len(first_state):
            copy(first_state, rows[i] * hidden, border.kept, i * wide, hidden)
        elif states > 1:
            copy(border.fresh_kept, 0, border.kept, i * wide, hidden)
    forward(
        holding(cell, gates, kept, extra, like), call.lasting, lines_of(call, shape, cut), shape,
        Weights(array_at(call.panels, layout.size, like), call.parts, layout), given_of(call, shape, cut, tensors),
        border, ring_of(shape, cut, like, False), fed, signals, record_of(call, shape, tensors),
    )  # fmt: skip
    last_read = array_at(tensors.last_read, shape.batch * reads, like)
    last_output = array_at(tensors.last_output, shape.batch * hidden, like)
    last_state = array_at(tensors.last_state, shape.batch * hidden, like)
    for i in range(len(rows)):
        copy(border.place, i * joint, last_output, rows[i] * hidden, hidden)
        copy(border.place, i * joint + wide, last_read, rows[i] * reads, reads)
        if states > 1:
            copy(border.kept, i * wide, last_state, rows[i] * hidden, hidden)


@compiled()
def enter_backward(
    cell: Any, shape: Shape, layout: Layout, call: Call, cut: Cut, tensors: Tensors, buffer: int, summed: int
) -> None:
    """Carry gradients back through all steps of a slice.

    Args:
        cell: A cell without arrays, for its type.
        shape: Sizes.
        layout: Where the transposed weights lie.
        call: What all slices have in common.
        cut: The slice.
        tensors: The gradients.
        buffer: Address of the buffer that forward wrote.
        summed: Address of the gradients of the weights, of size `Layout.grads`; written.
    """
    like, rows, hidden, reads = call.like, cut.rows, shape.hidden, shape.reads
    wide, joint = shape.wide, shape.joint
    fed, signals, gates, kept, extra = kept_at(call, shape, cut, buffer)
    has_state = shape.wide_state > 0
    last_read = array_at(tensors.last_read, shape.batch * reads, like)
    last_output = array_at(tensors.last_output, shape.batch * hidden, like)
    last_state = array_at(tensors.last_state, shape.batch * hidden, like)
    carry, state_carry = zeros(len(rows) * joint, like), zeros(len(rows) * shape.wide_state, like)
    for i in range(len(rows)):
        if len(last_output):
            copy(last_output, rows[i] * hidden, carry, i * joint, hidden)
        if len(last_read):
            copy(last_read, rows[i] * reads, carry, i * joint + wide, reads)
        if has_state and len(last_state):
            copy(last_state, rows[i] * hidden, state_carry, i * wide, hidden)
    flat = array_at(summed, layout.grads, like)
    blank(flat, 0, layout.grads)
    x_grad = Spread(
        extent(tensors.x_grad, call.grad_rows, call.grad_steps, shape.inputs, like), call.grad_rows, call.grad_steps
    )
    grads = grads_at(shape, flat, x_grad)
    backward(
        holding(cell, gates, kept, extra, state_carry), lines_of(call, shape, cut), shape,
        Weights(array_at(call.panels, layout.size, like), call.parts, layout), given_of(call, shape, cut, tensors),
        ring_of(shape, cut, like, True), fed, signals, carry, record_of(call, shape, tensors), grads,
    )  # fmt: skip
    first_read = array_at(tensors.first_read, shape.batch * reads, like)
    first_output = array_at(tensors.first_output, shape.batch * hidden, like)
    first_state = array_at(tensors.first_state, shape.batch * hidden, like)
    for i in range(len(rows)):
        if len(first_read):
            copy(carry, i * joint + wide, first_read, rows[i] * reads, reads)
        if len(first_output):
            copy(carry, i * joint, first_output, rows[i] * hidden, hidden)
            if has_state:
                copy(state_carry, i * wide, first_state, rows[i] * hidden, hidden)
        else:  # the slice began with the first states of the cell
            for j in range(hidden):
                grads.fresh_place[j] += carry[i * joint + j]
                if has_state:
                    grads.fresh_kept[j] += state_carry[i * wide + j]
