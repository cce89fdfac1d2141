r"""All steps of a `MemoryRNN` as one function of autograd, for the usual cells and a line memory on the CPU.

In a loop over the steps most of the time goes to the overhead of operators and autograd. Here each step writes into
preallocated tensors and the gradient is written by hand, so that what does not depend on the previous step is computed
once for all steps. With $p_t = [r_t; h_t]$ (`past`), $x_t$ projected beforehand (`x_proj`) and $s_t$ what does not
depend on $h_t$ in the logits of the action (`skip`):

$$ z_t = W_x x_t + b + W p_{t-1} \qquad h_t, c_t = \mathrm{cell}(z_t, c_{t-1}) \qquad a_t = s_t + U h_t $$

$$ d_t, u_t = \sigma(a^d_t, a^u_t) \qquad v_t = \tanh(a^v_t) \qquad r_t = \mathrm{memory}(d_t, u_t, v_t) $$

Backward, from the last step to the first, where $\bar{x}$ is the gradient of the loss in $x$ and $\phi'$ the slope of
$\sigma$ or $\tanh$:

$$ \bar{p}_t \mathrel{+}= W^\top \bar{z}_{t+1} \qquad
   (\bar{d}_t, \bar{u}_t, \bar{v}_t) \mathrel{+}= \mathrm{memory}'(\bar{r}_t) \qquad
   \bar{a}_t = \phi'(a_t) \odot (\bar{d}_t, \bar{u}_t, \bar{v}_t) $$

$$ \bar{z}_t = \mathrm{cell}'(\bar{h}_t + U^\top \bar{a}_t) \qquad
   \bar{W} = \textstyle\sum_t \bar{z}_t p_{t-1}^\top \qquad \bar{U} = \textstyle\sum_t \bar{a}_t h_t^\top $$

Tensors are time first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear, pad
from torch.nn.modules import module as hooks

from ddstructs import ops
from ddstructs.memory import Action, State
from ddstructs.nn.cells import STEPWISE, Stepwise
from ddstructs.nn.network import Network, Noise
from ddstructs.ops import LineState
from ddstructs.ops.once import differentiable_once

if TYPE_CHECKING:
    from ddstructs.ops.tape import Tape

__all__ = ["Fused", "fits", "run"]

SHORT = 2
"""Up to so many steps a loop is faster."""


class Fused(NamedTuple):
    """A whole sequence, time first. The network also runs over the padding.

    Attributes:
        reads: Shape `(time + 1, batch, heads * width)`, beginning with the read before the first step; noise included.
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
    """Whether the network is made of known parts without hooks, and the state fits it.

    Args:
        network: The parts.
        x: The inputs, shape `(batch, time, input_size)`.
        read: The read before the first step, shape `(batch, heads, width)`.
        hidden: The states of the cell before the first step.
        state: The state of the memory before the first step.
    """
    cell, to_action, _, memory, _ = network
    if x.shape[1] <= SHORT or x.dtype not in (torch.float32, torch.float64) or not ops.on_tape(x):
        return False
    if torch.is_autocast_enabled(x.device.type) or hooks._has_any_global_hook():
        return False
    if type(cell) not in STEPWISE or getattr(cell, "nonlinearity", "tanh") != "tanh":
        return False
    if type(to_action) is not nn.Linear or to_action.bias is None:
        return False
    if not all(map(_bare, (cell, to_action, memory))) or memory.line is None or not isinstance(state, LineState):
        return False
    parts, batch = (state.template, read, *hidden), len(x)
    return state.template.shape[-1] == memory.width and all(
        part.dtype == x.dtype and part.device == x.device and len(part) == batch for part in parts
    )


