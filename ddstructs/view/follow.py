"""The history of a memory on a line, in one pass whose cost per step is the number of values it touches."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddstructs.ops import Layout
from ddstructs.ops.layout import End
from ddstructs.view.events import Events

__all__ = ["Followed", "follow"]


class Followed(NamedTuple):
    """The history of the values in a memory.

    Attributes:
        pushes: For each row, its values in the order of the contents; each is given by its push, `step * heads + head`.
        life: Changes of strength: row, value, step, and the strength from that step on.
        taken: Reads: row, step, head, value, and the weight with which the head reads the value.
    """

    pushes: list[list[int]]
    life: Events
    taken: Events | None


def follow(layout: Layout, push: Tensor, pop: Tensor) -> Followed:
    """Follow the values of a line; the results equal `ops.reference` bit for bit.

    Args:
        layout: The heads.
        push: d_t, shape `(batch, time, heads)`, float64.
        pop: u_t, likewise.
    """
    rows = [_Row(layout, *each) for each in zip(push.tolist(), pop.tolist(), strict=True)]
    life, taken = [], []
    for b, row in enumerate(rows):
        place = {tile: value for value, tile in enumerate(row.order)}
        life += [(b, place[tile], *change) for tile in row.order for change in row.lives[tile].items()]
        taken += [(b, step, head, place[tile], weight) for step, head, tile, weight in row.reads]
    sizes = len(rows), push.shape[1], len(layout), max((len(row.order) for row in rows), default=0)
    return Followed([row.order for row in rows], _events(life, 3), _events(taken, 4).sort(sizes))


class _Row:
    """One row: its live tiles from bottom to top, and the history of all."""

    def __init__(self, layout: Layout, push: list[list[float]], pop: list[list[float]]) -> None:
        self.line: deque[int] = deque()
        self.lives: dict[int, dict[int, float]] = {}
        self.strengths: dict[int, float] = {}
        self.reads: list[tuple[int, int, int, float]] = []
        below: list[int] = []
        above: list[int] = []
        for t, (pushed, popped) in enumerate(zip(push, pop, strict=True)):
            for head, amount in zip(layout, popped, strict=True):
                self.pop(t, amount, head.take)
            for h, (head, strength) in enumerate(zip(layout, pushed, strict=True)):
                if strength > 0:
                    tile = t * len(layout) + h
                    (self.line.append if head.push is End.TOP else self.line.appendleft)(tile)
                    (above if head.push is End.TOP else below).append(tile)
                    self.strengths[tile], self.lives[tile] = strength, {t: strength}
            self.reads += [(t, h, *part) for h, head in enumerate(layout) for part in self.take(1.0, head.take)]
        self.order = below[::-1] + above

    def take(self, amount: float, end: End) -> list[tuple[int, float]]:
        """The strength that each tile gives when an amount is taken from an end; see `reference.take`."""
        given, total = [], 0.0
        for tile in reversed(self.line) if end is End.TOP else self.line:
            strength, missing = self.strengths[tile], amount - total
            if missing <= 0:
                break
            given.append((tile, min(strength, missing)))
            if strength > missing:
                break
            total += strength
        return given

    def pop(self, step: int, amount: float, end: End) -> None:
        """Take an amount from an end, and drop the empty tiles."""
        for tile, given in self.take(amount, end):
            left = self.strengths[tile] - given
            self.strengths[tile] = self.lives[tile][step] = left
            if not left:
                (self.line.pop if end is End.TOP else self.line.popleft)()


def _events(found: Sequence[tuple[float, ...]], axes: int) -> Events:
    """Events from tuples of indices and an amount."""
    at = torch.tensor([each[:-1] for each in found], dtype=torch.int64).view(-1, axes)
    return Events(at, torch.tensor([each[-1] for each in found], dtype=torch.float64))
