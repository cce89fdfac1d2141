"""The definition: the equations of Grefenstette et al. 2015, section 3, over batch and slots at once.

"At equality in max or min the derivative of the left argument is used" (section 3.1). Hard 0/1 signals lead to
such ties all the time, so the rule is part of the definition: `relu` follows it for max(0, x), and `take` for min.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.memory import Action
from ddstructs.ops.layout import End, Layout, LineState, Slots, arrange

__all__ = ["scan", "step"]


def nearer(strengths: Tensor, end: End) -> Tensor:
    """For each slot, the total strength between it and an end of the line."""
    if end is End.TOP:
        return nearer(strengths.flip(-1), End.BOTTOM).flip(-1)
    return pad(strengths, (1, 0)).cumsum(-1)[..., :-1]


def take(strengths: Tensor, amount: Tensor, end: End) -> Tensor:
    """Draw `amount` of strength from an end: each slot gives what it has, the next what is still missing.

    Both equations of the paper reduce to this one. Equation 3 reads with the weights `take(s, 1)`. Equation 2 pops with
    `s - take(s, u)`, since `max(0, s - x) = s - min(s, x)`, including derivatives at ties.

    Args:
        strengths: Strengths of the slots, shape `(batch, slots)`.
        amount: How much to draw, shape `(batch,)`.
        end: The end to draw from.

    Returns:
        The strength drawn from each slot, shape `(batch, slots)`.
    """
    missing = (amount[:, None] - nearer(strengths, end)).relu()
    return torch.where(strengths <= missing, strengths, missing)  # at a tie the derivative is that of the strength


def attach(slots: Tensor, new: Tensor, end: End) -> Tensor:
    """Add a slot at an end; slots `(batch, slots, ...)`, new `(batch, ...)`."""
    new = new[:, None]
    return torch.cat([slots, new] if end is End.TOP else [new, slots], dim=1)


def advance(layout: Layout, push: Tensor, pop: Tensor, strengths: Tensor) -> tuple[Tensor, Tensor]:
    """One step of all heads: each pops in turn, then all push, then all read.

    Args:
        layout: The heads.
        push: d_t, shape `(batch, heads)`.
        pop: u_t, shape `(batch, heads)`.
        strengths: s_{t-1}, shape `(batch, slots)`.

    Returns:
        s_t, shape `(batch, slots + heads)`, and the weights of the reads, shape `(batch, heads, slots + heads)`.
    """
    for h, head in enumerate(layout):
        strengths = strengths - take(strengths, pop[:, h], head.take)
    for h, head in enumerate(layout):
        strengths = attach(strengths, push[:, h], head.push)
    unit = strengths.new_ones(strengths.shape[0])
    return strengths, torch.stack([take(strengths, unit, head.take) for head in layout], dim=1)


def step(layout: Layout, action: Action, state: LineState) -> tuple[Tensor, Slots]:
    """One time step: the read `(batch, heads, width)` and the state after."""
    values, strengths = state.slots().values, state.slots().strengths
    strengths, weights = advance(layout, action.push, action.pop, strengths)
    for h, head in enumerate(layout):
        values = attach(values, action.value[:, h], head.push)
    return weights.to(values.dtype) @ values, Slots(values, strengths, layout)


def scan(layout: Layout, actions: Action, state: LineState) -> tuple[Tensor, Slots]:
    """A whole sequence: the reads `(batch, time, heads, width)` and the state after.

    The slots of the last step include those of every step before, so all reads are one matrix product.
    """
    push, pop, value = actions
    time = push.shape[1]
    values, strengths, weights = state.slots().values, state.slots().strengths, []
    below = sum(head.push is End.BOTTOM for head in layout)
    for t in range(time):
        strengths, weight = advance(layout, push[:, t], pop[:, t], strengths)
        rest = time - 1 - t
        weights.append(pad(weight, (rest * below, rest * (len(layout) - below))))
    values = arrange(layout, values, value)
    if not time:
        return value.new_zeros(value.shape), Slots(values, strengths, layout)
    reads = torch.stack(weights, dim=1).to(values.dtype).flatten(1, 2) @ values
    return reads.view(value.shape), Slots(values, strengths, layout)
