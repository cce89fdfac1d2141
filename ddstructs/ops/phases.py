"""A scan on CUDA in phases: a walk over scalars, then everything along the width, for all steps at once.

A walk takes its steps one after another, so it does as little as it can in each. What costs more, the values that are
read and the gradients that flow back to them, waits for a later phase, which has all steps to do in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from ddstructs.ops import gradients, walks, windows
from ddstructs.ops.layout import Inputs

__all__ = ["Log", "Walk", "backward", "bits", "forward", "log_size", "walk"]

SIZE = 16
"""Number of tiles in a window that the logs have room for. A row with a longer one is run by other kernels."""


FUSION = {"enable_fp_fusion": True}
"""Passed to every kernel, because the default depends on the version of triton."""


class Log(NamedTuple):
    """What later phases need to know of a walk, and backward of that in forward; views of one buffer. See `walks`.

    Attributes:
        cut: What each pop left of the tile that it cut, shape `(batch, events)`.
        cut_tile: That tile; -1 if none. Shape `(batch, events)`, int32.
        following: The first pop to reach each node; `events` if none. Shape `(batch, tiles + events)`, int32.
        nearest: The nodes nearest to the end of each read, shape `(batch, events, SIZE)`, int32; empty in a stack.
        tops: In a stack, the node on top after each step, shape `(batch, events)`, int32.
        below: In a stack, the node under each tile, shape `(batch, tiles)`, int32.
        deep_tops: In a stack, the node on top of earlier chunks, before and after each pop of a chunk that reached
            them, shape `(batch, chunks, span + 1)`, int32.
    """

    cut: Tensor
    cut_tile: Tensor
    following: Tensor
    nearest: Tensor
    tops: Tensor
    below: Tensor
    deep_tops: Tensor

    @classmethod
    def of(cls, buffer: Tensor, inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> Log:
        """The parts of a buffer of `log_size`."""
        batch, time, heads = inputs.push.shape
        events, count = time * heads, inputs.initial.shape[1] + time * heads
        shapes: tuple[tuple[int, ...], ...] = (events,), (count + events,)
        if is_stack(pushes, takes):
            span = steps_per_chunk(time)
            shapes += (0, SIZE), (events,), (count,), (triton.cdiv(time, span), span + 1)
        else:
            shapes += (events, SIZE), (0,), (0,), (0, 0)
        first = batch * events * (inputs.push.itemsize // buffer.itemsize)
        parts = [buffer[:first].view(inputs.push.dtype).view(batch, events)]
        for shape in shapes:
            size = batch * math.prod(shape)
            parts.append(buffer[first : first + size].view(batch, *shape))
            first += size
        return cls(*parts)


def log_size(inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> Any:
    """The number of elements of a log, int32; in a graph, an expression of the sizes of the inputs."""
    batch, time, heads = inputs.push.shape
    events, count = time * heads, inputs.initial.shape[1] + time * heads
    links = events + count + 2 * time + 1 if is_stack(pushes, takes) else events * SIZE
    return batch * (events * (inputs.push.itemsize // 4) + 2 * events + count + links)


class Walk(NamedTuple):
    """What a walk leaves behind.

    Attributes:
        nodes: The nodes on each line from bottom to top, shape `(batch, tiles)`, int32.
        strengths: Their strengths, shape `(batch, tiles)`.
        ends: First live position on the line, and position after the last, shape `(batch, 2)`, int32.
        buffer: The log, as a flat tensor of `log_size`.
    """

    nodes: Tensor
    strengths: Tensor
    ends: Tensor
    buffer: Tensor

    def remaining(self, log: Log) -> Tensor:
        """Strengths of all tiles after the last step, shape `(batch, tiles)`."""
        batch, count = self.nodes.shape
        strengths, blocks = torch.zeros_like(self.strengths), triton.cdiv(count, 1024)
        if strengths.numel():
            windows.remain[(batch * blocks,)](
                self.nodes, self.strengths, self.ends, log.cut_tile, strengths, log.cut.shape[1], count, blocks,
                block=1024, **FUSION,
            )  # fmt: skip
        return strengths


def walk(inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> tuple[Walk, Log]:
    """All pops and pushes; the inputs must be contiguous."""
    initial, strengths, push, pop, _ = inputs
    (batch, slots), (_, time, heads) = initial.shape[:2], push.shape
    events, count, below = time * heads, slots + time * heads, time * (heads - sum(pushes))

    def room(*shape: int, like: Tensor | None = None) -> Tensor:
        kind = torch.int32 if like is None else like.dtype
        return torch.empty((batch, *shape), device=push.device, dtype=kind)

    nodes, line, ends = room(count), room(count, like=push), room(2).fill_(below)
    buffer = torch.empty(log_size(inputs, pushes, takes), device=push.device, dtype=torch.int32)
    log = Log.of(buffer, inputs, pushes, takes)
    log.cut_tile.fill_(-1)
    log.following.fill_(events)
    if slots:
        live = strengths != 0
        order = live.logical_not().sort(dim=1, stable=True).indices
        nodes[:, below : below + slots], line[:, below : below + slots] = order, strengths.gather(1, order)
        ends[:, 1] += live.sum(1)
        if is_stack(pushes, takes):
            log.below[:, :slots] = torch.full_like(order, -1).scatter_(1, order[:, 1:], order[:, :-1])
    found = Walk(nodes, line, ends, buffer)
    if not batch or not events:
        return found, log
    if is_stack(pushes, takes):
        chunks, span = chunks_of(log)
        lines = room(time), room(time, like=push)
        totals = torch.empty(batch, time, device=push.device, dtype=torch.float64)
        reached = room(chunks, 2), room(time), room(time, like=push), totals
        walks.walk_chunk[(batch * chunks,)](
            push, pop, *lines, log.cut, log.cut_tile, log.following, log.tops, log.below, *reached, time, slots,
            chunks, span, num_warps=1, **FUSION,
        )  # fmt: skip
        walks.walk_deep[(batch,)](
            *lines, *reached, nodes, line, ends, log.cut, log.cut_tile, log.following, log.deep_tops, time, slots,
            chunks, span, num_warps=1, **FUSION,
        )  # fmt: skip
    else:
        padded_heads = triton.next_power_of_2(heads)
        walks.walk[(batch,)](
            push, pop, nodes, line, ends, log.cut, log.cut_tile, log.following, log.nearest, time, slots, size=SIZE,
            padded_heads=padded_heads, **bits(pushes, takes), num_warps=1, **FUSION,
        )  # fmt: skip
    return found, log


def forward(inputs: Inputs, log: Log, reads: Tensor, overflow: Tensor) -> None:
    """Write the reads.

    Args:
        inputs: The arguments of the scan, contiguous.
        log: What the walk left.
        reads: Written, shape `(batch, time, heads, width)`.
        overflow: Set to 1 for each row whose reads are incomplete, shape `(batch,)`.
    """
    initial, strengths, push, _, value = inputs
    batch, time, heads, width = value.shape
    events, sizes, (chunks, span) = time * heads, blocks(width), chunks_of(log)
    parts = triton.cdiv(events, sizes["block"])
    if batch and events:
        windows.blend[(batch * parts,)](
            strengths, push, initial, value, log.cut, log.cut_tile, log.nearest, log.tops, log.below, log.deep_tops,
            reads, overflow, events, initial.shape[1], width, chunks, span, parts, linked=chunks > 0, size=SIZE,
            **sizes, **FUSION,
        )  # fmt: skip


def backward(
    inputs: Inputs,
    log: Log,
    reads_grad: Tensor,
    strengths_grad: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
    overflow: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Propagate gradients back; see `cpu.backward`. In rows set in `overflow` all are undefined, except zero values."""
    initial, strengths, push, pop, value = inputs
    slots, (batch, time, heads, width) = initial.shape[1], value.shape
    events, count, sizes, (chunks, span) = time * heads, slots + time * heads, blocks(width), chunks_of(log)
    values = value.new_empty(batch, count, width)
    before_grad, push_grad, pop_grad = (torch.empty_like(part) for part in (strengths, push, pop))
    if not batch or not events:
        return values.zero_(), strengths_grad[:, :slots].clone(), push_grad, pop_grad
    nodes, entries = batch * (count + events), (batch, events, SIZE)
    keys = torch.full(entries, nodes, device=push.device, dtype=torch.int32 if nodes < 2**31 else torch.int64)
    weights, slopes, zeros = push.new_empty(entries), push.new_empty(entries), push.new_empty(batch, events, heads)
    parts = triton.cdiv(events, sizes["block"])
    windows.differentiate[(batch * parts,)](
        strengths, push, initial, value, log.cut, log.cut_tile, log.nearest, log.tops, log.below, log.deep_tops,
        reads_grad, keys, weights, slopes, zeros, overflow, events, slots, width, chunks, span, parts,
        linked=chunks > 0, size=SIZE, **bits(pushes, takes), **sizes, **FUSION,
    )  # fmt: skip
    keys, order = keys.flatten().sort(stable=True)
    starts = torch.searchsorted(keys, torch.arange(nodes + 1, device=push.device, dtype=keys.dtype))
    own = push.new_empty(batch, count + events)
    gradients.gather[(batch * count,)](
        reads_grad, order, starts, weights, slopes, log.following, log.cut_tile, overflow, values, own, events,
        slots, width, size=SIZE, block=max(1, min(8, 1024 // sizes["padded"])), padded=sizes["padded"], num_warps=1,
        **FUSION,
    )  # fmt: skip
    sums, chains = push.new_empty(2, batch, events + 1), push.new_empty(2, batch, events + 1, dtype=torch.int32)
    gradients.settle[(batch,)](
        strengths, push, own, zeros, log.following, log.cut_tile, overflow, strengths_grad, *sums, *chains,
        before_grad, push_grad, pop_grad, time, slots, -(-events.bit_length() // 2) * 2, block=1024,
        **bits(pushes, takes), num_warps=8, **FUSION,
    )  # fmt: skip
    return values, before_grad, push_grad, pop_grad


def is_stack(pushes: Sequence[int], takes: Sequence[int]) -> bool:
    """Whether a line is one that is walked in chunks."""
    return list(pushes) == list(takes) == [1]


def chunks_of(log: Log) -> tuple[int, int]:
    """The number of chunks that were walked on their own, 0 if none was, and the number of steps in each."""
    chunks, nodes = log.deep_tops.shape[1:]
    return chunks, nodes - 1


def bits(pushes: Sequence[int], takes: Sequence[int]) -> dict[str, int]:
    """The heads as compile-time constants: their number, and their ends as bits."""
    ends = (sum(end << head for head, end in enumerate(ends)) for ends in (pushes, takes))
    return {"heads": len(pushes), **dict(zip(("pushes", "takes"), ends, strict=True))}


def blocks(width: int) -> dict[str, int]:
    """The width, padded to a power of two, and the number of reads that a program takes at a time."""
    padded = triton.next_power_of_2(width)
    return {"padded": padded, "block": max(1, min(64, 1024 // padded))}


def steps_per_chunk(time: int) -> int:
    """The number of steps in a chunk of a stack: a power of two.

    A chunk takes as long as it has steps, and what is left for the walk after it grows with the number of chunks: of
    random pops, about the square root of the steps in a chunk reach below it. This is near the minimum of their sum.
    As it is at most `time`, the chunks with one more for each have at most `2 * time + 1` steps.
    """
    steps: int = triton.next_power_of_2(max(1, int((0.7 * time) ** (2 / 3))))
    return steps
