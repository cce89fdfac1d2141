"""The history of any memory, inferred as a black box by pushing marked values through it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.actions import mapped, unbind, with_value
from ddstructs.memory import Memory
from ddstructs.view.events import Events
from ddstructs.view.follow import Followed
from ddstructs.view.order import line_order

__all__ = ["Inferred", "infer"]


class Inferred(NamedTuple):
    """The history of one memory.

    Attributes:
        followed: The history of its values. A value that is a mixture of pushes has the push -1.
        mixed: The values of the mixtures, shape `(batch, time, values, width)`; None if values are stored as pushed.
    """

    followed: Followed
    mixed: Tensor | None = None


def infer(memory: Memory, actions: Any, reads: Tensor) -> Inferred:
    """Infer the history of a memory by running it on other values.

    In most memories the values do not affect where they are stored. Running the same signals with a mark in place of
    each value then shows which push every slot comes from, and with unit vectors, the weights of the reads. This works
    for any memory; those for which the assumption does not hold are detected.
    """
    strengths, origin = _slots(memory, actions)
    batch, slots = len(strengths), strengths.shape[-1]
    if origin is None:
        held, place = strengths, torch.arange(slots).expand(strengths.shape)
        pushes, taken = [[-1] * slots] * batch, None
    else:
        pushes = [line_order(row) or [] for row in origin]
        place = torch.zeros_like(origin)
        for row, order in enumerate(pushes):
            at = torch.zeros(actions.value.shape[1] * memory.heads + 1, dtype=torch.int64)
            at[order] = torch.arange(len(order))
            place[row] = at[origin[row]]
        held = torch.where(origin >= 0, strengths, 0)
        weights = _weights(memory, actions, reads, origin)
        taken = None if weights is None else _taken(weights, place)
    life = _life(held, place, max(map(len, pushes), default=0))
    return Inferred(Followed(pushes, life, taken), _values(memory, actions, slots) if origin is None else None)


def _life(strengths: Tensor, place: Tensor, values: int) -> Events:
    """The changes in strength of each value; `place` is the index of the value in each slot."""
    batch, time = strengths.shape[:2]
    row, step, slot = strengths.nonzero(as_tuple=True)
    grid = strengths.new_zeros(batch, values, time)
    grid[row, place[row, step, slot], step] = strengths[row, step, slot]
    at = grid.diff(dim=2, prepend=grid.new_zeros(batch, values, 1)).nonzero()
    return Events(at, grid[tuple(at.T)])


def _taken(weights: Tensor, place: Tensor) -> Events:
    """The nonzero weights."""
    row, step, head, slot = weights.nonzero(as_tuple=True)
    at = torch.stack([row, step, head, place[row, step, slot]], dim=1)
    return Events(at, weights[row, step, head, slot])


def _slots(memory: Memory, actions: Any) -> tuple[Tensor, Tensor | None]:
    """Strengths and origin of the slots after each step; the origin is None if a slot is not exactly one push."""
    batch, time, heads, width = actions.value.shape
    pushed = actions.value.flatten(1, 2)
    generator = torch.Generator().manual_seed(0)
    marks = torch.rand(time * heads, generator=generator, dtype=torch.float64).sort().values
    marked = marks.view(time, heads, 1).expand(batch, -1, -1, width)
    twice = mapped(lambda part: torch.cat([part, part]), actions)
    both = with_value(twice, torch.cat([actions.value, marked]))
    state = memory.initial_state(2 * batch, dtype=torch.float64)
    strengths, origins, known = [], [], True
    for action in unbind(both):
        _, state = memory.step(action, state)
        values, strength = memory.contents(state)
        strengths.append(strength[:batch])
        live = strength[:batch] > 0
        mark = values[batch:, :, 0] if width else values.new_zeros(live.shape)
        index = torch.searchsorted(marks, mark.contiguous()).clamp(max=max(0, len(marks) - 1))
        known = known and bool((strength[:batch] == strength[batch:]).all())
        if known and live.any():
            rows = torch.arange(batch)[:, None].expand_as(index)[live]
            same = values[batch:][live] == marks[index[live]][:, None]
            known = bool(same.all() and (values[:batch][live] == pushed[rows, index[live]]).all())
        origins.append(torch.where(live, index, -1))
    slots = max(strength.shape[1] for strength in strengths)
    all_strengths = torch.stack([pad(strength, (0, slots - strength.shape[1])) for strength in strengths], dim=1)
    origin = torch.stack([pad(index, (0, slots - index.shape[1]), value=-1) for index in origins], dim=1)
    known = known and all(line_order(row) is not None for row in origin)
    return all_strengths, origin if known else None


def _weights(memory: Memory, actions: Any, reads: Tensor, origin: Tensor) -> Tensor | None:
    """The weight of each slot in the read of each head; None if the reads are not weighted sums of the slots."""
    batch, time, heads, width = actions.value.shape
    if memory.read_width != width:
        return None
    slots = origin[:, :, None].expand(-1, -1, heads, -1)
    weights = torch.zeros(slots.shape, dtype=torch.float64)
    for first in range(0, time * heads, max(1, width)):
        count = min(width, time * heads - first)
        unit = torch.zeros(time * heads, width, dtype=torch.float64)
        unit[first : first + count] = torch.eye(count, width, dtype=torch.float64)
        units = unit.view(time, heads, width).expand(batch, -1, -1, -1).contiguous()
        answer, _ = memory(with_value(actions, units))
        here = (slots >= first) & (slots < first + count)
        weights = torch.where(here, answer.gather(3, (slots - first).clamp(0, count - 1)), weights)
    pushed, rows = actions.value.flatten(1, 2), torch.arange(batch)[:, None]
    for t in range(time):
        expected = weights[:, t] @ pushed[rows, origin[:, t].clamp(min=0)]
        if not torch.allclose(expected, reads[:, t], rtol=1e-9, atol=1e-9):
            return None
    return weights


def _values(memory: Memory, actions: Any, slots: int) -> Tensor:
    """The values of the slots after each step."""
    state = memory.initial_state(len(actions.value), dtype=torch.float64)
    steps = []
    for action in unbind(actions):
        _, state = memory.step(action, state)
        values = memory.contents(state).values
        steps.append(pad(values, (0, 0, 0, slots - values.shape[1])))
    return torch.stack(steps, dim=1)
