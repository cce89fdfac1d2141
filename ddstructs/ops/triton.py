"""Whole sequences on CUDA: in `phases`, or, where windows are too long for their logs, one step after another.

The kernels here are those of `engine`, with one program per row and lanes along the width. The functions are documented
there under the same names. A kernel takes pointers, so the fields of `engine.Line` and of the arguments are passed one
by one. Heads are unrolled: the ends at which they push and take are bits of a compile-time constant. A barrier
separates a lane's writes to memory from reads by other lanes.
"""

# Triton interprets annotations and supports only constexpr, and it has no conditional expressions on tensors.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false
# ruff: noqa: SIM108

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from ddstructs.ops import phases
from ddstructs.ops.layout import Inputs
from ddstructs.ops.logs import Log, is_stack
from ddstructs.ops.walks import compiled
from ddstructs.ops.windows import outside

__all__ = ["backward", "constants", "forward", "on", "start", "step_backward", "step_forward"]


@compiled
def window(strengths, order, low, high, top: tl.constexpr):
    kind = strengths.dtype.element_ty
    count, total, rest = low * 0, tl.full((), 0, tl.float64), tl.full((), 0, kind)
    going = low < high
    while going:
        if top:
            tile = tl.load(order + high - 1 - count)
        else:
            tile = tl.load(order + low + count)
        strength = tl.load(strengths + tile)
        missing = 1 - total.to(kind)
        if strength <= missing:
            total += strength.to(tl.float64)
            count += 1
            going = count < high - low
        else:
            if missing > 0:
                rest = missing
                count += 1
            going = count < 0
    return count, rest


@compiled
def look(tile, initial, value, slots, width, lanes):
    """The value of a tile."""
    if tile < slots:
        at = initial + tile.to(tl.int64) * width
    else:
        at = value + (tile - slots).to(tl.int64) * width
    return tl.load(at + lanes, mask=lanes < width, other=0)


@compiled
def add(weight, x, at, width, lanes):
    inside = lanes < width
    tl.store(at + lanes, tl.load(at + lanes, mask=inside, other=0) + weight * x, mask=inside)


