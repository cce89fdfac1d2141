"""Memories by superposition: what each operation would make of the state, mixed by the weights of a choice."""

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
"""Up to so many steps every state is kept for backward, if nothing else is said."""


class Superposed(Memory[S], ABC):
    r"""What memories by superposition share: one choice among named operations, and sequences in pieces.

    With $a_{t,k}$ the weight of operation $f_k$ in step $t$:

    $$ S_t = \sum_k a_{t,k}\ f_k(S_{t-1}, v_t) $$

    Where all weights are zero, as in padding, the state stays as it was.

    Args:
        width: Size of one value, 1 or more.
        checkpoint: How many steps lie between two states that are kept for backward, which then takes the steps in
            between once more (Chen et al. 2016, *Training Deep Nets with Sublinear Memory Cost*). If not given, all are
            kept of up to 128 steps, and of longer sequences as many as the square root of their length.

    Attributes:
        operations: The names of the operations, in the order of their weights.
        state_type: The type of the states; the first tensor of one has the batch first and the width last.
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
        """One time step, once the action is known to fit: the read and the state after."""

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
        """Weights and value in the dtypes of the state; refused if they do not fit it."""
        if not isinstance(state, self.state_type):
            kind = type(self).__name__
            raise TypeError(f"state is a {type(state).__name__}, but a {kind} steps from its own initial_state")
        value = check_fit(self, action.value, tensors(state)[0])
        return action.weights.to(strength_dtype(value.dtype)), value


@dataclass(frozen=True)
class Cells(State):
    """Cells in a row, each with a mixture of values.

    Attributes:
        cells: What each cell holds, shape `(batch, heads, cells, width)`.
        occupied: The weight with which each cell holds anything, shape `(batch, heads, cells)`, in [0, 1]. In float32
            where the cells are narrower.
        before: How many of the cells lie before the one that the head is at.
    """

    cells: Tensor
    occupied: Tensor
    before: int = 0

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Cells:
        """The same state on another device, or with its values in another dtype."""
        occupied = self.occupied.to(device, dtype and strength_dtype(dtype))
        return Cells(self.cells.to(device, dtype), occupied, self.before)

    def trimmed(self, first: int, last: int) -> Cells:
        """Leave out cells that hold nothing in any row, except those from `first` to before `last`.

        Only where no gradient is wanted: the weight of a cell that holds nothing has a derivative all the same.
        """
        if torch.compiler.is_compiling() or self.occupied.device.type != "cpu":  # a GPU would have to be waited for
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
    r"""A stack by superposition: each step mixes what a push, a pop and a no-op would make of it.

    With $S_t[0]$ the top, and $a$ the weights of the choice:

    $$ S_t[0] = a_{push}\ v_t + a_{pop}\ S_{t-1}[1] + a_{noop}\ S_{t-1}[0] $$

    $$ S_t[i] = a_{push}\ S_{t-1}[i-1] + a_{pop}\ S_{t-1}[i+1] + a_{noop}\ S_{t-1}[i] \qquad r_t = S_t[0] $$

    With all the weight on one operation in each step it is a stack. Unlike `Stack` it never forgets how undecided it
    was: a step costs as much as there are cells in use, which is as many as there were steps unless the choices were
    hard, so a sequence costs its length squared. Without `depth` nothing is cut off.

    Contents run from the bottom to the top; the strength of a cell is the weight with which it holds anything, and its
    value is what all those that it may hold come to, each times its weight.

    Args:
        width: Size of one value, 1 or more.
        depth: How many cells there are at most; what a push moves beyond them falls off the bottom. Any number if not
            given, which is exact.
        noop: Whether there is a third operation, which leaves the stack as it is.
        reads: How many cells are read, from the top down, side by side: a read has `reads * width` elements.
        empty: What every element of an empty cell reads as; -1 in the code of Joulin & Mikolov.
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
        """It pushes most and does nothing least, so that what it pushes moves and stays."""
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
        keep = (weights == 0).all(-1, keepdim=True)  # no operation at all
        push, pop, *noop = weights.split(1, dim=-1)
        stay = noop[0] + keep if noop else keep.to(push.dtype)
        one = torch.ones_like(push)
        size = state.occupied.shape[2] + 1
        # Each operation sees the same row of cells, new value first, from another place on.
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
    """The weighted sum of stretches of a row that begin one place apart."""
    mixture: Tensor = reduce(torch.add, (weight * row[:, :, i : i + size] for i, weight in enumerate(weights)))
    return mixture