def _bare(part: nn.Module) -> bool:
    """Whether a module runs the `forward` of its class, without hooks."""
    return "forward" not in vars(part) and not (
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
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
        hidden: The states of the cell before the first step, the output first.
        state: The state of the memory before the first step.
        noise: The noise to add.
        padding: Where nothing is pushed or popped, shape `(time, batch, 1)`, bool.

    Raises:
        ValueError: If the memory validates its actions and a push or a pop is NaN.
    """
    from ddstructs.ops import tape as tapes  # brings numba

    cell, to_action, value_skip, memory, hard = network
    assert isinstance(cell, nn.RNNCell | nn.LSTMCell)
    assert isinstance(to_action, nn.Linear)
    assert memory.line is not None
    assert isinstance(state, LineState)
    size, heads = x.shape[-1], memory.heads
    x_proj = linear(x, cell.weight_ih[:, :size], cell.bias_ih + cell.bias_hh if cell.bias else None)
    weight = torch.cat([cell.weight_ih[:, size:], cell.weight_hh], dim=1)
    skip = to_action.bias.expand(*x.shape[:2], -1)
    if value_skip is not None:
        skip = skip + pad(value_skip(x), (2 * heads, 0))
    line = tapes.record(memory.line, state)
    needed = (x_proj, skip, weight, to_action.weight, read, *hidden, *([] if line.token is None else [line.token]))
    differentiate = torch.is_grad_enabled() and any(part.requires_grad for part in needed)
    with line.tape.lock:
        tape, token = tapes.extend(line, len(x), differentiate)
        past, flat, token, *others = Steps.apply(  # type: ignore[no-untyped-call]
            STEPWISE[type(cell)], tape, token, x_proj, skip, weight, to_action.weight, noise, padding, hard,
            differentiate, read.flatten(1), *hidden,
        )  # fmt: skip
        after = tapes.TapeState(tape, tape.time, token if differentiate else None)
    reads, outputs = past.tensor_split((heads * memory.width,), dim=2)
    push, pop, value = flat.tensor_split((heads, 2 * heads), dim=2)
    actions = Action(push, pop, value.unflatten(2, (heads, memory.width)))
    if memory.validate:
        memory.check(actions, time=True)
    return Fused(reads, (outputs, *others), actions, after)


class Steps(Function):
    """All steps, from the state before the first one.

    Returns `past`, the reads beside the outputs of the cell, `(time + 1, batch, heads * width + hidden_size)`; push,
    pop and value side by side, `(time, batch, heads * (2 + width))`; the token of the tape; the other states of the
    cell.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kind: type[Stepwise],
        tape: Tape,
        token: Tensor | None,
        x_proj: Tensor,
        skip: Tensor,
        weight: Tensor,
        to_action: Tensor,
        noise: Noise,
        padding: Tensor | None,
        hard: bool,
        differentiate: bool,
        read: Tensor,
        *hidden: Tensor,
    ) -> tuple[Tensor, ...]:
        time, size, heads = len(x_proj), read.shape[1], tape.heads
        past = x_proj.new_empty(time + 1, len(read), size + hidden[0].shape[1])
        past[0, :, :size], past[0, :, size:] = read, hidden[0]
        actions = torch.empty_like(skip, memory_format=torch.contiguous_format)
        soft = actions.new_empty(*actions.shape[:2], 2 * heads) if hard else None
        cell, start = kind.begin(hidden, time, differentiate), tape.time
        recurrent, out = weight.t(), to_action.t()
        # The views of all steps are made at once: making one in each step takes as long as some of the operators.
        signals, values = actions[..., : 2 * heads], actions[..., 2 * heads :].unflatten(2, (heads, tape.width))
        pushes, pops = signals[..., :heads], signals[..., heads:]
        reads, outputs = past[1:, :, :size].unflatten(2, (heads, tape.width)), past[1:, :, size:]
        views = past[:-1], x_proj, outputs, skip, actions, signals, values, pushes, pops, reads
        for t, (before, now, h, bias, logits, signal, value, push, pop, read_out) in enumerate(
            zip(*(view.unbind() for view in views), strict=True)
        ):
            cell.forward(t, torch.addmm(now, before, recurrent), h)
            if noise.states is not None:
                for states, added in zip(cell.states, noise.states, strict=True):
                    states[t + 1].add_(added[t])
            torch.addmm(bias, h, out, out=logits)
            signal.sigmoid_()
            value.tanh_()
            if padding is not None:
                signal.masked_fill_(padding[t], 0)
            if soft is not None:
                soft[t] = signal
                signal.sub_(signal).add_(soft[t] >= 0.5)  # so that a NaN stays one
            r = tape.append(push, pop, value)
            if noise.reads is None:
                read_out.copy_(r)
            else:
                torch.add(r, noise.reads[t], out=read_out)
        ctx.run = kind, tape, start, token is not None
        ctx.save_for_backward(weight, to_action, past, actions, soft, *cell.states, *cell.saved)
        ctx.set_materialize_grads(False)
        return past, actions, tape.token(), *cell.states

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        past_grad, actions_grad, tiles_grad, *others = grads
        weight, to_action, past, actions, soft, *kept = ctx.saved_tensors
        kind, tape, start, continued = ctx.run
        time, heads, size = len(actions), tape.heads, tape.heads * tape.width
        if past_grad is None:
            past_grad = torch.zeros_like(past)
        actions_grad = torch.zeros_like(actions) if actions_grad is None else actions_grad.clone()
        if tiles_grad is None:
            tiles_grad = actions.new_zeros(tape.batch, tape.tiles(start + time), tape.width + 1)
        elif tiles_grad.stride(2) != 1:
            tiles_grad = tiles_grad.contiguous()
        soft = actions[..., : 2 * heads] if soft is None else soft
        slopes = torch.cat([soft * (1 - soft), 1 - actions[..., 2 * heads :].square()], dim=2)
        outputs = past[1:, :, size:]
        cell = kind(kept[: len(others)], kept[len(others) :])
        cell.prepare(outputs, others)
        z_grads = actions.new_empty(time, tape.batch, len(weight))
        signals = actions_grad[..., : 2 * heads]
        values = actions_grad[..., 2 * heads :].unflatten(2, (heads, tape.width))
        views = past_grad[1:], actions_grad, signals[..., :heads], signals[..., heads:], values, slopes, z_grads
        backward = reversed(list(enumerate(zip(*(view.unbind() for view in views), strict=True))))
        carry = torch.zeros_like(past[0])
        with tape.lock:
            for t, (later, logits, push, pop, value, slope, z_grad) in backward:
                grad = carry.add_(later)
                read_grad = grad[:, :size].reshape(-1, heads, tape.width)
                tiles = tape.tiles(start + t + 1)
                found = tape.unwind(start + t, read_grad, tiles_grad.narrow(1, 0, tiles))
                for part, added in zip((push, pop, value), found, strict=True):
                    part.add_(added)
                cell.backward(t, torch.addmm(grad[:, size:], logits.mul_(slope), to_action), z_grad)
                carry = torch.mm(z_grad, weight)
        first = past_grad[0] + carry
        return (
            None,
            None,
            tiles_grad.narrow(1, 0, tape.tiles(start)) if continued else None,
            z_grads,
            actions_grad,
            z_grads.flatten(0, 1).t() @ past[:-1].flatten(0, 1),
            actions_grad.flatten(0, 1).t() @ outputs.flatten(0, 1),
            None,
            None,
            None,
            None,
            first[:, :size],
            first[:, size:],
            *cell.finish(),
        )
