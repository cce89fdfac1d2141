"""The kernels for whole sequences on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ddstructs.ops import engine, threads
from ddstructs.ops.layout import Inputs
from ddstructs.ops.pages import empty

__all__ = ["backward", "forward"]


def forward(inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps.

    Args:
        inputs: The initial state and the actions.
        pushes: The end at which each head pushes.
        takes: The end from which each head pops and reads.

    Returns:
        The reads, shape `(batch, time, heads, width)`, the strengths of all tiles after the last step, shape
        `(batch, slots + time * heads)`, and a log for backward, int32; it is empty here, for all steps run again.
    """
    arrays = _arrays(inputs)
    strengths = empty((len(inputs.push), _tiles(inputs)), inputs.strengths.dtype)
    reads = empty(tuple(inputs.value.shape), inputs.value.dtype)
    heads, written = engine.Heads.at(pushes, takes), (strengths.numpy(), reads.numpy())

    def run(rows: slice) -> None:
        engine.scan(heads, _part(arrays, rows), *(part[rows] for part in written))

    threads.over(run, threads.cuts(len(reads)), reads.numel())
    return reads, strengths, torch.empty(0, dtype=torch.int32)


def backward(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    inputs: Inputs,
    log: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Propagate gradients back through all steps.

    Args:
        reads_grad: Gradient of the reads; zero if None.
        strengths_grad: Gradient of the strengths after the last step; zero if None.
        inputs: As in `forward`.
        log: The log of `forward`.
        pushes: As in `forward`.
        takes: As in `forward`.

    Returns:
        The gradients of the values of all tiles, those of the initial state first, shape `(batch, tiles, width)`, and
        of the initial strengths, push and pop.
    """
    arrays = _arrays(inputs)
    batch, width = inputs.value.shape[0], inputs.value.shape[-1]
    values_grad = empty((batch, _tiles(inputs), width), inputs.value.dtype)
    reads_grad = torch.zeros_like(inputs.value) if reads_grad is None else reads_grad
    after_grad = inputs.strengths[:, :0] if strengths_grad is None else strengths_grad
    before_grad, push_grad, pop_grad = (empty(tuple(part.shape), part.dtype) for part in inputs[1:4])
    grads = values_grad, before_grad, push_grad, pop_grad
    tensors = [part.contiguous().numpy() for part in (reads_grad, after_grad, *grads)]
    heads = engine.Heads.at(pushes, takes)

    def run(rows: slice) -> None:
        engine.scan_backward(heads, _part(arrays, rows), *(part[rows] for part in tensors))

    threads.over(run, threads.cuts(batch), values_grad.numel())
    return grads


def _arrays(inputs: Inputs) -> engine.Inputs:
    return engine.Inputs(*(part.contiguous().numpy() for part in inputs))


def _part(arrays: engine.Inputs, rows: slice) -> engine.Inputs:
    return engine.Inputs(*(part[rows] for part in arrays))


def _tiles(inputs: Inputs) -> int:
    """Number of tiles after the last step, dead ones included."""
    return inputs.initial.shape[1] + inputs.push.shape[1] * inputs.push.shape[2]
