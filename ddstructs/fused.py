"""All steps of a `MemoryRNN` as one function of autograd, for the usual cells and a line memory on the CPU.

In a loop over the steps most of the time goes to what surrounds the arithmetic: the operators, and autograd's notes of
each. Here the steps write into place and their gradient is written by hand, so that all which does not depend on the
step before is computed once for all of them: the products with the inputs, the slopes of the activations, and the
gradients of the weights. Tensors are time first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear, pad

from ddstructs import ops
from ddstructs.line import LineMemory
from ddstructs.memory import Action, Memory, State
from ddstructs.ops import LineState

if TYPE_CHECKING:
    from ddstructs.ops.tape import Tape

__all__ = ["CELLS", "Fused", "fits", "run"]


class Cell(ABC):
    """The activations of a cell and their gradient, in all steps of a sequence.

    Args:
        kept: The states beside the output, each of shape `(time + 1, batch, hidden_size)`.
        opened: What else of the steps forward the steps backward need.
    """

    def __init__(self, kept: Sequence[Tensor], opened: Sequence[Tensor]) -> None:
        self.kept, self.opened = kept, opened
        self.grads: tuple[Tensor, ...] = ()  # of the states beside the output before the first step, in the end

    @classmethod
    @abstractmethod
    def begin(cls, hidden: Sequence[Tensor], time: int) -> Self:
        """For some steps from a state, the output first, each tensor of shape `(batch, hidden_size)`."""

    @abstractmethod
    def activate(self, t: int, z: Tensor, output: Tensor) -> None:
        """Write the output of a step, from what it has summed up."""

    @abstractmethod
    def differentiate(self, outputs: Tensor, grads: Sequence[Tensor | None]) -> None:
        """Compute what the steps backward need and does not depend on the one after.

        Args:
            outputs: Those of all steps, shape `(time, batch, hidden_size)`.
            grads: The gradients of the states beside the output.
        """

    @abstractmethod
    def slope(self, t: int, grad: Tensor, z_grad: Tensor) -> None:
        """Write the gradient of what a step has summed up, from that of its output."""


class Elman(Cell):
    """The activation of `nn.RNNCell`."""

    @classmethod
    def begin(cls, hidden: Sequence[Tensor], time: int) -> Self:
        return cls((), ())

    def activate(self, t: int, z: Tensor, output: Tensor) -> None:
        torch.tanh(z, out=output)

    def differentiate(self, outputs: Tensor, grads: Sequence[Tensor | None]) -> None:
        self.slopes = (1 - outputs.square()).unbind()

    def slope(self, t: int, grad: Tensor, z_grad: Tensor) -> None:
        torch.mul(grad, self.slopes[t], out=z_grad)


class LSTM(Cell):
    """The activations of `nn.LSTMCell`; its gates are in the order of torch: input, forget, cell, output."""

    @classmethod
    def begin(cls, hidden: Sequence[Tensor], time: int) -> Self:
        _, cell = hidden
        kept = cell.new_empty(time + 1, *cell.shape)
        kept[0] = cell
        return cls((kept,), (cell.new_empty(time, len(cell), 4, cell.shape[1]),))

    def activate(self, t: int, z: Tensor, output: Tensor) -> None:
        (kept,), opened = self.kept, self.opened[0][t]
        torch.sigmoid(z.view_as(opened), out=opened)
        torch.tanh(z.view_as(opened)[:, 2], out=opened[:, 2])
        enter, forget, candidate, leave = opened.unbind(1)
        torch.mul(forget, kept[t], out=kept[t + 1]).addcmul_(enter, candidate)
        torch.mul(leave, kept[t + 1].tanh(), out=output)

    def differentiate(self, outputs: Tensor, grads: Sequence[Tensor | None]) -> None:
        (kept,), (opened,), (grad,) = self.kept, self.opened, grads
        enter, forget, candidate, leave = opened.unbind(2)
        seen = kept[1:].tanh()
        self.through = (leave * (1 - seen.square())).unbind()
        into = candidate * enter * (1 - enter), kept[:-1] * forget * (1 - forget), enter * (1 - candidate.square())
        self.into, self.out = torch.stack(into, dim=2).unbind(), (seen * leave * (1 - leave)).unbind()
        self.forget, self.later = forget, torch.zeros_like(kept[0])
        self.given = torch.zeros_like(kept) if grad is None else grad

    def slope(self, t: int, grad: Tensor, z_grad: Tensor) -> None:
        kept = torch.addcmul(self.later + self.given[t + 1], grad, self.through[t])
        gates = z_grad.unflatten(1, (4, -1))
        torch.mul(kept[:, None], self.into[t], out=gates[:, :3])
        torch.mul(grad, self.out[t], out=gates[:, 3])
        self.later = kept * self.forget[t]
        if t == 0:
            self.grads = (self.later + self.given[0],)


CELLS: dict[type[nn.Module], type[Cell]] = {nn.RNNCell: Elman, nn.LSTMCell: LSTM}
"""The cells whose gradient is written here."""


class Fused(NamedTuple):
    """All that happened in a sequence, time first.

    Attributes:
        reads: Shape `(time + 1, batch, heads * width)`, from the one before the first step; noise included.
        hidden: The states of the cell, the output first, each of shape `(time + 1, batch, hidden_size)`.
        actions: Push and pop, shape `(time, batch, heads)`, and value.
        memory: The state of the memory after the last step.
    """

    reads: Tensor
    hidden: tuple[Tensor, ...]
    actions: Action
    memory: LineState


def fits(cell: nn.Module, act: nn.Module | None, memory: Memory, x: Tensor, state: object) -> bool:
    """Whether everything is of the usual kind, so that its weights say all that it does."""
    if not isinstance(memory, LineMemory) or type(memory).step is not LineMemory.step:
        return False
    if type(cell) not in CELLS or getattr(cell, "nonlinearity", "tanh") != "tanh" or type(act) is not nn.Linear:
        return False
    if any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in (cell, act, memory)):
        return False
    if not isinstance(state, LineState) or state.origin.dtype != x.dtype or state.origin.device != x.device:
        return False
    return not torch.is_autocast_enabled(x.device.type) and x.dtype in (torch.float32, torch.float64) and ops.on_tape(x)


def run(
    cell: nn.Module,
    act: nn.Module | None,
    value_skip: nn.Module | None,
    memory: Memory,
    x: Tensor,
    read: Tensor,
    hidden: tuple[Tensor, ...],
    state: State,
    *,
    noise: Tensor | None = None,
    keep: Tensor | None = None,
    hard: bool = False,
) -> Fused:
    """Run a network that `fits` over a sequence.

    Args:
        cell: What has the weights of the cell.
        act: From the cell's output to what push, pop and value are made of.
        value_skip: From the input to what is added to the value, or nothing.
        memory: What to work.
        x: The inputs, shape `(time, batch, input_size)`.
        read: The read before the first step, shape `(batch, heads * width)`.
        hidden: The states of the cell before it, the output first.
        state: That of the memory.
        noise: What to add to the reads, shape `(time, batch, heads, width)`.
        keep: 1 where a step counts and 0 where nothing is to be pushed or popped, shape `(time, batch, 1)`.
        hard: Whether push and pop are rounded to 0 or 1, with a gradient as if they were not.

    Raises:
        ValueError: If the memory is to look at the numbers, and a push or a pop is NaN.
    """
    from ddstructs.ops import tape as tapes  # brings numba

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
    needed = (given, skip, weight, act.weight, read, *hidden)
    differentiate = torch.is_grad_enabled() and any(part.requires_grad for part in needed)
    line = tapes.record(memory.layout, state)
    differentiate = differentiate or (torch.is_grad_enabled() and line.token is not None)
    with line.tape.lock:
        tape, token = tapes.extend(line, len(x), differentiate)
        past, acts, token, *others = Steps.apply(  # type: ignore[no-untyped-call]
            CELLS[type(cell)], tape, token, given, skip, weight, act.weight, noise, keep, hard, read, *hidden
        )
        after = tapes.TapeState(tape, tape.time, token if differentiate else None)
    reads, outputs = past.tensor_split((read.shape[1],), dim=2)
    push, pop, value = acts.tensor_split((heads, 2 * heads), dim=2)
    actions = Action(push, pop, value.unflatten(2, (heads, memory.width)))
    if memory.validate:
        memory.check(actions, time=True)
    return Fused(reads, (outputs, *others), actions, after)


class Steps(Function):
    """All steps: the last reads beside the outputs of the cell, the actions, the token, and the cell's other states."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: type[Cell],
        tape: Tape,
        token: Tensor | None,
        given: Tensor,
        skip: Tensor,
        weight: Tensor,
        act: Tensor,
        noise: Tensor | None,
        keep: Tensor | None,
        hard: bool,
        read: Tensor,
        *hidden: Tensor,
    ) -> tuple[Tensor, ...]:
        time, size, heads = len(given), read.shape[1], tape.heads
        past = given.new_empty(time + 1, len(read), size + hidden[0].shape[1])
        past[0, :, :size], past[0, :, size:] = read, hidden[0]
        acts = torch.empty_like(skip, memory_format=torch.contiguous_format)
        soft = acts.new_empty(*acts.shape[:2], 2 * heads) if hard else None
        cell, start, recurrent, out = kind.begin(hidden, time), tape.time, weight.t(), act.t()
        # Views of every step, made at once: to make one in each step takes as long as some of the operators.
        signals, values = acts[..., : 2 * heads], acts[..., 2 * heads :].unflatten(2, (heads, tape.width))
        views = past[:-1], given, past[1:, :, size:], skip, acts, signals, values, signals[..., :heads]
        more = signals[..., heads:], past[1:, :, :size].unflatten(2, (heads, tape.width))
        for t, (before, now, output, bias, logits, signal, value, push, pop, after) in enumerate(
            zip(*(view.unbind() for view in (*views, *more)), strict=True)
        ):
            cell.activate(t, torch.addmm(now, before, recurrent), output)
            torch.addmm(bias, output, out, out=logits)
            signal.sigmoid_()
            value.tanh_()
            if keep is not None:
                signal.mul_(keep[t])
            if soft is not None:
                soft[t] = signal
                torch.ge(signal, 0.5, out=signal)
            answer = tape.append(push, pop, value)
            if noise is None:
                after.copy_(answer)
            else:
                torch.add(answer, noise[t], out=after)
        ctx.run = kind, tape, start, token is None
        ctx.save_for_backward(weight, act, past, acts, soft, keep, *cell.kept, *cell.opened)
        ctx.set_materialize_grads(False)
        return past, acts, tape.token(), *cell.kept

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        from ddstructs.ops.tape import once

        if torch.is_grad_enabled():
            with torch.no_grad():
                found = Steps.backward(ctx, *grads)
            return once(*found)
        past_grad, acts_grad, tiles_grad, *others = grads
        weight, act, past, acts, soft, keep, *states = ctx.saved_tensors
        kind, tape, start, first = ctx.run
        cell = kind(states[: len(others)], states[len(others) :])
        time, heads, size = len(acts), tape.heads, tape.heads * tape.width
        if past_grad is None:
            past_grad = torch.zeros_like(past)
        acts_grad = torch.zeros_like(acts) if acts_grad is None else acts_grad.clone()
        if tiles_grad is None:
            tiles_grad = acts.new_zeros(tape.batch, tape.tiles(start + time), tape.width + 1)
        elif tiles_grad.stride(2) != 1:
            tiles_grad = tiles_grad.contiguous()
        soft = acts[..., : 2 * heads] if soft is None else soft
        slope = torch.cat([soft * ((1 if keep is None else keep) - soft), 1 - acts[..., 2 * heads :].square()], dim=2)
        outputs = past[:, :, size:]
        cell.differentiate(outputs[1:], others)
        z_grads = acts.new_empty(time, tape.batch, len(weight))
        signals, values = acts_grad[..., : 2 * heads], acts_grad[..., 2 * heads :].unflatten(2, (heads, tape.width))
        views = past_grad[1:], acts_grad, signals[..., :heads], signals[..., heads:], values, slope, z_grads
        steps = list(enumerate(zip(*(view.unbind() for view in views), strict=True), start))
        carry = torch.zeros_like(past[0])
        with tape.lock:
            for t, (later, logits, push, pop, value, by, z_grad) in reversed(steps):
                grad = carry.add_(later)
                above = grad[:, :size].reshape(-1, heads, tape.width)
                found = tape.unwind(t, above, tiles_grad.narrow(1, 0, tape.tiles(t + 1)))
                for part, more in zip((push, pop, value), found, strict=True):
                    part.add_(more)
                cell.slope(t - start, torch.addmm(grad[:, size:], logits.mul_(by), act), z_grad)
                carry = torch.mm(z_grad, weight)
        before = past_grad[0] + carry
        return (
            None,
            None,
            None if first else tiles_grad.narrow(1, 0, tape.tiles(start)),
            z_grads,
            acts_grad,
            z_grads.flatten(0, 1).t() @ past[:-1].flatten(0, 1),
            acts_grad.flatten(0, 1).t() @ outputs[1:].flatten(0, 1),
            None,
            None,
            None,
            before[:, :size],
            before[:, size:],
            *cell.grads,
        )
