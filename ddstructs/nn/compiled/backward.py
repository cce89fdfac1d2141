r"""The backward pass of all steps of a network, for a slice of the batch.

Where $\bar{x}$ is the gradient of the loss with respect to $x$, a place $p_t = [h_t; r_t]$ holds the output and the
read, $z_t$ are the sums of the cell and $a_t$ the action before its activation $\phi$,

$$ \bar{p}_t \mathrel{+}= W^\top \bar{z}_{t+1} \qquad
   (\bar{d}_t, \bar{u}_t, \bar{v}_t) \mathrel{+}= \mathrm{memory}'(\bar{r}_t) \qquad
   \bar{a}_t = \phi'(a_t) \odot (\bar{d}_t, \bar{u}_t, \bar{v}_t) $$

$$ \bar{z}_t = \mathrm{cell}'(\bar{h}_t + U^\top \bar{a}_t) \qquad
   \bar{W} = \textstyle\sum_t \bar{z}_t p_{t-1}^\top \qquad \bar{U} = \textstyle\sum_t \bar{a}_t h_t^\top $$

Where the gates pass through a layer, its gradient comes in between. The gradients of the weights are accumulated one
block of steps at a time.
"""

from __future__ import annotations

from typing import Any

from ddstructs.nn.compiled.arrays import Grads, Record, Scratch, SliceInputs, Weights
from ddstructs.nn.compiled.cells import slope
from ddstructs.nn.compiled.line import undo_step
from ddstructs.nn.compiled.sizes import Shape
from ddstructs.ops.activations import sigmoid_slope, tanh_slope
from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine import Array
from ddstructs.ops.products import add_rows, blank, copy, gram, product
from ddstructs.ops.vectors import lanes, load, store

__all__ = ["backward"]


