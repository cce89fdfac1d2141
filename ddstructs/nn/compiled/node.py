"""The compiled loop as one node of autograd, over the parameters as they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from ddstructs.nn.compiled.arrays import Given, Grads, Ring, Shape, Start, Told
from ddstructs.nn.compiled.backward import backward
from ddstructs.nn.compiled.cells import Cell
from ddstructs.nn.compiled.elman import Elman
from ddstructs.nn.compiled.forward import forward
from ddstructs.nn.compiled.gru import GRU
from ddstructs.nn.compiled.line import Line
from ddstructs.nn.compiled.lstm import LSTM
from ddstructs.nn.compiled.plan import Plan, plan, slices
from ddstructs.nn.compiled.weights import Parameters, empty_grads, measure, packed, unpacked
from ddstructs.nn.network import Noise
from ddstructs.ops import engine, threads
from ddstructs.ops.engine import Array, Strided
from ddstructs.ops.once import differentiable_once
from ddstructs.ops.tape import Tape

__all__ = ["CELLS", "Setup", "Steps"]

CELLS: dict[str, type[Cell]] = {"RNNCell": Elman, "LSTMCell": LSTM, "GRUCell": GRU}
"""The cells that are supported, by the name of torch's class."""


class Setup(NamedTuple):
    """What a run is besides tensors.

    Attributes:
        kind: The cell.
        tape: The tape, which ends at the state of the memory.
        lengths: How many steps of each row count.
        reset: Before which steps a row begins afresh, shape `(batch, time)`; `(0, 0)` if never.
        noise: The noise to add.
        hard: Whether signals are rounded.
        told: Whether actions and reads are wanted.
        differentiate: Whether backward may run.
    """

    kind: type[Cell]
    tape: Tape
    lengths: Array
    reset: Array
    noise: Noise
    hard: bool
    told: bool
    differentiate: bool


class Slice(NamedTuple):
    """A slice of the batch: its rows, its blocks, and what forward keeps for backward."""

    rows: Array
    plan: Plan
    fed: Array
    signals: Array
    gates: Array
    kept: Array
    seen: Array


