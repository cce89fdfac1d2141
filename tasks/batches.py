"""Batches that are generated lazily."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ddstructs.tasks.batch import Batch

__all__ = ["Batches"]


class Batches:
    """A fixed number of batches, generated lazily.

    Args:
        make: Returns an iterator over the batches.
        length: Number of batches.
    """

    def __init__(self, make: Callable[[], Iterator[Batch]], length: int) -> None:
        self.make = make
        self.length = length

    def __iter__(self) -> Iterator[Batch]:
        return self.make()

    def __len__(self) -> int:
        return self.length

    def state_dict(self) -> dict[str, Any]:
        """Empty, because the task saves its position in the stream. Lightning cannot resume a loader without this."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing; see `state_dict`."""
