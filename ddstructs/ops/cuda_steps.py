"""Single steps on CUDA without gradients, as in decoding: one kernel each, on values that states share.

Values lie side by side in an array with room at the ends where heads push. A step writes the new values beyond those of
the state it starts from, so no earlier state changes; a second step from the same state, or one without room, moves the
live slots to an array of its own. Strengths change in every step, so each state has its own.
"""

# Triton interprets annotations and supports only constexpr, and it has no conditional expressions on tensors.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-incomplete-defs
# pyright: reportGeneralTypeIssues=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

from ddstructs.memory import Action, Contents
from ddstructs.ops.layout import End, Layout, LineState, Slots, compact
from ddstructs.ops.phases import bits
from ddstructs.ops.triton import on
from ddstructs.ops.walks import compiled

__all__ = ["SharedState", "SharedValues", "constants", "step", "step_row"]

ROOM = 32
"""Minimum number of steps that a new array has room for."""


@compiled
def remaining(amount, total, strength):
    """What is left of an amount at each of some slots, after those before and `total`; and the total after them.

    Sums are in float64, of many slots at a time: without gradients it does not matter which side of a tie is taken.
    """
    exact = strength.to(tl.float64)
    missing = amount - (total + tl.cumsum(exact, 0) - exact).to(strength.dtype)
    return tl.where(missing <= 0, 0, missing), total + tl.sum(exact, 0)  # written so that NaN propagates


@compiled
def places(start, count, lanes, top: tl.constexpr):
    """The next slots from an end of a line, and which of them exist."""
    slot = start + lanes
    inside = slot < count
    if top:
        slot = count - 1 - slot
    return slot, inside


@compiled
def pop_slots(amount, strengths, count, top: tl.constexpr, span: tl.constexpr):
    """Pop from an end of a line, in place."""
    lanes, start, going = tl.arange(0, span), count * 0, count > 0
    total = tl.full((), 0, tl.float64)
    while going:
        slot, inside = places(start, count, lanes, top)
        strength = tl.load(strengths + slot, mask=inside, other=0)
        missing, total = remaining(amount, total, strength)
        tl.store(strengths + slot, tl.where(strength <= missing, 0, strength - missing), mask=inside)
        start += span
        going = (start < count) & ~(amount - total.to(strengths.dtype.element_ty) <= 0)


@compiled
def window(strengths, count, top: tl.constexpr, span: tl.constexpr):
    """The number of slots to look at for a read, a multiple of `span`."""
    lanes, start, going = tl.arange(0, span), count * 0, count > 0
    total = tl.full((), 0, tl.float64)
    while going:
        slot, inside = places(start, count, lanes, top)
        total += tl.sum(tl.load(strengths + slot, mask=inside, other=0).to(tl.float64), 0)
        start += span
        going = (start < count) & ~(1 - total.to(strengths.dtype.element_ty) <= 0)
    return start


@compiled
def read_slots(
    strengths, values, count, width, top: tl.constexpr, padded: tl.constexpr, block: tl.constexpr, span: tl.constexpr
):
    """Read at an end of a line."""
    lanes, columns = tl.arange(0, block), tl.arange(0, padded)
    kind = strengths.dtype.element_ty
    total, read = tl.full((), 0, tl.float64), tl.zeros((padded,), kind)
    # Not one loop that ends when the total is reached: some releases of Triton cannot compile that.
    for start in range(0, window(strengths, count, top, span), block):
        slot, inside = places(start, count, lanes, top)
        strength = tl.load(strengths + slot, mask=inside, other=0)
        missing, total = remaining(1, total, strength)
        weight = tl.where(strength <= missing, strength, missing)
        used = inside & (weight != 0)
        at = values + slot.to(tl.int64)[:, None] * width + columns[None, :]
        value = tl.load(at, mask=used[:, None] & (columns < width)[None, :], other=0)
        read += tl.sum(tl.where(used, weight, 0)[:, None] * value.to(kind), 0)
    return read


