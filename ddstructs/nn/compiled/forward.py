"""The forward pass of all steps of a network, for a slice of the batch.

Terms that do not depend on the step before are computed for a block of steps at once, while it is in the cache: those
of the input in the sums, the values and the signals, and those of the reads in the output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ddstructs.nn.compiled.arrays import Border, Record, Scratch, SliceInputs, Weights
from ddstructs.nn.compiled.cells import activate
from ddstructs.nn.compiled.line import run_step, skip_steps
from ddstructs.nn.compiled.sizes import Shape
from ddstructs.ops.activations import sigmoid, tanh
from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine import Array
from ddstructs.ops.products import blank, copy, product
from ddstructs.ops.vectors import lanes, load, store

__all__ = ["forward"]


@compiled()
def forward(
    cell: Any, keep_gates: bool, memory: Any, shape: Shape, weights: Weights, slice_inputs: SliceInputs, border: Border,
    scratch: Scratch, places: Array, signals: Array, record: Record,
) -> None:  # fmt: skip
    """Run all steps.

    Args:
        cell: The cell with its arrays.
        keep_gates: Whether to store the gates of all rows, rather than those of one block.
        memory: The memory before the first step.
        shape: Sizes.
        weights: The weights.
        slice_inputs: The inputs.
        border: The state before the first step, and after the last.
        scratch: Buffers for a block.
        places: The places; written.
        signals: Push and pop of each row before they are rounded, shape `(rows, padded_signals)`; written.
        record: The results to record; written.
    """
    time, inputs, hidden, reads, heads = shape.time, shape.inputs, shape.hidden, shape.reads, shape.heads
    padded_inputs, padded_hidden = shape.padded_inputs, shape.padded_hidden
    padded_reads, padded_signals = shape.padded_reads, shape.padded_signals
    input_sums, sums = shape.input_sums, shape.sums
    panels, parts, (to_sums, to_action, to_skip, to_output, to_layer, bias, action_bias, layer_bias, _, _) = weights
    (x, x_rows, x_steps), blocks, rows, lengths, reset, reads_noise, state_noise, signals_noise, hard, padded = (
        slice_inputs
    )
    (out, out_rows, out_steps), all_push, all_pop, all_value, all_reads = record
    border_place, border_state, fresh_place, fresh_state = border
    block, actions, output, push_now, pop_now = scratch.x, scratch.actions, scratch.output, scratch.push, scratch.pop
    place, gates, state = shape.place_stride, cell.gates, cell.state
    skipped, padded_action = shape.skip_columns, padded_reads + padded_signals
    has_state, step = len(cell.state) > 0, lanes(places)
    for n in range(len(blocks)):
        first, last, count, row, at, restart = blocks[n]
        size = (last - first) * count
        gate = row * sums if keep_gates else 0
        if restart:
            for i in range(count):
                reset_now = len(reset) > 0 and reset[rows[i], first]
                if reset_now:
                    copy(fresh_place, 0, places, (at + i) * place, place)
                else:
                    copy(border_place, i * place, places, (at + i) * place, place)
                if has_state and reset_now:
                    copy(fresh_state, 0, state, (at + i) * padded_hidden, padded_hidden)
                elif has_state:
                    copy(border_state, i * padded_hidden, state, (at + i) * padded_hidden, padded_hidden)
        for t in range(first, last):
            for i in range(count):
                copy(x, x_rows[rows[i]] + x_steps[t], block, ((t - first) * count + i) * padded_inputs, inputs)
        product(
            size, input_sums, padded_inputs, block, 0, padded_inputs, panels, to_sums, gates, gate, sums, panels, bias,
            0,
        )  # fmt: skip
        for i in range(size if input_sums < sums else 0):
            copy(panels, bias + input_sums, gates, gate + i * sums + input_sums, sums - input_sums)
        if skipped:
            product(
                size, skipped, padded_inputs, block, 0, padded_inputs, panels, to_skip, actions, 0, padded_action,
                panels, action_bias, 0,
            )  # fmt: skip
        for i in range(size if skipped < padded_action else 0):
            copy(panels, action_bias + skipped, actions, i * padded_action + skipped, padded_action - skipped)
        for t in range(first, last):
            now = (t - first) * count  # the first row of the step, from the first of the block
            before, after = at + now, at + now + count
            for k in range(len(parts)):
                column, columns, source, inner, panel = parts[k]
                product(
                    count, columns, inner, places, before * place + source, place, panels, panel, gates,
                    gate + now * sums + column, sums, gates, gate + now * sums + column, sums,
                )  # fmt: skip
            for i in range(count):
                activate(
                    cell, (row if keep_gates else 0) + now + i, before + i, after + i, padded_hidden, places,
                    (before + i) * place, (after + i) * place,
                )  # fmt: skip
                if hidden < padded_hidden:
                    blank(places, (after + i) * place + hidden, padded_hidden - hidden)
                if len(state_noise):
                    for j in range(hidden):
                        state[(after + i) * padded_hidden + j] += state_noise[t, rows[i], j]
            if to_layer >= 0:
                product(
                    count, padded_hidden, sums, gates, gate + now * sums, sums, panels, to_layer, places, after * place,
                    place, panels, layer_bias, 0,
                )  # fmt: skip
                for i in range(count):
                    for j in range((after + i) * place, (after + i) * place + padded_hidden, step):
                        store(places, j, tanh(load(places, j)))
            action = now * padded_action
            product(
                count, padded_action, padded_hidden, places, after * place, place, panels, to_action, actions, action,
                padded_action, actions, action, padded_action,
            )  # fmt: skip
            for i in range(count):
                value = action + i * padded_action
                for j in range(0, padded_reads, step):
                    store(actions, value + j, tanh(load(actions, value + j)))
                if len(signals_noise):
                    for j in range(2 * heads):
                        actions[value + padded_reads + j] += signals_noise[t, rows[i], j]
                signal = (row + now + i) * padded_signals
                for j in range(0, padded_signals, step):
                    store(signals, signal + j, sigmoid(load(actions, value + padded_reads + j)))
                for h in range(heads):
                    push, pop = signals[signal + h], signals[signal + heads + h]
                    if hard:
                        push, pop = rounded(push), rounded(pop)
                    push_now[i * heads + h], pop_now[i * heads + h] = push, pop
                    if len(all_push):
                        all_push[rows[i], t, h], all_pop[rows[i], t, h] = push, pop
                if len(reset) and reset[rows[i], t]:
                    for h in range(heads):  # the first pop of each line empties it
                        pop_now[i * heads + h] = np.inf
                if len(all_value):
                    for j in range(reads):
                        all_value[rows[i], t, j] = actions[value + j]
            run_step(
                memory, t, rows[:count], push_now, pop_now, actions, action, padded_action, places,
                after * place + padded_hidden, place,
            )  # fmt: skip
            for i in range(count):
                to = (after + i) * place + padded_hidden
                if len(reads_noise):
                    for j in range(reads):
                        places[to + j] += reads_noise[t, rows[i], j]
                if reads < padded_reads:
                    blank(places, to + reads, padded_reads - reads)
                if len(all_reads):
                    for j in range(reads):
                        all_reads[rows[i], t, j] = places[to + j]
        source, stride, origin = places, place, (at + count) * place
        if to_output >= 0:
            product(
                size, padded_hidden, padded_reads, places, origin + padded_hidden, place, panels, to_output, output, 0,
                padded_hidden, places, origin, place,
            )  # fmt: skip
            source, stride, origin = output, padded_hidden, 0
        for t in range(first, last):
            for i in range(count):
                from_ = origin + ((t - first) * count + i) * stride
                copy(source, from_, out, out_rows[rows[i]] + out_steps[t], hidden)
        if n + 1 == len(blocks) or blocks[n + 1, 5]:
            end = at + size
            for i in range(count):
                copy(places, (end + i) * place, border_place, i * place, place)
                if has_state:
                    copy(state, (end + i) * padded_hidden, border_state, i * padded_hidden, padded_hidden)
    for i in range(len(rows)):
        b = rows[i]
        for t in range(lengths[i], time if padded else 0):
            blank(out, out_rows[b] + out_steps[t], hidden)
            if len(all_push):
                all_push[b, t], all_pop[b, t] = 0, 0
            if len(all_value):
                all_value[b, t] = 0
            if len(all_reads):
                for j in range(reads):
                    all_reads[b, t, j] = border_place[i * place + padded_hidden + j]
        skip_steps(memory, b, lengths[i], time)


@compiled(inline=True)
def rounded(signal: float) -> float:
    """1 if the signal is at least 0.5, else 0; NaN propagates."""
    return signal - signal + (signal >= 0.5)
