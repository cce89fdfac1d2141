"""The law that a memory with hard signals equals a discrete structure, given a model of it in plain Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ddstructs.actions import harden, mapped
from ddstructs.memory import Memory
from ddstructs.testing import for_all_actions

__all__ = ["Model", "hard_signals_are_discrete"]


class Model(ABC):
    """A discrete structure in plain Python, for one row of a batch.

    Example:
        >>> from ddstructs import Stack
        >>> from ddstructs.laws import Model, hard_signals_are_discrete
        >>> class ListModel(Model):
        ...     def __init__(self):
        ...         self.items = []
        ...     def step(self, signals, values):
        ...         if signals["pop"][0] and self.items:
        ...             self.items.pop()
        ...         if signals["push"][0]:
        ...             self.items.append(values[0])
        ...         return [self.items[-1] if self.items else None]
        ...     def contents(self):
        ...         return self.items
        >>> hard_signals_are_discrete(Stack(width=2), ListModel)
    """

    @abstractmethod
    def step(self, signals: Mapping[str, Sequence[bool]], values: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Take one step.

        Args:
            signals: For each signal of the memory, by name, whether it is on for each head.
            values: The value of each head, shape `(width,)`.

        Returns:
            The read of each head, shape `(read_width,)`; None stands for zeros.
        """

    @abstractmethod
    def contents(self) -> Sequence[Tensor] | None:
        """The stored items in the order of the memory's contents; None if contents are not to be compared."""


def hard_signals_are_discrete(memory: Memory, model: Callable[[], Model]) -> None:
    """With hard signals, reads and contents equal those of a discrete structure, bit for bit.

    Args:
        memory: The memory.
        model: Returns an empty structure, for example its class.
    """

    def check(actions: Any) -> None:
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            compare(memory, model, mapped(lambda part, dtype=dtype: part.to(dtype), harden(actions)))

    for_all_actions(memory, check, max_time=10)


def compare(memory: Memory, model: Callable[[], Model], actions: Any) -> None:
    """Raise an error unless the memory's reads and contents for some hard actions are those of the structure."""
    reads, state = memory(actions)
    contents, value = memory.contents(state), actions.value
    signals = {name: numbers.bool().tolist() for name, numbers in memory.signals.named(actions).items()}
    for row in range(len(reads)):
        structure = model()
        for t in range(value.shape[1]):
            items_read = structure.step({name: steps[row][t] for name, steps in signals.items()}, list(value[row, t]))
            assert len(items_read) == memory.heads, f"the model has {len(items_read)} reads, not {memory.heads}"
            for head, item in enumerate(items_read):
                expected = torch.zeros_like(reads[row, t, head]) if item is None else item
                assert torch.equal(reads[row, t, head], expected), f"head {head} reads a different value in step {t}"
        items = structure.contents()
        if items is not None:
            strengths = contents.strengths[row]
            assert strengths.tolist() == [1] * len(items) + [0] * (len(strengths) - len(items)), "the depth differs"
            for slot, item in zip(contents.values[row], items, strict=False):
                assert torch.equal(slot, item), "the contents differ"
