"""A run of a `MemoryRNN` as one operator of the graph that `torch.compile` or `torch.export` traces."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ddstructs.nn.network import Noise
from ddstructs.nn.operators import Results
from ddstructs.ops.layout import Layout, LineState, Tiles

__all__ = ["capture"]


def capture(
    cell: str,
    layouts: Sequence[Layout],
    x: Tensor,
    weights: Sequence[Tensor | None],
    read: Tensor | None,
    hidden: Sequence[Tensor],
    states: Sequence[LineState] | None,
    noise: Noise,
    lengths: Tensor | None,
    reset: Tensor | None,
    *,
    hard: bool,
    record: bool,
    time_first: bool,
) -> tuple[Results, Sequence[Tiles]]:
    """Add a run of a network over a sequence to the graph that is being traced.

    Args:
        cell: Name of the class of the cell.
        layouts: The heads of each line of the memory.
        x: As in `operators.Arguments`.
        weights: The weights in `Arguments`, and `initial`.
        read: As in `Arguments`.
        hidden: The states of the cell before the first step, each of shape `(batch, hidden_size)`; the initial ones if
            empty.
        states: The state of each line before the first step, `Slots` or `Tiles`; empty lines if not given.
        noise: The noise to add.
        lengths: As in `Arguments`, like all that follow.
        reset: Likewise.
        hard: Likewise.
        record: Likewise.
        time_first: Likewise.

    Returns:
        The results, and the state of each line after the last step.
    """
    heads, counts = [head for layout in layouts for head in layout], [len(layout) for layout in layouts]
    before = [] if states is None else [state.slots() for state in states]
    slots = [each.values.shape[1] for each in before] if before else [0] * len(layouts)
    results = Results(
        *torch.ops.ddstructs.rnn(
            x, *weights, read, torch.stack(tuple(hidden)) if hidden else None,
            torch.cat([each.values for each in before], 1) if before else None,
            torch.cat([each.strengths for each in before], 1) if before else None,
            lengths, reset, *noise, cell, [int(head.push) for head in heads],
            [int(head.take) for head in heads], counts, slots, hard, record, time_first,
        )
    )  # fmt: skip
    if not layouts:
        return results, []  # a graph that splits a tensor into no parts cannot be read back from a file
    time, value = x.shape[1], results.value
    initial = [each.values for each in before] if before else [value[:, 0, :0]] * len(layouts)
    strengths = results.strengths.split([some + time * count for some, count in zip(slots, counts, strict=True)], 1)
    return results, list(map(Tiles, layouts, initial, value.split(counts, 2), strengths))
