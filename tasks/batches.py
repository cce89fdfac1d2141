"""Batches that are made as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ddstructs.tasks.batch import Batch

__all__ = ["Batches"]


class Batches:
    """A fixed number of batches, generated lazily.

    Args:
        make: Begins an iteration over the batches.
        length: How many there are.
    """

    def __init__(self, make: Callable[[], Iterator[Batch]], length: int) -> None:
        self.make = make
        self.length = length

    def __iter__(self) -> Iterator[Batch]:
        return self.make()

    def __len__(self) -> int:
        return self.length

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the task saves the position of its stream. Lightning takes a loader without this for unresumable."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing, see `state_dict`."""
