"""A scan on CUDA in phases: a walk over scalars, then everything along the width, for all steps at once.

A walk takes its steps one after another, so it does as little as it can in each. What costs more, the values that are
read and the gradients that flow back to them, waits for a later phase, which has all steps to do in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from ddstructs.ops import gradients, walks, windows
from ddstructs.ops.layout import Inputs

__all__ = ["Walk", "backward", "bits", "forward", "walk"]

SIZE = 16
"""Number of tiles in a window that the logs have room for. A row with a longer one is run by other kernels."""


FUSION = {"enable_fp_fusion": True}
"""Passed to every kernel, because the default depends on the version of triton."""


class Walk(NamedTuple):
    """What a walk leaves behind; see `walks`.

    Attributes:
        inputs: The arguments of the scan, contiguous.
        nodes: The nodes on each line from bottom to top, shape `(batch, tiles)`, int32.
        strengths: Their strengths, shape `(batch, tiles)`.
        ends: First live position on the line, and position after the last, shape `(batch, 2)`, int32.
        cut: What each pop left of the tile that it cut, shape `(batch, events)`.
        cut_tile: That tile; -1 if none. Shape `(batch, events)`, int32.
        following: The first pop to reach each node; `events` if none. Shape `(batch, tiles + events)`, int32.
        nearest: The nodes nearest to the end of each read, shape `(batch, events, SIZE)`, int32; empty if `chunks`.
        tops: The node on top after each step, if `chunks`; shape `(batch, events)`, int32.
        below: The node under each tile, if `chunks`; shape `(batch, tiles)`, int32.
        deep_tops: The node on top of earlier chunks, before and after each pop of a chunk that reached them, if
            `chunks`; shape `(batch, chunks, span + 1)`, int32.
        chunks: Number of chunks that were walked on their own; 0 if none was.
        span: Number of steps in a chunk.
    """

    inputs: Inputs
    nodes: Tensor
    strengths: Tensor
    ends: Tensor
    cut: Tensor
    cut_tile: Tensor
    following: Tensor
    nearest: Tensor
    tops: Tensor
    below: Tensor
    deep_tops: Tensor
    chunks: int
    span: int

    def remaining(self) -> Tensor:
        """Strengths of all tiles after the last step, shape `(batch, tiles)`."""
        batch, count = self.nodes.shape
        strengths, blocks = torch.zeros_like(self.strengths), triton.cdiv(count, 1024)
        if strengths.numel():
            windows.remain[(batch * blocks,)](
                self.nodes, self.strengths, self.ends, self.cut_tile, strengths, self.cut.shape[1], count, blocks,
                block=1024, **FUSION,
            )  # fmt: skip
        return strengths


def walk(inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> Walk:
    """All pops and pushes."""
    inputs = Inputs(*(part.contiguous() for part in inputs))
    initial, strengths, push, pop, _ = inputs
    (batch, slots), (_, time, heads) = initial.shape[:2], push.shape
    events, count, below = time * heads, slots + time * heads, time * (heads - sum(pushes))
    stack = list(pushes) == list(takes) == [1]
    span = steps_per_chunk(time)
    chunks = triton.cdiv(time, span) if stack else 0

    def room(*shape: int, like: Tensor | None = None) -> Tensor:
        kind = torch.int32 if like is None else like.dtype
        return torch.empty((batch, *shape), device=push.device, dtype=kind)

    nodes, line, ends = room(count), room(count, like=push), room(2).fill_(below)
    cut, cut_tile, following = room(events, like=push), room(events).fill_(-1), room(count + events).fill_(events)
    nearest = room(0 if stack else events, SIZE)
    tops, under, deep_tops = (room(*shape) for shape in ((events * stack,), (count * stack,), (chunks, span + 1)))
    if slots:
        live = strengths != 0
        order = live.logical_not().sort(dim=1, stable=True).indices
        nodes[:, below : below + slots], line[:, below : below + slots] = order, strengths.gather(1, order)
        ends[:, 1] += live.sum(1)
        if stack:
            under[:, :slots] = torch.full_like(order, -1).scatter_(1, order[:, 1:], order[:, :-1])
    found = Walk(inputs, nodes, line, ends, cut, cut_tile, following, nearest, tops, under, deep_tops, chunks, span)
    if not batch or not events:
        return found
    if stack:
        lines = room(time), room(time, like=push)
        totals = torch.empty(batch, time, device=push.device, dtype=torch.float64)
        reached = room(chunks, 2), room(time), room(time, like=push), totals
        walks.walk_chunk[(batch * chunks,)](
            push, pop, *lines, cut, cut_tile, following, tops, under, *reached, time, slots, chunks, span,
            num_warps=1, **FUSION,
        )  # fmt: skip
        walks.walk_deep[(batch,)](
            *lines, *reached, nodes, line, ends, cut, cut_tile, following, deep_tops, time, slots, chunks, span,
            num_warps=1, **FUSION,
        )  # fmt: skip
    else:
        padded_heads = triton.next_power_of_2(heads)
        walks.walk[(batch,)](
            push, pop, nodes, line, ends, cut, cut_tile, following, nearest, time, slots, size=SIZE,
            padded_heads=padded_heads, **bits(pushes, takes), num_warps=1, **FUSION,
        )  # fmt: skip
    return found


def forward(found: Walk, reads: Tensor, overflow: Tensor) -> None:
    """Write the reads.

    Args:
        found: The walk.
        reads: Written, shape `(batch, time, heads, width)`.
        overflow: Set to 1 for each row whose reads are incomplete, shape `(batch,)`.
    """
    initial, strengths, push, _, value = found.inputs
    batch, time, heads, width = value.shape
    events, sizes = time * heads, blocks(width)
    parts = triton.cdiv(events, sizes["block"])
    if batch and events:
        windows.blend[(batch * parts,)](
            strengths, push, initial, value, found.cut, found.cut_tile, found.nearest, found.tops, found.below,
            found.deep_tops, reads, overflow, events, initial.shape[1], width, found.chunks, found.span, parts,
            linked=found.chunks > 0, size=SIZE, **sizes, **FUSION,
        )  # fmt: skip


def backward(
    found: Walk,
    reads_grad: Tensor,
    strengths_grad: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
    overflow: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Propagate gradients back; see `cpu.backward`. In rows set in `overflow` all are undefined, except zero values."""
    initial, strengths, push, pop, value = found.inputs
    slots, (batch, time, heads, width) = initial.shape[1], value.shape
    events, count, sizes = time * heads, slots + time * heads, blocks(width)
    values = value.new_empty(batch, count, width)
    before_grad, push_grad, pop_grad = (torch.empty_like(part) for part in (strengths, push, pop))
    if not batch or not events:
        return values.zero_(), strengths_grad[:, :slots].clone(), push_grad, pop_grad
    nodes, entries = batch * (count + events), (batch, events, SIZE)
    keys = torch.full(entries, nodes, device=push.device, dtype=torch.int32 if nodes < 2**31 else torch.int64)
    weights, slopes, zeros = push.new_empty(entries), push.new_empty(entries), push.new_empty(batch, events, heads)
    parts = triton.cdiv(events, sizes["block"])
    windows.differentiate[(batch * parts,)](
        strengths, push, initial, value, found.cut, found.cut_tile, found.nearest, found.tops, found.below,
        found.deep_tops, reads_grad, keys, weights, slopes, zeros, overflow, events, slots, width, found.chunks,
        found.span, parts, linked=found.chunks > 0, size=SIZE, **bits(pushes, takes), **sizes, **FUSION,
    )  # fmt: skip
    keys, order = keys.flatten().sort(stable=True)
    starts = torch.searchsorted(keys, torch.arange(nodes + 1, device=push.device, dtype=keys.dtype))
    own = push.new_empty(batch, count + events)
    gradients.gather[(batch * count,)](
        reads_grad, order, starts, weights, slopes, found.following, found.cut_tile, overflow, values, own, events,
        slots, width, size=SIZE, block=max(1, min(8, 1024 // sizes["padded"])), padded=sizes["padded"], num_warps=1,
        **FUSION,
    )  # fmt: skip
    sums, chains = push.new_empty(2, batch, events + 1), found.cut.new_empty(2, batch, events + 1, dtype=torch.int32)
    gradients.settle[(batch,)](
        strengths, push, own, zeros, found.following, found.cut_tile, overflow, strengths_grad, *sums, *chains,
        before_grad, push_grad, pop_grad, time, slots, -(-events.bit_length() // 2) * 2, block=1024,
        **bits(pushes, takes), num_warps=8, **FUSION,
    )  # fmt: skip
    return values, before_grad, push_grad, pop_grad


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
    """
    steps: int = triton.next_power_of_2(max(1, int((0.7 * time) ** (2 / 3))))
    return steps
