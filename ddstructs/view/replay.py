"""The history of a memory under given actions: exact for memories on a line, inferred for all others."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddstructs.actions import mapped
from ddstructs.memory import Memory
from ddstructs.view.events import Events
from ddstructs.view.follow import follow
from ddstructs.view.infer import Inferred, infer

__all__ = ["Replay", "replay"]


class Replay(NamedTuple):
    """The history of a memory; the fields are those of `Trace`."""

    reads: Tensor
    pushes: Tensor
    store_of: Tensor
    life: Events
    taken: Events
    known: tuple[int, ...]
    mixed: Tensor | None


def replay(memory: Memory, actions: Any) -> Replay:
    """Run the actions of a sequence, and find the origin of each slot and the weights of the reads.

    The members of a bank are replayed separately: memories on a line by following their values, all others as black
    boxes.

    Args:
        memory: The memory.
        actions: The actions of a sequence.

    Raises:
        ValueError: If a push or a pop is NaN or outside [0, 1], or a shape does not fit.
    """
    memory = copy.deepcopy(memory).to("cpu", torch.float64)
    memory.validate = True
    actions = mapped(lambda part: part.detach().to("cpu", torch.float64), actions)
    reads, _ = memory(actions)
    memory.validate = False
    parts = memory.split(actions)
    heads = [member.heads for member, _ in parts]
    each = [_member(member, own, read) for (member, own), read in zip(parts, reads.split(heads, dim=2), strict=True)]
    return _joined(memory, [member for member, _ in parts], each, reads)


def _member(memory: Memory, actions: Any, reads: Tensor) -> Inferred:
    if memory.line is not None:
        return Inferred(follow(memory.line, actions.push, actions.pop))
    return infer(memory, actions, reads)


def _joined(memory: Memory, members: list[Memory], each: list[Inferred], reads: Tensor) -> Replay:
    """Join the histories of members into that of the whole memory, with its numbering of values, pushes and heads."""
    batch, time = reads.shape[:2]
    store_of_head = [store for store, heads in enumerate(memory.stores) for _ in range(heads)]
    pushes, store_of, lives, taken, head, first = [], [], [], [], 0, 0
    known: list[int] = []
    for member, ((own, life, read), _) in zip(members, each, strict=True):
        count = max(map(len, own), default=0)
        local = torch.tensor([row + [-2] * (count - len(row)) for row in own], dtype=torch.int64).view(batch, count)
        step, of = local // max(1, member.heads), head + local.clamp(min=0) % max(1, member.heads)
        pushes.append(torch.where(local >= 0, step * memory.heads + of, -1))
        store_of.append(torch.where(local >= -1, torch.tensor([*store_of_head, -1])[of], -1))
        lives.append(Events(life.at + torch.tensor([0, first, 0]), life.amount))
        if read is not None:
            taken.append(Events(read.at + torch.tensor([0, 0, head, first]), read.amount))
            known += range(head, head + member.heads)
        head, first = head + member.heads, first + count
    mixed = [found.mixed for found in each if found.mixed is not None]
    return Replay(
        reads,
        torch.cat(pushes, dim=1),
        torch.cat(store_of, dim=1),
        _all(lives, 3).sort((batch, max(1, first), time)),
        _all(taken, 4).sort((batch, time, max(1, head), max(1, first))),
        tuple(known),
        torch.cat(mixed, dim=2) if mixed else None,
    )


def _all(parts: list[Events], axes: int) -> Events:
    none = Events(torch.zeros(0, axes, dtype=torch.int64), torch.zeros(0, dtype=torch.float64))
    return Events(*map(torch.cat, zip(none, *parts, strict=True)))
