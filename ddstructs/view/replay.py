"""What a memory does with given actions, found out from the outside: by pushing other values through it."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddstructs.actions import mapped, unbind, with_value
from ddstructs.memory import Memory
from ddstructs.view.order import line_order

__all__ = ["Replay", "replay"]


class Replay(NamedTuple):
    """What a memory did; the shapes are those of `Trace`."""

    reads: Tensor
    strengths: Tensor
    origin: Tensor | None
    weights: Tensor | None
    values: Tensor | None


def replay(memory: Memory, actions: Any) -> Replay:
    """Run the actions of a sequence, and find out where each slot comes from and how it is read.

    Values are cargo: what is pushed does not change where it comes to lie. So the same pushes and pops with a mark in
    the place of each value show which push every slot comes from, and with a unit vector in its place, how much of it
    is read. Any memory for which this holds needs to say nothing about itself; for any other it is noticed.

    Args:
        memory: The memory.
        actions: What it is told, a whole sequence.

    Raises:
        ValueError: If a push or a pop is NaN or outside [0, 1], or a shape does not fit.
    """
    memory = copy.deepcopy(memory).to("cpu", torch.float64)
    memory.validate = True
    actions = mapped(lambda part: part.detach().to("cpu", torch.float64), actions)
    reads, _ = memory(actions)
    memory.validate = False
    strengths, origin = _slots(memory, actions)
    if origin is None:
        return Replay(reads, strengths, None, None, _values(memory, actions, strengths.shape[-1]))
    return Replay(reads, strengths, origin, _weights(memory, actions, reads, origin), None)


def _slots(memory: Memory, actions: Any) -> tuple[Tensor, Tensor | None]:
    """Strengths and origin of the slots after each step; no origin where a slot holds something else than one push."""
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
    """How much of each slot each head reads; none if the reads are no weighted sums of the slots."""
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
