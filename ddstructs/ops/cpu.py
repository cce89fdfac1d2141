"""The kernels for whole sequences on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ddstructs.ops import engine

__all__ = ["backward", "forward"]

# Large arrays are made by numpy, which asks the system for large pages: the first touch of each small one costs more
# than all that is done with what lies on it.


def forward(
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Take all steps.

    Args:
        initial: Values of the initial state, shape `(batch, slots, width)`.
        strengths: Their strengths, shape `(batch, slots)`.
        push: Shape `(batch, time, heads)`.
        pop: Shape `(batch, time, heads)`.
        value: Shape `(batch, time, heads, width)`.
        pushes: The end at which each head pushes.
        takes: The end from which each head takes.

    Returns:
        The reads, shape `(batch, time, heads, width)`, and the strengths of all tiles after the last step, shape
        `(batch, slots + time * heads)`.
    """
    given = [part.contiguous().numpy() for part in (initial, strengths, push, pop, value)]
    after = np.empty((len(push), _tiles(initial, push)), given[1].dtype)
    reads = np.empty(value.shape, given[-1].dtype)
    engine.scan(*_heads(pushes, takes, push), *given, after, reads)
    return torch.from_numpy(reads), torch.from_numpy(after)


def backward(
    reads_grad: Tensor | None,
    strengths_grad: Tensor | None,
    initial: Tensor,
    strengths: Tensor,
    push: Tensor,
    pop: Tensor,
    value: Tensor,
    pushes: Sequence[int],
    takes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Carry gradients back through all steps.

    Args:
        reads_grad: The gradient of the reads; zero if not given.
        strengths_grad: The gradient of the strengths after the last step; zero if not given.
        initial: As in `forward`.
        strengths: As in `forward`.
        push: As in `forward`.
        pop: As in `forward`.
        value: As in `forward`.
        pushes: As in `forward`.
        takes: As in `forward`.

    Returns:
        The gradient of the values of all tiles, first those of the initial state, shape `(batch, tiles, width)`, and
        those of strengths, push and pop.
    """
    given = [part.contiguous().numpy() for part in (initial, strengths, push, pop, value)]
    values = np.zeros((len(push), _tiles(initial, push), value.shape[-1]), given[-1].dtype)
    above = torch.zeros_like(value) if reads_grad is None else reads_grad
    after = strengths[:, :0] if strengths_grad is None else strengths_grad
    before, pushed, popped = (np.empty(part.shape, part.dtype) for part in given[1:4])
    engine.scan_backward(
        *_heads(pushes, takes, push), *given, above.contiguous().numpy(), after.contiguous().numpy(),
        values, before, pushed, popped,
    )  # fmt: skip
    return torch.from_numpy(values), torch.from_numpy(before), torch.from_numpy(pushed), torch.from_numpy(popped)


def _heads(pushes: Sequence[int], takes: Sequence[int], push: Tensor) -> tuple[engine.Array, engine.Array, int]:
    """The ends of the heads, and how many tiles they push at the bottom."""
    return engine.ends(pushes), engine.ends(takes), push.shape[1] * (len(pushes) - sum(pushes))


def _tiles(initial: Tensor, push: Tensor) -> int:
    """How many tiles there are after the last step."""
    return initial.shape[1] + push.shape[1] * push.shape[2]
