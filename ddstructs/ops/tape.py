"""Single steps on the CPU: states share a tape, and each is a position on it.

A step from the end of a tape appends to it; a step from an earlier state forks it, so a state never changes. A state
also has a *token*: a tensor without storage that represents all tiles so far in the autograd graph. Its gradient is a
real buffer with a row per tile; the backward of a step receives it, adds its own contribution and passes it to the step
before. Gradients are therefore values managed by autograd, and no cleanup is needed when a backward pass stops halfway,
runs twice, or joins several branches.

Steps without gradients use separate tapes, which restart from the live tiles when they are full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from ddstructs.memory import Action, Contents
from ddstructs.ops import engine, pages, threads
from ddstructs.ops.layout import Layout, LineState, Slots, compact, strength_dtype
from ddstructs.ops.once import differentiable_once

__all__ = ["Tape", "TapeState", "empty", "extend", "locked", "record", "separate", "step"]


class Tape:
    """The history of a batch of lines: all tiles, and the log for undoing steps.

    Args:
        layout: The heads.
        start: The initial slots; copied. None if there are none.
        template: An empty tensor with the batch, width and dtype of the states on this tape.
        room: Minimum number of steps to allocate.

    Attributes:
        time: Number of steps taken.
        lock: Held while the tape is read or changed, because the engine releases the GIL.
        room: Number of steps allocated.
        floats: Values and strengths of all tiles and the log of strengths, in consecutive blocks.
        ints: The ends and order of the tiles and the rest of the log, likewise.
    """

    def __init__(self, layout: Layout, start: Slots | None, template: Tensor, room: int = 32) -> None:
        self.layout, self.template, self.dtype = layout, template, _STRENGTHS[template.dtype]
        self.heads, self.below, self.sides, self.ends = _heads(layout)
        self.batch, _, self.width = template.shape
        self.slots = 0 if start is None else start.values.shape[1]
        self.time, self.lock = 0, Lock()
        self.cursor: tuple[int, engine.Line] | None = None
        self._make_room(max(room, self.slots))
        below = self.room * self.below
        if start is not None and self.slots:
            self.values[:, : self.slots] = start.values
            engine.begin(start.strengths.contiguous().numpy(), self.line, below)
        else:
            self.ints.numpy()[: self.batch * 3].reshape(self.batch, 3)[:] = below, below, 0

    @cached_property
    def values(self) -> Tensor:
        """Values of all tiles, shape `(batch, tiles, width)`."""
        size = self.batch, self.tiles(self.room), self.width
        return self.floats[: prod(size)].view(size)

    @cached_property
    def array(self) -> engine.Array:
        """`values` as an array."""
        return self.values.numpy()

    @cached_property
    def line(self) -> engine.Line:
        """The tiles after the last step, and the log."""
        tiles, log = (self.batch, self.tiles(self.room)), (self.batch, self.room, self.heads)
        count, ends = prod(tiles), self.batch * 3
        floats, ints = self.floats.numpy()[count * self.width :], self.ints.numpy()
        return engine.Line(
            floats[:count].reshape(tiles),
            ints[ends : ends + count].reshape(tiles),
            ints[:ends].reshape(self.batch, 3),
            ints[ends + count : ends + 2 * count].reshape(tiles),
            floats[count : 2 * count].reshape(tiles),
            ints[ends + 2 * count :].reshape(log),
            floats[2 * count :].reshape(log),
        )

    @property
    def places(self) -> tuple[int, ...]:
        """The addresses of `values` and of the fields of `line`."""
        tiles = self.batch * self.tiles(self.room)
        floats, ints, size = self.floats.data_ptr(), self.ints.data_ptr(), self.dtype.itemsize
        strengths, order = floats + tiles * self.width * size, ints + self.batch * 12
        dead, last = order + 4 * tiles, strengths + tiles * size
        return floats, strengths, order, ints, dead, last, dead + 4 * tiles, last + tiles * size

    def append(self, push: Tensor, pop: Tensor, value: Tensor) -> Tensor:
        """Run a step at the end; return the read `(batch, heads, width)`."""
        time, tiles = self.time, self.tiles(self.time)
        read = np.empty((self.batch, self.heads, self.width), self.array.dtype)
        self.array[:, tiles : tiles + self.heads] = value.numpy()
        arrays = push.contiguous().numpy(), pop.contiguous().numpy(), self.array, read, *self.line
        if read.size < threads.SMALL:
            engine.step(time, self.slots, *self.ends, *arrays)
        else:

            def run(rows: slice) -> None:
                engine.step(time, self.slots, *self.ends, *(part[rows] for part in arrays))

            threads.over(run, threads.cuts(self.batch), read.size)
        self.time = time + 1
        return torch.from_numpy(read)

    def unwind(self, time: int, read_grad: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Propagate gradients back through one step.

        Args:
            time: The time before the step.
            read_grad: Gradient of its read, contiguous, shape `(batch, heads, width)`.
            grad: Gradient of the value and, last, of the strength of each tile, shape `(batch, tiles, width + 1)`, the
                last axis contiguous; changed in place from after the step to before it.

        Returns:
            The gradients of push and pop, shape `(batch, heads)`, and of value, shape `(batch, heads, width)`.
        """
        line = self.at(time + 1, private=True)
        push, pop = np.empty((2, self.batch, 1, self.heads), self.array.dtype)
        row, tile, _ = grad.stride()
        flat = grad.as_strided((grad.shape[0] * row,), (1,)).numpy()
        self.cursor = None
        reads, ends = read_grad.numpy().reshape(-1), self.ends
        if reads.size < threads.SMALL:
            engine.undo(time, self.slots, *ends, self.array, reads, flat, row, tile, push, pop, *line)
        else:
            size = self.heads * self.width

            def run(rows: slice) -> None:
                first, signals = rows.start, (part[rows] for part in (push, pop, *line))
                engine.undo(
                    time, self.slots, *ends, self.array[rows], reads[first * size :], flat[first * row :], row, tile,
                    *signals,
                )  # fmt: skip

            threads.over(run, threads.cuts(self.batch), reads.size)
        self.cursor = time, line
        value = grad.numpy()[:, -self.heads :, :-1].copy()
        return torch.from_numpy(push[:, 0]), torch.from_numpy(pop[:, 0]), torch.from_numpy(value)

    def at(self, time: int, *, private: bool = False) -> engine.Line:
        """The line as it was at a time; a private one may be rewound further.

        It is rewound from the end, or from where the last rewind stopped. A backward pass requests the times in reverse
        order, so each step is rewound once; any other order is only slower.
        """
        if time == self.time and not private:
            return self.line
        after, line = self.cursor or (-1, self.line)
        if after < time or line.dead is not self.line.dead:  # no cursor, or one from before the tape grew
            after, line = self.time, self.line.copied()
        if after > time:
            self.cursor = None
            none, signal = engine.Strided(line.strengths.reshape(-1)[:0], 0, 0), line.cut[:, :0]
            engine.rewind(
                time, after, self.slots, self.width, self.ends, np.arange(self.batch), none, none, line, none.flat,
                engine.Gradients(none, none, signal, signal),
            )  # fmt: skip
        self.cursor = time, line
        return line

    def tiles(self, time: int) -> int:
        """Number of tiles at a time, dead ones included."""
        return self.slots + time * self.heads

    def live(self, time: int) -> Tensor:
        """The live tiles at a time from bottom to top, padded with -1, shape `(batch, slots)`.

        All tiles of the last step, or of the initial state, are included: even one of zero strength has a derivative.
        """
        if not time:
            return torch.arange(self.slots).expand(self.batch, -1)
        line, first = self.at(time), self.tiles(time) - self.heads
        fresh = torch.from_numpy(line.strengths[:, first : first + self.heads] != 0)
        top = torch.tensor(self.sides, dtype=torch.bool)
        low, high = torch.from_numpy(line.ends)[:, :2, None].unbind(1)
        low, high = low + (fresh & ~top).sum(1, keepdim=True), high - (fresh & top).sum(1, keepdim=True)
        slots = torch.arange(int((high - low).max()) if self.batch else 0)
        old = torch.from_numpy(line.order).gather(1, (low + slots).clamp(max=line.order.shape[1] - 1))
        new = torch.arange(first, first + self.heads)
        below, above = (new[side].expand(self.batch, -1) for side in (~top, top))
        return torch.cat([below.flip(1), torch.where(low + slots < high, old, -1), above], dim=1)

    def look(self, time: int, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Values and strengths of tiles at a time; zero where the tile is -1."""
        real, rows = tiles >= 0, torch.arange(self.batch)[:, None]
        values, strengths = self.values[rows, tiles], torch.from_numpy(self.at(time).strengths)[rows, tiles]
        return torch.where(real[..., None], values, 0), torch.where(real, strengths, 0)

    def fork(self, time: int) -> Tape:
        """A copy of this tape as it was at a time."""
        twin = copy(self)
        twin.lock, twin.cursor, twin.time = Lock(), None, time
        twin._make_room(time + 16, self.at(time))
        return twin

    def reserve(self, steps: int) -> None:
        """Allocate room for more steps, growing by at least three quarters."""
        if self.time + steps > self.room:
            self._make_room(max(self.time + steps, self.room * 7 // 4 + 5), self.line)

    def token(self) -> Tensor:
        """The tensor that represents all tiles so far in the autograd graph."""
        return _ZEROS[self.dtype].expand(self.batch, self.tiles(self.time), self.width + 1)

    def _make_room(self, room: int, line: engine.Line | None = None) -> None:
        """Move to larger arrays, taking the steps so far from `line`.

        An odd number of steps, since with powers of two all rows would share cache lines.
        """
        before = None if line is None else self.values
        self.room = room | 1
        for name in ("values", "array", "line"):
            self.__dict__.pop(name, None)
        tiles, logs = self.batch * self.tiles(self.room), self.batch * self.room * self.heads
        self.floats = pages.empty((tiles * (self.width + 2) + logs,), self.dtype)
        self.ints = torch.empty(self.batch * 3 + 2 * tiles + logs, dtype=torch.int32)
        if line is not None and before is not None:
            time, count = self.time, self.tiles(self.time)
            self.values[:, :count] = before[:, :count]
            for new, old in zip(self.line[3:], line[3:], strict=True):
                used = count if new.ndim == 2 else time
                new[:, :used] = old[:, :used]
            self.line.strengths[:, :count] = line.strengths[:, :count]
            # Live tiles are around the initial ones, at most as far away as there were pushes on that side.
            place = (line.order.shape[1] - self.slots) // self.heads * self.below
            first, shift = place - time * self.below, self.room * self.below - place
            last = first + count
            self.line.order[:, first + shift : last + shift] = line.order[:, first:last]
            self.line.ends[:] = line.ends
            self.line.ends[:, :2] += shift


_STRENGTHS = {dtype: strength_dtype(dtype) for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16)}
_ZEROS = {dtype: torch.zeros((), dtype=dtype) for dtype in (torch.float32, torch.float64)}


@cache
def _heads(layout: Layout) -> tuple[int, int, list[int], engine.Heads]:
    """The number of heads, of those that push at the bottom, and the ends at which they push and take."""
    pushes = [int(head.push) for head in layout]
    return len(layout), pushes.count(0), pushes, engine.Heads.at(pushes, [int(head.take) for head in layout])


@dataclass(frozen=True, eq=False)
class TapeState(LineState):
    """The state of a line: a tape and a time.

    Attributes:
        tape: The tape, shared with earlier and later states.
        time: Number of steps on it so far.
        token: Receives the gradient of the tiles, shape `(batch, tiles, width + 1)`; None if no tile needs one.
    """

    tape: Tape
    time: int
    token: Tensor | None

    def slots(self) -> Slots:
        with self.tape.lock:
            tiles = self.tape.live(self.time)
            if self.token is None:
                values, strengths = self.tape.look(self.time, tiles)
            else:
                values, strengths = Export.apply(self.tape, self.time, tiles, self.token)  # type: ignore[no-untyped-call]
        return Slots(values.to(self.template.dtype), strengths, self.layout)

    @property
    def layout(self) -> Layout:  # type: ignore[override]
        return self.tape.layout

    @property
    def template(self) -> Tensor:
        return self.tape.template

    # A tape cannot change its device or rows, so the state is converted to slots.

    def map(self, function: Callable[[Tensor], Tensor]) -> Slots:  # type: ignore[override]
        return self.slots().map(function)

    def detach(self) -> LineState:  # type: ignore[override]
        if self.token is None:
            return self
        with torch.no_grad():
            return self.slots()

    def __reduce__(self) -> tuple[Any, ...]:
        slots = self.slots()
        return Slots, (slots.values, slots.strengths, slots.layout)


def step(layout: Layout, action: Action, state: LineState) -> tuple[Tensor, TapeState]:
    """One time step: the read `(batch, heads, width)` and the state after."""
    push, pop, value = action
    state = record(layout, state)
    dtype = value.dtype
    if dtype != state.tape.dtype:
        value = value.to(state.tape.dtype)
    differentiate = torch.is_grad_enabled() and (
        state.token is not None or push.requires_grad or pop.requires_grad or value.requires_grad
    )
    with state.tape.lock:
        tape, token = extend(state, 1, differentiate)
        if differentiate:
            read, token = Step.apply(tape, token, push, pop, value)  # type: ignore[no-untyped-call]
        else:
            read = tape.append(push.detach(), pop.detach(), value.detach())
        return read if read.dtype == dtype else read.to(dtype), TapeState(tape, tape.time, token)


def extend(state: TapeState, steps: int, differentiate: bool) -> tuple[Tape, Tensor | None]:
    """A tape that ends at a state with room for some steps, and its token. The caller locks the state's tape."""
    tape, time, token = state.tape, state.time, state.token
    if token is not None and differentiate:
        if tape.time != time:
            tape = tape.fork(time)
    elif token is not None or (time > 0 and differentiate) or tape.time != time or time + steps > tape.room:
        tape = Tape(tape.layout, Slots(*tape.look(time, tape.live(time))), tape.template, max(32, steps))
        token = None
    tape.reserve(steps)
    return tape, token


def empty(layout: Layout, batch: int, width: int, dtype: torch.dtype, room: int) -> TapeState:
    """The state of an empty line on a tape with room for some steps."""
    return TapeState(Tape(layout, None, torch.empty(batch, 0, width, dtype=dtype), room), 0, None)


def record(layout: Layout, state: LineState, room: int = 32) -> TapeState:
    """The state on a tape: its own, or a new one with room for some steps if it has none."""
    if isinstance(state, TapeState) and state.tape.layout == layout:
        return state
    slots = state.slots()
    values, strengths = slots.values.to(strength_dtype(slots.values.dtype)), slots.strengths
    if torch.is_grad_enabled() and (values.requires_grad or strengths.requires_grad):
        tape = Tape(layout, Slots(values.detach(), strengths.detach()), slots.template.detach(), room)
        return TapeState(tape, 0, Import.apply(values, strengths))  # type: ignore[no-untyped-call]
    live = compact(Contents(values.detach(), strengths.detach()))
    return TapeState(Tape(layout, Slots(*live), slots.template.detach(), room), 0, None)


def separate(layouts: Sequence[Layout], states: Sequence[LineState], room: int) -> list[TapeState]:
    """The states of several lines, each on a tape of its own, as `record` makes it; states may share a tape before."""
    found: list[TapeState] = []
    for layout, state in zip(layouts, states, strict=True):
        own = record(layout, state, room)
        if any(own.tape is other.tape for other in found):
            own = record(layout, own.slots(), room)
        found.append(own)
    return found


@contextmanager
def locked(tapes: Sequence[Tape]) -> Iterator[None]:
    """Hold the locks of different tapes, acquired in the same order by all threads."""
    with ExitStack() as held:
        for tape in sorted(tapes, key=id):
            held.enter_context(tape.lock)
        yield


class Import(Function):
    """From slots that need a gradient to the token of a tape that starts with them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, strengths: Tensor) -> Tensor:
        return values.new_zeros(()).expand(*values.shape[:2], values.shape[2] + 1)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad[..., :-1].clone(), grad[..., -1].clone()


class Export(Function):
    """From a token to the values and strengths of the live tiles."""

    @staticmethod
    def forward(tape: Tape, time: int, tiles: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        return tape.look(time, tiles)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        # Separate from forward, so that torch.func transforms can use a state from outside.
        tape, time, ctx.tiles, _ = inputs
        ctx.count = tape.tiles(time)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, values: Tensor, strengths: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        parts = torch.cat([values, strengths[..., None]], dim=-1) * (ctx.tiles >= 0)[..., None]
        grad = parts.new_zeros(len(parts), ctx.count, parts.shape[-1])
        grad.index_put_((torch.arange(len(parts))[:, None], ctx.tiles), parts, accumulate=True)
        return None, None, None, grad


class Step(Function):
    """One step at the end of a tape."""

    @staticmethod
    def forward(
        ctx: Any, tape: Tape, token: Tensor | None, push: Tensor, pop: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.step = tape, tape.time, token is None
        ctx.set_materialize_grads(False)
        read = tape.append(push.detach(), pop.detach(), value.detach())
        return read, tape.token()

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, read_grad: Tensor | None, grad: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        tape, time, first = ctx.step
        # The gradient of a token has one owner at a time, which may change it in place.
        if grad is None:
            grad = torch.zeros(tape.batch, tape.tiles(time + 1), tape.width + 1, dtype=tape.dtype)
        if read_grad is None:
            read_grad = torch.zeros(tape.batch, tape.heads, tape.width, dtype=tape.dtype)
        if grad.stride(2) != 1:
            grad = grad.contiguous()
        with tape.lock:
            push, pop, value = tape.unwind(time, read_grad.contiguous(), grad)
        return None, None if first else grad.narrow(1, 0, tape.tiles(time)), push, pop, value
