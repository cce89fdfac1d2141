"""What the steps of a sequence compute of its inputs alone, computed for all steps at once.

Each function takes a layer that a step calls, and the inputs of all steps; it returns what is left for a step to do,
and what each step is given for it. That saves a product of matrices a step, and most of what autograd spends on one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["Cell", "hoist_cell", "hoist_linear"]

M = TypeVar("M", bound=nn.Module)

Cell = Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]
"""From what a step is given, the last read `(batch, heads * width)` and the state of the cell to the state after."""


def hoist_cell(cell: nn.Module, num_states: int, x: Tensor) -> tuple[Cell, Tensor]:
    """A cell whose input is that of the step beside the last read.

    Args:
        cell: Of any kind; there is something to gain with an `nn.RNNCell`.
        num_states: How many tensors its state has.
        x: The inputs, shape `(batch, time, input_size)`.

    Returns:
        The rest of the cell, and what each step is given, shape `(batch, time, ...)`.
    """
    if _plain(cell, nn.RNNCell) and cell.nonlinearity == "tanh":
        size = x.shape[-1]
        weight = torch.cat([cell.weight_ih[:, size:], cell.weight_hh], dim=1).t()
        bias = cell.bias_ih + cell.bias_hh if cell.bias else None

        def elman(given: Tensor, read: Tensor, hidden: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (torch.addmm(given, torch.cat([read, hidden[0]], dim=1), weight).tanh(),)

        return elman, linear(x, cell.weight_ih[:, :size], bias)

    def run(given: Tensor, read: Tensor, hidden: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        after = cell(torch.cat([given, read], dim=1), hidden if num_states > 1 else hidden[0])
        return tuple(after) if num_states > 1 else (after,)

    return run, x


def hoist_linear(layer: nn.Module, skip: Tensor) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor]:
    """A linear layer on the hidden state, to which something is added.

    Args:
        layer: From `(batch, hidden_size)` to `(batch, size)`.
        skip: What is added, shape `(batch, time, size)`.

    Returns:
        The layer and the sum, as a function of the hidden state and of what each step is given; and that.
    """
    if _plain(layer, nn.Linear):
        weight = layer.weight.t()
        return lambda hidden, given: torch.addmm(given, hidden, weight), skip + layer.bias
    return lambda hidden, given: layer(hidden) + given, skip


def _plain(module: nn.Module, kind: type[M]) -> TypeGuard[M]:
    """Whether a module is of this very kind and nothing is hooked to it, so that its weights say all that it does."""
    return type(module) is kind and not (module._forward_pre_hooks or module._forward_hooks)
