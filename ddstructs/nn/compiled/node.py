"""The compiled loop as one autograd node, directly on the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from ddstructs.nn.compiled.arrays import Cut
from ddstructs.nn.compiled.call import Call, Tensors
from ddstructs.nn.compiled.cells import Cell
from ddstructs.nn.compiled.deep import Deep
from ddstructs.nn.compiled.elman import Elman
from ddstructs.nn.compiled.entry import buffer_size, enter_backward, enter_forward
from ddstructs.nn.compiled.geometry import Geometry, Sizes, geometry
from ddstructs.nn.compiled.gru import GRU
from ddstructs.nn.compiled.lstm import LSTM
from ddstructs.nn.compiled.tapes import heads_of, prepare_undo, table_of, tape_row
from ddstructs.nn.compiled.weights import Parameters, pack_weights, unpack_grads
from ddstructs.nn.network import Noise
from ddstructs.ops import threads
from ddstructs.ops.engine import Array
from ddstructs.ops.once import differentiable_once
from ddstructs.ops.pages import empty
from ddstructs.ops.tape import Tape, locked
from ddstructs.ops.vectors import BYTES

__all__ = ["CELLS", "Setup", "Steps"]

CELLS: dict[str, type[Cell]] = {"RNNCell": Elman, "LSTMCell": LSTM, "GRUCell": GRU, "DeepCell": Deep}
"""The supported cells, by the name of their class."""

WEIGHTS = len(Parameters._fields)


class Setup(NamedTuple):
    """The arguments of a run other than tensors.

    Attributes:
        kind: The cell.
        tapes: The tape of each line of the memory; each ends at the state to start from.
        time: Number of steps.
        batch: Number of rows.
        cuts: The slices of the batch.
        packed: Positions of the rows and of the steps if x is packed; None if x is padded.
        reset: Steps before which a row is reset, shape `(batch, time)`; `(0, 0)` if there are none.
        noise: The noise to add.
        hard: Whether signals are rounded.
        record: Whether actions and reads are returned.
        differentiate: Whether backward may run.
        states: Number of states of the cell passed in; 0 to start from the initial ones.
    """

    kind: type[Cell]
    tapes: Sequence[Tape]
    time: int
    batch: int
    cuts: Sequence[Cut]
    packed: tuple[Array, Array] | None
    reset: Array
    noise: Noise
    hard: bool
    record: bool
    differentiate: bool
    states: int


class Steps(Function):
    """All steps of a network.

    Returns the output, shaped like x except for its size; push, pop, value and reads, or None; the last read; the
    states of the cell; and the token of each tape.
    """

    @staticmethod
    def forward(
        ctx: Any,
        setup: Setup,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
        action: Tensor | None,
        action_bias: Tensor | None,
        skip: Tensor | None,
        read: Tensor | None,
        layer: Tensor | None,
        layer_bias: Tensor | None,
        initial: Tensor | None,
        first_read: Tensor | None,
        *others: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        kind, tapes, time, batch, cuts, packed, reset, noise, hard, record, differentiate, states = setup
        dtype, width = x.dtype, tapes[0].width if tapes else 0
        like, lanes = _LIKE[dtype], BYTES // dtype.itemsize
        pushes, takes = heads_of(tuple(tape.layout for tape in tapes))
        heads = len(pushes)
        hidden_size = weight_hh.shape[1]
        network = geometry(
            kind,  # type: ignore[arg-type]  # a class is hashable, whatever its instances are
            Sizes(
                time, batch, x.shape[-1], hidden_size, heads, width, lanes, 0 if skip is None else len(skip),
                read is not None,
            ),
        )  # fmt: skip
        shape, layout, parts, gates = network
        weights = weight_ih, weight_hh, bias_ih, bias_hh, action, action_bias, skip, read, layer, layer_bias
        panels = torch.empty(layout.size, dtype=dtype)
        whole = _contiguous(weights)
        pack_weights(shape, layout, parts, gates, Parameters(*_addresses(whole)), False, panels.data_ptr(), like)
        keep_gates = differentiate and kind.keep_gates
        source = x if x.stride(-1) == 1 else x.contiguous()
        output = _like(x, hidden_size)
        sizes = ((heads,), (heads,), (heads, width), (heads, width)) if record else ()
        recorded = [empty((batch, time, *size), dtype) for size in sizes]
        last_read = torch.empty(batch, heads, width, dtype=dtype)
        last = [torch.empty(batch, hidden_size, dtype=dtype) for _ in range(kind.states)]
        table = table_of([tape_row(tape, tape.time, tape.places) for tape in tapes])
        x_rows, x_steps = _offsets(source, packed)
        rows, steps = _offsets(output, packed)
        call = Call(
            parts, x_rows, x_steps, rows, steps, rows, steps, reset, table, pushes, takes, panels.data_ptr(), width,
            hard, packed is None, keep_gates, like, _INTEGERS,
        )  # fmt: skip
        more = _contiguous((initial, first_read, *others[:states], *noise))
        at = _addresses(more)
        to = _addresses(recorded) or [0] * 4
        tensors = Tensors(
            x=source.data_ptr(), output=output.data_ptr(), push=to[0], pop=to[1], value=to[2], reads=to[3],
            initial=at[0], first_read=at[1], first_output=at[2] if states else 0,
            first_state=at[3] if states > 1 else 0,
            last_read=last_read.data_ptr(), last_output=last[0].data_ptr(), last_state=last[-1].data_ptr(),
            reads_noise=at[-3], state_noise=at[-2], signals_noise=at[-1],
        )  # fmt: skip
        cell = _cell(kind, like.dtype.char)  # type: ignore[arg-type]

        def run(cut: Cut) -> Tensor:
            buffer = empty((buffer_size(kind, shape, cut, keep_gates=keep_gates),), dtype)
            enter_forward(cell, shape, layout, call, cut, tensors, buffer.data_ptr())
            return buffer

        buffers = threads.over(run, cuts, _work(network, cuts))
        starts = [tape.time for tape in tapes]
        for tape in tapes:
            tape.time += time
        if differentiate:
            ctx.save_for_backward(x, *weights, *buffers)
            ctx.run = setup, network, call, starts
            ctx.present = initial is not None, first_read is not None, [token is not None for token in others[states:]]
        ctx.set_materialize_grads(False)
        return (
            output, *(recorded or (None,) * 4), last_read, *last, *(tape.token() for tape in tapes)
        )  # fmt: skip

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        setup: Setup = ctx.run[0]
        network: Geometry = ctx.run[1]
        call, starts = ctx.run[2:]
        kind, tapes, time, batch = setup.kind, setup.tapes, setup.time, setup.batch
        cuts, packed, states = setup.cuts, setup.packed, setup.states
        learned, has_first_read, continued = ctx.present
        shape, layout, parts, gates = network
        x, *saved = ctx.saved_tensors
        weights, buffers = saved[:WEIGHTS], saved[WEIGHTS:]
        dtype, like = x.dtype, call.like
        count = 6 + kind.states
        output_grad, *recorded = grads[:5]
        source = x if x.stride(-1) == 1 else x.contiguous()
        if output_grad is not None and output_grad.stride(-1) != 1:
            output_grad = output_grad.contiguous()
        rows, steps = (call.rows, call.steps) if output_grad is None else _offsets(output_grad, packed)
        panels = torch.empty(layout.size, dtype=dtype)
        whole = _contiguous(weights)
        pack_weights(shape, layout, parts, gates, Parameters(*_addresses(whole)), True, panels.data_ptr(), like)
        x_grad = _like(x, shape.inputs) if ctx.needs_input_grad[1] else None
        grad_rows, grad_steps = (rows, steps) if x_grad is None else _offsets(x_grad, packed)
        first_read = torch.empty(batch, shape.heads, call.width, dtype=dtype) if has_first_read else None
        firsts = [torch.empty(batch, shape.hidden, dtype=dtype) for _ in range(states)]
        initial = torch.empty(kind.states, shape.hidden, dtype=dtype) if learned else None
        incoming = _contiguous((*recorded, *grads[5:count]))
        at = _addresses(incoming)
        tensors = Tensors(
            x=source.data_ptr(), output=0 if output_grad is None else output_grad.data_ptr(), push=at[0], pop=at[1],
            value=at[2], reads=at[3], first_read=0 if first_read is None else first_read.data_ptr(),
            first_output=firsts[0].data_ptr() if states else 0, first_state=firsts[-1].data_ptr() if states else 0,
            last_read=at[4], last_output=at[5], last_state=at[-1], x_grad=0 if x_grad is None else x_grad.data_ptr(),
        )  # fmt: skip
        cell = _cell(kind, like.dtype.char)  # type: ignore[arg-type]

        def run(part: tuple[Cut, Tensor]) -> Tensor:
            cut, buffer = part
            summed = torch.empty(layout.grads, dtype=dtype)
            enter_backward(cell, shape, layout, call, cut, tensors, buffer.data_ptr(), summed.data_ptr())
            return summed

        with locked(tapes):
            tiles = [
                prepare_undo(tape, start, start + time, grad, known)
                for tape, start, grad, known in zip(tapes, starts, grads[count:], continued, strict=True)
            ]
            call = call._replace(
                rows=rows, steps=steps, grad_rows=grad_rows, grad_steps=grad_steps, panels=panels.data_ptr(),
                table=table_of([each.row for each in tiles]),
            )  # fmt: skip
            for tape in tapes:
                tape.cursor = None
            total, *others = threads.over(run, list(zip(cuts, buffers, strict=True)), 2 * _work(network, cuts))
            for tape, start, each in zip(tapes, starts, tiles, strict=True):
                tape.cursor = start, each.line
        for summed in others:  # in the order of the slices, not of completion
            total += summed
        needed = ctx.needs_input_grad[2 : 2 + WEIGHTS]
        found = [
            torch.empty(weight.shape, dtype=dtype) if weight is not None and wanted else None
            for weight, wanted in zip(weights, needed, strict=True)
        ]
        unpack_grads(
            shape, layout, gates, total.data_ptr(),
            Parameters(*_addresses(found)),
            0 if initial is None else initial.data_ptr(), kind.states, like,
        )  # fmt: skip
        return (None, x_grad, *found, initial, first_read, *firsts, *(each.grad for each in tiles))


_LIKE: dict[torch.dtype, Array] = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}
_INTEGERS = np.empty(0, np.int32)


@cache
def _cell(kind: Any, char: str) -> Cell:
    """A cell without arrays."""
    made: Cell = kind(*(np.empty(0, char) for _ in range(4)))
    return made


def _like(x: Tensor, size: int) -> Tensor:
    """An uninitialised sequence with the memory order of x, but vectors of another size."""
    if x.dim() == 3 and x.stride(0) < x.stride(1):
        return empty((x.shape[1], x.shape[0], size), x.dtype).transpose(0, 1)
    return empty((*x.shape[:-1], size), x.dtype)


def _offsets(sequence: Tensor, packed: tuple[Array, Array] | None) -> tuple[Array, Array]:
    """The offsets of each row and of each step of a sequence; see `arrays.Spread`."""
    if packed is not None:
        stride = sequence.stride(0)
        return packed[0] * stride, packed[1] * stride
    (batch, time, _), (row, step, _) = sequence.shape, sequence.stride()
    return _ladder(batch, row), _ladder(time, step)


@lru_cache(maxsize=256)
def _ladder(count: int, step: int) -> Array:
    return np.arange(count, dtype=np.int64) * step


def _contiguous(parts: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [part if part is None or part.is_contiguous() else part.contiguous() for part in parts]


def _addresses(parts: Sequence[Tensor | None]) -> list[int]:
    """The addresses of tensors, 0 for an absent one; the caller must keep the tensors alive."""
    return [0 if part is None else part.data_ptr() for part in parts]


def _work(network: Geometry, cuts: Sequence[Cut]) -> int:
    """Number of multiplications in all steps."""
    shape = network.shape
    step = shape.sums * (shape.padded_hidden + shape.padded_reads + shape.padded_inputs + shape.layer)
    step += shape.padded_hidden * (shape.padded_hidden + shape.padded_reads)
    return step * sum(cut.total for cut in cuts)
