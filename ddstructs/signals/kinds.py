"""The kinds of signals: pushes and pops, a choice among operations, raw logits, and those of several memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, final

import torch
from torch import Tensor

from ddstructs.actions import Action, Choice, Joint, Scores
from ddstructs.signals.abstract import Signals

__all__ = ["Choices", "Mixed", "PushPop", "Raw", "join"]


@final
class PushPop(Signals):
    """A push and a pop for each head, each through a sigmoid.

    Example:
        >>> import torch
        >>> from ddstructs.signals import PushPop
        >>> signals = PushPop(heads=1)
        >>> action = signals.action(torch.tensor([[0.0, -100.0]]), torch.zeros(1, 1, 4))
        >>> action.push.item(), action.pop.item()
        (0.5, 0.0)
    """

    names = ("push", "pop")
    action_type = Action

    def __init__(self, heads: int) -> None:
        super().__init__(heads)
        self.axes = {name: {"heads": heads} for name in self.names}

    def resized(self, heads: int) -> PushPop:
        return PushPop(heads)

    def action(self, logits: Tensor, value: Tensor) -> Action:
        push, pop = logits.sigmoid().tensor_split(2, dim=-1)
        return Action(push, pop, value)

    def numbers(self, action: Action) -> Tensor:
        return torch.cat([action.push, action.pop], dim=-1)

    def inspect(self, action: Action) -> None:
        for name, part in (("push", action.push), ("pop", action.pop)):
            wrong = part[~((part >= 0) & (part <= 1))]
            if wrong.numel():
                raise ValueError(
                    f"{name} has {wrong.numel()} elements outside [0, 1], the first is {wrong[0].item()}: "
                    "a sigmoid keeps them inside"
                )


class _Named(Signals):
    """One number per head and name, with the names along an axis after the heads."""

    def __init__(self, names: Sequence[str], heads: int = 1) -> None:
        super().__init__(heads)
        self.names = tuple(names)
        self.axes = {self.action_type._fields[0]: {"heads": heads, "operations": len(self.names)}}

    def resized(self, heads: int) -> Self:
        return type(self)(self.names, heads)

    def numbers(self, action: Any) -> Tensor:
        numbers: Tensor = torch.cat(action[0].unbind(-1), dim=-1)
        return numbers

    def _split(self, logits: Tensor) -> Tensor:
        split: Tensor = logits.unflatten(-1, (len(self.names), self.heads)).transpose(-1, -2)
        return split


@final
class Choices(_Named):
    """A choice among named operations for each head, by a softmax.

    Args:
        names: Names of the operations.
        heads: Number of heads.

    Example:
        >>> import torch
        >>> from ddstructs.signals import Choices
        >>> signals = Choices(["push", "pop", "noop"])
        >>> signals.action(torch.tensor([[0.0, 0.0, -1000.0]]), torch.zeros(1, 1, 4)).weights.tolist()
        [[[0.5, 0.5, 0.0]]]
    """

    action_type = Choice

    def action(self, logits: Tensor, value: Tensor) -> Choice:
        return Choice(self._split(logits).softmax(-1), value)

    def inspect(self, action: Choice) -> None:
        weights, total = action.weights, action.weights.sum(-1)
        wrong = weights[~((weights >= 0) & (weights <= 1))]
        if wrong.numel():
            raise ValueError(
                f"weights has {wrong.numel()} elements outside [0, 1], the first is {wrong[0].item()}: "
                "a softmax keeps them inside"
            )
        wrong = total[((total - 1).abs() > 1e-2) & (total != 0)]
        if wrong.numel():
            raise ValueError(
                f"weights has {wrong.numel()} rows whose sum is not 1, the first is {wrong[0].item()}: "
                "a softmax sums to 1"
            )


@final
class Raw(_Named):
    """Raw logits, one per name and head, for a memory that normalizes them itself.

    Args:
        names: Names of the logits.
        heads: Number of heads.
    """

    action_type = Scores

    def action(self, logits: Tensor, value: Tensor) -> Scores:
        return Scores(self._split(logits), value)

    def numbers(self, action: Scores) -> Tensor:
        return super().numbers(Choice(action.scores.softmax(-1).nan_to_num(0), action.value))

    def inspect(self, action: Scores) -> None:
        if action.scores.isnan().any():
            raise ValueError(f"scores has {int(action.scores.isnan().sum())} elements that are NaN")


@final
class Mixed(Signals):
    """The signals of several memories whose actions differ in type, one memory after another.

    Args:
        members: The signals of each memory.
    """

    action_type = Joint

    def __init__(self, members: Sequence[Signals]) -> None:
        super().__init__(sum(member.heads for member in members))
        self.members = tuple(members)
        self.names = tuple(dict.fromkeys(name for member in members for name in member.names))
        self.axes = {}

    @property
    def labels(self) -> tuple[tuple[str, int], ...]:
        labels, first = [], 0
        for member in self.members:
            labels += [(name, first + head) for name, head in member.labels]
            first += member.heads
        return tuple(labels)

    def action(self, logits: Tensor, value: Tensor) -> Joint:
        logits_of = logits.split([member.size for member in self.members], dim=-1)
        value_of = value.split([member.heads for member in self.members], dim=-2)
        return Joint(tuple(m.action(*each) for m, *each in zip(self.members, logits_of, value_of, strict=True)))

    def numbers(self, action: Joint) -> Tensor:
        each = zip(self.members, action.actions, strict=True)
        return torch.cat([member.numbers(part) for member, part in each], dim=-1)

    def resized(self, heads: int) -> Mixed:
        raise ValueError(f"the heads of {self.description} belong to different memories: they cannot be {heads}")

    def inspect(self, action: Joint) -> None:
        for member, part in zip(self.members, action.actions, strict=True):
            member.inspect(part)


def join(signals: Sequence[Signals]) -> Signals:
    """The signals of several memories in one action: of the same kind if all of them are, otherwise `Mixed`."""
    first, *others = signals
    if all(type(each) is type(first) and each.names == first.names for each in others):
        return first.resized(sum(each.heads for each in signals))
    return Mixed(signals)
