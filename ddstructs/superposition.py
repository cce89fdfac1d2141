"""Memories by superposition: the new state is a weighted mixture of the results of all operations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, cast, final

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from ddstructs.actions import Choice, mapped
from ddstructs.line import compact
from ddstructs.memory import Memory, S, check_fit, check_reset, check_size
from ddstructs.ops import strength_dtype
from ddstructs.registry.ranges import Finite, Size
from ddstructs.signals import Choices
from ddstructs.state import Contents, State, tensors

__all__ = ["Cells", "Superposed", "SuperpositionStack"]

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
            some = mapped(lambda part, piece=piece: part[:, piece], actions)
            resets = None if reset is None else reset[:, piece]
            read, state = cast(
                "tuple[Tensor, S]", checkpoint(run, some, state, resets, use_reentrant=False, preserve_rng_state=False)
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


@dataclass(frozen=True)
class Cells(State):
    """A row of cells, each holding a mixture of values.

    Attributes:
        cells: The mixture in each cell, shape `(batch, heads, cells, width)`.
        occupied: Total weight of the values in each cell, shape `(batch, heads, cells)`, in [0, 1]; at least float32.
        before: Number of cells before the position of the head.
    """

    cells: Tensor
    occupied: Tensor
    before: int = 0

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Cells:
        """Move to a device, or convert the values to a dtype."""
        occupied = self.occupied.to(device, dtype and strength_dtype(dtype))
        return Cells(self.cells.to(device, dtype), occupied, self.before)

    def trimmed(self, first: int, last: int) -> Cells:
        """Drop cells at both ends that are empty in every row, but keep those in `first..last - 1`.

        Does nothing if a gradient is required, because the weight of an empty cell has a derivative, too.
        """
        if torch.compiler.is_compiling() or self.occupied.device.type != "cpu":  # would synchronize with the GPU
            return self
        if torch.is_grad_enabled() and (self.cells.requires_grad or self.occupied.requires_grad):
            return self
        used = self.occupied.flatten(0, 1).any(0).nonzero()[:, 0].tolist()
        low, high = min([*used[:1], first]), max([last, *(i + 1 for i in used[-1:])])
        if (low, high) == (0, self.occupied.shape[2]):
            return self
        return Cells(self.cells[:, :, low:high], self.occupied[:, :, low:high], self.before - low)


@final
class SuperpositionStack(Superposed[Cells]):
    r"""A stack by superposition: each step mixes the results of a push, a pop and a no-op.

    With $S_t[0]$ the top, and $a$ the weights of the choice:

    $$ S_t[0] = a_{push}\ v_t + a_{pop}\ S_{t-1}[1] + a_{noop}\ S_{t-1}[0] $$

    $$ S_t[i] = a_{push}\ S_{t-1}[i-1] + a_{pop}\ S_{t-1}[i+1] + a_{noop}\ S_{t-1}[i] \qquad r_t = S_t[0] $$

    With all weight on one operation in each step it is a discrete stack. The cost of a step grows with the number of
    cells in use, which is the number of steps so far unless the choices are hard; a sequence therefore costs its length
    squared.

    Contents run from the bottom to the top. The strength of a cell is the total weight of the values in it, and its
    value is their weighted sum.

    Args:
        width: Size of one value, 1 or more.
        depth: Maximum number of cells; a push moves the lowest value of a full stack off the bottom. Unbounded, and so
            exact, if not given.
        noop: Whether there is a third operation, which leaves the stack unchanged.
        reads: Number of cells to read from the top down; a read concatenates them into `reads * width` elements.
        empty: Value of every element of an empty cell when it is read; -1 in the code of Joulin & Mikolov.
        checkpoint: Steps between the states that are kept for backward; see `Superposed`.

    Raises:
        TypeError: If a size is not an int.
        ValueError: If a size is less than 1.

    Reference:
        Joulin & Mikolov 2015, *Inferring Algorithmic Patterns with Stack-Augmented Recurrent Nets*, equations 3-5.

    Example:
        >>> import torch
        >>> from ddstructs import Choice, SuperpositionStack
        >>> stack = SuperpositionStack(width=2)
        >>> state = stack.initial_state(batch_size=1)
        >>> a, b = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
        >>> read, state = stack.step(Choice(torch.tensor([[[1.0, 0.0, 0.0]]]), a), state)  # push
        >>> read, state = stack.step(Choice(torch.tensor([[[0.25, 0.0, 0.75]]]), b), state)  # push a quarter
        >>> read
        tensor([[[0.7500, 0.2500]]])
    """

    state_type = Cells

    def __init__(
        self,
        width: Size = 64,
        depth: Size | None = None,
        noop: bool = True,
        reads: Size = 1,
        empty: Finite = 0.0,
        checkpoint: Size | None = None,
    ) -> None:
        super().__init__(width, checkpoint)
        self.depth = None if depth is None else check_size("depth", depth)
        self.noop = noop
        self.reads = check_size("reads", reads)
        self.empty = float(empty)
        self.operations = ("push", "pop", "noop") if noop else ("push", "pop")

    @property
    def starts(self) -> tuple[Any, ...]:
        """Push is likeliest and noop least likely, so that values move through the stack and stay in it."""
        return ((1.0, 0.0, -1.0)[: len(self.operations)],)

    @property
    def read_width(self) -> int:
        return self.reads * self.width

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Cells:
        cells = torch.zeros(batch_size, 1, 0, self.width, device=device, dtype=dtype)
        return Cells(cells, cells.new_zeros(batch_size, 1, 0, dtype=strength_dtype(cells.dtype)))

    def advance(self, weights: Tensor, value: Tensor, state: Cells) -> tuple[Tensor, Cells]:
        keep = (weights == 0).all(-1, keepdim=True)  # padding
        push, pop, *noop = weights.split(1, dim=-1)
        stay = noop[0] + keep if noop else keep.to(push.dtype)
        one = torch.ones_like(push)
        size = state.occupied.shape[2] + 1
        # The three results are the same row of cells, new value first, at offsets 0, 1 and 2.
        occupied = _mixture(size, (push, stay, pop), torch.cat([one, pad(state.occupied, (0, 2))], dim=2))
        wide = [weight.to(value.dtype)[..., None] for weight in (push, stay, pop)]
        cells = _mixture(size, wide, torch.cat([value[:, :, None], pad(state.cells, (0, 0, 0, 2))], dim=2))
        if self.depth is not None:
            cells, occupied = cells[:, :, : self.depth], occupied[:, :, : self.depth]
        after = Cells(cells, occupied).trimmed(0, 0)
        return self._read(after), after

    def contents(self, state: Cells) -> Contents:
        return compact(Contents(state.cells.flatten(1, 2).flip(1), state.occupied.flatten(1, 2).flip(1)))

    def extra_repr(self) -> str:
        return f"{self.width}, depth={self.depth}, noop={self.noop}, reads={self.reads}, empty={self.empty}"

    def _read(self, state: Cells) -> Tensor:
        missing = max(0, self.reads - state.occupied.shape[2])
        top = pad(state.cells[:, :, : self.reads], (0, 0, 0, missing))
        if self.empty:
            absent = 1 - pad(state.occupied[:, :, : self.reads], (0, missing))
            top = top + self.empty * absent.to(top.dtype)[..., None]
        return top.flatten(2)


def _mixture(size: int, weights: Any, row: Tensor) -> Tensor:
    """The weighted sum of windows of a row, each shifted by one cell."""
    mixture: Tensor = reduce(torch.add, (weight * row[:, :, i : i + size] for i, weight in enumerate(weights)))
    return mixture
