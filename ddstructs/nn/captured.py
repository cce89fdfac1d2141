"""The operators of `nn.operators` on the CPU, by the same autograd node as the compiled loop."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from copy import copy
from functools import cache
from itertools import count, islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ddstructs.nn.compiled import plan
from ddstructs.nn.compiled.node import CELLS, Setup, Steps
from ddstructs.nn.network import Noise
from ddstructs.nn.operators import Arguments, Results
from ddstructs.nn.padding import checked
from ddstructs.ops.layout import End, Head, Layout, Slots
from ddstructs.ops.tape import Tape

__all__ = ["run", "run_backward", "run_for_training"]

WEIGHTS = slice(1, 11)
"""The weights among the arguments and among what `Steps` saves, after the input."""


class Context:
    """What `Steps` keeps for backward, in place of autograd's context.

    It does not keep the input and the weights: a compiler may reuse their memory, and passes them to backward again.
    """

    def __init__(self) -> None:
        self.run: Any = None
        self.saved_tensors: Sequence[Tensor | None] = ()
        self.needs_input_grad: Sequence[bool] = ()
        self.present: Any = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        self.saved_tensors = tensors[WEIGHTS.stop :]

    def set_materialize_grads(self, value: bool) -> None:
        """Do nothing: absent gradients are None."""


@torch.no_grad()
def run(arguments: Arguments, context: Context | None = None) -> Results:
    """Run all steps.

    Args:
        arguments: The arguments of the operator.
        context: Written, if backward may run.

    Raises:
        ValueError: If a length is outside 0..time.
    """
    x = stored(arguments.x, arguments.time_first)
    batch, time = x.shape[:2]
    lengths = None if arguments.lengths is None else checked(arguments.lengths, batch, time)
    reset = None if arguments.reset is None else arguments.reset.clone()  # the context keeps it
    restarts, cuts = plan.divide(batch, time, lengths, reset)
    tapes = new_tapes(arguments)
    hidden = () if arguments.hidden is None else arguments.hidden.unbind()
    setup = Setup(
        CELLS[arguments.cell], tapes, time, batch, cuts, None, restarts,
        Noise(arguments.reads_noise, arguments.states_noise, arguments.signals_noise), arguments.hard, arguments.record,
        context is not None, len(hidden),
    )  # fmt: skip
    weights = cast("tuple[Tensor, ...]", arguments[WEIGHTS])
    results = cast(
        "Sequence[Tensor]",
        Steps.forward(context or Context(), setup, x, *weights, arguments.initial, arguments.read, *hidden),
    )
    output, push, pop, value, reads, read, *states = results[: len(results) - len(tapes)]
    if not arguments.record:
        push, pop, reads = (x.new_empty(0) for _ in range(3))
        values = [tape.values[:, tape.slots : tape.tiles(time)].unflatten(1, (time, tape.heads)) for tape in tapes]
        value = torch.cat([x.new_empty(batch, time, 0, arguments.width), *values], 2)  # there may be no line
    strengths = [torch.from_numpy(tape.line.strengths)[:, : tape.tiles(time)] for tape in tapes]
    return Results(
        stored(output, arguments.time_first),
        push,
        pop,
        value,
        reads,
        read,
        torch.stack(states),
        torch.cat([x.new_empty(batch, 0), *strengths], 1),
    )


def run_for_training(arguments: Arguments) -> tuple[Results, Tensor]:
    """The results, and the handle for backward: a tensor with a number, whose storage keeps the context alive."""
    context, number = Context(), next(NUMBERS)
    results, array = run(arguments, context), np.array([number])
    CONTEXTS[number] = context
    weakref.finalize(array, CONTEXTS.pop, number).atexit = False
    return results, torch.from_numpy(array)


CONTEXTS: dict[int, Context] = {}
"""The context of each handle that exists."""

NUMBERS = count()


@torch.no_grad()
def run_backward(
    grads: Sequence[Tensor | None],
    handle: Tensor,
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    time_first: bool,
) -> list[Tensor]:
    """The gradients of the arguments that need one.

    Args:
        grads: The gradients of the results.
        handle: As returned by `run_for_training`.
        inputs: The first arguments, which may need a gradient.
        needed: Which of them need one.
        time_first: As in `Arguments`.

    Raises:
        RuntimeError: If the context is gone.
    """
    if int(handle) not in CONTEXTS:
        raise RuntimeError("the activations for backward are gone: the handle that keeps them was copied and dropped")
    context = copy(CONTEXTS[int(handle)])
    setup: Setup = context.run[0]
    x, *weights = inputs[: WEIGHTS.stop]
    assert x is not None
    of_memory = needed[14] or needed[15]
    context.saved_tensors = stored(x, time_first), *weights, *context.saved_tensors
    context.needs_input_grad = False, *needed
    context.present = needed[11], needed[12], [of_memory] * len(setup.tapes)
    # A graph passes zeros for results that nothing depends on; without them, backward does what it does in eager mode.
    output, *others = grads
    push, pop, value, reads, read, hidden, strengths = (
        None if grad is None or not grad.numpy().any() else grad for grad in others
    )
    recorded = (push, pop, value, reads) if setup.record else (None,) * 4
    states = [None] * setup.kind.states if hidden is None else hidden.unbind()
    tokens = token_grads(setup.tapes, None if setup.record else value, strengths)
    _, x_grad, *found = Steps.backward(context, output, *recorded, read, *states, *tokens)
    first, lines = found[12 : 12 + setup.states], found[12 + setup.states :]
    found = [
        x_grad if x_grad is None else stored(x_grad, time_first), *found[:12],
        torch.stack(first) if needed[13] else None,
        torch.cat([line[..., :-1] for line in lines], 1) if needed[14] else None,
        torch.cat([line[..., -1] for line in lines], 1) if needed[15] else None,
    ]  # fmt: skip
    return [part for part, wanted in zip(found, needed, strict=True) if wanted]


def token_grads(tapes: Sequence[Tape], value: Tensor | None, strengths: Tensor | None) -> list[Tensor | None]:
    """The gradient of the token of each tape.

    Args:
        tapes: The tapes.
        value: Gradient of the pushed values, shape `(batch, time, heads, width)`, if any.
        strengths: Gradient of the strengths of all tiles, shape `(batch, tiles)`, if any.
    """
    if value is None and strengths is None:
        return [None] * len(tapes)
    sizes = [tape.tiles(tape.time) for tape in tapes]
    found = [
        torch.zeros(tape.batch, size, tape.width + 1, dtype=tape.dtype) for tape, size in zip(tapes, sizes, strict=True)
    ]
    if value is not None:
        for tape, grad, part in zip(tapes, found, value.split([tape.heads for tape in tapes], 2), strict=True):
            grad[:, tape.slots :, :-1] = part.flatten(1, 2)
    if strengths is not None:
        for grad, part in zip(found, strengths.split(sizes, 1), strict=True):
            grad[..., -1] = part
    return list(found)


def new_tapes(arguments: Arguments) -> list[Tape]:
    """A tape for each line, with its first slots and room for all steps."""
    lines = layouts(tuple(arguments.pushes), tuple(arguments.takes), tuple(arguments.heads))
    batch, time = arguments.x.shape[:2]
    template = arguments.x.new_empty(batch, 0, arguments.width)
    if arguments.values is None or arguments.strengths is None:
        return [Tape(layout, None, template, time) for layout in lines]
    values, strengths = arguments.values.split(arguments.slots, 1), arguments.strengths.split(arguments.slots, 1)
    starts = map(Slots, values, strengths)
    return [Tape(layout, start, template, time) for layout, start in zip(lines, starts, strict=True)]


@cache
def layouts(pushes: tuple[int, ...], takes: tuple[int, ...], counts: tuple[int, ...]) -> list[Layout]:
    """The heads of each line."""
    heads = iter([Head(End(push), End(take)) for push, take in zip(pushes, takes, strict=True)])
    return [tuple(islice(heads, count)) for count in counts]


def stored(sequence: Tensor, time_first: bool) -> Tensor:
    """A sequence `(batch, time, ...)` stored with its batch or its time axis outermost; copied only if it is not."""
    return sequence.transpose(0, 1).contiguous().transpose(0, 1) if time_first else sequence.contiguous()
