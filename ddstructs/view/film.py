"""The data of the player: the strength of each value over time, in thousandths."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from torch import Tensor

from ddstructs.view.symbols import shown
from ddstructs.view.trace import Trace

__all__ = ["film"]

FAINT = 5
"""Strengths and parts of reads below this many thousandths are left out."""


def film(trace: Trace) -> dict[str, Any]:
    """The data of a trace that the player needs, as plain data.

    Returns:
        `stores`, the heads of each store; `names` of the heads; `pushes` and `takes`, the end at which each head
        pushes, and pops and reads, `"top"` or `"bottom"`; `signals`, the names of the signals of each head; and
        `rows`. Each row has `input` and `output` by step; `signals` by step and head; `tiles` from the bottom to the
        top, each `[store, symbol, step of its push, step, strength, step, strength...]` with an entry for each change
        of its strength; and `reads` by step and head, each `[tile, weight, tile, weight...]`, or null if unknown.
    """
    heads, first = [], 0
    for count in trace.stores:
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
    rows = [_row(trace, row, columns) for row in range(len(trace.lengths))]
    signals = [[trace.labels[column][0] for column in of_head] for of_head in columns]
    return {"stores": heads, "names": names, "pushes": pushes, "takes": takes, "signals": signals, "rows": rows}


def _row(trace: Trace, row: int, columns: list[list[int]]) -> dict[str, Any]:
    steps = max(1, int(trace.lengths[row]))
    text_in, text_out = trace.input_text[row][:steps], trace.output_text[row][:steps]
    pushes, store_of = trace.pushes[row].tolist(), trace.store_of[row].tolist()
    tiles: list[list[int | str]] = []
    rank: dict[int, int] = {}
    for value, life in _lives(trace, row, steps):
        if max(life[1::2]) < FAINT:
            continue
        rank[value] = len(tiles)
        mixed = pushes[value] < 0
        step = life[0] if mixed else pushes[value] // trace.heads
        tiles.append([store_of[value], "" if mixed else shown(text_in[step]), step, *life])
    reads: list[list[list[int] | None]] = [
        [[] if head in trace.known else None for head in range(trace.heads)] for _ in range(steps)
    ]
    at, weights = trace.taken.of_row(row)
    for (step, head, value), weight in zip(at.tolist(), _thousandths(weights).tolist(), strict=True):
        if weight >= FAINT and value in rank and step < steps and (read := reads[step][head]) is not None:
            read += [rank[value], weight]
    numbers = _thousandths(trace.signals[row, :steps])
    return {
        "input": [shown(symbol) for symbol in text_in],
        "output": [shown(symbol) for symbol in text_out],
        "signals": [[[now[column] for column in of_head] for of_head in columns] for now in numbers.tolist()],
        "tiles": tiles,
        "reads": reads,
    }


def _lives(trace: Trace, row: int, steps: int) -> Iterator[tuple[int, list[int]]]:
    """Each value, with the steps at which its strength in thousandths changes, and the new strengths."""
    at, amount = trace.life.of_row(row)
    events = zip(*at.T.tolist(), _thousandths(amount).tolist(), strict=True)
    for value, own in groupby(events, key=lambda event: event[0]):
        life, before = [], 0
        for _, step, strength in own:
            if step < steps and strength != before:
                life += [step, strength]
                before = strength
        if life:
            yield value, life


def _thousandths(numbers: Tensor) -> Tensor:
    return (1000 * numbers).round().int()
