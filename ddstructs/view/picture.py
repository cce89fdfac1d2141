"""The data of a picture of a trace: a row for each value, a column for each step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddstructs.view.events import dense
from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

__all__ = ["WEAK", "Picture", "picture"]

WEAK = 0.02
"""Values whose strength never exceeds this are left out, because there can be one in every step."""


class Picture(NamedTuple):
    """The picture of one row of a batch.

    Attributes:
        strengths: Strength of each value over time, shape `(values, steps)`.
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
    strengths = dense(trace.life.of_row(row), steps)
    pushes = trace.pushes[row, : len(strengths)].tolist()
    strong = [i for i, shows in enumerate((strengths >= WEAK).any(dim=1).tolist()) if shows or pushes[i] < 0]
    held = sum(shows or pushes[i] < 0 for i, shows in enumerate((strengths > 0).any(dim=1).tolist()))
    rank = {value: i for i, value in enumerate(strong)}
    at, weights = trace.taken.of_row(row)
    windows = [
        (step, head, rank[value], weight)
        for (step, head, value), weight in zip(at.tolist(), weights.tolist(), strict=True)
        if step < steps and value in rank and weight >= WEAK
    ]
    texts = trace.input_text[row]
    names = [shown(texts[pushes[value] // trace.heads]) if pushes[value] >= 0 else "" for value in strong]
    return Picture(strengths[strong].numpy(), windows, names, held - len(strong))
