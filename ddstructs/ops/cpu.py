"""The kernels for whole sequences on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ddstructs.ops import engine, threads
from ddstructs.ops.layout import Inputs

__all__ = ["backward", "forward"]

# Large arrays are allocated by numpy, which requests huge pages: the first access to each small page costs more than
# the arithmetic on it.


def forward(inputs: Inputs, pushes: Sequence[int], takes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Run all steps.

    Args:
        inputs: The initial state and the actions.
        pushes: The end at which each head pushes.
        takes: The end from which each head pops and reads.

    Returns:
        The reads, shape `(batch, time, heads, width)`, and the strengths of all tiles after the last step, shape
        `(batch, slots + time * heads)`.
    """
    arrays = _arrays(inputs)
    strengths = np.empty((len(inputs.push), _tiles(inputs)), arrays.strengths.dtype)
    reads = np.empty(inputs.value.shape, arrays.value.dtype)
    heads = engine.Heads.at(pushes, takes)

    def run(rows: slice) -> None:
        engine.scan(heads, _part(arrays, rows), strengths[rows], reads[rows])

    threads.over(run, threads.cuts(len(reads)), reads.size)
    return torch.from_numpy(reads), torch.from_numpy(strengths)


def backward(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    inputs: Inputs,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Propagate gradients back through all steps.

    Args:
        reads_grad: Gradient of the reads; zero if None.
        strengths_grad: Gradient of the strengths after the last step; zero if None.
        inputs: As in `forward`.
        pushes: As in `forward`.
        takes: As in `forward`.

    Returns:
        The gradients of the values of all tiles, those of the initial state first, shape `(batch, tiles, width)`, and
        of the initial strengths, push and pop.
    """
    arrays = _arrays(inputs)
    values_grad = np.zeros((len(inputs.push), _tiles(inputs), inputs.value.shape[-1]), arrays.value.dtype)
    reads_grad = torch.zeros_like(inputs.value) if reads_grad is None else reads_grad
    after_grad = inputs.strengths[:, :0] if strengths_grad is None else strengths_grad
    others = [np.empty(part.shape, part.dtype) for part in (arrays.strengths, arrays.push, arrays.pop)]
    heads, incoming = engine.Heads.at(pushes, takes), (reads_grad.contiguous().numpy(), after_grad.contiguous().numpy())

    def run(rows: slice) -> None:
        slices = (part[rows] for part in (*incoming, values_grad, *others))
        engine.scan_backward(heads, _part(arrays, rows), *slices)

    threads.over(run, threads.cuts(len(values_grad)), values_grad.size)
    before_grad, push_grad, pop_grad = map(torch.from_numpy, others)
    return torch.from_numpy(values_grad), before_grad, push_grad, pop_grad


def _arrays(inputs: Inputs) -> engine.Inputs:
    return engine.Inputs(*(part.contiguous().numpy() for part in inputs))


def _part(arrays: engine.Inputs, rows: slice) -> engine.Inputs:
    return engine.Inputs(*(part[rows] for part in arrays))


def _tiles(inputs: Inputs) -> int:
    """Number of tiles after the last step, dead ones included."""
    return inputs.initial.shape[1] + inputs.push.shape[1] * inputs.push.shape[2]
