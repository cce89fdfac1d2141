"""The forward pass of all steps of a network in Triton, with one program for each row of the batch.

A *place* holds the output of a step and its reads, which are the input of the next step besides x. What depends on x
alone is computed beforehand by large products. Several warps share a row, so a barrier separates each write to memory
from reads by other lanes, and nothing is overwritten before a barrier that follows the last read of it.
"""

# Triton interprets annotations and supports only constexpr, and it has no conditional expressions on tensors.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

from ddstructs.nn.cuda.activations import sigmoid, tanh
from ddstructs.nn.cuda.cells import activate
from ddstructs.nn.cuda.products import hold, product
from ddstructs.ops.triton import step_forward

__all__ = ["forward_rows", "kernel"]

# So that no length, batch or state compiles a kernel anew. The fields of a line are parts of two tensors.
kernel: Callable[[Callable[..., Any]], Any] = triton.jit(
    do_not_specialize=("batch", "time", "kept", "slots"),
    do_not_specialize_on_alignment=("strengths", "order", "ends", "dead", "last", "consumed", "cut"),
)


@kernel
def forward_rows(
    gates, recurrent, to_signals, to_value, bias, skip, lengths, reset, reads_noise, state_noise, signals_noise,
    places, states, signals, value, initial, strengths, order, ends, dead, last, consumed, cut,
    sums, action, raw, batch, time, kept, slots, width, hidden, summed,
    cell: tl.constexpr, hard: tl.constexpr, skips: tl.constexpr, resets: tl.constexpr, noisy_reads: tl.constexpr,
    noisy_states: tl.constexpr, noisy_signals: tl.constexpr, alone: tl.constexpr,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, padded: tl.constexpr,
    wide: tl.constexpr, wide_reads: tl.constexpr,
    rows_0: tl.constexpr, columns_0: tl.constexpr, padded_0: tl.constexpr, stride_0: tl.constexpr, held_0: tl.constexpr,
    rows_1: tl.constexpr, columns_1: tl.constexpr, padded_1: tl.constexpr, stride_1: tl.constexpr, held_1: tl.constexpr,
    rows_2: tl.constexpr, columns_2: tl.constexpr, padded_2: tl.constexpr, stride_2: tl.constexpr, held_2: tl.constexpr,
):  # fmt: skip
    """Run all steps of a row.

    Pointers:
        gates: The part of the sums of the gates that comes from x, shape `(batch, time, summed)`; overwritten with the
            gates.
        recurrent: Weights from a place to the sums, tiled as 0.
        to_signals: Weights from the output to the logits of push and pop, tiled as 1.
        to_value: Weights from the output to the value before its tanh, tiled as 2.
        bias: The biases of signals and value.
        skip: A term of the value before its tanh, shape `(batch, time, heads * width)`, if `skips`.
        lengths: Number of steps of each row, shape `(batch,)`.
        reset: Steps before which a row is reset, shape `(batch, time)`, if `resets`.
        reads_noise: Shape `(time, batch, heads * width)`, if `noisy_reads`.
        state_noise: Shape `(time, batch, hidden)`, if `noisy_states`.
        signals_noise: Shape `(time, batch, 2 * heads)`, if `noisy_signals`.
        places: Shape `(batch, kept, hidden + heads * width)`, the first in place 0, and with `resets` the place to
            reset to in place `time + 1`; the others are written.
        states: The cell states, shape `(batch, kept, hidden)`, likewise; unused if the cell has none.
        signals: Push and pop before they are rounded, shape `(batch, time, 2 * heads)`; written.
        value: Shape `(batch, time, heads, width)`; written.
        initial: Initial values of the memory.
        strengths: This and the next are the fields of an `engine.Line`.
        sums: Buffer, shape `(batch, summed)`.
        action: Buffer, shape `(batch, 2 * heads)`.
        raw: Buffer, shape `(batch, heads * width)`, if `noisy_reads`.
    """
    row = tl.program_id(0).to(tl.int64)
    zero = row * 0  # in 64 bits, so that an offset counted from it does not overflow
    lanes, read_lanes = tl.arange(0, wide), tl.arange(0, wide_reads)
    across, signal, item = tl.arange(0, columns_0), tl.arange(0, columns_1), tl.arange(0, columns_2)
    reads = heads * width
    place = hidden + reads
    tiles, steps = row * (slots + time * heads), row * time
    strengths, order, dead, last = strengths + tiles, order + tiles, dead + tiles, last + tiles
    consumed, cut = consumed + steps * heads, cut + steps * heads
    initial, value = initial + row * slots * width, value + steps * reads
    gates, signals, skip = gates + steps * summed, signals + steps * 2 * heads, skip + steps * reads
    places, states = places + row * kept * place, states + row * kept * hidden
    sums, action, raw = sums + row * summed, action + row * 2 * heads, raw + row * reads
    held_weights = hold(recurrent, rows_0, columns_0, held_0)
    held_signals = hold(to_signals, rows_1, columns_1, held_1)
    held_values = hold(to_value, rows_2, columns_2, held_2)
    signal_bias = tl.load(bias + signal, mask=signal < 2 * heads, other=0)
    low, high, deaths = tl.load(ends + row * 3), tl.load(ends + row * 3 + 1), tl.load(ends + row * 3 + 2)
    length = tl.load(lengths + row)
    for t in range(length):
        at = zero + t
        before = at
        emptied = t < 0
        if resets:
            emptied = tl.load(reset + steps + at) != 0
            before = tl.where(emptied, zero + time + 1, at)
        for column in range(0, summed, columns_0):
            known = tl.load(gates + at * summed + column + across, mask=column + across < summed, other=0)
            z = product(
                places + before * place, place, recurrent, held_weights, column,
                rows_0, columns_0, padded_0, stride_0, held_0,
            )  # fmt: skip
            tl.store(sums + column + across, known + z, mask=column + across < summed)
        tl.debug_barrier()
        output, state = activate(
            sums, gates + at * summed, places + before * place, states + before * hidden, hidden, lanes, cell
        )
        if noisy_states:
            state += tl.load(state_noise + (at * batch + row) * hidden + lanes, mask=lanes < hidden, other=0)
        tl.store(places + (at + 1) * place + lanes, output, mask=lanes < hidden)
        if cell == "LSTMCell":
            tl.store(states + (at + 1) * hidden + lanes, state, mask=lanes < hidden)
        tl.debug_barrier()
        now = places + (at + 1) * place
        logits = signal_bias + product(
            now, hidden, to_signals, held_signals, 0, rows_1, columns_1, padded_1, stride_1, held_1
        )
        if noisy_signals:
            random = signals_noise + (at * batch + row) * 2 * heads
            logits += tl.load(random + signal, mask=signal < 2 * heads, other=0)
        soft = sigmoid(logits)
        tl.store(signals + at * 2 * heads + signal, soft, mask=signal < 2 * heads)
        if hard:
            soft = tl.where(soft >= 0.5, 1.0, 0.0) + (soft - soft)  # written so that NaN propagates
        if resets:
            soft = tl.where(emptied & (signal == heads), float("inf"), soft)
        tl.store(action + signal, soft, mask=signal < 2 * heads)
        for column in range(0, reads, columns_2):
            inside = column + item < reads
            known = tl.load(bias + 2 * heads + column + item, mask=inside, other=0)
            if skips:
                known += tl.load(skip + at * reads + column + item, mask=inside, other=0)
            v = product(now, hidden, to_value, held_values, column, rows_2, columns_2, padded_2, stride_2, held_2)
            tl.store(value + at * reads + column + item, tanh(known + v), mask=inside)
        tl.debug_barrier()
        read = now + hidden
        if noisy_reads:
            read = raw
        low, high, deaths = step_forward(
            action, action + heads, initial, value, strengths, order, dead, last, consumed + at * heads,
            cut + at * heads, read, t, low, high, deaths, slots, width, True, alone, heads, pushes, takes, padded,
        )  # fmt: skip
        if noisy_reads:
            noise = tl.load(reads_noise + (at * batch + row) * reads + read_lanes, mask=read_lanes < reads, other=0)
            noise += tl.load(raw + read_lanes, mask=read_lanes < reads, other=0)
            tl.store(now + hidden + read_lanes, noise, mask=read_lanes < reads)
            tl.debug_barrier()
    tl.store(ends + row * 3, low)
    tl.store(ends + row * 3 + 1, high)
    tl.store(ends + row * 3 + 2, deaths)
    final = tl.load(places + (zero + length) * place + hidden + read_lanes, mask=read_lanes < reads, other=0)
    for t in range(length, time):  # in the padding the output is zero, and the last read is repeated
        now = places + (zero + t + 1) * place
        tl.store(now + lanes, tl.zeros_like(lanes).to(final.dtype), mask=lanes < hidden)
        tl.store(now + hidden + read_lanes, final, mask=read_lanes < reads)
