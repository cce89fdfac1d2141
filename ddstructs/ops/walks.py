"""The first phase of a scan on CUDA: all pops and pushes, in scalars, without the values.

It decides what `engine.forward` decides, by the same comparisons, and leaves behind what later phases need to look at
all steps at once. Each pop that cuts a tile makes a new *node*: a tile with the strength that it keeps from then on.
The first nodes are the tiles as they were pushed; after them comes, for each pop, the node that it makes. The strength
of a node never changes.

A line has one walker, since each pop needs the line that the one before left. But a stack is walked in chunks of time,
all at once: a pop takes the tiles of its own chunk first, and only what it misses there waits for the chunks before.
"""

# Triton interprets annotations and supports only constexpr, and it has no conditional expressions on tensors.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false
# ruff: noqa: SIM108

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import triton
import triton.language as tl

__all__ = ["compiled", "walk", "walk_chunk", "walk_deep"]

compiled = cast("Callable[[Callable[..., Any]], Any]", triton.jit)


@compiled
def draw(amount, total, event, count, low, high, nodes, strengths, cut, cut_tile, following, top: tl.constexpr):
    """Pop an amount, of which `total` is already taken, from an end of a line; return the total and the ends after."""
    kind = strengths.dtype.element_ty
    missing = amount - total.to(kind)
    going = (low < high) & ~(missing <= 0)  # written so that NaN goes on, and spoils what it meets
    while going:
        if top:
            at = high - 1
        else:
            at = low
        strength, node = tl.load(strengths + at), tl.load(nodes + at)
        if strength <= missing:
            total += strength.to(tl.float64)
            missing = amount - total.to(kind)
            if top:
                high -= 1
            else:
                low += 1
            going = (low < high) & ~(missing <= 0)
        else:
            tl.store(strengths + at, strength - missing)
            tl.store(nodes + at, count + event)
            tl.store(cut + event, strength - missing)
            tile = node
            if node >= count:
                tile = tl.load(cut_tile + node - count)
            tl.store(cut_tile + event, tile)
            going = low > high
        tl.store(following + node, event)
    return total, low, high


@compiled
def walk(
    push, pop, nodes, strengths, ends, cut, cut_tile, following, nearest, time, slots,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, size: tl.constexpr, padded_heads: tl.constexpr,
):  # fmt: skip
    """Walk a row from the first step to the last, and log the nodes nearest to the end of each read."""
    row = tl.program_id(0).to(tl.int64)
    zero = row * 0  # in 64 bits, so that an offset counted from it does not overflow
    events, count = time * heads, slots + time * heads
    nodes, strengths, ends = nodes + row * count, strengths + row * count, ends + row * 2
    push, pop, cut, cut_tile = push + row * events, pop + row * events, cut + row * events, cut_tile + row * events
    following, nearest = following + row * (count + events), nearest + row * events * size
    low, high = tl.load(ends), tl.load(ends + 1)
    head, lanes = tl.arange(0, padded_heads)[:, None], tl.arange(0, size)[None, :]
    real = (head < heads) & (lanes < size)
    near = tl.zeros((padded_heads, size), tl.int32)
    # Signals are loaded a step before they are due, and nodes are stored a step after they are loaded.
    amount, strength = tl.load(pop), tl.load(push)
    for t in range(time):
        for h in tl.static_range(heads):
            if h > 0:
                amount = tl.load(pop + t * heads + h)
            _, low, high = draw(
                amount, tl.full((), 0, tl.float64), t * heads + h, count, low, high, nodes, strengths, cut, cut_tile,
                following, (takes >> h) & 1,
            )  # fmt: skip
            if heads > 1:
                tl.debug_barrier()
        amount = tl.load(pop + (t + 1) * heads, mask=t + 1 < time)
        for h in tl.static_range(heads):
            if h > 0:
                strength = tl.load(push + t * heads + h)
            if strength != 0:
                if (pushes >> h) & 1:
                    at = high
                    high += 1
                else:
                    low -= 1
                    at = low
                tl.store(strengths + at, strength)
                tl.store(nodes + at, slots + t * heads + h)
        strength = tl.load(push + (t + 1) * heads, mask=t + 1 < time)
        log = nearest + ((zero + t - 1) * heads + head) * size + lanes
        tl.store(log, near, mask=real & (head * 0 + t > 0))
        tl.debug_barrier()
        at = tl.where(((takes >> head) & 1) == 1, high - 1 - lanes, low + lanes)
        near = tl.load(nodes + at, mask=real & (lanes < high - low), other=-1)
    log = nearest + ((zero + time - 1) * heads + head) * size + lanes
    tl.store(log, near, mask=real)
    tl.store(ends, low)
    tl.store(ends + 1, high)


