"""The one order in which the slots of a run lie, those that are gone among them."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

__all__ = ["line_order"]


def line_order(origin: Tensor) -> list[int] | None:
    """All pushes that a memory ever held, in an order that is its contents' order after every step.

    Args:
        origin: Which push each slot comes from, -1 where there is none, shape `(time, slots)`.

    Returns:
        The pushes, or None if there is no such order: two slots changed places, or one was there twice.

    Example:
        >>> import torch
        >>> line_order(torch.tensor([[0, -1], [0, 1], [2, 0]]))
        [2, 0, 1]
    """
    order: list[int] = []
    for row in origin.tolist():
        live = [push for push in row if push >= 0]
        place = {push: i for i, push in enumerate(order)}
        old = [push for push in live if push in place]
        if len(set(live)) < len(live) or any(place[a] > place[b] for a, b in pairwise(old)):
            return None
        for i, push in enumerate(live):
            if push in place:
                continue
            if not any(later in place for later in live[i + 1 :]):
                order.append(push)  # above all that there ever was, as at the top of a stack
            else:
                order.insert(order.index(live[i - 1]) + 1 if i else 0, push)
    return order
