"""A single order of all slots of a run, past ones included."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from torch import Tensor

__all__ = ["line_order"]


def line_order(origin: Tensor) -> list[int] | None:
    """All pushes a memory ever held, in an order that is consistent with its contents after every step.

    If no step determines the order of two pushes, the earlier push comes first.

    Args:
        origin: The push each slot comes from, -1 for none, shape `(time, slots)`.

    Returns:
        The pushes, or None if no order is consistent, because two slots changed places or one appeared twice.

    Example:
        >>> import torch
        >>> line_order(torch.tensor([[0, -1], [0, 1], [2, 0]]))
        [2, 0, 1]
    """
    live = origin >= 0
    pushes = origin[live].unique()
    count = int(pushes[-1]) + 1 if len(pushes) else 0
    step = live.nonzero()[:, 0]
    slots = origin[live]
    adjacent = step[1:] == step[:-1]
    pairs = (slots[:-1][adjacent] * count + slots[1:][adjacent]).unique()  # each pair of neighbors once
    above: dict[int, list[int]] = {push: [] for push in pushes.tolist()}
    waiting = dict.fromkeys(above, 0)
    for pair in pairs.tolist():
        lower, upper = divmod(pair, count)
        above[lower].append(upper)
        waiting[upper] += 1
    ready = [push for push, below in waiting.items() if not below]
    heapify(ready)
    order: list[int] = []
    while ready:
        lower = heappop(ready)
        order.append(lower)
        for upper in above[lower]:
            waiting[upper] -= 1
            if not waiting[upper]:
                heappush(ready, upper)
    return order if len(order) == len(above) else None