class Steps(Function):
    """All steps, from the state before the first one.

    Returns the output, `(batch, time, hidden)`; push, pop, value and reads, or None; the token of the tape; the last
    read; the states of the cell.
    """

    @staticmethod
    def forward(
        ctx: Any,
        setup: Setup,
        token: Tensor | None,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
        action: Tensor,
        action_bias: Tensor,
        value: Tensor | None,
        read: Tensor | None,
        initial: Tensor | None,
        first_read: Tensor | None,
        *hidden: Tensor,
    ) -> tuple[Tensor | None, ...]:
        kind, tape, lengths, reset, noise, hard, told, differentiate = setup
        weights = weight_ih, weight_hh, bias_ih, bias_hh, action, action_bias, value, read
        parameters = Parameters(*(None if part is None else part.detach().numpy() for part in weights))  # type: ignore[arg-type]
        (batch, time, inputs), heads = x.shape, tape.heads
        shape = measure(kind, parameters, time, inputs, heads)
        panels = packed(kind, shape, parameters, transposed=False)
        dtype, start = parameters.weight_hh.dtype, tape.time
        fresh = _row(shape, None if initial is None else initial.detach().numpy(), dtype)
        kept_size = shape.wide if kind.states > 1 else 0
        outcome = _empty_like(x, shape.hidden, dtype)
        sizes = ((heads,), (heads,), (heads, tape.width), (heads, tape.width)) if told else ()
        answers = [np.empty((batch, time, *size), dtype) for size in sizes]
        results = Told(_strided(outcome), *_told(answers or [None] * 4, dtype))
        reads_noise, state_noise = _noise(noise, dtype)
        given = Given(_strided(x.detach()), _NONE, _NONE, lengths, reset, reads_noise, state_noise, hard)
        last = [np.empty((batch, shape.hidden), dtype) for _ in range(kind.states)]
        last_read = np.empty((batch, shape.reads), dtype)
        memory = _memory(tape, start, tape.line, None)

        def run(rows: Array) -> Slice:
            cut = plan(lengths[rows], reset[rows] if len(reset) else reset)
            count = cut.rows if differentiate else cut.most
            part = Slice(
                rows, cut, np.empty(cut.places * (shape.wide + shape.wide_reads), dtype),
                np.empty(cut.rows * shape.wide_signals, dtype),
                np.empty((count if kind.lasting else cut.most) * shape.sums, dtype),
                np.empty(cut.places * kept_size, dtype), np.empty(cut.rows * shape.wide if kind.seeing else 0, dtype),
            )  # fmt: skip
            places, kept = np.repeat(fresh[0][None], len(rows), 0), np.repeat(fresh[1][None, :kept_size], len(rows), 0)
            if hidden:
                places[:, : shape.hidden] = hidden[0].detach().numpy()[rows]
                for state in hidden[1:]:
                    kept[:, : shape.hidden] = state.detach().numpy()[rows]
            if first_read is not None:
                places[:, shape.wide : shape.wide + shape.reads] = first_read.detach().numpy().reshape(batch, -1)[rows]
            forward(
                kind(part.gates, part.kept, part.seen, _EMPTY[dtype.char]), differentiate and kind.lasting, memory,
                shape, panels, given._replace(blocks=cut.blocks, rows=rows, lengths=lengths[rows]),
                Start(places.reshape(-1), kept.reshape(-1), *fresh), _ring(shape, cut, len(rows), dtype, back=False),
                part.fed, part.signals, results,
            )  # fmt: skip
            last[0][rows], last_read[rows] = places[:, : shape.hidden], places[:, shape.wide : shape.wide + shape.reads]
            if kept_size:
                last[1][rows] = kept[:, : shape.hidden]
            return part

        parts = threads.over(run, slices(lengths), _work(shape, lengths))
        tape.time = start + time
        if differentiate:
            kept_arrays = [torch.from_numpy(array) for part in parts for array in part[2:]]
            ctx.save_for_backward(x, *weights, *kept_arrays)
            ctx.run = setup._replace(tape=tape), start, shape, [part[:2] for part in parts]
            ctx.given = token is not None, initial is not None, first_read is not None, len(hidden)
        ctx.set_materialize_grads(False)
        return (
            outcome, *(map(torch.from_numpy, answers) if told else [None] * 4), tape.token(),
            torch.from_numpy(last_read.reshape(batch, heads, tape.width)), *map(torch.from_numpy, last),
        )  # fmt: skip

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        output_grad, push, pop, value, reads, tiles_grad, read_grad, *hidden_grads = grads
        (kind, tape, lengths, reset, _, hard, _, _), start, shape, cuts = ctx.run
        continued, learned, read_given, hidden_given = ctx.given
        x, *tensors = ctx.saved_tensors
        parameters = Parameters(*(None if part is None else part.numpy() for part in tensors[:8]))  # type: ignore[arg-type]
        arrays = [part.numpy() for part in tensors[8:]]
        batch, dtype = len(x), parameters.weight_hh.dtype
        panels = packed(kind, shape, parameters, transposed=True)
        given_grads = Told(
            _NOTHING[dtype.char] if output_grad is None else _strided(output_grad),
            *_told([None if part is None else _array(part) for part in (push, pop, value, reads)], dtype),
        )  # fmt: skip
        dx = _empty_like(x, shape.inputs, dtype) if ctx.needs_input_grad[2] else None
        dx_place = _NOTHING[dtype.char] if dx is None else _strided(dx)
        nothing = np.empty((0, 0, 0), dtype)
        given = Given(_strided(x), _NONE, _NONE, lengths, reset, nothing, nothing, hard)
        kept_size = shape.wide if kind.states > 1 else 0
        firsts = [np.empty((batch, shape.hidden), dtype) for _ in range(hidden_given)]
        first_read = np.empty((batch, shape.reads), dtype)

        def run(part: Slice) -> tuple[Grads, Array]:
            rows = part.rows
            places = np.zeros((len(rows), shape.wide + shape.wide_reads), dtype)
            kept = np.zeros((len(rows), kept_size), dtype)
            if read_grad is not None:
                places[:, shape.wide : shape.wide + shape.reads] = read_grad.detach().numpy().reshape(batch, -1)[rows]
            for to, hidden_grad in zip((places, kept), hidden_grads, strict=False):
                if hidden_grad is not None:
                    to[:, : shape.hidden] = hidden_grad.detach().numpy()[rows]
            found = empty_grads(shape, dtype, dx_place)
            backward(
                kind(part.gates, part.kept, part.seen, kept.reshape(-1)), memory, shape, panels,
                given._replace(blocks=part.plan.blocks, rows=rows, lengths=lengths[rows]),
                _ring(shape, part.plan, len(rows), dtype, back=True), part.fed, part.signals, places.reshape(-1),
                given_grads, found,
            )  # fmt: skip
            first_read[rows] = places[:, shape.wide : shape.wide + shape.reads]
            for first, grad in zip(firsts, (places, kept), strict=False):
                first[rows] = grad[:, : shape.hidden]
            fresh = np.zeros((kind.states, shape.hidden), dtype)
            for state, (grad, afresh) in enumerate(zip((places, kept), found[8:10], strict=False)):
                if state < kind.states:
                    fresh[state] = afresh[: shape.hidden]
                    if not hidden_given:
                        fresh[state] += grad[:, : shape.hidden].sum(0)
            return found, fresh

        with tape.lock:
            memory, tiles_grad = _undone(tape, start, start + shape.time, tiles_grad, continued)
            tape.cursor = None
            pieces = [Slice(rows, cut, *arrays[5 * i : 5 * i + 5]) for i, (rows, cut) in enumerate(cuts)]
            results = threads.over(run, pieces, 2 * _work(shape, lengths))
            tape.cursor = start, memory.line
        total, initial = results[0]
        for more, fresh in results[1:]:  # in the order of the slices, whoever came first
            initial += fresh
            for into, part in zip(total[1:8], more[1:8], strict=True):
                into += part
        found = unpacked(kind, shape, total, parameters)
        weights = [
            torch.from_numpy(grad) if given is not None and needed else None
            for given, grad, needed in zip(parameters, found, ctx.needs_input_grad[3:11], strict=True)
        ]
        return (
            None, tiles_grad if continued else None, dx, *weights, torch.from_numpy(initial) if learned else None,
            torch.from_numpy(first_read.reshape(batch, tape.heads, -1)) if read_given else None,
            *map(torch.from_numpy, firsts),
        )  # fmt: skip


