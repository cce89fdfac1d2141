"""Signals, abstractly: the controls in an action, and the map from a network's logits to an action."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

__all__ = ["Signals", "Start"]


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

    @abstractmethod
    def resized(self, heads: int) -> Signals:
        """The same signals for another number of heads."""

    def biases(
        self, start: Any, overrides: Mapping[str, float | Sequence[float] | None], kind: str = "memory"
    ) -> tuple[float, ...]:
        """Initial biases of the logits: those of a start, with some signals overridden.

        Args:
            start: One of the memory's `starts`: one number per logit, nested in any way.
            overrides: Biases by signal name: one number, or one per head. None keeps that of the start.
            kind: Name of the memory in errors.

        Raises:
            ValueError: If the memory does not have the signal, or if the numbers are not one per head, or not finite.
        """
        numbers = _flat(start)
        if len(numbers) != self.size:
            raise ValueError(
                f"{kind}.starts has {start}, but {self.heads} heads need one bias each for {self.description}"
            )
        for name, bias in overrides.items():
            if bias is None:
                continue
            columns = [i for i, label in enumerate(self.labels) if label[0] == name]
            if not columns:
                raise ValueError(f"{name}_bias is {bias}, but this {kind} has no {name}: it has {self.description}")
            each = list(bias) if isinstance(bias, Sequence) else [bias] * len(columns)
            if not all(isinstance(number, Real) and math.isfinite(number) for number in each):
                raise ValueError(f"{name}_bias is {bias!r}, but finite numbers were expected")
            if len(each) != len(columns):
                raise ValueError(f"{name}_bias has {len(each)} numbers, but this {kind} has {len(columns)} heads")
            for column, number in zip(columns, each, strict=True):
                numbers[column] = number
        return tuple(numbers)

    @property
    def description(self) -> str:
        """The names of the signals as text, for errors."""
        return ", ".join(dict.fromkeys(name for name, _ in self.labels)) or "no signals"


def _flat(numbers: Any) -> list[float]:
    if isinstance(numbers, int | float):
        return [numbers]
    return [number for part in numbers for number in _flat(part)]
