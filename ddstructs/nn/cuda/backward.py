"""The backward pass of all steps of a network in Triton: the equations of `nn.compiled.backward`, one program a row.

The kernel stores the gradients of all sums; those of the weights are large products afterwards.
"""

# Triton interprets annotations and supports only constexpr, and it has no conditional expressions on tensors.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import triton.language as tl

from ddstructs.nn.cuda.cells import recall, slope
from ddstructs.nn.cuda.forward import kernel
from ddstructs.nn.cuda.products import hold, product
from ddstructs.ops.triton import step_backward
from ddstructs.ops.walks import compiled

__all__ = ["backward_rows"]


@compiled
def known(places_grad, at, place, hidden, lanes, read_lanes, inside, within):
    """The gradients of the output and the reads of a step from what comes after the network; zero before the first."""
    output = tl.load(places_grad + at * place + lanes, mask=inside & (lanes * 0 + at >= 0), other=0)
    read = places_grad + at * place + hidden + read_lanes
    return output, tl.load(read, mask=within & (read_lanes * 0 + at >= 0), other=0)


@kernel
def backward_rows(
    gates, recurrent, to_signals, to_value, lengths, reset, places, states, signals, value,
    initial, strengths, order, ends, dead, last, consumed, cut,
    places_grad, signals_grad, state_grad, values_grad, strengths_grad, sums_grad, actions_grad, carry, first_grad,
    first_state_grad, fresh_grad, fresh_state_grad, reads_grad, action_grad, output_grad,
    time, kept, slots, width, hidden, summed,
    cell: tl.constexpr, resets: tl.constexpr, recorded: tl.constexpr,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, padded: tl.constexpr,
    wide: tl.constexpr, wide_reads: tl.constexpr,
    rows_0: tl.constexpr, columns_0: tl.constexpr, padded_0: tl.constexpr, stride_0: tl.constexpr, held_0: tl.constexpr,
    rows_1: tl.constexpr, columns_1: tl.constexpr, padded_1: tl.constexpr, stride_1: tl.constexpr, held_1: tl.constexpr,
    rows_2: tl.constexpr, columns_2: tl.constexpr, padded_2: tl.constexpr, stride_2: tl.constexpr, held_2: tl.constexpr,
):  # fmt: skip
    """Propagate gradients back through all steps of a row.

    Pointers:
        gates: This and the other results of `forward_rows` as it left them, the weights transposed.
        places_grad: The gradients of the results of each step, shape `(batch, time, hidden + heads * width)`.
        signals_grad: Those of the signals, shape `(batch, time, 2 * heads)`, if `recorded`.
        state_grad: Gradient of the last cell state, shape `(batch, hidden)`.
        values_grad: Gradients of the values of all tiles after the last step; changed to those before the first.
        strengths_grad: Those of their strengths, likewise.
        sums_grad: Gradients of the sums of the gates, shape `(batch, time, summed)`; written.
        actions_grad: Those of the sums of signals and values, shape `(batch, time, 2 * heads + heads * width)`;
            written.
        carry: Gradient of the last place, shape `(batch, hidden + heads * width)`; overwritten.
        first_grad: Gradient of the first place; written.
        first_state_grad: Gradient of the first cell state; written.
        fresh_grad: Gradient of the output to reset to, shape `(batch, hidden)`; written, if `resets`.
        fresh_state_grad: Gradient of the cell state to reset to, likewise.
        reads_grad: Buffer, shape `(batch, heads * width)`.
        action_grad: Buffer, shape `(batch, 2 * heads)`.
        output_grad: Buffer, shape `(batch, hidden)`.
    """
    row = tl.program_id(0).to(tl.int64)
    zero = row * 0  # in 64 bits, so that an offset counted from it does not overflow
    lanes, read_lanes, signal = tl.arange(0, wide), tl.arange(0, wide_reads), tl.arange(0, rows_1)
    across, below = tl.arange(0, columns_0), tl.arange(0, columns_2)
    inside = lanes < hidden
    reads = heads * width
    within, both = read_lanes < reads, 2 * heads
    place, acted = hidden + reads, both + reads
    tiles, steps = row * (slots + time * heads), row * time
    strengths, order, dead, last = strengths + tiles, order + tiles, dead + tiles, last + tiles
    consumed, cut = consumed + steps * heads, cut + steps * heads
    initial, value = initial + row * slots * width, value + steps * reads
    values_grad, strengths_grad = values_grad + tiles * width, strengths_grad + tiles
    gates, sums_grad, actions_grad = gates + steps * summed, sums_grad + steps * summed, actions_grad + steps * acted
    signals, signals_grad, places_grad = (
        signals + steps * both,
        signals_grad + steps * both,
        places_grad + steps * place,
    )
    places, states = places + row * kept * place, states + row * kept * hidden
    carry, first_grad = carry + row * place, first_grad + row * place
    reads_grad, action_grad = reads_grad + row * reads, action_grad + row * both
    output_grad += row * hidden
    held_weights = hold(recurrent, rows_0, columns_0, held_0)
    held_signals = hold(to_signals, rows_1, columns_1, held_1)
    held_values = hold(to_value, rows_2, columns_2, held_2)
    low, high, deaths = tl.load(ends + row * 3), tl.load(ends + row * 3 + 1), tl.load(ends + row * 3 + 2)
    length = tl.load(lengths + row)
    c_grad = tl.load(state_grad + row * hidden + lanes, mask=inside, other=0)
    direct = tl.zeros_like(c_grad)  # the gradient of the output that does not pass through the weights
    fresh, fresh_state = direct, direct
    cleared = length < 0  # whether the row was reset after this step
    # The gradients of a step are loaded a step before, and all else that a step needs before the memory is rewound.
    h_known, r_known = known(places_grad, zero + length - 1, place, hidden, lanes, read_lanes, inside, within)
    for back in range(length):
        t = length - 1 - back
        at = zero + t
        before = at
        if resets:
            before = tl.where(tl.load(reset + steps + at) != 0, zero + time + 1, at)
        h_grad = tl.where(cleared, 0.0, tl.load(carry + lanes, mask=inside, other=0)) + direct + h_known
        r_grad = tl.where(cleared, 0.0, tl.load(carry + hidden + read_lanes, mask=within, other=0)) + r_known
        h_known, r_known = known(places_grad, at - 1, place, hidden, lanes, read_lanes, inside, within)
        a, b, c, d, state = recall(
            gates + at * summed, places + before * place, states + before * hidden, places + (at + 1) * place, hidden,
            lanes, cell,
        )  # fmt: skip
        v = tl.load(value + at * reads + read_lanes, mask=within, other=0)
        s = tl.load(signals + at * both + signal, mask=signal < both, other=0)
        tl.store(reads_grad + read_lanes, r_grad, mask=within)
        tl.debug_barrier()
        low, high, deaths = step_backward(
            initial, value, strengths, order, dead, last, consumed + at * heads, cut + at * heads, reads_grad,
            values_grad, strengths_grad, action_grad, action_grad + heads, t, low, high, deaths, slots, width,
            heads, pushes, takes, padded,
        )  # fmt: skip
        v_grad = tl.load(values_grad + (slots + at * heads) * width + read_lanes, mask=within, other=0)
        tl.store(actions_grad + at * acted + both + read_lanes, v_grad * (1.0 - v * v), mask=within)
        s_grad = tl.load(action_grad + signal, mask=signal < both, other=0)
        if recorded:
            s_grad += tl.load(signals_grad + at * both + signal, mask=signal < both, other=0)
        tl.store(actions_grad + at * acted + signal, s_grad * s * (1.0 - s), mask=signal < both)
        tl.debug_barrier()
        now = actions_grad + at * acted
        for column in range(0, hidden, columns_2):
            from_action = product(
                now + both, reads, to_value, held_values, column, rows_2, columns_2, padded_2, stride_2, held_2
            )
            from_action += product(
                now, both, to_signals, held_signals, column, rows_1, columns_1, padded_1, stride_1, held_1
            )
            tl.store(output_grad + column + below, from_action, mask=column + below < hidden)
        tl.debug_barrier()
        h_grad += tl.load(output_grad + lanes, mask=inside, other=0)
        direct, c_grad = slope(a, b, c, d, state, h_grad, c_grad, sums_grad + at * summed, hidden, lanes, cell)
        tl.debug_barrier()
        for column in range(0, place, columns_0):
            p_grad = product(
                sums_grad + at * summed, summed, recurrent, held_weights, column,
                rows_0, columns_0, padded_0, stride_0, held_0,
            )  # fmt: skip
            tl.store(carry + column + across, p_grad, mask=column + across < place)
        tl.debug_barrier()
        if resets:
            cleared = tl.load(reset + steps + at) != 0
            h_grad = tl.load(carry + lanes, mask=inside, other=0) + direct
            fresh = tl.where(cleared, fresh + h_grad, fresh)
            fresh_state = tl.where(cleared, fresh_state + c_grad, fresh_state)
            direct, c_grad = tl.where(cleared, 0.0, direct), tl.where(cleared, 0.0, c_grad)
    h_grad = tl.where(cleared, 0.0, tl.load(carry + lanes, mask=inside, other=0)) + direct
    r_grad = tl.where(cleared, 0.0, tl.load(carry + hidden + read_lanes, mask=within, other=0))
    tl.store(first_grad + lanes, h_grad, mask=inside)
    tl.store(first_grad + hidden + read_lanes, r_grad, mask=within)
    tl.store(first_state_grad + row * hidden + lanes, c_grad, mask=inside)
    if resets:
        tl.store(fresh_grad + row * hidden + lanes, fresh, mask=inside)
        tl.store(fresh_state_grad + row * hidden + lanes, fresh_state, mask=inside)