_NONE = np.empty((0, 0), np.int64)
_EMPTY = {kind: np.empty(0, kind) for kind in "fd"}
_NOTHING = {kind: Strided(empty, 0, 0) for kind, empty in _EMPTY.items()}


def _work(shape: Shape, lengths: Array) -> int:
    """Multiplications in all steps."""
    place = shape.wide + shape.wide_reads
    return int(lengths.sum()) * (shape.sums * (place + shape.wide_inputs) + shape.wide * place)


def _row(shape: Shape, initial: Array | None, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The place and the state beside the output with which a row begins."""
    place, kept = np.zeros(shape.wide + shape.wide_reads, dtype), np.zeros(shape.wide, dtype)
    if initial is not None:
        for part, state in zip((place, kept), initial, strict=False):
            part[: shape.hidden] = state
    return place, kept


def _ring(shape: Shape, cut: Plan, batch: int, dtype: np.dtype[Any], *, back: bool) -> Ring:
    most, acted, later = cut.most, shape.wide_reads + shape.wide_signals, cut.most if back else 0
    signals = batch, 1, shape.heads
    return Ring(
        np.zeros(most * shape.wide_inputs, dtype), np.zeros(most * acted, dtype), np.zeros(most * shape.wide, dtype),
        np.empty(later * shape.wide_reads, dtype), np.empty(later * shape.sums, dtype), np.empty(signals, dtype),
        np.empty(signals, dtype), np.empty(batch * shape.reads + shape.wide_reads, dtype),
        np.zeros(later * acted, dtype),
    )  # fmt: skip


def _array(part: Tensor) -> Array:
    return part.detach().contiguous().numpy()


def _told(parts: list[Any], dtype: np.dtype[Any]) -> list[Array]:
    """Push, pop, value and reads, or their gradients, with the values of all heads side by side."""
    none = np.empty((0, 0, 0), dtype)
    return [none if part is None else part.reshape(*part.shape[:2], -1) for part in parts]


def _noise(noise: Noise, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    none = np.empty((0, 0, 0), dtype)
    reads = none if noise.reads is None else noise.reads.contiguous().numpy().reshape(*noise.reads.shape[:2], -1)
    states = none if noise.states is None or not len(noise.states) else noise.states[0].contiguous().numpy()
    return reads, states


def _empty_like(x: Tensor, size: int, dtype: np.dtype[Any]) -> Tensor:
    """An uninitialised sequence in the order of the axes of x, but of vectors of another size."""
    batch, time, _ = x.shape
    if x.stride(0) < x.stride(1):
        return torch.from_numpy(np.empty((time, batch, size), dtype).transpose(1, 0, 2))
    return torch.from_numpy(np.empty((batch, time, size), dtype))


def _strided(sequence: Tensor) -> Strided:
    """A sequence `(batch, time, size)` by row and step."""
    if sequence.stride(2) != 1 and sequence.shape[2] != 1:
        sequence = sequence.contiguous()
    row, step, _ = sequence.stride()
    (batch, time, size) = sequence.shape
    extent = (batch - 1) * row + (time - 1) * step + size if batch else 0
    return Strided(sequence.as_strided((extent,), (1,)).numpy(), row, step)


def _memory(tape: Tape, start: int, line: engine.Line, grads: tuple[Strided, Strided] | None) -> Line:
    """The memory of the network, on its tape."""
    values, none = tape.array, _NOTHING[tape.array.dtype.char]
    flat, row = values.reshape(-1), values.shape[1] * tape.width
    initial = Strided(flat, row, tape.width)
    pushed = Strided(flat[tape.slots * tape.width :], row, tape.width)
    return Line(start, tape.slots, tape.width, tape.ends, initial, pushed, line, *(grads or (none, none)))


def _undone(
    tape: Tape, start: int, stop: int, tiles_grad: Tensor | None, continued: bool
) -> tuple[Line, Tensor | None]:
    """The memory as of the last step, to be undone, and the gradient of its tiles before the first if asked for."""
    line, count = tape.at(stop, private=True), tape.tiles(stop)
    dtype, batch, width = tape.array.dtype, tape.batch, tape.width
    if tiles_grad is None and not continued:
        values, strengths = np.zeros((batch, count | 1, width), dtype), np.zeros((batch, count), dtype)
        near = Strided(strengths.reshape(-1), count, 1)
        return _memory(tape, start, line, (Strided(values.reshape(-1), (count | 1) * width, width), near)), None
    if tiles_grad is None:
        tiles_grad = torch.from_numpy(np.zeros((batch, count, width + 1), dtype))
    elif tiles_grad.stride(2) != 1:
        tiles_grad = tiles_grad.contiguous()
    row, tile, _ = tiles_grad.stride()
    flat = tiles_grad.as_strided((batch * row,), (1,)).numpy()
    grads = Strided(flat, row, tile), Strided(flat[width:], row, tile)
    return _memory(tape, start, line, grads), tiles_grad.narrow(1, 0, tape.tiles(start))
