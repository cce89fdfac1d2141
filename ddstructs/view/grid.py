"""What a trace looks like in numbers: a row for each value, a column for each step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ddstructs.view.order import line_order
from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

__all__ = ["WEAK", "Grid", "picture"]

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


def picture(trace: Trace, row: int, steps: int) -> Grid:
    """The picture of the first steps of a row."""
    strengths = trace.strengths[row, :steps]
    if trace.origin is None:
        return Grid(strengths.T.numpy(), [], [""] * strengths.shape[1], 0)
    origin = trace.origin[row, :steps]
    order = line_order(origin)
    assert order is not None
    grid = torch.zeros(len(order) + 1, steps, dtype=strengths.dtype)
    place = torch.full((trace.push[row].numel() + 1,), -1)  # the last is for no slot at all
    place[order] = torch.arange(len(order))
    grid[place[origin], torch.arange(steps)[:, None].expand_as(origin)] = strengths
    strong = [value for value in range(len(order)) if grid[value].max() >= WEAK]
    rank = {value: i for i, value in enumerate(strong)}
    windows = []
    if trace.weights is not None:
        weights = trace.weights[row, :steps]
        for time, head, slot in (weights >= WEAK).nonzero().tolist():
            value = int(place[origin[time, slot]])
            windows.append((time, head, rank[value], float(weights[time, head, slot])))
    names = [shown(trace.input_text[row][order[value] // trace.heads]) for value in strong]
    return Grid(grid[strong].numpy(), windows, names, len(order) - len(strong))
