"""The whole sequence as two operators that autograd, `torch.compile` and `torch.export` can see, on any kernel."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ddstructs.memory import Action, Contents
from ddstructs.ops.layout import ONCE, Layout, LineState, Slots, Tiles, compact, strength_dtype

__all__ = ["KERNELS", "scan"]

KERNELS = {"cpu": "ddstructs.ops.cpu", "cuda": "ddstructs.ops.triton"}
"""The module with the kernels for each type of device; imported when first used, as a compiler takes a second."""


def scan(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, Tiles]:
    """A whole sequence: the reads `(batch, time, heads, width)` and the state after."""
    slots, value = state.slots(), actions.value
    if not torch.compiler.is_compiling() and not slots.values.requires_grad and not slots.strengths.requires_grad:
        slots = Slots(*compact(Contents(slots.values, slots.strengths)))  # the dead may stay behind
    dtype = strength_dtype(value.dtype)
    pushes, takes = [int(head.push) for head in layout], [int(head.take) for head in layout]
    reads, strengths, *_ = _scan(
        slots.values.to(dtype), slots.strengths, actions.push, actions.pop, value.to(dtype), pushes, takes
    )
    return reads.to(value.dtype), Tiles(layout, slots.values, value, strengths)


@torch.library.custom_op("ddstructs::scan", mutates_args=())
def _scan(
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Reads, and the line: its strengths, order, ends, dead, last, consumed and cut."""
    reads, *line = _empty(initial, strengths, push, pop, value, pushes, takes)
    import_module(KERNELS[value.device.type]).forward(
        initial.contiguous(), strengths, push.contiguous(), pop.contiguous(), value.contiguous(),
        pushes, takes, reads, line,
    )  # fmt: skip
    return reads, *line


@_scan.register_fake
def _empty(
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch, time, heads = push.shape
    tiles = initial.shape[1] + time * heads
    return (
        torch.empty_like(value, memory_format=torch.contiguous_format),
        value.new_zeros(batch, tiles),
        value.new_zeros(batch, tiles, dtype=torch.int32),
        value.new_zeros(batch, 3, dtype=torch.int32),
        value.new_zeros(batch, tiles, dtype=torch.int32),
        value.new_zeros(batch, tiles),
        value.new_zeros(batch, time, heads, dtype=torch.int32),
        value.new_zeros(batch, time, heads),
    )


@torch.library.custom_op("ddstructs::scan_backward", mutates_args=())
def _scan_backward(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    initial: Tensor,
    value: Tensor,
    line: Sequence[Tensor],
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of initial, strengths, push, pop and value."""
    slots, (batch, time, heads, width) = initial.shape[1], value.shape
    tiles = slots + time * heads
    above = torch.zeros_like(value) if reads_grad is None else reads_grad
    values = value.new_zeros(batch, tiles, width)
    slopes = value.new_zeros(batch, tiles)
    if strengths_grad is not None:
        slopes.copy_(strengths_grad)
    push, pop = value.new_empty(batch, time, heads), value.new_empty(batch, time, heads)
    moving = [part.clone() for part in line[:3]]  # changed by a rewind, which only looks at the rest
    import_module(KERNELS[value.device.type]).rewind(
        initial.contiguous(), value.contiguous(), pushes, takes, [*moving, *line[3:]],
        above.contiguous(), values, slopes, push, pop,
    )  # fmt: skip
    pushed = values[:, slots:].clone() if slots else values
    return values[:, :slots].clone(), slopes[:, :slots].clone(), push, pop, pushed.view(value.shape)


@_scan_backward.register_fake
def _empty_gradients(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    initial: Tensor,
    value: Tensor,
    line: Sequence[Tensor],
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch, time, heads = value.shape[:3]
    signal = value.new_empty(batch, time, heads)
    return (
        initial.new_empty(initial.shape),
        value.new_empty(batch, initial.shape[1]),
        signal,
        torch.empty_like(signal),
        value.new_empty(value.shape),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    initial, _, _, _, value, ctx.pushes, ctx.takes = inputs
    ctx.save_for_backward(initial, value, *output[1:])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, reads_grad: Tensor | None, strengths_grad: Tensor | None, *_: Tensor | None) -> tuple[Any, ...]:
    initial, value, *line = ctx.saved_tensors
    return *_scan_backward(reads_grad, strengths_grad, initial, value, line, ctx.pushes, ctx.takes), None, None


def _once(ctx: Any, *_: Tensor | None) -> None:
    raise RuntimeError(ONCE)


_scan.register_autograd(_backward, setup_context=_setup_context)
_scan_backward.register_autograd(_once)
