"""The neural queue: first in, first out."""

from __future__ import annotations

from typing import final

from ddstructs.line import LineMemory
from ddstructs.ops import End, Head

__all__ = ["Queue"]


@final
class Queue(LineMemory):
    r"""A differentiable queue: the value pushed first is read and popped first.

    One head. At time $t$, with $i$ counting values from the oldest:

    $$ s_t[i] = \max(0,\ s_{t-1}[i] - \max(0,\ u_t - \textstyle\sum_{j<i} s_{t-1}[j])), \qquad s_t[t] = d_t $$

    $$ r_t = \textstyle\sum_i \min(s_t[i],\ \max(0,\ 1 - \sum_{j<i} s_t[j]))\ v_i $$

    Contents run from the front to the back.

    Args:
        width: Size of one value, 1 or more.

    Raises:
        TypeError: If `width` is not an int.
        ValueError: If `width` is less than 1.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, equations 4-5.

    Example:
        >>> import torch
        >>> from ddstructs import Action, Queue
        >>> queue = Queue(width=2)
        >>> state = queue.initial_state(batch_size=1)
        >>> a, b = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
        >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
        >>> read, state = queue.step(Action(push=one, pop=zero, value=a), state)
        >>> read, state = queue.step(Action(push=one, pop=0.75 * one, value=b), state)
        >>> read  # what is left of a in front, and three quarters of b behind it
        tensor([[[0.2500, 0.7500]]])
    """

    layout = (Head(push=End.TOP, take=End.BOTTOM),)
