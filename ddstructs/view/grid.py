"""What a trace looks like in numbers: a row for each value, a column for each step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddstructs.view.order import line_order
from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

__all__ = ["WEAK", "Grid", "Lives", "lives", "picture"]

WEAK = 0.02
"""A value that was never stronger gets no row of its own: there are as many as steps."""


class Grid(NamedTuple):
    """The picture of one row of a batch.

    Attributes:
        strengths: The strength of each value over time, shape `(values, steps)`.
        windows: What is read: step, head, value, and how much of it.
        names: The symbol with which each value was pushed.
        left_out: How many values are left out, for they were never as strong as `WEAK`.
    """

    strengths: NDArray[np.float64]
    windows: list[tuple[int, int, int, float]]
    names: list[str]
    left_out: int


class Lives(NamedTuple):
    """What became of each value.

    Attributes:
        pushes: Which push each value is, in their one order; the number of the slot, if the trace does not know.
        strengths: Of each value after each step, shape `(values, steps)`.
        place: Which of the values each slot holds, shape `(steps, slots)`; where there is none, anything.
    """

    pushes: list[int]
    strengths: Tensor
    place: Tensor


def lives(trace: Trace, row: int, steps: int) -> Lives:
    """The values of one row, over the first steps."""
    strengths = trace.strengths[row, :steps]
    if trace.origin is None:
        slots = strengths.shape[1]
        return Lives(list(range(slots)), strengths.T, torch.arange(slots).expand(steps, -1))
    origin = trace.origin[row, :steps]
    pushes = line_order(origin)
    assert pushes is not None
    place = torch.full((trace.value.shape[1] * trace.heads + 1,), len(pushes))  # the last is for no slot at all
    place[pushes] = torch.arange(len(pushes))
    grid = torch.zeros(len(pushes) + 1, steps, dtype=strengths.dtype)
    grid[place[origin], torch.arange(steps)[:, None].expand_as(origin)] = strengths
    return Lives(pushes, grid[:-1], place[origin])


def picture(trace: Trace, row: int, steps: int) -> Grid:
    """The picture of one row, over the first steps."""
    pushes, strengths, place = lives(trace, row, steps)
    if trace.origin is None:
        return Grid(strengths.numpy(), [], [""] * len(pushes), 0)
    strong = (strengths >= WEAK).any(dim=1).nonzero()[:, 0].tolist()
    rank = {value: i for i, value in enumerate(strong)}
    windows = []
    if trace.weights is not None:
        weights = trace.weights[row, :steps]
        for time, head, slot in (weights >= WEAK).nonzero().tolist():
            if (value := int(place[time, slot])) in rank:
                windows.append((time, head, rank[value], float(weights[time, head, slot])))
    names = [shown(trace.input_text[row][pushes[value] // trace.heads]) for value in strong]
    return Grid(strengths[strong].numpy(), windows, names, len(pushes) - len(strong))
