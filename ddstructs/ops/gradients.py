"""The last phase of the backward pass of a scan on CUDA: from the derivatives of single reads to the gradients.

All sums are taken in a fixed order, so that a gradient has the same bits in every run.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false
# ruff: noqa: D417, SIM102

from __future__ import annotations

import triton.language as tl

from ddstructs.ops.walks import compiled
from ddstructs.ops.windows import outside

__all__ = ["gather", "settle"]


@compiled
def gather(
    reads_grad, order, starts, weights, slopes, following, cut_tile, overflow, values_grad, own, events, slots, width,
    size: tl.constexpr, block: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """Sum what all reads contribute to a tile: to its value, and to the strength of each of its nodes (`own`).

    Args:
        order: The entries of the logs, sorted by node.
        starts: Where the entries of each node start in it.
    """
    count = slots + events
    row, tile = tl.program_id(0).to(tl.int64) // count, tl.program_id(0) % count
    kind = values_grad.dtype.element_ty
    nodes = count + events
    starts, following, cut_tile = starts + row * nodes, following + row * nodes, cut_tile + row * events
    own, values_grad = own + row * nodes, values_grad + row * count * width
    lanes, columns = tl.arange(0, block), tl.arange(0, padded)
    inside = columns < width
    total = tl.zeros((padded,), kind)
    node = tile
    if tl.load(overflow + row) != 0:
        node = tile * 0 - 1
    while node >= 0:
        at, stop = tl.load(starts + node), tl.load(starts + node + 1)
        slope = tl.zeros((block,), kind)
        while at < stop:
            real = at + lanes < stop
            entry = tl.load(order + at + lanes, mask=real, other=0)
            weight = tl.load(weights + entry, mask=real, other=0)
            slope += tl.load(slopes + entry, mask=real, other=0)
            g = reads_grad + (entry // size)[:, None] * width + columns[None, :]
            total += tl.sum(weight[:, None] * tl.load(g, mask=real[:, None] & inside[None, :], other=0), 0)
            at += block
        tl.store(own + node, tl.sum(slope, 0))
        event = tl.load(following + node)
        node = tile * 0 - 1
        if event < events:
            if tl.load(cut_tile + event) == tile:
                node = count + event
    tl.store(values_grad + tile.to(tl.int64) * width + columns, total, mask=inside)


@compiled
def settle(
    before, push, own, zeros, following, cut_tile, overflow, strengths_grad, sums, spare, next_events, spare_next,
    before_grad, push_grad, pop_grad, time, slots, rounds,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """The gradients of strengths, from those of nodes.

    A node ends in the next pop that reaches its tile, and what changes its strength changes what that pop leaves: of
    the same tile if that is the one cut, or else of the one cut instead. So its gradient is its own, and that of the
    node which that pop makes: a sum along a chain, taken by doubling its length in each round.

    Args:
        strengths_grad: Gradient of the strengths after the last step, shape `(batch, tiles)`.
        sums, spare: The sums of all pops, shape `(batch, events + 1)`, and room for those of the next round.
        next_events, spare_next: The next pop in the chain of each, and room for the next round.
        rounds: An even number of rounds.
    """
    row, lanes = tl.program_id(0).to(tl.int64), tl.arange(0, block)
    events, count = time * heads, slots + time * heads
    before, before_grad, strengths_grad = before + row * slots, before_grad + row * slots, strengths_grad + row * count
    push, push_grad, pop_grad = push + row * events, push_grad + row * events, pop_grad + row * events
    own, following = own + row * (count + events), following + row * (count + events)
    cut_tile, zeros = cut_tile + row * events, zeros + row * events * heads
    sums, spare = sums + row * (events + 1), spare + row * (events + 1)
    next_events, spare_next = next_events + row * (events + 1), spare_next + row * (events + 1)
    # A row with an overflow is left to the kernels that take a row at a time.
    fits = tl.load(overflow + row) == 0
    stop = tl.where(fits, events + 1, 0)
    for start in range(0, stop, block):
        at = start + lanes
        tile = tl.load(cut_tile + at, mask=at < events, other=-1)
        event = tl.load(following + count + at, mask=at < events, other=events)
        slope = tl.load(own + count + at, mask=tile >= 0, other=0)
        slope += tl.load(strengths_grad + tile, mask=(tile >= 0) & (event == events), other=0)
        tl.store(sums + at, slope, mask=at <= events)
        tl.store(next_events + at, event, mask=at <= events)
    tl.debug_barrier()
    for _ in range(rounds):
        for start in range(0, stop, block):
            at = start + lanes
            real = at <= events
            event = tl.load(next_events + at, mask=real, other=events)
            slope = tl.load(sums + at, mask=real, other=0) + tl.load(sums + event, mask=real, other=0)
            tl.store(spare + at, slope, mask=real)
            tl.store(spare_next + at, tl.load(next_events + event, mask=real, other=events), mask=real)
        tl.debug_barrier()
        sums, spare = spare, sums
        next_events, spare_next = spare_next, next_events
    for start in range(0, tl.where(fits, events, 0), block):
        at = start + lanes
        tl.store(pop_grad + at, -tl.load(sums + at, mask=at < events, other=0), mask=at < events)
    # A tile of zero strength before a step is at a tie in its first pop, and has no effect afterwards.
    for start in range(0, tl.where(fits, time, 0), block):
        step = start + lanes
        real, later = step < time, step + 1 < time
        first, after = slots + step * heads, (step + 1) * heads
        tile = tl.load(cut_tile + after, mask=later, other=-1)
        for k in tl.static_range(heads):
            at = step * heads + k
            zero = real & (tl.load(push + at, mask=real, other=1) == 0)
            event = tl.load(following + slots + at, mask=real, other=events)
            within = zero & (tile >= 0) & outside(k, tile, first, pushes, takes & 1, heads)
            slope = tl.load(own + slots + at, mask=real & ~zero, other=0)
            slope += tl.load(sums + event, mask=real & ~zero, other=0)
            slope += tl.where(within, tl.load(sums + after, mask=later, other=0), 0)
            slope += tl.load(strengths_grad + slots + at, mask=real & tl.where(zero, ~later, event == events), other=0)
            for h in tl.static_range(heads):
                slope += tl.load(zeros + (step * heads + h).to(tl.int64) * heads + k, mask=zero, other=0)
            tl.store(push_grad + at, slope, mask=real)
    for start in range(0, tl.where(fits, slots, 0), block):
        at = start + lanes
        real = at < slots
        zero = real & (tl.load(before + at, mask=real, other=1) == 0)
        event = tl.load(following + at, mask=real, other=events)
        tile = tl.load(cut_tile)
        slope = tl.load(own + at, mask=real & ~zero, other=0) + tl.load(sums + event, mask=real & ~zero, other=0)
        slope += tl.load(strengths_grad + at, mask=real & ~zero & (event == events), other=0)
        within = zero & (tile >= 0) & ((at > tile) == (takes & 1))
        slope += tl.where(within, tl.load(sums), 0)
        tl.store(before_grad + at, slope, mask=real)