@compiled
def step_forward(
    push, pop, initial, value, strengths, order, dead, last, consumed, cut, reads, t, low, high, deaths, slots, width,
    reading: tl.constexpr, alone: tl.constexpr,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """One step of one row; return the ends and the number of deaths after it.

    Pointers are to the row, and to the step in push, pop, consumed, cut and reads. All lanes see what was written. A
    program of several warps (not `alone`) may call it, so no warp reads what another may already have overwritten.
    """
    lanes = tl.arange(0, padded)
    kind = strengths.dtype.element_ty
    first = slots + t * heads
    for h in tl.static_range(heads):
        amount, total = tl.load(pop + h), tl.full((), 0, tl.float64)
        whole, before = low * 0, tl.full((), 0, kind)
        going = low < high
        while going:
            if (takes >> h) & 1:
                tile = tl.load(order + high - 1)
            else:
                tile = tl.load(order + low)
            strength = tl.load(strengths + tile)
            if not alone:
                tl.debug_barrier()
            missing = amount - total.to(kind)
            if strength <= missing:
                total += strength.to(tl.float64)
                tl.store(dead + deaths, tile)
                tl.store(last + deaths, strength)
                tl.store(strengths + tile, 0.0)
                deaths += 1
                whole += 1
                if (takes >> h) & 1:
                    high -= 1
                else:
                    low += 1
                going = low < high
            else:
                if missing <= 0:
                    before = before * 1
                else:  # written so that NaN propagates
                    before = strength
                    tl.store(strengths + tile, strength - missing)
                going = low > high
        tl.store(consumed + h, whole)
        tl.store(cut + h, before)
        tl.debug_barrier()
    for h in tl.static_range(heads):
        strength = tl.load(push + h)
        tl.store(strengths + first + h, strength)
        if strength != 0:
            if (pushes >> h) & 1:
                tl.store(order + high, first + h)
                high += 1
            else:
                low -= 1
                tl.store(order + low, first + h)
    tl.debug_barrier()
    for h in tl.static_range(heads if reading else 0):
        read = tl.zeros((padded,), kind)
        count, rest = window(strengths, order, low, high, (takes >> h) & 1)
        for i in range(count):
            if (takes >> h) & 1:
                tile = tl.load(order + high - 1 - i)
            else:
                tile = tl.load(order + low + i)
            weight = tl.load(strengths + tile)
            if (rest > 0) & (i == count - 1):
                weight = rest
            read += weight * look(tile, initial, value, slots, width, lanes)
        tl.store(reads + h * width + lanes, read, mask=lanes < width)
    tl.debug_barrier()
    return low, high, deaths


@compiled
def step_backward(
    initial, value, strengths, order, dead, last, consumed, cut, reads_grad, values_grad, strengths_grad, push_grad,
    pop_grad, t, low, high, deaths, slots, width,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """Undo one step of one row; return the ends and the number of deaths before it.

    Pointers are to the row, and to the step in consumed, cut and the gradients of reads, push and pop. All lanes see
    what was written. A program of several warps may call it, as `step_forward`.
    """
    lanes = tl.arange(0, padded)
    kind = strengths.dtype.element_ty
    first = slots + t * heads
    for h in tl.static_range(heads):
        g = tl.load(reads_grad + h * width + lanes, mask=lanes < width, other=0)
        count, rest = window(strengths, order, low, high, (takes >> h) & 1)
        edge, beyond = low * 0 - 1, tl.full((), 0, kind)
        if rest > 0:
            count -= 1
            if (takes >> h) & 1:
                edge = tl.load(order + high - 1 - count)
            else:
                edge = tl.load(order + low + count)
            beyond = tl.sum(g * look(edge, initial, value, slots, width, lanes))
            add(rest, g, values_grad + edge.to(tl.int64) * width, width, lanes)
        for i in range(count):
            if (takes >> h) & 1:
                tile = tl.load(order + high - 1 - i)
            else:
                tile = tl.load(order + low + i)
            add(tl.load(strengths + tile), g, values_grad + tile.to(tl.int64) * width, width, lanes)
            slope = tl.sum(g * look(tile, initial, value, slots, width, lanes)) - beyond
            tl.store(strengths_grad + tile, tl.load(strengths_grad + tile) + slope)
        # A tile pushed with zero strength is at a tie in every read of its step.
        for k in tl.static_range(heads):
            if tl.load(strengths + first + k) == 0:
                slope = tl.sum(g * look(first + k, initial, value, slots, width, lanes))
                if (edge >= 0) & outside(k, edge, first, pushes, (takes >> h) & 1, heads):
                    slope -= beyond
                tl.store(strengths_grad + first + k, tl.load(strengths_grad + first + k) + slope)
        tl.debug_barrier()
    for h in tl.static_range(heads - 1, -1, -1):
        tl.store(push_grad + h, tl.load(strengths_grad + first + h))
        if tl.load(strengths + first + h) != 0:
            if (pushes >> h) & 1:
                high -= 1
            else:
                low += 1
    for h in tl.static_range(heads - 1, -1, -1):
        slope, tile, before = tl.full((), 0, kind), low * 0 - 1, tl.load(cut + h)
        if before != 0:
            if (takes >> h) & 1:
                tile = tl.load(order + high - 1)
            else:
                tile = tl.load(order + low)
            slope = tl.load(strengths_grad + tile)
            tl.store(strengths + tile, before)
        tl.store(pop_grad + h, -slope)
        for _ in range(tl.load(consumed + h)):
            deaths -= 1
            revived = tl.load(dead + deaths)
            if (takes >> h) & 1:
                tl.store(order + high, revived)
                high += 1
            else:
                low -= 1
                tl.store(order + low, revived)
            tl.store(strengths + revived, tl.load(last + deaths))
            tl.store(strengths_grad + revived, slope)
        tl.debug_barrier()
        # A tile of zero strength before the step is at a tie in its first pop, and has no effect afterwards.
        if h == 0:
            if t > 0:
                for k in tl.static_range(heads):
                    if tl.load(strengths + first - heads + k) == 0:
                        within = (tile >= 0) & outside(k, tile, first - heads, pushes, (takes >> h) & 1, heads)
                        tl.store(strengths_grad + first - heads + k, tl.where(within, slope, 0))
            else:
                for other in range(slots):
                    if tl.load(strengths + other) == 0:
                        within = (tile >= 0) & ((other > tile) == ((takes >> h) & 1))
                        tl.store(strengths_grad + other, tl.where(within, slope, 0))
            tl.debug_barrier()
    return low, high, deaths


@compiled
def forward_row(
    push, pop, initial, value, strengths, order, ends, dead, last,
    consumed, cut, reads, overflow, time, slots, width,
    reading: tl.constexpr,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    zero = row * 0  # in 64 bits, so that an offset counted from it does not overflow
    tiles, signals = row * (slots + time * heads), row * time * heads
    strengths, order, dead, last = strengths + tiles, order + tiles, dead + tiles, last + tiles
    push, pop, consumed, cut = push + signals, pop + signals, consumed + signals, cut + signals
    initial, value, reads = initial + row * slots * width, value + signals * width, reads + signals * width
    low, high, deaths = tl.load(ends + row * 3), tl.load(ends + row * 3 + 1), tl.load(ends + row * 3 + 2)
    stop = tl.where(tl.load(overflow + row) != 0, time, 0)
    for t in range(stop):
        at = zero + t * heads
        low, high, deaths = step_forward(
            push + at, pop + at, initial, value, strengths, order, dead, last, consumed + at, cut + at,
            reads + at * width, t, low, high, deaths, slots, width, reading, True, heads, pushes, takes, padded,
        )  # fmt: skip
    tl.store(ends + row * 3, low)
    tl.store(ends + row * 3 + 1, high)
    tl.store(ends + row * 3 + 2, deaths)


@compiled
def rewind_row(
    initial, value, strengths, order, ends, dead, last, consumed, cut,
    reads_grad, values_grad, strengths_grad, push_grad, pop_grad, overflow, time, slots, width,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    zero = row * 0  # in 64 bits, so that an offset counted from it does not overflow
    tiles, signals = row * (slots + time * heads), row * time * heads
    strengths, order, dead, last = strengths + tiles, order + tiles, dead + tiles, last + tiles
    consumed, cut, push_grad, pop_grad = consumed + signals, cut + signals, push_grad + signals, pop_grad + signals
    initial, value = initial + row * slots * width, value + signals * width
    reads_grad += signals * width
    values_grad, strengths_grad = values_grad + tiles * width, strengths_grad + tiles
    low, high, deaths = tl.load(ends + row * 3), tl.load(ends + row * 3 + 1), tl.load(ends + row * 3 + 2)
    stop = tl.where(tl.load(overflow + row) != 0, time, 0)
    for back in range(stop):
        t = time - 1 - back
        at = zero + t * heads
        low, high, deaths = step_backward(
            initial, value, strengths, order, dead, last, consumed + at, cut + at, reads_grad + at * width,
            values_grad, strengths_grad, push_grad + at, pop_grad + at, t, low, high, deaths, slots, width,
            heads, pushes, takes, padded,
        )  # fmt: skip


def forward(inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps; see `cpu.forward`."""
    reads = torch.empty_like(inputs.value, memory_format=torch.contiguous_format)
    overflow = torch.zeros(len(reads), device=reads.device, dtype=torch.int32)
    inputs = _contiguous(inputs)
    with on(reads):
        walk, log = phases.walk(inputs, pushes, takes)
        phases.forward(inputs, log, reads, overflow)
        if not is_stack(pushes, takes):
            _run(inputs, pushes, takes, overflow, reads)
        return reads, walk.remaining(log), walk.buffer


def backward(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    inputs: Inputs,
    log: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Propagate gradients back through all steps; see `cpu.backward`.

    Rows with windows too long for the logs of `phases` run again, to write the log of `engine`.
    """
    inputs = _contiguous(inputs)
    initial, _, push, _, value = inputs
    slots, (batch, time, heads, width) = initial.shape[1], value.shape
    with on(value):
        overflow = torch.zeros(batch, device=value.device, dtype=torch.int32)
        reads_grad = torch.zeros_like(value) if reads_grad is None else reads_grad.contiguous()
        after = push.new_zeros(batch, slots + time * heads) if strengths_grad is None else strengths_grad.contiguous()
        found = Log.of(log, inputs, pushes, takes)
        values, before, pushed, popped = phases.backward(inputs, found, reads_grad, after, pushes, takes, overflow)
        if batch and time:
            line, slopes = _run(inputs, pushes, takes, overflow, None), after.clone()
            rewind_row[(batch,)](
                initial, value, *line, reads_grad, values, slopes, pushed, popped, overflow, time, slots, width,
                **constants(pushes, takes, width),
            )  # fmt: skip
            before = torch.where(overflow[:, None] != 0, slopes[:, :slots], before)
    return values, before, pushed, popped


def _contiguous(inputs: Inputs) -> Inputs:
    return Inputs(*(part.contiguous() for part in inputs))


def _run(
    inputs: Inputs, pushes: Sequence[int], takes: Sequence[int], overflow: Tensor, reads: Tensor | None
) -> list[Tensor]:
    """Run the rows that are set in `overflow` one step at a time, and return the fields of an `engine.Line` after it.

    Nothing is read if `reads` is None.
    """
    initial, strengths, push, pop, value = inputs
    slots, (batch, time, _, width) = initial.shape[1], value.shape
    line = start(strengths, time, pushes)
    if batch:
        forward_row[(batch,)](
            push, pop, initial, value, *line, value if reads is None else reads, overflow, time, slots, width,
            reading=reads is not None, **constants(pushes, takes, width),
        )  # fmt: skip
    return line


def start(strengths: Tensor, time: int, pushes: Sequence[int]) -> list[Tensor]:
    """The fields of an `engine.Line` before the first of `time` steps.

    Args:
        strengths: Strengths of the initial state, shape `(batch, slots)`.
        time: Number of steps.
        pushes: The end at which each head pushes.
    """
    (batch, slots), heads = strengths.shape, len(pushes)
    tiles, events, below = slots + time * heads, time * heads, time * (heads - sum(pushes))
    floats, whole = strengths.new_zeros(batch * (2 * tiles + events)), 2 * batch * tiles
    lengths, last, cut = floats[: batch * tiles], floats[batch * tiles : whole], floats[whole:]
    integers = torch.zeros(whole + batch * (events + 3), device=strengths.device, dtype=torch.int32)
    order, dead, consumed, ends = integers.split([batch * tiles, batch * tiles, batch * events, batch * 3])
    line = [lengths, order, ends, dead, last, consumed, cut]
    shapes = (tiles,), (tiles,), (3,), (tiles,), (tiles,), (time, heads), (time, heads)
    line = [part.view(batch, *shape) for part, shape in zip(line, shapes, strict=True)]
    line[2][:, :2] = below
    if slots:
        live = strengths != 0
        line[0][:, :slots] = strengths
        line[1][:, below : below + slots] = live.logical_not().sort(dim=1, stable=True).indices
        line[2][:, 1] += live.sum(1)
    return line


def constants(pushes: Sequence[int], takes: Sequence[int], width: int) -> dict[str, int]:
    """Compile-time constants of a kernel. One warp, since there is little work between two barriers."""
    padded = triton.next_power_of_2(width)
    return {**phases.bits(pushes, takes), "padded": padded, "num_warps": 1, "enable_fp_fusion": True}


def on(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which the device of a tensor is the current one."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