@compiled()
def backward(
    cell: Any, memory: Any, shape: Shape, weights: Weights, slice_inputs: SliceInputs, scratch: Scratch, places: Array,
    signals: Array, carry: Array, record: Record, grads: Grads,
) -> None:  # fmt: skip
    """Propagate gradients back through all steps.

    Args:
        cell: The cell with its arrays, with the gradient of its last state in `carry`.
        memory: The memory after the last step; rewound to before the first.
        shape: Sizes.
        weights: The weights, transposed.
        slice_inputs: The inputs.
        scratch: Buffers for a block.
        places: The places.
        signals: Push and pop of each row before they were rounded.
        carry: The gradient of the last places, shape `(slice, place_stride)`; on return that of the first.
        record: The gradients of the recorded results.
        grads: The gradients; written.
    """
    time, inputs, hidden, reads, heads = shape.time, shape.inputs, shape.hidden, shape.reads, shape.heads
    padded_inputs, padded_hidden = shape.padded_inputs, shape.padded_hidden
    padded_reads, padded_signals = shape.padded_reads, shape.padded_signals
    input_sums, sums = shape.input_sums, shape.sums
    panels, parts, (to_sums, to_action, to_skip, to_output, to_layer, _, _, _, _, _) = weights
    (x, x_rows, x_steps), blocks, rows, lengths, reset, _, _, _, _, padded = slice_inputs
    (out, out_rows, out_steps), all_push, all_pop, all_value, all_reads = record
    dx, dx_rows, dx_steps = grads.x
    skipped, padded_action, step = shape.skip_columns, padded_reads + padded_signals, lanes(places)
    place, stride = shape.place_stride, shape.sums_stride
    block, actions, output, reads_grad, dz, layer, values, push_now, pop_now, read = scratch
    action_size = padded_reads + 2 * heads
    has_state = len(cell.state) > 0
    for i in range(len(rows) if len(all_reads) > 0 else 0):  # the last read is repeated in the padding
        for t in range(lengths[i], time):
            for j in range(reads):
                carry[i * place + padded_hidden + j] += all_reads[rows[i], t, j]
    for n in range(len(blocks) - 1, -1, -1):
        first, last, count, row, at, restart = blocks[n]
        size = (last - first) * count
        for t in range(first, last):
            for i in range(count):
                here = (t - first) * count + i
                copy(x, x_rows[rows[i]] + x_steps[t], block, here * padded_inputs, inputs)
                if len(out):
                    copy(out, out_rows[rows[i]] + out_steps[t], output, here * padded_hidden, hidden)
        blank(reads_grad, 0, size * padded_reads)
        if to_output >= 0:
            product(
                size, padded_reads, padded_hidden, output, 0, padded_hidden, panels, to_output, reads_grad, 0,
                padded_reads, reads_grad, 0, padded_reads,
            )  # fmt: skip
        for t in range(last - 1, first - 1, -1):
            now = (t - first) * count
            before, after, action = at + now, at + now + count, now * padded_action
            for i in range(count):
                for j in range(0, padded_hidden, step):
                    from_, to = (now + i) * padded_hidden + j, i * place + j
                    store(carry, to, load(carry, to) + load(output, from_))
                from_, to = i * place + padded_hidden, i * reads
                # May overwrite the start of the next row, which is written later.
                for j in range(0, padded_reads, step):
                    store(read, to + j, load(carry, from_ + j) + load(reads_grad, (now + i) * padded_reads + j))
                if len(all_reads):
                    for j in range(reads):
                        read[to + j] += all_reads[rows[i], t, j]
                blank(carry, from_, padded_reads)
            undo_step(
                memory, t, rows[:count], read, push_now, pop_now, values, actions, action, padded_action
            )  # fmt: skip
            for i in range(count):
                value, signal = action + i * padded_action, (row + now + i) * padded_signals
                if len(all_value):
                    for j in range(reads):
                        actions[value + j] += all_value[rows[i], t, j]
                for j in range(0, padded_reads, step):
                    store(actions, value + j, load(actions, value + j) * tanh_slope(load(values, value + j)))
                for h in range(heads):
                    push_grad, pop_grad = push_now[i * heads + h], pop_now[i * heads + h]
                    if len(all_push):
                        push_grad += all_push[rows[i], t, h]
                    if len(all_pop):
                        pop_grad += all_pop[rows[i], t, h]
                    actions[value + padded_reads + h] = push_grad * sigmoid_slope(signals[signal + h])
                    actions[value + padded_reads + heads + h] = pop_grad * sigmoid_slope(signals[signal + heads + h])
            product(
                count, padded_hidden, action_size, actions, action, padded_action, panels, to_action, carry, 0, place,
                carry, 0, place,
            )  # fmt: skip
            if to_layer >= 0:
                for i in range(count):
                    h, from_, to = (after + i) * place, i * place, (now + i) * padded_hidden
                    for j in range(0, padded_hidden, step):
                        store(layer, to + j, load(carry, from_ + j) * tanh_slope(load(places, h + j)))
                    blank(carry, from_, padded_hidden)
                    blank(dz, (now + i) * stride, sums)
                product(
                    count, sums, padded_hidden, layer, now * padded_hidden, padded_hidden, panels, to_layer, dz,
                    now * stride, stride, dz, now * stride, stride,
                )  # fmt: skip
            for i in range(count):
                to = (now + i) * stride
                slope(
                    cell, row + now + i, before + i, i, padded_hidden, places, (before + i) * place,
                    (after + i) * place, carry, i * place, dz, to,
                )  # fmt: skip
                if hidden < padded_hidden:
                    for j in range(hidden, sums, padded_hidden):
                        blank(dz, to + j, padded_hidden - hidden)
            for k in range(len(parts)):
                column, columns, target, inner, panel = parts[k]
                product(
                    count, inner, columns, dz, now * stride + column, stride, panels, panel, carry, target, place,
                    carry, target, place,
                )  # fmt: skip
        for k in range(len(parts)):
            column, columns, target, inner, _ = parts[k]
            gram(
                size, columns, inner, dz, column, stride, places, at * place + target, place, grads.recurrent,
                column * place + target, place,
            )  # fmt: skip
        gram(size, input_sums, padded_inputs, dz, 0, stride, block, 0, padded_inputs, grads.input, 0, padded_inputs)
        gram(
            size, padded_reads + (2 * heads + 3) // 4 * 4, padded_hidden, actions, 0, padded_action, places,
            (at + count) * place, place, grads.action, 0, padded_hidden,
        )  # fmt: skip
        if skipped:
            gram(
                size, skipped, padded_inputs, actions, 0, padded_action, block, 0, padded_inputs, grads.skip, 0,
                padded_inputs,
            )  # fmt: skip
        if to_layer >= 0:
            gram(size, padded_hidden, sums, layer, 0, padded_hidden, cell.gates, row * sums, sums, grads.layer, 0, sums)
            add_rows(size, padded_hidden, layer, padded_hidden, grads.layer_bias)
        if to_output >= 0:
            gram(
                size, padded_hidden, padded_reads, output, 0, padded_hidden, places,
                (at + count) * place + padded_hidden, place, grads.read, 0, padded_reads,
            )  # fmt: skip
        add_rows(size, sums, dz, stride, grads.bias)
        add_rows(size, padded_action, actions, padded_action, grads.action_bias)
        if len(dx):
            blank(block, 0, size * padded_inputs)
            product(
                size, padded_inputs, input_sums, dz, 0, stride, panels, to_sums, block, 0, padded_inputs, block, 0,
                padded_inputs,
            )  # fmt: skip
            if skipped:
                product(
                    size, padded_inputs, skipped, actions, 0, padded_action, panels, to_skip, block, 0, padded_inputs,
                    block, 0, padded_inputs,
                )  # fmt: skip
            for t in range(first, last):
                for i in range(count):
                    here = ((t - first) * count + i) * padded_inputs
                    copy(block, here, dx, dx_rows[rows[i]] + dx_steps[t], inputs)
                    if inputs < padded_inputs:
                        blank(block, here + inputs, padded_inputs - inputs)
        for i in range(count if restart and len(reset) else 0):
            if reset[rows[i], first]:
                for j in range(place):
                    grads.fresh_place[j] += carry[i * place + j]
                blank(carry, i * place, place)
                if has_state:
                    for j in range(padded_hidden):
                        grads.fresh_state[j] += cell.carry[i * padded_hidden + j]
                    blank(cell.carry, i * padded_hidden, padded_hidden)
    for i in range(len(rows) if len(dx) and padded else 0):
        for t in range(lengths[i], time):
            blank(dx, dx_rows[rows[i]] + dx_steps[t], inputs)
