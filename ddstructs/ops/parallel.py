r"""Whole sequences of a stack or a queue in plain torch operations, parallel over time, for devices without a kernel.

Values are tiles on a line (see `engine`). Since all actions are known in advance, levels on the line are prefix scans:

$$ L_t = \max(H_{t-1} - u_t,\ 0) \qquad H_t = L_t + d_t \qquad F_t = \min(F_{t-1} + u_t,\ D_{t-1}) \qquad
   D_t = D_{t-1} + d_t $$

A stack pushes tile t on $[L_t, H_t]$; below it is the latest earlier tile with a lower level. A queue pushes it on
$[D_{t-1}, D_t]$ and takes from the front $F_t$. A read walks from tile to tile until it has covered a unit.

Backward does not iterate over time. The strength of a tile changes in *events*: its push, and each pop that cuts it.
The gradient of a strength right after an event is the contribution of the reads until the tile's next event, plus the
gradient right after that event; if that event consumes the whole tile, it is instead the gradient of the tile cut by
the same pop (`engine.rewind` does the same step by step). Gradients are therefore sums along chains of events, computed
by doubling.

Levels are integers, multiples of 2^-40: sums are exact in any order, so ties match the reference, even on devices
without float64. Strengths are rounded to such a multiple once, and may add up to 2^20.

Time is O(T log T) plus the number of tiles in the windows; memory is O(T log T) integers plus O(T) values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from ddstructs.memory import Action
from ddstructs.ops.layout import End, Head, Layout, LineState, Tiles, strength_dtype
from ddstructs.ops.once import differentiable_once

__all__ = ["fits", "scan"]

UNIT = 1 << 40
"""A strength of 1."""

LIMIT = 1 << 60
"""An upper bound of the total strength: 2^20."""


def fits(layout: Layout) -> bool:
    """Whether this kernel supports a layout: that of a stack or a queue."""
    return layout in ((Head(End.TOP, End.TOP),), (Head(End.TOP, End.BOTTOM),))


def scan(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, Tiles]:
    """A whole sequence: the reads `(batch, time, heads, width)` and the state after."""
    slots, value = state.slots(), actions.value
    if not value.shape[1]:
        return value.new_zeros(value.shape), Tiles(layout, slots.values, value, slots.strengths)
    dtype = strength_dtype(value.dtype)
    values = torch.cat([slots.values, value[:, :, 0]], dim=1).to(dtype)
    push = torch.cat([slots.strengths, actions.push[:, :, 0]], dim=1)
    reads, strengths = Scan.apply(layout[0].take, values, push, actions.pop[:, :, 0])  # type: ignore[no-untyped-call]
    return reads.to(value.dtype)[:, :, None], Tiles(layout, slots.values, value, strengths)


class Scan(Function):
    """The reads, shape `(batch, time, width)`, and the strengths of all tiles after the last step."""

    @staticmethod
    def forward(ctx: Any, take: End, values: Tensor, push: Tensor, pop: Tensor) -> tuple[Tensor, Tensor]:
        slots = push.shape[1] - pop.shape[1]
        lay = stack if take is End.TOP else queue
        line = lay(integers(push), integers(pop), slots)
        reads, flat = values.new_zeros(pop.numel(), values.shape[2]), values.flatten(0, 1)
        edge = line.first.tile.new_full((pop.numel(),), -1)
        for row, tile, weight, whole, _ in walk(line, slots):
            reads[row] += (weight.to(values.dtype) / UNIT)[:, None] * flat[tile]
            edge[row[~whole]] = tile[~whole]
        wrong = torch.where(push[:, slots:].isnan() | pop.isnan(), torch.nan, 0.0).to(values.dtype).cumsum(1)
        ctx.line, ctx.take, ctx.slots = line, take, slots
        ctx.save_for_backward(values, push, edge)
        ctx.set_materialize_grads(False)
        reads = reads.view(*pop.shape, values.shape[2]) + wrong[..., None]
        if take is End.BOTTOM:  # out of range, but used by numerical derivatives at 0
            reads += push[:, slots:, None].clamp(max=0) * values[:, slots:]
        return reads, line.after.to(push.dtype) / UNIT

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, reads_grad: Tensor | None, after_grad: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, push, edge = ctx.saved_tensors
        line, slots, (batch, tiles) = ctx.line, ctx.slots, push.shape
        flat, values_grad = values.flatten(0, 1), torch.zeros_like(values)
        since = push.new_zeros(batch * (2 * tiles + 1))  # contribution of the reads between an event and the next
        if reads_grad is not None:
            flat_grad = reads_grad.flatten(0, 1)
            beyond = torch.where(edge >= 0, (flat_grad * flat[edge.clamp(min=0)]).sum(1), 0)
            for row, tile, weight, whole, event in walk(line, slots):
                grad = flat_grad[row]
                values_grad.view_as(flat).index_add_(0, tile, (weight.to(grad.dtype) / UNIT)[:, None] * grad)
                slope = (grad * flat[tile]).sum(1) - beyond[row]
                since.index_add_(0, event[whole], slope[whole])
            if ctx.take is End.BOTTOM:  # a tile pushed with zero strength is at a tie in the read of its step
                slope = (reads_grad * values[:, slots:]).sum(2)
                since.view(batch, 2 * tiles + 1)[:, slots:tiles] += torch.where(
                    integers(push[:, slots:]) <= 0, slope, 0
                )
                values_grad[:, slots:] += push[:, slots:, None].clamp(max=0) * reads_grad
        if after_grad is not None:
            counts = line.after > 0
            counts[:, -1] = True  # even with zero strength, its gradient is that of the last push
            since.view(batch, 2 * tiles + 1).scatter_add_(1, line.last, torch.where(counts, after_grad, 0))
        total, following = since.view(batch, 2 * tiles + 1), line.following
        for _ in range((tiles + 1).bit_length()):
            total, following = total + total.gather(1, following), following.gather(1, following)
        return None, values_grad, total[:, :tiles], -total[:, tiles + slots : 2 * tiles]


class TileRef(NamedTuple):
    """References to tiles, in the order in which windows cover them; each tensor has shape `(batch, tiles)`.

    Attributes:
        tile: Number of the tile; -1 if there is none.
        strength: Its remaining strength.
        event: Its latest event: `i` for the push of tile `i`, `tiles + t` for the pop of step `t`.
    """

    tile: Tensor
    strength: Tensor
    event: Tensor


class Line(NamedTuple):
    """The tiles of a batch of lines at all times. Each tile of the initial state counts as pushed in a separate step.

    Attributes:
        first: For each step, the first tile of its window.
        next: For each tile, the one after it in any window.
        following: For each event, the next event of its tile, shape `(batch, 2 * tiles + 1)`; the last index means
            none.
        after: Strengths after the last step, shape `(batch, tiles)`.
        last: The last event of each tile.
    """

    first: TileRef
    next: TileRef
    following: Tensor
    after: Tensor
    last: Tensor


def stack(push: Tensor, pop: Tensor, slots: int) -> Line:
    """Lay out the line of a stack, given integer strengths `(batch, tiles)` and pops `(batch, time)`."""
    tiles, times = push.shape[1], torch.arange(push.shape[1], device=push.device).expand_as(push)
    pop = torch.cat([pop.new_zeros(len(pop), slots), pop], dim=1)
    high = compose(push - pop, push, torch.maximum)
    low = high - push
    earlier, later = Search(low), Search(low.flip(1))

    def first_after(start: Tensor, level: Tensor) -> Tensor:  # the first step after one with a level below
        return tiles - 1 - later.latest((tiles - 1 - start).flip(1) - 1, level.flip(1)).flip(1)

    below = earlier.latest(times - 1, low)
    reached = first_after(below, low + 1)
    there, under = below >= 0, below.clamp(min=0)
    cut = there & (high.gather(1, under) > low)
    beneath = TileRef(below, low - low.gather(1, under), torch.where(cut, tiles + reached, below))
    is_cut = cut & (reached == times)
    next_of_push = first_after(times, high)
    # With zero strength it is at a tie only in the next pop; an initial tile, only if it is above the cut.
    tie = (times + 1).clamp(min=slots)
    outside = (times >= slots) | (times > below[:, slots : slots + 1])
    next_of_push = torch.where(push == 0, torch.where(outside, tie, tiles), next_of_push)
    following = events(next_of_push, torch.where(is_cut, first_after(times, low), -1))
    lowest = torch.cat([low[:, 1:], torch.full_like(low[:, :1], LIMIT)], dim=1).flip(1).cummin(1).values.flip(1)
    last = torch.where(lowest < high, tiles + first_after(times, lowest + 1), times)
    after = (torch.minimum(lowest, high) - low).clamp(min=0)
    return Line(TileRef(times, push, times), beneath, following, after, last)


def queue(push: Tensor, pop: Tensor, slots: int) -> Line:
    """Lay out the line of a queue, given integer strengths `(batch, tiles)` and pops `(batch, time)`."""
    tiles, times = push.shape[1], torch.arange(push.shape[1], device=push.device).expand_as(push)
    pop = torch.cat([pop.new_zeros(len(pop), slots), pop], dim=1)
    push = push.clamp(min=0)
    high = push.cumsum(1)
    low = high - push
    front = compose(pop, low, torch.minimum)
    tile = torch.searchsorted(high, front, right=True)
    there, at = tile <= times, tile.clamp(max=tiles - 1)
    reached = torch.searchsorted(front, front)
    cut = there & (low.gather(1, at) < front)
    first = TileRef(torch.where(there, tile, -1), high.gather(1, at) - front, torch.where(cut, tiles + reached, at))
    live = torch.searchsorted(high, high, right=True)
    then = live.clamp(max=tiles - 1)
    behind = TileRef(torch.where(live < tiles, live, -1), push.gather(1, then), then)
    is_cut = cut & (reached == times)
    next_of_push = torch.maximum(torch.searchsorted(front, low, right=True), times + 1)
    # With zero strength it is at a tie only in the first pop, and only if it is before the cut.
    outside = (times < slots) & (times < tile[:, slots : slots + 1])
    next_of_push = torch.where(push == 0, torch.where(outside, slots, tiles), next_of_push)
    following = events(next_of_push, torch.where(is_cut, torch.searchsorted(front, front, right=True), -1))
    end = front[:, -1:]
    last = torch.where(end > low, tiles + reached[:, -1:], times)
    return Line(first, behind, following, (high - torch.maximum(end, low)).clamp(min=0), last)


def events(next_of_push: Tensor, next_of_pop: Tensor) -> Tensor:
    """`Line.following`, from the steps of the next event after a push and a pop; -1 for a pop that cuts nothing."""
    tiles = next_of_push.shape[1]
    after_pop = torch.where(next_of_pop < 0, tiles, next_of_pop)
    none = torch.full_like(next_of_push[:, :1], tiles)
    return tiles + torch.cat([next_of_push, after_pop, none], dim=1).clamp(max=tiles)


def walk(line: Line, slots: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """TileRef through the windows of all reads at once.

    Yields:
        The windows not yet covered, the next tile in each, the part of it inside, whether that is the whole tile,
        and its latest event. Windows, tiles and events are numbered across the batch.
    """
    batch, tiles = line.after.shape
    row = torch.arange(batch * (tiles - slots), device=line.after.device)
    time = (row % max(tiles - slots, 1)) + slots
    offset = row // max(tiles - slots, 1)
    tile, strength, event = (part[:, slots:].flatten() for part in line.first)
    after = TileRef(*(part.flatten() for part in line.next))
    missing = torch.full_like(row, UNIT)
    going = tile >= 0
    while True:
        row, time, offset, tile, strength, event, missing = (
            part[going] for part in (row, time, offset, tile, strength, event, missing)
        )
        if not len(row):
            return
        whole = strength <= missing
        weight = torch.where(whole, strength, missing)
        at = offset * tiles + tile
        yield row, at, weight, whole, offset * (2 * tiles + 1) + event
        tile, strength, event = (part[at] for part in after)
        missing = missing - weight
        going = whole & (missing > 0) & (tile >= 0) & (tile <= time)


def integers(strengths: Tensor) -> Tensor:
    """Strengths as multiples of 2^-40; infinity becomes the maximum, NaN becomes 0."""
    return (strengths.nan_to_num(0.0).clamp(max=LIMIT // UNIT) * UNIT).round().to(torch.int64)


def compose(slope: Tensor, bound: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The values of x after each step x -> choose(x + slope, bound), starting from 0, by doubling."""
    distance = 1
    while distance < slope.shape[1]:
        now, limit = slope[:, distance:], bound[:, distance:]
        bound = torch.cat([bound[:, :distance], choose(bound[:, :-distance] + now, limit)], dim=1)
        slope = torch.cat([slope[:, :distance], (slope[:, :-distance] + now).clamp(-LIMIT, LIMIT)], dim=1)
        distance *= 2
    return choose(slope, bound)


class Search:
    """Finds steps with lower levels, from the minima of levels over ranges of 1, 2, 4, ... steps.

    Args:
        levels: Shape `(batch, tiles)`.
    """

    def __init__(self, levels: Tensor) -> None:
        self.least = [levels]
        while 1 << len(self.least) <= levels.shape[1]:
            before, distance = self.least[-1], 1 << (len(self.least) - 1)
            shorter = torch.minimum(before[:, distance:], before[:, :-distance])
            self.least.append(torch.cat([before[:, :distance], shorter], dim=1))

    def latest(self, start: Tensor, level: Tensor) -> Tensor:
        """For each start, the latest step up to it with a level below the given one; -1 if there is none."""
        at = start
        for k, least in reversed(list(enumerate(self.least))):
            found = least.gather(1, at.clamp(min=0)) < level
            at = torch.where(found | (at < 0), at, at - (1 << k))
        return at.clamp(min=-1)
