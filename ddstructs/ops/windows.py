"""The second phase of a scan on CUDA: the windows of all reads at once, from what `walks` left behind.

A program takes a block of reads of one row, with lanes along the reads and along the width. The nodes in a window come
from the log of `walks.walk`, or, in a stack that was walked in chunks (`linked`), from one tile to the one below.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false
# ruff: noqa: D417, SIM102

from __future__ import annotations

import triton.language as tl

from ddstructs.ops.walks import compiled

__all__ = ["blend", "differentiate", "outside", "remain"]


@compiled
def outside(head: tl.constexpr, tile, first, pushes: tl.constexpr, top: tl.constexpr, heads: tl.constexpr):
    own: tl.constexpr = ((pushes >> head) & 1) == top
    found = (tile == tile) & own
    for other in tl.static_range(heads):
        if ((pushes >> other) & 1) == ((pushes >> head) & 1):
            found = tl.where(tile == first + other, (head > other) == own, found)
    return found


@compiled
def strength_of(node, going, before, push, cut, slots, count):
    """The strengths of nodes: of an initial tile, of a pushed one, or what a pop left of one."""
    first, pushed, made = going & (node < slots), going & (node >= slots) & (node < count), going & (node >= count)
    strength = tl.load(before + node, mask=first, other=0)
    strength = tl.where(pushed, tl.load(push + node - slots, mask=pushed, other=0), strength)
    return tl.where(made, tl.load(cut + node - count, mask=made, other=0), strength)


@compiled
def tile_of(node, going, cut_tile, count):
    made = going & (node >= count)
    return tl.where(made, tl.load(cut_tile + node - count, mask=made, other=0), node)


@compiled
def value_of(tile, going, initial, value, slots, width, columns):
    """The values of tiles, shape `(reads, width)`; zero where not `going`."""
    inside = (columns < width)[None, :]
    first, pushed = (going & (tile < slots))[:, None] & inside, (going & (tile >= slots))[:, None] & inside
    old = initial + tile.to(tl.int64)[:, None] * width + columns[None, :]
    new = value + (tile - slots).to(tl.int64)[:, None] * width + columns[None, :]
    return tl.where(first, tl.load(old, mask=first, other=0), tl.load(new, mask=pushed, other=0))


@compiled
def known(node, going, chunk, deep_tops, span):
    """The node that a link of a chunk points to; see `walks.walk_chunk`."""
    deep = going & (node <= -2)
    return tl.where(deep, tl.load(deep_tops + chunk * (span + 1) - 2 - node, mask=deep, other=-1), node)


@compiled
def nearest_node(nearest, tops, deep_tops, at, real, size, linked: tl.constexpr, span):
    """The node at the end of each read; -1 where there is none."""
    if linked:
        node = tl.load(tops + at, mask=real, other=-1)
        node = known(node, real, at // span, deep_tops, span)
    else:
        node = tl.load(nearest + at * size, mask=real, other=-1)
    return node


@compiled
def next_node(tile, n, going, nearest, below, deep_tops, at, size, slots, linked: tl.constexpr, span):
    """The node after a tile, the `n`-th from the end."""
    if linked:
        node = tl.load(below + tile, mask=going, other=-1)
        node = known(node, going, (tile - slots) // span, deep_tops, span)
    else:
        node = tl.load(nearest + at * size + n, mask=going & (at * 0 + n < size), other=-1)
    return node


@compiled
def blend(
    before, push, initial, value, cut, cut_tile, nearest, tops, below, deep_tops, reads, overflow, events, slots,
    width, chunks, span, blocks,
    linked: tl.constexpr, size: tl.constexpr, block: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """The reads. A row in which some window may have more tiles than the log is marked in `overflow`."""
    row, part = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0) % blocks
    kind = push.dtype.element_ty
    count = slots + events
    before, push, cut, cut_tile = before + row * slots, push + row * events, cut + row * events, cut_tile + row * events
    initial, value, reads = initial + row * slots * width, value + row * events * width, reads + row * events * width
    nearest, tops, below = nearest + row * events * size, tops + row * events, below + row * count
    deep_tops += row * chunks * (span + 1)
    at, columns = (row * 0 + part) * block + tl.arange(0, block), tl.arange(0, padded)
    real = at < events
    total, read = tl.zeros((block,), tl.float64), tl.zeros((block, padded), kind)
    node = nearest_node(nearest, tops, deep_tops, at, real, size, linked, span)
    going = real & (node >= 0)
    n = 0
    while tl.max(going.to(tl.int32), 0) > 0:
        strength = strength_of(node, going, before, push, cut, slots, count)
        tile = tile_of(node, going, cut_tile, count)
        missing = 1 - total.to(kind)
        whole = going & (strength <= missing)
        some = whole | (going & (missing > 0))
        weight = tl.where(whole, strength, missing)[:, None]
        read += tl.where(some[:, None], weight * value_of(tile, some, initial, value, slots, width, columns), 0)
        total += tl.where(whole, strength, 0).to(tl.float64)
        going = whole & (1 - total.to(kind) > 0)
        n += 1
        if not linked:
            if n == size:
                if tl.max(going.to(tl.int32), 0) > 0:
                    tl.store(overflow + row, 1)
        node = next_node(tile, n, going, nearest, below, deep_tops, at, size, slots, linked, span)
        going = going & (node >= 0)
    inside = real[:, None] & (columns < width)[None, :]
    tl.store(reads + at[:, None] * width + columns[None, :], read, mask=inside)


@compiled
def differentiate(
    before, push, initial, value, cut, cut_tile, nearest, tops, below, deep_tops, reads_grad, keys, weights, slopes,
    zeros, overflow, events, slots, width, chunks, span, blocks,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, linked: tl.constexpr,
    size: tl.constexpr, block: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """The derivatives of each read: of its loss by each strength in its window, and its own by each value there.

    Args:
        keys: Written for each tile in the window: its node, numbered across the batch.
        weights: Written: the weight of its value.
        slopes: Written: the derivative of the loss by its strength.
        zeros: Written: the same for the tiles of this step that were pushed with zero strength.
        overflow: Set for rows in which some window may have more tiles than these logs.
    """
    row, part = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0) % blocks
    kind = push.dtype.element_ty
    count = slots + events
    before, push, cut, cut_tile = before + row * slots, push + row * events, cut + row * events, cut_tile + row * events
    initial, value = initial + row * slots * width, value + row * events * width
    reads_grad, zeros = reads_grad + row * events * width, zeros + row * events * heads
    nearest, tops, below = nearest + row * events * size, tops + row * events, below + row * count
    deep_tops += row * chunks * (span + 1)
    keys, weights, slopes = keys + row * events * size, weights + row * events * size, slopes + row * events * size
    at, columns = (row * 0 + part) * block + tl.arange(0, block), tl.arange(0, padded)
    real = at < events
    start = nearest_node(nearest, tops, deep_tops, at, real, size, linked, span)
    node, going = start, real & (start >= 0)
    total = tl.zeros((block,), tl.float64)
    edge = tl.full((block,), -1, tl.int32)  # the tile at which the window ends
    n = 0
    while (n < size) & (tl.max(going.to(tl.int32), 0) > 0):
        strength = strength_of(node, going, before, push, cut, slots, count)
        tile = tile_of(node, going, cut_tile, count)
        missing = 1 - total.to(kind)
        whole = going & (strength <= missing)
        ends = going & ~whole & (missing > 0)
        tl.store(keys + at * size + n, row * (count + events) + node, mask=whole | ends)
        tl.store(weights + at * size + n, tl.where(whole, strength, missing), mask=whole | ends)
        tl.store(slopes + at * size + n, tl.zeros((block,), kind), mask=ends)
        edge = tl.where(ends, tile, edge)
        total += tl.where(whole, strength, 0).to(tl.float64)
        going = whole & (1 - total.to(kind) > 0)
        n += 1
        node = next_node(tile, n, going, nearest, below, deep_tops, at, size, slots, linked, span)
        if n < size:
            going = going & (node >= 0)
    if tl.max(going.to(tl.int32), 0) > 0:
        tl.store(overflow + row, 1)
    inside = real[:, None] & (columns < width)[None, :]
    g = tl.load(reads_grad + at[:, None] * width + columns[None, :], mask=inside, other=0)
    beyond = tl.sum(g * value_of(edge, edge >= 0, initial, value, slots, width, columns), 1)
    node, going = start, real & (start >= 0)
    total = tl.zeros((block,), tl.float64)
    n = 0
    while (n < size) & (tl.max(going.to(tl.int32), 0) > 0):
        strength = strength_of(node, going, before, push, cut, slots, count)
        tile = tile_of(node, going, cut_tile, count)
        whole = going & (strength <= 1 - total.to(kind))
        slope = tl.sum(g * value_of(tile, whole, initial, value, slots, width, columns), 1) - beyond
        tl.store(slopes + at * size + n, slope, mask=whole)
        total += tl.where(whole, strength, 0).to(tl.float64)
        going = whole & (1 - total.to(kind) > 0)
        n += 1
        node = next_node(tile, n, going, nearest, below, deep_tops, at, size, slots, linked, span)
        going = going & (node >= 0)
    # A tile pushed with zero strength is at a tie in every read of its step.
    first = slots + (at // heads).to(tl.int32) * heads
    for k in tl.static_range(heads):
        zero = real & (tl.load(push + first - slots + k, mask=real, other=1) == 0)
        if tl.max(zero.to(tl.int32), 0) > 0:
            slope = tl.sum(g * value_of(first + k, zero, initial, value, slots, width, columns), 1)
            for h in tl.static_range(heads):
                out = (edge >= 0) & (at % heads == h) & outside(k, edge, first, pushes, (takes >> h) & 1, heads)
                slope -= tl.where(out, beyond, 0)
            tl.store(zeros + at * heads + k, slope, mask=zero)


@compiled
def remain(nodes, line_strengths, ends, cut_tile, strengths, events, count, blocks, block: tl.constexpr):
    """Scatter the strengths on the line to their tiles."""
    row, part = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0) % blocks
    low, high = tl.load(ends + row * 2), tl.load(ends + row * 2 + 1)
    at = part * block + tl.arange(0, block)
    live = (at >= low) & (at < high)
    node = tl.load(nodes + row * count + at, mask=live, other=0)
    tile = tile_of(node, live, cut_tile + row * events, count)
    tl.store(strengths + row * count + tile, tl.load(line_strengths + row * count + at, mask=live), mask=live)
