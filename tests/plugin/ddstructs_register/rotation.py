"""A task."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from ddstructs.tasks import Rearrangement

__all__ = ["Rotation"]


@final
class Rotation(Rearrangement):
    """Say the last symbol first: `a b c d` becomes `d a b c`.

    Args:
        by: Number of places.
        settings: The settings common to all tasks.
    """

    def __init__(self, by: int = 1, **settings: Any) -> None:
        super().__init__(**settings)
        self.by = by

    def origin(self, position: Tensor, length: Tensor) -> Tensor:
        return (position - self.by) % length