@compiled
def walk_chunk(
    push, pop, nodes, strengths, cut, cut_tile, following, tops, below, lengths, deep, amounts, totals, time, slots,
    chunks, span,
):  # fmt: skip
    """Walk a chunk of a stack on a line of its own, and list the pops that reach below it.

    `below` is the node under each tile, and `tops` the one on top after each step. Where that is a node of an earlier
    chunk, it is not known yet: it stands as -2 less the number of pops of this chunk that reached below it so far.
    """
    row, chunk = tl.program_id(0).to(tl.int64) // chunks, tl.program_id(0) % chunks
    kind = strengths.dtype.element_ty
    low, count = chunk * span, slots + time
    push, pop, cut, cut_tile, tops = (
        push + row * time, pop + row * time, cut + row * time, cut_tile + row * time, tops + row * time
    )  # fmt: skip
    nodes, strengths = nodes + row * time, strengths + row * time
    deep, amounts, totals = deep + row * time + low, amounts + row * time + low, totals + row * time + low
    following, below = following + row * (count + time), below + row * count
    lengths += (row * chunks + chunk) * 2
    stop = tl.minimum(low + span, time)
    high, reached = low * 1, low * 0
    amount, strength = tl.load(pop + low), tl.load(push + low)
    for t in range(low, stop):
        total, _, high = draw(
            amount, tl.full((), 0, tl.float64), t, count, low, high, nodes, strengths, cut, cut_tile, following, True
        )  # fmt: skip
        if (high == low) & ~(amount - total.to(kind) <= 0):
            tl.store(deep + reached, t)
            tl.store(amounts + reached, amount)
            tl.store(totals + reached, total)
            reached += 1
        amount = tl.load(pop + t + 1, mask=t + 1 < stop)
        tl.debug_barrier()
        if high > low:
            under = tl.load(nodes + high - 1)
        else:
            under = -2 - reached
        if strength != 0:
            tl.store(below + slots + t, under)
            under = slots + t
            tl.store(strengths + high, strength)
            tl.store(nodes + high, under)
            high += 1
        strength = tl.load(push + t + 1, mask=t + 1 < stop)
        tl.store(tops + t, under)
        tl.debug_barrier()
    tl.store(lengths, reached)
    tl.store(lengths + 1, high - low)


@compiled
def walk_deep(
    chunk_nodes, chunk_strengths, lengths, deep, amounts, totals, nodes, strengths, ends, cut, cut_tile, following,
    deep_tops, time, slots, chunks, span,
):  # fmt: skip
    """Walk a row from chunk to chunk: the pops that reach below each, then the tiles that it keeps."""
    row = tl.program_id(0).to(tl.int64)
    count = slots + time
    chunk_nodes, chunk_strengths = chunk_nodes + row * time, chunk_strengths + row * time
    lengths += row * chunks * 2
    deep, amounts, totals = deep + row * time, amounts + row * time, totals + row * time
    nodes, strengths, ends = nodes + row * count, strengths + row * count, ends + row * 2
    cut, cut_tile, following = cut + row * time, cut_tile + row * time, following + row * (count + time)
    deep_tops += row * chunks * (span + 1)
    lanes = tl.arange(0, 32)
    low, high = tl.load(ends), tl.load(ends + 1)
    for chunk in range(chunks):
        first, reached, kept = chunk * span, tl.load(lengths + chunk * 2), tl.load(lengths + chunk * 2 + 1)
        tops = deep_tops + chunk * (span + 1)
        tl.store(tops, tl.load(nodes + high - 1, mask=high > low, other=-1))
        for i in range(reached):
            t, amount, total = tl.load(deep + first + i), tl.load(amounts + first + i), tl.load(totals + first + i)
            _, _, high = draw(amount, total, t, count, low, high, nodes, strengths, cut, cut_tile, following, True)
            tl.debug_barrier()
            tl.store(tops + i + 1, tl.load(nodes + high - 1, mask=high > low, other=-1))
        for i in range(0, kept, 32):
            inside = i + lanes < kept
            at = first + i + lanes
            tl.store(nodes + high + i + lanes, tl.load(chunk_nodes + at, mask=inside), mask=inside)
            tl.store(strengths + high + i + lanes, tl.load(chunk_strengths + at, mask=inside), mask=inside)
        high += kept
        tl.debug_barrier()
    tl.store(ends + 1, high)
