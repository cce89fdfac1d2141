"""All steps of a `MemoryRNN` as one function of autograd, for the usual cells and a line memory on the CPU.

In a loop over the steps most of the time goes to what surrounds the arithmetic: the operators, and autograd's notes of
each. Here the steps write into place and their gradient is written by hand, so that all which does not depend on the
step before is computed once for all of them: the products with the inputs, the slopes of the activations, and the
gradients of the weights. Tensors are time first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear, pad
from torch.nn.modules import module as hooks

from ddstructs import ops
from ddstructs.line import LineMemory
from ddstructs.memory import Action, Memory, State
from ddstructs.nn.cells import STEPWISE, Stepwise
from ddstructs.ops import LineState
from ddstructs.ops.once import differentiable_once

if TYPE_CHECKING:
    from ddstructs.ops.tape import Tape

__all__ = ["Fused", "Network", "Noise", "fits", "run"]

SHORT = 2
"""A loop is faster over so few steps."""


class Network(NamedTuple):
    """The parts of a `MemoryRNN` that each step needs.

    Attributes:
        cell: The cell.
        act: From the cell's output to what push, pop and value are made of.
        value_skip: From the input to what is added to the value, or nothing.
        memory: What to work.
        hard: Whether push and pop are rounded to 0 or 1, with a gradient as if they were not.
    """

    cell: nn.Module
    act: nn.Module | None
    value_skip: nn.Module | None
    memory: Memory
    hard: bool


class Noise(NamedTuple):
    """What is added in each step, if anything.

    Attributes:
        reads: To the reads, shape `(time, batch, heads, width)`.
        states: To the states of the cell beside its output, once they are made, shape
            `(states, time, batch, hidden_size)`.
    """

    reads: Tensor | None
    states: Tensor | None


class Fused(NamedTuple):
    """All that happened in a sequence, time first. In the padding the network runs on.

    Attributes:
        reads: Shape `(time + 1, batch, heads * width)`, from the one before the first step; noise included.
        hidden: The states of the cell, the output first, each of shape `(time + 1, batch, hidden_size)`; noise
            included.
        actions: Push and pop, shape `(time, batch, heads)`, and value.
        memory: The state of the memory after the last step.
    """

    reads: Tensor
    hidden: tuple[Tensor, ...]
    actions: Action
    memory: LineState


def fits(network: Network, x: Tensor, read: Tensor, hidden: tuple[Tensor, ...], state: State) -> bool:
    """Whether all parts are of the usual kind, so that their weights say what they do, and the state fits them.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        read: The read before the first step, shape `(batch, heads, width)`.
        hidden: The states of the cell before it.
        state: That of the memory.
    """
    cell, act, _, memory, _ = network
    if x.shape[1] <= SHORT or x.dtype not in (torch.float32, torch.float64) or not ops.on_tape(x):
        return False
    if torch.is_autocast_enabled(x.device.type) or hooks._has_any_global_hook():
        return False
    if type(cell) not in STEPWISE or getattr(cell, "nonlinearity", "tanh") != "tanh":
        return False
    if type(act) is not nn.Linear or act.bias is None:
        return False
    if not all(map(_bare, (cell, act, memory))) or not _plain(memory) or not isinstance(state, LineState):
        return False
    parts, batch = (state.template, read, *hidden), len(x)
    return state.template.shape[-1] == memory.width and all(
        part.dtype == x.dtype and part.device == x.device and len(part) == batch for part in parts
    )


def _bare(part: nn.Module) -> bool:
    """Whether a module runs as its class says, and nothing is hooked to it."""
    return "forward" not in vars(part) and not (
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
    )


def _plain(memory: Memory) -> bool:
    """Whether a memory steps as a line does."""
    names = "step", "check", "_fit"
    return isinstance(memory, LineMemory) and all(
        getattr(type(memory), name) is getattr(LineMemory, name) and name not in vars(memory) for name in names
    )


def run(
    network: Network,
    x: Tensor,
    read: Tensor,
    hidden: tuple[Tensor, ...],
    state: State,
    noise: Noise,
    padding: Tensor | None,
) -> Fused:
    """Run a network that `fits` over a sequence.

    Args:
        network: The parts.
        x: The inputs, shape `(time, batch, input_size)`.
        read: The read before the first step, shape `(batch, heads, width)`.
        hidden: The states of the cell before it, the output first.
        state: That of the memory.
        noise: What to add.
        padding: Where nothing is to be pushed or popped, shape `(time, batch, 1)`, bool.

    Raises:
        ValueError: If the memory is to look at the numbers, and a push or a pop is NaN.
    """
    from ddstructs.ops import tape as tapes  # brings numba

    cell, act, value_skip, memory, hard = network
    assert isinstance(cell, nn.RNNCell | nn.LSTMCell)
    assert isinstance(act, nn.Linear)
    assert isinstance(memory, LineMemory)
    assert isinstance(state, LineState)
    size, heads = x.shape[-1], memory.heads
    given = linear(x, cell.weight_ih[:, :size], cell.bias_ih + cell.bias_hh if cell.bias else None)
    weight = torch.cat([cell.weight_ih[:, size:], cell.weight_hh], dim=1)
    skip = act.bias.expand(*x.shape[:2], -1)
    if value_skip is not None:
        skip = skip + pad(value_skip(x), (2 * heads, 0))
    line = tapes.record(memory.layout, state)
    needed = (given, skip, weight, act.weight, read, *hidden, *([] if line.token is None else [line.token]))
    differentiate = torch.is_grad_enabled() and any(part.requires_grad for part in needed)
    with line.tape.lock:
        tape, token = tapes.extend(line, len(x), differentiate)
        past, acts, token, *others = Steps.apply(  # type: ignore[no-untyped-call]
            STEPWISE[type(cell)], tape, token, given, skip, weight, act.weight, noise, padding, hard, differentiate,
            read.flatten(1), *hidden,
        )  # fmt: skip
        after = tapes.TapeState(tape, tape.time, token if differentiate else None)
    reads, outputs = past.tensor_split((heads * memory.width,), dim=2)
    push, pop, value = acts.tensor_split((heads, 2 * heads), dim=2)
    actions = Action(push, pop, value.unflatten(2, (heads, memory.width)))
    if memory.validate:
        memory.check(actions, time=True)
    return Fused(reads, (outputs, *others), actions, after)


class Steps(Function):
    """All steps, from the state before the first one.

    It gives the reads beside the outputs of the cell, `(time + 1, batch, heads * width + hidden_size)`; push, pop and
    value side by side, `(time, batch, heads * (2 + width))`; the token of the tape; and the other states of the cell.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kind: type[Stepwise],
        tape: Tape,
        token: Tensor | None,
        given: Tensor,
        skip: Tensor,
        weight: Tensor,
        act: Tensor,
        noise: Noise,
        padding: Tensor | None,
        hard: bool,
        differentiate: bool,
        read: Tensor,
        *hidden: Tensor,
    ) -> tuple[Tensor, ...]:
        time, size, heads = len(given), read.shape[1], tape.heads
        past = given.new_empty(time + 1, len(read), size + hidden[0].shape[1])
        past[0, :, :size], past[0, :, size:] = read, hidden[0]
        acts = torch.empty_like(skip, memory_format=torch.contiguous_format)
        soft = acts.new_empty(*acts.shape[:2], 2 * heads) if hard else None
        cell, start = kind.begin(hidden, time, differentiate), tape.time
        recurrent, out = weight.t(), act.t()
        # Views of every step, made at once: to make one in each step takes as long as some of the operators.
        signals, values = acts[..., : 2 * heads], acts[..., 2 * heads :].unflatten(2, (heads, tape.width))
        pushes, pops = signals[..., :heads], signals[..., heads:]
        reads, outputs = past[1:, :, :size].unflatten(2, (heads, tape.width)), past[1:, :, size:]
        views = past[:-1], given, outputs, skip, acts, signals, values, pushes, pops, reads
        for t, (before, now, output, bias, logits, signal, value, push, pop, after) in enumerate(
            zip(*(view.unbind() for view in views), strict=True)
        ):
            cell.forward(t, torch.addmm(now, before, recurrent), output)
            if noise.states is not None:
                for kept, more in zip(cell.kept, noise.states, strict=True):
                    kept[t + 1].add_(more[t])
            torch.addmm(bias, output, out, out=logits)
            signal.sigmoid_()
            value.tanh_()
            if padding is not None:
                signal.masked_fill_(padding[t], 0)
            if soft is not None:
                soft[t] = signal
                signal.sub_(signal).add_(soft[t] >= 0.5)  # so that a NaN stays one
            answer = tape.append(push, pop, value)
            if noise.reads is None:
                after.copy_(answer)
            else:
                torch.add(answer, noise.reads[t], out=after)
        ctx.run = kind, tape, start, token is not None
        ctx.save_for_backward(weight, act, past, acts, soft, *cell.kept, *cell.opened)
        ctx.set_materialize_grads(False)
        return past, acts, tape.token(), *cell.kept

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        past_grad, acts_grad, tiles_grad, *others = grads
        weight, act, past, acts, soft, *states = ctx.saved_tensors
        kind, tape, start, continued = ctx.run
        time, heads, size = len(acts), tape.heads, tape.heads * tape.width
        if past_grad is None:
            past_grad = torch.zeros_like(past)
        acts_grad = torch.zeros_like(acts) if acts_grad is None else acts_grad.clone()
        if tiles_grad is None:
            tiles_grad = acts.new_zeros(tape.batch, tape.tiles(start + time), tape.width + 1)
        elif tiles_grad.stride(2) != 1:
            tiles_grad = tiles_grad.contiguous()
        soft = acts[..., : 2 * heads] if soft is None else soft
        slopes = torch.cat([soft * (1 - soft), 1 - acts[..., 2 * heads :].square()], dim=2)
        outputs = past[1:, :, size:]
        cell = kind(states[: len(others)], states[len(others) :])
        cell.prepare(outputs, others)
        z_grads = acts.new_empty(time, tape.batch, len(weight))
        signals, values = acts_grad[..., : 2 * heads], acts_grad[..., 2 * heads :].unflatten(2, (heads, tape.width))
        views = past_grad[1:], acts_grad, signals[..., :heads], signals[..., heads:], values, slopes, z_grads
        backward = reversed(list(enumerate(zip(*(view.unbind() for view in views), strict=True))))
        carry = torch.zeros_like(past[0])
        with tape.lock:
            for t, (later, logits, push, pop, value, slope, z_grad) in backward:
                grad = carry.add_(later)
                above = grad[:, :size].reshape(-1, heads, tape.width)
                tiles = tape.tiles(start + t + 1)
                found = tape.unwind(start + t, above, tiles_grad.narrow(1, 0, tiles))
                for part, more in zip((push, pop, value), found, strict=True):
                    part.add_(more)
                cell.backward(t, torch.addmm(grad[:, size:], logits.mul_(slope), act), z_grad)
                carry = torch.mm(z_grad, weight)
        first = past_grad[0] + carry
        return (
            None,
            None,
            tiles_grad.narrow(1, 0, tape.tiles(start)) if continued else None,
            z_grads,
            acts_grad,
            z_grads.flatten(0, 1).t() @ past[:-1].flatten(0, 1),
            acts_grad.flatten(0, 1).t() @ outputs.flatten(0, 1),
            None,
            None,
            None,
            None,
            first[:, :size],
            first[:, size:],
            *cell.finish(),
        )
