"""A trace as the page needs it: not the contents of every step, but the life of each value, in thousandths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ddstructs.view.grid import lives
from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

__all__ = ["film"]

FAINT = 5
"""Thousandths under which a strength, or a part of a read, is not told."""


def film(trace: Trace) -> dict[str, Any]:
    """The film of a trace, as plain data.

    Returns:
        `stores`, the heads of each store; `names` of the heads; `pushes` and `takes`, the end at which each head does
        so, `"top"` or `"bottom"`; `signals`, what each head is told; and `rows`, for each of which there are `input`
        and `output` by step, `signals` by step and head, `tiles` from the bottom to the top, each `[store, symbol, step
        of its push, step, strength, step, strength...]` with an entry where its strength changes, and `reads` by step
        and head, each `[tile, weight, tile, weight...]`.
    """
    heads, first = [], 0
    for count in trace.stores if trace.origin is not None else (trace.heads,) * (trace.heads > 0):
        heads.append(list(range(first, first + count)))
        first += count
    pushes, takes = ([ends[side] for ends in trace.ends] for side in (0, 1))
    names = [
        pushes[h] if len(store) == 2 and pushes[store[0]] != pushes[store[1]] else f"head {h}" if len(store) > 1 else ""
        for store in heads
        for h in store
    ]
    columns: list[list[int]] = [[] for _ in range(trace.heads)]
    for column, (_, head) in enumerate(trace.labels):
        columns[head].append(column)
    rows = [_row(trace, row, heads, columns) for row in range(len(trace.lengths))]
    signals = [[trace.labels[column][0] for column in of_head] for of_head in columns]
    return {"stores": heads, "names": names, "pushes": pushes, "takes": takes, "signals": signals, "rows": rows}


def _row(trace: Trace, row: int, stores: list[list[int]], columns: list[list[int]]) -> dict[str, Any]:
    steps = max(1, int(trace.lengths[row]))
    text_in, text_out = trace.input_text[row][:steps], trace.output_text[row][:steps]
    pushes, strengths, place = lives(trace, row, steps)
    store_of = [i for i, store in enumerate(stores) for _ in store]
    tiles: list[list[int | str]] = []
    rank: dict[int, int] = {}
    for value, (push, now) in enumerate(zip(pushes, _thousandths(strengths), strict=True)):
        if now.max() < FAINT:
            continue
        rank[value] = len(tiles)
        changed = now.diff(prepend=now.new_zeros(1)).nonzero()[:, 0]
        life = torch.stack([changed, now[changed]], dim=1).flatten().tolist()
        born, head = (life[0], 0) if trace.origin is None else divmod(push, trace.heads)
        tiles.append([store_of[head], shown(text_in[born]) if trace.origin is not None else "", born, *life])
    reads: list[list[list[int]]] = []
    if trace.weights is not None:
        reads = [[[] for _ in range(trace.heads)] for _ in range(steps)]
        weights = _thousandths(trace.weights[row, :steps])
        for t, head, slot in (weights >= FAINT).nonzero().tolist():
            if (value := int(place[t, slot])) in rank:
                reads[t][head] += [rank[value], int(weights[t, head, slot])]
    numbers = _thousandths(trace.signals[row, :steps])
    return {
        "input": [shown(symbol) for symbol in text_in],
        "output": [shown(symbol) for symbol in text_out],
        "signals": [[[now[column] for column in of_head] for of_head in columns] for now in numbers.tolist()],
        "tiles": tiles,
        "reads": reads,
    }


def _thousandths(numbers: Tensor) -> Tensor:
    return (1000 * numbers).round().int()
