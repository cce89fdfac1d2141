"""A sparse form of the numbers of a run, whose size grows linearly with its length."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Events", "Lives", "dense", "depth", "expand"]


class Events(NamedTuple):
    """A sparse table: nonzero entries, or changes of a value over time.

    Attributes:
        at: Index of each entry along each axis, sorted, shape `(events, axes)`.
        amount: Value of each entry, shape `(events,)`.
    """

    at: Tensor
    amount: Tensor

    def code(self, sizes: tuple[int, ...]) -> Tensor:
        """The indices as flat indices into axes of these sizes."""
        code = self.at.new_zeros(len(self.at))
        for axis, size in enumerate(sizes):
            code = code * size + self.at[:, axis]
        return code

    def sort(self, sizes: tuple[int, ...]) -> Events:
        """Sort the events by their indices."""
        order = self.code(sizes).argsort()
        return Events(self.at[order], self.amount[order])

    def of_row(self, row: int) -> Events:
        """The events of one row, the first axis, without that axis."""
        low, high = torch.searchsorted(self.at[:, 0].contiguous(), torch.tensor([row, row + 1])).tolist()
        return Events(self.at[low:high, 1:], self.amount[low:high])


class Lives(NamedTuple):
    """The slots of every step, expanded from the strengths of the values over time.

    Attributes:
        strengths: Strength of each slot, shape `(batch, time, slots)`.
        holds: Index of the value in each slot, -1 for none, in the same shape.
    """

    strengths: Tensor
    holds: Tensor

    def of(self, numbers: Tensor, nothing: int) -> Tensor:
        """Look up numbers `(batch, values)` for the value in each slot; `nothing` for empty slots."""
        numbers = torch.cat([numbers, numbers.new_full((len(numbers), 1), nothing)], dim=1)
        return numbers.gather(1, (self.holds % numbers.shape[1]).flatten(1)).view(self.holds.shape)


def dense(life: Events, steps: int) -> Tensor:
    """The strength of each value of one row after each step.

    Args:
        life: The events of the row: value, step, and the strength from that step on.
        steps: Number of steps.

    Returns:
        Shape `(values, steps)`; values after the last one that was held are left out.
    """
    values = int(life.at[:, 0].max()) + 1 if len(life.at) else 0
    entry = torch.zeros(values, steps, dtype=torch.int64)
    shown = life.at[:, 1] < steps
    entry[life.at[shown, 0], life.at[shown, 1]] = torch.arange(1, len(life.at) + 1)[shown]
    latest = entry.cummax(dim=1).values if values and steps else entry
    return torch.cat([life.amount.new_zeros(1), life.amount])[latest]


def depth(life: Events, batch: int, time: int) -> Tensor:
    """Total strength after each step, shape `(batch, time)`, without a table of the slots."""
    same = (life.at[1:, :2] == life.at[:-1, :2]).all(dim=1)
    change = life.amount.clone()
    change[1:] -= torch.where(same, life.amount[:-1], 0)
    total = life.amount.new_zeros(batch, time)
    return total.index_put_((life.at[:, 0], life.at[:, 2]), change, accumulate=True).cumsum(dim=1)


def expand(life: Events, batch: int, time: int) -> Lives:
    """All slots of all steps, live slots first, as a dense table."""
    rows = []
    for row in range(batch):
        grid = dense(life.of_row(row), time).T
        step, value = grid.nonzero(as_tuple=True)
        count = torch.bincount(step, minlength=time)
        slot = torch.arange(len(step)) - (count.cumsum(0) - count)[step]
        rows.append((step, slot, value, grid[step, value], int(count.max())))
    slots = max(most for *_, most in rows)
    strengths = torch.zeros(batch, time, slots, dtype=torch.float64)
    holds = torch.full(strengths.shape, -1)
    for row, (step, slot, value, strength, _) in enumerate(rows):
        strengths[row, step, slot], holds[row, step, slot] = strength, value
    return Lives(strengths, holds)