@cast(
    "Callable[[Callable[..., Any]], Any]",
    triton.jit(
        do_not_specialize=("slots", "first", "room"),  # which are others in each step
        do_not_specialize_on_alignment=("before", "after", "value", "reads"),
    ),
)
def step_row(
    push, pop, value, before, after, values, reads, slots, first, room, width,
    heads: tl.constexpr, pushes: tl.constexpr, takes: tl.constexpr, below: tl.constexpr, padded: tl.constexpr,
    block: tl.constexpr, span: tl.constexpr,
):  # fmt: skip
    """One step of a row, as in `reference.step`.

    Args:
        push: d_t, shape `(batch, heads)`.
        pop: u_t, likewise.
        value: v_t, shape `(batch, heads, width)`.
        before: Strengths before the step, shape `(batch, slots)`.
        after: Strengths after it, shape `(batch, slots + heads)`.
        values: The array of values, shape `(batch, room, width)`.
        reads: r_t, in the shape of `value`.
        slots: Number of slots before the step.
        first: Place of the first slot after the step in `values`.
        room: Number of places in `values`.
        width: Size of a value.
        heads: Number of heads.
        pushes: The ends at which they push, as bits.
        takes: The ends at which they pop and read.
        below: The number of heads that push at the bottom.
        padded: The width as a power of two.
        block: Number of slots that are read at a time.
        span: Number of strengths that are looked at at a time.
    """
    row = tl.program_id(0).to(tl.int64)
    push, pop = push + row * heads, pop + row * heads
    value, reads = value + row * heads * width, reads + row * heads * width
    before, after, values = before + row * slots, after + row * (slots + heads), values + (row * room + first) * width
    lanes, columns = tl.arange(0, span), tl.arange(0, padded)
    inside = columns < width
    for start in range(0, slots, span):
        old = start + lanes < slots
        tl.store(after + below + start + lanes, tl.load(before + start + lanes, mask=old), mask=old)
    tl.debug_barrier()
    for h in tl.static_range(heads):
        pop_slots(tl.load(pop + h), after + below, slots, (takes >> h) & 1, span)
        tl.debug_barrier()
    bottom, top = slots * 0 + below - 1, slots + below
    for h in tl.static_range(heads):
        if (pushes >> h) & 1:
            slot = top
            top += 1
        else:
            slot = bottom
            bottom -= 1
        tl.store(after + slot, tl.load(push + h))
        new = tl.load(value + h * width + columns, mask=inside)
        tl.store(values + slot.to(tl.int64) * width + columns, new, mask=inside)
    tl.debug_barrier()
    for h in tl.static_range(heads):
        read = read_slots(after, values, slots + heads, width, (takes >> h) & 1, padded, block, span)
        tl.store(reads + h * width + columns, read.to(reads.dtype.element_ty), mask=inside)


class SharedValues:
    """An array of values, and the part of it that is in use.

    Attributes:
        places: The values, shape `(batch, room, width)`.
        low: The first place in use.
        high: The place after the last in use.
        lock: Held while places are taken.
    """

    def __init__(self, places: Tensor, low: int, high: int) -> None:
        self.places, self.low, self.high, self.lock = places, low, high, Lock()


@dataclass(frozen=True, eq=False)
class SharedState(LineState):
    """The state of a line: its strengths, and the part of an array that holds its values.

    Attributes:
        layout: The heads.
        values: The array, shared with earlier and later states.
        low: The place of the first slot.
        strengths: Remaining strength of each slot from bottom to top, shape `(batch, slots)`.
    """

    layout: Layout  # pyright: ignore[reportIncompatibleVariableOverride]  # always known
    values: SharedValues
    low: int
    strengths: Tensor

    def slots(self) -> Slots:
        return Slots(self.values.places[:, self.low : self.high], self.strengths, self.layout)

    @property
    def high(self) -> int:
        """The place after the last slot."""
        return self.low + self.strengths.shape[1]

    @property
    def template(self) -> Tensor:
        return self.values.places[:, :0]

    # An array has one device and one batch, so the state is converted to slots.

    def map(self, function: Callable[[Tensor], Tensor]) -> Slots:  # type: ignore[override]
        return self.slots().map(function)

    def detach(self) -> SharedState:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        slots = self.slots()
        return Slots, (slots.values.clone(), slots.strengths, slots.layout)


def step(layout: Layout, action: Action, state: LineState) -> tuple[Tensor, SharedState]:
    """One time step: the read `(batch, heads, width)` and the state after."""
    push, pop, value = (part.detach().contiguous() for part in action)
    sides = [int(head.push) for head in layout]
    below, above = sides.count(End.BOTTOM), sides.count(End.TOP)
    values, low, before = _place(layout, state, below, above)
    batch, slots = before.shape
    after, reads = before.new_empty(batch, slots + len(layout)), torch.empty_like(value)
    if batch:
        with on(value):
            step_row[(batch,)](
                push, pop, value, before, after, values.places, reads, slots, low, values.places.shape[1],
                value.shape[-1], **constants(layout, value.shape[-1]),
            )  # fmt: skip
    return reads, SharedState(layout, values, low, after)


def _place(layout: Layout, state: LineState, below: int, above: int) -> tuple[SharedValues, int, Tensor]:
    """An array with room for a step from a state, the place of its first slot after the step, and its strengths."""
    if isinstance(state, SharedState) and state.layout == layout:
        values, low, high = state.values, state.low - below, state.high + above
        with values.lock:
            if (values.low, values.high) == (state.low, state.high) and low >= 0 and high <= values.places.shape[1]:
                values.low, values.high = low, high
                return values, low, state.strengths
    slots = state.slots()
    live = Contents(slots.values.detach(), slots.strengths.detach())
    if live.strengths.shape[1]:
        live = compact(live)
    batch, count, width = live.values.shape
    steps = max(ROOM, count)
    first, room = steps * below, count + steps * (below + above)
    places = live.values.new_empty(batch, room, width)
    places[:, first : first + count] = live.values
    values = SharedValues(places, first - below, first + count + above)
    return values, values.low, live.strengths.contiguous()


def constants(layout: Layout, width: int) -> dict[str, int]:
    """Compile-time constants of `step_row`."""
    pushes, takes = ([int(head[end]) for head in layout] for end in (0, 1))
    padded = triton.next_power_of_2(width)
    return {
        **bits(pushes, takes), "below": pushes.count(0), "padded": padded, "block": max(16, min(128, 8192 // padded)),
        "span": 256, "num_warps": 4, "enable_fp_fusion": False,
    }  # fmt: skip
