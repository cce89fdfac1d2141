"""Base of the memories by superposition: the new state is a weighted mixture of the results of all operations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ddstructs.actions import Choice, mapped
from ddstructs.memory import Memory, S, check_fit, check_reset, check_size
from ddstructs.ops import strength_dtype
from ddstructs.registry.ranges import Size
from ddstructs.signals import Choices
from ddstructs.state import State, tensors

__all__ = ["Superposed"]

LONG = 128
"""The longest sequence for which every state is kept for backward, unless `checkpoint` is given."""


class Superposed(Memory[S], ABC):
    r"""Base of memories by superposition: a choice among named operations, and gradient checkpointing over time.

    With $a_{t,k}$ the weight of operation $f_k$ in step $t$:

    $$ S_t = \sum_k a_{t,k}\ f_k(S_{t-1}, v_t) $$

    Where all weights are zero, as in padding, the state stays unchanged.

    Args:
        width: Size of one value, 1 or more.
        checkpoint: Number of steps between two states that are kept for backward, which recomputes the steps in
            between (Chen et al. 2016, *Training Deep Nets with Sublinear Memory Cost*). If not given, all states are
            kept up to 128 steps; for longer sequences, one per square root of the length.

    Attributes:
        operations: Names of the operations, in the order of their weights.
        state_type: Type of the states; its first tensor has the batch axis first and the width last.
    """

    heads = 1
    operations: tuple[str, ...]
    state_type: ClassVar[type[State]]

    def __init__(self, width: Size, checkpoint: Size | None = None) -> None:
        super().__init__()
        self.width = check_size("width", width)
        self.checkpoint = None if checkpoint is None else check_size("checkpoint", checkpoint)

    @property
    def signals(self) -> Choices:
        return Choices(self.operations, self.heads)

    @abstractmethod
    def advance(self, weights: Tensor, value: Tensor, state: S) -> tuple[Tensor, S]:
        """Take one time step with a checked action; return the read and the new state.

        Args:
            weights: Weight of each operation, shape `(batch, heads, operations)`.
            value: Shape `(batch, heads, width)`.
            state: The state before the step; it is not modified.
        """

    def step(self, action: Choice, state: S) -> tuple[Tensor, S]:
        self.check(action)
        return self.advance(*self._fit(action, state), state)

    def forward(self, actions: Choice, state: S | None = None, reset: Tensor | None = None) -> tuple[Tensor, S]:
        self.check(actions, time=True)
        time = actions.value.shape[1]
        steps = self.checkpoint or (math.isqrt(time) if time > LONG else time)
        if time <= steps or not torch.is_grad_enabled():
            return super().forward(actions, state, reset)
        reset = check_reset(reset, actions.value)
        reads, run = [], super().forward
        for first in range(0, time, steps):
            piece = slice(first, first + steps)
            part = mapped(lambda tensor, piece=piece: tensor[:, piece], actions)
            resets = None if reset is None else reset[:, piece]
            read, state = cast(
                "tuple[Tensor, S]", checkpoint(run, part, state, resets, use_reentrant=False, preserve_rng_state=False)
            )
            reads.append(read)
        assert state is not None
        return torch.cat(reads, dim=1), state

    def _fit(self, action: Choice, state: S) -> tuple[Tensor, Tensor]:
        """Check that an action fits the state, and return its weights and value in the state's dtypes."""
        if not isinstance(state, self.state_type):
            kind = type(self).__name__
            raise TypeError(f"state is a {type(state).__name__}, but a {kind} needs one from its own initial_state")
        value = check_fit(self, action.value, tensors(state)[0])
        return action.weights.to(strength_dtype(value.dtype)), value
