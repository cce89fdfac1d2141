"""The compiled loop as custom operators, which `torch.compile` and `torch.export` keep whole.

Graphs contain `rnn`. Where a gradient is needed it becomes `rnn_train`, which has the same results and a *handle*: a
tensor whose storage keeps alive what `rnn_backward` needs besides the inputs; see `captured`. The shapes of
all results depend on those of the arguments alone, so one graph is right for all lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddstructs.ops.once import differentiable_once

__all__ = ["Arguments", "Results"]


class Arguments(NamedTuple):
    """The arguments of the operators; the first `GRADED` may have a gradient.

    Attributes:
        x: The inputs, shape `(batch, time, input_size)`.
        weight_ih: Weights of the cell, as are the next three.
        weight_hh: Likewise.
        bias_ih: Likewise, if any.
        bias_hh: Likewise, if any.
        action: Weights of `to_action`; none without a memory.
        action_bias: Bias of `to_action`, likewise.
        skip: Weights of `value_skip`, or those of `signal_skip` followed by them, if any.
        read_skip: Weights of `read_skip`, if any.
        layer: Weights of the second layer of the cell, if it has one.
        layer_bias: Its bias, if any.
        initial: The initial states of the cell, shape `(states, hidden_size)`; zero if not given.
        read: The read before the first step, shape `(batch, heads, width)`; zero if not given.
        hidden: The states of the cell before the first step, shape `(states, batch, hidden_size)`; `initial` if not
            given.
        values: Values of the memory before the first step, shape `(batch, slots, width)`, one line after the other
            along the slots; none if not given.
        strengths: Their strengths, shape `(batch, slots)`.
        lengths: Number of real steps in each row, shape `(batch,)`; all if not given.
        reset: Steps before which a row is reset, shape `(batch, time)`, bool; none if not given.
        reads_noise: As in `Noise`.
        states_noise: As in `Noise`.
        signals_noise: As in `Noise`.
        cell: Name of the class of the cell.
        pushes: The end at which each head pushes.
        takes: The end from which each head takes.
        heads: Number of heads of each line.
        slots: Number of slots of each line before the first step.
        hard: Whether signals are rounded.
        record: Whether actions and reads are returned; otherwise `push`, `pop` and `reads` are empty.
        time_first: Whether the time axis of the output is the outermost one in its storage.
    """

    x: Tensor
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    action: Tensor | None
    action_bias: Tensor | None
    skip: Tensor | None
    read_skip: Tensor | None
    layer: Tensor | None
    layer_bias: Tensor | None
    initial: Tensor | None
    read: Tensor | None
    hidden: Tensor | None
    values: Tensor | None
    strengths: Tensor | None
    lengths: Tensor | None
    reset: Tensor | None
    reads_noise: Tensor | None
    states_noise: Tensor | None
    signals_noise: Tensor | None
    cell: str
    pushes: list[int]
    takes: list[int]
    heads: list[int]
    slots: list[int]
    hard: bool
    record: bool
    time_first: bool

    @property
    def width(self) -> int:
        """Size of one value; 0 without a memory."""
        return 0 if self.action_bias is None else self.action_bias.shape[0] // sum(self.heads) - 2


GRADED = 16
"""Number of arguments that may have a gradient."""


class Results(NamedTuple):
    """The results of `rnn`, as in `fused.Fused`.

    Attributes:
        output: Shape `(batch, time, hidden_size)`.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: The pushed values, whether recorded or not, shape `(batch, time, heads, width)`.
        reads: Shape `(batch, time, heads, width)`.
        read: The last read of each row, shape `(batch, heads, width)`.
        hidden: The states of the cell after the last step of each row, shape `(states, batch, hidden_size)`.
        strengths: Strengths of all tiles of the memory after the last step, shape `(batch, tiles)`: for each line those
            of its slots before the first step, then one for each of its heads in each step.
    """

    output: Tensor
    push: Tensor
    pop: Tensor
    value: Tensor
    reads: Tensor
    read: Tensor
    hidden: Tensor
    strengths: Tensor


_PARAMETERS = """
    Tensor x, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? bias_hh, Tensor? action, Tensor? action_bias,
    Tensor? skip, Tensor? read_skip, Tensor? layer, Tensor? layer_bias, Tensor? initial, Tensor? read,
    Tensor? hidden, Tensor? values, Tensor? strengths, Tensor? lengths, Tensor? reset, Tensor? reads_noise,
    Tensor? states_noise, Tensor? signals_noise, str cell, int[] pushes, int[] takes, int[] heads,
    SymInt[] slots, bool hard, bool record, bool time_first
