"""One step of a controller as a function from tensors to tensors, which is what a graph can hold."""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ddstructs.errors import InputError, one_line
from ddstructs.export.buffer import bounded
from ddstructs.nn.rnn import RNNState
from ddstructs.training.controller import Controller

__all__ = ["Step"]


class Step(nn.Module):
    """One step of a controller with hard signals, in evaluation mode; the controller itself is left as it is.

    A row whose symbol is negative is padding: its state stays as it was. A state of zeros is the initial one, whatever
    the controller has learned to begin with: `started` tells the two apart.

    Args:
        model: The controller.
        capacity: Maximum number of values in each line memory.

    Attributes:
        title: The cell and the memory, for messages.
        names: Names of the tensors of a state, in order: `started`, then those of an `RNNState`.

    Raises:
        InputError: If the state of the memory grows with time.
    """

    def __init__(self, model: Controller, capacity: int) -> None:
        super().__init__()
        self.embed, self.classify = copy.deepcopy(model.embed), copy.deepcopy(model.classify)
        self.rnn = copy.deepcopy(model.rnn)
        self.title = f"{type(model.rnn.cell).__name__} with {type(model.rnn.memory).__name__}"
        self.rnn.memory = bounded(model.rnn.memory, capacity)
        self.rnn.hard = True
        self.cpu().eval().requires_grad_(False)
        leaves, self._form = pytree.tree_flatten_with_path(self.rnn.initial_state(2))
        self._kept = [leaf.numel() > 0 for _, leaf in leaves]  # a graph has no tensors without elements
        self._zero = [not leaf.any() for _, leaf in leaves]
        self.names = ["started", *(_name(path) for path, leaf in leaves if leaf.numel())]
        self._check_size(model)

    def initial(self, batch: int) -> list[Tensor]:
        """The state before the first step: zeros."""
        leaves = self._kept_of(self.rnn.initial_state(batch))
        return [torch.zeros(batch, dtype=torch.bool), *map(torch.zeros_like, leaves)]

    def forward(self, symbol: Tensor, started: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        """Take a step.

        Args:
            symbol: Input symbols, shape `(batch,)`, int64.
            started: Whether each row has taken a step before, shape `(batch,)`, bool.
            parts: The other tensors of the state.

        Returns:
            Logits, shape `(batch, output_symbols)`; whether a value has been lost in each row, shape `(batch,)`; and
            the tensors of the state after.
        """
        real = symbol >= 0
        state = self._state(started, parts, symbol.shape[0])  # `len` would fix the size of the batch
        run = self.rnn.unroll(self.embed(symbol.clamp(min=0)[:, None]), state, lengths=real.long())
        after = self._kept_of(run.state)
        lost = [part for name, part in zip(self.names[1:], after, strict=True) if name.endswith(".overflow")]
        overflow = torch.stack([*lost, torch.zeros_like(real)]).any(0)
        return self.classify(run.output[:, 0]), overflow, started | real, *after

    def _state(self, started: Tensor, parts: tuple[Tensor, ...], batch: int) -> RNNState:
        """The state as the network takes it, in rows that have not started the initial one."""
        given, leaves = iter(parts), []
        fresh = pytree.tree_leaves(self.rnn.initial_state(batch))
        for leaf, kept, zero in zip(fresh, self._kept, self._zero, strict=True):
            part = next(given) if kept else leaf
            leaves.append(part if zero else torch.where(started.view(-1, *[1] * (leaf.dim() - 1)), part, leaf))
        return cast("RNNState", pytree.tree_unflatten(leaves, self._form))

    def _kept_of(self, state: RNNState) -> list[Tensor]:
        return [leaf for kept, leaf in zip(self._kept, pytree.tree_leaves(state), strict=True) if kept]

    def _check_size(self, model: Controller) -> None:
        """Raise an error if the form of the state changes in the first steps."""
        symbols = torch.randint(model.input_symbols, (4, 8), generator=torch.Generator().manual_seed(0))
        state = self.rnn.initial_state(4)
        before, form = pytree.tree_flatten(state)
        for given in self.embed(symbols).unbind(1):
            state = self.rnn.unroll(given[:, None], state).state
            after, own = pytree.tree_flatten(state)
            if own != form or [part.shape for part in after] != [part.shape for part in before]:
                raise InputError(
                    f"the state of {one_line(model.rnn.memory)} grows with time, but an ONNX graph has tensors of "
                    "fixed size: export a controller with a Stack, a Queue, a Deque or another line memory"
                )


def _name(path: Any) -> str:
    """A path such as `(.hidden, [0])` as a name: `hidden.0`."""
    return ".".join(str(getattr(key, "name", getattr(key, "idx", ""))) for key in path)
