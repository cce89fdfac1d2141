"""The calls from Python: a step or all steps of a batch, in either direction."""

from __future__ import annotations

import numpy as np

from ddstructs.ops.compiler import compiled
from ddstructs.ops.engine.arrays import Array, Gradients, Heads, Inputs, Line, Strided, room, strided
from ddstructs.ops.engine.backward_walk import rewind
from ddstructs.ops.engine.forward_walk import begin, forward

__all__ = ["scan", "scan_backward", "step", "undo"]


@compiled()
def step(
    time: int, slots: int, pushes: Array, takes: Array, push: Array, pop: Array, values: Array, read: Array,
    *line: Array,
) -> None:  # fmt: skip
    """Run one step.

    The fields of the line are separate arguments: when called from Python, numba needs 1 µs more to unpack a
    NamedTuple, a tenth of the time of a small step.

    Args:
        time: Steps taken before.
        slots: Number of tiles in the initial state.
        pushes: `Heads.pushes`.
        takes: `Heads.takes`.
        push: Shape `(batch, heads)`.
        pop: Shape `(batch, heads)`.
        values: Values of all tiles, including those of this step, shape `(batch, tiles, width)`.
        read: Written, shape `(batch, heads, width)`.
        line: The fields of a `Line`, changed in place.
    """
    (batch, heads), width = push.shape, values.shape[2]
    forward(
        time, time + 1, slots, width, Heads(pushes, takes), np.arange(batch), push.reshape(batch, 1, heads),
        pop.reshape(batch, 1, heads), strided(values, 0), strided(values, slots), Line(*line), read.reshape(-1),
    )  # fmt: skip


@compiled()
def undo(
    time: int, slots: int, pushes: Array, takes: Array, values: Array, read_grad: Array, grad: Array, row: int,
    tile: int, push_grad: Array, pop_grad: Array, *line: Array,
) -> None:  # fmt: skip
    """Undo one step and propagate gradients back through it; the fields of the line are separate, as in `step`.

    Args:
        time: Steps taken before it.
        slots: Number of tiles in the initial state.
        pushes: `Heads.pushes`.
        takes: `Heads.takes`.
        values: Values of all tiles, shape `(batch, tiles, width)`.
        read_grad: Gradient of the read, flat, of shape `(batch, heads, width)`.
        grad: Gradient of the value and, last, of the strength of each tile, flat; changed in place.
        row: Distance in it between two rows of the batch.
        tile: Distance in it between two tiles.
        push_grad: Written, shape `(batch, 1, heads)`.
        pop_grad: Written, shape `(batch, 1, heads)`.
        line: The fields of a `Line`, changed in place.
    """
    width = values.shape[2]
    rewind(
        time, time + 1, slots, width, Heads(pushes, takes), np.arange(len(values)), strided(values, 0),
        strided(values, slots), Line(*line), read_grad,
        Gradients(Strided(grad, row, tile), Strided(grad[width:], row, tile), push_grad, pop_grad),
    )  # fmt: skip


@compiled()
def scan(layout: Heads, inputs: Inputs, strengths: Array, reads: Array) -> None:
    """Run all steps of a batch, one row after another; each row overwrites the log of the one before.

    Args:
        layout: The ends of the heads.
        inputs: The initial state and the actions.
        strengths: Written: strengths of all tiles after the last step, shape `(batch, tiles)`.
        reads: Written, shape `(batch, time, heads, width)`.
    """
    initial, before, push, pop, value = inputs
    (slots, width), time = initial.shape[1:], push.shape[1]
    log, below, only = room(slots, push), time * np.sum(layout.pushes == 0), np.zeros(1, np.int64)
    for b in range(len(push)):
        row = slice(b, b + 1)
        line = Line(strengths[row], log.order, log.ends, log.dead, log.last, log.consumed, log.cut)
        begin(before[row], line, below)
        forward(
            0, time, slots, width, layout, only, push[row], pop[row], strided(initial[row], 0), strided(value[row], 0),
            line, reads[row].reshape(-1),
        )  # fmt: skip


@compiled()
def scan_backward(
    layout: Heads, inputs: Inputs, reads_grad: Array, after_grad: Array, values_grad: Array, strengths_grad: Array,
    push_grad: Array, pop_grad: Array,
) -> None:  # fmt: skip
    """Propagate gradients back through all steps of a batch; each row runs its steps again to write its log.

    Args:
        layout: The ends of the heads.
        inputs: The initial state and the actions.
        reads_grad: Gradient of the reads, shape `(batch, time, heads, width)`.
        after_grad: Gradient of the strengths after the last step, shape `(batch, tiles)`, or `(batch, 0)` if zero.
        values_grad: Written: gradient of the values of all tiles, shape `(batch, tiles, width)`.
        strengths_grad: Written: gradient of the strengths of the initial state.
        push_grad: Written.
        pop_grad: Written.
    """
    initial, before, push, pop, value = inputs
    (slots, width), time = initial.shape[1:], push.shape[1]
    line, below = room(slots, push), time * np.sum(layout.pushes == 0)
    slopes, only = np.empty_like(line.last[0]), np.zeros(1, np.int64)
    for b in range(len(push)):
        row = slice(b, b + 1)
        start, pushed = strided(initial[row], 0), strided(value[row], 0)
        begin(before[row], line, below)
        forward(0, time, slots, width, layout, only, push[row], pop[row], start, pushed, line, pushed.flat[:0])
        values_grad[b] = 0
        slopes[:] = 0
        slopes[: after_grad.shape[1]] = after_grad[b]
        grads = Gradients(strided(values_grad[row], 0), Strided(slopes, len(slopes), 1), push_grad[row], pop_grad[row])
        rewind(0, time, slots, width, layout, only, start, pushed, line, reads_grad[row].reshape(-1), grads)
        strengths_grad[b] = slopes[:slots]
