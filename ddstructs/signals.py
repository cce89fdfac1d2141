"""The signals of a memory: the controls in its actions, and the map from a network's logits to an action."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self, final

import torch
from torch import Tensor

from ddstructs.actions import Action, Choice, Joint, Scores

__all__ = ["Choices", "Mixed", "PushPop", "Raw", "Signals", "Start"]


class Start(NamedTuple):
    """Initial biases, before the sigmoid, for a network that learns to push and pop.

    Attributes:
        push: Bias of push, one number per head.
        pop: Bias of pop, one number per head.
    """

    push: tuple[float, ...]
    pop: tuple[float, ...]


class Signals(ABC):
    """The controls in an action besides its value, and the map from a network's logits to an action.

    A network outputs one logit per signal and head: all heads of the first signal, then all heads of the second, and
    so on.

    Args:
        heads: Number of heads.

    Attributes:
        names: Names of the signals, in the order of the logits.
        axes: For each part of an action except the value, the names and sizes of its axes after batch and time.
        action_type: Type of the actions.
    """

    names: tuple[str, ...]
    axes: dict[str, dict[str, int]]
    action_type: ClassVar[type[Any]]

    def __init__(self, heads: int) -> None:
        self.heads = heads

    @property
    def labels(self) -> tuple[tuple[str, int], ...]:
        """The name and the head of each logit."""
        return tuple((name, head) for name in self.names for head in range(self.heads))

    @property
    def size(self) -> int:
        """Number of logits."""
        return len(self.labels)

    @abstractmethod
    def action(self, logits: Tensor, value: Tensor) -> Any:
        """The action for some logits.

        Args:
            logits: Shape `(..., size)`, unbounded.
            value: Shape `(..., heads, width)`.
        """

    @abstractmethod
    def numbers(self, action: Any) -> Tensor:
        """The signals of an action as numbers for display, in the order of the logits, shape `(..., size)`."""

    @abstractmethod
    def inspect(self, action: Any) -> None:
        """Check the signals of an action.

        Raises:
            ValueError: If a signal is NaN or out of range.
        """

    def named(self, action: Any) -> dict[str, Tensor]:
        """The signals of an action by name, each of shape `(..., heads)`."""
        numbers, labels = self.numbers(action), self.labels
        index = {name: [i for i, label in enumerate(labels) if label[0] == name] for name, _ in labels}
        return {name: numbers[..., columns] for name, columns in index.items()}

    def joined(self, others: Sequence[Signals]) -> Signals:
        """The signals of several memories in one action: these, then the others."""
        everything = (self, *others)
        if all(type(each) is type(self) and each.names == self.names for each in others):
            return self.resized(sum(each.heads for each in everything))
        return Mixed(everything)

    @abstractmethod
    def resized(self, heads: int) -> Signals:
        """The same signals for another number of heads."""

    def biases(
        self, start: Any, given: Mapping[str, float | Sequence[float] | None], kind: str = "memory"
    ) -> tuple[float, ...]:
        """Initial biases of the logits: those of a start, with some signals overridden.

        Args:
            start: One of the memory's `starts`: one number per logit, nested in any way.
            given: Overrides by signal name: one number, or one per head. None keeps the start.
            kind: Name of the memory in error messages.

        Raises:
            ValueError: If the memory has no such signal, or if the count of numbers is not that of the heads.
        """
        numbers = _flat(start)
        if len(numbers) != self.size:
            raise ValueError(f"{kind}.starts has {start}, but {self.heads} heads need one bias each for {self.told()}")
        for name, bias in given.items():
            if bias is None:
                continue
            columns = [i for i, label in enumerate(self.labels) if label[0] == name]
            if not columns:
                raise ValueError(f"{name}_bias is {bias}, but this {kind} has no {name}: it has {self.told()}")
            each = list(bias) if isinstance(bias, Sequence) else [bias] * len(columns)
            if len(each) != len(columns):
                raise ValueError(f"{name}_bias has {len(each)} numbers, but this {kind} has {len(columns)} heads")
            for column, number in zip(columns, each, strict=True):
                numbers[column] = number
        return tuple(numbers)

    def told(self) -> str:
        """The names of the signals as text, for messages."""
        return ", ".join(dict.fromkeys(name for name, _ in self.labels)) or "no signals"


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
        odd = total[((total - 1).abs() > 1e-2) & (total != 0)]
        if odd.numel():
            raise ValueError(
                f"weights has {odd.numel()} rows whose sum is not 1, the first is {odd[0].item()}: a softmax sums to 1"
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
        raise ValueError(f"the heads of {self.told()} belong to different memories: they cannot be {heads}")

    def inspect(self, action: Joint) -> None:
        for member, part in zip(self.members, action.actions, strict=True):
            member.inspect(part)


def _flat(numbers: Any) -> list[float]:
    if isinstance(numbers, int | float):
        return [numbers]
    return [number for part in numbers for number in _flat(part)]
