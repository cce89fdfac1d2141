"""Whole sequences as two custom operators for autograd, `torch.compile` and `torch.export`, with any kernel."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ddstructs.memory import Action, Contents
from ddstructs.ops.layout import Inputs, Layout, LineState, Slots, Tiles, compact, strength_dtype
from ddstructs.ops.once import refuse

__all__ = ["KERNELS", "scan"]

KERNELS = {"cpu": "ddstructs.ops.cpu", "cuda": "ddstructs.ops.triton"}
"""The module with the kernels for each type of device; imported on first use, because compilers are slow to import."""


def scan(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, Tiles]:
    """A whole sequence: the reads `(batch, time, heads, width)` and the state after."""
    slots, value = state.slots(), actions.value
    occupied = not torch.compiler.is_compiling() and slots.strengths.shape[1] > 0
    if occupied and not slots.values.requires_grad and not slots.strengths.requires_grad:
        slots = Slots(*compact(Contents(slots.values, slots.strengths)))  # dead slots need no gradient
    dtype = strength_dtype(value.dtype)
    pushes, takes = [int(head.push) for head in layout], [int(head.take) for head in layout]
    reads, strengths, _ = _scan(
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
) -> tuple[Tensor, Tensor, Tensor]:
    """The reads, the strengths of all tiles after the last step, and the log for backward."""
    inputs = Inputs(initial, strengths, push, pop, value)
    return _kernels(value).forward(inputs, pushes, takes)  # type: ignore[no-any-return]


@_scan.register_fake
def _empty(
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    batch, time, heads = push.shape
    size = 0
    if value.device.type == "cuda":
        from ddstructs.ops.logs import log_size  # imports triton

        size = log_size(Inputs(initial, strengths, push, pop, value), pushes, takes)
    after = strengths.new_empty(batch, initial.shape[1] + time * heads)
    return value.new_empty(value.shape), after, push.new_empty(size, dtype=torch.int32)


@torch.library.custom_op("ddstructs::scan_backward", mutates_args=())
def _scan_backward(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    log: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of initial, strengths, push, pop and value."""
    slots, inputs = initial.shape[1], Inputs(initial, strengths, push, pop, value)
    values_grad, before, push_grad, pop_grad = _kernels(value).backward(
        reads_grad, strengths_grad, inputs, log, pushes, takes
    )
    pushed = values_grad[:, slots:].clone() if slots else values_grad
    return values_grad[:, :slots].clone(), before, push_grad, pop_grad, pushed.view(value.shape)


@_scan_backward.register_fake
def _empty_gradients(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    log: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, ...]:
    return tuple(part.new_empty(part.shape) for part in (initial, strengths, push, pop, value))


def _kernels(tensor: Tensor) -> ModuleType:
    return import_module(KERNELS[tensor.device.type])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.pushes, ctx.takes = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, reads_grad: Tensor | None, strengths_grad: Tensor | None, _: None) -> tuple[Any, ...]:
    return *_scan_backward(reads_grad, strengths_grad, *ctx.saved_tensors, ctx.pushes, ctx.takes), None, None


_scan.register_autograd(_backward, setup_context=_setup_context)
_scan_backward.register_autograd(refuse)
