"""All steps of a network on a GPU as one autograd node."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from ddstructs.nn.cuda.backward import backward_rows
from ddstructs.nn.cuda.forward import forward_rows
from ddstructs.nn.cuda.plan import multiprocessors, plan
from ddstructs.nn.network import Noise
from ddstructs.ops import triton as line_kernels
from ddstructs.ops.layout import Layout
from ddstructs.ops.once import differentiable_once

__all__ = ["Setup", "Steps"]


class Setup(NamedTuple):
    """The arguments of a run other than differentiable tensors.

    Attributes:
        cell: Name of torch's class.
        layout: The heads of the memory.
        lengths: Number of steps of each row, shape `(batch,)`, int32; None if no row is padded.
        reset: Steps before which a row is reset, shape `(batch, time)`; None if there are none.
        noise: The noise to add.
        hard: Whether signals are rounded.
        record: Whether push and pop are returned.
    """

    cell: str
    layout: Layout
    lengths: Tensor | None
    reset: Tensor | None
    noise: Noise
    hard: bool
    record: bool

    @property
    def pushes(self) -> tuple[int, ...]:
        return tuple(int(head.push) for head in self.layout)

    @property
    def takes(self) -> tuple[int, ...]:
        return tuple(int(head.take) for head in self.layout)


class Steps(Function):
    """All steps of a network.

    Returns outputs, push, pop, values and reads of all steps, and the strengths of all tiles, the last place and the
    last cell state.
    """

    @staticmethod
    def forward(
        ctx: Any,
        setup: Setup,
        x: Tensor,
        entry: Tensor,
        recurrent: Tensor,
        bias: Tensor,
        action: Tensor,
        action_bias: Tensor,
        skip: Tensor | None,
        place: Tensor,
        state: Tensor | None,
        fresh: Tensor | None,
        fresh_state: Tensor | None,
        initial: Tensor,
        strengths: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Run all steps.

        Args:
            ctx: The context.
            setup: The other arguments.
            x: The inputs, shape `(batch, time, input_size)`; finite in the padding.
            entry: Weights from the input to the sums of the gates, shape `(sums, input_size)`.
            recurrent: Those from a place, shape `(sums, hidden_size + heads * width)`.
            bias: Shape `(sums,)`.
            action: Weights from the output to signals and values, shape `(2 * heads + heads * width, hidden_size)`.
            action_bias: Shape `(2 * heads + heads * width,)`.
            skip: Weights from the input to the values, if any.
            place: The output and the reads before the first step, shape `(batch, hidden_size + heads * width)`.
            state: The cell state before it, shape `(batch, hidden_size)`, if the cell has one.
            fresh: The output to reset to, shape `(batch, hidden_size)`, if there are resets.
            fresh_state: The cell state to reset to, if both.
            initial: Initial values of the memory, shape `(batch, slots, width)`.
            strengths: Their strengths, shape `(batch, slots)`.
        """
        cell, layout, lengths, reset, noise, hard, record = setup
        (batch, time, _), (slots, width) = x.shape, initial.shape[1:]
        summed, hidden, heads = len(bias), action.shape[1], len(layout)
        size, both = heads * width, 2 * heads
        kept = time + 1 + (reset is not None)
        new = x.new_empty if lengths is None else x.new_zeros
        flat = x.flatten(0, 1)
        gates = torch.addmm(bias, flat, entry.t())
        from_x = gates if skip is None else flat @ skip.t()
        places = x.new_empty(batch, kept, hidden + size)
        places[:, 0] = place
        states = x.new_empty(batch, 0 if state is None else kept, hidden)
        if state is not None:
            states[:, 0] = state
        if fresh is not None:
            places[:, -1, :hidden], places[:, -1, hidden:] = fresh, 0
        if fresh_state is not None:
            states[:, -1] = fresh_state
        signals, value = new(batch, time, both), new(batch, time, heads, width)
        line = line_kernels.start(strengths, time, setup.pushes)
        sums, current, raw = (x.new_empty(batch, count) for count in (summed, both, size))
        counts = _lengths(setup, x)
        tiles = plan(summed, hidden, size, heads, x.dtype, backward=False, crowded=batch > multiprocessors(x.device))
        if batch:
            with line_kernels.on(x):
                forward_rows[(batch,)](
                    gates, *tiles.pad(recurrent.t(), action[:both].t(), action[both:].t()), action_bias, from_x,
                    counts, counts if reset is None else reset, x if noise.reads is None else noise.reads,
                    x if noise.states is None else noise.states, x if noise.signals is None else noise.signals,
                    places, states, signals, value, initial, *line, sums, current, raw, batch, time, kept, slots, width,
                    hidden, summed,
                    cell=cell, hard=hard, skips=skip is not None, resets=reset is not None,
                    noisy_reads=noise.reads is not None, noisy_states=noise.states is not None,
                    noisy_signals=noise.signals is not None,
                    alone=tiles.warps == 1, **tiles.constants(hidden, width, setup.pushes, setup.takes),
                )  # fmt: skip
        push, pop = None, None
        if record:
            push, pop = (_rounded(part) if hard else part.contiguous() for part in signals.split(heads, dim=2))
        ctx.setup = setup
        ctx.save_for_backward(
            x, entry, recurrent, action, skip, initial, gates, places, states, signals, value, *line
        )  # fmt: skip
        ctx.present = state is not None, fresh is not None
        ctx.set_materialize_grads(False)
        after = places[:, 1 : time + 1]
        return (
            after[..., :hidden].contiguous(), push, pop, value,
            after[..., hidden:].unflatten(2, (heads, width)).contiguous(), line[0], _last(places, lengths, time),
            None if state is None else _last(states, lengths, time),
        )  # fmt: skip

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        setup: Setup = ctx.setup
        stateful, restarts = ctx.present
        cell, layout, lengths, reset, *_ = setup
        x, entry, recurrent, action, skip, initial, gates, places, states, signals, value, *line = ctx.saved_tensors
        (batch, time, _), (slots, width) = x.shape, initial.shape[1:]
        summed, hidden, heads = len(recurrent), action.shape[1], len(layout)
        reads, both = heads * width, 2 * heads
        kept, place = places.shape[1:]
        new = x.new_empty if lengths is None else x.new_zeros
        output_grad, push_grad, pop_grad, value_grad, reads_grad, slopes, carry, state_grad = grads
        places_grad = x.new_zeros(batch, time, place)
        if output_grad is not None:
            places_grad[..., :hidden] = output_grad
        carry = x.new_zeros(batch, place) if carry is None else carry.clone()
        if reads_grad is not None:
            places_grad[..., hidden:] = reads_grad.flatten(2)
            if lengths is not None:  # where the last read is repeated
                padding = torch.arange(time, device=x.device) >= lengths[:, None]
                carry[:, hidden:] += torch.where(padding[..., None], places_grad[..., hidden:], 0).sum(1)
        recorded = push_grad is not None or pop_grad is not None
        signals_grad = torch.cat([_or_zero(push_grad, signals), _or_zero(pop_grad, signals)], 2) if recorded else x
        state_grad = x.new_zeros(batch, hidden) if state_grad is None else state_grad.contiguous()
        values_grad = x.new_zeros(batch, slots + time * heads, width)
        if value_grad is not None:
            values_grad[:, slots:] = value_grad.flatten(1, 2)
        strengths_grad = torch.zeros_like(line[0]) if slopes is None else slopes.clone()
        sums_grad, actions_grad = new(batch, time, summed), new(batch, time, both + reads)
        first_grad, first_state_grad = x.new_empty(batch, place), x.new_empty(batch, hidden)
        fresh_grad, fresh_state_grad = (x.new_empty(batch, hidden) for _ in range(2))
        read_grad, action_grad, hidden_grad = (x.new_empty(batch, size) for size in (reads, both, hidden))
        counts = _lengths(setup, x)
        tiles = plan(summed, hidden, reads, heads, x.dtype, backward=True, crowded=batch > multiprocessors(x.device))
        line[0], line[1] = line[0].clone(), line[1].clone()  # they are rewound, perhaps more than once
        if batch:
            with line_kernels.on(x):
                backward_rows[(batch,)](
                    gates, *tiles.pad(recurrent, action[:both], action[both:]), counts,
                    counts if reset is None else reset, places, states, signals, value, initial, *line, places_grad,
                    signals_grad, state_grad, values_grad, strengths_grad, sums_grad, actions_grad, carry, first_grad,
                    first_state_grad, fresh_grad, fresh_state_grad, read_grad, action_grad, hidden_grad,
                    time, kept, slots, width, hidden, summed,
                    cell=cell, resets=reset is not None, recorded=recorded,
                    **tiles.constants(hidden, width, setup.pushes, setup.takes),
                )  # fmt: skip
        before, flat = places[:, :time], x.flatten(0, 1)
        if reset is not None:
            before = torch.where(reset[..., None], places[:, -1:], before)
        sums, acted = sums_grad.flatten(0, 1), actions_grad.flatten(0, 1)
        valued = acted[:, both:]
        x_grad = None
        if ctx.needs_input_grad[1]:
            x_grad = sums @ entry
            if skip is not None:
                x_grad.addmm_(valued, skip)
            x_grad = x_grad.view(x.shape)
        return (
            None,
            x_grad,
            sums.t() @ flat,
            sums.t() @ before.flatten(0, 1),
            sums.sum(0),
            acted.t() @ places[:, 1 : time + 1, :hidden].flatten(0, 1),
            acted.sum(0),
            None if skip is None else valued.t() @ flat,
            first_grad,
            first_state_grad if stateful else None,
            fresh_grad if restarts else None,
            fresh_state_grad if restarts and stateful else None,
            values_grad[:, :slots].clone(),
            strengths_grad[:, :slots].clone(),
        )


def _lengths(setup: Setup, x: Tensor) -> Tensor:
    """Number of steps of each row, shape `(batch,)`, int32."""
    if setup.lengths is not None:
        return setup.lengths
    return torch.full((x.shape[0],), x.shape[1], dtype=torch.int32, device=x.device)


def _last(parts: Tensor, lengths: Tensor | None, time: int) -> Tensor:
    """What a tensor with an entry before the first step and after each step holds after the last step of each row."""
    if lengths is None:
        return parts[:, time].contiguous()
    return parts[torch.arange(len(parts), device=parts.device), lengths.long()]


def _rounded(signals: Tensor) -> Tensor:
    """Push or pop as 0 or 1, or NaN."""
    return (signals >= 0.5).to(signals.dtype) + (signals - signals)


def _or_zero(grad: Tensor | None, signals: Tensor) -> Tensor:
    return signals.new_zeros(*signals.shape[:2], signals.shape[2] // 2) if grad is None else grad
