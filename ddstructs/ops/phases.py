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

from ddstructs.ops import gradients, logs, walks, windows
from ddstructs.ops.layout import Inputs
from ddstructs.ops.logs import Log, chunks_of, is_stack, log_size

__all__ = ["Walk", "backward", "bits", "forward", "walk"]

FUSION = {"enable_fp_fusion": True}
"""Passed to every kernel, because the default depends on the version of triton."""


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
            push, pop, nodes, line, ends, log.cut, log.cut_tile, log.following, log.nearest, time, slots,
            size=logs.SIZE, padded_heads=padded_heads, **bits(pushes, takes), num_warps=1, **FUSION,
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
            reads, overflow, events, initial.shape[1], width, chunks, span, parts, linked=chunks > 0, size=logs.SIZE,
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
    nodes, entries = batch * (count + events), (batch, events, logs.SIZE)
    keys = torch.full(entries, nodes, device=push.device, dtype=torch.int32 if nodes < 2**31 else torch.int64)
    weights, slopes, zeros = push.new_empty(entries), push.new_empty(entries), push.new_empty(batch, events, heads)
    parts = triton.cdiv(events, sizes["block"])
    windows.differentiate[(batch * parts,)](
        strengths, push, initial, value, log.cut, log.cut_tile, log.nearest, log.tops, log.below, log.deep_tops,
        reads_grad, keys, weights, slopes, zeros, overflow, events, slots, width, chunks, span, parts,
        linked=chunks > 0, size=logs.SIZE, **bits(pushes, takes), **sizes, **FUSION,
    )  # fmt: skip
    keys, order = keys.flatten().sort(stable=True)
    starts = torch.searchsorted(keys, torch.arange(nodes + 1, device=push.device, dtype=keys.dtype))
    own = push.new_empty(batch, count + events)
    gradients.gather[(batch * count,)](
        reads_grad, order, starts, weights, slopes, log.following, log.cut_tile, overflow, values, own, events,
        slots, width, size=logs.SIZE, block=max(1, min(8, 1024 // sizes["padded"])), padded=sizes["padded"],
        num_warps=1, **FUSION,
    )  # fmt: skip
    sums, chains = push.new_empty(2, batch, events + 1), push.new_empty(2, batch, events + 1, dtype=torch.int32)
    gradients.settle[(batch,)](
        strengths, push, own, zeros, log.following, log.cut_tile, overflow, strengths_grad, *sums, *chains,
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