"""
_RESULTS = """
    Tensor output, Tensor push, Tensor pop, Tensor value, Tensor reads, Tensor read, Tensor hidden, Tensor strengths
"""
_LIBRARY = torch.library.Library("ddstructs", "FRAGMENT")
_LIBRARY.define(f"rnn({_PARAMETERS}) -> ({_RESULTS})")
_LIBRARY.define(f"rnn_train({_PARAMETERS}) -> ({_RESULTS}, Tensor handle)")
_LIBRARY.define(
    "rnn_backward(Tensor?[] grads, Tensor handle, Tensor?[] inputs, bool[] needed, bool time_first) -> Tensor[]"
)


@torch.library.impl("ddstructs::rnn", "cpu", lib=_LIBRARY)
def _rnn(*arguments: Any) -> Results:
    from ddstructs.nn import captured  # imports numba

    return captured.run(Arguments(*arguments))


@torch.library.impl("ddstructs::rnn_train", "cpu", lib=_LIBRARY)
def _rnn_train(*arguments: Any) -> tuple[Tensor, ...]:
    from ddstructs.nn import captured

    results, handle = captured.run_for_training(Arguments(*arguments))
    return *results, handle


@torch.library.impl("ddstructs::rnn_backward", "cpu", lib=_LIBRARY)
def _rnn_backward(
    grads: Sequence[Tensor | None],
    handle: Tensor,
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    time_first: bool,
) -> list[Tensor]:
    from ddstructs.nn import captured

    return captured.run_backward(grads, handle, inputs, needed, time_first)


@torch.library.register_fake("ddstructs::rnn", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _empty(*arguments: Any) -> Results:
    given = Arguments(*arguments)
    x, heads = given.x, sum(given.heads)
    (batch, time, _), hidden, width = x.shape, given.weight_hh.shape[1], given.width
    states = 2 if given.cell == "LSTMCell" else 1
    sequence = [time, batch, hidden] if given.time_first else [batch, time, hidden]
    output = x.new_empty(sequence)
    signal, vector = ([batch, time, heads], [batch, time, heads, width]) if given.record else ([0], [0])
    return Results(
        output.transpose(0, 1) if given.time_first else output,
        x.new_empty(signal),
        x.new_empty(signal),
        x.new_empty(batch, time, heads, width),
        x.new_empty(vector),
        x.new_empty(batch, heads, width),
        x.new_empty(states, batch, hidden),
        x.new_empty(batch, sum(given.slots) + time * heads),
    )


@torch.library.register_fake("ddstructs::rnn_train", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _empty_train(*arguments: Any) -> tuple[Tensor, ...]:
    return *_empty(*arguments), Arguments(*arguments).x.new_empty(1, dtype=torch.int64)


@torch.library.register_fake("ddstructs::rnn_backward", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _empty_grads(
    grads: Sequence[Tensor | None],
    handle: Tensor,
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    time_first: bool,
) -> list[Tensor]:
    found = [
        part.new_empty(part.shape) for part, wanted in zip(inputs, needed, strict=True) if wanted and part is not None
    ]
    if needed[0] and time_first:
        batch, time, size = found[0].shape
        found[0] = found[0].new_empty(time, batch, size).transpose(0, 1)
    return found


def _choose(*arguments: Any) -> Any:
    """Run `rnn_train` where a gradient is needed, and `rnn` elsewhere."""
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in arguments[:GRADED]):
        return torch.ops.ddstructs.rnn_train(*arguments)[:-1]
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.ddstructs.rnn(*arguments)


_LIBRARY.impl("rnn", _choose, "Autograd")


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:GRADED], output[-1])
    ctx.time_first = Arguments(*inputs).time_first
    ctx.set_materialize_grads(False)


@differentiable_once
def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
    *inputs, handle = ctx.saved_tensors
    needed = list(ctx.needs_input_grad[:GRADED])
    found = iter(torch.ops.ddstructs.rnn_backward(list(grads[:-1]), handle, inputs, needed, ctx.time_first))
    return *(next(found) if wanted else None for wanted in needed), *(None,) * (len(Arguments._fields) - GRADED)


torch.library.register_autograd("ddstructs::rnn_train", _backward, setup_context=_setup_context, lib=_LIBRARY)
