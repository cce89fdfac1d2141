"""The tape: a row of cells, and a head that writes, moves and reads."""

from __future__ import annotations

from functools import reduce
from typing import Literal, final, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.actions import Choice
from ddstructs.line import compact
from ddstructs.memory import check_batch, check_size
from ddstructs.ops import strength_dtype
from ddstructs.registry.ranges import Size
from ddstructs.state import Contents
from ddstructs.superposition import Superposed, TapeCells

__all__ = ["Tape"]

Write = Literal["replace", "add"]


@final
class Tape(Superposed[TapeCells]):
    r"""A tape by superposition: in each step the head writes, moves, and reads the cell it has reached.

    With the head at $M[0]$ and $a_p$ the weight of a move by $p$ cells:

    $$ M'_t = M_{t-1} \text{ with } M'_t[0] = v_t \quad(\text{or } M_{t-1}[0] + v_t) \qquad
       M_t[i] = \textstyle\sum_p a_p\ M'_t[i + p] \qquad r_t = M_t[0] $$

    The moves are left, right and stay and, with `jump`, that many cells to the left and to the right. With all weight
    on one move in each step it is the tape of a Turing machine. An unbounded tape grows on both sides with every step,
    so a sequence costs its length squared; with `size` the tape is a ring.

    Contents run from left to right and leave out cells that were never written. The strength of a cell is the weight
    with which it was written, and its value is the weighted sum of the values written to it.

    Args:
        width: Size of one value, 1 or more.
        size: Number of cells of a ring, as in the published code; unbounded on both sides if not given.
        write: Whether a value replaces the cell, as in Delétang et al., or is added to it, as in Suzgun et al.
        jump: Distance of two additional moves, one to the left and one to the right; none if not given.
        checkpoint: Steps between the states that are kept for backward; see `Superposed`.

    Raises:
        TypeError: If a size is not an int.
        ValueError: If a size is less than 1, or if `write` is unknown.

    Reference:
        Suzgun, Gehrmann, Belinkov & Shieber 2019, *Memory-Augmented Recurrent Neural Networks Can Learn Generalized
        Dyck Languages* (Baby-NTM), and Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy* (Tape-RNN).

    Example:
        >>> import torch
        >>> from ddstructs import Choice, Tape
        >>> tape = Tape(width=1)
        >>> state = tape.initial_state(batch_size=1)
        >>> left, right, stay = torch.eye(3).view(3, 1, 1, 3)
        >>> read, state = tape.step(Choice(right, torch.tensor([[[5.0]]])), state)
        >>> read, state = tape.step(Choice(left, torch.tensor([[[7.0]]])), state)
        >>> read.item(), tape.contents(state).values.flatten().tolist()
        (5.0, [5.0, 7.0])
    """

    state_type = TapeCells

    def __init__(
        self,
        width: Size = 64,
        size: Size | None = None,
        write: Write = "replace",
        jump: Size | None = None,
        checkpoint: Size | None = None,
    ) -> None:
        super().__init__(width, checkpoint)
        if write not in get_args(Write):
            raise ValueError(f"write is {write!r}, but a tape takes {' or '.join(map(repr, get_args(Write)))}")
        self.size = None if size is None else check_size("size", size)
        self.write = write
        self.jump = None if jump is None else check_size("jump", jump)
        self.operations = ("left", "right", "stay") + (() if jump is None else ("jump_left", "jump_right"))
        self._moves = (-1, 1, 0) + (() if jump is None else (-jump, jump))

    def initial_state(
        self, batch_size: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> TapeCells:
        check_batch(batch_size)
        cells = torch.zeros(batch_size, 1, self.size or 1, self.width, device=device, dtype=dtype)
        return TapeCells(cells, cells.new_zeros(cells.shape[:3], dtype=strength_dtype(cells.dtype)))

    def advance(self, weights: Tensor, value: Tensor, state: TapeCells) -> tuple[Tensor, TapeCells]:
        stay = (weights == 0).all(-1, keepdim=True)  # padding
        head, far = state.before, 0 if self.size else max(map(abs, self._moves))
        one = torch.ones_like(state.occupied[:, :, :1])
        written = state.cells[:, :, head] + value if self.write == "add" else value
        occupied = self._move(weights, _put(state.occupied, head, one), far)
        cells = self._move(weights.to(value.dtype)[..., None], _put(state.cells, head, written[:, :, None]), far)
        occupied = torch.where(stay, pad(state.occupied, (far, far)), occupied)
        cells = torch.where(stay[..., None], pad(state.cells, (0, 0, far, far)), cells)
        after = TapeCells(cells, occupied, head + far)
        if not self.size:
            after = after.trimmed(head + far, head + far + 1)
        return after.cells[:, :, after.before], after

    def contents(self, state: TapeCells) -> Contents:
        return compact(Contents(state.cells.flatten(1, 2), state.occupied.flatten(1, 2)))

    def extra_repr(self) -> str:
        return f"{self.width}, size={self.size}, write={self.write!r}, jump={self.jump}"

    def _fit(self, action: Choice, state: TapeCells) -> tuple[Tensor, Tensor]:
        fitting = super()._fit(action, state)
        if self.size and state.cells.shape[2] != self.size:
            cells = state.cells.shape[2]
            raise ValueError(
                f"state has {cells} cells, but this Tape has {self.size}: use one from its own initial_state"
            )
        return fitting

    def _move(self, weights: Tensor, cells: Tensor, far: int) -> Tensor:
        """Mix the moved tapes, with the weights in axis 2; the tape grows by `far` cells on both sides."""
        if self.size:
            places = [cells.roll(-move, dims=2) for move in self._moves]
        else:
            length, around = cells.shape[2] + 2 * far, [0, 0] * (cells.dim() - 3)
            wide = pad(cells, [*around, 2 * far, 2 * far])
            places = [wide[:, :, far + move : far + move + length] for move in self._moves]
        return reduce(Tensor.add, (weights[:, :, i : i + 1] * place for i, place in enumerate(places)))


def _put(cells: Tensor, index: int, new: Tensor) -> Tensor:
    """Replace the cell at an index; `new` has shape `(batch, heads, 1, ...)`."""
    return torch.cat([cells[:, :, :index], new, cells[:, :, index + 1 :]], dim=2)
