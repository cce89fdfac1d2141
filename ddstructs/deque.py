"""The neural deque: a line that is used at both ends."""

from __future__ import annotations

from typing import final

from ddstructs.line import LineMemory
from ddstructs.memory import Start
from ddstructs.ops import End, Head

__all__ = ["Deque"]


@final
class Deque(LineMemory):
    r"""A differentiable double-ended queue: values are pushed, popped and read at the top and at the bottom.

    Two heads, 0 at the top and 1 at the bottom. In each step the top pops as a stack does, then the bottom pops from
    what is left, then both push, then both read. With $i$ counting slots from the bottom:

    $$ s'[i] = \max(0,\ s_{t-1}[i] - \max(0,\ u^{top}_t - \textstyle\sum_{j>i} s_{t-1}[j])) $$

    $$ s_t[i] = \max(0,\ s'[i] - \max(0,\ u^{bot}_t - \textstyle\sum_{j<i} s'[j])) $$

    $$ r^{top}_t = \textstyle\sum_i \min(s_t[i],\ \max(0,\ 1 - \sum_{j>i} s_t[j]))\ v_i, \qquad
       r^{bot}_t = \textstyle\sum_i \min(s_t[i],\ \max(0,\ 1 - \sum_{j<i} s_t[j]))\ v_i $$

    with a new slot of strength $d^{top}_t$ above the others and one of strength $d^{bot}_t$ below them in $s_t$.
    Contents run from the bottom to the top.

    Args:
        width: Size of one value, 1 or more.

    Raises:
        TypeError: If `width` is not an int.
        ValueError: If `width` is less than 1.

    Reference:
        Grefenstette, Hermann, Suleyman & Blunsom 2015, *Learning to Transduce with Unbounded Memory*, section 3.2.

    Example:
        >>> import torch
        >>> from ddstructs import Action, Deque
        >>> deque = Deque(width=1)
        >>> state = deque.initial_state(batch_size=1)
        >>> both, none = torch.ones(1, 2), torch.zeros(1, 2)
        >>> read, state = deque.step(Action(push=both, pop=none, value=torch.tensor([[[5.0], [7.0]]])), state)
        >>> read.flatten().tolist()  # top, bottom
        [5.0, 7.0]
        >>> deque.contents(state).values.flatten().tolist()  # bottom to top
        [7.0, 5.0]
    """

    layout = (Head(push=End.TOP, take=End.TOP), Head(push=End.BOTTOM, take=End.BOTTOM))

    @property
    def starts(self) -> tuple[Start, ...]:
        """Use as a stack at the top, or as a queue from the top to the bottom.

        The two heads start with different biases because heads that start alike learn alike, and interfere.
        """
        return Start(push=(1.0, -1.0), pop=(-1.0, -3.0)), Start(push=(1.0, -4.0), pop=(-4.0, -1.0))
