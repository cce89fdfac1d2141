"""The superposition stack."""

from __future__ import annotations

from functools import reduce
from typing import Any, final

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.line import compact
from ddstructs.memory import check_batch, check_size
from ddstructs.ops import strength_dtype
from ddstructs.registry.ranges import Finite, Size
from ddstructs.state import Contents
from ddstructs.superposition.abstract import Superposed
from ddstructs.superposition.cells import Cells

__all__ = ["SuperpositionStack"]


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
        check_batch(batch_size)
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
