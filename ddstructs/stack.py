"""The neural stack: last in, first out."""

from __future__ import annotations

from typing import final

from ddstructs.line import LineMemory
from ddstructs.ops import End, Head

__all__ = ["Stack"]


@final
class Stack(LineMemory):
    r"""A differentiable stack: the value pushed last is read and popped first.

    One head. At time $t$, with $i$ counting values from the oldest:

    $$ s_t[i] = \max(0,\ s_{t-1}[i] - \max(0,\ u_t - \textstyle\sum_{j>i} s_{t-1}[j])), \qquad s_t[t] = d_t $$

    $$ r_t = \textstyle\sum_i \min(s_t[i],\ \max(0,\ 1 - \sum_{j>i} s_t[j]))\ v_i $$

    Contents run from the bottom to the top.

    Args:
        width: Size of one value, 1 or more.

    Raises:
        TypeError: If `width` is not an int.
        ValueError: If `width` is less than 1.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, equations 1-3.

    Example:
        >>> import torch
        >>> from ddstructs import Action, Stack
        >>> stack = Stack(width=2)
        >>> state = stack.initial_state(batch_size=1)
        >>> a, b = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
        >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
        >>> read, state = stack.step(Action(push=one, pop=zero, value=a), state)
        >>> read, state = stack.step(Action(push=0.25 * one, pop=zero, value=b), state)
        >>> read  # a quarter of b on top, and three quarters of a below it
        tensor([[[0.7500, 0.2500]]])
    """

    layout = (Head(push=End.TOP, take=End.TOP),)
