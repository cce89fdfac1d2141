"""The data of a picture of a trace: a row for each value, a column for each step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ddstructs.view.events import Events
from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

__all__ = ["MOST", "WEAK", "Picture", "picture"]

MOST = 1000
"""Maximum number of rows and of columns, more than a figure can show. A longer run is drawn with fewer than it has
values and steps, and each cell shows the greatest strength among those it stands for."""

WEAK = 0.02
"""Values whose strength never exceeds this are left out, because there can be one in every step."""


class Picture(NamedTuple):
    """The picture of one row of a batch.

    Attributes:
        strengths: Strength of each value over time, shape `(rows, columns)`.
        windows: Reads: step, head, value, and the weight of the value.
        names: The input symbol at the push of each value.
        left_out: Number of values left out because they were never stronger than `WEAK`.
    """

    strengths: NDArray[np.float64]
    windows: list[tuple[int, int, int, float]]
    names: list[str]
    left_out: int


def picture(trace: Trace, row: int, steps: int) -> Picture:
    """The picture of one row, over the first steps."""
    life = trace.life.of_row(row)
    count = int(life.at[:, 0].max()) + 1 if len(life.at) else 0
    pushes = trace.pushes[row, :count].tolist()
    shows = life.at[:, 1] < steps
    peak = torch.zeros(count, dtype=torch.float64).scatter_reduce(0, life.at[shows, 0], life.amount[shows], "amax")
    values = [i for i, most in enumerate(peak.tolist()) if most >= WEAK or pushes[i] < 0]
    held = sum(most > 0 or pushes[i] < 0 for i, most in enumerate(peak.tolist()))
    rank = {value: i for i, value in enumerate(values)}
    at, weights = trace.taken.of_row(row)
    windows = [
        (step, head, rank[value], weight)
        for (step, head, value), weight in zip(at.tolist(), weights.tolist(), strict=True)
        if step < steps and value in rank and weight >= WEAK
    ]
    texts = trace.input_text[row]
    names = [shown(texts[pushes[value] // trace.heads]) if pushes[value] >= 0 else "" for value in values]
    grid = np.zeros((min(len(values), MOST), min(steps, MOST)))
    for value, first, end, strength in _spans(life, steps):
        if value in rank:
            columns = slice(first * grid.shape[1] // steps, (end - 1) * grid.shape[1] // steps + 1)
            cells = grid[rank[value] * len(grid) // len(values), columns]
            np.maximum(cells, strength, out=cells)
    return Picture(grid, windows, names, held - len(values))


def _spans(life: Events, steps: int) -> Iterator[tuple[int, int, int, float]]:
    """Each value with the first step and the end of each time in which its strength is constant, and this strength."""
    changes = [(*place, strength) for place, strength in zip(life.at.tolist(), life.amount.tolist(), strict=True)]
    for (value, first, strength), (following, end, _) in zip(changes, [*changes[1:], (-1, steps, 0.0)], strict=False):
        if first < steps:
            yield value, first, min(end, steps) if following == value else steps, strength
